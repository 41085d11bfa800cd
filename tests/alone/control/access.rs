//! Who may talk to the admin address, over the socket, and the trace it
//! leaves.

use std::fs;

use super::*;
use crate::support::Connection;

/// The SHA-256 of `read-secret` and of `orders-secret`.
const TOKENS: &str = "[[admin.token]]\nname = 'read'\nscope = 'read'\n\
    sha256 = '@READ@'\n\
    [[admin.token]]\nname = 'orders'\nscope = 'register'\nservices = ['orders']\n\
    sha256 = '@ORDERS@'\n";

fn tokens() -> String {
    use sha2::{Digest, Sha256};
    let hex = |secret: &str| {
        Sha256::digest(secret).iter().map(|byte| format!("{byte:02x}")).collect::<String>()
    };
    TOKENS.replace("@READ@", &hex("read-secret")).replace("@ORDERS@", &hex("orders-secret"))
}

#[test]
fn a_web_page_cannot_reach_it() {
    let proxy = Portolan::start("");
    let send = |fields: &str| {
        let body = r#"{"port": 80}"#;
        Connection::open(proxy.admin).exchange(format!(
            "PUT {} HTTP/1.1\r\ncontent-type: application/json\r\ncontent-length: {}\r\n{fields}\r\n{body}",
            path("app/one"),
            body.len()
        ))
    };
    let own = format!("host: {}\r\n", proxy.admin);
    for (fields, expected) in [
        ("host: evil.test\r\n".to_owned(), "host_not_allowed"),
        (format!("host: evil.test:{}\r\n", proxy.admin.port()), "host_not_allowed"),
        (format!("{own}origin: http://evil.test\r\n"), "cross_origin"),
        (format!("{own}origin: null\r\n"), "cross_origin"),
        (format!("{own}sec-fetch-site: cross-site\r\n"), "cross_origin"),
    ] {
        let refused = send(&fields);
        assert_eq!((refused.status(), problem(&refused).as_str()), (403, expected), "{fields}");
    }
    assert_eq!(proxy.admin("GET", &path("app/one"), "").status(), 404, "nothing came of it");
    for fields in [
        own.clone(),
        format!("host: localhost:{}\r\n", proxy.admin.port()),
        format!("{own}origin: http://{}\r\n", proxy.admin),
    ] {
        assert!(matches!(send(&fields).status(), 200 | 201), "{fields}");
    }
}

#[test]
fn who_names_a_token_is_held_to_it() {
    let proxy = Portolan::start(&tokens());
    let body = r#"{"port": 80}"#;
    let put = |name: &str, token: &str| {
        proxy.admin_with("PUT", &path(name), body, &format!("authorization: Bearer {token}\r\n"))
    };
    assert_eq!(put("orders/a", "orders-secret").status(), 201);
    assert_eq!(proxy.instance("orders/a")["owner"], "orders");
    assert_eq!(problem(&put("payments/a", "orders-secret")), "forbidden");
    assert_eq!(problem(&put("orders/b", "read-secret")), "forbidden");
    assert_eq!(problem(&put("orders/b", "wrong")), "unauthorized");
    assert_eq!(proxy.put("payments/a", "", body).status(), 201, "on loopback none is needed");
    assert_eq!(proxy.reload("").status(), 200);
    assert_eq!(problem(&put("orders/a", "orders-secret")), "unauthorized", "it is revoked");
}

#[test]
fn every_change_leaves_a_line() {
    let folder = tempfile::tempdir().expect("a folder");
    let log = folder.path().join("audit.log");
    let proxy = Portolan::start(&format!("[admin]\naudit_log = '{}'\n{}", log.display(), tokens()));
    let orders = "authorization: Bearer orders-secret\r\n";
    proxy.admin_with("PUT", &path("orders/a"), r#"{"port": 80}"#, orders);
    proxy.admin_with("PUT", &path("payments/a"), r#"{"port": 80}"#, orders);
    proxy.heartbeat("orders/a");
    proxy.delete("orders/a", "");
    proxy.reload(&tokens());
    let lines = || -> Vec<Value> {
        let text = fs::read_to_string(&log).expect("a log");
        text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
    };
    eventually(|| lines().len() == 4);
    let text = |line: &Value, field: &str| line[field].as_str().unwrap_or_default().to_owned();
    let short: Vec<_> = lines()
        .iter()
        .map(|line| {
            format!(
                "{} {} {} {}",
                text(line, "who"),
                text(line, "what"),
                text(line, "target"),
                line["status"]
            )
        })
        .collect();
    assert_eq!(
        short,
        [
            "orders register orders/a 201",
            "orders register payments/a 403",
            "loopback deregister orders/a 200",
            "loopback reload proxy.toml 200",
        ]
    );
}
