//! The body of a registration, and the way from it to an [`Instance`].
//!
//! What an [`Instance`] cannot tell by its types is checked before it goes on:
//! how much one may carry by the registry's table, what a probe cannot use
//! here.

use std::{collections::BTreeMap, fmt::Write, net::IpAddr, num::NonZeroU16};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::problem::{Kind, Problem, nearest};
use crate::{
    model::{
        Address, HealthSettings, Host, HumanDuration, Instance, InstanceKey, Origin, Scheme, Weight,
    },
    registry::{self, Unfit},
    routing::host,
};

/// What to register. One of `address` and `port` is needed, all else has a
/// default.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RegistrationBody {
    /// Where the instance listens.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<Origin>,
    /// The port that the instance listens on, at the address that this
    /// request comes from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub port: Option<NonZeroU16>,
    /// Its share of requests.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub weight: Option<Weight>,
    /// The failure domain it runs in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub zone: Option<String>,
    /// The version of the program.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// Free words.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tags: Vec<String>,
    /// Free pairs.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub metadata: BTreeMap<String, String>,
    /// How long it lives without a heartbeat. Default: for ever.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ttl: Option<HumanDuration>,
    /// Health settings of its own; those of the service fill in the rest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub health: Option<HealthSettings>,
}

/// Reads a registration of `key` that came from `peer`.
///
/// # Errors
///
/// Names the place in the body that is wrong.
pub(super) fn parse(body: &[u8], key: InstanceKey, peer: IpAddr) -> Result<Instance, Problem> {
    if body.trim_ascii().is_empty() {
        let detail = "the body is empty; send at least {\"port\": 8080}";
        return Err(Problem::at(Kind::BadRequest, "", detail));
    }
    if !body.trim_ascii_start().starts_with(b"{") {
        // A derived struct would be read from an array, too.
        return Err(Problem::at(Kind::BadRequest, "", "the body is not a JSON object"));
    }
    let mut json = serde_json::Deserializer::from_slice(body);
    let read: RegistrationBody =
        serde_path_to_error::deserialize(&mut json).map_err(|error| unreadable(&error))?;
    json.end().map_err(|error| Problem::at(Kind::BadRequest, "", error.to_string()))?;
    let invalid = |pointer: &str, detail: &str| Err(Problem::at(Kind::Invalid, pointer, detail));
    let origin = match (read.address, read.port) {
        (Some(origin), None) => origin,
        (None, Some(port)) => {
            let address = Address { host: Host::Ip(peer.to_canonical()), port: port.get() };
            Origin { address, scheme: Scheme::Http }
        }
        (None, None) => {
            return invalid("/address", "give an address, or a port at the address you call from");
        }
        (Some(_), Some(_)) => {
            return invalid("/port", "the address has a port already; give one of the two");
        }
    };
    let instance = Instance {
        service: key.service,
        id: key.id,
        origin,
        weight: read.weight.unwrap_or_default(),
        zone: read.zone,
        version: read.version,
        tags: read.tags,
        metadata: read.metadata,
        ttl: read.ttl,
        health: read.health.unwrap_or_default(),
        foreign: None,
    };
    if let Err(Unfit { at, fault }) = registry::check(&instance) {
        return invalid(&at, &fault.to_string());
    }
    match health_fault(&instance.health) {
        None => Ok(instance),
        Some((pointer, detail)) => invalid(pointer, detail),
    }
}

fn unreadable(error: &serde_path_to_error::Error<serde_json::Error>) -> Problem {
    let inner = error.inner();
    let message = inner.to_string();
    if !inner.is_data() {
        return Problem::at(Kind::BadRequest, "", format!("the body is not JSON: {message}"));
    }
    // The pointer is the better place; lines of a one-line body help nobody.
    let place = format!(" at line {} column {}", inner.line(), inner.column());
    let detail = message.strip_suffix(&place).unwrap_or(&message);
    let mut pointer = pointer_of(error.path());
    // "unknown field `weigth`, expected one of `address`, `port`"
    let mut words = detail.split('`').skip(1).step_by(2);
    let unknown = detail.strip_prefix("unknown field").and_then(|_| words.next());
    if let Some(unknown) = unknown {
        let last = format!("/{}", escape(unknown));
        if !pointer.ends_with(&last) {
            pointer.push_str(&last);
        }
    }
    let suggestion = unknown.and_then(|unknown| nearest(unknown, words));
    Problem::at(Kind::Invalid, pointer, detail).suggest(suggestion)
}

fn pointer_of(path: &serde_path_to_error::Path) -> String {
    use serde_path_to_error::Segment;
    path.iter().fold(String::new(), |mut pointer, segment| {
        // Writing to a String cannot fail.
        let _ = match segment {
            Segment::Seq { index } => write!(pointer, "/{index}"),
            Segment::Map { key } => write!(pointer, "/{}", escape(key)),
            Segment::Enum { .. } | Segment::Unknown => Ok(()),
        };
        pointer
    })
}

fn escape(key: &str) -> String {
    key.replace('~', "~0").replace('/', "~1")
}

fn health_fault(health: &HealthSettings) -> Option<(&'static str, &'static str)> {
    let graphic = |path: &str| path.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'#');
    if let Some(path) = &health.path
        && !(path.starts_with('/') && graphic(path))
    {
        let detail = "a path begins with \"/\" and has neither spaces nor \"#\"; \
                      percent-encode what is not ASCII";
        return Some(("/health/path", detail));
    }
    if health.host.as_ref().is_some_and(|name| host::of_authority(name.as_bytes()).is_none()) {
        return Some(("/health/host", "not a host; write a name or an IP address"));
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(body: &str) -> Result<Instance, Problem> {
        let key = "orders/a".parse().expect("a key");
        parse(body.as_bytes(), key, "::ffff:10.0.0.7".parse().expect("an address"))
    }

    fn refused(body: &str) -> (Kind, String, String, Option<String>) {
        let problem = parsed(body).expect_err(body);
        let fault = problem.errors()[0].clone();
        (problem.kind(), fault.pointer, fault.detail, fault.suggestion)
    }

    #[test]
    fn an_address_or_a_port_is_enough() {
        let plain = parsed(r#"{"address": "10.0.0.9:80"}"#).expect("an instance");
        assert_eq!(plain.origin.to_string(), "http://10.0.0.9:80");
        let mine = parsed(r#"{"port": 8080}"#).expect("an instance");
        assert_eq!(mine.origin.to_string(), "http://10.0.0.7:8080");
        assert_eq!(mine.key().to_string(), "orders/a");
    }

    #[test]
    fn everything_is_taken_over() {
        let body = RegistrationBody {
            address: Some("http://10.0.0.9:80".parse().expect("an origin")),
            weight: Weight::try_from(10).ok(),
            zone: Some("a".to_owned()),
            version: Some("1".to_owned()),
            tags: vec!["blue".to_owned()],
            metadata: BTreeMap::from([("k".to_owned(), "v".to_owned())]),
            ttl: Some(HumanDuration::from_secs(10)),
            health: Some(HealthSettings { path: Some("/up?x=1".to_owned()), ..Default::default() }),
            port: None,
        };
        let instance = parsed(&serde_json::to_string(&body).expect("JSON")).expect("an instance");
        assert_eq!(instance.weight.value(), 10);
        assert_eq!((instance.zone, instance.version), (body.zone, body.version));
        assert_eq!((instance.tags, instance.metadata), (body.tags, body.metadata));
        assert_eq!((instance.ttl, Some(instance.health)), (body.ttl, body.health));
    }

    #[test]
    fn what_is_wrong_is_named_by_its_pointer() {
        for (body, kind, pointer) in [
            ("", Kind::BadRequest, ""),
            ("{", Kind::BadRequest, ""),
            ("{\"port\": 1} x", Kind::BadRequest, ""),
            ("[]", Kind::BadRequest, ""),
            ("{}", Kind::Invalid, "/address"),
            (r#"{"port": 0}"#, Kind::Invalid, "/port"),
            (r#"{"port": 1, "address": "10.0.0.1:2"}"#, Kind::Invalid, "/port"),
            (r#"{"address": "10.0.0.1"}"#, Kind::Invalid, "/address"),
            (r#"{"port": 1, "weight": 0}"#, Kind::Invalid, "/weight"),
            (r#"{"port": 1, "tags": ["a", 2]}"#, Kind::Invalid, "/tags/1"),
            (r#"{"port": 1, "metadata": {"a/b": 2}}"#, Kind::Invalid, "/metadata/a~1b"),
            (r#"{"port": 1, "ttl": 5}"#, Kind::Invalid, "/ttl"),
            (r#"{"port": 1, "ttl": "0s"}"#, Kind::Invalid, "/ttl"),
            (r#"{"port": 1, "health": {"interval": "0s"}}"#, Kind::Invalid, "/health/interval"),
            (r#"{"port": 1, "health": {"path": "up"}}"#, Kind::Invalid, "/health/path"),
            (r#"{"port": 1, "health": {"path": "/a b"}}"#, Kind::Invalid, "/health/path"),
            (r#"{"port": 1, "health": {"path": "/\r\nX: y"}}"#, Kind::Invalid, "/health/path"),
            (r#"{"port": 1, "health": {"host": "a b"}}"#, Kind::Invalid, "/health/host"),
            (r#"{"port": 1, "zone": "a\nb"}"#, Kind::Invalid, "/zone"),
        ] {
            let (found_kind, found_pointer, ..) = refused(body);
            assert_eq!((found_kind, found_pointer.as_str()), (kind, pointer), "{body}");
        }
    }

    #[test]
    fn an_unknown_field_comes_with_what_was_meant() {
        let (kind, pointer, detail, suggestion) = refused(r#"{"port": 1, "weigth": 5}"#);
        assert_eq!((kind, pointer.as_str()), (Kind::Invalid, "/weigth"));
        assert_eq!(suggestion.as_deref(), Some("weight"));
        assert!(detail.starts_with("unknown field `weigth`"), "{detail}");
        assert!(!detail.contains("line"), "{detail}");
        let (_, pointer, _, suggestion) = refused(r#"{"health": {"intervall": "5s"}}"#);
        assert_eq!(
            (pointer.as_str(), suggestion.as_deref()),
            ("/health/intervall", Some("interval"))
        );
    }

    #[test]
    fn one_registration_brings_so_much_text() {
        let tags = serde_json::json!({ "port": 1, "tags": vec!["t"; 65] });
        assert_eq!(refused(&tags.to_string()).1, "/tags");
        let value = serde_json::json!({ "port": 1, "metadata": { "k": "v".repeat(513) } });
        assert_eq!(refused(&value.to_string()).1, "/metadata/k");
        let zone = serde_json::json!({ "port": 1, "zone": "z".repeat(129) });
        assert_eq!(refused(&zone.to_string()).1, "/zone");
    }
}
