//! Edits of headers that would break the message they stand in.

use crate::{
    config::tree::Place,
    routing::{HeaderEdits, HeaderNameText, RouteSettings},
};

use super::{Code, Diagnostic};

/// What frames a message or belongs to one connection (RFC 9110 section 7.6.1,
/// RFC 9112 section 6).
const MANAGED: [&str; 10] = [
    "connection",
    "content-length",
    "http2-settings",
    "keep-alive",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "expect",
];

pub(super) fn check(route: &RouteSettings, place: Place<'_>, found: &mut Vec<Diagnostic>) {
    edits(&route.request_headers, place.key("request_headers"), true, found);
    edits(&route.response_headers, place.key("response_headers"), false, found);
}

fn edits(edits: &HeaderEdits, place: Place<'_>, of_request: bool, found: &mut Vec<Diagnostic>) {
    let managed = |name: &HeaderNameText| {
        MANAGED.iter().any(|managed| name.as_str().eq_ignore_ascii_case(managed))
    };
    let is_host = |name: &HeaderNameText| name.as_str().eq_ignore_ascii_case("host");
    for name in edits.set.keys().filter(|name| managed(name) || (is_host(name) && !of_request)) {
        let key = place.key("set").key(name.as_str());
        let message = format!("`{}` cannot be set", name.as_str());
        let label = if is_host(name) { "belongs to requests" } else { "the proxy looks after it" };
        found.push(Diagnostic::new(Code::ManagedHeader, key.key_span(), message).label(label));
    }
    for (index, name) in edits.remove.iter().enumerate() {
        if managed(name) || is_host(name) {
            let item = place.key("remove").item(index);
            let message = format!("{} cannot be removed", item.show(name.as_str()));
            let label =
                if is_host(name) { "every request has it" } else { "the proxy looks after it" };
            found.push(Diagnostic::new(Code::ManagedHeader, item.span(), message).label(label));
        }
    }
}
