//! The catalog and the health of everything that registered, for those who
//! look for services.

use std::collections::{BTreeMap, BTreeSet};

use axum::{Json, response::IntoResponse};
use http::StatusCode;
use serde_json::{Value, json};

use super::{
    blocking,
    check::Status,
    shown::{Shown, machine},
};
use crate::front::{
    call::Call,
    refusal::{Answer, Refusal},
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
}

/// Answers a call.
pub(super) async fn answer(asked: Asked, call: &Call) -> Answer {
    call.may_read()?;
    let datacenter = call.settings.datacenter.as_str();
    if call.param("dc").is_some_and(|asked| !asked.is_empty() && asked != datacenter) {
        let text = "No path to datacenter";
        return Err(Refusal::new(StatusCode::INTERNAL_SERVER_ERROR, text));
    }
    if call.param("filter").is_some_and(|filter| !filter.is_empty()) {
        return Err(Refusal::bad(
            "filter: expressions are not understood here; use tag and passing",
        ));
    }
    if asked == Asked::Datacenters {
        return Ok(Json(json!([datacenter])).into_response());
    }
    let tags: Vec<String> =
        call.params().filter(|(key, _)| *key == "tag").map(|(_, tag)| tag.to_owned()).collect();
    let passing = call.param("passing").is_some_and(|value| !matches!(value, "false" | "0"));
    let question = format!("{asked:?} {tags:?} {passing}");
    let wanted = |shown: &Shown| {
        let has = |tag: &String| shown.tags().iter().any(|known| known.eq_ignore_ascii_case(tag));
        tags.iter().all(has) && (!passing || shown.status() == Status::Passing)
    };
    Ok(blocking::answer(call, &question, || found(&asked, call, datacenter, wanted)).await)
}

/// What there is of what is asked for.
fn found(asked: &Asked, call: &Call, datacenter: &str, wanted: impl Fn(&Shown) -> bool) -> Value {
    let of = |name: &str| -> Vec<Shown> {
        let residents = call
            .control()
            .residents(|instance| instance.service.as_str().eq_ignore_ascii_case(name));
        residents.into_iter().map(Shown::of).filter(|shown| wanted(shown)).collect()
    };
    let all = || call.control().residents(|_| true).into_iter().map(Shown::of);
    match asked {
        Asked::Datacenters => json!([datacenter]),
        Asked::Nodes => {
            let nodes: BTreeSet<String> = all().map(|shown| shown.node()).collect();
            nodes.iter().map(|node| machine(node, datacenter)).collect()
        }
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
        Asked::Services => {
            let mut services = BTreeMap::<String, BTreeSet<String>>::new();
            for shown in all() {
                services.entry(shown.name()).or_default().extend(shown.tags().iter().cloned());
            }
            json!(services)
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
    }
}
