//! Sets of HTTP status codes, as people write them: `"200-299"`.

use std::{fmt, str::FromStr};

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

/// A set of HTTP status codes, written as `"200-299"` or `"200, 204, 300-399"`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct StatusSet(Vec<(u16, u16)>);

impl StatusSet {
    /// Those from `first` to `last`.
    pub(super) fn range(first: u16, last: u16) -> Self {
        Self(vec![(first, last)])
    }

    /// Whether `status` is in the set.
    #[must_use]
    pub fn contains(&self, status: u16) -> bool {
        self.0.iter().any(|(first, last)| (*first..=*last).contains(&status))
    }
}

impl FromStr for StatusSet {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let refused = || {
            format!("{text:?} is not a set of statuses; write \"200-299\" or \"200, 204, 300-399\"")
        };
        let status = |text: &str| {
            text.trim().parse().ok().filter(|code| (100..=599).contains(code)).ok_or_else(refused)
        };
        let ranges = text.split(',').map(|part| match part.split_once('-') {
            Some((first, last)) => {
                let range = (status(first)?, status(last)?);
                if range.0 <= range.1 { Ok(range) } else { Err(refused()) }
            }
            None => status(part).map(|code| (code, code)),
        });
        ranges.collect::<Result<_, _>>().map(Self)
    }
}

impl TryFrom<String> for StatusSet {
    type Error = String;
    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<StatusSet> for String {
    fn from(set: StatusSet) -> Self {
        set.to_string()
    }
}

impl fmt::Display for StatusSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, (first, last)) in self.0.iter().enumerate() {
            let comma = if index == 0 { "" } else { ", " };
            if first == last {
                write!(f, "{comma}{first}")?;
            } else {
                write!(f, "{comma}{first}-{last}")?;
            }
        }
        Ok(())
    }
}

impl JsonSchema for StatusSet {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "StatusSet".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string",
            "format": "status-set",
            "examples": ["200-299", "200, 204, 300-399"]
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn status_sets_read_and_print() {
        let set: StatusSet = "200,204, 300-399".parse().expect("a set");
        assert_eq!(set.to_string(), "200, 204, 300-399");
        assert!(set.contains(204) && set.contains(350) && !set.contains(201));
        for bad in ["", "2xx", "299-200", "99", "600", "200-"] {
            assert!(bad.parse::<StatusSet>().is_err(), "{bad}");
        }
    }
}
