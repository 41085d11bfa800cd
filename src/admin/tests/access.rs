//! Who gets past the gate, tried on every call there is.

use super::*;

#[tokio::test]
async fn on_loopback_no_token_is_needed() {
    let admin = Admin::at(LOOPBACK, settings()).await;
    for (call, method, path) in finite_calls() {
        let status = admin.ask(method, &path).await.status;
        assert!(!matches!(status.as_u16(), 401 | 403), "{call:?} {status}");
    }
    let named = admin.ask_as("read", "POST", "/api/v1/config/reload").await;
    assert_eq!((named.status.as_u16(), named.problem().as_str()), (403, "forbidden"));
}

#[tokio::test]
async fn on_the_network_every_call_but_the_probes_needs_a_token() {
    for (call, method, path) in finite_calls() {
        let answer = Admin::remote().await.ask(method, &path).await;
        if matches!(call.path, "/livez" | "/readyz" | "/healthz") {
            assert_eq!(answer.status, 200, "{call:?}");
        } else {
            assert_eq!(answer.problem(), "unauthorized", "{call:?}");
            assert_eq!(answer.headers["www-authenticate"], "Bearer realm=\"portolan\"");
        }
    }
    let admin = Admin::remote().await;
    assert_eq!(admin.ask("GET", "/no/such/path").await.problem(), "unauthorized");
    assert_eq!(admin.ask("PATCH", "/metrics").await.problem(), "unauthorized");
    assert_eq!(admin.ask("GET", "/readyz?verbose").await.problem(), "unauthorized");
    let verbose = admin.ask_as("read", "GET", "/readyz?verbose").await;
    assert_eq!(verbose.json()["checks"]["store"], "writable");
}

#[tokio::test]
async fn every_call_is_held_to_the_scope_in_its_documentation() {
    for (call, method, path) in finite_calls() {
        for (name, scope) in
            [("read", Scope::Read), ("orders", Scope::Register), ("admin", Scope::Admin)]
        {
            let answer = Admin::remote().await.ask_as(name, method, &path).await;
            let allowed = call.needs.is_none_or(|needed| scope >= needed);
            assert_eq!(answer.status != 403, allowed, "{name} {call:?} {}", answer.body);
            assert_ne!(answer.status, 401, "{name} {call:?}");
        }
    }
}

#[tokio::test]
async fn no_call_answers_to_a_foreign_host_or_page() {
    let admin = Admin::local().await;
    let others = [("GET", "/no/such/path".to_owned()), ("PATCH", "/livez".to_owned())];
    let calls = CALLS.iter().map(|call| (call.verb.as_str(), path_of(call)));
    for (method, path) in calls.chain(others) {
        for (name, value, problem) in [
            ("host", "evil.example:9900", "host_not_allowed"),
            ("origin", "http://evil.example", "cross_origin"),
            ("origin", "null", "cross_origin"),
            ("sec-fetch-site", "cross-site", "cross_origin"),
        ] {
            let request = request(method, &path).header(name, value).body(Body::empty());
            let answer = admin.send(request.expect("a request")).await;
            assert_eq!(answer.status, 403, "{method} {path} {name}: {value}");
            assert_eq!(answer.problem(), problem, "{method} {path} {name}: {value}");
            assert!(answer.headers.get("access-control-allow-origin").is_none());
        }
    }
    let hint =
        admin.send(request("GET", "/").header("host", "x").body(Body::empty()).expect("one"));
    assert!(hint.await.body.contains("admin.allowed_hosts"));
}

#[tokio::test]
async fn failures_are_counted_and_a_good_token_is_taken_all_the_same() {
    let admin = Admin::remote().await;
    for _ in 0..10 {
        assert_eq!(admin.ask_as("wrong", "GET", "/metrics").await.status, 401);
    }
    let answer = admin.ask_as("wrong", "GET", "/metrics").await;
    assert_eq!(answer.problem(), "too_many_attempts");
    assert_eq!(answer.headers["retry-after"], "60");
    assert_eq!(admin.ask_as("read", "GET", "/metrics").await.status, 200);
    assert_eq!(admin.ask("GET", "/livez").await.status, 200);
}

#[tokio::test]
async fn new_settings_hold_from_the_next_request_on() {
    let admin = Admin::remote().await;
    assert_eq!(admin.ask_as("new", "GET", "/metrics").await.status, 401);
    let mut new = settings();
    new.token = vec![token("new", Scope::Read)];
    admin.settings.send(Arc::new(new)).expect("received");
    assert_eq!(admin.ask_as("new", "GET", "/metrics").await.status, 200);
    assert_eq!(admin.ask_as("admin", "GET", "/metrics").await.status, 401);
}

#[tokio::test]
async fn a_token_registers_its_services_at_its_address_and_no_others() {
    let admin = Admin::remote().await;
    let port = r#"{"port": 8080, "health": {"kind": "none"}}"#;
    let answer = admin.put_as("orders", INSTANCE, port).await;
    assert_eq!(answer.status, 201, "{}", answer.body);
    assert_eq!(answer.json()["instance"]["origin"], "http://10.0.0.7:8080");
    assert_eq!(answer.json()["instance"]["owner"], "orders");
    let payments = "/api/v1/services/payments/instances/a";
    assert_eq!(admin.put_as("orders", payments, port).await.problem(), "forbidden");
    for elsewhere in ["10.0.0.8:80", "localhost:80"] {
        let body = format!("{{\"address\": \"{elsewhere}\"}}");
        let answer = admin.put_as("orders", INSTANCE, &body).await;
        assert_eq!(answer.problem(), "address_not_yours", "{elsewhere}");
        assert_eq!(answer.json()["errors"][0]["pointer"], "/address");
    }
    assert_eq!(admin.put_as("admin", payments, port).await.status, 201);
}

#[tokio::test]
async fn what_one_token_registered_another_cannot_touch() {
    let mut both = settings();
    both.token.push(token("other", Scope::Register));
    let admin = Admin::at(NETWORK, both).await;
    assert_eq!(admin.put_as("orders", INSTANCE, r#"{"port": 8080}"#).await.status, 201);
    let put = admin.put_as("other", INSTANCE, r#"{"port": 8080}"#).await;
    assert_eq!(put.problem(), "owned_by_another");
    for (method, call) in [("DELETE", ""), ("POST", "/drain"), ("POST", "/heartbeat")] {
        let path = format!("{INSTANCE}{call}");
        assert_eq!(admin.ask_as("other", method, &path).await.problem(), "owned_by_another");
    }
    assert_eq!(admin.ask_as("admin", "DELETE", INSTANCE).await.status, 200);
}
