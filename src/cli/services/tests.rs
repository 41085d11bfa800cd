//! Tests of `services`.

use serde_json::json;

use super::{
    super::{
        output::Format,
        testing::{FakeAdmin, unstyled},
    },
    *,
};

fn instance(id: &str, state: &str, source: &str) -> Value {
    json!({
        "service": "orders", "id": id, "origin": "http://10.0.0.5:8080", "source": source,
        "state": state, "since_ms": 5_000, "why": "GET /healthz -> 200",
        "routable": state == "healthy", "generation": 1, "lease_left_ms": 7_000, "in_flight": 3,
        "requests": 1000, "failures": 4,
    })
}

fn service(name: &str, instances: &[Value]) -> Value {
    json!({
        "service": name, "balance": "least_request", "routable": 1, "panic": false,
        "routes": ["shop"], "instances": instances,
    })
}

fn orders() -> Value {
    service(
        "orders",
        &[
            instance("a", "healthy", "registry"),
            instance("b", "unhealthy", "registry"),
            instance("c", "starting", "proxy.toml"),
        ],
    )
}

#[test]
fn services_stand_in_a_table() {
    let views = [orders(), service("web", &[instance("d", "healthy", "proxy.toml")])]
        .map(|json| serde_json::from_value(json).expect("a view"));
    insta::assert_snapshot!(unstyled(&table(&views)), @r"
    SERVICE  USABLE  IN FLIGHT  REQUESTS  FAILURES  SOURCE
    orders      1/3          9      3000        12  registry (2), proxy.toml (1)
    web         1/1          3      1000         4  proxy.toml (1)
    ");
}

#[test]
fn one_service_shows_its_instances() {
    let view = serde_json::from_value(orders()).expect("a view");
    insta::assert_snapshot!(unstyled(&one(&view)), @r"
    orders   least_request, 1 of 3 usable   routes: shop

              INSTANCE  ADDRESS        WEIGHT  IN FLIGHT  REQUESTS  FAILURES  LEASE  SOURCE      WHY
    ok        a         10.0.0.5:8080     100          3      1000         4  7 s    registry    healthy for 5 s: GET /healthz -> 200
    DOWN      b         10.0.0.5:8080     100          3      1000         4  7 s    registry    unhealthy for 5 s: GET /healthz -> 200
    starting  c         10.0.0.5:8080     100          3      1000         4  7 s    proxy.toml  starting for 5 s: GET /healthz -> 200
    ");
}

#[test]
fn who_is_ejected_and_a_circuit_that_is_open_are_shown() {
    let mut ejected = instance("a", "healthy", "registry");
    ejected["routable"] = json!(false);
    ejected["why"] = json!("ejected for another 8s: 5 failures in a row");
    ejected["ejected"] = json!({
        "left_ms": 7_500, "cause": "consecutive_failures", "detail": "5 failures in a row",
        "times": 1,
    });
    let mut json = service("orders", &[ejected, instance("b", "healthy", "registry")]);
    json["circuit"] = json!({ "state": "open", "left_ms": 4_000, "opened": 2 });
    let view: ServiceView = serde_json::from_value(json).expect("a view");
    insta::assert_snapshot!(unstyled(&one(&view)), @r"
    orders   least_request, 1 of 2 usable   routes: shop
    CIRCUIT OPEN for 4 s: too many requests fail

             INSTANCE  ADDRESS        WEIGHT  IN FLIGHT  REQUESTS  FAILURES  LEASE  SOURCE    WHY
    ejected  a         10.0.0.5:8080     100          3      1000         4  7 s    registry  healthy for 5 s: ejected for another 8s: 5 failures in a row
    ok       b         10.0.0.5:8080     100          3      1000         4  7 s    registry  healthy for 5 s: GET /healthz -> 200
    ");
    insta::assert_snapshot!(unstyled(&table(&[view])), @r"
    SERVICE            USABLE  IN FLIGHT  REQUESTS  FAILURES  SOURCE
    orders   1/2 CIRCUIT OPEN          6      2000         8  registry (2)
    ");
}

#[test]
fn retries_are_shown_where_there_are_any() {
    let first_lines = |retries: u64, refused: u64| {
        let mut view: ServiceView = serde_json::from_value(orders()).expect("a view");
        (view.retries, view.retries_refused) = (retries, refused);
        unstyled(&one(&view)).lines().skip(1).take(1).collect::<String>()
    };
    insta::assert_snapshot!(first_lines(0, 0), @"");
    insta::assert_snapshot!(first_lines(1200, 0), @"1200 requests were sent once more");
    insta::assert_snapshot!(
        first_lines(1200, 300),
        @"1200 requests were sent once more, and 300 were not: retry budget spent"
    );
}

#[tokio::test]
async fn pages_are_put_together() {
    let admin = FakeAdmin::start(|call| {
        let page = match call.contains("cursor=a%20b") {
            false => json!({ "version": 3, "services": [orders()], "next": "a b" }),
            true => json!({ "version": 3, "services": [service("web", &[])] }),
        };
        (200, page.to_string())
    })
    .await;
    let args = ServicesArgs { name: None, format: super::FormatArgs { format: Format::Json } };
    let said = args.ask(&admin.client).await.expect("an answer");
    let read: ServicesView = serde_json::from_str(&said.out).expect("a view");
    let names: Vec<_> = read.services.iter().map(|view| view.service.as_str()).collect();
    assert_eq!((names.as_slice(), read.next), (["orders", "web"].as_slice(), None));
}
