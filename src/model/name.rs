//! Names that users choose: services and the instances within them.
//!
//! Both are short and printable, so that they can stand in a URL path, a log
//! line and a metric label without escaping.

use std::{borrow::Borrow, fmt, str::FromStr, sync::Arc};

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

/// Why a name was refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ParseNameError {
    /// The name has no characters.
    #[error("a {what} cannot be empty")]
    Empty {
        /// Which kind of name.
        what: &'static str,
    },
    /// The name is longer than `limit` bytes.
    #[error("a {what} has at most {limit} characters, this one has {length}")]
    TooLong {
        /// Which kind of name.
        what: &'static str,
        /// The most bytes allowed.
        limit: usize,
        /// How many bytes were given.
        length: usize,
    },
    /// The name holds a character that is not allowed where it stands.
    #[error("a {what} cannot have {found:?} at position {position}; {allowed}")]
    BadCharacter {
        /// Which kind of name.
        what: &'static str,
        /// The offending character.
        found: char,
        /// Its place, counted in characters from 1.
        position: usize,
        /// What would have been accepted.
        allowed: &'static str,
    },
}

macro_rules! name {
    ($(#[$doc:meta])* $name:ident, $check:path, $format:literal, $example:literal) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(Arc<str>);

        impl $name {
            /// The name as text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $name {
            type Err = ParseNameError;
            fn from_str(text: &str) -> Result<Self, Self::Err> {
                $check(text)?;
                Ok(Self(text.into()))
            }
        }

        impl TryFrom<String> for $name {
            type Error = ParseNameError;
            fn try_from(text: String) -> Result<Self, Self::Error> {
                text.parse()
            }
        }

        impl From<$name> for String {
            fn from(name: $name) -> Self {
                name.0.as_ref().to_owned()
            }
        }

        impl Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{:?}", &*self.0)
            }
        }

        impl JsonSchema for $name {
            fn schema_name() -> std::borrow::Cow<'static, str> {
                stringify!($name).into()
            }
            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                json_schema!({ "type": "string", "format": $format, "examples": [$example] })
            }
        }
    };
}

name!(
    /// What routes point to and instances register under: 1 to 63 lower-case
    /// letters, digits, `-`, `_` and `.`, beginning and ending with a letter
    /// or digit. With `@SOURCE` behind it, it means those of its instances that
    /// come from one source; nothing registers under such a name.
    ServiceName,
    check_service,
    "service-name",
    "orders"
);

name!(
    /// Tells the instances of one service apart: 1 to 128 letters, digits and
    /// `-_.:@`. The set covers what Eureka and Consul clients send.
    InstanceId,
    check_instance,
    "instance-id",
    "orders-7"
);

impl ServiceName {
    /// The service and the source, if it means the instances of one source.
    #[must_use]
    pub fn of_source(&self) -> Option<(&str, &str)> {
        self.0.split_once('@')
    }

    /// The instances of this service that come from `source`.
    #[must_use]
    pub fn from_source(&self, source: &str) -> Option<Self> {
        format!("{self}@{source}").parse().ok()
    }
}

fn check_service(text: &str) -> Result<(), ParseNameError> {
    let what = "service name";
    let (text, source) = text.split_once('@').map_or((text, None), |(name, of)| (name, Some(of)));
    if let Some(source) = source {
        let what = "source behind the '@' of a service name";
        check_length(what, source, 63)?;
        for (position, found) in (1..).zip(source.chars()) {
            if !found.is_ascii_lowercase() && !found.is_ascii_digit() && found != '-' {
                let allowed = "use a-z, 0-9 and '-'";
                return Err(ParseNameError::BadCharacter { what, found, position, allowed });
            }
        }
    }
    check_length(what, text, 63)?;
    let last = text.chars().count();
    for (position, found) in (1..).zip(text.chars()) {
        let alphanumeric = found.is_ascii_lowercase() || found.is_ascii_digit();
        let inner = position > 1 && position < last && matches!(found, '-' | '_' | '.');
        if !alphanumeric && !inner {
            let allowed = "use a-z, 0-9 and, inside, '-', '_' or '.'";
            return Err(ParseNameError::BadCharacter { what, found, position, allowed });
        }
    }
    Ok(())
}

fn check_instance(text: &str) -> Result<(), ParseNameError> {
    let what = "instance id";
    check_length(what, text, 128)?;
    for (position, found) in (1..).zip(text.chars()) {
        if !found.is_ascii_alphanumeric() && !matches!(found, '-' | '_' | '.' | ':' | '@') {
            let allowed = "use letters, digits, '-', '_', '.', ':' or '@'";
            return Err(ParseNameError::BadCharacter { what, found, position, allowed });
        }
    }
    if matches!(text, "." | "..") {
        let allowed = "\".\" and \"..\" mean something else in a URL";
        return Err(ParseNameError::BadCharacter { what, found: '.', position: 1, allowed });
    }
    Ok(())
}

fn check_length(what: &'static str, text: &str, limit: usize) -> Result<(), ParseNameError> {
    match text.len() {
        0 => Err(ParseNameError::Empty { what }),
        length if length > limit => Err(ParseNameError::TooLong { what, limit, length }),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn service_names_are_short_and_plain() {
        for good in ["a", "orders", "orders-v2", "com.acme.orders", "a_b", "0", "orders@consul-2"] {
            assert!(good.parse::<ServiceName>().is_ok(), "{good}");
        }
        let long = "a".repeat(64);
        for bad in
            ["", "-a", "a-", "Orders", "a b", "a/b", "é", "a@", "@a", "a@b@c", "a@B", long.as_str()]
        {
            assert!(bad.parse::<ServiceName>().is_err(), "{bad}");
        }
    }

    #[test]
    fn instance_ids_take_what_clients_of_other_registries_send() {
        for good in ["orders-7", "host.local:orders:8080", "A_b@c"] {
            assert!(good.parse::<InstanceId>().is_ok(), "{good}");
        }
        let long = "a".repeat(129);
        for bad in ["", "a/b", "a b", "a%20", "..", ".", "a?b", long.as_str()] {
            assert!(bad.parse::<InstanceId>().is_err(), "{bad}");
        }
    }

    #[test]
    fn a_refusal_names_the_character_and_its_place() {
        let error = "orders service".parse::<ServiceName>().expect_err("has a space");
        assert_eq!(
            error.to_string(),
            "a service name cannot have ' ' at position 7; use a-z, 0-9 and, inside, '-', '_' or '.'"
        );
    }
}
