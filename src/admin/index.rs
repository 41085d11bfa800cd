//! The page at `/`: for now the list of calls, later the dashboard.

use std::fmt::Write;

use super::{calls::CALLS, request::Params};

pub(super) async fn index(_: Params) -> String {
    let mut page = format!("Portolan {}\n\n", env!("CARGO_PKG_VERSION"));
    for call in CALLS {
        // Writing to a String cannot fail.
        let _ = writeln!(page, "{:<7}{:<57}{}", call.verb.as_str(), call.path, call.about);
    }
    page
}
