//! An instance as others describe it, before it is one of ours.
//!
//! What makes it reachable has to be right. What only goes with it is cut to
//! what is kept, since whoever wrote it knows nothing of our bounds.

use std::collections::BTreeMap;

use serde_json::Value;
use sha2::{Digest, Sha256};

use super::super::Found;
use crate::model::{
    HealthSettings, Instance, InstanceId, Origin, Reported, Scheme, ServiceName, Weight,
};

/// Tags, and pairs of metadata, that are kept.
const MOST: usize = 64;

/// The longest word and the longest text that are kept, in bytes.
const WORD: usize = 128;
const TEXT: usize = 512;

/// What others say of an instance.
#[derive(Debug, Default)]
pub(in crate::sources) struct Draft {
    /// The service, as they call it.
    pub(in crate::sources) service: String,
    /// Its name within the service; its address is, if it has none.
    pub(in crate::sources) id: Option<String>,
    /// Its share of requests. 0 says that it wants none.
    pub(in crate::sources) weight: Option<i64>,
    pub(in crate::sources) zone: Option<String>,
    pub(in crate::sources) version: Option<String>,
    pub(in crate::sources) tags: Vec<String>,
    pub(in crate::sources) metadata: BTreeMap<String, String>,
    pub(in crate::sources) reported: Reported,
}

impl Draft {
    /// One of `service` that is called `id`.
    pub(in crate::sources) fn new(service: &str, id: Option<&str>) -> Self {
        Self { service: service.to_owned(), id: id.map(str::to_owned), ..Self::default() }
    }

    /// An instance that listens at `host` and `port`.
    pub(in crate::sources) fn at(
        self,
        scheme: Scheme,
        host: &str,
        port: i64,
    ) -> Result<Found, String> {
        let host = match host.contains(':') && !host.starts_with('[') {
            true => format!("[{host}]"),
            false => host.to_owned(),
        };
        let address = format!("{host}:{port}").parse();
        let address = address.map_err(|error| format!("{error}"))?;
        self.on(Origin { address, scheme })
    }

    /// An instance that listens at `origin`.
    pub(in crate::sources) fn on(self, origin: Origin) -> Result<Found, String> {
        let service = service_name(&self.service)?;
        let address = origin.address.to_string().replace(['[', ']'], "");
        let id = instance_id(self.id.as_deref().filter(|id| !id.is_empty()).unwrap_or(&address));
        let reported = match (self.weight, self.reported) {
            (Some(..=0), Reported::Up) => Reported::OutOfService,
            (_, reported) => reported,
        };
        let weight = self.weight.and_then(|weight| Weight::try_from(weight.min(1000)).ok());
        let short = |text: &String, most| !text.is_empty() && text.len() <= most;
        let instance = Instance {
            service,
            id,
            origin,
            weight: weight.unwrap_or_default(),
            zone: self.zone.filter(|zone| short(zone, WORD)),
            version: self.version.filter(|version| short(version, WORD)),
            tags: self.tags.into_iter().filter(|tag| short(tag, WORD)).take(MOST).collect(),
            metadata: (self.metadata.into_iter())
                .filter(|(key, value)| short(key, WORD) && value.len() <= TEXT)
                .take(MOST)
                .collect(),
            ttl: None,
            health: HealthSettings::default(),
            foreign: None,
        };
        Ok(Found { instance, reported })
    }
}

/// Names of services are in lower case here, whatever they are elsewhere.
fn service_name(text: &str) -> Result<ServiceName, String> {
    text.to_ascii_lowercase().parse().map_err(|error| format!("{error}"))
}

/// An id that says `text` where that can be one, and else one that is its own.
fn instance_id(text: &str) -> InstanceId {
    if let Ok(id) = text.parse() {
        return id;
    }
    let plain = |letter: char| match letter.is_ascii_alphanumeric() || "-_.:@".contains(letter) {
        true => letter,
        false => '_',
    };
    let shown: String = text.chars().take(WORD - 9).map(plain).collect();
    let sum = Sha256::digest(text.as_bytes());
    let sum: String = sum.iter().take(4).map(|byte| format!("{byte:02x}")).collect();
    let id = format!("{shown}-{sum}").parse();
    // Letters that an id has, and not too many: it is one.
    id.unwrap_or_else(|_| unreachable!("{text:?}"))
}

/// A scalar as text.
pub(in crate::sources) fn text_of(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Bool(is) => Some(is.to_string()),
        _ => None,
    }
}

/// The pairs of an object whose values are words. What Java adds to say of
/// which class something is says nothing here.
pub(in crate::sources) fn words(value: Option<&Value>) -> BTreeMap<String, String> {
    let pairs = value.and_then(Value::as_object).into_iter().flatten();
    pairs
        .filter(|(key, _)| *key != "@class")
        .filter_map(|(key, value)| Some((key.clone(), text_of(value)?)))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_others_become_names_of_ours() {
        let found = Draft::new("Hello-Service", Some("host:8080/a b")).at(Scheme::Http, "::1", 80);
        let instance = found.expect("an instance").instance;
        assert_eq!(instance.service.as_str(), "hello-service");
        assert!(instance.id.as_str().starts_with("host:8080_a_b-"));
        assert_eq!(instance.origin.to_string(), "http://[::1]:80");
        let other = Draft::new("a", Some("host:8080 a/b")).at(Scheme::Http, "::1", 80);
        assert_ne!(other.expect("an instance").instance.id, instance.id);
        let long = Draft::new("a", Some(&"é".repeat(500))).at(Scheme::Http, "h", 80);
        assert!(long.is_ok());
        let unnamed = Draft::new("a", None).at(Scheme::Http, "fe80::1", 80).expect("an instance");
        assert_eq!(unnamed.instance.id.as_str(), "fe80::1:80");
        for (host, port) in [("", 80), ("a b", 80), ("a", 0), ("a", -1), ("a", 65_536), ("a/", 1)] {
            assert!(Draft::new("a", None).at(Scheme::Http, host, port).is_err(), "{host}:{port}");
        }
        assert!(Draft::new("a/b", None).at(Scheme::Http, "h", 80).is_err());
    }

    #[test]
    fn what_only_goes_with_an_instance_is_cut_and_not_refused() {
        let draft = Draft {
            weight: Some(5000),
            zone: Some("z".repeat(200)),
            tags: vec!["t".to_owned(); 100],
            metadata: (0..100).map(|n| (format!("{n:03}"), "x".repeat(n * 10))).collect(),
            ..Draft::new("a", None)
        };
        let found = draft.at(Scheme::Https, "h", 443).expect("an instance");
        assert_eq!(found.instance.weight.value(), 1000);
        assert_eq!((found.instance.zone, found.instance.tags.len()), (None, 64));
        assert_eq!(found.instance.metadata.len(), 52);
        let none = Draft { weight: Some(0), ..Draft::new("a", None) }.at(Scheme::Http, "h", 1);
        assert_eq!(none.expect("an instance").reported, Reported::OutOfService);
    }
}
