//! `[[route]]`: what one says in `proxy.toml`.

use std::{collections::BTreeMap, fmt, str::FromStr};

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

use crate::model::{HumanDuration, ServiceName};

use super::{HostPattern, PathPrefix};

/// A route: from host, path and predicates to a service or a redirect.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct RouteSettings {
    /// How it is called in logs, metrics and `explain`. Default: made of host
    /// and path.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Hosts it serves: `"shop.example"`, `"*.example"`, or a list of such.
    /// With `"{service}.internal"` there is one for each service whose name is
    /// without a dot, which answers it. Default: every host that no other route
    /// serves.
    #[serde(skip_serializing_if = "OneOrMany::is_empty")]
    pub host: OneOrMany<HostPattern>,
    /// The path and everything below it, by whole segments. With
    /// `"/api/{service}"` there is one for each service, which answers it.
    /// Default "/".
    pub path: PathPrefix,
    /// Methods it serves. Default: all.
    #[serde(skip_serializing_if = "OneOrMany::is_empty")]
    pub method: OneOrMany<MethodName>,
    /// Request headers that must be there with exactly this value.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("propertyNames" = { "format": "header-name" }))]
    pub header: BTreeMap<HeaderNameText, HeaderValueText>,
    /// The service that answers: `"orders"`, or `"orders@east"` for those of
    /// its instances that the source `east` has.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub service: Option<ServiceName>,
    /// The services that `{service}` may stand for, `*` standing for any
    /// characters. Default: all there are, whoever brought them.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub services: Vec<String>,
    /// Answer with a redirect instead.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub redirect: Option<RedirectSettings>,
    /// Remove `path` from the front of the path that the service sees.
    pub strip_prefix: bool,
    /// Put this in front of the path that the service sees, after
    /// `strip_prefix`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub add_prefix: Option<PathPrefix>,
    /// For the whole request, in place of the service's `timeouts.request`.
    /// "0s" means no bound.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timeout: Option<HumanDuration>,
    /// Translate calls of gRPC-Web, as browsers make them, into those of gRPC
    /// and back. The service speaks HTTP/2. CORS is not touched.
    pub grpc_web: bool,
    /// Edits of the request on its way to the service.
    #[serde(skip_serializing_if = "HeaderEdits::is_empty")]
    pub request_headers: HeaderEdits,
    /// Edits of the response on its way to the client.
    #[serde(skip_serializing_if = "HeaderEdits::is_empty")]
    pub response_headers: HeaderEdits,
}

/// Where a redirect leads.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RedirectSettings {
    /// A URL or a path. What follows the route's path in the request, and its
    /// query, are appended.
    #[schemars(extend("format" = "redirect-target"))]
    pub to: String,
    /// 301, 302, 303, 307 or 308. Default 308.
    #[serde(default)]
    pub status: RedirectStatus,
}

/// The status of a redirect (RFC 9110 section 15.4).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "i64", into = "u16")]
pub struct RedirectStatus(u16);

impl RedirectStatus {
    /// The status as a number.
    #[must_use]
    pub const fn value(self) -> u16 {
        self.0
    }
}

impl Default for RedirectStatus {
    fn default() -> Self {
        Self(308)
    }
}

impl TryFrom<i64> for RedirectStatus {
    type Error = String;
    fn try_from(value: i64) -> Result<Self, Self::Error> {
        match u16::try_from(value) {
            Ok(status @ (301 | 302 | 303 | 307 | 308)) => Ok(Self(status)),
            _ => Err(format!("a redirect is 301, 302, 303, 307 or 308, not {value}")),
        }
    }
}

impl From<RedirectStatus> for u16 {
    fn from(status: RedirectStatus) -> Self {
        status.0
    }
}

impl JsonSchema for RedirectStatus {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "RedirectStatus".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "integer", "enum": [301, 302, 303, 307, 308], "default": 308 })
    }
}

/// Headers to set or remove.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct HeaderEdits {
    /// Headers to set, in place of any of that name.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("propertyNames" = { "format": "header-name" }))]
    pub set: BTreeMap<HeaderNameText, HeaderValueText>,
    /// Headers to remove.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub remove: Vec<HeaderNameText>,
}

impl HeaderEdits {
    /// Whether nothing is to be done.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.set.is_empty() && self.remove.is_empty()
    }
}

/// One value, or a list of values.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(from = "OneOrManyText<T>", bound(deserialize = "T: Deserialize<'de>"))]
pub struct OneOrMany<T>(pub Vec<T>);

#[derive(Deserialize, JsonSchema)]
#[serde(untagged)]
enum OneOrManyText<T> {
    One(T),
    Many(Vec<T>),
}

impl<T> From<OneOrManyText<T>> for OneOrMany<T> {
    fn from(text: OneOrManyText<T>) -> Self {
        match text {
            OneOrManyText::One(one) => Self(vec![one]),
            OneOrManyText::Many(many) => Self(many),
        }
    }
}

impl<T> OneOrMany<T> {
    /// Whether the list is empty.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl<T> Default for OneOrMany<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

macro_rules! http_text {
    ($(#[$doc:meta])* $name:ident($inner:ty), $format:literal, $parse:expr) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(String);

        impl $name {
            /// The parsed form.
            #[must_use]
            pub fn parsed(&self) -> $inner {
                let parse: fn(&str) -> Result<$inner, String> = $parse;
                #[allow(clippy::expect_used, reason = "checked when it was made")]
                parse(&self.0).expect("checked when it was made")
            }

            /// As it was written.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $name {
            type Err = String;
            fn from_str(text: &str) -> Result<Self, Self::Err> {
                let parse: fn(&str) -> Result<$inner, String> = $parse;
                parse(text).map(|_| Self(text.to_owned()))
            }
        }

        impl TryFrom<String> for $name {
            type Error = String;
            fn try_from(text: String) -> Result<Self, Self::Error> {
                text.parse()
            }
        }

        impl From<$name> for String {
            fn from(text: $name) -> Self {
                text.0
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Debug::fmt(&self.0, f)
            }
        }

        impl JsonSchema for $name {
            fn schema_name() -> std::borrow::Cow<'static, str> {
                stringify!($name).into()
            }
            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                json_schema!({ "type": "string", "format": $format })
            }
        }
    };
}

http_text!(
    /// The name of a header field (RFC 9110 section 5.1).
    HeaderNameText(http::HeaderName),
    "header-name",
    |text| text.parse().map_err(|_| format!("{text:?} is not a header name"))
);
http_text!(
    /// The value of a header field (RFC 9110 section 5.5).
    HeaderValueText(http::HeaderValue),
    "header-value",
    |text| text.parse().map_err(|_| format!("{text:?} is not a header value"))
);
http_text!(
    /// A request method (RFC 9110 section 9.1).
    MethodName(http::Method),
    "method",
    |text| match text.parse() {
        Ok(method) if text.bytes().all(|byte| !byte.is_ascii_lowercase()) => Ok(method),
        Ok(_) => Err(format!("methods are case-sensitive; write {:?}", text.to_ascii_uppercase())),
        Err(_) => Err(format!("{text:?} is not a method")),
    }
);
