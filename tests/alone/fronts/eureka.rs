//! Eureka's REST API: register, renew, say how it is, leave.

use std::net::SocketAddr;

use super::{backend, call, start};
use crate::support::{Backend, Message, Portolan, eventually};

/// What the clients of Netflix and Spring send.
pub(super) fn body(address: SocketAddr, status: &str, dirty: u64) -> String {
    format!(
        r#"{{"instance": {{"instanceId": "h:orders:{port}", "hostName": "h.example",
            "app": "ORDERS", "ipAddr": "{ip}", "status": "{status}",
            "overriddenStatus": "UNKNOWN", "port": {{"$": {port}, "@enabled": "true"}},
            "securePort": {{"$": 443, "@enabled": "false"}}, "countryId": 1,
            "dataCenterInfo": {{"@class": "com.netflix.appinfo.InstanceInfo$DefaultDataCenterInfo",
                "name": "MyOwn"}},
            "leaseInfo": {{"renewalIntervalInSecs": 30, "durationInSecs": 90}},
            "metadata": {{"@class": "java.util.Collections$EmptyMap", "zone": "a"}},
            "homePageUrl": "http://h.example/", "vipAddress": "orders",
            "isCoordinatingDiscoveryServer": "false", "lastUpdatedTimestamp": "{dirty}",
            "lastDirtyTimestamp": "{dirty}", "actionType": "ADDED"}}}}"#,
        ip = address.ip(),
        port = address.port(),
    )
}

fn id(backend: &Backend) -> String {
    format!("h:orders:{}", backend.address.port())
}

/// The instance as the admin API shows it.
fn shown(proxy: &Portolan, backend: &Backend) -> serde_json::Value {
    proxy.instance(&format!("orders/{}", id(backend)))
}

struct Run {
    proxy: Portolan,
    backend: Backend,
    front: SocketAddr,
}

impl Run {
    #[track_caller]
    fn registered() -> Self {
        let proxy = start("eureka = true");
        let backend = backend();
        let front = proxy.fronts[0];
        let answer = call(front, "POST", "/eureka/apps/ORDERS", &body(backend.address, "UP", 100));
        assert_eq!((answer.status(), answer.text().as_str()), (204, ""), "{answer:?}");
        Self { proxy, backend, front }
    }

    fn path(&self) -> String {
        format!("/eureka/v2/apps/orders/{}", id(&self.backend))
    }

    #[track_caller]
    fn told(&self, method: &str, more: &str) -> Message {
        call(self.front, method, &format!("{}{more}", self.path()), "")
    }
}

#[test]
fn an_instance_registers_renews_and_leaves() {
    let run = Run::registered();
    eventually(|| run.proxy.get("/").text() == "here");
    let shown = shown(&run.proxy, &run.backend);
    assert_eq!(
        (&shown["source"], &shown["foreign"]["api"]),
        (&"registry".into(), &"eureka".into())
    );
    assert_eq!((&shown["ttl"], &shown["zone"]), (&"1m 30s".into(), &"a".into()));
    let renewed = run.told("PUT", "?status=UP&lastDirtyTimestamp=100");
    assert_eq!((renewed.status(), renewed.text().as_str()), (200, ""));
    assert_eq!(run.told("PUT", "").status(), 200);
    let left = run.told("DELETE", "");
    assert_eq!((left.status(), left.text().as_str()), (200, ""));
    assert_eq!(run.proxy.get("/").status(), 503);
    assert_eq!(run.told("DELETE", "").status(), 404);
    assert_eq!(run.told("PUT", "?status=UP").status(), 404);
    let count = |call, result| {
        run.proxy.metric(&format!(
            "portolan_front_requests_total{{api=\"eureka\",call=\"{call}\",result=\"{result}\"}}"
        ))
    };
    assert_eq!((count("register", "ok"), count("renew", "ok")), (1.0, 2.0));
    assert_eq!((count("deregister", "ok"), count("deregister", "refused")), (1.0, 1.0));
}

#[test]
fn a_client_that_has_changed_is_told_to_register_again() {
    let run = Run::registered();
    assert_eq!(run.told("PUT", "?lastDirtyTimestamp=101").status(), 404);
    assert_eq!(run.told("PUT", "?lastDirtyTimestamp=99").status(), 200);
    let again = |status, dirty| {
        let body = body(run.backend.address, status, dirty);
        assert_eq!(call(run.front, "POST", "/eureka/apps/orders", &body).status(), 204);
        shown(&run.proxy, &run.backend)["reported"].clone()
    };
    assert_eq!(again("DOWN", 101), "down");
    // Overtaken on its way.
    assert_eq!(again("UP", 100), "down");
    assert_eq!(run.told("PUT", "?lastDirtyTimestamp=101").status(), 200);
    assert_eq!(again("UP", 102), "up");
}

#[test]
fn what_a_client_says_of_itself_decides_over_its_requests() {
    let run = Run::registered();
    for (dirty, status, routed) in
        [(101, "STARTING", 503), (102, "UP", 200), (103, "OUT_OF_SERVICE", 503), (104, "UP", 200)]
    {
        let body = body(run.backend.address, status, dirty);
        assert_eq!(call(run.front, "POST", "/eureka/apps/ORDERS", &body).status(), 204);
        eventually(|| run.proxy.get("/").status() == routed);
    }
}

#[test]
fn a_status_that_somebody_else_sets_counts_until_it_is_taken_back() {
    let run = Run::registered();
    assert_eq!(run.told("PUT", "/status?value=OUT_OF_SERVICE").status(), 200);
    eventually(|| run.proxy.get("/").status() == 503);
    assert_eq!(shown(&run.proxy, &run.backend)["reported"], "out_of_service");
    // It is not the instance's to take back.
    let again = body(run.backend.address, "UP", 105);
    assert_eq!(call(run.front, "POST", "/eureka/apps/ORDERS", &again).status(), 204);
    assert_eq!(shown(&run.proxy, &run.backend)["reported"], "out_of_service");
    assert_eq!(run.told("DELETE", "/status").status(), 200);
    eventually(|| run.proxy.get("/").status() == 200);
    for bad in ["/status", "/status?value=", "/status?value=FINE"] {
        assert_eq!(run.told("PUT", bad).status(), 400, "{bad}");
    }
    assert_eq!(call(run.front, "PUT", "/eureka/apps/x/y/status?value=UP", "").status(), 404);
    assert_eq!(run.told("PUT", "/metadata?version=7&zone=b").status(), 200);
    let shown = shown(&run.proxy, &run.backend);
    assert_eq!((&shown["version"], &shown["zone"]), (&"7".into(), &"b".into()));
}

#[test]
fn what_was_said_outlives_a_restart() {
    let Run { proxy, backend, front } = Run::registered();
    let path = format!("/eureka/apps/ORDERS/{}", id(&backend));
    assert_eq!(
        call(front, "PUT", &format!("{path}/status?value=OUT_OF_SERVICE"), "").status(),
        200
    );
    let proxy = proxy.restart();
    let front = proxy.fronts[0];
    assert_eq!(call(front, "PUT", &format!("{path}?lastDirtyTimestamp=100"), "").status(), 200);
    assert_eq!(shown(&proxy, &backend)["reported"], "out_of_service");
    assert_eq!(call(front, "PUT", &format!("{path}?lastDirtyTimestamp=101"), "").status(), 404);
    assert_eq!(call(front, "DELETE", &format!("{path}/status"), "").status(), 200);
    eventually(|| proxy.get("/").text() == "here");
}

#[test]
fn xml_says_the_same_as_json() {
    let proxy = start("eureka = true");
    let backend = backend();
    let xml = format!(
        "<?xml version=\"1.0\" ?><instance><instanceId>i</instanceId><hostName>h</hostName>\
         <app>ORDERS</app><ipAddr>127.0.0.1</ipAddr><status>UP</status>\
         <overriddenstatus>UNKNOWN</overriddenstatus><port enabled=\"true\">{}</port>\
         <securePort enabled=\"false\">443</securePort><dataCenterInfo \
         class=\"com.netflix.appinfo.InstanceInfo$DefaultDataCenterInfo\"><name>MyOwn</name>\
         </dataCenterInfo><leaseInfo><durationInSecs>5</durationInSecs></leaseInfo>\
         <metadata><zone>b</zone></metadata></instance>",
        backend.address.port()
    );
    let answer = call(proxy.fronts[0], "POST", "/eureka/v2/apps/ORDERS", &xml);
    assert_eq!(answer.status(), 204, "{answer:?}");
    eventually(|| proxy.get("/").text() == "here");
    let shown = proxy.instance("orders/i");
    assert_eq!((&shown["ttl"], &shown["zone"]), (&"5s".into(), &"b".into()));
}

#[test]
fn clients_leave_out_what_they_like() {
    let proxy = start("eureka = true");
    let backend = backend();
    // eureka-js-client: no id, no lease, a lower-case name, a truth.
    let few = format!(
        r#"{{"instance": {{"app": "orders", "hostName": "h", "ipAddr": "127.0.0.1",
            "port": {{"$": {}, "@enabled": true}}, "vipAddress": "orders", "status": "UP",
            "dataCenterInfo": {{"@class": "x", "name": "MyOwn"}}}}}}"#,
        backend.address.port()
    );
    let front = proxy.fronts[0];
    assert_eq!(call(front, "POST", "/eureka/v2/apps/orders", &few).status(), 204);
    eventually(|| proxy.get("/").text() == "here");
    assert_eq!(call(front, "PUT", "/eureka/v2/apps/orders/h", "").status(), 200);
    assert_eq!(call(front, "DELETE", "/eureka//v2/apps/orders/h/", "").status(), 200);
    assert_eq!(proxy.get("/").status(), 503);
}

#[test]
fn what_cannot_be_an_instance_is_refused_in_eurekas_words() {
    let proxy = start("eureka = true");
    let front = proxy.fronts[0];
    let good = body("127.0.0.1:9".parse().expect("an address"), "UP", 1);
    let refused = |body: &str| {
        let answer = call(front, "POST", "/eureka/apps/ORDERS", body);
        assert_eq!(answer.status(), 400, "{answer:?}");
        answer.text()
    };
    let without = |name: &str| {
        let mut json: serde_json::Value = serde_json::from_str(&good).expect("JSON");
        json["instance"].as_object_mut().expect("an object").remove(name);
        refused(&json.to_string())
    };
    assert_eq!(without("hostName"), "Missing hostname");
    assert_eq!(without("ipAddr"), "Missing ip address");
    assert_eq!(without("app"), "Missing appName");
    assert_eq!(without("dataCenterInfo"), "Missing dataCenterInfo");
    let other = good.replace("\"ORDERS\"", "\"OTHER\"");
    assert_eq!(refused(&other), "Mismatched appName, expecting ORDERS but was OTHER");
    let closed = good.replace("\"@enabled\": \"true\"", "\"@enabled\": \"false\"");
    assert!(refused(&closed).contains("port"));
    for bad in ["", "{", "[]", "{}", "7", r#"{"instance": []}"#, "<a/>", "<instance>", "\u{1}"] {
        refused(bad);
    }
    let long = "x".repeat(40_000);
    assert!(refused(&good.replace("http://h.example/", &long)).contains("record"));
    let huge = "x".repeat(70_000);
    assert_eq!(call(front, "POST", "/eureka/apps/ORDERS", &huge).status(), 413);
    let answer = call(front, "POST", "/eureka/apps/A%20B", &good.replace("ORDERS", "A B"));
    assert_eq!(answer.status(), 400, "{answer:?}");
    assert!(proxy.admin("GET", "/api/v1/services", "").text().contains("\"instances\":[]"));
}

#[test]
fn what_eureka_has_and_a_front_has_not_is_said() {
    let proxy = start("eureka = true");
    let front = proxy.fronts[0];
    for (method, path, status) in [
        ("POST", "/eureka/peerreplication/batch", 501),
        ("PUT", "/eureka/asg/a/status", 501),
        ("PATCH", "/eureka/apps/a", 405),
        ("GET", "/eureka/lastn", 404),
        ("GET", "/", 404),
        ("GET", "/api/v1/status", 404),
        ("GET", "/v1/agent/self", 404),
        ("GET", "/metrics", 404),
        ("GET", "/eureka/apps", 403),
        ("GET", "/eureka/apps/ORDERS", 403),
    ] {
        let answer = call(front, method, path, "");
        assert_eq!(answer.status(), status, "{method} {path} {answer:?}");
        assert!(!answer.body.is_empty() && answer.field("content-type").is_some());
    }
}
