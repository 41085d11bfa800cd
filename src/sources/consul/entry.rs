//! One entry of `/v1/health/service/NAME`, and the instance that it is. Pure.

use serde::Deserialize;

use crate::{
    model::{Reported, Scheme},
    sources::{
        Found,
        draft::Draft,
        loose::{List, Loose, Pairs},
    },
};

/// An instance with its node and its checks.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub(super) struct Entry {
    node: Node,
    service: Service,
    checks: List<Check>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
struct Node {
    node: Loose,
    address: Loose,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
struct Service {
    #[serde(rename = "ID")]
    id: Loose,
    service: Loose,
    address: Loose,
    port: Loose,
    tags: List<Loose>,
    meta: Pairs,
    weights: Weights,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
struct Weights {
    passing: Loose,
    warning: Loose,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
struct Check {
    #[serde(rename = "CheckID")]
    id: Loose,
    status: Loose,
}

/// What the checks of an instance and its node say together; the worst one is
/// what counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Health {
    Passing,
    Warning,
    Critical,
    Maintenance,
}

impl Check {
    fn health(&self) -> Health {
        // Maintenance is a check that somebody added, of the node or of the instance.
        let id = self.id.as_str();
        match self.status.as_str() {
            "passing" => Health::Passing,
            "warning" => Health::Warning,
            _ if id == "_node_maintenance" || id.starts_with("_service_maintenance") => {
                Health::Maintenance
            }
            _ => Health::Critical,
        }
    }
}

/// Whether metadata in which `text` stands under a key has all of `wanted`.
pub(super) fn has<'a>(wanted: &[String], text: impl Fn(&str) -> Option<&'a str>) -> bool {
    wanted.iter().all(|wanted| match wanted.split_once('=') {
        Some((key, value)) => text(key) == Some(value),
        None => text(wanted).is_some(),
    })
}

impl Entry {
    /// How it is called there: the id of a service is its own on its node only.
    pub(super) fn name(&self) -> String {
        let (service, node) = (&self.service, self.node.node.as_str());
        format!("{}/{}@{node}", service.service.as_str(), service.id.as_str())
    }

    /// Whether its metadata has all of `wanted`: `key=value`, or `key`.
    pub(super) fn has(&self, wanted: &[String]) -> bool {
        has(wanted, |key| self.service.meta.text(key))
    }

    fn health(&self) -> Health {
        self.checks.0.iter().map(Check::health).max().unwrap_or(Health::Passing)
    }

    /// What stands under `key` in its metadata, or in a tag `key=value`.
    fn said(&self, key: &str) -> Option<&str> {
        let tags = self.service.tags.0.iter().filter_map(|tag| tag.as_str().split_once('='));
        let tag = || tags.into_iter().find(|(name, _)| *name == key).map(|(_, value)| value);
        self.service.meta.text(key).or_else(tag)
    }

    /// The instance.
    ///
    /// # Errors
    ///
    /// When it cannot be one; why, in words for a person.
    pub(super) fn found(&self) -> Result<Found, String> {
        let Service { id, service, address, port, tags, meta, weights } = &self.service;
        let id = format!("{}@{}", id.as_str(), self.node.node.as_str());
        let host = address.text().unwrap_or(self.node.address.as_str());
        let is_secure = self.said("scheme").is_some_and(|word| word.eq_ignore_ascii_case("https"))
            || self.said("secure").is_some_and(|word| word.eq_ignore_ascii_case("true"));
        let scheme = if is_secure { Scheme::Https } else { Scheme::Http };
        let health = self.health();
        let weight = if health == Health::Warning { &weights.warning } else { &weights.passing };
        let draft = Draft {
            weight: weight.number().or(Some(1)),
            zone: self.said("zone").map(str::to_owned),
            version: self.said("version").map(str::to_owned),
            tags: tags.0.iter().map(|tag| tag.as_str().to_owned()).collect(),
            metadata: meta.to_map(),
            reported: match health {
                Health::Passing | Health::Warning => Reported::Up,
                Health::Critical => Reported::Down,
                Health::Maintenance => Reported::OutOfService,
            },
            ..Draft::new(service.as_str(), Some(&id))
        };
        draft.at(scheme, host, port.number().unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(service: &str, checks: &str) -> Entry {
        let text = format!(
            r#"{{"Node": {{"Node": "n1", "Address": "10.0.0.9", "Meta": null}},
                "Service": {{"ID": "web-1", "Service": "Web", {service}}},
                "Checks": [{checks}]}}"#
        );
        serde_json::from_str(&text).expect("an entry")
    }

    #[test]
    fn an_entry_is_an_instance_with_all_that_goes_with_it() {
        let full = entry(
            r#""Address": "10.0.0.5", "Port": 8080, "Tags": ["blue", "zone=a"],
               "Meta": {"version": "3", "secure": "true"}, "Weights": {"Passing": 7, "Warning": 2}"#,
            r#"{"CheckID": "serfHealth", "Status": "passing"}"#,
        );
        let Found { instance, reported } = full.found().expect("an instance");
        assert_eq!(instance.key().to_string(), "web/web-1@n1");
        assert_eq!(instance.origin.to_string(), "https://10.0.0.5:8080");
        assert_eq!((instance.weight.value(), instance.zone.as_deref()), (7, Some("a")));
        assert_eq!((instance.version.as_deref(), reported), (Some("3"), Reported::Up));
        assert_eq!(instance.metadata.len(), 2);
        let has = |wanted: &[&str]| {
            full.has(&wanted.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>())
        };
        assert!(has(&[]) && has(&["version=3", "secure"]));
        assert!(!has(&["version=4"]) && !has(&["version=3", "x"]));

        let bare = entry(r#""Address": "", "Port": 1, "Tags": null, "Meta": null"#, "");
        let Found { instance, reported } = bare.found().expect("an instance");
        assert_eq!(instance.origin.to_string(), "http://10.0.0.9:1");
        assert_eq!((instance.weight.value(), reported), (1, Reported::Up));
        let none = entry(r#""Address": "10.0.0.5", "Port": 0"#, "");
        assert!(none.found().expect_err("no port").contains("no port"));
    }

    #[test]
    fn the_worst_check_is_what_counts() {
        let service = r#""Port": 1, "Weights": {"Passing": 7, "Warning": 2}"#;
        let check = |id, status| format!(r#"{{"CheckID": "{id}", "Status": "{status}"}}"#);
        let of = |checks: &[String]| {
            let found = entry(service, &checks.join(",")).found().expect("an instance");
            (found.reported, found.instance.weight.value())
        };
        let (passing, warning) = (check("a", "passing"), check("b", "warning"));
        let (critical, odd) = (check("serfHealth", "critical"), check("c", "?"));
        let maintenance = check("_service_maintenance:web-1", "critical");
        assert_eq!(of(std::slice::from_ref(&passing)), (Reported::Up, 7));
        assert_eq!(of(&[passing.clone(), warning.clone()]), (Reported::Up, 2));
        let none = entry(&service.replace('2', "0"), &warning).found().expect("an instance");
        assert_eq!(none.reported, Reported::OutOfService);
        assert_eq!(of(&[warning, critical.clone()]).0, Reported::Down);
        assert_eq!(of(&[odd, passing]).0, Reported::Down);
        assert_eq!(of(&[maintenance, critical]).0, Reported::OutOfService);
        let node = check("_node_maintenance", "critical");
        assert_eq!(of(&[node]).0, Reported::OutOfService);
    }
}
