//! What instances tell: that they are there, how they are, and that they
//! leave.

use axum::{body::Body as HttpBody, response::Response};

use super::{
    Report,
    body::Body,
    check::{Check, Means, Status, kept},
    index::{self, Of, one, record},
    record::Record,
};
use crate::{
    front::{
        call::Call,
        refusal::{Answer, Refusal},
    },
    model::InstanceKey,
};

/// What an agent answers when all is well: 200, and nothing else will do.
fn done() -> Answer {
    Ok(Response::new(HttpBody::empty()))
}

/// Registers the instance that `body` describes, or describes it anew.
pub(super) async fn register(call: &Call, body: &[u8]) -> Answer {
    let mut new = Record::read(&Body::read(body)?, call.node())?;
    let key = new.key()?;
    call.about(&key);
    call.caller(&key.service)?;
    let _lock = call.front.lock(&key).await;
    let before = call.registered(&key).as_ref().and_then(record);
    if let Some(before) = before {
        inherit(&mut new, before, call.param("replace-existing-checks").is_some());
        new.sound()?;
    }
    // A service that is called otherwise now takes the place of the old one.
    let others = index::before(call, Of::Service(&new.id));
    enter(call, &key, &new).await?;
    for (other, record) in others {
        let other = other.instance.key();
        if record.node == new.node && other != key {
            call.leave(&other).await?;
        }
    }
    if new.ttl().is_some_and(|(check, _)| check.status != Status::Critical) {
        call.renew(&key)?;
    }
    done()
}

/// Has `new` keep of `before` what an agent keeps: what its checks said last,
/// checks that were declared by themselves, and maintenance.
fn inherit(new: &mut Record, before: Record, replaces_checks: bool) {
    for old in before.checks {
        match new.checks.iter_mut().find(|check| check.id == old.id) {
            Some(check) => (check.status, check.output) = (old.status, old.output),
            None if !old.inherent && !replaces_checks => new.checks.push(old),
            None => {}
        }
    }
    new.maintenance = before.maintenance;
}

/// Writes `record` down.
async fn enter(call: &Call, key: &InstanceKey, record: &Record) -> Result<(), Refusal> {
    call.register(record.instance()?).await?;
    call.front.index().add(key, record);
    Ok(())
}

/// Takes an instance out.
pub(super) async fn deregister(call: &Call, id: &str) -> Answer {
    let (key, _) = named(call, Of::Service(id))?;
    let _lock = call.front.lock(&key).await;
    if !call.leave(&key).await? {
        return Err(unknown(Of::Service(id)));
    }
    done()
}

/// Lets an instance get no requests for a while, or again.
pub(super) async fn maintain(call: &Call, id: &str) -> Answer {
    let enable = match call.param("enable") {
        None | Some("") => return Err(Refusal::bad("Missing value for enable")),
        Some("true" | "True" | "TRUE" | "t" | "T" | "1") => true,
        Some("false" | "False" | "FALSE" | "f" | "F" | "0") => false,
        Some(other) => return Err(Refusal::bad(format!("Invalid value for enable: {other:?}"))),
    };
    let reason = match call.param("reason").unwrap_or_default() {
        "" => {
            "Maintenance mode is enabled for this service, but no reason was provided. This is a \
               default message."
        }
        reason => reason,
    };
    let reason = enable.then(|| kept(reason));
    edit(call, Of::Service(id), |record| {
        record.maintenance = reason;
        Ok(())
    })
    .await?;
    done()
}

/// Adds a check to an instance.
pub(super) async fn register_check(call: &Call, body: &[u8]) -> Answer {
    let body = Body::read(body)?;
    let name = body.text("name")?.to_owned();
    if name.is_empty() {
        return Err(Refusal::bad("Missing check name"));
    }
    let service = body.text("serviceid")?.to_owned();
    if service.is_empty() {
        let text = "a check is of a service here; give its ServiceID";
        return Err(Refusal::bad(text));
    }
    let check = Check { inherent: false, ..Check::read(&body, &service, name)? };
    edit(call, Of::Service(&service), |record| {
        match record.checks.iter_mut().find(|known| known.id == check.id) {
            Some(known) => *known = check,
            None => record.checks.push(check),
        }
        record.sound()
    })
    .await?;
    done()
}

/// Takes a check from an instance.
pub(super) async fn deregister_check(call: &Call, id: &str) -> Answer {
    edit(call, Of::Check(id), |record| {
        record.checks.retain(|check| check.id != id);
        Ok(())
    })
    .await?;
    done()
}

/// Notes what an instance says of itself. It is written down only if it is
/// news.
pub(super) async fn report(call: &Call, id: &str, report: Report, body: &[u8]) -> Answer {
    let (status, output) = match report {
        Report::Pass => (Status::Passing, None),
        Report::Warn => (Status::Warning, None),
        Report::Fail => (Status::Critical, None),
        Report::Update => {
            let body = Body::read(body)?;
            (Status::of(body.text("status")?)?, Some(kept(body.text("output")?)))
        }
    };
    let output = output.unwrap_or_else(|| kept(call.param("note").unwrap_or_default()));
    let (key, found) = named(call, Of::Check(id))?;
    let has_ttl = |record: &Record| {
        record.ttl().filter(|(check, _)| check.id == id).map(|(check, _)| check.clone())
    };
    let known = has_ttl(&found)
        .ok_or_else(|| Refusal::bad(format!("CheckID {id:?} does not have associated TTL")))?;
    // Why it fails is worth a write, and what it says while all is well is not.
    let is_told = status != Status::Passing && known.output != output;
    if known.status != status || is_told {
        edit(call, Of::Check(id), |record| {
            for check in &mut record.checks {
                if check.id == id && matches!(check.means, Means::Ttl { .. }) {
                    (check.status, check.output) = (status, output.clone());
                }
            }
            Ok(())
        })
        .await?;
    }
    if !call.renew(&key)? {
        return Err(unknown(Of::Check(id)));
    }
    done()
}

/// The instance that has an id, and what is kept of it; the caller may change
/// it.
fn named(call: &Call, of: Of<'_>) -> Result<(InstanceKey, Record), Refusal> {
    let (resident, record) = one(call, of).ok_or_else(|| unknown(of))?;
    let key = resident.instance.key();
    call.about(&key);
    call.caller(&key.service)?;
    Ok((key, record))
}

/// Changes what is kept of the instance that has an id.
async fn edit(
    call: &Call,
    of: Of<'_>,
    change: impl FnOnce(&mut Record) -> Result<(), Refusal>,
) -> Result<(), Refusal> {
    let (key, _) = named(call, of)?;
    let _lock = call.front.lock(&key).await;
    // As it is now that nobody else changes it.
    let mut new = call.registered(&key).as_ref().and_then(record).ok_or_else(|| unknown(of))?;
    change(&mut new)?;
    enter(call, &key, &new).await
}

fn unknown(of: Of<'_>) -> Refusal {
    Refusal::missing(match of {
        Of::Service(id) => format!(
            "Unknown service ID {id:?}. Ensure that the service ID is passed, not the service name."
        ),
        Of::Check(id) => format!(
            "Unknown check ID {id:?}. Ensure that the check ID is passed, not the check name."
        ),
    })
}
