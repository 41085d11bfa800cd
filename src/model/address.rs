//! Where an instance listens: host and port, and the scheme spoken there.

use std::{
    fmt,
    net::{IpAddr, Ipv6Addr, SocketAddr},
    str::FromStr,
    sync::Arc,
};

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

/// Why an address was refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ParseAddressError {
    /// No port was given.
    #[error("{text:?} has no port; write \"{text}:8080\"")]
    NoPort {
        /// What was written.
        text: String,
    },
    /// The port is not a number from 1 to 65535.
    #[error("{text:?} has a bad port; ports are numbers from 1 to 65535")]
    BadPort {
        /// What was written.
        text: String,
    },
    /// The host is neither an IP address nor a DNS name.
    #[error("{text:?} has a bad host; write an IP address ([...] around IPv6) or a DNS name")]
    BadHost {
        /// What was written.
        text: String,
    },
    /// The scheme is not one that is spoken to instances.
    #[error("{text:?} has the scheme {scheme:?}; instances are reached by \"http\" or \"https\"")]
    BadScheme {
        /// What was written.
        text: String,
        /// The scheme in it.
        scheme: String,
    },
    /// Something follows the port.
    #[error("{text:?} has a path; an address ends with the port")]
    HasPath {
        /// What was written.
        text: String,
    },
}

/// The host half of an [`Address`].
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Host {
    /// A literal IP address.
    Ip(IpAddr),
    /// A DNS name in lower case, resolved at each connect.
    Name(Arc<str>),
}

/// Host and port.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Address {
    /// An IP address or a DNS name.
    pub host: Host,
    /// The TCP port, never 0.
    pub port: u16,
}

impl Address {
    /// The socket address, unless the host is a DNS name.
    #[must_use]
    pub fn socket_addr(&self) -> Option<SocketAddr> {
        match self.host {
            Host::Ip(ip) => Some(SocketAddr::new(ip, self.port)),
            Host::Name(_) => None,
        }
    }
}

impl From<SocketAddr> for Address {
    fn from(addr: SocketAddr) -> Self {
        Self { host: Host::Ip(addr.ip()), port: addr.port() }
    }
}

impl FromStr for Address {
    type Err = ParseAddressError;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let owned = || text.to_owned();
        if text.contains('/') {
            return Err(ParseAddressError::HasPath { text: owned() });
        }
        let (host, port) = match text.rsplit_once(':') {
            Some((host, port)) if !host.contains(':') || host.ends_with(']') => (host, port),
            _ => return Err(ParseAddressError::NoPort { text: owned() }),
        };
        let port = Some(port)
            .filter(|port| port.bytes().all(|byte| byte.is_ascii_digit()))
            .and_then(|port| port.parse().ok())
            .filter(|port| *port != 0)
            .ok_or_else(|| ParseAddressError::BadPort { text: owned() })?;
        let host = parse_host(host).ok_or_else(|| ParseAddressError::BadHost { text: owned() })?;
        Ok(Self { host, port })
    }
}

fn parse_host(text: &str) -> Option<Host> {
    if let Some(inner) = text.strip_prefix('[') {
        let ip: Ipv6Addr = inner.strip_suffix(']')?.parse().ok()?;
        return Some(Host::Ip(ip.into()));
    }
    if let Ok(ip) = text.parse() {
        return Some(Host::Ip(ip));
    }
    // A name whose last label is numeric is an IPv4 address gone wrong ("10.0.0.300").
    let numeric_end =
        text.rsplit('.').next().is_none_or(|label| label.bytes().all(|byte| byte.is_ascii_digit()));
    let valid = text.len() <= 253 && !numeric_end && text.split('.').all(valid_label);
    valid.then(|| Host::Name(text.to_ascii_lowercase().into()))
}

fn valid_label(label: &str) -> bool {
    (1..=63).contains(&label.len())
        && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
        && !label.starts_with('-')
        && !label.ends_with('-')
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ip(IpAddr::V4(ip)) => ip.fmt(f),
            Self::Ip(IpAddr::V6(ip)) => write!(f, "[{ip}]"),
            Self::Name(name) => f.write_str(name),
        }
    }
}

impl fmt::Debug for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.host, self.port)
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// What is spoken at an address.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Scheme {
    /// In the clear.
    #[default]
    Http,
    /// Over TLS.
    Https,
}

impl Scheme {
    /// As it stands in a URL.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Https => "https",
        }
    }

    /// The port that a URL without one means.
    #[must_use]
    pub const fn port(self) -> u16 {
        match self {
            Self::Http => 80,
            Self::Https => 443,
        }
    }
}

/// An address and the scheme spoken there, written as `http://10.0.0.5:8080`,
/// `https://10.0.0.5:8443` or, for `http`, as `10.0.0.5:8080`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Origin {
    /// Where to connect.
    pub address: Address,
    /// What is spoken there.
    pub scheme: Scheme,
}

impl FromStr for Origin {
    type Err = ParseAddressError;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let plain = |rest: &'_ str| rest.strip_suffix('/').unwrap_or(rest).to_owned();
        let (scheme, rest) = match text.split_once("://") {
            None => (Scheme::Http, text.to_owned()),
            Some(("http", rest)) => (Scheme::Http, plain(rest)),
            Some(("https", rest)) => (Scheme::Https, plain(rest)),
            Some((scheme, _)) => {
                let scheme = scheme.to_owned();
                return Err(ParseAddressError::BadScheme { text: text.to_owned(), scheme });
            }
        };
        Ok(Self { address: rest.parse()?, scheme })
    }
}

impl TryFrom<String> for Origin {
    type Error = ParseAddressError;
    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<Origin> for String {
    fn from(origin: Origin) -> Self {
        origin.to_string()
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}", self.scheme.as_str(), self.address)
    }
}

impl fmt::Debug for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl JsonSchema for Origin {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Origin".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string",
            "format": "origin",
            "description": "Where an instance listens.",
            "examples": ["http://10.0.0.5:8080", "10.0.0.5:8080", "https://10.0.0.5:8443"]
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_print_as_they_are_read() {
        for text in ["127.0.0.1:80", "[::1]:8080", "orders.internal:3000", "localhost:1"] {
            assert_eq!(text.parse::<Address>().expect(text).to_string(), text);
        }
    }

    #[test]
    fn what_is_wrong_with_an_address_is_said() {
        use ParseAddressError as E;
        let refused = |text: &str| text.parse::<Origin>().expect_err(text);
        assert!(matches!(refused("10.0.0.1"), E::NoPort { .. }));
        assert!(matches!(refused("::1"), E::NoPort { .. }));
        assert!(matches!(refused("10.0.0.1:0"), E::BadPort { .. }));
        assert!(matches!(refused("10.0.0.1:+80"), E::BadPort { .. }));
        assert!(matches!(refused("10.0.0.300:80"), E::BadHost { .. }));
        assert!(matches!(refused("a b:80"), E::BadHost { .. }));
        assert!(matches!(refused("user@host:80"), E::BadHost { .. }));
        assert!(matches!(refused(":80"), E::BadHost { .. }));
        assert!(matches!(refused("ftp://a:80"), E::BadScheme { .. }));
        assert!(matches!(refused("http://a:80/x"), E::HasPath { .. }));
    }

    #[test]
    fn the_scheme_may_be_left_out() {
        let secure: Origin = "https://a.example:443/".parse().expect("a scheme");
        assert_eq!(
            (secure.scheme, secure.to_string()),
            (Scheme::Https, "https://a.example:443".to_owned())
        );
        let plain: Origin = "10.0.0.5:8080".parse().expect("no scheme");
        assert_eq!(Ok(plain), "http://10.0.0.5:8080/".parse());
    }
}
