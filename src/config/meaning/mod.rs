//! What the values of a file say together. Each check looks at the finished
//! [`Config`] and points at the places in the file; none of them concludes
//! anything from what is absent in a table that had errors.

mod addresses;
mod fronts;
mod headers;
mod registry;
mod routes;
mod services;
mod sources;
mod tls;
mod tokens;

use super::{Code, Config, Diagnostic, tree::Place, tree::Tree};

/// Everything that the values say wrong.
pub(super) fn check(config: &Config, tree: &Tree<'_>) -> Vec<Diagnostic> {
    let mut found = Vec::new();
    let top = tree.top();
    addresses::check(config, top, &mut found);
    tokens::check(&config.admin.token, top.key("admin"), &mut found);
    fronts::check(config, top, &mut found);
    registry::check(config, top, &mut found);
    services::check(config, top, &mut found);
    sources::check(config, top, &mut found);
    tls::check(config, top, &mut found);
    routes::check(config, top.key("route"), &mut found);
    for (index, route) in config.route.iter().enumerate() {
        headers::check(route, top.key("route").item(index), &mut found);
    }
    found
}

/// An error for a name that would break a log line or a metric, if it would.
fn bad_name(place: Place<'_>, name: &str) -> Option<Diagnostic> {
    let why = if name.is_empty() {
        "a name cannot be empty"
    } else if name.chars().any(char::is_control) {
        "a name cannot have control characters"
    } else {
        return None;
    };
    Some(Diagnostic::new(Code::Refused, place.span(), why).label("not a name"))
}

/// An error for a duration or size of zero.
fn zero(place: Place<'_>, what: &str) -> Diagnostic {
    Diagnostic::new(Code::Zero, place.span(), format!("{what} of zero")).label("must be more")
}
