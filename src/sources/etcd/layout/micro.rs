//! The registry of go-micro (`registry.Service`), which writes an entry for
//! each node.

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::{
    model::{Origin, Scheme},
    sources::{Found, draft::Draft, entry::json},
};

/// Nodes of one entry that are read; go-micro writes one.
const MOST: usize = 1000;

#[derive(Deserialize)]
struct Service {
    name: String,
    #[serde(default)]
    version: String,
    #[serde(default)]
    nodes: Option<Vec<Node>>,
}

#[derive(Deserialize)]
struct Node {
    id: String,
    address: String,
    #[serde(default)]
    metadata: Option<BTreeMap<String, String>>,
}

pub(super) fn read(value: &[u8]) -> Result<Vec<Found>, String> {
    let service: Service =
        serde_json::from_value(json(value)?).map_err(|error| error.to_string())?;
    let nodes = service.nodes.unwrap_or_default();
    if nodes.len() > MOST {
        return Err(format!("it has {} nodes, more than {MOST}", nodes.len()));
    }
    // A name may be a path there.
    let name = service.name.replace('/', "-");
    let found = nodes.into_iter().map(|node| {
        let address = node.address.parse().map_err(|error| format!("{error}"))?;
        let metadata = node.metadata.unwrap_or_default();
        let draft = Draft {
            weight: metadata.get("weight").and_then(|weight| weight.parse().ok()),
            version: Some(service.version.clone()),
            metadata,
            ..Draft::new(&name, Some(&node.id))
        };
        draft.on(Origin { address, scheme: Scheme::Http })
    });
    found.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_node_is_an_instance() {
        let value = br#"{"name":"go.micro.srv/greeter","version":"latest","metadata":null,
            "endpoints":[{"name":"Say.Hello","request":null,"response":null,"metadata":{}}],
            "nodes":[{"id":"greeter-1f2","address":"10.0.0.1:41234",
                "metadata":{"broker":"http","protocol":"grpc","registry":"etcd"}}]}"#;
        let found = read(value).expect("an instance").remove(0).instance;
        assert_eq!(found.key().to_string(), "go.micro.srv-greeter/greeter-1f2");
        assert_eq!(found.origin.to_string(), "http://10.0.0.1:41234");
        assert_eq!(found.metadata["protocol"], "grpc");
        assert_eq!(read(br#"{"name":"a","nodes":null}"#), Ok(Vec::new()));
        assert!(read(br#"{"name":"a","nodes":[{"id":"b","address":"h"}]}"#).is_err());
        assert!(read(b"[]").is_err());
    }
}
