//! What was acknowledged is there after whatever happened, and what happens to
//! the store does not happen to the traffic. The proxy is a process of its own
//! here, which is killed, stopped and kept from writing.

mod config_cuts;
mod exports;
mod history;
mod kills;
mod limits;
mod stops;

use std::process::{Command, Output};

use serde_json::Value;

use crate::support::Portolan;

/// Runs the proxy as it is.
const PLAIN: &str = "exec \"$0\" \"$@\"";

fn path(id: &str) -> String {
    format!("/api/v1/services/app/instances/{id}")
}

/// The ports of the instances of `app`, by id.
fn ports(proxy: &Portolan) -> std::collections::BTreeMap<String, u16> {
    let view = proxy.admin("GET", "/api/v1/services/app", "");
    if view.status() == 404 {
        return Default::default();
    }
    let view = view.json();
    let instances = view["instances"].as_array().expect("instances").iter();
    instances
        .map(|it| (it["id"].as_str().expect("an id").to_owned(), port(&it["origin"])))
        .collect()
}

fn port(origin: &Value) -> u16 {
    let origin = origin.as_str().expect("an origin");
    origin.rsplit(':').next().and_then(|port| port.parse().ok()).expect("a port")
}

/// `portolan registry` on the data of `proxy`.
fn registry(proxy: &Portolan, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_portolan"))
        .arg("registry")
        .args(arguments)
        .arg("--data-dir")
        .arg(proxy.folder().join("data"))
        .output()
        .expect("a process")
}

/// Insists on it, and gives what it says.
#[track_caller]
fn registry_ok(proxy: &Portolan, arguments: &[&str]) -> String {
    let output = registry(proxy, arguments);
    let (out, err) = (text(&output.stdout), text(&output.stderr));
    assert!(output.status.success(), "{out}{err}");
    out
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
