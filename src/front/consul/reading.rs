//! The catalog and the health of everything that registered, for those who
//! look for services.

use std::collections::{BTreeMap, BTreeSet};

use axum::{Json, response::IntoResponse};
use http::StatusCode;
use serde_json::{Value, json};

use super::{
    blocking::{self, Answer, Question, sum},
    check::Status,
    filter::Filter,
    shown::{Shown, machine},
};
use crate::{
    front::{
        call::Call,
        refusal::{self, Refusal},
    },
    sources::draft::service_name,
};

/// What is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::front) enum Asked {
    Datacenters,
    Nodes,
    Node { node: String },
    Services,
    Service { name: String },
    HealthOfService { name: String },
    Checks { name: String },
    ChecksOfNode { node: String },
    ChecksIn { state: String },
}

impl Asked {
    /// What is asked for at the path of `segments`, if it is of the catalog.
    pub(super) fn at(segments: &[&str]) -> Option<Self> {
        let owned = |text: &str| text.to_owned();
        Some(match segments {
            ["catalog", "datacenters"] => Self::Datacenters,
            ["catalog", "nodes"] => Self::Nodes,
            ["catalog", "node", node] => Self::Node { node: owned(node) },
            ["catalog", "services"] => Self::Services,
            ["catalog", "service", name] => Self::Service { name: owned(name) },
            ["health", "service", name] => Self::HealthOfService { name: owned(name) },
            ["health", "checks", name] => Self::Checks { name: owned(name) },
            ["health", "node", node] => Self::ChecksOfNode { node: owned(node) },
            ["health", "state", state] => Self::ChecksIn { state: owned(state) },
            _ => return None,
        })
    }

    /// The service that it is about, if it is about one.
    fn service(&self) -> Option<&str> {
        match self {
            Self::Service { name } | Self::HealthOfService { name } | Self::Checks { name } => {
                Some(name)
            }
            _ => None,
        }
    }
}

/// Answers a call.
pub(super) async fn answer(asked: Asked, call: &Call) -> refusal::Answer {
    call.may_read()?;
    let datacenter = call.settings.datacenter.as_str();
    if call.param("dc").is_some_and(|asked| !asked.is_empty() && asked != datacenter) {
        let text = "No path to datacenter";
        return Err(Refusal::new(StatusCode::INTERNAL_SERVER_ERROR, text));
    }
    let filter = call.param("filter").unwrap_or_default();
    let kept = Filter::read(filter)?;
    if !filter.is_empty() && matches!(asked, Asked::Services | Asked::Node { .. }) {
        return Err(Refusal::bad("filter: only lists are filtered here"));
    }
    if asked == Asked::Datacenters {
        return Ok(Json(json!([datacenter])).into_response());
    }
    let tags: Vec<String> =
        call.params().filter(|(key, _)| *key == "tag").map(|(_, tag)| tag.to_owned()).collect();
    let passing = call.param("passing").is_some_and(|value| !matches!(value, "false" | "0"));
    let question = Question {
        about: format!("{asked:?} {tags:?} {passing}"),
        filter: filter.to_owned(),
        service: asked.service().map(str::to_ascii_lowercase),
    };
    let wanted = |shown: &Shown| {
        let has = |tag: &String| shown.tags().iter().any(|known| known.eq_ignore_ascii_case(tag));
        tags.iter().all(has) && (!passing || shown.status() == Status::Passing)
    };
    let answer = || {
        let Answer { sum, value } = found(&asked, call, datacenter, wanted);
        Answer { sum, value: kept.of(value) }
    };
    Ok(blocking::answer(call, question, answer).await)
}

/// What there is of what is asked for.
fn found(asked: &Asked, call: &Call, datacenter: &str, wanted: impl Fn(&Shown) -> bool) -> Answer {
    let of = |name: &str| -> Vec<Shown> {
        let service = service_name(name).ok();
        let residents = service.map(|name| call.control().residents_of(call.extent(), &name));
        residents
            .unwrap_or_default()
            .into_iter()
            .map(Shown::of)
            .filter(|shown| wanted(shown))
            .collect()
    };
    let all = || call.control().residents(call.extent()).into_iter().map(Shown::of);
    let value = match asked {
        Asked::Services | Asked::Nodes => return names(asked, call, datacenter),
        Asked::Datacenters => json!([datacenter]),
        Asked::Node { node } => {
            let services: serde_json::Map<String, Value> = all()
                .filter(|shown| shown.node() == *node)
                .map(|shown| (shown.id(), shown.service(datacenter)))
                .collect();
            match services.is_empty() {
                true => Value::Null,
                false => json!({ "Node": machine(node, datacenter), "Services": services }),
            }
        }
        Asked::Service { name } => of(name).iter().map(|shown| shown.entry(datacenter)).collect(),
        Asked::HealthOfService { name } => of(name)
            .iter()
            .map(|shown| {
                json!({
                    "Node": shown.machine(datacenter),
                    "Service": shown.service(datacenter),
                    "Checks": shown.checks(),
                })
            })
            .collect(),
        Asked::Checks { name } => of(name).iter().flat_map(Shown::checks).collect(),
        Asked::ChecksOfNode { node } => {
            all().filter(|shown| shown.node() == *node).flat_map(|shown| shown.checks()).collect()
        }
        Asked::ChecksIn { state } => all()
            .flat_map(|shown| shown.checks())
            .filter(|check| state == "any" || check["Status"] == **state)
            .collect(),
    };
    Answer { sum: sum(&value.to_string()), value }
}

/// The names of all services with their tags, or of all nodes. Who follows them
/// is told by the index that a registration has changed, though all are called
/// what they were.
fn names(asked: &Asked, call: &Call, datacenter: &str) -> Answer {
    let mut services = BTreeMap::<String, BTreeSet<String>>::new();
    let mut nodes = BTreeSet::new();
    let mut all = 0;
    for shown in call.control().residents(call.extent()).into_iter().map(Shown::of) {
        all = sum(&(all, shown.service(datacenter).to_string()));
        services.entry(shown.name()).or_default().extend(shown.tags().iter().cloned());
        nodes.insert(shown.node());
    }
    let value = match asked {
        Asked::Nodes => nodes.iter().map(|node| machine(node, datacenter)).collect(),
        _ => json!(services),
    };
    Answer { sum: all, value }
}
