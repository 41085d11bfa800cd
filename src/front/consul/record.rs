//! What is kept of an instance that registered as at a Consul agent, and what
//! follows from it. Pure.

use std::{collections::BTreeMap, time::Duration};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{
    body::Body,
    check::{Check, Means, Status},
};
use crate::{
    front::refusal::Refusal,
    model::{Foreign, FrontApi, HumanDuration, Instance, InstanceKey, Reported},
    sources::draft::{Draft, instance_id, service_name},
};

/// How long an instance is kept that reports for itself and does not any more,
/// if it does not say: an agent would keep it for ever.
const KEPT: Duration = Duration::from_secs(24 * 3600);

/// The least that an agent lets pass before it deregisters an instance, and
/// the most that is kept here.
const LEAST_KEPT: Duration = Duration::from_secs(60);
const MOST_KEPT: Duration = Duration::from_secs(365 * 86_400);

const LEAST_TTL: Duration = Duration::from_secs(1);
const MOST_TTL: Duration = Duration::from_secs(24 * 3600);

/// Checks of one instance that are made from here: they are made together.
const MOST_PROBED: usize = 8;

/// What is kept of an instance.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Record {
    /// The address of the client. An agent knows the services of its machine;
    /// here each machine has an agent of its own.
    pub(super) node: String,
    pub(super) id: String,
    pub(super) name: String,
    pub(super) tags: Vec<String>,
    /// Empty where it is that of the node.
    pub(super) address: String,
    pub(super) port: u16,
    pub(super) meta: BTreeMap<String, String>,
    #[serde(default, skip_serializing_if = "Value::is_null")]
    pub(super) tagged_addresses: Value,
    /// While all is well, and while something is not quite.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) weights: Option<(i64, i64)>,
    #[serde(default)]
    pub(super) enable_tag_override: bool,
    pub(super) checks: Vec<Check>,
    /// Why it is in maintenance, if it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) maintenance: Option<String>,
}

impl Record {
    /// What is kept of `foreign`, if it is of this language.
    pub(super) fn of(foreign: Option<&Foreign>) -> Option<Self> {
        let foreign = foreign.filter(|foreign| foreign.api == FrontApi::Consul)?;
        serde_json::from_value(foreign.record.clone()).ok()
    }

    /// Reads a registration that came from `node`.
    ///
    /// # Errors
    ///
    /// In Consul's words where it has some.
    pub(super) fn read(body: &Body, node: String) -> Result<Self, Refusal> {
        let name = body.text("name")?.to_owned();
        if name.is_empty() {
            return Err(Refusal::bad("Missing service name"));
        }
        for (key, what) in [
            ("connect", "Connect"),
            ("proxy", "proxies of a mesh"),
            ("socketpath", "services at a socket"),
        ] {
            if body.says(key) {
                return Err(Refusal::bad(format!("{what}: not here; leave it out")));
            }
        }
        let kind = body.text("kind")?;
        if !matches!(kind, "" | "typical") {
            return Err(Refusal::bad(format!("services of the kind {kind:?} are not here")));
        }
        let id = match body.text("id")? {
            "" => name.clone(),
            id => id.to_owned(),
        };
        let address = body.text("address")?.to_owned();
        if matches!(address.as_str(), "0.0.0.0" | "::" | "[::]") {
            return Err(Refusal::bad("Invalid service address"));
        }
        let port = body.number("port")?.unwrap_or(0);
        let port = u16::try_from(port).ok().filter(|port| *port != 0);
        let Some(port) = port else {
            return Err(Refusal::bad("Missing service port: requests are sent to one here"));
        };
        let weights = match body.object("weights")? {
            None => None,
            Some(weights) => {
                let of = |key| Ok::<_, Refusal>(weights.number(key)?.unwrap_or(1).max(1));
                Some((of("passing")?, of("warning")?))
            }
        };
        let mut declared: Vec<Body> = body.object("check")?.into_iter().collect();
        declared.extend(body.objects("checks")?);
        let alone = declared.len() == 1;
        let checks = declared.iter().enumerate().map(|(index, check)| {
            let id =
                if alone { format!("service:{id}") } else { format!("service:{id}:{}", index + 1) };
            Check::read(check, &name, id)
        });
        let checks = checks.collect::<Result<Vec<_>, _>>()?;
        let record = Self {
            node,
            id,
            name,
            tags: body.texts("tags")?,
            address,
            port,
            meta: body.pairs("meta")?,
            tagged_addresses: body.as_it_is("taggedaddresses"),
            weights,
            enable_tag_override: body.truth("enabletagoverride")?,
            checks,
            maintenance: None,
        };
        record.sound()?;
        Ok(record)
    }

    /// Whether its checks are such that they can be made.
    ///
    /// # Errors
    ///
    /// Says which cannot.
    pub(super) fn sound(&self) -> Result<(), Refusal> {
        let refused = |text: String| Err(Refusal::bad(format!("Invalid check: {text}")));
        for (index, check) in self.checks.iter().enumerate() {
            if self.checks[..index].iter().any(|other| other.id == check.id) {
                return refused(format!("two have the id {:?}", check.id));
            }
        }
        let ttls = self.checks.iter().filter(|check| matches!(check.means, Means::Ttl { .. }));
        if ttls.count() > 1 {
            return refused("a service has one TTL check here".to_owned());
        }
        if self.probed().len() > MOST_PROBED {
            let text = format!("at most {MOST_PROBED} of HTTP, TCP and GRPC are made of a service");
            return refused(text);
        }
        self.health()?;
        self.probes()?;
        Ok(())
    }

    /// Its place in the catalog.
    ///
    /// # Errors
    ///
    /// When it cannot have one.
    pub(super) fn key(&self) -> Result<InstanceKey, Refusal> {
        let refused = |error: crate::model::ParseNameError| Refusal::bad(error.to_string());
        let service = service_name(&self.name).map_err(refused)?;
        let id = instance_id(&format!("{}@{}", self.id, self.node)).map_err(refused)?;
        Ok(InstanceKey { service, id })
    }

    /// What stands under `key` in its metadata, or in a tag `key=value`.
    pub(super) fn said(&self, key: &str) -> Option<&str> {
        let tags = self.tags.iter().filter_map(|tag| tag.split_once('='));
        let tag = || tags.into_iter().find(|(name, _)| *name == key).map(|(_, value)| value);
        self.meta.get(key).map(String::as_str).filter(|value| !value.is_empty()).or_else(tag)
    }

    /// The check that it reports for itself, if it has one.
    pub(super) fn ttl(&self) -> Option<(&Check, Duration)> {
        self.checks.iter().find_map(|check| match &check.means {
            Means::Ttl { ttl } => Some((check, Duration::from(*ttl).clamp(LEAST_TTL, MOST_TTL))),
            _ => None,
        })
    }

    /// The checks that are made from here, the one that says most first.
    pub(super) fn probed(&self) -> Vec<&Check> {
        let rank = |check: &&Check| match check.means {
            Means::Http { .. } => 0,
            Means::Grpc { .. } => 1,
            Means::Tcp { .. } => 2,
            Means::Ttl { .. } => 3,
        };
        let mut all: Vec<_> = self.checks.iter().filter(|check| rank(check) < 3).collect();
        all.sort_by_key(rank);
        all
    }

    /// What its client says of it.
    pub(super) fn reported(&self) -> Reported {
        if self.maintenance.is_some() {
            return Reported::OutOfService;
        }
        match self.ttl() {
            Some((Check { status: Status::Critical, .. }, _)) => Reported::Down,
            _ => Reported::Up,
        }
    }

    fn weight(&self) -> Option<i64> {
        let warning = self.ttl().is_some_and(|(check, _)| check.status == Status::Warning);
        let of = |(passing, warned)| if warning { warned } else { passing };
        self.weights.map(of)
    }

    /// How long it is kept once it is critical.
    fn keep(&self) -> Option<Duration> {
        let said = self.checks.iter().filter_map(|check| check.deregister_after);
        let said = said.map(|said| Duration::from(said).clamp(LEAST_KEPT, MOST_KEPT)).min();
        said.or(self.ttl().map(|_| KEPT))
    }

    /// The instance that it describes.
    ///
    /// # Errors
    ///
    /// When it describes none.
    pub(super) fn instance(&self) -> Result<Instance, Refusal> {
        // Says what is wrong with a name, if anything is.
        self.key()?;
        let host = if self.address.is_empty() { &self.node } else { &self.address };
        let id = format!("{}@{}", self.id, self.node);
        let draft = Draft {
            weight: self.weight(),
            zone: self.said("zone").map(str::to_owned),
            version: self.said("version").map(str::to_owned),
            tags: self.tags.clone(),
            metadata: self.meta.clone(),
            ..Draft::new(&self.name, Some(&id))
        };
        let found = draft.at(self.scheme(), host, self.port.into());
        let found = found.map_err(|why| Refusal::bad(format!("Invalid service address: {why}")))?;
        let record = serde_json::to_value(self).unwrap_or_default();
        let (reported, keep) = (self.reported(), self.keep().map(HumanDuration));
        let probes = self.probes()?;
        Ok(Instance {
            ttl: self.ttl().map(|(_, ttl)| HumanDuration(ttl)),
            health: self.health()?,
            foreign: Some(Foreign { api: FrontApi::Consul, reported, keep, probes, record }),
            ..found.instance
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{ProbeKind, Scheme};

    fn read(text: &str) -> Result<Record, String> {
        let body = Body::read(text.as_bytes()).expect(text);
        Record::read(&body, "10.0.0.9".to_owned()).map_err(|refusal| refusal.text)
    }

    fn instance(text: &str) -> Instance {
        read(text).and_then(|it| it.instance().map_err(|refusal| refusal.text)).expect(text)
    }

    #[test]
    fn a_registration_is_an_instance() {
        let full = instance(
            r#"{"ID": "web-1", "Name": "Web", "Address": "10.0.0.5", "Port": 8080,
                "Tags": ["blue", "zone=a"], "Meta": {"version": "3", "secure": "true"},
                "Weights": {"Passing": 7, "Warning": 2}}"#,
        );
        assert_eq!(full.key().to_string(), "web/web-1@10.0.0.9");
        assert_eq!(full.origin.to_string(), "https://10.0.0.5:8080");
        assert_eq!((full.weight.value(), full.zone.as_deref()), (7, Some("a")));
        assert_eq!((full.ttl, full.health.kind), (None, None));
        let bare = instance(r#"{"name": "web", "port": 80}"#);
        assert_eq!(bare.key().to_string(), "web/web@10.0.0.9");
        assert_eq!(bare.origin.to_string(), "http://10.0.0.9:80");
        assert_eq!(bare.weight.value(), 100);
    }

    #[test]
    fn checks_become_probes_and_leases() {
        let with = |check: &str| {
            instance(&format!(
                r#"{{"Name": "web", "Port": 80, "Address": "10.0.0.5", "Check": {check}}}"#
            ))
        };
        let ttl = with(r#"{"TTL": "15s", "DeregisterCriticalServiceAfter": "2m"}"#);
        assert_eq!(ttl.ttl, Some(HumanDuration::from_secs(15)));
        assert_eq!(ttl.health.kind, Some(ProbeKind::Ttl));
        let foreign = ttl.foreign.expect("a record");
        assert_eq!(foreign.reported, Reported::Down);
        assert_eq!(foreign.keep, Some(HumanDuration::from_secs(120)));
        let http =
            with(r#"{"HTTP": "http://web.local:81/up?x=1", "Interval": "10s", "Timeout": "1m"}"#);
        assert_eq!(http.health.kind, Some(ProbeKind::Http));
        assert_eq!(http.health.path.as_deref(), Some("/up?x=1"));
        assert_eq!(http.health.host.as_deref(), Some("web.local"));
        assert_eq!(http.health.port.map(Into::into), Some(81_u16));
        assert_eq!(http.health.interval, Some(HumanDuration::from_secs(10)));
        assert_eq!(http.health.timeout, Some(HumanDuration::from_secs(10)));
        assert_eq!(http.foreign.expect("a record").keep, None);
        let tls = with(r#"{"HTTP": "https://10.0.0.5:80/", "Interval": "10s"}"#);
        assert_eq!(tls.origin.scheme, Scheme::Https);
        let elsewhere = with(r#"{"HTTP": "https://10.0.0.5:443/", "Interval": "10s"}"#);
        assert_eq!(elsewhere.health.kind, Some(ProbeKind::Tcp));
        let tcp = with(r#"{"TCP": "localhost:80", "Interval": "10s"}"#);
        assert_eq!((tcp.health.kind, tcp.health.port), (Some(ProbeKind::Tcp), None));
        let grpc = with(r#"{"GRPC": "127.0.0.1:80/my.service", "Interval": "10s"}"#);
        assert_eq!(grpc.health.grpc_service.as_deref(), Some("my.service"));
        let none = with("null");
        assert!(none.ttl.is_none() && none.health.kind.is_none());
    }

    #[test]
    fn of_several_checks_all_are_made() {
        let all = instance(
            r#"{"Name": "web", "Port": 80, "Checks": [{"TTL": "5s", "Status": "warning"},
                {"TCP": "a.b:81", "Interval": "1s"},
                {"HTTP": "http://a.b:80/", "Interval": "2s", "FailuresBeforeCritical": 2}],
                "Weights": {"Passing": 7, "Warning": 2}}"#,
        );
        assert_eq!(all.health.kind, Some(ProbeKind::Http));
        assert_eq!(all.health.interval, Some(HumanDuration::from_secs(1)));
        assert_eq!(all.health.unhealthy_after.map(Into::into), Some(2_u32));
        assert_eq!(all.ttl, Some(HumanDuration::from_secs(5)));
        assert_eq!(all.weight.value(), 2);
        let foreign = all.foreign.expect("a record");
        assert_eq!(foreign.reported, Reported::Up);
        let kinds: Vec<_> = foreign.probes.iter().map(|probe| probe.health.kind).collect();
        assert_eq!(kinds, [Some(ProbeKind::Http), Some(ProbeKind::Tcp)]);
        let two = r#"{"Name": "web", "Port": 80, "Checks": [{"TTL": "5s"}, {"TTL": "6s"}]}"#;
        assert!(read(two).expect_err("two").contains("one TTL check"));
        let many = [r#"{"TCP": "a:1", "Interval": "1s"}"#; MOST_PROBED + 1].join(",");
        let many = format!(r#"{{"Name": "web", "Port": 80, "Checks": [{many}]}}"#);
        assert!(read(&many).expect_err("many").contains("at most 8"));
    }

    #[test]
    fn what_a_check_sends_is_sent() {
        let one = instance(
            r#"{"Name": "web", "Port": 80, "Check": {"HTTP": "http://a.b:80/up", "Interval": "1s",
                "Method": "post", "Body": "{}", "Header": {"Host": ["c.d"], "X-Key": ["1", "2"]}}}"#,
        );
        assert_eq!(one.health.host.as_deref(), Some("c.d"));
        let probes = one.foreign.expect("a record").probes;
        let sent = &probes[0].request;
        assert_eq!((sent.method.as_deref(), sent.body.as_str()), (Some("POST"), "{}"));
        assert_eq!(sent.headers.get("X-Key"), Some(&vec!["1".to_owned(), "2".to_owned()]));
        assert_eq!(sent.headers.len(), 1);
        let plain = r#"{"Name": "web", "Port": 80, "Check": {"TCP": "a:80", "Interval": "1s"}}"#;
        assert!(instance(plain).foreign.expect("a record").probes.is_empty());
    }

    #[test]
    fn what_is_refused_is_refused_in_consuls_words() {
        for (text, why) in [
            (r#"{"Port": 80}"#, "Missing service name"),
            (r#"{"Name": "a", "Port": 80, "Address": "0.0.0.0"}"#, "Invalid service address"),
            (r#"{"Name": "a"}"#, "port"),
            (r#"{"Name": "a", "Port": 70000}"#, "port"),
            (r#"{"Name": "a", "Port": "x"}"#, "Request decode failed"),
            (r#"{"Name": "a", "Port": 80, "Connect": {"Native": true}}"#, "Connect"),
            (r#"{"Name": "a", "Port": 80, "Kind": "connect-proxy"}"#, "kind"),
            (r#"{"Name": "a", "Port": 80, "Check": {"HTTP": "/up", "Interval": "1s"}}"#, "/up"),
            (
                r#"{"Name": "a", "Port": 80, "Check": {"HTTP": "ftp://a/", "Interval": "1s"}}"#,
                "ftp",
            ),
            (r#"{"Name": "a", "Port": 80, "Check": {"TCP": "a", "Interval": "1s"}}"#, "address"),
            (r#"{"Name": "a", "Port": 80, "Tags": "x"}"#, "tags"),
        ] {
            assert!(read(text).expect_err(text).contains(why), "{text}");
        }
        assert!(read(r#"{"Name": "a b", "Port": 80}"#).expect("read").key().is_err());
    }
}
