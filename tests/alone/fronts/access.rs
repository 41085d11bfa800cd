//! Who may do what at a front, and what is kept of it.

use super::{backend, call, call_with, eureka::body, start};
use crate::support::{Portolan, eventually};

/// The SHA-256 of `s3cret`.
const SUM: &str = "1ec1c26b50d5d3c58d9583181af8076655fe00756bf7285940ba3670f99fcba0";

pub(super) fn with_token(services: &str) -> Portolan {
    start(&format!(
        "eureka = true\nconsul = true\nread = true\n[[front.token]]\nname = 'team'\nsha256 = '{SUM}'\n\
         scope = 'register'\nservices = ['{services}']"
    ))
}

#[test]
fn a_token_says_what_may_be_registered() {
    let proxy = with_token("orders");
    let backend = backend();
    let (front, body) = (proxy.fronts[0], body(backend.address, "UP", 1));
    // "user:s3cret", as in http://user:s3cret@host/eureka
    let token = "authorization: Basic dXNlcjpzM2NyZXQ=\r\n";
    let answer = call_with(front, "POST", "/eureka/apps/ORDERS", &body, token);
    assert_eq!(answer.status(), 204, "{answer:?}");
    let name = format!("orders/h:orders:{}", backend.address.port());
    assert_eq!(proxy.instance(&name)["owner"], "team");
    let other = body.replace("ORDERS", "BILLING");
    let answer = call_with(front, "POST", "/eureka/apps/BILLING", &other, token);
    assert_eq!(answer.status(), 403, "{answer:?}");
    let answer = call_with(front, "GET", "/eureka/apps", "", token);
    assert_eq!(answer.status(), 200, "{answer:?}");
    let bad = "authorization: Basic dXNlcjpvdGhlcg==\r\n";
    let answer = call_with(front, "POST", "/eureka/apps/ORDERS", &body, bad);
    assert_eq!(answer.status(), 401);
    assert_eq!(answer.field("www-authenticate"), Some("Basic realm=\"portolan\""));
    // Nobody has to say who they are on the loopback interface, and then may do
    // everything; but what a token made is the token's.
    assert_eq!(call(front, "POST", "/eureka/apps/BILLING", &other).status(), 204);
    let path = format!("/eureka/apps/BILLING/h:orders:{}", backend.address.port());
    assert_eq!(call_with(front, "DELETE", &path, "", token).status(), 403);
}

#[test]
fn web_pages_are_kept_away() {
    let proxy = start("eureka = true\nallowed_hosts = ['eureka.internal']");
    let front = proxy.fronts[0];
    let put = |fields: &str| call_with(front, "PUT", "/eureka/apps/a/b", "", fields).status();
    assert_eq!(put(""), 404);
    assert_eq!(put("origin: http://127.0.0.1\r\n"), 403);
    assert_eq!(put("sec-fetch-site: same-origin\r\n"), 403);
    let with_host = |host: &str| {
        let request = format!("PUT /eureka/apps/a/b HTTP/1.1\r\nhost: {host}\r\n\r\n");
        crate::support::Connection::open(front).exchange(request).status()
    };
    assert_eq!(with_host("evil.example"), 403);
    assert_eq!(with_host("eureka.internal:8761"), 404);
}

#[test]
fn changes_leave_a_line_in_the_audit_log() {
    let folder = tempfile::tempdir().expect("a folder");
    let log = folder.path().join("audit.log");
    let config = format!("[admin]\naudit_log = '{}'\n[[front]]\neureka = true\n", log.display());
    let proxy = Portolan::start(&config);
    let (front, body) = (proxy.fronts[0], body("127.0.0.1:9".parse().expect("one"), "UP", 1));
    assert_eq!(call(front, "POST", "/eureka/apps/ORDERS", &body).status(), 204);
    let path = "/eureka/apps/ORDERS/h:orders:9";
    assert_eq!(call(front, "PUT", path, "").status(), 200);
    assert_eq!(call(front, "PUT", &format!("{path}/status?value=DOWN"), "").status(), 200);
    assert_eq!(call(front, "DELETE", path, "").status(), 200);
    assert_eq!(call(front, "DELETE", path, "").status(), 404);
    let lines = || -> Vec<serde_json::Value> {
        let text = std::fs::read_to_string(&log).unwrap_or_default();
        text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
    };
    eventually(|| lines().len() == 4);
    let said: Vec<_> = lines()
        .iter()
        .map(|line| {
            format!("{} {} {} {}", line["front"], line["what"], line["target"], line["status"])
        })
        .collect();
    let target = "\"orders/h:orders:9\"";
    assert_eq!(
        said,
        [
            format!("\"eureka\" \"register\" {target} 204"),
            format!("\"eureka\" \"status\" {target} 200"),
            format!("\"eureka\" \"deregister\" {target} 200"),
            format!("\"eureka\" \"deregister\" {target} 404"),
        ]
    );
    assert!(lines()[0]["after"].is_u64() && lines()[2]["before"].is_u64());
}

#[test]
fn fronts_come_and_go_with_the_config() {
    let proxy = start("eureka = true");
    let front = proxy.fronts[0];
    let status = proxy.admin("GET", "/api/v1/status", "").json();
    assert_eq!(status["fronts"][0]["address"], front.to_string());
    assert_eq!(status["fronts"][0]["speaks"], serde_json::json!(["eureka"]));
    let route = "[[route]]\nservice = 'orders'\n";
    let reloaded = proxy.reload(&format!("[[front]]\neureka = true\nread = true\n{route}"));
    assert_eq!(reloaded.status(), 200, "{reloaded:?}");
    assert_eq!(call(front, "GET", "/eureka/apps", "").status(), 200);
    assert_eq!(proxy.reload(route).status(), 200);
    eventually(|| std::net::TcpStream::connect(front).is_err());
    let status = proxy.admin("GET", "/api/v1/status", "").json();
    assert!(status.get("fronts").is_none());
}
