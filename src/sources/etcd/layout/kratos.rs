//! The registry of kratos (`registry.ServiceInstance`).

use std::collections::BTreeMap;

use serde::Deserialize;

use super::url;
use crate::sources::{Found, draft::Draft, entry::json};

#[derive(Deserialize)]
struct ServiceInstance {
    id: String,
    name: String,
    #[serde(default)]
    version: String,
    #[serde(default)]
    metadata: Option<BTreeMap<String, String>>,
    #[serde(default)]
    endpoints: Option<Vec<String>>,
}

/// One instance, at the best of its endpoints: HTTP before gRPC.
pub(super) fn read(value: &[u8]) -> Result<Vec<Found>, String> {
    let one: ServiceInstance =
        serde_json::from_value(json(value)?).map_err(|error| error.to_string())?;
    let endpoints = one.endpoints.unwrap_or_default();
    let mut usable = Vec::new();
    let mut refused = "it has no endpoint".to_owned();
    for endpoint in &endpoints {
        match url::parse(endpoint) {
            Ok((scheme @ ("http" | "https"), origin)) => usable.push((scheme == "http", origin)),
            Ok(("grpc" | "grpcs", origin)) => usable.push((false, origin)),
            Ok((scheme, _)) => refused = format!("it speaks only {scheme:?}"),
            Err(why) => refused = why,
        }
    }
    let http = usable.iter().position(|(is_http, _)| *is_http).unwrap_or(0);
    if usable.is_empty() {
        return Err(refused);
    }
    let (_, origin) = usable.swap_remove(http);
    let metadata = one.metadata.unwrap_or_default();
    let draft = Draft {
        weight: metadata.get("weight").and_then(|weight| weight.parse().ok()),
        version: Some(one.version),
        metadata,
        ..Draft::new(&one.name, Some(&one.id))
    };
    Ok(vec![draft.on(origin)?])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_instance_is_reached_by_http_if_it_can_be() {
        let value = br#"{"id":"d5b6","name":"helloworld","version":"v1.0.0",
            "metadata":{"weight":"20"},
            "endpoints":["grpc://10.0.0.1:9000?isSecure=false","http://10.0.0.1:8000?isSecure=false"]}"#;
        let found = read(value).expect("an instance").remove(0).instance;
        assert_eq!(found.key().to_string(), "helloworld/d5b6");
        assert_eq!(found.origin.to_string(), "http://10.0.0.1:8000");
        assert_eq!((found.version.as_deref(), found.weight.value()), (Some("v1.0.0"), 20));
        let grpc = br#"{"id":"a","name":"b","version":"","metadata":null,"endpoints":["grpc://h:1?isSecure=true"]}"#;
        let found = read(grpc).expect("an instance").remove(0).instance;
        assert_eq!((found.origin.to_string().as_str(), found.version), ("https://h:1", None));
    }

    #[test]
    fn what_has_no_endpoint_that_we_speak_is_refused() {
        for endpoints in ["null", "[]", r#"["tcp://h:1"]"#, r#"["h:1"]"#] {
            let value = format!(r#"{{"id":"a","name":"b","endpoints":{endpoints}}}"#);
            assert!(read(value.as_bytes()).is_err(), "{endpoints}");
        }
        assert!(read(b"").is_err() && read(b"{}").is_err());
    }
}
