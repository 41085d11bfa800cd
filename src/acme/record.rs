//! What stands in the storage that proxies share, and under which keys.
//!
//! All of it is read as if by a stranger: whoever may write there need not be
//! one of us. Pure.

use std::{
    path::Path,
    time::{Duration, SystemTime},
};

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use serde::{Deserialize, Serialize};

use super::{AcmeSettings, name::Certificate};
use crate::tls::{Proof, Proofs, TlsError, examine};

/// The form of values.
const FORM: u32 = 1;

/// Bytes of the sentences and names of others that are kept.
const MOST_WORDS: usize = 500;

/// Bytes of a token of a CA, and of what is said to it.
const MOST_TOKEN: usize = 256;

/// So much later than ours may the clock of a CA be.
const SKEW: Duration = Duration::from_secs(3600);

/// The keys of what belongs to one directory.
#[derive(Clone, Debug)]
pub(super) struct Keys {
    place: String,
}

/// Why a value is not used.
#[derive(Debug, thiserror::Error)]
pub(super) enum Refusal {
    #[error("it cannot be read: {0}")]
    Form(#[from] serde_json::Error),
    #[error("{0}")]
    Tls(#[from] TlsError),
    #[error("it is not for the name")]
    Name,
    #[error("it has expired")]
    Expired,
    #[error("it does not hold yet")]
    Early,
    #[error("it is not what proves a name")]
    Proof,
}

/// The value of a certificate.
#[derive(Serialize, Deserialize)]
struct CertificateRecord {
    v: u32,
    /// Who obtained it.
    by: String,
    /// Its key and its chain.
    pem: String,
}

/// A certificate that can be used.
pub(super) struct Offer {
    pub(super) by: String,
    pub(super) pem: String,
    pub(super) certificate: Certificate,
}

/// The value of a proof, which stands under its name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Shown {
    /// The text for the requests of a CA.
    Http01 {
        /// What it asks for.
        token: String,
        /// What it is to be told.
        text: String,
    },
    /// What the certificate in the handshake of a CA holds, in base64url.
    TlsAlpn01 {
        /// Of SHA-256.
        digest: String,
    },
}

impl Keys {
    pub(super) fn new(settings: &AcmeSettings) -> Self {
        Self { place: settings.place() }
    }

    pub(super) fn account(&self) -> String {
        format!("{}/account", self.place)
    }

    /// The turn of who makes an account.
    pub(super) fn account_turn(&self) -> String {
        format!("{}/account-turn", self.place)
    }

    pub(super) fn certificate(&self, name: &str) -> String {
        format!("{}/certificates/{name}", self.place)
    }

    pub(super) fn failures(&self, name: &str) -> String {
        format!("{}/failures/{name}", self.place)
    }

    pub(super) fn turn(&self, name: &str) -> String {
        format!("{}/turns/{name}", self.place)
    }

    pub(super) fn proof(&self, name: &str) -> String {
        format!("{}/proofs/{name}", self.place)
    }
}

/// The name that what stands under `key` proves, of whatever directory.
pub(super) fn proved(key: &str) -> Option<&str> {
    let (_, rest) = key.split_once('/')?;
    rest.strip_prefix("proofs/").filter(|name| !name.is_empty() && !name.contains('/'))
}

impl Offer {
    /// What `value` offers for `name`, if it can be used at `now`, as what
    /// `file` is to have.
    pub(super) fn read(
        value: &[u8],
        name: &str,
        file: &Path,
        now: SystemTime,
    ) -> Result<Self, Refusal> {
        let CertificateRecord { by, pem, .. } = serde_json::from_slice(value)?;
        let certificate = examine(file, pem.as_bytes())?;
        let facts = &certificate.0;
        if !facts.names.contains(&name.to_ascii_lowercase()) {
            return Err(Refusal::Name);
        }
        if facts.not_after <= now {
            return Err(Refusal::Expired);
        }
        if facts.not_before > now + SKEW {
            return Err(Refusal::Early);
        }
        Ok(Self { by: words(&by), pem, certificate })
    }

    /// The value that offers `pem`.
    pub(super) fn value(by: &str, pem: String) -> Result<Vec<u8>, serde_json::Error> {
        serde_json::to_vec(&CertificateRecord { v: FORM, by: by.to_owned(), pem })
    }
}

/// From when to when a certificate holds.
pub(super) type Holds = (SystemTime, SystemTime);

/// Whether a certificate takes the place of another: if it was issued later,
/// or in the same second to hold longer. By the end alone, one of a shorter
/// profile would never come into use, and be ordered without end.
pub(super) fn is_later(one: Option<Holds>, other: Option<Holds>) -> bool {
    one > other
}

impl Shown {
    pub(super) fn by_request(token: &str, text: &str) -> Self {
        Self::Http01 { token: token.to_owned(), text: text.to_owned() }
    }

    pub(super) fn by_handshake(digest: &[u8]) -> Self {
        Self::TlsAlpn01 { digest: BASE64_URL_SAFE_NO_PAD.encode(digest) }
    }

    /// Shows it to a CA that wants to see that `name` is ours.
    pub(super) fn put_up(&self, name: &str, proofs: &Proofs) -> Result<Proof, Refusal> {
        match self {
            Self::Http01 { token, text } => {
                // RFC 8555 section 8.1: what is said begins with the token, and
                // all of it is base64url.
                let fits = |text: &str| {
                    let plain =
                        |letter: u8| letter.is_ascii_alphanumeric() || b"-_".contains(&letter);
                    (1..=MOST_TOKEN).contains(&text.len()) && text.bytes().all(plain)
                };
                match text.split_once('.') {
                    Some((first, thumbprint))
                        if first == token && fits(token) && fits(thumbprint) =>
                    {
                        Ok(proofs.by_request(token, text))
                    }
                    _ => Err(Refusal::Proof),
                }
            }
            Self::TlsAlpn01 { digest } => {
                let digest = BASE64_URL_SAFE_NO_PAD.decode(digest).map_err(|_| Refusal::Proof)?;
                if digest.len() != 32 {
                    return Err(Refusal::Proof);
                }
                Ok(proofs.by_handshake(name, &digest)?)
            }
        }
    }
}

/// What another says, as it can be shown: short, and on one line.
pub(super) fn words(text: &str) -> String {
    let end = text.floor_char_boundary(MOST_WORDS);
    text[..end].chars().map(|letter| if letter.is_control() { ' ' } else { letter }).collect()
}

#[cfg(test)]
pub(super) mod tests;
