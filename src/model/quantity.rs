//! Durations and sizes as people write them: `"5s"`, `"64KiB"`.
//!
//! A bare number is refused: whether `5` means seconds or milliseconds is the
//! kind of guess that costs a night.

use std::{fmt, str::FromStr, time::Duration};

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

/// Why a duration or a size was refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ParseQuantityError {
    /// A number without a unit.
    #[error("{text:?} has no unit; write {hint:?}")]
    NoUnit {
        /// What was written.
        text: String,
        /// The same number with a likely unit.
        hint: String,
    },
    /// Not a duration.
    #[error("{text:?} is not a duration; write one like \"500ms\", \"5s\" or \"1m 30s\"")]
    Duration {
        /// What was written.
        text: String,
    },
    /// A duration beyond [`HumanDuration::MAX`].
    #[error("{text:?} is too long; a duration is at most 365 days")]
    TooLong {
        /// What was written.
        text: String,
    },
    /// Not a size.
    #[error("{text:?} is not a size; write one like \"512B\", \"64KiB\" or \"1MiB\"")]
    Size {
        /// What was written.
        text: String,
    },
}

/// A length of time, written as `"500ms"`, `"5s"`, `"1m 30s"` or `"24h"`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct HumanDuration(pub Duration);

impl HumanDuration {
    /// The longest one that can be written: any clock can be moved on by it.
    pub const MAX: Self = Self::from_secs(365 * 86_400);

    /// `count` milliseconds.
    #[must_use]
    pub const fn from_millis(count: u64) -> Self {
        Self(Duration::from_millis(count))
    }

    /// `count` seconds.
    #[must_use]
    pub const fn from_secs(count: u64) -> Self {
        Self(Duration::from_secs(count))
    }
}

impl FromStr for HumanDuration {
    type Err = ParseQuantityError;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text.parse::<f64>().is_ok() {
            let hint = format!("{text}s");
            return Err(ParseQuantityError::NoUnit { text: text.to_owned(), hint });
        }
        let text = text.to_owned();
        match humantime::parse_duration(&text).map(Self) {
            Ok(duration) if duration > Self::MAX => Err(ParseQuantityError::TooLong { text }),
            Ok(duration) => Ok(duration),
            Err(humantime::DurationError::NumberOverflow) => {
                Err(ParseQuantityError::TooLong { text })
            }
            Err(_) => Err(ParseQuantityError::Duration { text }),
        }
    }
}

impl TryFrom<String> for HumanDuration {
    type Error = ParseQuantityError;
    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<HumanDuration> for String {
    fn from(duration: HumanDuration) -> Self {
        duration.to_string()
    }
}

impl From<HumanDuration> for Duration {
    fn from(duration: HumanDuration) -> Self {
        duration.0
    }
}

impl fmt::Display for HumanDuration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&humantime::format_duration(self.0).to_string())
    }
}

impl JsonSchema for HumanDuration {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Duration".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string",
            "format": "duration",
            "description": "A length of time with its unit.",
            "examples": ["500ms", "5s", "1m 30s"]
        })
    }
}

/// A share in whole percent, 0 to 100.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "u8", into = "u8")]
#[schemars(extend("minimum" = 0, "maximum" = 100))]
pub struct Percent(u8);

impl Percent {
    /// The number.
    #[must_use]
    pub const fn value(self) -> u8 {
        self.0
    }
}

impl TryFrom<u8> for Percent {
    type Error = String;
    fn try_from(number: u8) -> Result<Self, Self::Error> {
        if number <= 100 { Ok(Self(number)) } else { Err(format!("{number} is over 100 percent")) }
    }
}

impl From<Percent> for u8 {
    fn from(percent: Percent) -> Self {
        percent.0
    }
}

const UNITS: [(&str, u64); 4] = [("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10), ("B", 1)];

/// A number of bytes, written as `"512B"`, `"64KiB"`, `"1MiB"` or `"2GiB"`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ByteSize(pub u64);

impl ByteSize {
    /// `count` KiB.
    #[must_use]
    pub const fn kib(count: u64) -> Self {
        Self(count << 10)
    }

    /// `count` MiB.
    #[must_use]
    pub const fn mib(count: u64) -> Self {
        Self(count << 20)
    }

    /// The number of bytes, at most `usize::MAX`.
    #[must_use]
    pub fn bytes(self) -> usize {
        usize::try_from(self.0).unwrap_or(usize::MAX)
    }
}

impl FromStr for ByteSize {
    type Err = ParseQuantityError;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let refused = || ParseQuantityError::Size { text: text.to_owned() };
        if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) {
            let hint = format!("{text}B");
            return Err(ParseQuantityError::NoUnit { text: text.to_owned(), hint });
        }
        let (digits, factor) = UNITS
            .iter()
            .find_map(|(unit, factor)| Some((text.strip_suffix(unit)?, *factor)))
            .ok_or_else(refused)?;
        let count: u64 = digits.trim_end().parse().map_err(|_| refused())?;
        count.checked_mul(factor).map(Self).ok_or_else(refused)
    }
}

impl TryFrom<String> for ByteSize {
    type Error = ParseQuantityError;
    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<ByteSize> for String {
    fn from(size: ByteSize) -> Self {
        size.to_string()
    }
}

impl fmt::Display for ByteSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (unit, factor) = UNITS
            .into_iter()
            .find(|(_, factor)| self.0 >= *factor && self.0.is_multiple_of(*factor))
            .unwrap_or(("B", 1));
        f.pad(&format!("{}{unit}", self.0 / factor))
    }
}

impl JsonSchema for ByteSize {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Size".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string",
            "format": "byte-size",
            "description": "A number of bytes with its unit: B, KiB, MiB or GiB.",
            "examples": ["512B", "64KiB", "1MiB"]
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_carry_their_unit() {
        assert_eq!("1m 30s".parse(), Ok(HumanDuration::from_secs(90)));
        assert_eq!("500ms".parse(), Ok(HumanDuration::from_millis(500)));
        let error = "5".parse::<HumanDuration>().expect_err("no unit");
        assert_eq!(error.to_string(), "\"5\" has no unit; write \"5s\"");
        assert!("fast".parse::<HumanDuration>().is_err());
        assert!("-1s".parse::<HumanDuration>().is_err());
    }

    #[test]
    fn durations_end_where_a_clock_could_not_follow() {
        assert_eq!("365d".parse(), Ok(HumanDuration::MAX));
        for text in ["365d 1ns", "1000years", "18446744073709551615s", "99999999999999999999s"] {
            let error = text.parse::<HumanDuration>().expect_err(text);
            let expected = format!("{text:?} is too long; a duration is at most 365 days");
            assert_eq!(error.to_string(), expected);
        }
    }

    #[test]
    fn sizes_carry_their_unit_and_print_as_written() {
        for text in ["0B", "512B", "64KiB", "1MiB", "2GiB", "1025B"] {
            assert_eq!(text.parse::<ByteSize>().expect(text).to_string(), text);
        }
        assert_eq!("1 KiB".parse(), Ok(ByteSize(1024)));
        let error = "65536".parse::<ByteSize>().expect_err("no unit");
        assert_eq!(error.to_string(), "\"65536\" has no unit; write \"65536B\"");
        for bad in ["", "KiB", "-1B", "1.5KiB", "99999999999GiB", "64K"] {
            assert!(bad.parse::<ByteSize>().is_err(), "{bad}");
        }
    }
}
