//! The loop in virtual time, with probes that are written down.

use std::sync::{
    Mutex,
    atomic::{AtomicUsize, Ordering},
};

use tokio::{
    sync::mpsc::{UnboundedReceiver, unbounded_channel},
    time::sleep,
};

use super::*;
use crate::{
    health::{Outcome, ProbeCounts, Prober, ProberSettings, prober::tests::target},
    model::{HealthSettings, HumanDuration, Verdict},
};

const fn millis(count: u64) -> Duration {
    Duration::from_millis(count)
}

fn settings(max_per_second: u32, max_concurrent: u32) -> ProberSettings {
    ProberSettings {
        max_per_second: max_per_second.try_into().expect("not zero"),
        max_concurrent: max_concurrent.try_into().expect("not zero"),
    }
}

fn every(interval_millis: u64) -> Target {
    let interval = Some(HumanDuration::from_millis(interval_millis));
    target("10.0.0.1:80", &HealthSettings { interval, ..HealthSettings::default() })
}

fn known(passed: bool) -> Conclusion {
    let detail = if passed { "ok" } else { "bad" }.to_owned();
    Conclusion::Known(Outcome { passed, refused: false, detail, took: Duration::ZERO })
}

fn ours() -> Conclusion {
    Conclusion::Ours(Failure::Connect(rustix::io::Errno::MFILE.into()))
}

/// When probes began, and how many run.
#[derive(Debug, Default)]
struct Seen {
    starts: Mutex<Vec<(Instant, EndpointId)>>,
    running: AtomicUsize,
    most: AtomicUsize,
}

impl Seen {
    fn starts(&self) -> Vec<(Instant, EndpointId)> {
        self.starts.lock().expect("no panic").clone()
    }

    fn begin(self: &Arc<Self>, endpoint: EndpointId) -> Running {
        self.starts.lock().expect("no panic").push((Instant::now(), endpoint));
        let running = self.running.fetch_add(1, Ordering::Relaxed) + 1;
        self.most.fetch_max(running, Ordering::Relaxed);
        Running(Arc::clone(self))
    }
}

struct Running(Arc<Seen>);

impl Drop for Running {
    fn drop(&mut self) {
        self.0.running.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A prober whose probes take `took` and end as `conclude` says, given how
/// many began before.
fn prober(
    settings: &ProberSettings,
    took: Duration,
    conclude: impl Fn(usize) -> Conclusion + Send + Sync + 'static,
) -> (Prober, Arc<Seen>, UnboundedReceiver<ProbeReport>) {
    let (sender, reports) = unbounded_channel();
    let seen = Arc::new(Seen::default());
    let probes = Arc::clone(&seen);
    let conclude = Arc::new(conclude);
    let guard = AddressGuard::new(false, Vec::new());
    let probe = move |target: Arc<Target>, _| {
        let (probes, conclude) = (Arc::clone(&probes), Arc::clone(&conclude));
        async move {
            let before = probes.starts().len();
            let _running = probes.begin(target.endpoint);
            sleep(took).await;
            match conclude(before) {
                Conclusion::Known(outcome) => Conclusion::Known(Outcome { took, ..outcome }),
                ours => ours,
            }
        }
    };
    (Prober::start_with(settings, guard, sender, probe), seen, reports)
}

fn told(report: ProbeReport) -> (Verdict, bool, u32) {
    (report.verdict, report.changed, report.in_a_row)
}

#[tokio::test(start_paused = true)]
async fn the_first_probe_is_at_once_and_the_others_at_the_interval() {
    let (prober, seen, mut reports) = prober(&settings(100, 10), millis(20), |_| known(true));
    let target = every(1000);
    let begun = Instant::now();
    prober.watch(target.clone());
    let report = reports.recv().await.expect("a report");
    assert_eq!((report.endpoint, report.verdict), (target.endpoint, Verdict::Passing));
    sleep(millis(20_000)).await;
    let starts = seen.starts();
    assert_eq!(starts[0].0, begun);
    for pair in starts.windows(2) {
        let gap = pair[1].0 - pair[0].0;
        assert!((millis(900)..=millis(1101)).contains(&gap), "{gap:?}");
    }
    assert!(starts.len() >= 18);
    assert!(reports.try_recv().is_err(), "passing again is no news");
    let last = prober.last(target.endpoint).expect("a probe");
    assert!(last.in_a_row >= 18 && last.ago <= millis(1100));
    assert_eq!(prober.stretch(), 1.0);
    assert_eq!(prober.counts().failed, 0);
}

#[tokio::test(start_paused = true)]
async fn an_instance_that_takes_a_while_to_start_is_found_soon_after() {
    let up = Instant::now() + millis(300);
    let (prober, seen, mut reports) =
        prober(&settings(100, 10), millis(1), move |_| known(Instant::now() >= up));
    prober.watch(every(60_000));
    assert_eq!(reports.recv().await.map(told), Some((Verdict::Unknown, false, 1)));
    let mut report = reports.recv().await.map(told);
    if report == Some((Verdict::Failing, true, 3)) {
        report = reports.recv().await.map(told);
    }
    assert_eq!(report, Some((Verdict::Passing, true, 1)));
    assert!(Instant::now() < up + millis(500));
    assert!(seen.starts().len() <= 4);
}

#[tokio::test(start_paused = true)]
async fn a_probe_that_outlasts_its_interval_does_not_overlap_itself() {
    let (prober, seen, _reports) = prober(&settings(100, 10), millis(350), |_| known(true));
    prober.watch(every(100));
    sleep(millis(7000)).await;
    assert_eq!(seen.most.load(Ordering::Relaxed), 1);
    assert!(seen.starts().len() >= 18);
}

#[tokio::test(start_paused = true)]
async fn a_failed_instance_comes_back_after_as_many_passes_as_configured() {
    let outcomes = [true, false, false, true, true, true];
    let (prober, _seen, mut reports) =
        prober(&settings(100, 10), millis(1), move |nth| known(nth >= 6 || outcomes[nth]));
    let mut target = every(1000);
    (target.check.healthy_after, target.check.unhealthy_after) = (3, 2);
    prober.watch(target);
    let mut news = Vec::new();
    while news.len() < 5 {
        news.push(told(reports.recv().await.expect("a report")));
    }
    let expected = [
        (Verdict::Passing, true, 1),
        (Verdict::Passing, false, 1),
        (Verdict::Failing, true, 2),
        (Verdict::Failing, false, 1),
        (Verdict::Passing, true, 3),
    ];
    assert_eq!(news, expected);
}

#[tokio::test(start_paused = true)]
async fn unwatching_and_changing_break_off_the_probe_under_way() {
    let (prober, seen, mut reports) = prober(&settings(100, 10), millis(1500), |_| known(true));
    let mut target = every(5000);
    prober.watch(target.clone());
    sleep(millis(10)).await;
    assert_eq!(seen.starts().len(), 1);
    target.check.unhealthy_after = 1;
    prober.watch(target.clone());
    sleep(millis(10)).await;
    assert_eq!((seen.starts().len(), seen.running.load(Ordering::Relaxed)), (2, 1));
    prober.unwatch(target.endpoint);
    sleep(millis(60_000)).await;
    assert_eq!((seen.starts().len(), seen.running.load(Ordering::Relaxed)), (2, 0));
    assert!(reports.try_recv().is_err());
    assert_eq!(prober.last(target.endpoint), None);
}

#[tokio::test(start_paused = true)]
async fn failures_of_our_own_are_no_verdict() {
    let (prober, seen, mut reports) = prober(&settings(100, 10), millis(1), |nth| match nth {
        0 => known(true),
        1..10 => ours(),
        10 => panic!("a probe gone wrong"),
        _ => known(false),
    });
    let target = every(1000);
    prober.watch(target.clone());
    assert_eq!(reports.recv().await.map(told), Some((Verdict::Passing, true, 1)));
    sleep(millis(500)).await;
    while seen.starts().len() < 11 {
        assert_eq!(prober.last(target.endpoint).map(|last| last.verdict), Some(Verdict::Passing));
        assert_eq!(prober.counts(), ProbeCounts { passed: 1, failed: 0 });
        sleep(millis(100)).await;
    }
    assert_eq!(reports.recv().await.map(told), Some((Verdict::Passing, false, 1)));
}

#[tokio::test(start_paused = true)]
async fn what_was_under_way_during_a_stall_of_our_own_is_asked_again() {
    let (prober, seen, mut reports) =
        prober(&settings(100, 10), millis(2000), |nth| known(nth != 1));
    prober.watch(every(5000));
    assert_eq!(reports.recv().await.map(told), Some((Verdict::Passing, true, 1)));
    while seen.starts().len() < 2 {
        sleep(millis(50)).await;
    }
    // The second probe is under way and would fail, and this process stops.
    tokio::time::advance(Duration::from_secs(60)).await;
    sleep(millis(50)).await;
    assert_eq!((seen.starts().len(), seen.running.load(Ordering::Relaxed)), (3, 1));
    sleep(millis(2100)).await;
    assert_eq!(prober.counts(), ProbeCounts { passed: 2, failed: 0 });
    assert!(reports.try_recv().is_err());
}

#[tokio::test(start_paused = true)]
async fn ten_thousand_endpoints_stay_within_the_bounds() {
    const COUNT: usize = 10_000;
    let (prober, seen, mut reports) = prober(&settings(1000, 50), millis(20), |_| known(true));
    let begun = Instant::now();
    for _ in 0..COUNT {
        prober.watch(every(5000));
    }
    assert_eq!(prober.stretch(), 2.0);
    for _ in 0..COUNT {
        assert!(reports.recv().await.expect("a report").changed);
    }
    let first_round = begun.elapsed();
    assert!((millis(9_900)..millis(11_000)).contains(&first_round), "{first_round:?}");
    sleep(millis(30_000)).await;
    assert!(seen.most.load(Ordering::Relaxed) <= 50);
    let mut times = seen.starts().into_iter().map(|(at, _)| (at - begun).as_secs());
    let mut per_second = vec![0_usize; 50];
    times.by_ref().for_each(|second| per_second[second as usize] += 1);
    assert!(per_second.iter().all(|count| *count <= 1064), "{per_second:?}");
    // The intervals stretch to 10 s, so that the rate is used and no queue
    // builds up.
    let mut gaps = HashMap::<EndpointId, Vec<Instant>>::new();
    seen.starts().into_iter().for_each(|(at, endpoint)| gaps.entry(endpoint).or_default().push(at));
    assert_eq!(gaps.len(), COUNT);
    for starts in gaps.values() {
        assert!(starts.len() >= 3);
        for pair in starts.windows(2) {
            let gap = pair[1] - pair[0];
            assert!((millis(9_000)..millis(13_000)).contains(&gap), "{gap:?}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn slow_answers_stretch_the_intervals_too() {
    let (prober, seen, _reports) = prober(&settings(1000, 5), millis(1000), |_| known(true));
    (0..50).for_each(|_| prober.watch(every(1000)));
    sleep(millis(100)).await;
    assert_eq!(seen.running.load(Ordering::Relaxed), 5);
    sleep(millis(60_000)).await;
    assert!(prober.stretch() > 9.0, "{}", prober.stretch());
    // More room is used from the next moment on.
    prober.configure(&settings(1000, 100));
    assert_eq!(prober.stretch(), 1.0);
    sleep(millis(30_000)).await;
    assert!(seen.most.load(Ordering::Relaxed) > 40);
}

#[tokio::test(start_paused = true)]
async fn the_loop_ends_with_its_handles_or_its_listener() {
    let (kept, seen, mut reports) = prober(&settings(100, 10), millis(1000), |_| known(true));
    kept.watch(every(1000));
    let other = kept.clone();
    drop(kept);
    assert!(reports.recv().await.is_some());
    drop(other);
    assert!(reports.recv().await.is_none());
    assert_eq!(seen.running.load(Ordering::Relaxed), 0);

    let (kept, seen, reports) = prober(&settings(100, 10), millis(1000), |_| known(true));
    kept.watch(every(1000));
    sleep(millis(10)).await;
    drop(reports);
    sleep(millis(60_000)).await;
    assert_eq!((seen.starts().len(), seen.running.load(Ordering::Relaxed)), (1, 0));
}

#[tokio::test(start_paused = true)]
async fn who_refuses_a_request_is_out_and_asked_often_until_it_is_back() {
    let (prober, seen, mut reports) = prober(&settings(100, 10), millis(1), |nth| known(nth != 1));
    let mut target = every(60_000);
    target.check.healthy_after = 2;
    prober.watch(target.clone());
    assert_eq!(reports.recv().await.map(told), Some((Verdict::Passing, true, 1)));
    prober.refused(target.endpoint);
    let refused = reports.recv().await.expect("a report");
    assert!(refused.outcome.refused && refused.outcome.detail.contains("request path"));
    assert_eq!(told(refused), (Verdict::Failing, true, 1));
    prober.refused(target.endpoint);
    // The first probe fails, the two after it pass.
    let begun = Instant::now();
    assert_eq!(reports.recv().await.map(told), Some((Verdict::Failing, false, 2)));
    assert_eq!(reports.recv().await.map(told), Some((Verdict::Failing, false, 1)));
    assert_eq!(reports.recv().await.map(told), Some((Verdict::Passing, true, 2)));
    assert!(begun.elapsed() < millis(500), "{:?}", begun.elapsed());
    let probes = seen.starts().len();
    sleep(millis(30_000)).await;
    assert_eq!(seen.starts().len(), probes, "then it is one of many again");
    prober.refused(every(1000).endpoint);
    assert!(reports.try_recv().is_err(), "nobody knows it");
}

#[tokio::test(start_paused = true)]
async fn a_pass_that_was_under_way_says_nothing_against_a_refusal() {
    let (prober, _seen, mut reports) =
        prober(&settings(100, 10), millis(200), |nth| known(nth < 2));
    let target = every(1000);
    prober.watch(target.clone());
    assert_eq!(reports.recv().await.map(told), Some((Verdict::Passing, true, 1)));
    sleep(millis(1000)).await;
    prober.refused(target.endpoint);
    sleep(millis(5000)).await;
    assert_eq!(reports.recv().await.map(told), Some((Verdict::Failing, true, 1)));
    while let Ok(report) = reports.try_recv() {
        assert_eq!(report.verdict, Verdict::Failing);
    }
}

#[tokio::test(start_paused = true)]
async fn a_service_that_never_answers_leaves_room_for_the_others() {
    let (prober, seen, _reports) = prober(&settings(1000, 8), millis(60_000), |_| known(false));
    let (mute, other) = (every(1000), Target { service: "other".parse().unwrap(), ..every(1000) });
    (0..100).for_each(|_| prober.watch(Target { endpoint: every(1).endpoint, ..mute.clone() }));
    prober.watch(other.clone());
    sleep(millis(2000)).await;
    let begun = |endpoint| seen.starts().iter().any(|(_, begun)| *begun == endpoint);
    assert!(begun(other.endpoint), "it is due last");
    assert_eq!(seen.running.load(Ordering::Relaxed), 5);
    // All of the others come in their turn.
    sleep(millis(60_000 * 30)).await;
    let probed: std::collections::HashSet<_> =
        seen.starts().into_iter().map(|(_, endpoint)| endpoint).collect();
    assert_eq!(probed.len(), 101);
}
