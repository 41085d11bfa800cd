//! A CA of one's own and certificates from it, for trying TLS out.
//!
//! Keys are written so that nobody else can read them, and never over others:
//! the CA that is there already goes on, so that it has to be trusted once.

use std::{
    fs::{self, OpenOptions},
    io::{self, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    time::Duration,
};

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose,
};

/// What was made.
#[derive(Clone, Debug)]
pub struct DevFiles {
    /// The certificate of the CA, to be trusted.
    pub ca: PathBuf,
    /// The certificate.
    pub cert: PathBuf,
    /// Its key.
    pub key: PathBuf,
    /// Whether the CA was there before.
    pub known_ca: bool,
}

/// Why nothing was made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DevError {
    /// A file or folder cannot be written, or is in the way.
    #[error("cannot write {path}: {error}")]
    Write {
        /// The path.
        path: PathBuf,
        /// What the system said.
        error: io::Error,
    },
    /// The CA that is there cannot be used.
    #[error("the CA in {path} cannot be used: {error}")]
    Ca {
        /// Its folder.
        path: PathBuf,
        /// What is wrong with it.
        error: rcgen::Error,
    },
    /// Not a name that a certificate can have.
    #[error("no certificate can be made: {0}")]
    Make(#[from] rcgen::Error),
}

/// How long a CA lasts.
const CA_DAYS: u64 = 3650;

/// How far clocks may be apart.
const SLACK: Duration = Duration::from_secs(3600);

/// Makes a certificate for `names`, good for `days`, in `folder`, by the CA
/// there or a new one. Blocks.
///
/// # Errors
///
/// Says what is in the way.
pub fn make(
    folder: &Path,
    names: &[String],
    for_clients: bool,
    days: u32,
) -> Result<DevFiles, DevError> {
    fs::create_dir_all(folder)
        .map_err(|error| DevError::Write { path: folder.to_owned(), error })?;
    let (ca, ca_key) = (folder.join("ca.pem"), folder.join("ca.key"));
    let known_ca = ca.exists() && ca_key.exists();
    let issuer = if known_ca { old_ca(folder, &ca_key)? } else { new_ca(&ca, &ca_key)? };
    let stem = names.first().map_or("cert", String::as_str).replace(['*', ':', '/'], "_");
    let mut params = CertificateParams::new(names.to_vec())?;
    params.distinguished_name = common_name(names.first().map_or("portolan", String::as_str));
    params.use_authority_key_identifier_extension = true;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![match for_clients {
        true => ExtendedKeyUsagePurpose::ClientAuth,
        false => ExtendedKeyUsagePurpose::ServerAuth,
    }];
    last(&mut params, u64::from(days));
    let key = KeyPair::generate()?;
    let made = params.signed_by(&key, &issuer)?;
    let (cert_path, key_path) =
        (folder.join(format!("{stem}.pem")), folder.join(format!("{stem}.key")));
    // The key first: whoever watches the files waits for both.
    write(&key_path, &key.serialize_pem(), 0o600)?;
    write(&cert_path, &made.pem(), 0o644)?;
    Ok(DevFiles { ca, cert: cert_path, key: key_path, known_ca })
}

/// What a CA of ours says of itself, whenever it was made.
fn ca_params() -> Result<CertificateParams, rcgen::Error> {
    let mut params = CertificateParams::new(Vec::new())?;
    params.distinguished_name = common_name("Portolan development CA");
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    Ok(params)
}

fn old_ca(folder: &Path, key: &Path) -> Result<Issuer<'static, KeyPair>, DevError> {
    let text =
        fs::read_to_string(key).map_err(|error| DevError::Write { path: key.to_owned(), error })?;
    let broken = |error| DevError::Ca { path: folder.to_owned(), error };
    let key = KeyPair::from_pem(&text).map_err(broken)?;
    Ok(Issuer::new(ca_params()?, key))
}

fn new_ca(cert: &Path, key: &Path) -> Result<Issuer<'static, KeyPair>, DevError> {
    let mut params = ca_params()?;
    last(&mut params, CA_DAYS);
    let pair = KeyPair::generate()?;
    let made = params.self_signed(&pair)?;
    write(key, &pair.serialize_pem(), 0o600)?;
    write(cert, &made.pem(), 0o644)?;
    Ok(Issuer::new(params, pair))
}

fn common_name(name: &str) -> rcgen::DistinguishedName {
    let mut distinguished = rcgen::DistinguishedName::new();
    distinguished.push(DnType::CommonName, name);
    distinguished
}

fn last(params: &mut CertificateParams, days: u64) {
    let now = std::time::SystemTime::now();
    params.not_before = (now - SLACK).into();
    params.not_after = (now + Duration::from_secs(days * 86_400)).into();
}

/// Writes a new file in the place of an old one, in one step. Nobody can read
/// it before it has its `mode`.
fn write(path: &Path, text: &str, mode: u32) -> Result<(), DevError> {
    let failed = |error| DevError::Write { path: path.to_owned(), error };
    let mut new = path.as_os_str().to_owned();
    new.push(".new");
    let new = PathBuf::from(new);
    // One that was left behind may have another mode.
    let _ = fs::remove_file(&new);
    let mut options = OpenOptions::new();
    let mut file = options.write(true).create_new(true).mode(mode).open(&new).map_err(failed)?;
    file.write_all(text.as_bytes()).map_err(failed)?;
    file.sync_all().map_err(failed)?;
    fs::rename(&new, path).map_err(failed)
}
