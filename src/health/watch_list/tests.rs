//! What the watch list reports, keeps and forgets.

use std::time::Duration;

use super::*;
use crate::{
    health::prober::tests::target,
    model::{HealthSettings, Verdict},
};

const SECOND: Duration = Duration::from_secs(1);

fn list(now: Instant) -> WatchList {
    WatchList::new(&ProberSettings::default(), AddressGuard::new(false, Vec::new()), now)
}

fn outcome(detail: &str) -> Outcome {
    let refused = detail.ends_with("refused");
    Outcome { passed: detail == "ok", refused, detail: detail.to_owned(), took: Duration::ZERO }
}

/// A probe that runs until it is broken off.
fn running() -> AbortHandle {
    tokio::spawn(std::future::pending::<()>()).abort_handle()
}

/// Takes the only endpoint out of the queue and concludes its probe.
fn probe(list: &mut WatchList, now: Instant, detail: &str) -> Option<ProbeReport> {
    let target = list.next_due(now, 0).expect("it is due");
    let probe = running();
    list.begun(target.endpoint, probe.clone());
    assert!(list.next_wake(0).is_none(), "what is being probed is not due");
    list.conclude(target.endpoint, probe.id(), outcome(detail), now)
}

#[tokio::test]
async fn only_news_are_reported_but_the_last_probe_is_always_known() {
    let mut now = Instant::now();
    let mut list = list(now);
    let target = target("10.0.0.1:80", &HealthSettings::default());
    let endpoint = target.endpoint;
    list.watch(target, now);
    assert_eq!(list.last(endpoint, now), None);
    for (detail, news) in [
        ("500", Some((Verdict::Unknown, false, 1))),
        ("500", None),
        ("ok", Some((Verdict::Passing, true, 1))),
        ("ok", None),
        ("connect: refused", Some((Verdict::Passing, false, 1))),
        ("connect: refused", None),
        ("connect: refused", Some((Verdict::Failing, true, 3))),
        ("connect: refused", None),
        ("503", Some((Verdict::Failing, false, 5))),
        ("ok", Some((Verdict::Passing, true, 1))),
    ] {
        now += 10 * SECOND;
        let report = probe(&mut list, now, detail);
        let told = report.map(|report| (report.verdict, report.changed, report.in_a_row));
        assert_eq!(told, news, "{detail}");
        let last = list.last(endpoint, now + SECOND).expect("a probe");
        assert_eq!((last.outcome, last.ago), (outcome(detail), SECOND));
    }
    assert_eq!(list.counts(), ProbeCounts { passed: 3, failed: 7 });
}

#[tokio::test]
async fn an_equal_target_changes_nothing_and_another_one_keeps_the_verdict() {
    let now = Instant::now();
    let mut list = list(now);
    let mut target = target("10.0.0.1:80", &HealthSettings::default());
    let endpoint = target.endpoint;
    list.watch(target.clone(), now);
    probe(&mut list, now, "ok").expect("the first outcome");
    let due = list.next_wake(0);
    assert!(due > Some(now));

    list.watch(target.clone(), now);
    assert_eq!(list.next_wake(0), due);

    target.check.interval = SECOND;
    list.watch(target.clone(), now);
    assert_eq!(list.last(endpoint, now).map(|last| last.verdict), Some(Verdict::Passing));
    let running = running();
    assert_eq!(list.next_due(now, 0).as_deref(), Some(&target));
    list.begun(endpoint, running.clone());

    // A probe by the old check is broken off, and believed no more even if it
    // ended just before.
    target.check.interval = 2 * SECOND;
    list.watch(target.clone(), now);
    assert!(list.conclude(endpoint, running.id(), outcome("500"), now).is_none());
    assert_eq!(list.last(endpoint, now).map(|last| last.outcome), Some(outcome("ok")));
    tokio::task::yield_now().await;
    assert!(running.is_finished());
    assert_eq!(list.next_due(now, 0).as_deref(), Some(&target));
}

#[tokio::test]
async fn what_is_unwatched_is_forgotten() {
    let now = Instant::now();
    let mut list = list(now);
    let settings = HealthSettings { interval: Some("10ms".parse().unwrap()), ..Default::default() };
    let slow = ProberSettings { max_per_second: 10.try_into().unwrap(), ..Default::default() };
    list.configure(&slow, now);
    let target = target("10.0.0.1:80", &settings);
    let endpoint = target.endpoint;
    list.watch(target, now);
    assert_eq!(list.stretch(), 10.0);
    list.next_due(now, 0).expect("it is due");
    let running = running();
    list.begun(endpoint, running.clone());
    list.unwatch(endpoint);
    list.unwatch(endpoint);
    assert_eq!(list.stretch(), 1.0);
    assert!(list.conclude(endpoint, running.id(), outcome("ok"), now).is_none());
    list.retry(endpoint, running.id(), now);
    list.discard(endpoint, running.id(), now);
    assert_eq!((list.next_wake(0), list.last(endpoint, now)), (None, None));
    tokio::task::yield_now().await;
    assert!(running.is_finished());
}
