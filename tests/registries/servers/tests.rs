//! That the servers are what the tests take them for.

use serde_json::json;

use super::{consul::Consul, eureka::Eureka};
use crate::support::eventually;

#[test]
fn consul_keeps_what_it_has_over_a_kill_and_can_be_emptied() {
    let mut consul = Consul::start();
    let services = |consul: &Consul| consul.call("GET", "/v1/catalog/services", "").json();
    consul.register("orders", "a", ([127, 0, 0, 1], 1).into(), &json!({"Tags": ["x"]}));
    eventually(|| services(&consul)["orders"] == json!(["x"]));
    consul.restart();
    eventually(|| services(&consul)["orders"] == json!(["x"]));
    consul.restart_empty();
    eventually(|| services(&consul).get("consul").is_some());
    assert!(services(&consul).get("orders").is_none());
}

#[test]
fn eureka_shows_what_is_registered_and_no_more_what_has_left() {
    let eureka = Eureka::shared();
    let has = |id: &str| eureka.call("GET", "/", "").body.contains(id);
    eureka.register("shown", "shown-1", ([127, 0, 0, 1], 1).into(), &json!({}));
    eventually(|| has("shown-1"));
    eureka.deregister("shown", "shown-1");
    eventually(|| !has("shown-1"));
}
