//! Certificates that are obtained by ACME, as far as listeners are concerned:
//! where they are, and what proves a name.

use std::path::{Path, PathBuf};

use rustls::{crypto::CryptoProvider, pki_types::CertificateDer};

use super::{
    Facts, Proofs, ServerTls, TlsError,
    certificate::{self, Identity},
};
use crate::model::CertificateFiles;

/// Where the certificates that are obtained by ACME are, and the proofs.
#[derive(Clone, Debug, Default)]
pub struct Automatic {
    /// Their folder: `NAME.pem` holds key and chain. None: there are no such.
    pub folder: Option<PathBuf>,
    /// What proves names.
    pub proofs: Proofs,
}

impl Automatic {
    /// The file with the certificate for `name`.
    #[must_use]
    pub fn file(folder: &Path, name: &str) -> PathBuf {
        folder.join(format!("{}.pem", name.to_ascii_lowercase()))
    }

    /// Those for `names`, as far as there are any. In the place of one that
    /// cannot be used is the one `before`.
    pub(super) fn load(
        &self,
        names: &[String],
        provider: &CryptoProvider,
        before: Option<&ServerTls>,
    ) -> Vec<Identity> {
        let Some(folder) = &self.folder else { return Vec::new() };
        let load = |name: &String| {
            let file = Self::file(folder, name);
            let in_use = || before.and_then(|before| before.identity(name, &file));
            if !file.exists() {
                return in_use();
            }
            let files = CertificateFiles { cert: file.clone(), key: file.clone() };
            let loaded = Identity::load(&files, provider);
            let loaded = loaded.inspect_err(|error| tracing::error!("{error}; it is ordered anew"));
            loaded.ok().or_else(in_use)
        };
        names.iter().filter_map(load).collect()
    }
}

/// What the certificate in `file` says, and the certificate itself, if its key
/// is there too and fits.
///
/// # Errors
///
/// Says what keeps it from being used.
pub fn inspect(file: &Path) -> Result<(Facts, CertificateDer<'static>), TlsError> {
    examine(file, &certificate::read(file)?)
}

/// As [`inspect`], of the `text` that `file` is to have.
///
/// # Errors
///
/// Says what keeps it from being used.
pub fn examine(file: &Path, text: &[u8]) -> Result<(Facts, CertificateDer<'static>), TlsError> {
    let provider = rustls::crypto::aws_lc_rs::default_provider();
    let Identity { key, facts } = Identity::parse(file, text, &provider)?;
    let leaf = key.end_entity_cert()?.clone().into_owned();
    Ok((facts, leaf))
}
