//! Where a server is: `http://HOST:PORT/PATH`, with user and password if it
//! wants them, which are never shown.

use std::{fmt, str::FromStr};

use base64::{Engine as _, prelude::BASE64_STANDARD};
use http::{HeaderValue, Uri};
use percent_encoding::percent_decode_str;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

use crate::model::{Host, Scheme};

/// Why a text is no URL of a server. It does not repeat the text, which may
/// hold a password.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ParseServerUrlError {
    /// Not a URL.
    #[error("it is not a URL; write \"http://HOST:PORT\" or \"https://HOST:PORT\"")]
    NoUrl,
    /// Neither `http` nor `https`.
    #[error("servers are reached by \"http\" or \"https\"")]
    Scheme,
    /// A query or a fragment.
    #[error("a URL of a server ends with its path")]
    Query,
}

/// `http://[USER:PASSWORD@]HOST[:PORT][/PATH]`. It is shown without user and
/// password.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ServerUrl {
    scheme: Scheme,
    user: Option<String>,
    authority: HeaderValue,
    host: Host,
    port: u16,
    prefix: String,
}

impl ServerUrl {
    /// Whether TLS is spoken there.
    #[must_use]
    pub fn is_secure(&self) -> bool {
        self.scheme == Scheme::Https
    }

    /// Who has to be there, where TLS is spoken.
    pub(super) const fn host(&self) -> &Host {
        &self.host
    }

    /// Where to connect to.
    pub(super) fn target_address(&self) -> (String, u16) {
        let host = match &self.host {
            Host::Ip(ip) => ip.to_string(),
            Host::Name(name) => name.to_string(),
        };
        (host, self.port)
    }

    /// The value of `Host`.
    pub(in crate::sources) const fn authority(&self) -> &HeaderValue {
        &self.authority
    }

    /// The value of `Authorization` for user and password, if there are any
    /// (RFC 7617).
    pub(in crate::sources) fn authorization(&self) -> Option<HeaderValue> {
        let user = percent_decode_str(self.user.as_ref()?).collect::<Vec<_>>();
        let value = format!("Basic {}", BASE64_STANDARD.encode(user));
        let mut value = HeaderValue::try_from(value).ok()?;
        value.set_sensitive(true);
        Some(value)
    }

    /// The request target for `target`, which begins with `/`.
    pub(in crate::sources) fn target(&self, target: &str) -> String {
        format!("{}{target}", self.prefix)
    }

    fn full(&self) -> String {
        let user = self.user.as_ref().map(|user| format!("{user}@")).unwrap_or_default();
        let authority = self.authority.to_str().unwrap_or_default();
        format!("{}://{user}{authority}{}", self.scheme.as_str(), self.prefix)
    }
}

impl FromStr for ServerUrl {
    type Err = ParseServerUrlError;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text.contains(['?', '#']) {
            return Err(ParseServerUrlError::Query);
        }
        let uri: Uri = text.parse().map_err(|_| ParseServerUrlError::NoUrl)?;
        let scheme = match uri.scheme_str() {
            Some("http") => Scheme::Http,
            Some("https") => Scheme::Https,
            Some(_) => return Err(ParseServerUrlError::Scheme),
            None => return Err(ParseServerUrlError::NoUrl),
        };
        let authority = uri.authority().ok_or(ParseServerUrlError::NoUrl)?;
        let (user, rest) = match authority.as_str().rsplit_once('@') {
            Some((user, rest)) => (Some(user.to_owned()), rest),
            None => (None, authority.as_str()),
        };
        let host = authority.host().trim_matches(['[', ']']);
        let host = match host.parse() {
            Ok(ip) => Host::Ip(ip),
            Err(_) if host.is_empty() => return Err(ParseServerUrlError::NoUrl),
            Err(_) => Host::Name(host.to_ascii_lowercase().into()),
        };
        Ok(Self {
            scheme,
            user,
            authority: rest.parse().map_err(|_| ParseServerUrlError::NoUrl)?,
            host,
            port: authority.port_u16().unwrap_or(scheme.port()),
            prefix: uri.path().trim_end_matches('/').to_owned(),
        })
    }
}

impl TryFrom<String> for ServerUrl {
    type Error = ParseServerUrlError;
    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<ServerUrl> for String {
    fn from(url: ServerUrl) -> Self {
        url.full()
    }
}

impl fmt::Display for ServerUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let authority = self.authority.to_str().unwrap_or_default();
        write!(f, "{}://{authority}{}", self.scheme.as_str(), self.prefix)
    }
}

impl fmt::Debug for ServerUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl JsonSchema for ServerUrl {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "ServerUrl".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string",
            "format": "server-url",
            "examples": ["http://127.0.0.1:8500", "https://user:password@registry.example/eureka"]
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_holds_user_and_password_and_does_not_show_them() {
        let url: ServerUrl = "http://me:p%40ss@Registry.example:8761/eureka/".parse().expect("one");
        assert_eq!(url.to_string(), "http://Registry.example:8761/eureka");
        assert_eq!(format!("{url:?}"), "http://Registry.example:8761/eureka");
        assert_eq!(url.target("/apps"), "/eureka/apps");
        let expected = format!("Basic {}", BASE64_STANDARD.encode("me:p@ss"));
        assert_eq!(url.authorization().expect("a user"), expected.as_str());
        assert_eq!(url.target_address(), ("registry.example".to_owned(), 8761));
        assert_eq!(String::from(url.clone()).parse(), Ok(url));
    }

    #[test]
    fn ports_and_addresses_are_those_of_urls() {
        let secure: ServerUrl = "https://[::1]".parse().expect("one");
        assert_eq!(secure.target_address(), ("::1".to_owned(), 443));
        assert!(secure.is_secure() && secure.authorization().is_none());
        for bad in ["", "registry:80", "ftp://a", "http://", "http://a?x", "http://a b", "//a"] {
            assert!(bad.parse::<ServerUrl>().is_err(), "{bad}");
        }
        let error = "http://me:secret@a b".parse::<ServerUrl>().expect_err("a space");
        assert!(!error.to_string().contains("secret"));
    }
}
