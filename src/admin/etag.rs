//! Entity tags of the reading calls, so that a poller that has the answer
//! already gets none.
//!
//! The tag of a view covers what is registered, decided and routed. It leaves
//! out what moves with every request or tick (counts, ages, the lease), which
//! makes it a weak one (RFC 9110 section 8.8.1). The table version would not
//! do: not every change of an instance is one of the table.

use axum::response::{IntoResponse, Response};
use http::{HeaderMap, HeaderValue, StatusCode, header};
use serde::Serialize;
use sha2::{Digest, Sha256};

use super::{
    auth::hex,
    problem::{Kind, Problem},
};
use crate::control::view::{InstanceView, RoutesView, ServiceView, ServicesView};

/// A view with a tag.
pub(super) trait Tagged: Serialize {
    /// Sets to zero what the tag leaves out.
    fn still(&mut self);
}

impl Tagged for InstanceView {
    fn still(&mut self) {
        self.since_ms = 0;
        self.lease_left_ms = self.lease_left_ms.map(|left| left.min(1));
        (self.in_flight, self.requests, self.failures) = (0, 0, 0);
    }
}

impl Tagged for ServiceView {
    fn still(&mut self) {
        (self.retries, self.retries_refused) = (0, 0);
        self.instances.iter_mut().for_each(Tagged::still);
    }
}

impl Tagged for ServicesView {
    fn still(&mut self) {
        self.services.iter_mut().for_each(Tagged::still);
    }
}

impl Tagged for RoutesView {
    fn still(&mut self) {}
}

/// `view` with its tag, or 304 if the request names it.
pub(super) fn answer(request: &HeaderMap, mut view: impl Tagged) -> Result<Response, Problem> {
    let internal = |error: &dyn std::fmt::Display| Problem::new(Kind::Internal, error.to_string());
    let body = serde_json::to_vec(&view).map_err(|error| internal(&error))?;
    view.still();
    let still = serde_json::to_vec(&view).map_err(|error| internal(&error))?;
    let tag = format!("\"{}\"", hex(&Sha256::digest(&still)[..8]));
    let mut response = if names(request, &tag) {
        StatusCode::NOT_MODIFIED.into_response()
    } else {
        ([(header::CONTENT_TYPE, "application/json")], body).into_response()
    };
    let tag = HeaderValue::try_from(format!("W/{tag}")).map_err(|error| internal(&error))?;
    response.headers_mut().insert(header::ETAG, tag);
    Ok(response)
}

/// Whether `If-None-Match` holds `tag`, by the weak comparison (RFC 9110
/// section 8.8.3.2). Our tags have no commas in them.
fn names(request: &HeaderMap, tag: &str) -> bool {
    let fields = request.get_all(header::IF_NONE_MATCH).iter();
    fields.filter_map(|field| field.to_str().ok()).flat_map(|field| field.split(',')).any(|one| {
        let one = one.trim();
        one == "*" || one.strip_prefix("W/").unwrap_or(one) == tag
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tag_of(version: u64) -> HeaderValue {
        let view = RoutesView { version, routes: Vec::new() };
        let response = answer(&HeaderMap::new(), view).expect("serialises");
        assert_eq!(response.status(), 200);
        response.headers()[header::ETAG].clone()
    }

    #[test]
    fn the_same_answer_is_not_sent_twice() {
        let tag = tag_of(1);
        assert!(tag.as_bytes().starts_with(b"W/\""));
        assert_ne!(tag, tag_of(2));
        let strong = tag.to_str().expect("ASCII").trim_start_matches("W/").to_owned();
        for (given, status) in [
            (tag.to_str().expect("ASCII").to_owned(), 304),
            (format!("\"other\", {strong}"), 304),
            ("*".to_owned(), 304),
            ("\"other\"".to_owned(), 200),
        ] {
            let mut request = HeaderMap::new();
            request.insert(header::IF_NONE_MATCH, given.parse().expect("a value"));
            let view = RoutesView { version: 1, routes: Vec::new() };
            let response = answer(&request, view).expect("serialises");
            assert_eq!(response.status(), status, "{given}");
            assert_eq!(response.headers()[header::ETAG], tag);
        }
    }
}
