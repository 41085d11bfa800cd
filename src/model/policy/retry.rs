//! When a request may be sent once more.
//!
//! What is always safe is not a setting: a request of which no instance got a
//! byte goes to another one, whatever its method. POST and PATCH cannot be
//! named here, so no file can have one of them processed twice.

use http::Method;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

use crate::model::ByteSize;

/// When a request is sent once more.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct RetrySettings {
    /// Other instances that a request may be sent to after the first. It goes
    /// to one if the first got no byte of it, whatever its method; GET, HEAD
    /// and OPTIONS without a body also if the connection ended before the
    /// response head. 0 sends nothing again. Default 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub attempts: Option<u8>,
    /// Methods that the service lets be sent twice too, though the first
    /// instance may have processed them: after the end of a connection, and on
    /// `on_status`. Default: none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub methods: Option<Vec<RepeatedMethod>>,
    /// Whether GET, HEAD and OPTIONS without a body go to another instance
    /// when `timeouts.response` is over. The first may still be at work on
    /// them. Default false.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub on_timeout: Option<bool>,
    /// Statuses of an instance after which another is asked, for GET, HEAD and
    /// OPTIONS without a body and for `methods`. If none is left to ask, the
    /// answer goes to the client. Default: none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub on_status: Option<Vec<RetriedStatus>>,
    /// How many of the requests of the last ten seconds may be sent once more,
    /// in percent, over all workers. Those to which no connection could be
    /// opened are not counted: nobody was burdened. Default 20.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(max = 100))]
    pub budget_percent: Option<u8>,
    /// Requests that may be sent once more each second even if that is more
    /// than `budget_percent`, over all workers. Default 10.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub budget_floor: Option<u32>,
    /// How much of the body of a request is kept so that it can be sent again,
    /// for `methods`. A longer body is sent once, and so is one with trailers.
    /// Default 16KiB.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub buffer: Option<ByteSize>,
}

/// A method that is idempotent (RFC 9110 section 9.2.2) but not safe: whether
/// a service can take it twice is for its owner to say.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "UPPERCASE")]
pub enum RepeatedMethod {
    /// A second one finds what the first has stored.
    Put,
    /// A second one finds nothing, and may answer 404.
    Delete,
}

/// A status after which another instance may be asked: 400 to 599.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "u16", into = "u16")]
pub struct RetriedStatus(u16);

impl RetriedStatus {
    const FIRST: u16 = 400;
    const LAST: u16 = 599;
}

impl TryFrom<u16> for RetriedStatus {
    type Error = String;
    fn try_from(status: u16) -> Result<Self, Self::Error> {
        if (Self::FIRST..=Self::LAST).contains(&status) {
            return Ok(Self(status));
        }
        Err(format!("{status} is no status of a failure, which are 400 to 599"))
    }
}

impl From<RetriedStatus> for u16 {
    fn from(status: RetriedStatus) -> Self {
        status.0
    }
}

impl JsonSchema for RetriedStatus {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "RetriedStatus".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "integer",
            "format": "uint16",
            "minimum": Self::FIRST,
            "maximum": Self::LAST
        })
    }
}

/// When a request is sent once more, with every value in place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RetryPolicy {
    /// Other instances that a request may be sent to.
    pub attempts: u8,
    /// Unsafe methods that may be sent twice.
    pub methods: Vec<RepeatedMethod>,
    /// Whether a safe request is sent again when the response head is late.
    pub on_timeout: bool,
    /// Statuses after which another instance is asked.
    pub on_status: Vec<RetriedStatus>,
    /// Percent of the requests of the last seconds.
    pub budget_percent: u8,
    /// Requests each second in any case.
    pub budget_floor: u32,
    /// Bytes of a body that are kept.
    pub buffer: usize,
}

impl RetrySettings {
    /// These settings, gaps filled from `defaults`, then from the defaults of
    /// the docs.
    #[must_use]
    pub fn resolve(&self, defaults: &Self) -> RetryPolicy {
        let methods = self.methods.as_ref().or(defaults.methods.as_ref());
        let on_status = self.on_status.as_ref().or(defaults.on_status.as_ref());
        RetryPolicy {
            attempts: self.attempts.or(defaults.attempts).unwrap_or(1),
            methods: methods.cloned().unwrap_or_default(),
            on_timeout: self.on_timeout.or(defaults.on_timeout).unwrap_or(false),
            on_status: on_status.cloned().unwrap_or_default(),
            budget_percent: self.budget_percent.or(defaults.budget_percent).unwrap_or(20),
            budget_floor: self.budget_floor.or(defaults.budget_floor).unwrap_or(10),
            buffer: self.buffer.or(defaults.buffer).unwrap_or(ByteSize::kib(16)).bytes(),
        }
    }
}

impl RetryPolicy {
    /// Whether the owner of the service lets `method` be sent twice.
    #[must_use]
    pub fn repeats(&self, method: &Method) -> bool {
        let named = |repeated: &RepeatedMethod| match repeated {
            RepeatedMethod::Put => method == Method::PUT,
            RepeatedMethod::Delete => method == Method::DELETE,
        };
        self.methods.iter().any(named)
    }

    /// Whether another instance is asked after `status`.
    #[must_use]
    pub fn retries_status(&self, status: u16) -> bool {
        self.on_status.iter().any(|retried| retried.0 == status)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(text: &str) -> Result<RetrySettings, toml::de::Error> {
        toml::from_str(text)
    }

    #[test]
    fn defaults_are_those_of_the_docs() {
        let policy = RetrySettings::default().resolve(&RetrySettings::default());
        assert_eq!((policy.attempts, policy.buffer), (1, 16 << 10));
        assert_eq!((policy.budget_percent, policy.budget_floor), (20, 10));
        assert!(policy.methods.is_empty() && policy.on_status.is_empty() && !policy.on_timeout);
    }

    #[test]
    fn a_service_overrides_the_defaults_value_by_value() {
        let defaults = settings("attempts = 3\nmethods = ['PUT', 'DELETE']\non_status = [503]");
        let defaults = defaults.expect("good");
        let service = settings("methods = ['PUT']\nbudget_floor = 0").expect("good");
        let policy = service.resolve(&defaults);
        assert_eq!((policy.attempts, policy.budget_floor), (3, 0));
        assert!(policy.repeats(&Method::PUT) && !policy.repeats(&Method::DELETE));
        assert!(policy.retries_status(503) && !policy.retries_status(502));
        let none = settings("methods = []\non_status = []").expect("good").resolve(&defaults);
        assert!(none.methods.is_empty() && none.on_status.is_empty());
    }

    #[test]
    fn what_may_do_harm_cannot_be_said() {
        for text in [
            "methods = ['POST']",
            "methods = ['PATCH']",
            "methods = ['put']",
            "on_status = [200]",
            "on_status = [399]",
            "on_status = [600]",
        ] {
            assert!(settings(text).is_err(), "{text}");
        }
    }
}
