//! The API of a Consul agent: register, report, leave, and be found.

use std::net::SocketAddr;

use serde_json::{Value, json};

use super::{backend, call, call_with, start};
use crate::support::{Backend, Message, Portolan, eventually};

struct Run {
    proxy: Portolan,
    backend: Backend,
    front: SocketAddr,
}

impl Run {
    fn start(front: &str) -> Self {
        let proxy = start(&format!("consul = true\n{front}"));
        let (backend, front) = (backend(), proxy.fronts[0]);
        Self { proxy, backend, front }
    }

    #[track_caller]
    fn put(&self, path: &str, body: &str) -> Message {
        call(self.front, "PUT", &format!("/v1/agent/{path}"), body)
    }

    #[track_caller]
    fn done(&self, path: &str, body: &str) {
        let answer = self.put(path, body);
        assert_eq!((answer.status(), answer.text().as_str()), (200, ""), "{answer:?}");
    }

    /// Registers the instance `o-1`, checked by `checks`.
    #[track_caller]
    fn register(&self, checks: &str) {
        let body = format!(
            r#"{{"ID": "o-1", "Name": "orders", "Address": "127.0.0.1", "Port": {}, {checks}}}"#,
            self.backend.address.port()
        );
        self.done("service/register", &body);
    }

    #[track_caller]
    fn json(&self, path: &str) -> Value {
        let answer = call(self.front, "GET", &format!("/v1/{path}"), "");
        assert_eq!(answer.status(), 200, "{answer:?}");
        answer.json()
    }

    #[track_caller]
    fn routed(&self, status: u16) {
        eventually(|| self.proxy.get("/").status() == status);
    }

    fn shown(&self) -> Value {
        self.proxy.instance("orders/o-1@127.0.0.1")
    }
}

#[test]
fn an_instance_registers_and_leaves() {
    let run = Run::start("");
    // python-consul: keys in lower case, no type of the content.
    let port = run.backend.address.port();
    run.done(
        "service/register",
        &format!(r#"{{"name": "orders", "port": {port}, "tags": ["a"]}}"#),
    );
    run.routed(200);
    let shown = run.proxy.instance("orders/orders@127.0.0.1");
    assert_eq!((&shown["foreign"]["api"], &shown["tags"]), (&"consul".into(), &json!(["a"])));
    let services = run.json("agent/services");
    assert_eq!(services["orders"]["Service"], "orders");
    assert_eq!(services["orders"]["Port"], port);
    run.done("service/deregister/orders", "");
    run.routed(503);
    assert_eq!(run.put("service/deregister/orders", "").status(), 404);
    assert_eq!(run.json("agent/services"), json!({}));
}

#[test]
fn an_instance_that_reports_for_itself_is_what_it_says() {
    let run = Run::start("");
    run.register(r#""Check": {"TTL": "1h", "DeregisterCriticalServiceAfter": "5m"}"#);
    assert_eq!(run.shown()["reported"], "down");
    assert_eq!(run.proxy.get("/").status(), 503);
    run.done("check/pass/service:o-1?note=well", "");
    run.routed(200);
    let status = || run.json("agent/checks")["service:o-1"]["Status"].clone();
    assert_eq!(status(), "passing");
    run.done("check/warn/service:o-1", "");
    assert_eq!(status(), "warning");
    assert_eq!(run.proxy.get("/").status(), 200);
    run.done("check/fail/service:o-1?note=bad", "");
    run.routed(503);
    let check = run.json("agent/checks")["service:o-1"].clone();
    assert_eq!((&check["Status"], &check["Output"]), (&"critical".into(), &"bad".into()));
    run.done("check/update/service:o-1", r#"{"Status": "passing", "Output": "again"}"#);
    run.routed(200);
    // To register again changes nothing of what it said.
    run.register(r#""Check": {"TTL": "1h", "DeregisterCriticalServiceAfter": "5m"}"#);
    assert_eq!((status(), run.proxy.get("/").status()), ("passing".into(), 200));
    for (path, status) in
        [("check/pass/service:o-2", 404), ("check/update/service:o-1", 400), ("check/pass/", 404)]
    {
        assert_eq!(run.put(path, r#"{"Status": "fine"}"#).status(), status, "{path}");
    }
}

#[test]
fn a_lease_that_runs_out_takes_an_instance_out_until_it_passes_again() {
    let run = Run::start("");
    run.register(r#""Check": {"TTL": "1s", "Status": "passing"}"#);
    let check = || run.json("agent/checks")["service:o-1"].clone();
    eventually(|| check()["Output"] == "TTL expired");
    assert_eq!(check()["Status"], "critical");
    run.routed(503);
    eventually(|| {
        run.done("check/pass/service:o-1", "");
        run.proxy.get("/").status() == 200
    });
}

#[test]
fn checks_that_are_declared_are_made() {
    let run = Run::start("");
    let port = run.backend.address.port();
    let check = format!(
        r#""Checks": [{{"HTTP": "http://127.0.0.1:{port}/up", "Interval": "100ms", "Timeout": "1s"}}]"#
    );
    run.register(&check);
    run.routed(200);
    assert!(run.backend.requests().iter().any(|request| request.target() == "/up"));
    let shown = run.shown();
    assert_eq!(
        (&shown["health"]["kind"], &shown["health"]["path"]),
        (&"http".into(), &"/up".into())
    );
    assert_eq!(run.json("agent/checks")["service:o-1"]["Status"], "passing");
    let Run { proxy, backend, .. } = run;
    drop(backend);
    eventually(|| proxy.get("/").status() == 503);
}

#[test]
fn a_check_can_be_declared_by_itself() {
    let run = Run::start("");
    run.register(r#""Tags": []"#);
    run.routed(200);
    run.done(
        "check/register",
        r#"{"ID": "mine", "Name": "Mine", "ServiceID": "o-1", "TTL": "1h"}"#,
    );
    run.routed(503);
    run.done("check/pass/mine", "");
    run.routed(200);
    // It stays when the service is described anew, unless that is asked for.
    run.register(r#""Tags": ["x"]"#);
    assert_eq!(run.json("agent/checks")["mine"]["Status"], "passing");
    run.done("check/deregister/mine", "");
    assert_eq!(run.json("agent/checks"), json!({}));
    for bad in [r#"{"Name": "n", "TTL": "1s"}"#, r#"{"ServiceID": "o-1", "TTL": "1s"}"#] {
        assert_eq!(run.put("check/register", bad).status(), 400, "{bad}");
    }
    let of_nobody = r#"{"Name": "n", "ServiceID": "x", "TTL": "1s"}"#;
    assert_eq!(run.put("check/register", of_nobody).status(), 404);
}

#[test]
fn maintenance_takes_an_instance_out_and_is_shown() {
    let run = Run::start("");
    run.register(r#""Tags": []"#);
    run.routed(200);
    run.done("service/maintenance/o-1?enable=true&reason=new%20disk", "");
    run.routed(503);
    assert_eq!(run.shown()["reported"], "out_of_service");
    let check = run.json("agent/checks")["_service_maintenance:o-1"].clone();
    let told = (&check["Name"], &check["Output"], &check["Status"]);
    assert_eq!(told, (&"Service Maintenance Mode".into(), &"new disk".into(), &"critical".into()));
    let Run { proxy, backend, .. } = run;
    let proxy = proxy.restart();
    let run = Run { front: proxy.fronts[0], proxy, backend };
    assert_eq!(run.shown()["reported"], "out_of_service");
    run.done("service/maintenance/o-1?enable=false", "");
    run.routed(200);
    for (query, status, text) in [
        ("", 400, "Missing value for enable"),
        ("?enable=perhaps", 400, "Invalid value for enable: \"perhaps\""),
    ] {
        let answer = run.put(&format!("service/maintenance/o-1{query}"), "");
        assert_eq!((answer.status(), answer.text().as_str()), (status, text));
    }
    assert_eq!(run.put("service/maintenance/x?enable=true", "").status(), 404);
}

#[test]
fn what_was_said_outlives_a_restart() {
    let run = Run::start("");
    run.register(r#""Check": {"TTL": "1h"}"#);
    run.done("check/fail/service:o-1?note=bad", "");
    let Run { proxy, backend, .. } = run;
    let proxy = proxy.restart();
    let run = Run { front: proxy.fronts[0], proxy, backend };
    assert_eq!(run.json("agent/checks")["service:o-1"]["Output"], "bad");
    run.done("check/pass/service:o-1", "");
    run.routed(200);
}

#[test]
fn a_service_by_another_name_takes_the_place_of_the_one_with_its_id() {
    let run = Run::start("");
    run.register(r#""Tags": []"#);
    run.routed(200);
    let port = run.backend.address.port();
    run.done("service/register", &format!(r#"{{"ID": "o-1", "Name": "other", "Port": {port}}}"#));
    run.routed(503);
    assert_eq!(run.json("agent/services")["o-1"]["Service"], "other");
}

#[test]
fn what_cannot_be_a_service_is_refused_in_consuls_words() {
    let run = Run::start("");
    for (body, text) in [
        (r#"{"Port": 80}"#, "Missing service name"),
        (r#"{"Name": "a", "Port": 80, "Address": "0.0.0.0"}"#, "Invalid service address"),
        ("{", "Request decode failed"),
        (r#"{"Name": "a", "Port": 80, "Check": {"Args": ["x"], "Interval": "1s"}}"#, "scripts"),
        (r#"{"Name": "a", "Port": 80, "Check": {"DockerContainerID": "x"}}"#, "containers"),
        (r#"{"Name": "a", "Port": 80, "Check": {"AliasService": "x"}}"#, "alias"),
        (r#"{"Name": "a b", "Port": 80}"#, "service name"),
    ] {
        let answer = run.put("service/register", body);
        assert_eq!(answer.status(), 400, "{body} {answer:?}");
        assert!(answer.text().contains(text), "{body} {answer:?}");
    }
    for (method, path, status) in [
        ("POST", "/v1/agent/service/register", 405),
        ("GET", "/v1/kv/config/orders?recurse", 404),
        ("PUT", "/v1/kv/a", 501),
        ("PUT", "/v1/session/create", 501),
        ("GET", "/v1/acl/tokens", 401),
        ("PUT", "/v1/catalog/register", 501),
        ("PUT", "/v1/agent/join/x", 501),
        ("GET", "/v1/nothing", 404),
        ("GET", "/v1/catalog/services", 403),
        ("GET", "/v1/health/service/orders", 403),
    ] {
        let answer = call(run.front, method, path, "");
        assert_eq!(answer.status(), status, "{method} {path} {answer:?}");
    }
    assert!(run.json("agent/self")["Config"]["Datacenter"] == "dc1");
    assert!(run.json("status/leader").as_str().is_some_and(|leader| leader.contains(':')));
}

#[test]
fn what_is_registered_can_be_found() {
    let run = Run::start("read = true\ndatacenter = 'home'");
    run.register(r#""Tags": ["blue"], "Meta": {"version": "3"}"#);
    run.routed(200);
    run.proxy.register("billing/b-1", run.backend.address);
    assert_eq!(run.json("catalog/services"), json!({"billing": [], "orders": ["blue"]}));
    assert_eq!(run.json("catalog/datacenters"), json!(["home"]));
    let found = run.json("catalog/service/orders");
    let (id, port) = (&found[0]["ServiceID"], &found[0]["ServicePort"]);
    assert_eq!((id, port), (&"o-1".into(), &run.backend.address.port().into()));
    assert_eq!(found[0]["Datacenter"], "home");
    let health = run.json("health/service/orders?passing&tag=blue");
    assert_eq!(health[0]["Service"]["Meta"]["version"], "3");
    assert_eq!(health[0]["Checks"][0]["Status"], "passing");
    assert_eq!(run.json("health/service/orders?tag=red"), json!([]));
    assert_eq!(run.json("health/service/nobody"), json!([]));
    assert_eq!(run.json("catalog/nodes")[0]["Node"], "127.0.0.1");
    run.done("service/maintenance/o-1?enable=true", "");
    assert_eq!(run.json("health/service/orders?passing"), json!([]));
    assert_eq!(run.json("health/checks/orders")[0]["Status"], "critical");
    let other = call(run.front, "GET", "/v1/catalog/services?dc=away", "");
    assert_eq!((other.status(), other.text().as_str()), (500, "No path to datacenter"));
}

#[test]
fn a_question_waits_until_its_answer_changes() {
    let run = Run::start("read = true");
    run.register(r#""Tags": []"#);
    run.routed(200);
    let ask =
        |query: &str| call(run.front, "GET", &format!("/v1/health/service/orders{query}"), "");
    let first = ask("");
    let index: u64 = first.field("x-consul-index").expect("an index").parse().expect("a number");
    assert!(index > 0);
    assert_eq!(first.field("x-consul-knownleader"), Some("true"));
    // It has not changed, and so the wait is over first.
    let same = ask(&format!("?index={index}&wait=200ms"));
    assert_eq!(same.field("x-consul-index"), first.field("x-consul-index"));
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| ask(&format!("?index={index}&wait=5m")));
        // What happens to others does not wake it: it ends with the change, and
        // has that in its answer.
        run.proxy.register("billing/b-1", run.backend.address);
        run.register(r#""Tags": ["new"]"#);
        let answer = waiting.join().expect("no panic");
        let changed: u64 = answer.field("x-consul-index").expect("one").parse().expect("a number");
        assert!(changed > index);
        assert_eq!(answer.json()[0]["Service"]["Tags"], json!(["new"]));
    });
}

#[test]
fn tokens_come_as_consuls_clients_send_them() {
    let proxy = super::access::with_token("orders");
    let backend = backend();
    let front = proxy.fronts[0];
    let body = format!(
        r#"{{"Name": "orders", "Port": {}, "Address": "127.0.0.1"}}"#,
        backend.address.port()
    );
    let put = |query: &str, fields: &str| {
        let path = format!("/v1/agent/service/register{query}");
        call_with(front, "PUT", &path, &body, fields).status()
    };
    assert_eq!(put("", "x-consul-token: s3cret\r\n"), 200);
    assert_eq!(put("?token=s3cret", ""), 200);
    assert_eq!(put("", "authorization: Bearer s3cret\r\n"), 200);
    assert_eq!(put("", "x-consul-token: other\r\n"), 403);
    assert_eq!(proxy.instance("orders/orders@127.0.0.1")["owner"], "team");
    let other = body.replace("orders", "billing");
    let answer =
        call_with(front, "PUT", "/v1/agent/service/register?token=s3cret", &other, "").status();
    assert_eq!(answer, 403);
}
