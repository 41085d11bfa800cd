//! The formats that text values have, each checked by the parser of the type
//! that will hold the value, so that the check and the parser cannot disagree.
//!
//! The schema names the format of each key; a test holds that this list knows
//! them all.

use ipnet::IpNet;

use crate::{
    model::{ByteSize, HumanDuration, ListenAddress, Origin, ServiceName, StatusSet},
    routing::{HeaderNameText, HeaderValueText, HostPattern, MethodName, PathPrefix, host},
    sources::{
        DnsQuestion, DocumentUrl, Pointer, ServerUrl, SourceName, Template,
        zookeeper::{NodePath, ServerAddress},
    },
};

use super::Code;

/// What a text value is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Format {
    Duration,
    ByteSize,
    Origin,
    ListenAddress,
    Network,
    ServiceName,
    SourceName,
    ServerUrl,
    DnsQuestion,
    DocumentUrl,
    ServerAddress,
    NodePath,
    KeyTemplate,
    JsonPointer,
    HostPattern,
    Host,
    DnsName,
    PathPrefix,
    ProbePath,
    HeaderName,
    HeaderValue,
    Method,
    StatusSet,
    Sha256,
    RedirectTarget,
}

impl Format {
    pub(super) const ALL: [Self; 25] = [
        Self::Duration,
        Self::ByteSize,
        Self::Origin,
        Self::ListenAddress,
        Self::Network,
        Self::ServiceName,
        Self::SourceName,
        Self::ServerUrl,
        Self::DnsQuestion,
        Self::DocumentUrl,
        Self::ServerAddress,
        Self::NodePath,
        Self::KeyTemplate,
        Self::JsonPointer,
        Self::HostPattern,
        Self::Host,
        Self::DnsName,
        Self::PathPrefix,
        Self::ProbePath,
        Self::HeaderName,
        Self::HeaderValue,
        Self::Method,
        Self::StatusSet,
        Self::Sha256,
        Self::RedirectTarget,
    ];

    pub(super) fn find(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|format| format.describe().0 == name)
    }

    /// What the value is, with its article: `a duration`.
    pub(super) const fn noun(self) -> &'static str {
        self.describe().1
    }

    /// A value that is accepted.
    pub(super) const fn example(self) -> &'static str {
        self.describe().2
    }

    pub(super) const fn code(self) -> Code {
        self.describe().3
    }

    const fn describe(self) -> (&'static str, &'static str, &'static str, Code) {
        match self {
            Self::Duration => ("duration", "a duration", "5s", Code::Duration),
            Self::ByteSize => ("byte-size", "a size", "64KiB", Code::Size),
            Self::Origin => {
                ("origin", "an address of an instance", "http://10.0.0.5:8080", Code::Origin)
            }
            Self::ListenAddress => {
                ("listen-address", "an address to listen on", "127.0.0.1:8080", Code::ListenAddress)
            }
            Self::Network => ("network", "a network", "10.0.0.0/8", Code::Network),
            Self::ServiceName => ("service-name", "a service name", "orders", Code::ServiceName),
            Self::SourceName => {
                ("source-name", "a name of a source", "consul-east", Code::SourceName)
            }
            Self::ServerUrl => {
                ("server-url", "a URL of a server", "http://127.0.0.1:8500", Code::ServerUrl)
            }
            Self::DocumentUrl => {
                ("document-url", "a URL", "https://inventory.internal/list", Code::DocumentUrl)
            }
            Self::DnsQuestion => {
                ("dns-question", "a name to look up", "orders.internal:8080", Code::DnsQuestion)
            }
            Self::ServerAddress => {
                ("server-address", "an address of a server", "10.0.0.1:2181", Code::ServerAddress)
            }
            Self::NodePath => ("node-path", "a path of a node", "/services", Code::NodePath),
            Self::KeyTemplate => {
                ("key-template", "a form of keys", "{service}/{id}", Code::KeyTemplate)
            }
            Self::JsonPointer => ("json-pointer", "a JSON pointer", "/port", Code::JsonPointer),
            Self::HostPattern => ("host-pattern", "a host", "shop.example", Code::Host),
            Self::Host => ("host", "a host", "shop.example", Code::Host),
            Self::DnsName => ("dns-name", "a DNS name", "shop.example", Code::Host),
            Self::PathPrefix => ("path-prefix", "a path", "/orders", Code::Path),
            Self::ProbePath => ("probe-path", "a path", "/healthz", Code::Path),
            Self::HeaderName => ("header-name", "a header name", "X-Team", Code::Header),
            Self::HeaderValue => ("header-value", "a header value", "blue", Code::Header),
            Self::Method => ("method", "a method", "GET", Code::Method),
            Self::StatusSet => ("status-set", "a set of statuses", "200-299", Code::StatusSet),
            Self::Sha256 => (
                "sha256",
                "a SHA-256 in hexadecimal",
                "2c26b46b68ffc68ff99b453c1d30413413422d706483bfa0f98a5e886266e7ae",
                Code::Sha256,
            ),
            Self::RedirectTarget => (
                "redirect-target",
                "a target for a redirect",
                "https://shop.example/new",
                Code::RedirectTarget,
            ),
        }
    }

    /// What is wrong with `text`, if anything.
    pub(super) fn check(self, text: &str) -> Result<(), String> {
        fn parsed<T: std::str::FromStr<Err: ToString>>(text: &str) -> Result<(), String> {
            text.parse::<T>().map(drop).map_err(|error| error.to_string())
        }
        match self {
            Self::Duration => parsed::<HumanDuration>(text),
            Self::ByteSize => parsed::<ByteSize>(text),
            Self::Origin => parsed::<Origin>(text),
            Self::ListenAddress => parsed::<ListenAddress>(text),
            Self::Network => parsed::<IpNet>(text).map_err(|_| network(text)),
            Self::ServiceName => parsed::<ServiceName>(text),
            Self::SourceName => parsed::<SourceName>(text),
            Self::ServerUrl => parsed::<ServerUrl>(text),
            Self::DnsQuestion => parsed::<DnsQuestion>(text),
            Self::DocumentUrl => parsed::<DocumentUrl>(text),
            Self::ServerAddress => parsed::<ServerAddress>(text),
            Self::NodePath => parsed::<NodePath>(text),
            Self::KeyTemplate => parsed::<Template>(text),
            Self::JsonPointer => parsed::<Pointer>(text),
            Self::HostPattern => parsed::<HostPattern>(text),
            Self::Host => match host::of_authority(text.as_bytes()) {
                Some(_) => Ok(()),
                None => Err(format!("{text:?} is not a host; write one like \"shop.example\"")),
            },
            Self::DnsName => dns_name(text),
            Self::PathPrefix => parsed::<PathPrefix>(text),
            Self::ProbePath => probe_path(text),
            Self::HeaderName => parsed::<HeaderNameText>(text),
            Self::HeaderValue => parsed::<HeaderValueText>(text),
            Self::Method => parsed::<MethodName>(text),
            Self::StatusSet => parsed::<StatusSet>(text),
            Self::Sha256 => sha256(text),
            Self::RedirectTarget => redirect_target(text),
        }
    }
}

/// A name that a CA can be asked to prove over HTTP or TLS: no star, no
/// address.
fn dns_name(text: &str) -> Result<(), String> {
    let label = |label: &str| {
        let inner = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
        (1..=63).contains(&label.len())
            && label.bytes().all(inner)
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    let is_address = || text.rsplit('.').next().is_some_and(|last| last.parse::<u8>().is_ok());
    if text.len() <= 253 && text.split('.').all(label) && !is_address() {
        return Ok(());
    }
    Err(format!("{text:?} is not a DNS name; write one like \"shop.example\", without a star"))
}

fn network(text: &str) -> String {
    match text.parse::<std::net::IpAddr>() {
        Ok(address) => {
            let whole = if address.is_ipv4() { 32 } else { 128 };
            format!("{text:?} is an address; for it alone write \"{address}/{whole}\"")
        }
        Err(_) => format!("{text:?} is not a network; write one like \"10.0.0.0/8\""),
    }
}

fn probe_path(text: &str) -> Result<(), String> {
    if !text.starts_with('/') {
        return Err(format!("{text:?} does not begin with '/'; write \"/{text}\""));
    }
    let sendable = text.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'#');
    match text.parse::<http::uri::PathAndQuery>() {
        Ok(_) if sendable => Ok(()),
        _ => Err(format!("{text:?} cannot be asked for; percent-encode what is not plain ASCII")),
    }
}

/// The value is not repeated: it may be the token itself.
fn sha256(text: &str) -> Result<(), String> {
    if text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return Ok(());
    }
    let length = text.chars().count();
    Err(format!("a SHA-256 has 64 hexadecimal digits, this is something else of {length}"))
}

fn redirect_target(text: &str) -> Result<(), String> {
    let refused = |why: &str| Err(format!("{text:?} is not a target for a redirect; {why}"));
    if text.contains(['?', '#']) {
        return refused("the query of the request is appended, so it ends before '?' and '#'");
    }
    if !text.bytes().all(|byte| byte.is_ascii_graphic()) {
        return refused("percent-encode what is not plain ASCII");
    }
    if text.starts_with('/') {
        // Browsers read "//name" as another host, and "/\name" too.
        return match text.as_bytes().get(1) {
            Some(b'/' | b'\\') => refused("begin a path with one '/'"),
            _ => Ok(()),
        };
    }
    let url = text.parse::<http::Uri>().ok().filter(|url| {
        matches!(url.scheme_str(), Some("http" | "https"))
            && url.authority().is_some_and(|authority| {
                host::of_authority(authority.as_str().as_bytes()).is_some()
            })
    });
    match url {
        Some(_) => Ok(()),
        None => refused("write one like \"https://shop.example/new\" or \"/new\""),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_example_of_each_format_is_accepted() {
        for format in Format::ALL {
            assert_eq!(format.check(format.example()), Ok(()), "{format:?}");
            assert_eq!(Format::find(format.describe().0), Some(format));
        }
    }

    #[test]
    fn what_has_no_type_of_its_own_is_checked_here() {
        let bad: [(Format, &[&str]); 6] = [
            (Format::DnsName, &["", "*.a.example", "10.0.0.1", "a..b", "../x", "a_b", "-a", "a:1"]),
            (Format::Network, &["", "10.0.0.1", "10.0.0.0/33", "a/8"]),
            (Format::Host, &["", "a b", "http://a", "a/b"]),
            (Format::ProbePath, &["", "healthz", "/a b", "/a#b", "/é"]),
            (Format::Sha256, &["", "secret", &"g".repeat(64), &"a".repeat(63)]),
            (
                Format::RedirectTarget,
                &["", "new", "//evil", "/\\evil", "/a?b", "ftp://a", "https://", "https://u@a/"],
            ),
        ];
        for (format, texts) in bad {
            for text in texts {
                assert!(format.check(text).is_err(), "{format:?} {text}");
            }
        }
        assert!(Format::ProbePath.check("/healthz?deep=1").is_ok());
        assert!(Format::Host.check("shop.example:8080").is_ok());
        assert_eq!(
            Format::Network.check("10.0.0.1"),
            Err("\"10.0.0.1\" is an address; for it alone write \"10.0.0.1/32\"".into())
        );
    }

    #[test]
    fn a_token_in_place_of_its_hash_is_not_repeated() {
        let error = Format::Sha256.check("my-secret-token").expect_err("not a hash");
        assert!(!error.contains("secret"), "{error}");
    }
}
