//! Methods as small numbers, for counting.
//!
//! A client may make up methods; all of those are one, so that it cannot make
//! up series.

use http::Method;

/// The label of every method that is not one of RFC 9110 or PATCH (RFC 5789).
pub(super) const OTHER: &str = "_OTHER";

const LABELS: [&str; 10] =
    [OTHER, "GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH"];

/// The number of a method.
pub(super) fn number(method: &Method) -> u8 {
    match *method {
        Method::GET => 1,
        Method::HEAD => 2,
        Method::POST => 3,
        Method::PUT => 4,
        Method::DELETE => 5,
        Method::CONNECT => 6,
        Method::OPTIONS => 7,
        Method::TRACE => 8,
        Method::PATCH => 9,
        _ => 0,
    }
}

/// The label of a number.
pub(super) fn label(number: u8) -> &'static str {
    LABELS.get(usize::from(number)).copied().unwrap_or(OTHER)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_label_is_the_name_of_its_method() {
        for name in &LABELS[1..] {
            let method: Method = name.parse().expect("a method");
            assert_eq!(label(number(&method)), *name);
        }
        let made_up: Method = "BREW".parse().expect("a method");
        assert_eq!(label(number(&made_up)), OTHER);
    }
}
