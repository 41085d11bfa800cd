//! Consul: the catalog of services, followed through its HTTP API.

mod api;
mod catalog;
mod entry;
mod settings;

use std::{convert::Infallible, num::NonZeroU64, sync::Arc, time::Duration};

use futures_util::future::BoxFuture;
use tokio::time::{Instant, MissedTickBehavior, interval_at, sleep_until};

pub use self::settings::ConsulSettings;
use self::{
    api::{Api, ConsulError, Indexed, Names},
    catalog::Catalog,
};
use super::{
    Backoff, Feed, News,
    loose::{List, Loose},
};

/// The tags of the instances of a service.
type Tags = List<Loose>;

/// How long instances are kept that Consul has lost: its index went back, so
/// that it has the state of another time, or none. So are those that are known
/// from before a restart of this process, when indexes are not.
const KEEP: Duration = Duration::from_secs(90);

/// How long after changes were read the next ones are read at the earliest.
/// What changes in between is read together.
const PACE: Duration = Duration::from_millis(200);

/// How often it is asked whether there is a leader.
const BEAT: Duration = Duration::from_secs(5);

/// How often everything is read anew, give or take a fifth.
const ANEW: Duration = Duration::from_secs(300);

/// How long a server is left alone that answers a request which should have
/// waited, though nothing has changed.
const ODD: Duration = Duration::from_secs(1);

/// The same for one that does not say of which state its answers are.
const WITHOUT_INDEX: Duration = Duration::from_secs(5);

/// Tells what Consul has, and what changes.
pub async fn run(settings: ConsulSettings, feed: Feed) {
    let mut backoff = Backoff::default();
    let mut catalog = Catalog::after(&settings, &feed);
    let mut seen = Seen::default();
    loop {
        let Err(error) = follow(&settings, &mut catalog, &mut seen, &feed).await;
        feed.tell(News::Lost(format!("{}: {error}", settings.url)));
        feed.pause(backoff.failed()).await;
    }
}

/// The latest indexes of both requests that wait.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Seen {
    names: Option<NonZeroU64>,
    checks: Option<NonZeroU64>,
}

impl Seen {
    /// Whether `next` is of an earlier state.
    fn is_after(self, next: Self) -> bool {
        next.names < self.names || next.checks < self.checks
    }
}

/// What there is to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Due {
    Nothing,
    Changes,
    Everything,
    Beat,
}

/// Follows the catalog until that fails.
async fn follow(
    settings: &ConsulSettings,
    catalog: &mut Catalog,
    seen: &mut Seen,
    feed: &Feed,
) -> Result<Infallible, ConsulError> {
    let api = Arc::new(Api::new(settings)?);
    let mut beats = interval_at(Instant::now() + BEAT, BEAT);
    beats.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        // Indexes before what they are of, so that no change falls in between.
        let checks = api.checks(None).await?.index;
        let mut names = api.names(None).await?;
        let next = Seen { names: names.index, checks };
        // Other servers than the leader may be behind it, and have forgotten nothing.
        let may_have_forgotten = seen.is_after(next) && !settings.stale;
        catalog.read_all(&api, settings, &names, may_have_forgotten, feed).await?;
        *seen = next;

        let mut waits = Waits::new(&api, next);
        let anew = Instant::now() + ANEW.mul_f64(0.8 + 0.4 * fastrand::f64());
        loop {
            let kept_until = catalog.told().kept_until();
            let due = tokio::select! {
                () = feed.list_wanted() => Due::Everything,
                () = sleep_until(anew) => Due::Everything,
                changed = waits.changed(&api, seen, &mut names) => changed?,
                _ = beats.tick() => Due::Beat,
                () = until(kept_until) => {
                    catalog.told().let_go(feed);
                    Due::Nothing
                }
            };
            match due {
                Due::Nothing => {}
                Due::Everything => break,
                Due::Changes => {
                    let begun = Instant::now();
                    catalog.read_changed(&api, settings, &names, feed).await?;
                    waits.pause(begun.elapsed().max(PACE));
                }
                Due::Beat => {
                    api.leader().await?;
                    feed.tell(News::Unchanged);
                }
            }
        }
    }
}

async fn until(at: Option<Instant>) {
    match at {
        Some(at) => sleep_until(at).await,
        None => std::future::pending().await,
    }
}

type Wait<T> = BoxFuture<'static, Result<Indexed<T>, ConsulError>>;

/// The two requests that wait for a change of anything: of what is registered,
/// and of what checks say.
struct Waits {
    names: Wait<Names>,
    checks: Wait<()>,
    /// No answer is taken before: what changes in between is read together.
    paused_until: Instant,
    asked: Instant,
}

impl Waits {
    fn new(api: &Arc<Api>, seen: Seen) -> Self {
        let now = Instant::now();
        let (names, checks) = (wait_names(api, seen), wait_checks(api, seen));
        Self { names, checks, paused_until: now, asked: now }
    }

    fn pause(&mut self, time: Duration) {
        self.paused_until = self.paused_until.max(Instant::now() + time);
    }

    /// Ends with the next answer, of which it says what it means. May be
    /// dropped and called again.
    async fn changed(
        &mut self,
        api: &Arc<Api>,
        seen: &mut Seen,
        names: &mut Indexed<Names>,
    ) -> Result<Due, ConsulError> {
        sleep_until(self.paused_until).await;
        let next = tokio::select! {
            read = &mut self.names => {
                *names = read?;
                let next = Seen { names: names.index, ..*seen };
                self.names = wait_names(api, next);
                next
            }
            read = &mut self.checks => {
                let next = Seen { checks: read?.index, ..*seen };
                self.checks = wait_checks(api, next);
                next
            }
        };
        let before = *seen;
        let due = self.judge(before, next, api.wait());
        // That it went back is still to be seen when everything is read.
        if !before.is_after(next) {
            *seen = next;
        }
        Ok(due)
    }

    fn judge(&mut self, before: Seen, next: Seen, wait: Duration) -> Due {
        let asked = std::mem::replace(&mut self.asked, Instant::now());
        if next.names.is_none() || next.checks.is_none() {
            self.pause(WITHOUT_INDEX);
            Due::Changes
        } else if before.is_after(next) {
            self.pause(ODD);
            Due::Everything
        } else if next == before {
            if asked.elapsed() < wait / 2 {
                self.pause(ODD);
            }
            Due::Nothing
        } else {
            Due::Changes
        }
    }
}

fn wait_names(api: &Arc<Api>, seen: Seen) -> Wait<Names> {
    let api = Arc::clone(api);
    Box::pin(async move { api.names(seen.names).await })
}

fn wait_checks(api: &Arc<Api>, seen: Seen) -> Wait<()> {
    let api = Arc::clone(api);
    Box::pin(async move { api.checks(seen.checks).await })
}
