//! What a client registers with, as JSON or XML. Pure.

use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::{record::Status, xml};
use crate::{
    front::refusal::Refusal,
    sources::{eureka::document::Entry, loose::Loose},
};

/// What is kept of a registration; anything else is nobody's business.
const KEPT: [&str; 20] = [
    "instanceId",
    "hostName",
    "app",
    "appGroupName",
    "ipAddr",
    "sid",
    "port",
    "securePort",
    "homePageUrl",
    "statusPageUrl",
    "healthCheckUrl",
    "secureHealthCheckUrl",
    "vipAddress",
    "secureVipAddress",
    "countryId",
    "dataCenterInfo",
    "metadata",
    "isCoordinatingDiscoveryServer",
    "asgName",
    "leaseInfo",
];

/// Seconds of a lease that a client asks for if it does not say, and the
/// bounds.
const LEASE: u64 = 90;
const LONGEST_LEASE: u64 = 24 * 3600;

/// One registration.
#[derive(Debug)]
pub(super) struct Info {
    pub(super) app: String,
    pub(super) status: Status,
    pub(super) overridden: Option<Status>,
    pub(super) dirty: u64,
    /// Seconds.
    pub(super) lease: u64,
    /// As the source of instances reads it.
    pub(super) entry: Entry,
    /// What is kept as it is.
    pub(super) fields: Map<String, Value>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Said {
    status: Loose,
    overridden_status: Loose,
    /// The same under the name that older clients and XML have
    /// (Netflix/eureka#1051).
    overriddenstatus: Loose,
    last_dirty_timestamp: Loose,
    instance_id: Loose,
    host_name: Loose,
    ip_addr: Loose,
    app: Loose,
}

impl Info {
    /// Reads the body of a registration of the application `app`.
    ///
    /// # Errors
    ///
    /// In the words of Eureka where it has some.
    pub(super) fn read(app: &str, body: &[u8]) -> Result<Self, Refusal> {
        let fields = parse(body)?;
        let said: Said = serde_json::from_value(Value::Object(fields.clone()))
            .map_err(|error| Refusal::bad(format!("the instance cannot be read: {error}")))?;
        let missing = |what: &str| Err(Refusal::bad(format!("Missing {what}")));
        if said.instance_id.text().is_none() && said.host_name.text().is_none() {
            return missing("instanceId");
        }
        if said.host_name.text().is_none() {
            return missing("hostname");
        }
        if said.ip_addr.text().is_none() {
            return missing("ip address");
        }
        let Some(named) = said.app.text() else { return missing("appName") };
        if !named.eq_ignore_ascii_case(app) {
            let text = format!("Mismatched appName, expecting {app} but was {named}");
            return Err(Refusal::bad(text));
        }
        match fields.get("dataCenterInfo") {
            None | Some(Value::Null) => return missing("dataCenterInfo"),
            Some(info) if info["name"].as_str().is_none_or(str::is_empty) => {
                return missing("dataCenterInfo Name");
            }
            Some(_) => {}
        }
        let overridden = said.overridden_status.text().or(said.overriddenstatus.text());
        let overridden =
            overridden.and_then(Status::of).filter(|status| *status != Status::Unknown);
        let status = said.status.text().map(|text| Status::of(text).unwrap_or(Status::Unknown));
        let dirty = said.last_dirty_timestamp.number().unwrap_or(0);
        let mut kept: Map<String, Value> =
            fields.into_iter().filter(|(name, _)| KEPT.contains(&name.as_str())).collect();
        kept.insert("app".to_owned(), app.to_ascii_uppercase().into());
        let status = status.unwrap_or_default();
        Ok(Self { status, overridden, dirty, ..Self::kept(kept)? })
    }

    /// Reads what was kept of one.
    ///
    /// # Errors
    ///
    /// When it is not of that form.
    pub(super) fn kept(mut fields: Map<String, Value>) -> Result<Self, Refusal> {
        let asked = |name: &str| {
            let value = fields.get("leaseInfo").map(|info| &info[name]);
            value.and_then(|value| Loose::deserialize(value).ok()?.number::<u64>())
        };
        let lease = asked("durationInSecs").unwrap_or(LEASE).clamp(1, LONGEST_LEASE);
        let renewal = asked("renewalIntervalInSecs").unwrap_or(30);
        // Timestamps of the lease would make each registration a new one.
        let info = json!({ "renewalIntervalInSecs": renewal, "durationInSecs": lease });
        fields.insert("leaseInfo".to_owned(), info);
        let entry = serde_json::from_value(Value::Object(fields.clone()))
            .map_err(|error| Refusal::bad(format!("the instance cannot be read: {error}")))?;
        let app = fields.get("app").and_then(Value::as_str).unwrap_or_default().to_owned();
        let (status, overridden, dirty) = (Status::default(), None, 0);
        Ok(Self { app, status, overridden, dirty, lease, entry, fields })
    }
}

/// The fields of the instance in `body`.
fn parse(body: &[u8]) -> Result<Map<String, Value>, Refusal> {
    let text = std::str::from_utf8(body).map_err(|_| Refusal::bad("the body is not UTF-8"))?;
    let text = text.trim_start_matches('\u{feff}').trim();
    let instance = match text.as_bytes().first() {
        None => return Err(Refusal::bad("the body is empty")),
        Some(b'<') => {
            let (root, instance) = xml::parse(text)
                .map_err(|error| Refusal::bad(format!("the body is not XML: {error}")))?;
            if root != "instance" {
                return Err(Refusal::bad(format!("the body is <{root}>, not <instance>")));
            }
            instance
        }
        Some(_) => {
            let mut json: Value = serde_json::from_str(text)
                .map_err(|error| Refusal::bad(format!("the body is not JSON: {error}")))?;
            json.get_mut("instance").map(Value::take).unwrap_or_default()
        }
    };
    match instance {
        Value::Object(fields) => Ok(fields),
        _ => Err(Refusal::bad("the body has no \"instance\"")),
    }
}
