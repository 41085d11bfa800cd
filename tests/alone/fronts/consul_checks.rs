//! Checks that a registration declares, made as it says.

use serde_json::{Value, json};

use super::{backend, call, start};
use crate::support::{Backend, Portolan, eventually};

/// Registers the instance `o-1` of `orders` with `checks`.
#[track_caller]
fn register(proxy: &Portolan, backend: &Backend, checks: &Value) {
    let port = backend.address.port();
    let body = json!({
        "ID": "o-1", "Name": "orders", "Address": "127.0.0.1", "Port": port, "Checks": checks,
    });
    let path = "/v1/agent/service/register";
    let answer = call(proxy.fronts[0], "PUT", path, &body.to_string());
    assert_eq!((answer.status(), answer.text().as_str()), (200, ""), "{answer:?}");
}

fn statuses(proxy: &Portolan) -> Vec<Value> {
    let all = call(proxy.fronts[0], "GET", "/v1/agent/checks", "").json();
    let all = all.as_object().expect("checks").values();
    all.map(|check| check["Status"].clone()).collect()
}

#[test]
fn a_check_sends_the_method_the_headers_and_the_body_that_it_says() {
    let (proxy, backend) = (start("consul = true"), backend());
    let url = format!("http://{}/up", backend.address);
    let check = json!({
        "HTTP": url, "Interval": "100ms", "Timeout": "5s", "Method": "POST", "Body": "well?",
        "Header": {"X-Key": ["one", "two"], "User-Agent": ["agent"], "Host": ["check.example"]},
    });
    register(&proxy, &backend, &json!([check]));
    eventually(|| proxy.get("/").status() == 200);
    let all = backend.requests();
    let probe = all.iter().find(|request| request.target() == "/up").expect("a probe");
    assert_eq!((probe.method(), probe.text().as_str()), ("POST", "well?"));
    assert_eq!(probe.all("x-key"), ["one", "two"]);
    assert_eq!(probe.all("user-agent"), ["agent"]);
    assert_eq!(probe.all("host"), ["check.example"]);
    let why = proxy.instance("orders/o-1@127.0.0.1")["why"].to_string();
    assert!(why.contains("POST /up -> 200"), "{why}");
}

#[test]
fn of_several_checks_all_have_to_pass() {
    let (proxy, serving, beside) = (start("consul = true"), backend(), backend());
    let http = format!("http://{}/up", serving.address);
    let checks = json!([
        {"HTTP": http, "Interval": "100ms", "Timeout": "5s"},
        {"TCP": beside.address.to_string(), "Interval": "1h", "Timeout": "5s"},
    ]);
    register(&proxy, &serving, &checks);
    eventually(|| proxy.get("/").status() == 200);
    assert_eq!(statuses(&proxy), ["passing", "passing"]);
    drop(beside);
    eventually(|| proxy.get("/").status() == 503);
    assert_eq!(statuses(&proxy), ["critical", "critical"]);
    let why = proxy.instance("orders/o-1@127.0.0.1")["why"].to_string();
    assert!(why.contains("refused"), "{why}");
    // Without the one that fails it is well again.
    register(&proxy, &serving, &json!([checks[0]]));
    eventually(|| proxy.get("/").status() == 200);
    let kept = proxy.restart();
    eventually(|| kept.get("/").status() == 200);
}
