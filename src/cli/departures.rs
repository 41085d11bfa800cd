//! Who left lately and what it cost: a block of `status` and of `services`.

use super::text::{BAD, Cell, Columns, DIM, GOOD, span, styled};
use crate::control::view::DepartureView;

/// Departures that are shown.
const SHOWN: usize = 8;

/// A line for each, the last one first; nothing if nobody left.
pub(super) fn block(departures: &[DepartureView]) -> String {
    if departures.is_empty() {
        return String::new();
    }
    let mut rows = Columns::indented(4);
    for departure in departures.iter().take(SHOWN) {
        let style = if departure.lost == 0 { GOOD } else { BAD };
        rows.push([
            departure.service.as_str().into(),
            Cell::styled(style, departure.summary.as_str()),
            Cell::styled(DIM, format!("{} ago", span(departure.ago_ms))),
            Cell::styled(DIM, departure.why.as_str()),
        ]);
    }
    format!("\n  {}\n{rows}", styled(DIM, "left lately"))
}
