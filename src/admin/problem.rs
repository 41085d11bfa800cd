//! Errors as `application/problem+json` (RFC 9457).
//!
//! Every refusal of the admin address is one of these, unknown paths
//! included. The word at the end of `type` is stable and meant for programs;
//! `detail` is meant for the person who reads the log.

use axum::{
    Json,
    response::{IntoResponse, Response},
};
use http::{HeaderValue, StatusCode, header};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::control::ControlError;

/// What stands before the word of a problem in its `type`.
pub const TYPE_PREFIX: &str = "urn:portolan:problem:";

/// An error answer as it is sent.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ProblemView {
    /// `urn:portolan:problem:` and the word for this kind of problem.
    #[serde(rename = "type")]
    pub kind: String,
    /// The kind of problem in words; the same for all of its kind.
    pub title: String,
    /// The HTTP status.
    pub status: u16,
    /// What went wrong this time, and what to do about it.
    pub detail: String,
    /// The places in the request that are wrong.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub errors: Vec<FaultView>,
    /// What a particular kind of problem adds.
    #[serde(flatten)]
    pub more: Map<String, Value>,
}

/// One place in the request that is wrong.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct FaultView {
    /// A JSON pointer into the body (RFC 6901), or `?name` for a query
    /// parameter.
    pub pointer: String,
    /// What is wrong there.
    pub detail: String,
    /// What was probably meant.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub suggestion: Option<String>,
}

macro_rules! kinds {
    ($($(#[$doc:meta])* $variant:ident = $word:literal, $status:ident, $title:literal;)+) => {
        /// The kinds of problems.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub(crate) enum Kind {
            $($(#[$doc])* $variant,)+
        }

        impl Kind {
            /// The word.
            pub(crate) const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $word,)+ }
            }

            pub(crate) const fn status(self) -> StatusCode {
                match self { $(Self::$variant => StatusCode::$status,)+ }
            }

            const fn title(self) -> &'static str {
                match self { $(Self::$variant => $title,)+ }
            }
        }
    };
}

kinds! {
    BadRequest = "bad_request", BAD_REQUEST, "The request cannot be read";
    Unauthorized = "unauthorized", UNAUTHORIZED, "A token is needed";
    Forbidden = "forbidden", FORBIDDEN, "The token does not allow this";
    HostNotAllowed = "host_not_allowed", FORBIDDEN, "The Host is not one of this address";
    CrossOrigin = "cross_origin", FORBIDDEN, "The request comes from another web page";
    AddressNotYours = "address_not_yours", FORBIDDEN, "The token does not allow this address";
    OwnedByAnother = "owned_by_another", FORBIDDEN, "Another token registered this instance";
    Replaced = "replaced", CONFLICT, "Another process has registered as this instance";
    UnknownPath = "unknown_path", NOT_FOUND, "Nothing is at this path";
    NotFound = "not_found", NOT_FOUND, "It is not registered";
    MethodNotAllowed = "method_not_allowed", METHOD_NOT_ALLOWED, "The path has no such method";
    BodyTimeout = "body_timeout", REQUEST_TIMEOUT, "The body did not come in time";
    BodyTooLarge = "body_too_large", PAYLOAD_TOO_LARGE, "The body is too large";
    MediaType = "unsupported_media_type", UNSUPPORTED_MEDIA_TYPE, "The body has the wrong type";
    Invalid = "invalid", UNPROCESSABLE_ENTITY, "The registration is not valid";
    AddressDenied = "address_denied", UNPROCESSABLE_ENTITY, "Instances may not have this address";
    ConfigRefused = "config_refused", UNPROCESSABLE_ENTITY, "The config did not take effect";
    UpgradeRefused = "upgrade_refused", CONFLICT, "No other process took over";
    TooManyAttempts = "too_many_attempts", TOO_MANY_REQUESTS, "Too many failed authentications";
    LimitReached = "limit_reached", TOO_MANY_REQUESTS, "A limit is reached";
    Internal = "internal_error", INTERNAL_SERVER_ERROR, "The proxy failed";
    StoreFailed = "store_failed", SERVICE_UNAVAILABLE, "The store takes no writes";
    ShuttingDown = "shutting_down", SERVICE_UNAVAILABLE, "The proxy is shutting down";
    StoreFull = "store_full", INSUFFICIENT_STORAGE, "The disk of the store is full";
}

/// An error on its way to the caller. Becomes a response, and leaves its
/// [`Kind`] in the response's extensions for the audit log.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Problem(Box<Inner>);

#[derive(Clone, Debug, PartialEq)]
struct Inner {
    kind: Kind,
    detail: String,
    errors: Vec<FaultView>,
    more: Map<String, Value>,
    retry_after: Option<u32>,
}

impl Problem {
    pub(crate) fn new(kind: Kind, detail: impl Into<String>) -> Self {
        Self(Box::new(Inner {
            kind,
            detail: detail.into(),
            errors: Vec::new(),
            more: Map::new(),
            retry_after: None,
        }))
    }

    /// A problem with one place; the place's detail is the problem's too.
    pub(super) fn at(kind: Kind, pointer: impl Into<String>, detail: impl Into<String>) -> Self {
        let detail = detail.into();
        let mut problem = Self::new(kind, detail.clone());
        let pointer = pointer.into();
        problem.0.errors.push(FaultView { pointer, detail, suggestion: None });
        problem
    }

    /// What was probably meant at the place named last.
    pub(super) fn suggest(mut self, suggestion: Option<impl Into<String>>) -> Self {
        if let Some(fault) = self.0.errors.last_mut() {
            fault.suggestion = suggestion.map(Into::into);
        }
        self
    }

    /// Adds the fields of `view` beside the standard ones.
    pub(super) fn with(mut self, view: &impl Serialize) -> Self {
        if let Ok(Value::Object(more)) = serde_json::to_value(view) {
            self.0.more = more;
        }
        self
    }

    /// When to come back, in seconds.
    pub(super) fn retry_after(mut self, seconds: u32) -> Self {
        self.0.retry_after = Some(seconds);
        self
    }

    pub(crate) fn kind(&self) -> Kind {
        self.0.kind
    }

    /// What went wrong this time.
    pub(crate) fn detail(&self) -> &str {
        &self.0.detail
    }

    #[cfg(test)]
    pub(super) fn errors(&self) -> &[FaultView] {
        &self.0.errors
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let Inner { kind, detail, errors, more, retry_after } = *self.0;
        let view = ProblemView {
            kind: format!("{TYPE_PREFIX}{}", kind.as_str()),
            title: kind.title().to_owned(),
            status: kind.status().as_u16(),
            detail,
            errors,
            more,
        };
        let mut response = (kind.status(), Json(view)).into_response();
        response.extensions_mut().insert(kind);
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        if kind == Kind::Unauthorized {
            let challenge = HeaderValue::from_static("Bearer realm=\"portolan\"");
            headers.insert(header::WWW_AUTHENTICATE, challenge);
        }
        if let Some(seconds) = retry_after {
            headers.insert(header::RETRY_AFTER, seconds.into());
        }
        response
    }
}

impl From<ControlError> for Problem {
    fn from(error: ControlError) -> Self {
        let detail = error.to_string();
        match error {
            ControlError::NotFound(_) | ControlError::NoSource(_) => {
                Self::new(Kind::NotFound, detail)
            }
            ControlError::OwnedByAnother => Self::new(Kind::OwnedByAnother, detail),
            ControlError::Replaced(_) => Self::new(Kind::Replaced, detail),
            ControlError::LimitReached(_) => Self::new(Kind::LimitReached, detail),
            ControlError::Invalid(_) => Self::new(Kind::Invalid, detail),
            ControlError::AddressDenied(_) => Self::at(Kind::AddressDenied, "/address", detail),
            ControlError::StoreFull => Self::new(Kind::StoreFull, detail),
            ControlError::StoreFailed(_) => Self::new(Kind::StoreFailed, detail),
            ControlError::Closed => Self::new(Kind::ShuttingDown, detail).retry_after(1),
        }
    }
}

/// Which of `known` was probably meant by `written`: close enough to be a
/// slip, not merely the nearest.
pub(super) fn nearest<'a>(
    written: &str,
    known: impl IntoIterator<Item = &'a str>,
) -> Option<&'a str> {
    known
        .into_iter()
        .map(|known| (strsim::damerau_levenshtein(written, known), known))
        .filter(|(distance, known)| *distance <= (known.len() / 3).max(1))
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, known)| known)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_problem_has_the_shape_of_rfc_9457() {
        let problem = Problem::at(Kind::Invalid, "/weight", "too heavy").suggest(Some("1000"));
        let response = problem.into_response();
        assert_eq!(response.status(), 422);
        assert_eq!(response.headers()["content-type"], "application/problem+json");
        let body = axum::body::to_bytes(response.into_body(), 4096).await.expect("a body");
        let body: Value = serde_json::from_slice(&body).expect("JSON");
        assert_eq!(
            body,
            serde_json::json!({
                "type": "urn:portolan:problem:invalid",
                "title": "The registration is not valid",
                "status": 422,
                "detail": "too heavy",
                "errors": [{ "pointer": "/weight", "detail": "too heavy", "suggestion": "1000" }]
            })
        );
    }

    #[test]
    fn a_slip_is_recognised_and_another_word_is_not() {
        assert_eq!(nearest("weigth", ["weight", "zone"]), Some("weight"));
        assert_eq!(nearest("tag", ["tags", "ttl"]), Some("tags"));
        assert_eq!(nearest("colour", ["weight", "zone"]), None);
    }
}
