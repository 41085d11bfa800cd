//! What each call answers.

use super::*;

const ROUTABLE: &str =
    r#"{"address": "10.0.0.9:80", "tags": ["blue"], "health": {"kind": "none"}}"#;

/// It waits for a heartbeat that does not come.
const NOT_ROUTABLE: &str = r#"{"address": "10.0.0.9:80", "health": {"kind": "ttl"}}"#;

#[tokio::test]
async fn an_instance_lives_and_leaves() {
    let admin = Admin::local().await;
    let created = admin.put(&format!("{INSTANCE}?wait=routable"), ROUTABLE).await;
    assert_eq!(created.status, 201, "{}", created.body);
    assert_eq!(created.headers["location"], INSTANCE);
    assert_eq!((&created.json()["routed"], &created.json()["version"]), (&true.into(), &2.into()));
    let updated = admin.put(INSTANCE, ROUTABLE).await;
    assert_eq!((updated.status.as_u16(), &updated.json()["created"]), (200, &false.into()));
    let seen = admin.ask("GET", INSTANCE).await;
    assert_eq!(seen.json()["origin"], "http://10.0.0.9:80");
    let renewed = admin.ask("POST", &format!("{INSTANCE}/heartbeat")).await;
    assert_eq!((renewed.status.as_u16(), &renewed.json()["id"]), (200, &"a".into()));
    let drained = admin.ask("POST", &format!("{INSTANCE}/drain?wait=drained&timeout=5s")).await;
    assert_eq!((drained.status.as_u16(), &drained.json()["drained"]), (200, &true.into()));
    assert_eq!(admin.ask("GET", INSTANCE).await.json()["state"], "draining");
    let first = admin.ask("DELETE", &format!("{INSTANCE}?wait=drained")).await;
    assert_eq!((first.status.as_u16(), &first.json()["found"]), (200, &true.into()));
    let second = admin.ask("DELETE", INSTANCE).await;
    assert_eq!((second.status.as_u16(), &second.json()["found"]), (200, &false.into()));
    for (method, call) in [("GET", ""), ("POST", "/heartbeat"), ("POST", "/drain")] {
        let gone = admin.ask(method, &format!("{INSTANCE}{call}")).await;
        assert_eq!((gone.status.as_u16(), gone.problem().as_str()), (404, "not_found"));
    }
}

#[tokio::test]
async fn a_wait_that_times_out_is_accepted() {
    let admin = Admin::local().await;
    let path = format!("{INSTANCE}?wait=routable&timeout=50ms");
    let answer = admin.put(&path, NOT_ROUTABLE).await;
    assert_eq!(answer.status, 202, "{}", answer.body);
    assert_eq!(answer.json()["routed"], false);
    assert_eq!(answer.json()["waiting_for"], "waiting for the first heartbeat");
    assert_eq!(admin.ask("GET", INSTANCE).await.status, 200);
}

#[tokio::test]
async fn a_caller_who_hangs_up_changes_nothing_about_it() {
    let admin = Admin::local().await;
    let path = format!("{INSTANCE}?wait=routable&timeout=200ms");
    let put = admin.put(&path, NOT_ROUTABLE);
    let short = std::time::Duration::from_millis(50);
    assert!(tokio::time::timeout(short, put).await.is_err());
    assert_eq!(admin.ask("GET", INSTANCE).await.status, 200);
    tokio::time::sleep(std::time::Duration::from_millis(500)).await;
    let lines = admin.audited();
    assert_eq!((lines.len(), &lines[0]["status"]), (1, &201.into()), "it was made then");
}

#[tokio::test]
async fn lists_come_in_pages() {
    let admin = Admin::local().await;
    for service in ["a", "b", "c"] {
        let path = format!("/api/v1/services/{service}/instances/1");
        assert_eq!(admin.put(&path, ROUTABLE).await.status, 201);
    }
    let first = admin.ask("GET", "/api/v1/services?limit=2&state=healthy&tag=blue").await;
    assert_eq!(first.json()["services"].as_array().expect("a list").len(), 2);
    let link = first.headers["link"].to_str().expect("ASCII");
    let next = link.strip_prefix('<').and_then(|link| link.strip_suffix(">; rel=\"next\""));
    let next = next.expect("a link to the next page");
    assert_eq!(next, "/api/v1/services?cursor=b&limit=2&state=healthy&tag=blue");
    let second = admin.ask("GET", next).await;
    assert_eq!(second.json()["services"][0]["service"], "c");
    assert!(second.headers.get("link").is_none());
    let none = admin.ask("GET", "/api/v1/services?state=draining").await;
    assert_eq!(none.json()["services"], serde_json::json!([]));
    assert_eq!(admin.ask("GET", "/api/v1/services/a").await.json()["service"], "a");
    assert_eq!(admin.ask("GET", "/api/v1/services/z").await.problem(), "not_found");
}

#[tokio::test]
async fn an_answer_that_the_caller_has_is_not_sent_again() {
    let admin = Admin::local().await;
    admin.put(INSTANCE, ROUTABLE).await;
    for path in [INSTANCE, "/api/v1/services", "/api/v1/services/orders", "/api/v1/routes"] {
        let tag = admin.ask("GET", path).await.headers["etag"].clone();
        let again = request("GET", path).header("if-none-match", tag).body(Body::empty());
        let again = admin.send(again.expect("a request")).await;
        assert_eq!((again.status.as_u16(), again.body.as_str()), (304, ""), "{path}");
    }
    let tag = admin.ask("GET", INSTANCE).await.headers["etag"].clone();
    admin.ask("POST", &format!("{INSTANCE}/drain")).await;
    let changed = request("GET", INSTANCE).header("if-none-match", tag).body(Body::empty());
    assert_eq!(admin.send(changed.expect("a request")).await.status, 200);
}

#[tokio::test]
async fn what_cannot_be_read_is_refused_by_name() {
    let admin = Admin::local().await;
    for (method, path, problem, pointer) in [
        ("GET", "/api/v1/services?limit=0", "bad_request", "?limit"),
        ("GET", "/api/v1/services?limit=x", "bad_request", "?limit"),
        ("GET", "/api/v1/services?stat=x", "bad_request", "?stat"),
        ("GET", "/api/v1/services?tag=a&tag=b", "bad_request", "?tag"),
        ("DELETE", "/api/v1/services/a/instances/b?wait=gone", "bad_request", "?wait"),
        ("DELETE", "/api/v1/services/a/instances/b?timeout=5s", "bad_request", "?timeout"),
        (
            "DELETE",
            "/api/v1/services/a/instances/b?wait=drained&timeout=6m",
            "bad_request",
            "?timeout",
        ),
        (
            "DELETE",
            "/api/v1/services/a/instances/b?wait=drained&timeout=5",
            "bad_request",
            "?timeout",
        ),
        ("GET", "/api/v1/explain", "bad_request", "?url"),
        ("GET", "/api/v1/explain?url=/orders", "bad_request", "?url"),
        ("GET", "/api/v1/explain?url=http://a/b%20c%7F%0A", "bad_request", "?url"),
        ("GET", "/api/v1/explain?url=a&header=x", "bad_request", "?header"),
        ("GET", "/api/v1/explain?url=a&method=G%20T", "bad_request", "?method"),
    ] {
        let answer = admin.ask(method, path).await;
        assert_eq!(answer.problem(), problem, "{path}");
        assert_eq!(answer.json()["errors"][0]["pointer"], pointer, "{path}");
    }
    let slip = admin.ask("GET", "/api/v1/services?stat=x").await;
    assert_eq!(slip.json()["errors"][0]["suggestion"], "state");
    let state = admin.ask("GET", "/api/v1/services?state=healty").await;
    assert_eq!(state.json()["errors"][0]["suggestion"], "healthy");
    let name = admin.ask("GET", "/api/v1/services/Orders").await;
    assert_eq!(name.problem(), "bad_request");
    let body = admin.put(INSTANCE, r#"{"port": 80, "wieght": 1}"#).await;
    assert_eq!((body.status.as_u16(), body.problem().as_str()), (422, "invalid"));
    assert_eq!(body.json()["errors"][0]["suggestion"], "weight");
    let denied = admin.put(INSTANCE, r#"{"address": "169.254.169.254:80"}"#).await;
    assert_eq!(denied.problem(), "address_denied");
}

#[tokio::test]
async fn unknown_paths_and_methods_are_problems_too() {
    let admin = Admin::local().await;
    let path = admin.ask("GET", "/api/v1/servces").await;
    assert_eq!((path.status.as_u16(), path.problem().as_str()), (404, "unknown_path"));
    assert!(path.body.contains("did you mean"), "{}", path.body);
    let method = admin.ask("PATCH", INSTANCE).await;
    assert_eq!((method.status.as_u16(), method.problem().as_str()), (405, "method_not_allowed"));
    let mut allowed: Vec<_> =
        method.headers["allow"].to_str().expect("ASCII").split(',').map(str::trim).collect();
    allowed.sort_unstable();
    assert_eq!(allowed, ["DELETE", "GET", "HEAD", "PUT"]);
}

#[tokio::test]
async fn bodies_are_bounded_and_of_the_right_type() {
    let admin = Admin::local().await;
    let long = format!("{{\"zone\": \"{}\"}}", "z".repeat(64 * 1024));
    let answer = admin.put(INSTANCE, &long).await;
    assert_eq!((answer.status.as_u16(), answer.problem().as_str()), (413, "body_too_large"));
    for (method, path, kind, refused) in [
        ("PUT", INSTANCE, Some("application/x-www-form-urlencoded"), true),
        ("PUT", INSTANCE, Some("text/plain"), true),
        ("PUT", INSTANCE, None, true),
        ("PUT", INSTANCE, Some("application/json; charset=utf-8"), false),
        ("PUT", INSTANCE, Some("application/vnd.acme+json"), false),
        ("POST", "/api/v1/services/orders/instances/a/heartbeat", Some("text/plain"), true),
        ("POST", "/api/v1/config/reload", Some("text/plain"), true),
        ("POST", "/api/v1/config/check", Some("application/json"), true),
        ("POST", "/api/v1/config/check", Some("application/toml"), false),
        ("POST", "/api/v1/config/check", Some("text/plain"), false),
    ] {
        let mut request = request(method, path);
        if let Some(kind) = kind {
            request = request.header("content-type", kind);
        }
        let answer = admin.send(request.body(ROUTABLE.into()).expect("a request")).await;
        assert_eq!(answer.status == 415, refused, "{method} {path} {kind:?} {}", answer.status);
    }
}

#[tokio::test]
async fn the_config_is_checked_and_reloaded() {
    let admin = Admin::local().await;
    let check = |text: &'static str| {
        let request = request("POST", "/api/v1/config/check").header("content-type", "text/plain");
        admin.send(request.body(text.into()).expect("a request"))
    };
    assert_eq!(check("workers = 1").await.json()["ok"], true);
    let bad = check("nonsense = 1").await;
    assert_eq!((bad.status.as_u16(), &bad.json()["ok"]), (200, &false.into()));
    assert_eq!(bad.json()["diagnostics"][0]["line"], 1);
    assert_eq!(admin.ask("POST", "/api/v1/config/check").await.json()["ok"], true);
    assert_eq!(admin.ask("POST", "/api/v1/config/reload").await.json()["ok"], true);
}

#[tokio::test]
async fn a_question_is_put_as_the_request_would_be() {
    let admin = Admin::local().await;
    for (query, method, host, path) in [
        ("url=http://shop.example:8080/orders?x=1%26y", "GET", "shop.example", "/orders"),
        ("url=shop.example/orders&method=POST", "POST", "shop.example", "/orders"),
        ("url=shop.example", "GET", "shop.example", "/"),
        ("url=http://me:pw@shop.example/a%23b", "GET", "shop.example", "/a"),
        ("url=/orders&header=Host:+shop.example&header=A:b", "GET", "shop.example", "/orders"),
    ] {
        let answer = admin.ask("GET", &format!("/api/v1/explain?{query}")).await.json();
        assert_eq!(answer["method"], method, "{query}");
        assert_eq!(answer["host"], host, "{query}");
        assert_eq!(answer["path"], path, "{query}");
    }
}

#[tokio::test]
async fn every_answer_tells_browsers_to_keep_out() {
    let admin = Admin::local().await;
    let errors = [("GET", "/nothing".to_owned()), ("PATCH", "/metrics".to_owned())];
    for (method, path) in finite_calls().map(|(_, method, path)| (method, path)).chain(errors) {
        let headers = admin.ask(method, &path).await.headers;
        assert_eq!(headers["x-content-type-options"], "nosniff", "{path}");
        assert_eq!(headers["cache-control"], "no-store", "{path}");
        assert_eq!(headers["x-frame-options"], "DENY", "{path}");
        let policy = headers["content-security-policy"].to_str().expect("ASCII");
        assert!(policy.starts_with("default-src 'none'"), "{path}");
    }
}

#[tokio::test]
async fn the_router_and_the_document_have_the_same_calls() {
    let admin = Admin::local().await;
    let document = admin.ask("GET", "/api/v1/openapi.json").await.json();
    let paths = document["paths"].as_object().expect("paths");
    for (path, operations) in paths {
        let filled =
            path.replace("{service}", "orders").replace("{id}", "a").replace("{source}", "east");
        for method in ["GET", "PUT", "POST", "DELETE", "PATCH"] {
            if path == "/api/v1/events" && method == "GET" {
                continue;
            }
            let answer = admin.ask(method, &filled).await;
            let problem = answer.headers.get("content-type").is_some_and(|kind| {
                kind == "application/problem+json" && answer.problem() == "unknown_path"
            });
            assert!(!problem, "{method} {path} has no route");
            let documented = operations.get(method.to_ascii_lowercase()).is_some();
            assert_eq!(answer.status != 405, documented, "{method} {path}");
        }
    }
    let page = admin.ask("GET", "/").await.body;
    for call in CALLS {
        assert!(paths.contains_key(call.path), "{call:?} is not in the document");
        assert!(page.contains(call.path), "{call:?} is not on the page");
    }
}
