//! Why there is no certificate, and what that says about the next try.

use std::{
    io,
    path::PathBuf,
    time::{Duration, SystemTime},
};

use super::record::Refusal;
use crate::registry::StoreFault;

/// Why an order, or something before it, failed.
#[derive(Debug, thiserror::Error)]
pub(super) enum Problem {
    /// The CA says no, cannot be reached, or breaks the protocol.
    #[error("{0}")]
    Ca(#[from] instant_acme::Error),
    /// The CA could not convince itself that the name is ours.
    #[error("{challenge} did not prove the name: {detail}")]
    Unproved {
        /// By which challenge.
        challenge: &'static str,
        /// What the CA says.
        detail: String,
    },
    /// The CA offers none of the challenges that are allowed.
    #[error("the CA does not offer {0} for the name")]
    NoChallenge(&'static str),
    /// It took too long.
    #[error("the CA has not issued the certificate within {0:?}")]
    TooLong(Duration),
    /// A file cannot be written or read.
    #[error("{path}: {error}")]
    File {
        /// The file.
        path: PathBuf,
        /// What the system said.
        error: io::Error,
    },
    /// A key or a request could not be made.
    #[error("no request for a certificate can be made: {0}")]
    Make(#[from] rcgen::Error),
    /// What the CA issued cannot be used.
    #[error("what the CA issued cannot be used: {0}")]
    Unusable(#[from] crate::tls::TlsError),
    /// What proxies share cannot be read or written.
    #[error("{0}")]
    Shared(#[from] StoreFault),
    /// The account is with another CA.
    #[error("the account is not of the directory that is configured")]
    ForeignAccount,
    /// What the CA wants to see cannot be shown.
    #[error("what the CA wants to see cannot be shown: {0}")]
    Unshown(#[from] Refusal),
    /// The key of the external account is not base64url.
    #[error("`external_account.hmac` is not base64url")]
    BadHmac,
}

/// The least time before the next try after a word about rate limits.
const LIMITED: Duration = Duration::from_secs(3600);

impl Problem {
    /// Before when the CA does not want to hear of this again, if it says.
    pub(super) fn not_before(&self, now: SystemTime) -> Option<SystemTime> {
        let problem = self.api()?;
        if !problem.r#type.as_deref()?.ends_with(":rateLimited") {
            return None;
        }
        let told = problem.detail.as_deref().and_then(named_time);
        Some(told.unwrap_or(now + LIMITED).max(now))
    }

    /// Whether the CA does not know the account.
    pub(super) fn is_about_account(&self) -> bool {
        let kind = self.api().and_then(|problem| problem.r#type.as_deref());
        kind.is_some_and(|kind| kind.ends_with(":accountDoesNotExist"))
    }

    fn api(&self) -> Option<&instant_acme::Problem> {
        match self {
            Self::Ca(instant_acme::Error::Api(problem)) => Some(problem),
            _ => None,
        }
    }
}

/// The time after which to try again, as Let's Encrypt words it: `retry after
/// 2026-11-23 05:00:00 UTC`.
fn named_time(detail: &str) -> Option<SystemTime> {
    let (_, rest) = detail.split_once("retry after ")?;
    humantime::parse_rfc3339_weak(rest.get(..19)?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(kind: &str, detail: &str) -> Problem {
        let json = serde_json::json!({ "type": kind, "detail": detail });
        let problem: instant_acme::Problem = serde_json::from_value(json).expect("a problem");
        Problem::Ca(problem.into())
    }

    #[test]
    fn a_limit_is_respected() {
        let now = humantime::parse_rfc3339("2026-11-23T04:00:00Z").expect("a time");
        let limited = "urn:ietf:params:acme:error:rateLimited";
        let named = told(limited, "too many, retry after 2026-11-25 05:00:00 UTC: see");
        let then = humantime::parse_rfc3339("2026-11-25T05:00:00Z").expect("a time");
        assert_eq!(named.not_before(now), Some(then));
        assert_eq!(told(limited, "too many").not_before(now), Some(now + LIMITED));
        assert_eq!(told(limited, "retry after é").not_before(now), Some(now + LIMITED));
        assert_eq!(told("urn:ietf:params:acme:error:malformed", "no").not_before(now), None);
    }
}
