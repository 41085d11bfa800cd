//! What several Portolan write to share a registry: `…/services/SERVICE/ID`,
//! with the registration as the admin API takes it.

use serde::Deserialize;

use crate::{
    model::{Instance, Reported},
    sources::Found,
};

/// The version of the form.
const VERSION: u32 = 1;

#[derive(Deserialize)]
struct Form {
    v: u32,
}

#[derive(Deserialize)]
struct Shared {
    #[serde(default)]
    draining: bool,
    instance: Instance,
}

pub(super) fn read(key: &str, value: &[u8]) -> Result<Vec<Found>, String> {
    if key.split('/').count() != 2 {
        return Ok(Vec::new());
    }
    let Form { v } = serde_json::from_slice(value).map_err(|error| error.to_string())?;
    if v != VERSION {
        return Err(format!("it has version {v} of its form; version {VERSION} is read"));
    }
    let shared: Shared = serde_json::from_slice(value).map_err(|error| error.to_string())?;
    let reported = if shared.draining { Reported::OutOfService } else { Reported::Up };
    Ok(vec![Found { reported, instance: shared.instance }])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_instance_is_what_another_portolan_wrote() {
        let value = br#"{"v":1,"generation":7,"draining":true,"renewed":true,"instance":{
            "service":"orders","id":"orders-7","origin":"https://10.0.0.7:8080","weight":50,
            "zone":"a","tags":["x"],"metadata":{"k":"v"},"ttl":"10s","health":{}}}"#;
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
