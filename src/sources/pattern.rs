//! Which services of a registry are meant: names in which `*` stands for
//! anything.

use std::{fmt, str::FromStr};

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

/// A name of services as a registry writes it, in lower case; `*` stands for
/// any characters, or none.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "String", into = "String")]
pub struct ServicePattern(String);

impl ServicePattern {
    /// Whether the service `name` is meant. Upper and lower case are the same.
    #[must_use]
    pub fn matches(&self, name: &str) -> bool {
        let name = name.to_ascii_lowercase();
        let mut parts = self.0.split('*');
        let first = parts.next().unwrap_or_default();
        let Some(mut rest) = name.strip_prefix(first) else { return false };
        let Some(last) = parts.next_back() else { return rest.is_empty() };
        for part in parts {
            // The first place is the best: it leaves the most for what follows.
            let Some(at) = rest.find(part) else { return false };
            rest = &rest[at + part.len()..];
        }
        rest.ends_with(last)
    }
}

impl From<String> for ServicePattern {
    fn from(text: String) -> Self {
        Self(text.to_ascii_lowercase())
    }
}

impl From<ServicePattern> for String {
    fn from(pattern: ServicePattern) -> Self {
        pattern.0
    }
}

impl FromStr for ServicePattern {
    type Err = std::convert::Infallible;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Ok(text.to_owned().into())
    }
}

impl fmt::Debug for ServicePattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

impl JsonSchema for ServicePattern {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "ServicePattern".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "examples": ["orders", "shop-*"] })
    }
}

/// Whether `name` is one of those that are meant: it fits one of `wanted`, if
/// there are any, and none of `unwanted`.
pub(super) fn is_meant(wanted: &[ServicePattern], unwanted: &[ServicePattern], name: &str) -> bool {
    let fits = |patterns: &[ServicePattern]| patterns.iter().any(|pattern| pattern.matches(name));
    (wanted.is_empty() || fits(wanted)) && !fits(unwanted)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matches(pattern: &str, name: &str) -> bool {
        ServicePattern::from(pattern.to_owned()).matches(name)
    }

    #[test]
    fn a_star_stands_for_anything() {
        for (pattern, name) in [
            ("orders", "ORDERS"),
            ("*", ""),
            ("shop-*", "shop-"),
            ("*-v2", "orders-v2"),
            ("a*b*c", "a-b-b-c"),
            ("*a*", "banana"),
            ("a*ba", "aba"),
        ] {
            assert!(matches(pattern, name), "{pattern} {name}");
        }
        for (pattern, name) in
            [("orders", "orders2"), ("shop-*", "shop"), ("a*a", "a"), ("a*b*c", "acb"), ("", "a")]
        {
            assert!(!matches(pattern, name), "{pattern} {name}");
        }
    }

    #[test]
    fn what_is_excluded_is_not_meant() {
        let patterns = |all: &[&str]| all.iter().map(|text| (*text).to_owned().into()).collect();
        let (wanted, unwanted): (Vec<_>, Vec<_>) = (patterns(&["a*"]), patterns(&["ab"]));
        assert!(is_meant(&wanted, &unwanted, "ac") && !is_meant(&wanted, &unwanted, "ab"));
        assert!(is_meant(&[], &unwanted, "x") && !is_meant(&wanted, &[], "x"));
    }
}
