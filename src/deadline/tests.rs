//! Deadlines on a worker of their own.

use tokio::runtime::LocalRuntime;

use super::*;

fn on_a_worker<F: Future>(test: impl FnOnce() -> F) -> F::Output {
    let ticker = Ticker::start().expect("a thread");
    let runtime = LocalRuntime::new().expect("a runtime");
    runtime.block_on(async {
        let sweeper = tokio::task::spawn_local(sweep(ticker.handle(), || false, || {}));
        let output = test().await;
        sweeper.abort();
        output
    })
}

#[test]
fn a_phase_ends_late_but_never_early() {
    on_a_worker(|| async {
        for millis in [1, 60, 120] {
            let deadline = Deadline::new();
            let begun = Instant::now();
            deadline.set(Duration::from_millis(millis));
            let outcome = deadline.limit(std::future::pending::<()>()).await;
            assert_eq!(outcome, Err(Elapsed::Phase));
            assert!(begun.elapsed() >= Duration::from_millis(millis));
        }
    });
}

#[test]
fn nor_is_it_early_when_the_worker_was_held_up() {
    on_a_worker(|| async {
        // So that there are ticks.
        let other = Deadline::new();
        other.set(Duration::from_millis(120));
        assert_eq!(other.limit(std::future::pending::<()>()).await, Err(Elapsed::Phase));
        thread::sleep(Duration::from_millis(500));
        let (deadline, begun) = (Deadline::new(), Instant::now());
        deadline.set(Duration::from_millis(200));
        let outcome = deadline.limit(std::future::pending::<()>()).await;
        assert_eq!(outcome, Err(Elapsed::Phase));
        assert!(begun.elapsed() >= Duration::from_millis(200), "{:?}", begun.elapsed());
    });
}

#[test]
fn the_whole_ends_though_phases_are_renewed() {
    on_a_worker(|| async {
        let deadline = Deadline::new();
        deadline.set_total(Duration::from_millis(100));
        let outcome = deadline
            .limit(async {
                loop {
                    deadline.set(Duration::from_secs(60));
                    tokio::task::yield_now().await;
                }
            })
            .await;
        let outcome: Result<(), Elapsed> = outcome;
        assert_eq!(outcome, Err(Elapsed::Total));
    });
}

#[test]
fn what_a_tag_names_ends_at_once_and_nothing_else() {
    on_a_worker(|| async {
        let (one, other) = (Deadline::new(), Deadline::new());
        one.tag(7);
        other.tag(8);
        let waiting = tokio::task::spawn_local(async move {
            let outcome = one.limit(std::future::pending::<()>()).await;
            (outcome, one)
        });
        tokio::task::yield_now().await;
        expire(7);
        let (outcome, one) = waiting.await.expect("no panic");
        assert_eq!(outcome, Err(Elapsed::Expired));
        one.set_total(Duration::from_secs(60));
        assert!(one.is_expired(), "it does not come back");
        one.clear_total();
        assert!(!one.is_expired() && !other.is_expired());
    });
}

#[test]
fn what_is_in_time_is_not_disturbed() {
    on_a_worker(|| async {
        let deadline = Deadline::new();
        assert_eq!(deadline.limit(async { 1 }).await, Ok(1));
        deadline.set(Duration::from_millis(50));
        deadline.clear();
        let wait = tokio::time::sleep(Duration::from_millis(200));
        assert_eq!(deadline.limit(wait).await, Ok(()));
    });
}
