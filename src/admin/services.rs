//! What is there: services, page by page or one by one, and routes.

use std::fmt::Write;

use axum::{extract::State, response::Response};
use http::{HeaderMap, HeaderValue, header};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Deserialize;
use serde::de::value::{Error as ValueError, StrDeserializer};

use super::{
    etag,
    problem::{Kind, Problem, nearest},
    request::{Params, ServicePath},
    state::AdminState,
};
use crate::{control::ServiceFilter, model::InstanceState};

const DEFAULT_LIMIT: usize = 100;
const MAX_LIMIT: usize = 1000;

pub(super) async fn services(
    State(admin): State<AdminState>,
    params: Params,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let filter = filter(&params)?;
    let view = admin.control().services(&filter);
    let next = view.next.as_deref().and_then(|next| next_page(&filter, next));
    let mut response = etag::answer(&headers, view)?;
    if let Some(next) = next {
        response.headers_mut().insert(header::LINK, next);
    }
    Ok(response)
}

fn filter(params: &Params) -> Result<ServiceFilter, Problem> {
    let limit = params.parsed("limit")?.unwrap_or(DEFAULT_LIMIT);
    if !(1..=MAX_LIMIT).contains(&limit) {
        return Err(Params::refused("limit", format!("is from 1 to {MAX_LIMIT}")));
    }
    let state = params.one("state")?.map(state).transpose()?;
    let owned = |value: Option<&str>| value.map(str::to_owned);
    let (cursor, tag) = (owned(params.one("cursor")?), owned(params.one("tag")?));
    Ok(ServiceFilter { cursor, limit, state, tag })
}

fn state(word: &str) -> Result<InstanceState, Problem> {
    InstanceState::deserialize(StrDeserializer::<ValueError>::new(word)).map_err(|_| {
        let words = InstanceState::ALL.map(InstanceState::as_str);
        let detail = format!("is one of {}", words.join(", "));
        Params::refused("state", detail).suggest(nearest(word, words))
    })
}

/// The next page as a `Link` (RFC 8288).
fn next_page(filter: &ServiceFilter, next: &str) -> Option<HeaderValue> {
    let encoded = |text: &str| utf8_percent_encode(text, NON_ALPHANUMERIC).to_string();
    let mut link = format!("</api/v1/services?cursor={}&limit={}", encoded(next), filter.limit);
    // Writing to a String cannot fail.
    if let Some(state) = filter.state {
        let _ = write!(link, "&state={}", state.as_str());
    }
    if let Some(tag) = &filter.tag {
        let _ = write!(link, "&tag={}", encoded(tag));
    }
    link.push_str(">; rel=\"next\"");
    HeaderValue::try_from(link).ok()
}

pub(super) async fn service(
    State(admin): State<AdminState>,
    ServicePath(name): ServicePath,
    _: Params,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    match admin.control().service(&name) {
        Some(view) => etag::answer(&headers, view),
        None => {
            let detail = format!("there is no service {name}: nothing registered under that name");
            Err(Problem::new(Kind::NotFound, detail))
        }
    }
}

pub(super) async fn routes(
    State(admin): State<AdminState>,
    _: Params,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    etag::answer(&headers, admin.control().routes())
}
