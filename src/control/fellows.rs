//! The other proxies that share the registry: what is asked of them, what they
//! are answered, and what is told of them.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use tokio::{
    task::JoinHandle,
    time::{sleep, timeout},
};

use super::{
    Control,
    departing::Departing,
    entry::Source,
    reconciler::tell,
    show::millis,
    view::{FellowView, FleetView},
};
use crate::{
    model::InstanceKey,
    registry::{Answer, Answers, Ask, Asked, FellowReport, Fellows, FleetReport, Until},
};

/// How often others are told how things stand, at most; and how often it is
/// looked.
const PACE: Duration = Duration::from_millis(250);

/// Answers its fellows, and tells of them, until this process has left.
pub(super) async fn run(control: Control, fellows: Fellows) {
    let mut pulse = fellows.pulse();
    let mut answering: BTreeMap<String, Task> = BTreeMap::new();
    let mut known = Known::default();
    while !fellows.is_over() {
        known.tell(&control, &fellows.report());
        // Before that, the process before speaks for itself.
        if fellows.has_begun() {
            let asks = fellows.asks();
            answering.retain(|number, _| asks.contains_key(number));
            for (number, ask) in asks {
                answering.entry(number.clone()).or_insert_with(|| {
                    let answer = answer(control.clone(), fellows.clone(), number, ask);
                    Task(tokio::spawn(answer))
                });
            }
        }
        if pulse.changed().await.is_err() {
            return;
        }
    }
}

/// Ends with the value.
struct Task(JoinHandle<()>);

impl Drop for Task {
    fn drop(&mut self) {
        self.0.abort();
    }
}

async fn answer(control: Control, fellows: Fellows, number: String, ask: Ask) {
    match ask.until {
        Until::Drained => drained(&control, &fellows, &number, &ask).await,
        Until::Routable => routable(&control, &fellows, &number, &ask).await,
    }
}

async fn drained(control: &Control, fellows: &Fellows, number: &str, ask: &Ask) {
    let mut told = None;
    loop {
        let departing = Departing::begin(control, &ask.key, ask.generation).await;
        let here = departing.in_flight(control);
        let answer = |done, why: &str| Answer {
            done,
            in_flight: if done { 0 } else { here },
            ended: departing.ended(control),
            why: why.to_owned(),
        };
        let answer = if control.still_has(ask) {
            answer(false, "it still routes to it")
        } else if timeout(PACE, departing.gone(control)).await.is_ok() {
            answer(true, "")
        } else {
            answer(false, "it has requests in flight on it")
        };
        let done = answer.done;
        if told.as_ref() != Some(&answer) && !fellows.answer(number, &answer).await || done {
            return;
        }
        told = Some(answer);
        sleep(PACE).await;
    }
}

async fn routable(control: &Control, fellows: &Fellows, number: &str, ask: &Ask) {
    let mut told = None;
    loop {
        let waited = timeout(PACE, control.routable(&ask.key)).await;
        let view = match waited {
            Ok(Ok(view)) => Some((true, view)),
            _ => control.instance(&ask.key).map(|view| (false, view)),
        };
        let (routable, generation, why) = match view {
            Some((routable, view)) => (routable, view.generation, view.why),
            None => (false, 0, "it does not know of it".to_owned()),
        };
        let done = routable && ask.generation.is_none_or(|wanted| generation >= wanted);
        let why = if done { String::new() } else { why };
        let answer = Answer { done, why, ..Answer::default() };
        if told.as_ref() != Some(&answer) && !fellows.answer(number, &answer).await || done {
            return;
        }
        told = Some(answer);
        sleep(PACE).await;
    }
}

/// What was told last.
#[derive(Debug, Default)]
struct Known {
    lost: bool,
    /// By name, and whether it is missing; none before the first look.
    fellows: Option<BTreeMap<String, bool>>,
}

impl Known {
    fn tell(&mut self, control: &Control, report: &FleetReport) {
        let shared = &control.shared;
        match (&report.lost, std::mem::replace(&mut self.lost, report.lost.is_some())) {
            (Some((_, why)), false) => tell(shared, "registry_lost", why.clone()),
            (None, true) => tell(shared, "registry_back", "etcd is followed again".to_owned()),
            _ => {}
        }
        let now: BTreeMap<_, _> =
            report.fellows.iter().map(|it| (it.id.clone(), it.missing.is_some())).collect();
        let Some(before) = self.fellows.replace(now.clone()) else { return };
        let names: BTreeSet<_> = before.keys().chain(now.keys()).collect();
        for name in names {
            let (kind, what) = match (before.get(name), now.get(name)) {
                (None | Some(true), Some(false)) => ("proxy_joined", "shares the registry"),
                (None | Some(false), Some(true)) => {
                    ("proxy_missing", "has vanished without leaving, and may still be routing")
                }
                (Some(false), None) => ("proxy_left", "has left"),
                (Some(true), None) => ("proxy_left", "is not waited for any more"),
                _ => continue,
            };
            tell(shared, kind, format!("{name} {what}"));
        }
    }
}

/// What the others that share the registry have to say to something.
pub(super) struct Everywhere(Option<Asked>);

impl Everywhere {
    /// Waits until they all say yes; not at all if there are none.
    pub(super) async fn confirmed(&self) {
        if let Some(asked) = &self.0 {
            asked.confirmed().await;
        }
    }

    /// What they have said.
    pub(super) fn answers(&self) -> Answers {
        self.0.as_ref().map(Asked::answers).unwrap_or_default()
    }
}

impl Control {
    /// Begins to ask all others that share the registry.
    pub(super) fn everywhere(
        &self,
        key: &InstanceKey,
        generation: Option<u64>,
        until: Until,
    ) -> Everywhere {
        let ask = Ask { key: key.clone(), generation, until };
        Everywhere(self.registry.fellows().map(|fellows| fellows.ask(ask)))
    }

    /// Whether what is asked about is not even leaving here.
    fn still_has(&self, ask: &Ask) -> bool {
        let catalog = self.shared.catalog();
        let service = catalog.services.get(&ask.key.service);
        let id = (ask.key.id.clone(), Source::Registry);
        let entry = service.and_then(|service| service.entries.get(&id));
        entry.is_some_and(|entry| {
            !entry.draining && ask.generation.is_none_or(|wanted| wanted == entry.generation)
        })
    }

    /// The proxies that share the registry.
    pub(super) fn fleet(&self) -> Option<FleetView> {
        let FleetReport { id, revision, etcd_revision, behind, lost, pending, fellows } =
            self.registry.fellows()?.report();
        let (lost_ms, fault) = lost.map(|(since, why)| (millis(since), why)).unzip();
        let fellow = |it: FellowReport| FellowView {
            id: it.id,
            program: it.program,
            pid: it.pid,
            missing_ms: it.missing.map(millis),
        };
        let fellows = fellows.into_iter().map(fellow).collect();
        let behind_ms = behind.map(millis);
        Some(FleetView { id, revision, etcd_revision, behind_ms, lost_ms, fault, pending, fellows })
    }
}

/// The names of those that have not confirmed, and a sentence about the first.
pub(super) fn unconfirmed(answers: &Answers) -> (Vec<String>, Option<String>) {
    let names = answers.unconfirmed.iter().map(|(name, _)| name.clone()).collect();
    (names, answers.unconfirmed.first().map(|(name, why)| format!("proxy {name}: {why}")))
}
