//! Tests of `explain`.

use serde_json::{Value, json};

use super::{
    super::testing::{FakeAdmin, unstyled},
    *,
};

fn instance(id: &str, address: &str, state: &str, why: &str) -> Value {
    json!({
        "service": "catalog", "id": id, "origin": address, "source": "registry",
        "state": state, "since_ms": 180_000, "why": why, "routable": state == "healthy",
        "generation": 1, "lease_left_ms": 21_000, "in_flight": 2, "requests": 10, "failures": 0,
    })
}

fn served() -> Value {
    json!({
        "version": 1284, "method": "GET", "host": "shop.test", "path": "/api/x", "reason": "ok",
        "summary": "forwarded to catalog", "route": "catalog-api",
        "considered": [
            { "name": "cart-api", "hosts": ["shop.test"], "path": "/api/cart", "service": "cart",
              "line": 38, "matched": false, "why": "path differs" },
            { "name": "catalog-api", "hosts": ["shop.test"], "path": "/api", "service": "catalog",
              "line": 30, "matched": true, "why": "longest prefix" },
        ],
        "service": {
            "service": "catalog", "balance": "least_request", "routable": 2, "panic": false,
            "routes": ["catalog-api"],
            "instances": [
                instance("catalog-1", "10.0.3.11:8080", "healthy", "GET /healthz -> 200"),
                instance("catalog-2", "10.0.3.12:8080", "healthy", "GET /healthz -> 200"),
                instance("catalog-3", "10.0.3.13:8080", "unhealthy", "GET /healthz -> 503, 37 in a row"),
            ],
        },
        "forwarded_path": "/x",
    })
}

fn shown(json: Value) -> String {
    let view = serde_json::from_value(json).expect("a view");
    unstyled(&text("http://shop.test/api/x", &view))
}

#[test]
fn a_request_that_is_served() {
    insta::assert_snapshot!(shown(served()), @r"
    GET http://shop.test/api/x  ->  catalog  (route catalog-api)   table 1284

      host        shop.test
      path        /api/x
          no      cart-api     shop.test  /api/cart  path differs    line 38
          YES     catalog-api  shop.test  /api       longest prefix  line 30
      service     catalog, least_request, 2 of 3 usable
          ok      catalog-1  10.0.3.11:8080  2 in flight  for 3 min: GET /healthz -> 200               lease 21 s left
          ok      catalog-2  10.0.3.12:8080  2 in flight  for 3 min: GET /healthz -> 200               lease 21 s left
          DOWN    catalog-3  10.0.3.13:8080  2 in flight  for 3 min: GET /healthz -> 503, 37 in a row  lease 21 s left
      would send  GET /x, to one of 2 instances
    ");
}

#[test]
fn a_request_that_matches_no_route() {
    let json = json!({
        "version": 7, "method": "GET", "host": "shop.tset", "path": "/", "reason": "no_route",
        "status": 404, "summary": "host shop.tset is not served; nearest: shop.test",
        "considered": [],
    });
    insta::assert_snapshot!(shown(json), @r"
    GET http://shop.test/api/x  ->  404 no_route   table 7

      host shop.tset is not served; nearest: shop.test

      host        shop.tset
      path        /
    ");
}

#[test]
fn a_service_without_a_healthy_instance() {
    let mut json = served();
    json["reason"] = json!("no_healthy_instance");
    json["status"] = json!(503);
    json["summary"] = json!("catalog has no healthy instance");
    json["service"]["routable"] = json!(0);
    json["service"]["instances"] =
        json!([instance("catalog-3", "10.0.3.13:8080", "unhealthy", "connection refused")]);
    insta::assert_snapshot!(shown(json), @r"
    GET http://shop.test/api/x  ->  503 no_healthy_instance  (route catalog-api)   table 1284

      catalog has no healthy instance

      host        shop.test
      path        /api/x
          no      cart-api     shop.test  /api/cart  path differs    line 38
          YES     catalog-api  shop.test  /api       longest prefix  line 30
      service     catalog, least_request, 0 of 1 usable
          DOWN    catalog-3  10.0.3.13:8080  2 in flight  for 3 min: connection refused  lease 21 s left
    ");
}

#[test]
fn a_redirect() {
    let json = json!({
        "version": 7, "method": "GET", "host": "shop.test", "path": "/api/x", "reason": "redirect",
        "status": 308, "summary": "redirected", "considered": [], "route": "old",
        "location": "https://shop.test/api/x",
    });
    insta::assert_snapshot!(shown(json), @r"
    GET http://shop.test/api/x  ->  308 redirect to https://shop.test/api/x  (route old)   table 7

      host        shop.test
      path        /api/x
    ");
}

#[test]
fn urls_may_lack_the_scheme_but_not_the_host() {
    assert_eq!(full_url("shop.test:80/x").expect("a URL"), "http://shop.test:80/x");
    for bad in ["", "/x", "http://", "a b"] {
        assert!(full_url(bad).is_err(), "{bad}");
    }
}

fn args(headers: &[&str], format: super::super::output::Format) -> ExplainArgs {
    ExplainArgs {
        method: "GET".to_owned(),
        url: "shop.test/a?b=c&d".to_owned(),
        headers: headers.iter().map(|header| (*header).to_owned()).collect(),
        format: FormatArgs { format },
    }
}

#[tokio::test]
async fn the_question_is_escaped_and_the_json_is_left_as_it_is() {
    let admin = FakeAdmin::start(|_| {
        let mut json = served();
        json["from_the_future"] = json!(1);
        (200, json.to_string())
    })
    .await;
    let args = args(&["X-Beta: 1"], super::super::output::Format::Json);
    let said = args.ask(&admin.client).await.expect("an answer");
    assert_eq!(said.exit, Exit::Ok);
    let read: Value = serde_json::from_str(&said.out).expect("JSON");
    assert_eq!(read["from_the_future"], 1);
    assert_eq!(
        admin.asked()[0].0,
        "GET /api/v1/explain?method=GET&url=http%3A%2F%2Fshop.test%2Fa%3Fb%3Dc%26d\
         &header=X-Beta%3A%201 Bearer secret"
    );
}

#[tokio::test]
async fn an_error_of_the_proxy_is_a_no() {
    let admin = FakeAdmin::start(|_| {
        let mut json = served();
        json["reason"] = json!("no_healthy_instance");
        (200, json.to_string())
    })
    .await;
    let plain = super::super::output::Format::Text;
    let said = args(&[], plain).ask(&admin.client).await.expect("an answer");
    assert_eq!(said.exit, Exit::No);
    let error = args(&["no colon"], plain).ask(&admin.client).await.expect_err("no header");
    assert_eq!(Exit::of(&error), Exit::Usage);
}

#[test]
fn one_word_is_the_url_and_two_are_method_and_url() {
    use clap::Parser;
    #[derive(Parser)]
    struct Parsed {
        #[command(flatten)]
        args: ExplainArgs,
    }
    let parse = |words: &[&str]| {
        let words = ["explain"].iter().chain(words);
        let args = Parsed::try_parse_from(words).expect("arguments").args;
        (args.method, args.url)
    };
    assert_eq!(parse(&["shop.test"]), ("GET".to_owned(), "shop.test".to_owned()));
    assert_eq!(parse(&["POST", "shop.test"]), ("POST".to_owned(), "shop.test".to_owned()));
}
