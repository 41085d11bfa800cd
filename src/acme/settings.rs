//! `[acme]`: from whom certificates are obtained, and how names are proved.

use std::path::{Path, PathBuf};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::model::HumanDuration;

/// The directories of Let's Encrypt.
const LETS_ENCRYPT: &str = "https://acme-v02.api.letsencrypt.org/directory";
const LETS_ENCRYPT_STAGING: &str = "https://acme-staging-v02.api.letsencrypt.org/directory";

/// The CA from which the certificates of `tls.acme` are obtained (RFC 8555).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct AcmeSettings {
    /// Whether you agree to the terms of service of the CA. Without it there is
    /// no account.
    pub accept_terms: bool,
    /// Mail addresses that the CA may write to. Told when the account is made.
    pub contact: Vec<String>,
    /// The directory of the CA. Default: that of Let's Encrypt.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub directory: Option<String>,
    /// Use the staging directory of Let's Encrypt, whose certificates nobody
    /// trusts and whose limits are wide: for trying things out.
    pub staging: bool,
    /// A file with the certificate of the CA that vouches for the directory
    /// itself (PEM). Default: those that the system trusts.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ca: Option<PathBuf>,
    /// How names are proved: the first one first, the next one after a failure.
    pub challenges: Vec<Challenge>,
    /// The profile to order, of those that the CA has.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub profile: Option<String>,
    /// The account with the CA that the account of ACME belongs to, where the
    /// CA asks for one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub external_account: Option<ExternalAccount>,
    /// After an order that failed, the next one for the same name comes after
    /// this time, then after twice as long, up to a day; after a word about
    /// rate limits not before an hour, or when the CA says.
    pub retry: HumanDuration,
}

/// How a CA is shown that a name is ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Challenge {
    /// By a handshake with a listener that has the name in `tls.acme`, which
    /// the CA reaches at port 443 (RFC 8737).
    #[serde(rename = "tls-alpn-01")]
    TlsAlpn01,
    /// By a request to any listener, which the CA reaches at port 80 (RFC 8555
    /// section 8.3).
    #[serde(rename = "http-01")]
    Http01,
}

/// An account with the CA (RFC 8555 section 7.3.4).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ExternalAccount {
    /// Its number, as the CA told it.
    pub kid: String,
    /// Its key in base64url, as the CA told it.
    pub hmac: String,
}

impl AcmeSettings {
    /// The URL of the directory.
    #[must_use]
    pub fn directory(&self) -> &str {
        match &self.directory {
            Some(directory) => directory,
            None if self.staging => LETS_ENCRYPT_STAGING,
            None => LETS_ENCRYPT,
        }
    }

    /// Where what belongs to this directory is kept: certificates for trying
    /// out and those for use are never mixed up.
    #[must_use]
    pub fn folder(&self, data_dir: &Path) -> PathBuf {
        data_dir.join("acme").join(self.place())
    }

    /// What stands for the directory in the names of files and keys.
    #[must_use]
    pub fn place(&self) -> String {
        let directory = self.directory();
        let name = directory.split_once("://").map_or(directory, |(_, rest)| rest);
        let plain = |letter: char| match letter {
            'a'..='z' | 'A'..='Z' | '0'..='9' | '.' | '-' => letter,
            _ => '_',
        };
        name.trim_start_matches('.').chars().map(plain).collect()
    }
}

impl Default for AcmeSettings {
    fn default() -> Self {
        Self {
            accept_terms: false,
            contact: Vec::new(),
            directory: None,
            staging: false,
            ca: None,
            challenges: vec![Challenge::TlsAlpn01, Challenge::Http01],
            profile: None,
            external_account: None,
            retry: HumanDuration::from_secs(120),
        }
    }
}
