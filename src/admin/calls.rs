//! Every call of the admin address: where it is, who may make it, what it
//! takes and answers.
//!
//! The router, the OpenAPI document, the page at `/` and the list of known
//! query parameters are all made from this one table.

use axum::routing::{MethodFilter, MethodRouter, on};
use schemars::{Schema, SchemaGenerator};

use super::{
    configuration, events, explain, index, instances, openapi, probes,
    registration::RegistrationBody, services, settings::Scope, sources, state::AdminState,
};
use crate::control::view::{
    ExplanationView, InstanceView, LeavingView, RegisteredView, ReloadView, RoutesView,
    ServiceView, ServicesView, SourceDetailView, SourceView, SourcesView, StatusView, UpgradeView,
};

/// A method that calls are made by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verb {
    Get,
    Put,
    Post,
    Delete,
}

impl Verb {
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Put => "PUT",
            Self::Post => "POST",
            Self::Delete => "DELETE",
        }
    }

    pub(super) const fn filter(self) -> MethodFilter {
        match self {
            Self::Get => MethodFilter::GET,
            Self::Put => MethodFilter::PUT,
            Self::Post => MethodFilter::POST,
            Self::Delete => MethodFilter::DELETE,
        }
    }
}

/// What a call takes as its body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Takes {
    /// Nothing.
    Nothing,
    /// A registration, as JSON.
    Registration,
    /// A `proxy.toml`.
    Toml,
}

/// A query parameter.
#[derive(Debug)]
pub(super) struct Param {
    pub(super) name: &'static str,
    pub(super) about: &'static str,
    /// The JSON type of its value; `array` for one that may be repeated.
    pub(super) shape: &'static str,
    pub(super) required: bool,
}

const fn param(name: &'static str, about: &'static str) -> Param {
    Param { name, about, shape: "string", required: false }
}

/// What a call answers when all is well.
#[derive(Clone, Copy, Debug)]
pub(super) enum Gives {
    /// JSON of this schema.
    Json(fn(&mut SchemaGenerator) -> Schema),
    /// Something else, of this media type.
    Text(&'static str),
}

const fn json<T: schemars::JsonSchema>() -> Gives {
    Gives::Json(SchemaGenerator::subschema_for::<T>)
}

/// One call.
pub(super) struct Call {
    pub(super) verb: Verb,
    pub(super) path: &'static str,
    /// The `operationId` of the OpenAPI document.
    pub(super) name: &'static str,
    pub(super) about: &'static str,
    /// The scope it needs; none if whoever can connect may make it.
    pub(super) needs: Option<Scope>,
    /// Its word in the audit log, if it changes something that is logged.
    pub(super) change: Option<&'static str>,
    pub(super) takes: Takes,
    pub(super) query: &'static [Param],
    /// The statuses of success, and when each is given.
    pub(super) statuses: &'static [(u16, &'static str)],
    pub(super) gives: Gives,
    pub(super) handler: fn(MethodFilter) -> MethodRouter<AdminState>,
}

impl std::fmt::Debug for Call {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}", self.verb.as_str(), self.path)
    }
}

pub(super) const SERVICES: &str = "/api/v1/services";
const SERVICE: &str = "/api/v1/services/{service}";
const INSTANCE: &str = "/api/v1/services/{service}/instances/{id}";
const HEARTBEAT: &str = "/api/v1/services/{service}/instances/{id}/heartbeat";
const DRAIN: &str = "/api/v1/services/{service}/instances/{id}/drain";

const OK: &[(u16, &str)] = &[(200, "As it stands.")];
const TAGGED: &[(u16, &str)] = &[(200, "As it stands."), (304, "As it stood; see If-None-Match.")];
const LEAVING: &[(u16, &str)] =
    &[(200, "Done, or begun if no wait was asked for."), (202, "Begun; the wait timed out.")];
const DRAINED: &[Param] = &[
    param("wait", "`drained`: answer when no worker can pick it and nothing is in flight on it."),
    param("timeout", "How long to wait: 30s unless told, 5m at most."),
    GENERATION,
];
const GENERATION: Param = Param {
    name: "generation",
    about: "Which registration is meant, of those made under the id: the one whose registration \
            was answered with this. Unless told, whichever there is.",
    shape: "integer",
    required: false,
};

const fn read(path: &'static str, name: &'static str, about: &'static str, gives: Gives) -> Call {
    Call {
        verb: Verb::Get,
        path,
        name,
        about,
        needs: Some(Scope::Read),
        change: None,
        takes: Takes::Nothing,
        query: &[],
        statuses: OK,
        gives,
        handler: |_| MethodRouter::new(),
    }
}

/// Every call.
pub(super) static CALLS: &[Call] = &[
    Call {
        verb: Verb::Put,
        needs: Some(Scope::Register),
        change: Some("register"),
        takes: Takes::Registration,
        query: &[
            param("wait", "`routable`: answer when every worker routes to it."),
            param("timeout", "How long to wait: 10s unless told, 5m at most."),
        ],
        statuses: &[
            (200, "It was there and is updated."),
            (201, "It is new."),
            (202, "It is registered; the wait timed out."),
        ],
        handler: |filter| on(filter, instances::register),
        ..read(INSTANCE, "register", "Register or update an instance.", json::<RegisteredView>())
    },
    Call {
        verb: Verb::Delete,
        needs: Some(Scope::Register),
        change: Some("deregister"),
        query: DRAINED,
        statuses: LEAVING,
        handler: |filter| on(filter, instances::deregister),
        ..read(INSTANCE, "deregister", "Take an instance out for good.", json::<LeavingView>())
    },
    Call {
        verb: Verb::Post,
        needs: Some(Scope::Register),
        change: Some("drain"),
        query: DRAINED,
        statuses: LEAVING,
        handler: |filter| on(filter, instances::drain),
        ..read(DRAIN, "drain", "Send an instance nothing new.", json::<LeavingView>())
    },
    Call {
        verb: Verb::Post,
        needs: Some(Scope::Register),
        query: &[GENERATION],
        handler: |filter| on(filter, instances::heartbeat),
        ..read(
            HEARTBEAT,
            "heartbeat",
            "Renew a lease. 404 says to register again.",
            json::<InstanceView>(),
        )
    },
    Call {
        statuses: TAGGED,
        handler: |filter| on(filter, instances::instance),
        ..read(INSTANCE, "instance", "One instance.", json::<InstanceView>())
    },
    Call {
        statuses: TAGGED,
        query: &[
            param("cursor", "The `next` of the page before."),
            Param {
                name: "limit",
                about: "Services on a page: 100 unless told, 1000 at most.",
                shape: "integer",
                required: false,
            },
            param("state", "Only services with an instance in this state."),
            param("tag", "Only services with an instance with this tag."),
        ],
        handler: |filter| on(filter, services::services),
        ..read(SERVICES, "services", "Services with their instances.", json::<ServicesView>())
    },
    Call {
        statuses: TAGGED,
        handler: |filter| on(filter, services::service),
        ..read(SERVICE, "service", "One service with its instances.", json::<ServiceView>())
    },
    Call {
        statuses: TAGGED,
        handler: |filter| on(filter, services::routes),
        ..read("/api/v1/routes", "routes", "Routes in the order of the file.", json::<RoutesView>())
    },
    Call {
        handler: |filter| on(filter, sources::sources),
        ..read(
            "/api/v1/sources",
            "sources",
            "Sources of instances, and how current each is.",
            json::<SourcesView>(),
        )
    },
    Call {
        handler: |filter| on(filter, sources::source),
        ..read(
            "/api/v1/sources/{source}",
            "source",
            "One source with its instances.",
            json::<SourceDetailView>(),
        )
    },
    Call {
        verb: Verb::Post,
        needs: Some(Scope::Admin),
        change: Some("accept_source"),
        handler: |filter| on(filter, sources::accept),
        ..read(
            "/api/v1/sources/{source}/accept",
            "accept_source",
            "Believe a source that so many instances are gone.",
            json::<SourceView>(),
        )
    },
    Call {
        verb: Verb::Post,
        needs: Some(Scope::Admin),
        change: Some("resync_source"),
        handler: |filter| on(filter, sources::resync),
        ..read(
            "/api/v1/sources/{source}/resync",
            "resync_source",
            "Have a source read all that it has again.",
            json::<SourceView>(),
        )
    },
    Call {
        handler: |filter| on(filter, probes::status),
        ..read("/api/v1/status", "status", "The proxy at a glance.", json::<StatusView>())
    },
    Call {
        query: &[
            param("method", "The method; GET unless told."),
            Param {
                required: true,
                ..param(
                    "url",
                    "The URL: `http://shop.example/orders?x=1`, or a path beside a Host.",
                )
            },
            Param {
                name: "header",
                about: "A field of the request as `Name: value`; may be repeated.",
                shape: "array",
                required: false,
            },
        ],
        handler: |filter| on(filter, explain::explain),
        ..read(
            "/api/v1/explain",
            "explain",
            "Where a request would go, and why.",
            json::<ExplanationView>(),
        )
    },
    Call {
        query: &[param("after", "Begin after this event id, as Last-Event-ID does.")],
        handler: |filter| on(filter, events::events),
        ..read(
            "/api/v1/events",
            "events",
            "What changes, as server-sent events; `reset` says that some were missed.",
            Gives::Text("text/event-stream"),
        )
    },
    Call {
        verb: Verb::Post,
        // It reads files and the environment on behalf of whoever asks.
        needs: Some(Scope::Admin),
        takes: Takes::Toml,
        handler: |filter| on(filter, configuration::check),
        ..read(
            "/api/v1/config/check",
            "check_config",
            "Check the text sent, or the file on disk if none is.",
            json::<ReloadView>(),
        )
    },
    Call {
        verb: Verb::Post,
        needs: Some(Scope::Admin),
        change: Some("reload"),
        handler: |filter| on(filter, configuration::reload),
        ..read(
            "/api/v1/config/reload",
            "reload",
            "Take the file on disk into use. 422 says that the running config stays.",
            json::<ReloadView>(),
        )
    },
    Call {
        verb: Verb::Post,
        needs: Some(Scope::Admin),
        change: Some("upgrade"),
        handler: |filter| on(filter, configuration::upgrade),
        ..read(
            "/api/v1/upgrade",
            "upgrade",
            "Start the program anew and hand over to it. 409 says that this process goes on.",
            json::<UpgradeView>(),
        )
    },
    Call {
        handler: |filter| on(filter, openapi::document),
        ..read(
            "/api/v1/openapi.json",
            "openapi",
            "This API as OpenAPI 3.1.",
            Gives::Text("application/json"),
        )
    },
    Call {
        handler: |filter| on(filter, probes::metrics),
        ..read("/metrics", "metrics", "Metrics for Prometheus.", Gives::Text("text/plain"))
    },
    Call {
        needs: None,
        handler: |filter| on(filter, probes::livez),
        ..read("/livez", "livez", "Whether the process turns.", Gives::Text("text/plain"))
    },
    Call {
        needs: None,
        query: probes::VERBOSE,
        handler: |filter| on(filter, probes::readyz),
        ..read("/readyz", "readyz", "Whether it routes; 503 if not.", json::<probes::ReadyView>())
    },
    Call {
        needs: None,
        query: probes::VERBOSE,
        handler: |filter| on(filter, probes::readyz),
        ..read("/healthz", "healthz", "Another name for /readyz.", json::<probes::ReadyView>())
    },
    Call {
        handler: |filter| on(filter, index::index),
        ..read("/", "index", "This list.", Gives::Text("text/plain"))
    },
];

/// The schema of what `takes` is, if it is JSON.
pub(super) fn body_schema(takes: Takes, generator: &mut SchemaGenerator) -> Option<Schema> {
    (takes == Takes::Registration).then(|| generator.subschema_for::<RegistrationBody>())
}
