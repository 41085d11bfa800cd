//! What happened, for people: the events of the admin API.

use std::{
    collections::VecDeque,
    fmt,
    sync::{Mutex, MutexGuard, PoisonError},
    time::SystemTime,
};

use tokio::sync::broadcast;

use super::view::EventView;
use crate::model::{InstanceId, InstanceState, ServiceName};

/// Lines in the log for what happened at once.
const MOST_LINES: usize = 50;

/// Events that can be asked for again.
const HISTORY: usize = 2000;

/// Something that happened.
#[derive(Clone, Debug)]
pub(super) struct Happening {
    kind: &'static str,
    service: Option<ServiceName>,
    instance: Option<InstanceId>,
    detail: String,
}

impl Happening {
    pub(super) fn new(
        kind: &'static str,
        service: &ServiceName,
        instance: &InstanceId,
        detail: impl Into<String>,
    ) -> Self {
        let (service, instance) = (Some(service.clone()), Some(instance.clone()));
        Self { kind, service, instance, detail: detail.into() }
    }

    pub(super) fn state(
        service: &ServiceName,
        instance: &InstanceId,
        old: InstanceState,
        new: InstanceState,
    ) -> Self {
        Self::new("state", service, instance, format!("{old} -> {new}"))
    }

    pub(super) fn panic(service: &ServiceName, begins: bool) -> Self {
        let (kind, detail) = if begins {
            ("panic", "most instances fail together; those that served before keep their traffic")
        } else {
            ("panic_over", "most instances are healthy again")
        };
        Self { kind, service: Some(service.clone()), instance: None, detail: detail.to_owned() }
    }

    /// Something about a service as a whole.
    pub(super) fn of_service(kind: &'static str, service: &ServiceName, detail: String) -> Self {
        Self { kind, service: Some(service.clone()), instance: None, detail }
    }

    /// Something about the process as a whole.
    pub(super) const fn general(kind: &'static str, detail: String) -> Self {
        Self { kind, service: None, instance: None, detail }
    }
}

impl fmt::Display for Happening {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.kind)?;
        if let Some(service) = &self.service {
            write!(f, " {service}")?;
        }
        if let Some(instance) = &self.instance {
            write!(f, "/{instance}")?;
        }
        write!(f, ": {}", self.detail)
    }
}

/// The last events, and who wants to hear of the next ones.
#[derive(Debug)]
pub(super) struct EventLog {
    run: u64,
    state: Mutex<State>,
    live: broadcast::Sender<EventView>,
}

#[derive(Debug, Default)]
struct State {
    last: u64,
    past: VecDeque<EventView>,
}

/// Where a listener stands: a number within one run of the process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EventId {
    /// Tells this run of the process from others.
    pub run: u64,
    /// The number of the event.
    pub number: u64,
}

/// Events that were missed, and those to come.
#[derive(Debug)]
pub struct Replay {
    /// Tells this run of the process from others.
    pub run: u64,
    /// What was missed, oldest first.
    pub past: Vec<EventView>,
    /// What is to come.
    pub live: broadcast::Receiver<EventView>,
}

/// What came after an event is not known any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the events after this one are not kept any more")]
pub struct HistoryGone;

impl EventLog {
    pub(super) fn new() -> Self {
        let (live, _) = broadcast::channel(1024);
        Self { run: fastrand::u64(1..), state: Mutex::default(), live }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Nothing in it is left half done by a panic.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Tells of what happened at once. The log has the first of many: a start
    /// with 100,000 instances is not 100,000 lines.
    pub(super) fn tell_all(&self, happened: Vec<Happening>) {
        let rest = happened.len().saturating_sub(MOST_LINES);
        for (index, happening) in happened.into_iter().enumerate() {
            if index < MOST_LINES {
                tracing::info!(target: "portolan::events", "{happening}");
            }
            self.keep(happening);
        }
        if rest > 0 {
            tracing::info!(target: "portolan::events", "and {rest} more events at once");
        }
    }

    pub(super) fn tell(&self, happening: Happening) {
        self.tell_all(vec![happening]);
    }

    fn keep(&self, happening: Happening) {
        let Happening { kind, service, instance, detail } = happening;
        let mut state = self.state();
        state.last += 1;
        let event = EventView {
            number: state.last,
            time: humantime::format_rfc3339_millis(SystemTime::now()).to_string(),
            kind: kind.to_owned(),
            service: service.map(Into::into),
            instance: instance.map(Into::into),
            detail,
        };
        if state.past.len() == HISTORY {
            state.past.pop_front();
        }
        state.past.push_back(event.clone());
        // In order, because still under the lock; nobody listening is fine.
        let _ = self.live.send(event);
    }

    /// The number of the last one.
    pub(super) fn last(&self) -> u64 {
        self.state().last
    }

    /// Those to come.
    pub(super) fn live(&self) -> broadcast::Receiver<EventView> {
        self.live.subscribe()
    }

    /// What came after `after`, or all that is kept.
    pub(super) fn after(&self, after: Option<EventId>) -> Result<Replay, HistoryGone> {
        let state = self.state();
        let number = match after {
            // "0-0": whatever is kept.
            Some(EventId { run: 0, .. }) => {
                state.past.front().map_or(state.last, |event| event.number - 1)
            }
            Some(after) if after.run != self.run || after.number > state.last => {
                return Err(HistoryGone);
            }
            Some(after) => after.number,
            None => state.last,
        };
        let oldest = state.past.front().map_or(state.last + 1, |event| event.number);
        if number + 1 < oldest {
            return Err(HistoryGone);
        }
        let past = state.past.iter().filter(|event| event.number > number).cloned().collect();
        Ok(Replay { run: self.run, past, live: self.live.subscribe() })
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    /// Every kind that the admin API names is in the reference, and no other.
    #[test]
    fn the_reference_tells_of_every_kind() {
        const DOCS: &str = include_str!("../../docs/reference/events.md");
        let schema = schemars::schema_for!(EventView).to_value();
        let kind = schema["properties"]["kind"]["description"].as_str().expect("a description");
        let named: BTreeSet<_> = kind.split('`').skip(1).step_by(2).collect();
        let rows = DOCS.lines().filter_map(|line| line.strip_prefix("| `"));
        let told: BTreeSet<_> = rows.filter_map(|row| row.split('`').next()).collect();
        assert_eq!(named, told);
    }

    #[test]
    fn a_listener_resumes_where_it_stopped() {
        let log = EventLog::new();
        for index in 0..3 {
            log.tell(Happening::general("test", index.to_string()));
        }
        let replay = log.after(Some(EventId { run: log.run, number: 1 })).expect("kept");
        let details: Vec<_> = replay.past.iter().map(|event| event.detail.as_str()).collect();
        assert_eq!(details, ["1", "2"]);
        assert!(log.after(None).expect("now").past.is_empty());
        assert!(log.after(Some(EventId { run: log.run + 1, number: 1 })).is_err());
        assert!(log.after(Some(EventId { run: log.run, number: 4 })).is_err());
    }

    #[test]
    fn what_is_forgotten_is_said_to_be() {
        let log = EventLog::new();
        for _ in 0..=HISTORY + 1 {
            log.tell(Happening::general("test", String::new()));
        }
        assert!(log.after(Some(EventId { run: log.run, number: 1 })).is_err());
        assert!(log.after(Some(EventId { run: log.run, number: 2 })).is_ok());
    }
}
