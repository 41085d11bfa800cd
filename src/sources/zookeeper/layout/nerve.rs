//! Nodes of Nerve, the registrar of SmartStack.

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::{
    model::Scheme,
    sources::{
        Found,
        draft::Draft,
        entry::{Place, json},
    },
};

#[derive(Deserialize)]
struct Node {
    host: String,
    port: u16,
    #[serde(default)]
    name: Option<String>,
    #[serde(default)]
    weight: Option<i64>,
    #[serde(default)]
    labels: Option<BTreeMap<String, String>>,
}

pub(super) fn read(place: Place<'_>, data: &[u8]) -> Result<Found, String> {
    let node: Node = serde_json::from_value(json(data)?).map_err(|error| error.to_string())?;
    let service = place.service.ok_or("neither the path nor `service` says of which it is")?;
    let mut metadata = node.labels.unwrap_or_default();
    metadata.extend(node.name.map(|name| ("name".to_owned(), name)));
    let draft = Draft { weight: node.weight, metadata, ..Draft::new(service, Some(place.id)) };
    draft.at(Scheme::Http, &node.host, node.port.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_says_host_and_port() {
        let place = Place { service: Some("web"), id: "i-0a1b_0000000007" };
        let data = br#"{"host":"10.0.0.1","port":1025,"name":"i-0a1b","weight":2}"#;
        let found = read(place, data).expect("an instance").instance;
        assert_eq!(found.key().to_string(), "web/i-0a1b_0000000007");
        assert_eq!(found.origin.to_string(), "http://10.0.0.1:1025");
        assert_eq!((found.weight.value(), found.metadata["name"].as_str()), (2, "i-0a1b"));
        assert!(read(place, b"{}").is_err() && read(place, b"\xff").is_err());
    }
}
