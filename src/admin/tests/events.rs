//! The event stream: its format, and coming back to it.

use http_body_util::BodyExt;

use super::*;

/// The stream after `id`, read until `count` events have come.
async fn read(admin: &Admin, id: Option<&str>, count: usize) -> Vec<Vec<String>> {
    let mut request = request("GET", "/api/v1/events").header("host", "localhost");
    if let Some(id) = id {
        request = request.header("last-event-id", id);
    }
    let mut request = request.body(Body::empty()).expect("a request");
    request.extensions_mut().insert(Connection { peer: admin.peer, local: admin.local });
    let response = admin.router.clone().oneshot(request).await.expect("infallible");
    assert_eq!(response.headers()["content-type"], "text/event-stream");
    let mut body = response.into_body();
    let mut text = String::new();
    while text.matches("\n\n").count() < count {
        let frame = body.frame().await.expect("more").expect("no error");
        text.push_str(std::str::from_utf8(&frame.into_data().expect("data")).expect("UTF-8"));
    }
    text.trim_end().split("\n\n").map(|event| event.lines().map(str::to_owned).collect()).collect()
}

async fn register(admin: &Admin, ids: std::ops::Range<u32>) {
    for id in ids {
        let path = format!("/api/v1/services/orders/instances/{id}");
        assert_eq!(
            admin
                .put(&path, r#"{"address": "10.0.0.9:80", "health": {"kind": "ttl"}}"#)
                .await
                .status,
            201
        );
    }
}

/// The id of event `number` of this run.
fn id(admin: &Admin, number: u64) -> String {
    format!("{}-{number}", run(admin))
}

fn run(admin: &Admin) -> u64 {
    admin.plane.events_after(None).expect("kept").run
}

fn field<'a>(event: &'a [String], name: &str) -> Option<&'a str> {
    event.iter().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
}

#[tokio::test]
async fn a_client_that_comes_back_gets_what_it_missed() {
    let admin = Admin::local().await;
    register(&admin, 0..3).await;
    let events = read(&admin, Some(&id(&admin, 1)), 2).await;
    for (event, number) in events.iter().zip([2, 3]) {
        assert_eq!(field(event, "id"), Some(id(&admin, number).as_str()));
        assert_eq!(field(event, "event"), Some("registered"));
        let data: Value = serde_json::from_str(field(event, "data").expect("data")).expect("JSON");
        assert_eq!((&data["number"], &data["service"]), (&number.into(), &"orders".into()));
    }
}

#[tokio::test]
async fn what_happens_while_it_listens_is_sent_at_once() {
    let admin = Admin::local().await;
    let (events, ()) = tokio::join!(read(&admin, None, 2), register(&admin, 0..2));
    assert_eq!(field(&events[0], "id"), Some(id(&admin, 1).as_str()));
    assert_eq!(field(&events[1], "id"), Some(id(&admin, 2).as_str()));
}

#[tokio::test]
async fn a_history_that_is_gone_is_a_reset() {
    let admin = Admin::local().await;
    register(&admin, 0..3).await;
    let run = run(&admin);
    let (late, other) = (format!("{run}-4"), format!("{}-1", run.wrapping_add(1)));
    for id in [late, other, "nonsense".to_owned(), run.to_string()] {
        let events = read(&admin, Some(&id), 1).await;
        assert_eq!(field(&events[0], "event"), Some("reset"), "{id}");
        assert_eq!(field(&events[0], "id"), None, "{id}");
    }
}

#[tokio::test]
async fn a_client_too_slow_for_the_queue_catches_up_or_is_told() {
    for (count, first) in [(1500, "id: "), (4000, "event: reset\n")] {
        let admin = Admin::local().await;
        let mut request = request("GET", "/api/v1/events").header("host", "localhost");
        request = request.header("last-event-id", id(&admin, 0));
        let mut request = request.body(Body::empty()).expect("a request");
        request.extensions_mut().insert(Connection { peer: admin.peer, local: admin.local });
        let response = admin.router.clone().oneshot(request).await.expect("infallible");
        admin.plane.tell(count);
        let frame = response.into_body().frame().await.expect("more").expect("no error");
        let text = frame.into_data().expect("data");
        assert!(text.starts_with(first.as_bytes()), "{text:?}");
    }
}

#[tokio::test]
async fn streams_are_bounded() {
    let admin = Admin::local().await;
    let permits = admin.state.streams().acquire_many_owned(128).await.expect("open");
    assert_eq!(admin.ask("GET", "/api/v1/events").await.problem(), "limit_reached");
    drop(permits);
    register(&admin, 0..1).await;
    assert_eq!(read(&admin, Some(&id(&admin, 0)), 1).await.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn silence_is_broken_by_a_comment() {
    let admin = Admin::local().await;
    let start = tokio::time::Instant::now();
    let events = read(&admin, None, 1).await;
    assert_eq!(events[0], [": keep-alive"]);
    assert_eq!(start.elapsed().as_secs(), 15);
}
