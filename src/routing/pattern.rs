//! What the left side of a route is made of: host patterns and path prefixes.

use std::{fmt, str::FromStr, sync::Arc};

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

use super::{
    path,
    template::{ANY_SERVICE, SOME_SERVICE},
};

/// Why a pattern was refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ParsePatternError {
    /// Not a host name, an IP address or a wildcard.
    #[error("{text:?} is not a host; write \"shop.example\" or \"*.example\"")]
    Host {
        /// What was written.
        text: String,
    },
    /// A host with a port.
    #[error("{text:?} has a port; routes match the host alone, write {hint:?}")]
    HostWithPort {
        /// What was written.
        text: String,
        /// The host without it.
        hint: String,
    },
    /// A path that does not begin with a slash.
    #[error("{text:?} does not begin with '/'; write \"/{text}\"")]
    PathNotAbsolute {
        /// What was written.
        text: String,
    },
    /// A path that no request can have once it is canonical.
    #[error("{text:?} cannot match: {why}")]
    Path {
        /// What was written.
        text: String,
        /// What is wrong with it.
        why: String,
    },
}

/// The hosts that a route serves.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum HostPattern {
    /// One host, in lower case, without a trailing dot.
    Exact(Arc<str>),
    /// `*.example`: every host that ends with this suffix (`.example`) and has
    /// at least one more label.
    Wildcard(Arc<str>),
}

impl FromStr for HostPattern {
    type Err = ParsePatternError;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let refused = || ParsePatternError::Host { text: text.to_owned() };
        if text.matches(ANY_SERVICE).count() == 1 {
            // No host is called this: it is written out before it is matched.
            let written: Self = text.replace(ANY_SERVICE, SOME_SERVICE).parse()?;
            return match written {
                Self::Exact(_) => {
                    let text = text.strip_suffix('.').unwrap_or(text);
                    Ok(Self::Exact(text.to_ascii_lowercase().into()))
                }
                Self::Wildcard(_) => Err(refused()),
            };
        }
        let name = text.strip_prefix('*').unwrap_or(text);
        if let Some((host, port)) = name.rsplit_once(':')
            && !host.contains(':')
            && port.bytes().all(|byte| byte.is_ascii_digit())
        {
            let star = if text.starts_with('*') { "*" } else { "" };
            let hint = format!("{star}{host}");
            return Err(ParsePatternError::HostWithPort { text: text.to_owned(), hint });
        }
        let canonical = super::host::canonical(name.strip_prefix('.').unwrap_or(name).as_bytes())
            .ok_or_else(refused)?
            .to_string();
        if text.starts_with('*') {
            if !name.starts_with('.') {
                return Err(refused());
            }
            return Ok(Self::Wildcard(format!(".{canonical}").into()));
        }
        if name.starts_with('.') { Err(refused()) } else { Ok(Self::Exact(canonical.into())) }
    }
}

impl HostPattern {
    /// Whether it is the pattern of `host`, canonical.
    #[must_use]
    pub fn matches(&self, host: &str) -> bool {
        match self {
            Self::Exact(exact) => **exact == *host,
            Self::Wildcard(suffix) => host.len() > suffix.len() && host.ends_with(&**suffix),
        }
    }
}

impl TryFrom<String> for HostPattern {
    type Error = ParsePatternError;
    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<HostPattern> for String {
    fn from(pattern: HostPattern) -> Self {
        pattern.to_string()
    }
}

impl fmt::Display for HostPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exact(host) => f.pad(host),
            Self::Wildcard(suffix) => write!(f, "*{suffix}"),
        }
    }
}

impl fmt::Debug for HostPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{self}\"")
    }
}

impl JsonSchema for HostPattern {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "HostPattern".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string",
            "format": "host-pattern",
            "examples": ["shop.example", "*.example"]
        })
    }
}

/// A canonical path without a trailing slash, matched by whole segments. The
/// root is the empty prefix and prints as `/`.
#[derive(Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct PathPrefix(Arc<str>);

impl PathPrefix {
    /// The prefix as it is matched: empty for the root, else beginning with a
    /// slash and not ending with one.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether `path`, canonical, is this path or below it.
    #[must_use]
    pub fn matches(&self, path: &str) -> bool {
        path.strip_prefix(&*self.0).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    }

    /// How many segments it has.
    #[must_use]
    pub fn depth(&self) -> usize {
        self.0.bytes().filter(|byte| *byte == b'/').count()
    }
}

impl FromStr for PathPrefix {
    type Err = ParsePatternError;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text.matches(ANY_SERVICE).count() == 1 {
            let written: Self = text.replace(ANY_SERVICE, SOME_SERVICE).parse()?;
            let text = text.strip_suffix('/').unwrap_or(text);
            let is_plain = text.replace(ANY_SERVICE, SOME_SERVICE) == *written.0;
            return match is_plain {
                true => Ok(Self(text.into())),
                false => Err(ParsePatternError::Path {
                    text: text.to_owned(),
                    why: "beside {service} write the path as it is matched".to_owned(),
                }),
            };
        }
        if !text.starts_with('/') {
            return Err(ParsePatternError::PathNotAbsolute { text: text.to_owned() });
        }
        let refused =
            |why: &str| ParsePatternError::Path { text: text.to_owned(), why: why.to_owned() };
        if text.contains(['{', '}']) {
            return Err(refused(
                "only {service}, once, stands for something; write a brace as %7B",
            ));
        }
        if text.contains(['?', '#']) {
            return Err(refused("a path ends before '?' and '#'"));
        }
        if let Some(bad) = text.chars().find(|c| !c.is_ascii_graphic()) {
            return Err(refused(&format!("{bad:?} must be percent-encoded in a path")));
        }
        let canonical = path::canonical(text).map_err(|error| refused(&error.to_string()))?;
        Ok(Self(canonical.strip_suffix('/').unwrap_or(&canonical).into()))
    }
}

impl TryFrom<String> for PathPrefix {
    type Error = ParsePatternError;
    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<PathPrefix> for String {
    fn from(prefix: PathPrefix) -> Self {
        prefix.to_string()
    }
}

impl fmt::Display for PathPrefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(if self.0.is_empty() { "/" } else { &self.0 })
    }
}

impl fmt::Debug for PathPrefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{self}\"")
    }
}

impl JsonSchema for PathPrefix {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "PathPrefix".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string",
            "format": "path-prefix",
            "examples": ["/", "/orders"]
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_are_kept_canonical() {
        let host = |text: &str| text.parse::<HostPattern>().map(|host| host.to_string());
        assert_eq!(host("Shop.Example."), Ok("shop.example".into()));
        assert_eq!(host("*.Example"), Ok("*.example".into()));
        assert_eq!(host("[::1]"), Ok("[::1]".into()));
        assert!(
            matches!(host("a:80"), Err(ParsePatternError::HostWithPort { hint, .. }) if hint == "a")
        );
        for bad in ["", "*", "*a", ".a", "a b", "a.*.b", "user@a", "http://a", "a..b"] {
            assert!(host(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn any_service_stands_for_one_thing_once() {
        for good in ["{service}.internal", "x-{service}.Internal.", "{service}"] {
            assert!(good.parse::<HostPattern>().expect("a host").is_template(), "{good}");
        }
        let path: PathPrefix = "/svc-{service}/api/".parse().expect("a path");
        assert_eq!((path.to_string(), path.is_template()), ("/svc-{service}/api".into(), true));
        for bad in [
            "*.{service}",
            "{service}.{service}",
            "{service}:80",
            "{name}.internal",
            "{service}..a",
            "[{service}]",
        ] {
            assert!(bad.parse::<HostPattern>().is_err(), "{bad}");
        }
        for bad in [
            "{service}",
            "/a/../{service}",
            "/{service}/..",
            "/{service}/{service}",
            "/{service}?x",
            "/{id}/{service}",
            "/%7e/{service}",
        ] {
            assert!(bad.parse::<PathPrefix>().is_err(), "{bad}");
        }
    }

    #[test]
    fn prefixes_match_whole_segments() {
        let api: PathPrefix = "/api/".parse().expect("a prefix");
        assert_eq!(api.to_string(), "/api");
        assert!(api.matches("/api") && api.matches("/api/") && api.matches("/api/x"));
        assert!(!api.matches("/apix") && !api.matches("/") && !api.matches("/ap"));
        let root: PathPrefix = "/".parse().expect("a prefix");
        assert!(root.matches("/") && root.matches("/x"));
        assert_eq!((root.depth(), api.depth()), (0, 1));
    }

    #[test]
    fn prefixes_that_cannot_match_are_refused() {
        for bad in ["api", "", "/a?b", "/a#b", "/a b", "/é", "/a%2fb", "/a%zz"] {
            assert!(bad.parse::<PathPrefix>().is_err(), "{bad}");
        }
        assert_eq!("/a/../b/%7Ex".parse::<PathPrefix>().expect("folds").to_string(), "/b/~x");
    }
}
