//! The control plane from outside: what a service, an operator and a config
//! file may ask of the running proxy, and what its clients see of it.

mod access;
mod departures;
mod drain;
mod events;
mod explain;
mod health;
mod lease;
mod ledger;
mod left_behind;
mod register;
mod reload;
mod restart;
mod steered;
mod storm;
mod upgrade;

use std::{
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};

use serde_json::Value;

use self::steered::Steered;
use crate::support::{Message, Portolan, eventually};

/// A route from everywhere to `app`, whose instances are probed often.
const PROBED: &str = "[service.app]\n\
    health = { path = '/healthz', interval = '100ms', unhealthy_after = 2 }\n\
    [[route]]\nservice = 'app'\n";

/// The path of the instance `name` (`service/id`).
fn path(name: &str) -> String {
    let (service, id) = name.split_once('/').expect("service/id");
    format!("/api/v1/services/{service}/instances/{id}")
}

impl Portolan {
    /// Registers the instance `name` with `body`; `query` begins with `?`.
    #[track_caller]
    fn put(&self, name: &str, query: &str, body: &str) -> Message {
        self.admin("PUT", &format!("{}{query}", path(name)), body)
    }

    #[track_caller]
    fn delete(&self, name: &str, query: &str) -> Message {
        self.admin("DELETE", &format!("{}{query}", path(name)), "")
    }

    #[track_caller]
    fn heartbeat(&self, name: &str) -> Message {
        self.admin("POST", &format!("{}/heartbeat", path(name)), "")
    }

    #[track_caller]
    fn state(&self, name: &str) -> String {
        self.instance(name)["state"].as_str().expect("a state").to_owned()
    }

    /// Waits until the instance `name` is in `state`.
    #[track_caller]
    fn until(&self, name: &str, state: &str) {
        eventually(|| self.state(name) == state);
    }

    #[track_caller]
    fn status(&self) -> Value {
        self.admin("GET", "/api/v1/status", "").json()
    }

    /// The kinds of what has happened to an instance by now, oldest first, and
    /// the details.
    #[track_caller]
    fn happened(&self, instance: &str) -> Vec<(String, String)> {
        static MARKS: AtomicUsize = AtomicUsize::new(0);
        // Whatever has happened by now comes before the mark.
        let mark = format!("mark{}", MARKS.fetch_add(1, Ordering::Relaxed));
        let name = format!("mark/{mark}");
        assert_eq!(self.put(&name, "", r#"{"port": 1, "health": {"kind": "ttl"}}"#).status(), 201);
        assert_eq!(self.delete(&name, "").status(), 200);
        let mut stream = events::Stream::open(self, Some("0-0"));
        let mut happened = Vec::new();
        loop {
            let event = stream.next();
            if event.data["instance"] == *mark {
                return happened;
            }
            if event.data["instance"] == instance {
                let detail = event.data["detail"].as_str().expect("a detail").to_owned();
                happened.push((event.kind, detail));
            }
        }
    }
}

/// The word of a problem.
#[track_caller]
fn problem(answer: &Message) -> String {
    let json = answer.json();
    let kind = json["type"].as_str().expect("a problem");
    kind.rsplit(':').next().expect("a word").to_owned()
}

/// As long as it takes in an ordinary run; with `PORTOLAN_TEST_FULL=1`, `full`.
fn length(ordinary: Duration, full: Duration) -> Duration {
    if std::env::var_os("PORTOLAN_TEST_FULL").is_some_and(|value| value == "1") {
        full
    } else {
        ordinary
    }
}
