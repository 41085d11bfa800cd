//! What instances tell: that they are there, still there, how they are, and
//! that they leave.

use std::time::{SystemTime, UNIX_EPOCH};

use axum::response::IntoResponse;
use http::StatusCode;
use serde_json::Value;

use super::{
    document::Info,
    record::{Record, Status},
};
use crate::{
    control::Resident,
    front::{
        call::Call,
        refusal::{Answer, Refusal},
    },
    model::InstanceKey,
    sources::draft::{instance_id, service_name},
};

/// Milliseconds since 1970, as Eureka gives times.
pub(super) fn now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

/// Registers the instance that `body` describes, or describes it anew.
pub(super) async fn register(call: &Call, app: &str, body: &[u8]) -> Answer {
    let refused = |error: crate::model::ParseNameError| Refusal::bad(error.to_string());
    let info = Info::read(app, body)?;
    let service = service_name(app).map_err(refused)?;
    let id = instance_id(info.entry.id()).map_err(refused)?;
    let key = InstanceKey { service, id };
    call.about(&key);
    call.caller(&key.service)?;
    let _lock = call.front.lock(&key).await;
    let before = call.registered(&key);
    let kept = before.as_ref().and_then(record);
    // What is older than what is known was overtaken on its way; it is a sign
    // of life all the same (`AbstractInstanceRegistry.register`).
    let is_late = kept.as_ref().is_some_and(|kept| info.dirty > 0 && kept.dirty > info.dirty);
    if !is_late {
        let record = Record::registered(info, kept, now());
        call.register(record.instance(&call.settings)?).await?;
    }
    call.renew(&key)?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

/// Renews a lease. A client that is told 404 registers again: one that is not
/// known, and one that has changed since it registered.
pub(super) fn renew(call: &Call, key: &InstanceKey) -> Answer {
    call.caller(&key.service)?;
    let (_, record) = known(call, key)?;
    let dirty = call.param("lastDirtyTimestamp").and_then(|text| text.parse::<u64>().ok());
    if dirty.is_some_and(|dirty| dirty > record.dirty) {
        return Err(Refusal::missing("it has changed since it registered"));
    }
    if !call.renew(key)? {
        return Err(unknown(key));
    }
    Ok(StatusCode::OK.into_response())
}

/// Takes an instance out.
pub(super) async fn cancel(call: &Call, key: &InstanceKey) -> Answer {
    call.about(key);
    call.caller(&key.service)?;
    let _lock = call.front.lock(key).await;
    known(call, key)?;
    if !call.leave(key).await? {
        return Err(unknown(key));
    }
    Ok(StatusCode::OK.into_response())
}

/// Has another status count than that which the instance says.
pub(super) async fn set_status(call: &Call, key: &InstanceKey) -> Answer {
    let value = call.param("value").ok_or_else(|| Refusal::bad("Missing value"))?;
    let status = Status::of(value).filter(|status| *status != Status::Unknown);
    let Some(status) = status else {
        let text = format!("{value:?} is no status: UP, DOWN, STARTING or OUT_OF_SERVICE");
        return Err(Refusal::bad(text));
    };
    change(call, key, |record| record.overridden = Some(status)).await
}

/// Has the status count again that the instance says. With `?value=`, until it
/// registers again, that one.
pub(super) async fn clear_status(call: &Call, key: &InstanceKey) -> Answer {
    let status = call.param("value").and_then(Status::of);
    change(call, key, |record| {
        record.overridden = None;
        if let Some(status) = status.filter(|status| *status != Status::Unknown) {
            record.status = status;
        }
    })
    .await
}

/// Adds pairs to what an instance is registered with.
pub(super) async fn set_metadata(call: &Call, key: &InstanceKey) -> Answer {
    let pairs: Vec<(String, String)> =
        call.params().map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
    change(call, key, |record| {
        let metadata = record.info.entry("metadata").or_insert(Value::Null);
        if !metadata.is_object() {
            *metadata = Value::Object(serde_json::Map::new());
        }
        if let Some(metadata) = metadata.as_object_mut() {
            // The class of an empty map.
            metadata.remove("@class");
            metadata.extend(pairs.into_iter().map(|(name, value)| (name, value.into())));
        }
    })
    .await
}

/// Changes what is kept of an instance.
async fn change(call: &Call, key: &InstanceKey, edit: impl FnOnce(&mut Record)) -> Answer {
    call.about(key);
    call.caller(&key.service)?;
    let _lock = call.front.lock(key).await;
    let (_, before) = known(call, key)?;
    let mut record = before.clone();
    edit(&mut record);
    let dirty = call.param("lastDirtyTimestamp").and_then(|text| text.parse::<u64>().ok());
    record.dirty = record.dirty.max(dirty.unwrap_or(0));
    if record != before {
        record.updated = now();
    }
    call.register(record.instance(&call.settings)?).await?;
    Ok(StatusCode::OK.into_response())
}

/// What is kept of a registration.
pub(super) fn record(resident: &Resident) -> Option<Record> {
    Record::of(resident.instance.foreign.as_ref())
}

fn known(call: &Call, key: &InstanceKey) -> Result<(Resident, Record), Refusal> {
    let resident = call.registered(key).ok_or_else(|| unknown(key))?;
    let record = record(&resident).ok_or_else(|| unknown(key))?;
    Ok((resident, record))
}

fn unknown(key: &InstanceKey) -> Refusal {
    Refusal::missing(format!("{key} is not registered here by Eureka's API"))
}
