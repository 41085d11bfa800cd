//! gRPC naming, as `go.etcd.io/etcd/client/v3/naming/endpoints` writes it.

use serde::Deserialize;
use serde_json::Value;

use crate::{
    model::{Origin, Scheme},
    sources::{
        Found,
        draft::{Draft, text_of, words},
        entry::{Place, json},
    },
};

/// `naming/endpoints/internal.Update`.
#[derive(Deserialize)]
struct Update {
    #[serde(rename = "Op", default)]
    operation: u8,
    #[serde(rename = "Addr")]
    address: String,
    #[serde(rename = "Metadata", default)]
    metadata: Value,
}

/// The operation of an entry that is there.
const ADD: u8 = 0;

pub(super) fn read(place: Place<'_>, value: &[u8]) -> Result<Vec<Found>, String> {
    let update: Update = serde_json::from_value(json(value)?).map_err(|error| error.to_string())?;
    if update.operation != ADD {
        return Ok(Vec::new());
    }
    let service = place.service.ok_or("neither the key nor `service` says of which it is")?;
    let address = update.address.parse().map_err(|error| format!("{error}"))?;
    let mut metadata = words(Some(&update.metadata));
    // Metadata may be anything, a word too.
    if let Some(text) = text_of(&update.metadata) {
        metadata.insert("metadata".to_owned(), text);
    }
    let weight = metadata.get("weight").and_then(|weight| weight.parse().ok());
    let draft = Draft { weight, metadata, ..Draft::new(service, Some(place.id)) };
    Ok(vec![draft.on(Origin { address, scheme: Scheme::Http })?])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place() -> Place<'static> {
        Place { service: Some("orders"), id: "10.0.0.1:9000" }
    }

    #[test]
    fn what_the_go_client_writes() {
        let value = br#"{"Op":0,"Addr":"10.0.0.1:9000","Metadata":null}"#;
        let found = read(place(), value).expect("an instance").remove(0).instance;
        assert_eq!(found.key().to_string(), "orders/10.0.0.1:9000");
        assert_eq!(found.origin.to_string(), "http://10.0.0.1:9000");
        let value = br#"{"Op":0,"Addr":"h:1","Metadata":{"weight":"7","zone":"a"}}"#;
        let found = read(place(), value).expect("an instance").remove(0).instance;
        assert_eq!((found.weight.value(), found.metadata.len()), (7, 2));
        assert_eq!(read(place(), br#"{"Op":1,"Addr":"h:1"}"#), Ok(Vec::new()));
    }

    #[test]
    fn what_is_no_endpoint_is_refused() {
        for bad in ["", "x", "{}", r#"{"Op":0}"#, r#"{"Addr":"h"}"#, r#"{"Op":"a","Addr":"h:1"}"#] {
            assert!(read(place(), bad.as_bytes()).is_err(), "{bad}");
        }
        let nowhere = Place { service: None, id: "a" };
        assert!(read(nowhere, br#"{"Op":0,"Addr":"h:1"}"#).is_err());
    }
}
