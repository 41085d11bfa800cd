//! The proxy's own answers.

use bytes::Bytes;
use http::{
    HeaderValue, Response, StatusCode,
    header::{CONNECTION, CONTENT_TYPE, LOCATION, RETRY_AFTER},
};

use super::{body::ResponseBody, failure::Failure, headers::X_REQUEST_ID, record::Record};
use crate::model::Reason;

/// The answer to a request that failed: the reason in the body, in JSON, and
/// how to find the request in the log.
pub(super) fn failure(mut record: Box<Record>, failure: &Failure) -> Response<ResponseBody> {
    let Failure { reason, detail, retry_after } = failure;
    // Without a status there is nobody left to read this.
    let status = reason.status().unwrap_or(400);
    let id = record.request_id.to_str().unwrap_or_default();
    let body = format!(
        "{{\"status\":{status},\"reason\":\"{reason}\",\"detail\":\"{detail}\",\"request_id\":\"{id}\"}}\n"
    );
    let mut response = Response::new(ResponseBody::own(Bytes::from(body)));
    *response.status_mut() =
        StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
    headers.insert(X_REQUEST_ID, record.request_id.clone());
    if status == 503 {
        let seconds = retry_after.unwrap_or_else(|| jittered(1));
        headers.insert(RETRY_AFTER, HeaderValue::from(seconds));
    }
    if closes(*reason) {
        headers.insert(CONNECTION, HeaderValue::from_static("close"));
    }
    record.status = reason.status().unwrap_or(0);
    record.end(*reason);
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
            | Reason::RequestBodyTimeout
            | Reason::RequestTooLarge
            | Reason::TargetTooLong
            | Reason::CodingRefused
            | Reason::HeadTooLarge
    )
}
