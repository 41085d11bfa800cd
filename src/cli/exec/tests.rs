//! Tests of `exec` against an admin API that is made up. How it treats real
//! commands and signals is tested from outside.

use std::{
    future::Future,
    sync::atomic::{AtomicUsize, Ordering},
};

use serde_json::json;

use super::{
    super::{client::ClientError, testing::FakeAdmin},
    *,
};

const TTL: Duration = Duration::from_millis(300);

fn registration(admin: &FakeAdmin) -> Registration {
    let key = "orders/a".parse().expect("a key");
    Registration::new(admin.client.clone(), &key, json!({ "address": "http://127.0.0.1:1" }), TTL)
}

fn registered() -> (u16, String) {
    let view = r#"{"created":true,"routed":true,"version":9,"instance":{
        "service":"orders","id":"a","origin":"http://127.0.0.1:1","source":"registry",
        "state":"healthy","since_ms":3,"why":"","routable":true,
        "generation":1,"in_flight":0,"requests":0,"failures":0}}"#;
    (201, view.to_owned())
}

fn left(in_flight: u32) -> (u16, String) {
    let drained = in_flight == 0;
    let status = if drained { 200 } else { 202 };
    let view = json!({
        "drained": drained, "in_flight": in_flight, "completed": 0, "version": 9, "found": true,
    });
    (status, view.to_string())
}

fn missing() -> (u16, String) {
    (404, r#"{"title":"It is not registered","status":404}"#.to_owned())
}

fn calls(admin: &FakeAdmin) -> Vec<String> {
    let calls = admin.asked().into_iter().map(|(call, _)| call);
    calls.map(|call| call.replace("/api/v1/services/orders/instances/a", "A")).collect()
}

/// Polls `going` until `seen` holds.
async fn until(going: impl Future<Output = ()>, seen: impl Fn() -> bool) {
    let mut going = std::pin::pin!(going);
    while !seen() {
        let tick = sleep(Duration::from_millis(2));
        tokio::select! {
            () = &mut going => panic!("it ended"),
            () = tick => {}
        }
    }
}

#[test]
fn an_id_is_made_of_what_tells_processes_apart() {
    let key = |text: &str, host: &str| {
        let name: Name = text.parse().expect("a name");
        name.key(host, 7).expect("a key").to_string()
    };
    assert_eq!(key("orders/a", "box"), "orders/a");
    assert_eq!(key("orders", "box.example"), "orders/orders-box.example-7");
    assert_eq!(key("orders", "büx_1"), "orders/orders-b-x-1-7");
    key(&"s".repeat(63), &"h".repeat(300));
    assert!("orders/".parse::<Name>().is_err());
    assert!("Orders".parse::<Name>().is_err());
}

#[tokio::test]
async fn a_drain_is_asked_for_until_it_is_done() {
    let asked = AtomicUsize::new(0);
    let admin = FakeAdmin::start(move |call| match call.contains("heartbeat") {
        true => (200, "{}".to_owned()),
        false => left(u32::from(asked.fetch_add(1, Ordering::Relaxed) == 0)),
    })
    .await;
    let drained = registration(&admin).drain(Duration::from_secs(60)).await;
    assert!(matches!(drained, Drained::Safe), "{drained:?}");
    let drain = "POST A/drain?wait=drained&timeout=100ms&generation=0 Bearer secret";
    assert_eq!(calls(&admin), [drain, "POST A/heartbeat?generation=0 Bearer secret", drain]);
}

#[tokio::test]
async fn a_drain_ends_in_time() {
    let admin = FakeAdmin::start(|call| match call.contains("heartbeat") {
        true => (200, "{}".to_owned()),
        false => left(3),
    })
    .await;
    let drained = registration(&admin).drain(Duration::from_millis(50)).await;
    assert!(matches!(drained, Drained::Late { in_flight: 3 }), "{drained:?}");
}

#[tokio::test]
async fn what_was_forgotten_is_drained_all_the_same() {
    let admin = FakeAdmin::start(|call| match call.starts_with("POST") {
        true => missing(),
        false => left(0),
    })
    .await;
    let drained = registration(&admin).drain(Duration::from_secs(60)).await;
    assert!(matches!(drained, Drained::Safe), "{drained:?}");
    assert!(calls(&admin)[1].starts_with("DELETE A?wait=drained"), "{:?}", calls(&admin));
}

#[tokio::test]
async fn a_proxy_that_says_no_does_not_hold_up_a_stop() {
    let admin = FakeAdmin::start(|_| (403, r#"{"title":"no"}"#.to_owned())).await;
    let drained = registration(&admin).drain(Duration::from_millis(50)).await;
    assert!(matches!(drained, Drained::Unknown(ClientError::Refused(_))), "{drained:?}");
}

#[tokio::test]
async fn what_was_forgotten_is_registered_again_until_it_leaves() {
    let admin = FakeAdmin::start(|call| match call.contains("heartbeat") {
        true => missing(),
        false => registered(),
    })
    .await;
    let leaving = CancellationToken::new();
    let (standing, seen) = watch::channel(Standing::default());
    let address = "127.0.0.1:1".parse().expect("an address");
    let live = registration(&admin).live(address, standing, leaving.clone());
    let puts = || calls(&admin).iter().filter(|call| call.starts_with("PUT A ")).count();
    let mut live = std::pin::pin!(live);
    until(live.as_mut(), || puts() > 1).await;
    assert!(seen.borrow().routable);
    leaving.cancel();
    live.await;
    let first = "PUT A?wait=routable&timeout=100ms Bearer secret";
    assert_eq!(calls(&admin)[0], first);
}

#[tokio::test]
async fn a_proxy_that_is_not_there_yet_is_waited_for() {
    let asked = AtomicUsize::new(0);
    let admin = FakeAdmin::start(move |_| match asked.fetch_add(1, Ordering::Relaxed) {
        0 => (503, r#"{"title":"The proxy is shutting down"}"#.to_owned()),
        _ => registered(),
    })
    .await;
    let registration = registration(&admin);
    let at_once = registration.begin(Duration::ZERO).await;
    assert!(matches!(at_once, Err(ClientError::Refused(_))), "{at_once:?}");
    let admin = FakeAdmin::start(|_| (422, r#"{"title":"not valid"}"#.to_owned())).await;
    let refused = self::registration(&admin).begin(Duration::from_secs(600)).await;
    assert!(matches!(refused, Err(ClientError::Refused(_))), "{refused:?}");
    registration.begin(Duration::from_secs(600)).await.expect("registered");
}
