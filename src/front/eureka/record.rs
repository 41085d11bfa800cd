//! What is kept of an instance that registered as in Eureka, and what follows
//! from it. Pure.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::document::Info;
use crate::{
    front::{FrontSettings, refusal::Refusal},
    model::{Foreign, FrontApi, HumanDuration, Instance, Reported},
    sources::eureka::document::Reached,
};

/// What Eureka knows of how an instance is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub(super) enum Status {
    #[default]
    Up,
    Down,
    Starting,
    OutOfService,
    Unknown,
}

impl Status {
    /// The one that is written `text`.
    pub(super) fn of(text: &str) -> Option<Self> {
        Some(match text.to_ascii_uppercase().as_str() {
            "UP" => Self::Up,
            "DOWN" => Self::Down,
            "STARTING" => Self::Starting,
            "OUT_OF_SERVICE" => Self::OutOfService,
            "UNKNOWN" => Self::Unknown,
            _ => return None,
        })
    }

    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Up => "UP",
            Self::Down => "DOWN",
            Self::Starting => "STARTING",
            Self::OutOfService => "OUT_OF_SERVICE",
            Self::Unknown => "UNKNOWN",
        }
    }

    const fn reported(self) -> Reported {
        match self {
            Self::Up => Reported::Up,
            Self::OutOfService => Reported::OutOfService,
            Self::Down | Self::Starting | Self::Unknown => Reported::Down,
        }
    }
}

/// What is kept of an instance.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Record {
    /// What its client said last.
    pub(super) status: Status,
    /// What somebody else said, which counts before it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) overridden: Option<Status>,
    /// When the client says that what it registers last changed, in
    /// milliseconds of its own clock; 0 if it does not say.
    #[serde(default)]
    pub(super) dirty: u64,
    /// When it registered first and when it last changed, in milliseconds
    /// since 1970.
    pub(super) registered: u64,
    pub(super) updated: u64,
    /// What its client said, less what stands above.
    pub(super) info: Map<String, Value>,
}

impl Record {
    /// What is kept of `foreign`, if it is of this language.
    pub(super) fn of(foreign: Option<&Foreign>) -> Option<Self> {
        let foreign = foreign.filter(|foreign| foreign.api == FrontApi::Eureka)?;
        serde_json::from_value(foreign.record.clone()).ok()
    }

    /// The record of a registration, on top of what is kept from `before`.
    pub(super) fn registered(info: Info, before: Option<Self>, now: u64) -> Self {
        let Info { status, overridden, dirty, fields, .. } = info;
        let kept = before.as_ref().and_then(|before| before.overridden);
        let new = Self {
            status,
            overridden: kept.or(overridden),
            dirty,
            registered: before.as_ref().map_or(now, |before| before.registered),
            updated: before.as_ref().map_or(now, |before| before.updated),
            info: fields,
        };
        match before {
            Some(before) if before == new => new,
            _ => Self { updated: now, ..new },
        }
    }

    /// The status that counts: what somebody else said, unless the instance
    /// itself says that it is not there yet, or not any more
    /// (`DownOrStartingRule`, then `OverrideExistsRule`).
    pub(super) fn effective(&self) -> Status {
        match self.status {
            Status::Down | Status::Starting => self.status,
            status => self.overridden.unwrap_or(status),
        }
    }

    /// The instance that it describes.
    ///
    /// # Errors
    ///
    /// When it describes none.
    pub(super) fn instance(&self, settings: &FrontSettings) -> Result<Instance, Refusal> {
        let info = Info::kept(self.info.clone())?;
        let reached =
            Reached { by_hostname: settings.use_hostname, by_tls: settings.prefer_secure };
        let found = info.entry.found(&info.app, reached).map_err(Refusal::bad)?;
        let record = serde_json::to_value(self).unwrap_or_default();
        let reported = self.effective().reported();
        Ok(Instance {
            ttl: Some(HumanDuration::from_secs(info.lease)),
            foreign: Some(Foreign {
                api: FrontApi::Eureka,
                reported,
                keep: None,
                probes: Vec::new(),
                record,
            }),
            ..found.instance
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(status: Status, overridden: Option<Status>) -> Record {
        let (dirty, registered, updated, info) = (0, 1, 1, Map::new());
        Record { status, overridden, dirty, registered, updated, info }
    }

    #[test]
    fn what_the_instance_says_of_itself_counts_where_it_is_not_there() {
        use Status::{Down, OutOfService, Starting, Up};
        for (status, overridden, effective) in [
            (Up, None, Up),
            (Up, Some(OutOfService), OutOfService),
            (OutOfService, Some(Up), Up),
            (Down, Some(Up), Down),
            (Starting, Some(OutOfService), Starting),
            (OutOfService, None, OutOfService),
        ] {
            assert_eq!(record(status, overridden).effective(), effective);
        }
    }

    #[test]
    fn statuses_are_words() {
        for status in ["UP", "DOWN", "STARTING", "OUT_OF_SERVICE", "UNKNOWN"] {
            assert_eq!(Status::of(status).map(Status::as_str), Some(status));
            let json = serde_json::to_value(Status::of(status)).expect("JSON");
            assert_eq!(json, status);
        }
        assert_eq!(Status::of("up"), Some(Status::Up));
        assert_eq!(Status::of("well"), None);
    }
}
