//! The proxy's own answers.

use bytes::Bytes;
use http::{
    HeaderValue, Response, StatusCode,
    header::{ALLOW, CONNECTION, CONTENT_TYPE, LOCATION, RETRY_AFTER},
};

use super::{
    body::ResponseBody,
    failure::Failure,
    headers::X_REQUEST_ID,
    proxy_status::{self, PROXY_STATUS},
    record::Record,
};
use crate::model::Reason;

/// Methods that are forwarded, for those who ask (RFC 9110 section 10.2.1).
const ALLOWED: HeaderValue =
    HeaderValue::from_static("GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS");

/// The answer to a request that failed: the reason in the body, in a form that
/// the client can read, and how to find the request in the log.
pub(super) fn failure(mut record: Box<Record>, failure: &Failure) -> Response<ResponseBody> {
    let Failure { reason, retry_after, .. } = failure;
    // Without a status there is nobody left to read this.
    let status = StatusCode::from_u16(reason.status().unwrap_or(400)).unwrap_or_default();
    let mut response = Response::new(());
    let headers = response.headers_mut();
    let id = record.request_id.to_str().unwrap_or_default();
    let body = record.form.body(headers, status, failure, id);
    headers.insert(X_REQUEST_ID, record.request_id.clone());
    if status == StatusCode::SERVICE_UNAVAILABLE {
        let seconds = retry_after.unwrap_or_else(|| jittered(1));
        headers.insert(RETRY_AFTER, HeaderValue::from(seconds));
    }
    if *reason == Reason::MethodRefused {
        headers.insert(ALLOW, ALLOWED);
    }
    if closes(*reason) {
        headers.insert(CONNECTION, HeaderValue::from_static("close"));
    }
    if let Some(told) = proxy_status::told(record.client(), *reason) {
        headers.insert(PROXY_STATUS, told);
    }
    *response.status_mut() = record.form.status(status);
    record.status = reason.status().map_or(0, |_| response.status().as_u16());
    record.end(*reason);
    let body = Bytes::from(body);
    response.map(|()| ResponseBody::own(body))
}

/// The answer to an `OPTIONS` that is for the proxy (RFC 9110 section 9.3.7).
pub(super) fn options(mut record: Box<Record>) -> Response<ResponseBody> {
    let mut response = Response::new(ResponseBody::own(Bytes::new()));
    *response.status_mut() = StatusCode::NO_CONTENT;
    response.headers_mut().insert(ALLOW, ALLOWED);
    record.status = response.status().as_u16();
    record.end(Reason::Answered);
    response
}

/// What a CA wants to see (RFC 8555 section 8.3).
pub(super) fn proof(mut record: Box<Record>, text: &str) -> Response<ResponseBody> {
    let mut response = Response::new(ResponseBody::own(Bytes::copy_from_slice(text.as_bytes())));
    let kind = HeaderValue::from_static("application/octet-stream");
    response.headers_mut().insert(CONTENT_TYPE, kind);
    record.status = response.status().as_u16();
    record.end(Reason::Answered);
    response
}

/// `seconds`, or one more: not all at the same second.
pub(super) fn jittered(seconds: u32) -> u32 {
    seconds.saturating_add(fastrand::u32(0..=1))
}

/// The answer of a route that redirects.
pub(super) fn redirect(
    mut record: Box<Record>,
    status: u16,
    location: &str,
) -> Response<ResponseBody> {
    let Ok(location) = HeaderValue::try_from(location) else {
        return failure(record, &Failure::invalid("the path does not fit into a redirect"));
    };
    let mut response = Response::new(ResponseBody::own(Bytes::new()));
    *response.status_mut() = StatusCode::from_u16(status).unwrap_or(StatusCode::PERMANENT_REDIRECT);
    response.headers_mut().insert(LOCATION, location);
    if let Some(route) = &record.route {
        route.response_edits.apply(response.headers_mut());
    }
    record.status = status;
    record.end(Reason::Redirect);
    response
}

/// After these the rest of the connection cannot be trusted to be a request.
const fn closes(reason: Reason) -> bool {
    matches!(
        reason,
        Reason::RequestInvalid
            | Reason::MethodRefused
            | Reason::HeadTimeout
            | Reason::RequestBodyTimeout
            | Reason::RequestTooLarge
            | Reason::TargetTooLong
            | Reason::CodingRefused
            | Reason::VersionRefused
            | Reason::HeadTooLarge
    )
}
