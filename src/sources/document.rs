//! A document that lists instances: the form of files and of what is fetched
//! by HTTP.
//!
//! ```json
//! { "instances": [ { "service": "orders", "address": "http://10.0.0.5:8080" } ] }
//! ```
//!
//! An entry that is wrong is left out and said; a document that is wrong as a
//! whole says nothing.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;

use super::{Feed, Found, News};
use crate::model::{
    Address, HealthSettings, Instance, InstanceId, Origin, Reported, ServiceName, Weight,
};

/// Entries that one document may have.
const MOST: usize = 200_000;

/// Why a document says nothing.
#[derive(Debug, thiserror::Error)]
pub(super) enum DocumentError {
    /// It is not JSON, or not of the form.
    #[error("it is not a JSON object with a list of \"instances\": {0}")]
    Json(#[from] serde_json::Error),
    /// It is not TOML, or not of the form.
    #[error("it is not TOML with a list of [[instances]]: {}", .0.message())]
    Toml(#[from] toml::de::Error),
    /// It has more entries than anybody means.
    #[error("it has {0} instances, more than {MOST}")]
    TooMany(usize),
}

/// What a document says.
#[derive(Debug, Default)]
pub(super) struct Read {
    pub(super) found: Vec<Found>,
    /// Entries that are no instance, and why.
    rejected: Vec<(String, String)>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Document {
    instances: Vec<Value>,
}

/// One entry; the keys are those of a registration.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Listed {
    service: ServiceName,
    #[serde(default)]
    id: Option<InstanceId>,
    address: Origin,
    #[serde(default)]
    weight: Weight,
    #[serde(default)]
    zone: Option<String>,
    #[serde(default)]
    version: Option<String>,
    #[serde(default)]
    tags: Vec<String>,
    #[serde(default)]
    metadata: BTreeMap<String, String>,
    #[serde(default)]
    health: HealthSettings,
    #[serde(default)]
    reported: Reported,
}

/// Reads JSON.
pub(super) fn of_json(text: &[u8]) -> Result<Read, DocumentError> {
    read(serde_json::from_slice(text)?)
}

/// Reads TOML.
pub(super) fn of_toml(text: &str) -> Result<Read, DocumentError> {
    read(toml::from_str(text)?)
}

fn read(document: Document) -> Result<Read, DocumentError> {
    if document.instances.len() > MOST {
        return Err(DocumentError::TooMany(document.instances.len()));
    }
    let mut read = Read::default();
    for (index, entry) in document.instances.into_iter().enumerate() {
        let named = match (entry["service"].as_str(), entry["id"].as_str()) {
            (Some(service), Some(id)) => format!("instances[{index}], {service}/{id}"),
            (Some(service), None) => format!("instances[{index}], {service}"),
            _ => format!("instances[{index}]"),
        };
        match found(entry) {
            Ok(found) => read.found.push(found),
            Err(why) => read.rejected.push((named, why)),
        }
    }
    Ok(read)
}

fn found(entry: Value) -> Result<Found, String> {
    if !entry.is_object() {
        return Err("it is not a table".to_owned());
    }
    let listed: Listed = serde_json::from_value(entry).map_err(|error| error.to_string())?;
    let id = match listed.id {
        Some(id) => id,
        None => id_of(&listed.address.address)?,
    };
    let instance = Instance {
        service: listed.service,
        id,
        origin: listed.address,
        weight: listed.weight,
        zone: listed.zone,
        version: listed.version,
        tags: listed.tags,
        metadata: listed.metadata,
        ttl: None,
        health: listed.health,
        foreign: None,
    };
    Ok(Found { instance, reported: listed.reported })
}

/// How an instance without a name of its own is called.
fn id_of(address: &Address) -> Result<InstanceId, String> {
    let text = address.to_string().replace(['[', ']'], "");
    text.parse().map_err(|_| "its address is too long for an id; give it one".to_owned())
}

impl Read {
    /// Tells all of it to `feed`.
    pub(super) fn tell(self, feed: &Feed) {
        for (what, why) in self.rejected {
            feed.tell(News::Rejected { what, why });
        }
        feed.tell(News::List(self.found));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_are_instances_and_the_wrong_ones_are_said() {
        let json = br#"{ "instances": [
            { "service": "orders", "address": "http://10.0.0.5:8080", "weight": 7 },
            { "service": "orders", "id": "b", "address": "[::1]:80", "reported": "down" },
            { "service": "orders", "id": "c", "address": "10.0.0.5" },
            { "service": "orders", "id": "d", "address": "10.0.0.5:1", "wieght": 1 },
            7
        ] }"#;
        let Read { found, rejected } = of_json(json).expect("a document");
        let ids: Vec<_> = found.iter().map(|found| found.instance.id.as_str()).collect();
        assert_eq!(ids, ["10.0.0.5:8080", "b"]);
        assert_eq!(found[0].instance.weight.value(), 7);
        assert_eq!(found[1].reported, Reported::Down);
        assert_eq!(rejected.len(), 3);
        assert!(rejected[0].0 == "instances[2], orders/c" && rejected[0].1.contains("no port"));
        assert!(rejected[1].1.contains("wieght"), "{rejected:?}");
    }

    #[test]
    fn a_document_of_another_form_is_no_empty_list() {
        for bad in ["", "{}", "[]", "{\"instances\": {}}", "{\"instances\": [], \"x\": 1}"] {
            assert!(of_json(bad.as_bytes()).is_err(), "{bad}");
        }
        assert!(of_toml("").is_err() && of_toml("[[instance]]").is_err());
        let text = "[[instances]]\nservice = 'a'\naddress = 'a.example:80'\n";
        assert_eq!(of_toml(text).expect("a document").found.len(), 1);
        assert!(of_toml("instances = []").expect("a document").found.is_empty());
    }
}
