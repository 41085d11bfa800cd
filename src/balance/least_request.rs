//! The power of two choices: of two drawn by weight, the one with fewer
//! requests in flight for its weight.
//!
//! Drawing by weight makes the shares right while nothing is in flight;
//! comparing by weight makes them right under load.

use std::cmp::Ordering;

use super::{Target, random::Draw};

/// `targets` has at least one.
pub(super) fn pick<'a>(targets: &'a [Target], draw: &Draw) -> &'a Target {
    let first = draw.index(targets);
    let mut second = draw.index(targets);
    if second == first {
        second = (first + 1) % targets.len();
    }
    let (first, second) = (&targets[first], &targets[second]);
    if compare(second, first) == Ordering::Less { second } else { first }
}

/// Compares load by weight: `a.in_flight / a.weight` with the same of `b`.
pub(super) fn compare(a: &Target, b: &Target) -> Ordering {
    let scaled =
        |load: &Target, weight: u16| u64::from(load.endpoint.in_flight()) * u64::from(weight);
    scaled(a, b.weight).cmp(&scaled(b, a.weight))
}
