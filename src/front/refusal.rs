//! Why a call of a front is not answered as its client would like: a status
//! and a sentence. Clients look at the status, people at the sentence.

use axum::response::{IntoResponse, Response};
use http::{HeaderValue, StatusCode, header};

use crate::{
    admin::{Kind, Problem},
    control::ControlError,
};

/// Why a call is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Refusal {
    pub(super) status: StatusCode,
    pub(super) text: String,
    /// The word for it in the audit log.
    pub(super) word: Option<&'static str>,
}

/// What a call comes to.
pub(super) type Answer = Result<Response, Refusal>;

impl Refusal {
    pub(super) fn new(status: StatusCode, text: impl Into<String>) -> Self {
        Self { status, text: text.into(), word: None }
    }

    /// The client said something wrong.
    pub(super) fn bad(text: impl Into<String>) -> Self {
        Self { word: Some(Kind::Invalid.as_str()), ..Self::new(StatusCode::BAD_REQUEST, text) }
    }

    /// It is not there.
    pub(super) fn missing(text: impl Into<String>) -> Self {
        Self { word: Some(Kind::NotFound.as_str()), ..Self::new(StatusCode::NOT_FOUND, text) }
    }

    /// It is not what a front does.
    pub(super) fn elsewhere(text: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_IMPLEMENTED, text)
    }
}

impl From<Problem> for Refusal {
    fn from(problem: Problem) -> Self {
        let kind = problem.kind();
        let status = match kind.status() {
            // A status that came into HTTP after these clients.
            StatusCode::UNPROCESSABLE_ENTITY => StatusCode::BAD_REQUEST,
            status => status,
        };
        Self { status, text: problem.detail().to_owned(), word: Some(kind.as_str()) }
    }
}

impl From<ControlError> for Refusal {
    fn from(error: ControlError) -> Self {
        Problem::from(error).into()
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let plain = HeaderValue::from_static("text/plain; charset=utf-8");
        let mut response =
            (self.status, [(header::CONTENT_TYPE, plain)], self.text).into_response();
        let headers = response.headers_mut();
        match self.status {
            StatusCode::UNAUTHORIZED => {
                let challenge = HeaderValue::from_static("Basic realm=\"portolan\"");
                headers.insert(header::WWW_AUTHENTICATE, challenge);
            }
            StatusCode::SERVICE_UNAVAILABLE => {
                headers.insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
            }
            _ => {}
        }
        response
    }
}
