//! What several Portolan write to share a registry:
//! `…/services/NAMESPACE/SERVICE/ID`, with `/` in a part percent-encoded.

use std::collections::BTreeMap;

use percent_encoding::percent_decode_str;
use serde::Deserialize;

use crate::{
    model::{Reported, Scheme},
    sources::{
        Found,
        draft::Draft,
        entry::{Template, json},
    },
};

/// The version of the form.
const VERSION: u32 = 1;

#[derive(Deserialize)]
struct Shared {
    v: u32,
    addr: String,
    port: u16,
    #[serde(default)]
    scheme: Option<String>,
    #[serde(default)]
    weight: Option<i64>,
    #[serde(default)]
    zone: Option<String>,
    #[serde(default)]
    version: Option<String>,
    #[serde(default)]
    tags: Vec<String>,
    #[serde(default)]
    meta: BTreeMap<String, String>,
    #[serde(default)]
    admin_status: Option<String>,
}

pub(super) fn read(key: &str, value: &[u8]) -> Result<Vec<Found>, String> {
    let template = Template::default();
    let Some(place) = template.read(key) else { return Ok(Vec::new()) };
    let shared: Shared = serde_json::from_value(json(value)?).map_err(|error| error.to_string())?;
    if shared.v != VERSION {
        return Err(format!("it has version {} of its form; version {VERSION} is read", shared.v));
    }
    let decoded = |text: &str| percent_decode_str(text).decode_utf8_lossy().into_owned();
    let service = decoded(place.service.unwrap_or_default());
    let scheme = match shared.scheme.as_deref() {
        None | Some("http") => Scheme::Http,
        Some("https") => Scheme::Https,
        Some(other) => return Err(format!("it speaks {other:?}")),
    };
    let reported = match shared.admin_status.as_deref() {
        None => Reported::Up,
        Some(_) => Reported::OutOfService,
    };
    let draft = Draft {
        weight: shared.weight,
        zone: shared.zone,
        version: shared.version,
        tags: shared.tags,
        metadata: shared.meta,
        reported,
        ..Draft::new(&service, Some(&decoded(place.id)))
    };
    Ok(vec![draft.at(scheme, &shared.addr, shared.port.into())?])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_instance_is_what_another_portolan_wrote() {
        let value = br#"{"v":1,"id":"orders-7","service":"orders","addr":"10.0.0.7","port":8080,
            "scheme":"https","weight":50,"zone":"a","tags":["x"],"meta":{"k":"v"},"checks":[],
            "ttl_ms":10000,"epoch":1,"registered_at":1,"proto":"native","admin_status":"DRAIN"}"#;
        let found = read("orders/orders-7", value).expect("an instance").remove(0);
        assert_eq!(found.reported, Reported::OutOfService);
        let instance = found.instance;
        assert_eq!(instance.key().to_string(), "orders/orders-7");
        assert_eq!(instance.origin.to_string(), "https://10.0.0.7:8080");
        assert_eq!((instance.weight.value(), instance.zone.as_deref()), (50, Some("a")));
        assert_eq!(read("orders", value), Ok(Vec::new()));
        let newer = br#"{"v":2,"addr":"h","port":1}"#;
        assert!(read("a/b", newer).is_err_and(|why| why.contains("version 2")));
        assert!(read("a/b", b"{}").is_err());
    }
}
