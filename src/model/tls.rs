//! TLS as the config file asks for it: certificates, who has to show one, and
//! by whom a certificate is vouched for.

use std::{collections::HashMap, num::NonZeroU32, path::PathBuf};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A certificate and its key.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CertificateFiles {
    /// A file with the certificate and those that lead from it to a CA, in
    /// that order (PEM).
    pub cert: PathBuf,
    /// A file with its private key (PEM), which only its owner may read.
    pub key: PathBuf,
}

/// The oldest version of TLS that is spoken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub enum TlsVersion {
    /// RFC 5246, with none but its authenticated ciphers.
    #[default]
    #[serde(rename = "1.2")]
    V12,
    /// RFC 8446.
    #[serde(rename = "1.3")]
    V13,
}

/// Whether clients have to show a certificate.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum ClientAuth {
    /// Who has none, or one that does not verify, is refused.
    #[default]
    Required,
    /// Who has none is served; one that does not verify is refused.
    Optional,
}

/// TLS on a listener.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ServerTlsSettings {
    /// Certificates. The one that has the name that the client asks for is
    /// shown, an exact name before a wildcard; the first one if none has.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub certificates: Vec<CertificateFiles>,
    /// Names for which certificates are obtained and renewed by themselves,
    /// from the CA in `[acme]`. They stand behind `certificates`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("items" = { "type": "string", "format": "dns-name" }))]
    pub acme: Vec<String>,
    /// Refuse clients that ask for no name, or for one that no certificate
    /// has.
    #[serde(default)]
    pub strict_names: bool,
    /// The oldest version that is spoken.
    #[serde(default)]
    pub min_version: TlsVersion,
    /// Protocols that are offered, the best one first, of those that the
    /// listener speaks. Default: all of them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub alpn: Vec<AlpnProtocol>,
    /// A file with the certificates of the CAs that may vouch for clients
    /// (PEM). Default: clients are not asked for a certificate.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_ca: Option<PathBuf>,
    /// Whether clients have to show a certificate, with `client_ca`. Default
    /// `required`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_auth: Option<ClientAuth>,
    /// Tell instances of the client's certificate: `Client-Cert` (RFC 9440),
    /// `X-Client-Cert-Subject`, `X-Client-Cert-San`, `X-Client-Cert-Sha256`.
    /// What clients send under these names is removed in any case.
    #[serde(default)]
    pub client_cert_headers: bool,
    /// Hosts with another rule for client certificates than the listener. A
    /// request for one of them over a connection that was held to another rule
    /// gets 421.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub host: Vec<HostTlsSettings>,
    /// Handshakes under way at once, for each worker. More wait their turn, for
    /// which one that takes more than a second gives way.
    #[serde(default = "most_handshakes")]
    pub max_handshakes: NonZeroU32,
}

const fn most_handshakes() -> NonZeroU32 {
    const { NonZeroU32::new(4096).unwrap() }
}

/// The rule for client certificates of one host.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct HostTlsSettings {
    /// A name, or `*.` and a name for all that end with it.
    #[schemars(extend("format" = "host"))]
    pub name: String,
    /// As that of the listener. Default: clients are not asked for a
    /// certificate.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_ca: Option<PathBuf>,
    /// Whether they have to show one. Default `required`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_auth: Option<ClientAuth>,
}

/// TLS on the admin address.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AdminTlsSettings {
    /// Certificates, as those of a listener.
    pub certificates: Vec<CertificateFiles>,
    /// The oldest version that is spoken.
    #[serde(default)]
    pub min_version: TlsVersion,
    /// As that of a listener. A certificate does not replace a token.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_ca: Option<PathBuf>,
    /// As that of a listener.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_auth: Option<ClientAuth>,
}

impl From<&AdminTlsSettings> for ServerTlsSettings {
    fn from(admin: &AdminTlsSettings) -> Self {
        Self {
            certificates: admin.certificates.clone(),
            acme: Vec::new(),
            strict_names: false,
            min_version: admin.min_version,
            alpn: vec![AlpnProtocol::Http1],
            client_ca: admin.client_ca.clone(),
            client_auth: admin.client_auth,
            client_cert_headers: false,
            host: Vec::new(),
            max_handshakes: most_handshakes(),
        }
    }
}

/// A protocol above TLS (RFC 7301).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub enum AlpnProtocol {
    /// HTTP/2.
    #[serde(rename = "h2")]
    Http2,
    /// HTTP/1.1.
    #[serde(rename = "http/1.1")]
    Http1,
}

impl AlpnProtocol {
    /// As it stands in a handshake.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Http2 => "h2",
            Self::Http1 => "http/1.1",
        }
    }
}

/// TLS towards the instances of a service whose address begins with
/// `https://`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct ClientTlsSettings {
    /// A file with the certificates of the CAs that vouch for instances (PEM).
    /// Default: those that the system trusts.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ca: Option<PathBuf>,
    /// The name that the certificate of an instance has to have, and that it
    /// is asked for. Default: the host in its address.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("format" = "host"))]
    pub server_name: Option<String>,
    /// Whether certificates of instances are verified. False takes whatever is
    /// shown, so that anybody in between can read and change what is sent.
    /// Default true.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub verify: Option<bool>,
    /// The oldest version that is spoken. Default `1.2`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub min_version: Option<TlsVersion>,
    /// A file with the proxy's own certificate, shown to instances that ask
    /// for one (PEM).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cert: Option<PathBuf>,
    /// A file with its private key (PEM).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key: Option<PathBuf>,
}

impl ClientTlsSettings {
    /// These settings, gaps filled from `defaults`.
    #[must_use]
    pub fn resolve(&self, defaults: &Self) -> Self {
        let own_identity = self.cert.is_some() || self.key.is_some();
        let identity = if own_identity { self } else { defaults };
        Self {
            ca: self.ca.clone().or_else(|| defaults.ca.clone()),
            server_name: self.server_name.clone().or_else(|| defaults.server_name.clone()),
            verify: self.verify.or(defaults.verify),
            min_version: self.min_version.or(defaults.min_version),
            cert: identity.cert.clone(),
            key: identity.key.clone(),
        }
    }
}

/// Which rule for client certificates holds for a name: that of the listener,
/// number 0, or that of a host, by its place in the list from 1 on.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HostRules {
    exact: HashMap<String, usize>,
    /// By what follows the star, the dot included.
    below: HashMap<String, usize>,
}

impl HostRules {
    /// The rules for `hosts`.
    #[must_use]
    pub fn new(hosts: &[HostTlsSettings]) -> Self {
        let mut rules = Self::default();
        for (index, host) in hosts.iter().enumerate() {
            let name = host.name.to_ascii_lowercase();
            let (map, name) = match name.strip_prefix('*') {
                Some(below) => (&mut rules.below, below.to_owned()),
                None => (&mut rules.exact, name),
            };
            map.entry(name).or_insert(index + 1);
        }
        rules
    }

    /// The number of the rule for `name`, which is in lower case. The longest
    /// name with a star wins where none is exact.
    #[must_use]
    pub fn of(&self, name: &str) -> usize {
        if self.exact.is_empty() && self.below.is_empty() {
            return 0;
        }
        let exact = self.exact.get(name);
        let dots = name.match_indices('.').map(|(at, _)| &name[at..]);
        let below = || dots.into_iter().find_map(|end| self.below.get(end));
        exact.or_else(below).copied().unwrap_or(0)
    }
}

/// Why a handshake failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum HandshakeFailure {
    /// It was not over in time.
    TimedOut,
    /// It took long, and there was no room left for others.
    Displaced,
    /// The client left.
    ClientGone,
    /// What came is not TLS.
    NotTls,
    /// There is no certificate for the name that was asked for.
    UnknownName,
    /// The client has shown no certificate, and has to.
    NoClientCertificate,
    /// The client's certificate does not verify.
    BadClientCertificate,
    /// The client refuses the certificate that it was shown.
    Refused,
    /// They have no version, cipher or protocol in common.
    NothingInCommon,
    /// The client breaks a rule of TLS.
    Invalid,
}

impl HandshakeFailure {
    /// Every kind.
    pub const ALL: [Self; 10] = [
        Self::TimedOut,
        Self::Displaced,
        Self::ClientGone,
        Self::NotTls,
        Self::UnknownName,
        Self::NoClientCertificate,
        Self::BadClientCertificate,
        Self::Refused,
        Self::NothingInCommon,
        Self::Invalid,
    ];

    /// As it stands in metrics.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::TimedOut => "timed_out",
            Self::Displaced => "displaced",
            Self::ClientGone => "client_gone",
            Self::NotTls => "not_tls",
            Self::UnknownName => "unknown_name",
            Self::NoClientCertificate => "no_client_certificate",
            Self::BadClientCertificate => "bad_client_certificate",
            Self::Refused => "refused",
            Self::NothingInCommon => "nothing_in_common",
            Self::Invalid => "invalid",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_rule_holds() {
        let host = |name: &str| HostTlsSettings {
            name: name.to_owned(),
            client_ca: None,
            client_auth: None,
        };
        let names = ["*.example", "Admin.example", "*.a.example"];
        let rules = HostRules::new(&names.map(host));
        for (name, rule) in [
            ("", 0),
            ("example", 0),
            ("x.example", 1),
            ("x.y.example", 1),
            ("admin.example", 2),
            ("x.admin.example", 1),
            ("x.a.example", 3),
            ("xexample", 0),
        ] {
            assert_eq!(rules.of(name), rule, "{name}");
        }
    }

    #[test]
    fn a_certificate_and_its_key_come_from_one_place() {
        let path = |text: &str| Some(PathBuf::from(text));
        let defaults = ClientTlsSettings {
            ca: path("ca"),
            cert: path("cert"),
            key: path("key"),
            verify: Some(false),
            ..Default::default()
        };
        let own = ClientTlsSettings { cert: path("own"), ..Default::default() };
        let resolved = own.resolve(&defaults);
        assert_eq!((resolved.cert, resolved.key), (path("own"), None));
        assert_eq!((resolved.ca, resolved.verify), (path("ca"), Some(false)));
    }
}
