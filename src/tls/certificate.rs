//! Certificates and keys as they are in files, and what a certificate says.

use std::{
    fs,
    net::IpAddr,
    path::Path,
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use rustls::{
    crypto::CryptoProvider,
    pki_types::{CertificateDer, PrivateKeyDer, pem, pem::PemObject},
    sign::CertifiedKey,
};
use sha2::{Digest, Sha256};
use x509_parser::{
    extensions::GeneralName,
    prelude::{FromDer, X509Certificate},
};

use super::TlsError;
use crate::model::{CertificateFiles, ClientCertificate};

/// What a certificate says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Facts {
    /// The file it is from.
    pub path: Arc<Path>,
    /// The DNS names and IP addresses that it is for, in lower case.
    pub names: Vec<String>,
    /// Who issued it, as far as it says.
    pub issuer: String,
    /// From when on it holds.
    pub not_before: SystemTime,
    /// Until when it holds.
    pub not_after: SystemTime,
}

impl Facts {
    /// How long it still holds at `now`; none once it has expired.
    #[must_use]
    pub fn left(&self, now: SystemTime) -> Option<Duration> {
        self.not_after.duration_since(now).ok()
    }

    /// The whole days that are left at `now`, negative once it has expired.
    #[must_use]
    pub fn days_left(&self, now: SystemTime) -> i64 {
        let days = |time: Duration| i64::try_from(time.as_secs() / 86_400).unwrap_or(i64::MAX);
        match self.not_after.duration_since(now) {
            Ok(left) => days(left),
            Err(over) => -days(over.duration()) - 1,
        }
    }
}

/// A certificate with its key, and what it says.
#[derive(Clone, Debug)]
pub(super) struct Identity {
    pub(super) key: Arc<CertifiedKey>,
    pub(super) facts: Facts,
}

impl Identity {
    /// Reads both files, and sees that they belong together.
    pub(super) fn load(
        files: &CertificateFiles,
        provider: &CryptoProvider,
    ) -> Result<Self, TlsError> {
        let chain = certificates(&files.cert)?;
        let key = private_key(&files.key)?;
        Self::new(files, chain, key, provider)
    }

    /// Both are in the `text` that `file` has or is to have.
    pub(super) fn parse(
        file: &Path,
        text: &[u8],
        provider: &CryptoProvider,
    ) -> Result<Self, TlsError> {
        let files = CertificateFiles { cert: file.to_owned(), key: file.to_owned() };
        Self::new(&files, certificates_in(file, text)?, private_key_in(file, text)?, provider)
    }

    fn new(
        files: &CertificateFiles,
        chain: Vec<CertificateDer<'static>>,
        key: PrivateKeyDer<'static>,
        provider: &CryptoProvider,
    ) -> Result<Self, TlsError> {
        let facts = facts(&files.cert, chain.first())?;
        let refused = |error| match error {
            rustls::Error::InconsistentKeys(_) => {
                TlsError::Mismatch { cert: files.cert.clone(), key: files.key.clone() }
            }
            error => TlsError::Key { path: files.key.clone(), error },
        };
        let key = CertifiedKey::from_der(chain, key, provider).map_err(refused)?;
        Ok(Self { key: Arc::new(key), facts })
    }
}

/// The certificates in the file at `path`; at least one.
pub(super) fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    certificates_in(path, &read(path)?)
}

fn certificates_in(path: &Path, text: &[u8]) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(text).collect();
    match found {
        Ok(chain) if !chain.is_empty() => Ok(chain),
        _ => Err(TlsError::Lacks { path: path.to_owned(), wanted: "certificate (PEM)" }),
    }
}

/// The private key in the file at `path`.
pub(super) fn private_key(path: &Path) -> Result<PrivateKeyDer<'static>, TlsError> {
    private_key_in(path, &read(path)?)
}

fn private_key_in(path: &Path, text: &[u8]) -> Result<PrivateKeyDer<'static>, TlsError> {
    let lacks = |_: pem::Error| TlsError::Lacks { path: path.to_owned(), wanted: "key (PEM)" };
    PrivateKeyDer::from_pem_slice(text).map_err(lacks)
}

pub(super) fn read(path: &Path) -> Result<Vec<u8>, TlsError> {
    fs::read(path).map_err(|error| TlsError::Read { path: path.to_owned(), error })
}

fn facts(path: &Path, leaf: Option<&CertificateDer<'_>>) -> Result<Facts, TlsError> {
    let broken = |why: String| TlsError::Broken { path: path.to_owned(), why };
    let leaf = leaf.ok_or(TlsError::NoCertificate)?;
    let (_, parsed) = X509Certificate::from_der(leaf).map_err(|error| broken(error.to_string()))?;
    let validity = parsed.validity();
    Ok(Facts {
        path: path.into(),
        names: names(&parsed),
        issuer: issuer(&parsed),
        not_before: time(validity.not_before.timestamp()),
        not_after: time(validity.not_after.timestamp()),
    })
}

fn time(timestamp: i64) -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(u64::try_from(timestamp).unwrap_or(0))
}

/// The organisation that issued it, else its common name.
fn issuer(certificate: &X509Certificate<'_>) -> String {
    let issuer = certificate.issuer();
    let mut said = issuer.iter_organization().chain(issuer.iter_common_name());
    plain(said.find_map(|attribute| attribute.as_str().ok()).unwrap_or_default())
}

/// The names that a server's certificate is for (RFC 6125: the subject does
/// not count).
fn names(certificate: &X509Certificate<'_>) -> Vec<String> {
    alternative_names(certificate)
        .iter()
        .filter_map(|name| match name {
            GeneralName::DNSName(name) => Some(name.to_ascii_lowercase()),
            GeneralName::IPAddress(bytes) => ip(bytes).map(|ip| ip.to_string()),
            _ => None,
        })
        .collect()
}

fn alternative_names<'a>(certificate: &'a X509Certificate<'a>) -> &'a [GeneralName<'a>] {
    let extension = certificate.subject_alternative_name().ok().flatten();
    extension.map_or(&[], |extension| &extension.value.general_names)
}

fn ip(bytes: &[u8]) -> Option<IpAddr> {
    if let Ok(four) = <[u8; 4]>::try_from(bytes) {
        return Some(four.into());
    }
    <[u8; 16]>::try_from(bytes).ok().map(IpAddr::from)
}

/// What instances may be told of a client's certificate, which was verified.
/// None if it cannot be read, which verifying has ruled out.
#[must_use]
pub fn of_client(leaf: &CertificateDer<'_>) -> Option<ClientCertificate> {
    let (_, parsed) = X509Certificate::from_der(leaf).ok()?;
    let name = |name: &GeneralName<'_>| match name {
        GeneralName::DNSName(name) => Some(format!("DNS:{}", escaped(name))),
        GeneralName::RFC822Name(name) => Some(format!("email:{}", escaped(name))),
        GeneralName::URI(name) => Some(format!("URI:{}", escaped(name))),
        GeneralName::IPAddress(bytes) => ip(bytes).map(|ip| format!("IP:{ip}")),
        _ => None,
    };
    Some(ClientCertificate {
        subject: plain(&parsed.subject().to_string()),
        names: alternative_names(&parsed).iter().filter_map(name).collect(),
        fingerprint: format!("{:x}", Hex(&Sha256::digest(leaf))),
        der: leaf.to_vec().into(),
    })
}

/// `name` without what would make it look like two in a list.
fn escaped(name: &str) -> String {
    plain(name).replace(',', "%2c").replace(' ', "%20")
}

/// `text` as it can stand in a header field: what is not visible ASCII is
/// percent-encoded.
fn plain(text: &str) -> String {
    const UNSEEN: &percent_encoding::AsciiSet = &percent_encoding::CONTROLS.add(b'%');
    percent_encoding::utf8_percent_encode(text, UNSEEN).to_string()
}

struct Hex<'a>(&'a [u8]);

impl std::fmt::LowerHex for Hex<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}
