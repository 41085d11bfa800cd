//! What is registered, in the shapes that Eureka's clients parse: JSON where
//! they ask for it, else XML.
//!
//! An instance is shown as it was registered, with the status that requests
//! are sent by: what its client says, and what probes and its lease say.

use std::collections::BTreeMap;

use axum::{
    body::Bytes,
    response::{IntoResponse, Response},
};
use http::{HeaderValue, header};
use serde_json::{Map, Value, json};
use tokio::time::Instant;

use super::{
    Asked,
    delta::{Action, Kind},
    record::{Record, Status},
    registering::record,
    xml,
};
use crate::{
    control::Resident,
    front::{
        call::Call,
        refusal::{Answer, Refusal},
    },
    model::{Instance, InstanceState, Reported, Scheme},
};

/// One instance as it is shown.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Shown {
    pub(super) app: String,
    pub(super) id: String,
    pub(super) status: Status,
    /// All of it, less `actionType`.
    pub(super) fields: Map<String, Value>,
}

/// Answers a call that changes nothing.
pub(super) fn answer(asked: Asked, call: &Call) -> Answer {
    call.may_read()?;
    let all =
        || -> Vec<Shown> { call.control().residents(call.extent()).iter().map(shown).collect() };
    let missing = || Refusal::missing("it is not registered");
    let added = |all: Vec<Shown>| -> Vec<(Shown, Action)> {
        all.into_iter().map(|shown| (shown, Action::Added)).collect()
    };
    let (name, value) = match asked {
        Asked::Apps => return Ok(list(call, false)),
        Asked::Delta => return Ok(list(call, true)),
        Asked::App { app } => {
            let of = all().into_iter().filter(|shown| shown.app.eq_ignore_ascii_case(&app));
            let of = added(of.collect());
            let name = of.first().map(|(shown, _)| shown.app.clone()).ok_or_else(missing)?;
            ("application", application(&name, &of))
        }
        Asked::Instance(key) => {
            let of = call.control().residents_of(call.extent(), &key.service);
            let resident = of.iter().find(|resident| resident.instance.id == key.id);
            ("instance", instance(&shown(resident.ok_or_else(missing)?), Action::Added))
        }
        Asked::AnyInstance { id } => {
            let found = all().into_iter().find(|shown| shown.id == id).ok_or_else(missing)?;
            ("instance", instance(&found, Action::Added))
        }
        Asked::Vip { name, secure } => {
            let field = if secure { "secureVipAddress" } else { "vipAddress" };
            let has = |shown: &Shown| {
                let names = shown.fields.get(field).and_then(Value::as_str).unwrap_or_default();
                names.split(',').any(|known| known.trim().eq_ignore_ascii_case(&name))
            };
            let of: Vec<Shown> = all().into_iter().filter(has).collect();
            if of.is_empty() {
                return Err(missing());
            }
            let code = hash_code(&of);
            ("applications", applications(added(of), 1, &code))
        }
        _ => return Err(Refusal::elsewhere("this is not a call that reads")),
    };
    let as_json = call.accepts("json");
    Ok(sent(as_json, written(name, value, as_json)))
}

/// Answers with all instances, or with those that have changed.
fn list(call: &Call, changes: bool) -> Response {
    let kind = Kind { changes, json: call.accepts("json") };
    // One at a time: no older list is taken for a newer one, and who comes
    // meanwhile may get the same.
    let mut known = call.front.changes();
    let (event, now) = (call.control().last_event(), Instant::now());
    if let Some(body) = known.list(kind, event, now) {
        return sent(kind.json, body);
    }
    let all: Vec<Shown> = call.control().residents(call.extent()).iter().map(shown).collect();
    let version = known.look(&all, now);
    let mut code = hash_code(&all);
    let listed = if changes {
        if !known.are_all(now) {
            code.push_str(UNKNOWN_PAST);
        }
        known.told()
    } else {
        all.into_iter().map(|shown| (shown, Action::Added)).collect()
    };
    let body = written("applications", applications(listed, version, &code), kind.json);
    known.keep(kind, event, now, &body);
    sent(kind.json, body)
}

/// An element called `name`, as JSON or XML.
fn written(name: &str, value: Value, as_json: bool) -> Bytes {
    if as_json {
        return json!({ name: value }).to_string().into();
    }
    let mut text = String::new();
    xml::element(&mut text, name, &value);
    text.into()
}

fn sent(as_json: bool, body: Bytes) -> Response {
    let kind = if as_json { "application/json" } else { "application/xml" };
    ([(header::CONTENT_TYPE, HeaderValue::from_static(kind))], body).into_response()
}

/// Behind the hash code of a list of changes that may lack some: there is no
/// such status, so no client has what it says, and each reads all.
const UNKNOWN_PAST: &str = "UNKNOWN_PAST_1_";

/// What clients hold what they have against: each status with how many
/// instances have it (`Applications.getReconcileHashCode`).
fn hash_code(all: &[Shown]) -> String {
    let mut counts = BTreeMap::<&str, usize>::new();
    for shown in all {
        *counts.entry(shown.status.as_str()).or_default() += 1;
    }
    counts.iter().map(|(status, count)| format!("{status}_{count}_")).collect()
}

fn applications(all: Vec<(Shown, Action)>, version: u64, hash_code: &str) -> Value {
    let mut by_app = BTreeMap::<String, Vec<(Shown, Action)>>::new();
    for one in all {
        by_app.entry(one.0.app.clone()).or_default().push(one);
    }
    let all: Vec<Value> = by_app.iter().map(|(app, of)| application(app, of)).collect();
    // The list is there even if it is empty: clients in Java fail without it.
    json!({
        "versions__delta": version.to_string(),
        "apps__hashcode": hash_code,
        "application": all,
    })
}

fn application(app: &str, of: &[(Shown, Action)]) -> Value {
    let all: Vec<Value> = of.iter().map(|(shown, action)| instance(shown, *action)).collect();
    json!({ "name": app, "instance": all })
}

fn instance(shown: &Shown, action: Action) -> Value {
    let mut fields = shown.fields.clone();
    fields.insert("actionType".to_owned(), action.as_str().into());
    Value::Object(fields)
}

/// A resident as it is shown.
fn shown(resident: &Resident) -> Shown {
    let instance = &resident.instance;
    let record = record(resident);
    let status = status(resident, record.as_ref());
    let mut fields = match &record {
        Some(record) => record.info.clone(),
        None => described(instance),
    };
    let app = instance.service.as_str().to_ascii_uppercase();
    let given = |name: &str| {
        fields.get(name).and_then(Value::as_str).filter(|text| !text.is_empty()).map(str::to_owned)
    };
    let id = given("instanceId").unwrap_or_else(|| instance.id.to_string());
    let name = instance.service.to_string();
    let host = given("hostName").unwrap_or_else(|| instance.origin.address.host.to_string());
    let (port, secure) = (port(&fields, "port"), port(&fields, "securePort"));
    let lease = fields.get("leaseInfo").cloned().unwrap_or_default();
    let (registered, updated) =
        record.as_ref().map_or((0, 0), |record| (record.registered, record.updated));
    let overridden = record.as_ref().and_then(|record| record.overridden);
    let overridden = overridden.unwrap_or(Status::Unknown).as_str();
    let dirty = record.as_ref().map(|record| record.dirty).filter(|dirty| *dirty > 0);
    let mut put = |name: &str, value: Value| fields.insert(name.to_owned(), value);
    put("instanceId", id.clone().into());
    put("hostName", host.into());
    put("app", app.clone().into());
    put("status", status.as_str().into());
    put("overriddenStatus", overridden.into());
    // The name that older clients read, and XML (Netflix/eureka#1051).
    put("overriddenstatus", overridden.into());
    put("port", port);
    put("securePort", secure);
    put(
        "leaseInfo",
        json!({
            "renewalIntervalInSecs": lease.get("renewalIntervalInSecs").cloned().unwrap_or(30.into()),
            "durationInSecs": lease.get("durationInSecs").cloned().unwrap_or(90.into()),
            "registrationTimestamp": registered,
            "lastRenewalTimestamp": updated,
            "evictionTimestamp": 0,
            "serviceUpTimestamp": registered,
        }),
    );
    put("lastUpdatedTimestamp", updated.to_string().into());
    put("lastDirtyTimestamp", dirty.unwrap_or(updated).to_string().into());
    let defaults = [
        ("ipAddr", instance.origin.address.host.to_string().into()),
        ("countryId", 1.into()),
        ("vipAddress", name.clone().into()),
        ("secureVipAddress", name.into()),
        ("isCoordinatingDiscoveryServer", "false".into()),
        ("metadata", json!({ "@class": "java.util.Collections$EmptyMap" })),
        ("dataCenterInfo", own_data_center()),
    ];
    for (name, value) in defaults {
        let empty = fields.get(name).is_none_or(|value| value.is_null() || value == "");
        if empty {
            fields.insert(name.to_owned(), value);
        }
    }
    Shown { app, id, status, fields }
}

/// What is shown of the port `name`, in whichever form it was given.
fn port(fields: &Map<String, Value>, name: &str) -> Value {
    let given = fields.get(name).unwrap_or(&Value::Null);
    let number = |value: &Value| {
        value.as_u64().or_else(|| value.as_str()?.parse().ok()).filter(|port| *port <= 65_535)
    };
    let standard = if name == "securePort" { 443 } else { 80 };
    let enabled = match &given["@enabled"] {
        Value::Bool(enabled) => *enabled,
        Value::String(text) => text.eq_ignore_ascii_case("true"),
        // A port by itself is meant.
        _ => number(given).or_else(|| number(&given["$"])).is_some(),
    };
    let number = number(given).or_else(|| number(&given["$"])).unwrap_or(standard);
    json!({ "$": number, "@enabled": enabled.to_string() })
}

/// An instance that registered in another language.
fn described(instance: &Instance) -> Map<String, Value> {
    let address = &instance.origin.address;
    let secure = instance.origin.scheme == Scheme::Https;
    let plain =
        json!({ "$": if secure { 80 } else { address.port }, "@enabled": (!secure).to_string() });
    let tls =
        json!({ "$": if secure { address.port } else { 443 }, "@enabled": secure.to_string() });
    let lease = instance.ttl.map_or(90, |ttl| ttl.0.as_secs().max(1));
    let mut metadata: Map<String, Value> = instance
        .metadata
        .iter()
        .map(|(key, value)| (key.clone(), Value::from(value.clone())))
        .collect();
    for (key, value) in [("zone", &instance.zone), ("version", &instance.version)] {
        if let Some(value) = value {
            metadata.entry(key).or_insert_with(|| value.clone().into());
        }
    }
    let mut fields = Map::new();
    fields.insert("instanceId".to_owned(), instance.id.to_string().into());
    fields.insert("port".to_owned(), plain);
    fields.insert("securePort".to_owned(), tls);
    if !metadata.is_empty() {
        fields.insert("metadata".to_owned(), metadata.into());
    }
    fields.insert("leaseInfo".to_owned(), json!({ "durationInSecs": lease }));
    fields
}

fn own_data_center() -> Value {
    let class = "com.netflix.appinfo.InstanceInfo$DefaultDataCenterInfo";
    json!({ "@class": class, "name": "MyOwn" })
}

/// The status that requests are sent by.
fn status(resident: &Resident, record: Option<&Record>) -> Status {
    let said = match (record, resident.reported) {
        (Some(record), _) => record.effective(),
        (None, Reported::Down) => Status::Down,
        (None, Reported::OutOfService) => Status::OutOfService,
        (None, Reported::Up) => Status::Up,
    };
    match (said, resident.state) {
        (Status::Up, InstanceState::Healthy | InstanceState::Suspect) => Status::Up,
        (Status::Up, InstanceState::Starting) => Status::Starting,
        (Status::Up, InstanceState::Unhealthy) => Status::Down,
        (Status::Up, InstanceState::Draining) => Status::OutOfService,
        (said, _) => said,
    }
}
