//! Tests of `register`.

use clap::Parser;
use serde_json::json;

use super::{
    super::testing::{FakeAdmin, unstyled},
    *,
};

#[derive(Parser)]
struct Parsed {
    #[command(flatten)]
    args: RegisterArgs,
}

fn args(words: &str) -> RegisterArgs {
    let words = ["register", "orders/a"].into_iter().chain(words.split_whitespace());
    Parsed::try_parse_from(words).expect("arguments").args
}

fn answer(routed: bool) -> String {
    let waiting = if routed { "" } else { r#""waiting_for":"its first probe","# };
    let state = if routed { "healthy" } else { "starting" };
    format!(
        r#"{{"created":true,"routed":{routed},{waiting}"version":9,"instance":{{
            "service":"orders","id":"a","origin":"http://10.0.0.5:80","source":"registry",
            "state":"{state}","since_ms":3,"why":"no probe yet","routable":{routed},
            "generation":1,"in_flight":0,"requests":0,"failures":0}}}}"#
    )
}

#[tokio::test]
async fn what_is_said_is_what_is_registered() {
    let admin = FakeAdmin::start(|_| (201, answer(true))).await;
    let args = args(
        "--address 10.0.0.5 --port 80 --ttl 10s --weight 7 --health-path /h --tag x --tag y \
         --meta k=v=w --zone z --version-label 1.2 --wait --timeout 3s",
    );
    let said = args.ask(&admin.client).await.expect("an answer");
    assert_eq!(said.exit, Exit::Ok);
    insta::assert_snapshot!(unstyled(&said.out),
        @"orders/a registered at 10.0.0.5:80: healthy, every worker routes to it (table 9)");
    let (call, body) = &admin.asked()[0];
    let path = "/api/v1/services/orders/instances/a?wait=routable&timeout=3000ms";
    assert_eq!(call, &format!("PUT {path} Bearer secret"));
    let body: Value = serde_json::from_str(body).expect("JSON");
    assert_eq!(
        body,
        json!({
            "address": "http://10.0.0.5:80", "ttl": "10s", "weight": 7, "zone": "z",
            "version": "1.2", "tags": ["x", "y"], "metadata": { "k": "v=w" },
            "health": { "path": "/h" },
        })
    );
}

#[tokio::test]
async fn a_wait_that_ran_out_is_a_no() {
    let admin = FakeAdmin::start(|_| (202, answer(false))).await;
    let waited = args("--address 10.0.0.5:80 --wait").ask(&admin.client).await.expect("an answer");
    assert_eq!(waited.exit, Exit::No);
    insta::assert_snapshot!(unstyled(&waited.out),
        @"orders/a registered at 10.0.0.5:80: starting, waiting for its first probe (table 9)");
    let not_waited = args("--address 10.0.0.5:80").ask(&admin.client).await.expect("an answer");
    assert_eq!(not_waited.exit, Exit::Ok);
    let body = r#"{"address":"http://10.0.0.5:80"}"#;
    assert_eq!(admin.asked()[1].1, body);
}

#[test]
fn addresses_come_whole_or_in_two() {
    let port = NonZeroU16::new(80);
    let text = |address, port| match Place::named(address, port).expect("a place") {
        Place::At(origin) => origin.to_string(),
        Place::Port(port) => panic!("only {port}"),
    };
    assert_eq!(text("10.0.0.5:80", None), "http://10.0.0.5:80");
    assert_eq!(text("::1", port), "http://[::1]:80");
    assert_eq!(text("http://orders.internal", port), "http://orders.internal:80");
    let error = Place::named("10.0.0.5", None).expect_err("no port");
    assert_eq!(Exit::of(&error), Exit::Usage);
    assert!(Place::named("10.0.0.5:80", port).is_err());
}

#[tokio::test]
async fn a_heartbeat_tells_what_is_left() {
    let admin = FakeAdmin::start(|_| (200, r#"{"lease_left_ms":10000}"#.to_owned())).await;
    let args = HeartbeatArgs { key: "orders/a".parse().expect("a key") };
    let said = args.ask(&admin.client).await.expect("an answer");
    assert_eq!(said.out, "orders/a renewed, lease 10 s left\n");
    let call = "POST /api/v1/services/orders/instances/a/heartbeat Bearer secret";
    assert_eq!(admin.asked()[0].0, call);
}

#[tokio::test]
async fn a_heartbeat_of_nobody_is_a_no() {
    let admin = FakeAdmin::start(|_| (404, r#"{"title":"unknown instance"}"#.to_owned())).await;
    let args = HeartbeatArgs { key: "orders/a".parse().expect("a key") };
    let said = args.ask(&admin.client).await.expect("an answer");
    assert_eq!((said.exit, said.out.as_str()), (Exit::No, ""));
    assert!(said.err.contains("portolan register"), "{}", said.err);
}
