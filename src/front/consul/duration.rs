//! Durations as Go writes them: `1m30s`, `500ms`, or a number of nanoseconds.
//! Pure.

use std::time::Duration;

/// Nanoseconds of each unit; a longer one before one that it ends with.
const UNITS: [(&str, f64); 8] = [
    ("ns", 1.0),
    ("us", 1e3),
    ("µs", 1e3),
    ("μs", 1e3),
    ("ms", 1e6),
    ("s", 1e9),
    ("m", 60e9),
    ("h", 3600e9),
];

/// The longest that is told apart from for ever.
const LONGEST: f64 = 100.0 * 365.0 * 86_400e9;

/// The duration that `text` says (Go's `time.ParseDuration`), if it is one and
/// not negative.
pub(super) fn parse(text: &str) -> Option<Duration> {
    if text == "0" {
        return Some(Duration::ZERO);
    }
    let mut rest = text.strip_prefix('+').unwrap_or(text);
    let mut nanos = 0.0;
    if rest.is_empty() {
        return None;
    }
    while !rest.is_empty() {
        let digits = rest.find(|char: char| !char.is_ascii_digit() && char != '.')?;
        let (number, tail) = rest.split_at(digits);
        let length = tail.find(|char: char| char.is_ascii_digit() || char == '.');
        let (unit, tail) = tail.split_at(length.unwrap_or(tail.len()));
        let (_, worth) = UNITS.iter().find(|(known, _)| *known == unit)?;
        nanos += number.parse::<f64>().ok()? * worth;
        rest = tail;
    }
    (nanos <= LONGEST).then(|| Duration::from_secs_f64(nanos / 1e9))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn go_is_understood() {
        for (text, millis) in [
            ("10s", 10_000),
            ("1m30s", 90_000),
            ("500ms", 500),
            ("1.5h", 5_400_000),
            ("0", 0),
            ("0s", 0),
            ("+2s", 2_000),
            ("1000us", 1),
            ("2000µs", 2),
        ] {
            assert_eq!(parse(text), Some(Duration::from_millis(millis)), "{text}");
        }
        for bad in ["", "10", "s", "-1s", "1d", "1s1", "1..5s", "x", "999999999999999h", "1 s", "é"]
        {
            assert_eq!(parse(bad), None, "{bad}");
        }
    }
}
