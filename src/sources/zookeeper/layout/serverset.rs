//! Members of a serverset (`com.twitter.thrift.ServiceInstance` as JSON), as
//! Finagle, Aurora and others write them.

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::{
    model::{Reported, Scheme},
    sources::{
        Found,
        draft::Draft,
        entry::{Place, json},
    },
};

/// What the names of members begin with; what stands beside them is none.
pub(super) const MEMBER: &str = "member_";

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ServiceInstance {
    service_endpoint: Endpoint,
    #[serde(default)]
    additional_endpoints: BTreeMap<String, Endpoint>,
    #[serde(default)]
    status: Option<String>,
    #[serde(default)]
    shard: Option<i64>,
}

#[derive(Deserialize)]
struct Endpoint {
    host: String,
    port: u16,
}

/// The instance at its own endpoint; others are told as metadata.
pub(super) fn read(place: Place<'_>, data: &[u8]) -> Result<Found, String> {
    let one: ServiceInstance =
        serde_json::from_value(json(data)?).map_err(|error| error.to_string())?;
    let service = place.service.ok_or("neither the path nor `service` says of which it is")?;
    let additional = one.additional_endpoints.iter();
    let mut metadata: BTreeMap<_, _> = additional
        .map(|(name, at)| (format!("endpoint.{name}"), format!("{}:{}", at.host, at.port)))
        .collect();
    metadata.extend(one.shard.map(|shard| ("shard".to_owned(), shard.to_string())));
    let reported = match one.status.as_deref() {
        None | Some("ALIVE" | "WARNING") => Reported::Up,
        Some("STOPPING" | "STOPPED") => Reported::OutOfService,
        Some(_) => Reported::Down,
    };
    let draft = Draft { metadata, reported, ..Draft::new(service, Some(place.id)) };
    draft.at(Scheme::Http, &one.service_endpoint.host, one.service_endpoint.port.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_member_listens_at_its_service_endpoint() {
        let place = Place { service: Some("jobs"), id: "member_0000000001" };
        let data = r#"{"additionalEndpoints":{"health":{"host":"10.0.0.1","port":31001}},
            "serviceEndpoint":{"host":"10.0.0.1","port":31000},"shard":3,"status":"ALIVE"}"#;
        let found = read(place, data.as_bytes()).expect("an instance");
        assert_eq!(found.reported, Reported::Up);
        assert_eq!(found.instance.key().to_string(), "jobs/member_0000000001");
        assert_eq!(found.instance.origin.to_string(), "http://10.0.0.1:31000");
        assert_eq!(found.instance.metadata["endpoint.health"], "10.0.0.1:31001");
        for (status, reported) in
            [("STARTING", Reported::Down), ("STOPPING", Reported::OutOfService)]
        {
            let data = data.replace("ALIVE", status);
            assert_eq!(read(place, data.as_bytes()).expect("one").reported, reported);
        }
        for bad in ["", "{}", r#"{"serviceEndpoint":{"host":"h","port":-1}}"#] {
            assert!(read(place, bad.as_bytes()).is_err(), "{bad}");
        }
    }
}
