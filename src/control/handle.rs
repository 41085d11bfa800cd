//! A stand-in for the handle on the control plane: one map in memory, no
//! probes, no table. It answers as the real one does where the tests of the
//! admin API look, and no more than that.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use super::view::{
    ConfigView, DiagnosticView, EventView, ExplanationView, InstanceView, LeavingView,
    RegisteredView, ReloadView, RoutesView, ServiceView, ServicesView, StatusView,
};
use crate::model::{
    AddressDenied, AddressGuard, Instance, InstanceKey, InstanceState, ProbeKind, ServiceName,
};

/// On whose behalf an instance is changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Caller {
    /// May change any instance. Holds the name of the token, if there was one.
    Admin(Option<String>),
    /// May change what this token registered.
    Token(String),
}

/// A registration asked for.
#[derive(Clone, Debug)]
pub struct RegisterRequest {
    /// What to register.
    pub instance: Instance,
    /// Who asks.
    pub caller: Caller,
    /// How long to wait for it to be routable; not at all if absent.
    pub wait: Option<Duration>,
}

/// Which services to list.
#[derive(Clone, Debug, Default)]
pub struct ServiceFilter {
    /// The `next` of the page before.
    pub cursor: Option<String>,
    /// How many at most.
    pub limit: usize,
    /// Only services with an instance in this state.
    pub state: Option<InstanceState>,
    /// Only services with an instance with this tag.
    pub tag: Option<String>,
}

/// A request to explain.
#[derive(Clone, Debug)]
pub struct Question {
    /// Its method.
    pub method: http::Method,
    /// Its host, with a port if it has one.
    pub host: String,
    /// Path and query.
    pub target: String,
    /// Its fields.
    pub headers: http::HeaderMap,
}

/// Names one event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EventId {
    /// The run of the process.
    pub run: u64,
    /// Its number within the run.
    pub number: u64,
}

/// Events from some point on.
#[derive(Debug)]
pub struct Replay {
    /// This run of the process.
    pub run: u64,
    /// What has happened since.
    pub past: Vec<EventView>,
    /// What happens from now on.
    pub live: tokio::sync::broadcast::Receiver<EventView>,
}

/// The events asked for are no longer kept.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("the events asked for are no longer kept")]
pub struct HistoryGone;

/// Why the control plane did not do what was asked.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ControlError {
    /// No such instance.
    #[error("{0} is not registered")]
    NotFound(InstanceKey),
    /// Another token registered it.
    #[error("another token registered it")]
    OwnedByAnother,
    /// A limit of `[registry]` is reached.
    #[error("{0}")]
    LimitReached(String),
    /// The registration cannot be taken as it is.
    #[error("{0}")]
    Invalid(String),
    /// The address is one that instances may not have.
    #[error(transparent)]
    AddressDenied(#[from] AddressDenied),
    /// The disk is full.
    #[error("the disk of the store is full")]
    StoreFull,
    /// The store takes no writes.
    #[error("the store takes no writes: {0}")]
    StoreFailed(String),
    /// The process is on its way out.
    #[error("the proxy is shutting down")]
    Closed,
}

/// The handle on the control plane.
#[derive(Clone, Debug)]
pub struct Control {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    state: Mutex<State>,
    guard: AddressGuard,
    live: tokio::sync::broadcast::Sender<EventView>,
}

#[derive(Debug, Default)]
struct State {
    version: u64,
    instances: BTreeMap<InstanceKey, InstanceView>,
    events: Vec<EventView>,
}

const RUN: u64 = 7;
const KEPT_EVENTS: usize = 4;

impl Control {
    /// An empty one.
    #[must_use]
    pub fn stub() -> Self {
        let guard = AddressGuard::new(true, Vec::new());
        let live = tokio::sync::broadcast::Sender::new(16);
        Self { shared: Arc::new(Shared { state: Mutex::default(), guard, live }) }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.shared.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn tell(&self, state: &mut State, kind: &str, key: &InstanceKey) {
        let number = state.events.last().map_or(1, |event| event.number + 1);
        let event = EventView {
            number,
            time: humantime::format_rfc3339_millis(std::time::SystemTime::now()).to_string(),
            kind: kind.to_owned(),
            service: Some(key.service.to_string()),
            instance: Some(key.id.to_string()),
            detail: format!("{key} {kind}"),
        };
        state.version += 1;
        state.events.push(event.clone());
        let _ = self.shared.live.send(event);
    }

    /// Registers or updates an instance.
    ///
    /// # Errors
    ///
    /// Says why it was not registered.
    pub async fn register(&self, request: RegisterRequest) -> Result<RegisteredView, ControlError> {
        let RegisterRequest { instance, caller, wait } = request;
        let key = instance.key();
        if let Some(address) = instance.origin.address.socket_addr() {
            self.shared.guard.check(address)?;
        }
        let view = {
            let mut state = self.state();
            let before = state.instances.get(&key);
            owned(before, &caller)?;
            let routable = instance.health.kind == Some(ProbeKind::None);
            let view = InstanceView {
                source: "registry".to_owned(),
                state: if routable { InstanceState::Healthy } else { InstanceState::Starting },
                since_ms: 0,
                why: String::new(),
                routable,
                generation: before.map_or(1, |before| before.generation + 1),
                lease_left_ms: None,
                owner: match caller {
                    Caller::Token(name) | Caller::Admin(Some(name)) => Some(name),
                    Caller::Admin(None) => None,
                },
                in_flight: 0,
                requests: 0,
                failures: 0,
                instance,
            };
            let created = before.is_none();
            state.instances.insert(key.clone(), view.clone());
            self.tell(&mut state, if created { "registered" } else { "updated" }, &key);
            RegisteredView {
                created,
                routed: wait.is_some() && routable,
                waiting_for: (!routable).then(|| "its first probe".to_owned()),
                version: state.version,
                instance: view,
            }
        };
        if let Some(wait) = wait.filter(|_| !view.routed) {
            tokio::time::sleep(wait).await;
        }
        Ok(view)
    }

    /// Renews a lease.
    ///
    /// # Errors
    ///
    /// No such instance, or not that caller's.
    pub fn heartbeat(
        &self,
        key: &InstanceKey,
        caller: &Caller,
    ) -> Result<InstanceView, ControlError> {
        let state = self.state();
        let view = state.instances.get(key);
        owned(view, caller)?;
        view.cloned().ok_or_else(|| ControlError::NotFound(key.clone()))
    }

    /// Takes an instance out of use, and leaves it registered.
    ///
    /// # Errors
    ///
    /// No such instance, or not that caller's.
    pub async fn drain(
        &self,
        key: &InstanceKey,
        caller: &Caller,
        _wait: Option<Duration>,
    ) -> Result<LeavingView, ControlError> {
        let mut state = self.state();
        owned(state.instances.get(key), caller)?;
        let view = state.instances.get_mut(key);
        let view = view.ok_or_else(|| ControlError::NotFound(key.clone()))?;
        view.state = InstanceState::Draining;
        view.routable = false;
        self.tell(&mut state, "draining", key);
        Ok(left(state.version, true))
    }

    /// Takes an instance out of use and out of the registry.
    ///
    /// # Errors
    ///
    /// Not that caller's.
    pub async fn deregister(
        &self,
        key: &InstanceKey,
        caller: &Caller,
        _wait: Option<Duration>,
    ) -> Result<LeavingView, ControlError> {
        let mut state = self.state();
        owned(state.instances.get(key), caller)?;
        let found = state.instances.remove(key).is_some();
        if found {
            self.tell(&mut state, "deregistered", key);
        }
        Ok(left(state.version, found))
    }

    /// A page of services.
    #[must_use]
    pub fn services(&self, filter: &ServiceFilter) -> ServicesView {
        let state = self.state();
        let mut names: Vec<ServiceName> = state
            .instances
            .values()
            .filter(|view| filter.state.is_none_or(|wanted| view.state == wanted))
            .filter(|view| filter.tag.as_ref().is_none_or(|tag| view.instance.tags.contains(tag)))
            .map(|view| view.instance.service.clone())
            .filter(|name| filter.cursor.as_deref().is_none_or(|cursor| name.as_str() > cursor))
            .collect();
        names.dedup();
        let more = names.len() > filter.limit;
        names.truncate(filter.limit);
        ServicesView {
            version: state.version,
            next: names.last().filter(|_| more).map(ToString::to_string),
            services: names.iter().map(|name| service_view(&state, name)).collect(),
        }
    }

    /// One service.
    #[must_use]
    pub fn service(&self, name: &ServiceName) -> Option<ServiceView> {
        Some(service_view(&self.state(), name)).filter(|view| !view.instances.is_empty())
    }

    /// One instance.
    #[must_use]
    pub fn instance(&self, key: &InstanceKey) -> Option<InstanceView> {
        self.state().instances.get(key).cloned()
    }

    /// All routes.
    #[must_use]
    pub fn routes(&self) -> RoutesView {
        RoutesView { version: self.version(), routes: Vec::new() }
    }

    /// The proxy at a glance.
    #[must_use]
    pub fn status(&self) -> StatusView {
        let state = self.state();
        StatusView {
            program: env!("CARGO_PKG_VERSION").to_owned(),
            uptime_ms: 1,
            version: state.version,
            published_ms: 1,
            workers: 1,
            listeners: Vec::new(),
            admin: String::new(),
            ready: true,
            waiting_for: Vec::new(),
            config: ConfigView {
                path: "proxy.toml".to_owned(),
                loaded_ms: 1,
                last_reload_ok: true,
                problems: String::new(),
            },
            services: 0,
            routes: 0,
            instances: BTreeMap::new(),
            probe_stretch: 1.0,
            requests: BTreeMap::new(),
            in_flight: 0,
            connections: 0,
            store: "ok".to_owned(),
            attention: Vec::new(),
        }
    }

    /// Where a request would go.
    #[must_use]
    pub fn explain(&self, question: &Question) -> ExplanationView {
        ExplanationView {
            version: self.version(),
            method: question.method.to_string(),
            host: question.host.clone(),
            path: question.target.clone(),
            reason: "no_route".to_owned(),
            status: Some(404),
            summary: "No route matches.".to_owned(),
            route: None,
            considered: Vec::new(),
            service: None,
            forwarded_path: None,
            location: None,
        }
    }

    /// The events after one, or from now on.
    ///
    /// # Errors
    ///
    /// The history does not reach back that far.
    pub fn events_after(&self, after: Option<EventId>) -> Result<Replay, HistoryGone> {
        let state = self.state();
        let live = self.shared.live.subscribe();
        let Some(after) = after else { return Ok(Replay { run: RUN, past: Vec::new(), live }) };
        let kept = &state.events[state.events.len().saturating_sub(KEPT_EVENTS)..];
        let reaches = kept.first().is_none_or(|first| first.number <= after.number + 1);
        if after.run != RUN || !reaches {
            return Err(HistoryGone);
        }
        let past = kept.iter().filter(|event| event.number > after.number).cloned().collect();
        Ok(Replay { run: RUN, past, live })
    }

    /// Whether a config is good; the file on disk if no text is given.
    pub async fn check_config(&self, text: Option<String>) -> ReloadView {
        let bad = text.is_some_and(|text| text.contains("nonsense"));
        let diagnostic = DiagnosticView {
            severity: "error".to_owned(),
            code: "P0101".to_owned(),
            message: "unknown key `nonsense`".to_owned(),
            file: "proxy.toml".to_owned(),
            line: 1,
            column: 1,
            help: None,
        };
        ReloadView {
            ok: !bad,
            changes: Vec::new(),
            needs_restart: Vec::new(),
            diagnostics: bad.then_some(diagnostic).into_iter().collect(),
        }
    }

    /// Takes the file on disk into use.
    pub async fn reload(&self) -> ReloadView {
        self.check_config(None).await
    }

    /// The table version.
    #[must_use]
    pub fn version(&self) -> u64 {
        self.state().version
    }

    /// All metrics as Prometheus text.
    pub async fn metrics(&self) -> String {
        "# TYPE up gauge\nup 1\n".to_owned()
    }
}

fn owned(view: Option<&InstanceView>, caller: &Caller) -> Result<(), ControlError> {
    match (view, caller) {
        (Some(view), Caller::Token(name)) if view.owner.as_ref() != Some(name) => {
            Err(ControlError::OwnedByAnother)
        }
        _ => Ok(()),
    }
}

const fn left(version: u64, found: bool) -> LeavingView {
    LeavingView { drained: true, in_flight: 0, completed: 0, version, found }
}

fn service_view(state: &State, name: &ServiceName) -> ServiceView {
    let instances: Vec<_> =
        state.instances.values().filter(|view| view.instance.service == *name).cloned().collect();
    ServiceView {
        service: name.to_string(),
        balance: "least_request".to_owned(),
        routable: instances.iter().filter(|view| view.routable).count(),
        panic: false,
        routes: Vec::new(),
        instances,
    }
}
