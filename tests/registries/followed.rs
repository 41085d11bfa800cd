//! A driver at work, without a proxy around it, and what it has told.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use portolan::sources::{Feed, Found, News, Reported, SourceName};
use serde_json::Value;
use tokio::{
    runtime::Runtime,
    sync::{Notify, mpsc},
};

use crate::support::eventually;

/// A driver at work. It stops when this is dropped.
#[derive(Debug)]
pub(crate) struct Followed {
    heard: Arc<Mutex<Heard>>,
    wanted: Arc<Notify>,
    _runtime: Runtime,
}

/// What a driver has told.
#[derive(Clone, Debug, Default)]
pub(crate) struct Heard {
    /// The instances by `service/id`, as its news leave them when all of them
    /// are believed.
    pub(crate) instances: BTreeMap<String, Found>,
    /// How many lists came.
    pub(crate) lists: usize,
    /// How often it said that nothing has changed.
    pub(crate) unchanged: usize,
    /// Why the source was lost.
    pub(crate) lost: Vec<String>,
    /// What it could not take.
    pub(crate) rejected: Vec<(String, String)>,
    /// Instances that went one by one.
    pub(crate) removed: Vec<String>,
}

impl Heard {
    fn hear(&mut self, news: News) {
        let keyed = |found: Found| (found.instance.key().to_string(), found);
        match news {
            News::List(all) => {
                self.lists += 1;
                self.instances = all.into_iter().map(keyed).collect();
            }
            News::Upserted(found) => self.instances.extend([keyed(*found)]),
            News::Removed(key) => {
                self.instances.remove(&key.to_string());
                self.removed.push(key.to_string());
            }
            News::Unchanged => self.unchanged += 1,
            News::Lost(why) => self.lost.push(why),
            News::Rejected { what, why } => self.rejected.push((what, why)),
        }
    }

    /// What was said of the instance `key`; a reported state other than `Up`
    /// in words, else its address and weight.
    pub(crate) fn of(&self, key: &str) -> Option<String> {
        let Found { instance, reported } = self.instances.get(key)?;
        Some(match reported {
            Reported::Up => format!("{} {}", instance.origin, instance.weight.value()),
            other => format!("{other:?}"),
        })
    }
}

impl Followed {
    /// Consul, with further `settings` beside its URL.
    #[track_caller]
    pub(crate) fn consul(url: &str, mut settings: Value) -> Self {
        settings["url"] = url.into();
        let settings = serde_json::from_value(settings).expect("settings");
        Self::start(move |feed| portolan::sources::consul::run(settings, feed))
    }

    /// Eureka, asked ten times a second, with further `settings` beside its
    /// URLs.
    #[track_caller]
    pub(crate) fn eureka(urls: &[String], mut settings: Value) -> Self {
        settings["urls"] = urls.into();
        settings["interval"] = "100ms".into();
        let settings = serde_json::from_value(settings).expect("settings");
        Self::start(move |feed| portolan::sources::eureka::run(settings, feed))
    }

    /// The driver that `run` is.
    pub(crate) fn start<F>(run: impl FnOnce(Feed) -> F) -> Self
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let name: SourceName = "tested".parse().expect("a name");
        let (sender, mut receiver) = mpsc::unbounded_channel();
        let wanted = Arc::new(Notify::new());
        let heard = Arc::new(Mutex::new(Heard::default()));
        let hearing = Arc::clone(&heard);
        let runtime = Runtime::new().expect("a runtime");
        runtime.spawn(run(Feed::new(name, sender, Arc::clone(&wanted))));
        runtime.spawn(async move {
            while let Some((_, news)) = receiver.recv().await {
                hearing.lock().expect("no panic").hear(news);
            }
        });
        Self { heard, wanted, _runtime: runtime }
    }

    /// What it has told so far.
    pub(crate) fn heard(&self) -> Heard {
        self.heard.lock().expect("no panic").clone()
    }

    /// Asks it to read everything anew.
    pub(crate) fn want(&self) {
        self.wanted.notify_one();
    }

    /// Waits until `holds` of what it has told. Answers with how long that
    /// took.
    #[track_caller]
    pub(crate) fn until(&self, holds: impl Fn(&Heard) -> bool) -> Duration {
        let begun = Instant::now();
        let mut last = Heard::default();
        let waited = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            eventually(|| {
                last = self.heard();
                holds(&last)
            });
        }));
        assert!(waited.is_ok(), "it did not come true of {last:#?}");
        begun.elapsed()
    }

    /// Waits until the instance `key` is as [`Heard::of`] says it.
    #[track_caller]
    pub(crate) fn until_is(&self, key: &str, expected: Option<&str>) -> Duration {
        self.until(|heard| heard.of(key).as_deref() == expected)
    }
}

/// Shows a figure that a test has seen.
pub(crate) fn show(what: &str, figure: Duration) {
    say!("{what}: {} ms", figure.as_millis());
}

/// An address for an instance that nobody connects to.
pub(crate) fn address(last: u8) -> SocketAddr {
    ([10, 0, 0, last], 8080).into()
}
