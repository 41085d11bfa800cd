//! What an agent tells a client of the services on its machine, and of itself.
//! A client needs it to register, so it is answered without `read`.

use axum::{Json, response::IntoResponse};
use http::StatusCode;
use serde_json::{Map, Value, json};

use super::{check::Status, index::record, shown::Shown};
use crate::{
    control::Extent,
    front::{
        call::Call,
        refusal::{Answer, Refusal},
    },
};

/// The port that servers of a cluster talk by; nobody connects to it.
const SERVER_PORT: u16 = 8300;

/// What is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::front) enum Asked {
    Oneself,
    Services,
    Checks,
    Service { id: String },
    HealthOfService { id: String },
    HealthOfName { name: String },
    Members,
    Leader,
    Peers,
}

impl Asked {
    /// What is asked for at the path of `segments`, if it is for the agent.
    pub(super) fn at(segments: &[&str]) -> Option<Self> {
        let owned = |text: &str| text.to_owned();
        Some(match segments {
            ["agent", "self"] => Self::Oneself,
            ["agent", "services"] => Self::Services,
            ["agent", "checks"] => Self::Checks,
            ["agent", "service", id] => Self::Service { id: owned(id) },
            ["agent", "health", "service", "id", id] => Self::HealthOfService { id: owned(id) },
            ["agent", "health", "service", "name", name] => {
                Self::HealthOfName { name: owned(name) }
            }
            ["agent", "members"] => Self::Members,
            ["status", "leader"] => Self::Leader,
            ["status", "peers"] => Self::Peers,
            _ => return None,
        })
    }
}

/// Answers a call.
pub(super) fn answer(asked: Asked, call: &Call) -> Answer {
    let datacenter = &call.settings.datacenter;
    let local = std::net::SocketAddr::new(call.ends.local.ip().to_canonical(), SERVER_PORT);
    let leader = local.to_string();
    Ok(match asked {
        Asked::Leader => Json(json!(leader)).into_response(),
        Asked::Peers => Json(json!([leader])).into_response(),
        Asked::Oneself => Json(oneself(call)).into_response(),
        Asked::Members => Json(json!([member(call)])).into_response(),
        Asked::Services => {
            let all = own(call).into_iter().map(|shown| (shown.id(), shown.service(datacenter)));
            Json(Value::Object(all.collect())).into_response()
        }
        Asked::Checks => {
            let mut all = Map::new();
            for check in own(call).iter().flat_map(Shown::checks) {
                // What Portolan finds is no check of the client's.
                if check["Type"] != "" {
                    let id = check["CheckID"].as_str().unwrap_or_default().to_owned();
                    all.insert(id, check);
                }
            }
            Json(Value::Object(all)).into_response()
        }
        Asked::Service { id } => {
            let found = own(call).into_iter().find(|shown| shown.id() == id);
            let missing = || Refusal::missing(format!("unknown service ID: {id}"));
            Json(found.ok_or_else(missing)?.service(datacenter)).into_response()
        }
        Asked::HealthOfService { id } => {
            let found = own(call).into_iter().find(|shown| shown.id() == id);
            let found =
                found.ok_or_else(|| Refusal::missing(format!("ServiceId {id} not found")))?;
            (code(found.status()), Json(health(&found, datacenter))).into_response()
        }
        Asked::HealthOfName { name } => {
            let found: Vec<_> =
                own(call).into_iter().filter(|shown| shown.name() == name).collect();
            let worst = found.iter().map(Shown::status).max();
            let missing = || Refusal::missing(format!("Service {name} not found"));
            let worst = worst.ok_or_else(missing)?;
            let all: Vec<_> = found.iter().map(|shown| health(shown, datacenter)).collect();
            (code(worst), Json(json!(all))).into_response()
        }
    })
}

/// What the caller's machine has registered here, as far as the caller may
/// change it.
fn own(call: &Call) -> Vec<Shown> {
    let node = call.node();
    let all = call.control().residents(Extent::Registered);
    let own = all.into_iter().filter(|resident| {
        record(resident).is_some_and(|record| record.node == node)
            && call.caller(&resident.instance.service).is_ok()
    });
    own.map(Shown::of).collect()
}

fn health(shown: &Shown, datacenter: &str) -> Value {
    json!({
        "AggregatedStatus": shown.status().as_str(),
        "Service": shown.service(datacenter),
        "Checks": shown.checks(),
    })
}

const fn code(status: Status) -> StatusCode {
    match status {
        Status::Passing => StatusCode::OK,
        Status::Warning => StatusCode::TOO_MANY_REQUESTS,
        Status::Critical => StatusCode::SERVICE_UNAVAILABLE,
    }
}

fn oneself(call: &Call) -> Value {
    json!({
        "Config": {
            "Datacenter": call.settings.datacenter,
            "PrimaryDatacenter": call.settings.datacenter,
            "NodeName": call.node(),
            "NodeID": "",
            "Revision": "",
            "Server": true,
            "Version": VERSION,
        },
        "DebugConfig": {},
        "Coord": null,
        "Member": member(call),
        "Meta": { "portolan": env!("CARGO_PKG_VERSION") },
    })
}

/// The version of the API that is spoken here.
const VERSION: &str = "1.8.7";

fn member(call: &Call) -> Value {
    json!({
        "Name": call.node(),
        "Addr": call.ends.local.ip().to_canonical().to_string(),
        "Port": 8301,
        "Tags": { "role": "consul", "dc": call.settings.datacenter, "build": VERSION },
        "Status": 1,
        "ProtocolMin": 1,
        "ProtocolMax": 5,
        "ProtocolCur": 2,
        "DelegateMin": 2,
        "DelegateMax": 5,
        "DelegateCur": 4,
    })
}
