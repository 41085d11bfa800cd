//! Curator's service discovery (`curator-x-discovery`, `ServiceInstance` as
//! `JsonInstanceSerializer` writes it), and what Spring Cloud Zookeeper puts
//! into its payload (`ZookeeperInstance`).

use serde::Deserialize;
use serde_json::Value;

use crate::{
    model::{Reported, Scheme},
    sources::{
        Found,
        draft::{Draft, text_of, words},
        entry::{Place, json},
    },
};

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ServiceInstance {
    #[serde(default)]
    name: Option<String>,
    #[serde(default)]
    id: Option<String>,
    address: String,
    #[serde(default)]
    port: Option<u16>,
    #[serde(default)]
    ssl_port: Option<u16>,
    #[serde(default)]
    payload: Value,
    #[serde(default)]
    uri_spec: Option<UriSpec>,
    /// Left out where it is true.
    #[serde(default)]
    enabled: Option<bool>,
}

#[derive(Deserialize)]
struct UriSpec {
    #[serde(default)]
    parts: Vec<Part>,
}

#[derive(Deserialize)]
struct Part {
    value: String,
    #[serde(default)]
    variable: bool,
}

impl ServiceInstance {
    /// What is spoken, and on which port. As `UriSpec.build` and Spring's
    /// `ZookeeperServiceInstance` have it, an `sslPort` makes it `https`,
    /// unless the spec says otherwise in so many words.
    fn listens(&self) -> Result<(Scheme, u16), String> {
        let first = self.uri_spec.as_ref().and_then(|spec| spec.parts.first());
        let said = first.filter(|part| !part.variable).map(|part| part.value.as_str());
        let is_said = |scheme: &str| {
            said.is_some_and(|said| said == scheme || said.starts_with(&format!("{scheme}:")))
        };
        let (port, ssl) =
            (self.port.filter(|port| *port > 0), self.ssl_port.filter(|port| *port > 0));
        match (port, ssl) {
            (Some(port), _) if is_said("http") => Ok((Scheme::Http, port)),
            (_, Some(port)) => Ok((Scheme::Https, port)),
            (Some(port), None) if is_said("https") => Ok((Scheme::Https, port)),
            (Some(port), None) => Ok((Scheme::Http, port)),
            (None, None) => Err("it has no port".to_owned()),
        }
    }

    fn reported(&self) -> Reported {
        // Spring's, which sets it to `OUT_OF_SERVICE` by an actuator.
        let status = self.payload.pointer("/metadata/instance_status").and_then(Value::as_str);
        match (self.enabled, status) {
            (Some(false), _) | (_, Some("OUT_OF_SERVICE")) => Reported::OutOfService,
            (_, None | Some("UP")) => Reported::Up,
            (_, Some(_)) => Reported::Down,
        }
    }
}

pub(super) fn read(place: Place<'_>, data: &[u8]) -> Result<Found, String> {
    let one: ServiceInstance =
        serde_json::from_value(json(data)?).map_err(|error| error.to_string())?;
    let (scheme, port) = one.listens()?;
    let service = place.service.or(one.name.as_deref());
    let service = service.ok_or("nothing says of which service it is")?;
    // Spring's payload has its metadata inside, others' payloads are it.
    let inside = one.payload.get("metadata").filter(|metadata| metadata.is_object());
    let metadata = words(inside.or(Some(&one.payload)));
    let weight = metadata.get("weight").and_then(|weight| weight.parse().ok());
    let draft = Draft {
        weight,
        zone: metadata.get("zone").cloned(),
        version: one.payload.pointer("/metadata/version").and_then(text_of),
        reported: one.reported(),
        metadata,
        ..Draft::new(service, one.id.as_deref().or(Some(place.id)))
    };
    draft.at(scheme, &one.address, port.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place() -> Place<'static> {
        Place { service: Some("orders"), id: "node" }
    }

    const SPRING: &str = r#"{"name":"orders","id":"6b8e9cf2-0f0c-4d63-a8a5-9c2a3e0d2f4f",
        "address":"10.0.0.5","port":8080,"sslPort":null,"payload":{
        "@class":"org.springframework.cloud.zookeeper.discovery.ZookeeperInstance",
        "id":"orders:8080","name":"orders","metadata":{"instance_status":"UP","weight":"20",
        "@class":"java.util.LinkedHashMap"}},"registrationTimeUTC":1732345678901,
        "serviceType":"DYNAMIC","uriSpec":{"parts":[{"value":"scheme","variable":true},
        {"value":"://","variable":false},{"value":"address","variable":true},
        {"value":":","variable":false},{"value":"port","variable":true}]}}"#;

    fn origin(data: &str) -> Result<String, String> {
        read(place(), data.as_bytes()).map(|found| found.instance.origin.to_string())
    }

    #[test]
    fn what_spring_cloud_writes() {
        let found = read(place(), SPRING.as_bytes()).expect("an instance");
        assert_eq!(found.reported, Reported::Up);
        let instance = found.instance;
        assert_eq!(instance.key().to_string(), "orders/6b8e9cf2-0f0c-4d63-a8a5-9c2a3e0d2f4f");
        assert_eq!(instance.origin.to_string(), "http://10.0.0.5:8080");
        assert_eq!((instance.weight.value(), instance.metadata.len()), (20, 2));
        let out = SPRING.replace("\"UP\"", "\"OUT_OF_SERVICE\"");
        assert_eq!(read(place(), out.as_bytes()).expect("one").reported, Reported::OutOfService);
        let down = SPRING.replace("\"UP\"", "\"STARTING\"");
        assert_eq!(read(place(), down.as_bytes()).expect("one").reported, Reported::Down);
        let disabled = SPRING.replacen('{', "{\"enabled\":false,", 1);
        let disabled = read(place(), disabled.as_bytes()).expect("one");
        assert_eq!(disabled.reported, Reported::OutOfService);
    }

    #[test]
    fn an_ssl_port_is_spoken_to_in_tls() {
        let secure = SPRING.replace("\"sslPort\":null", "\"sslPort\":8443");
        assert_eq!(origin(&secure), Ok("https://10.0.0.5:8443".to_owned()));
        let only = secure.replace("\"port\":8080", "\"port\":null");
        assert_eq!(origin(&only), Ok("https://10.0.0.5:8443".to_owned()));
        let said = |scheme: &str, data: &str| {
            data.replace(
                r#"{"value":"scheme","variable":true}"#,
                &format!(r#"{{"value":"{scheme}"}}"#),
            )
        };
        assert_eq!(origin(&said("http", &secure)), Ok("http://10.0.0.5:8080".to_owned()));
        assert_eq!(origin(&said("https", SPRING)), Ok("https://10.0.0.5:8080".to_owned()));
    }

    #[test]
    fn plain_curator_has_any_payload() {
        let minimal = r#"{"name":"orders","id":"a","address":"h","port":1}"#;
        assert_eq!(origin(minimal), Ok("http://h:1".to_owned()));
        for payload in ["null", "\"text\"", "7", "[]", r#"{"zone":"a","x":{}}"#] {
            let data = format!(r#"{{"id":"a","address":"h","port":1,"payload":{payload}}}"#);
            assert!(origin(&data).is_ok(), "{payload}");
        }
        for bad in ["", "{}", r#"{"address":"h"}"#, r#"{"address":"h","port":"x"}"#, "[]"] {
            assert!(origin(bad).is_err(), "{bad}");
        }
        let unnamed = Place { service: None, id: "x" };
        let found = read(unnamed, minimal.as_bytes()).expect("an instance").instance;
        assert_eq!(found.key().to_string(), "orders/a");
    }
}
