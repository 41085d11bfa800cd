//! Why certificates, keys and CAs cannot be used.

use std::{io, path::PathBuf};

/// Why TLS cannot be spoken as it is asked for. Whoever wrote the config file,
/// or put the files there, is to blame; nothing is served without.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TlsError {
    /// A file cannot be read.
    #[error("cannot read {path}: {error}")]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        error: io::Error,
    },
    /// A file is not what it is taken for.
    #[error("{path} has no {wanted} in it")]
    Lacks {
        /// The file.
        path: PathBuf,
        /// What it should have.
        wanted: &'static str,
    },
    /// A certificate cannot be read.
    #[error("a certificate in {path} is broken: {why}")]
    Broken {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// A key cannot be used.
    #[error("the key in {path} cannot be used: {error}")]
    Key {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        error: rustls::Error,
    },
    /// A key is not that of its certificate.
    #[error("the key in {key} is not that of the certificate in {cert}")]
    Mismatch {
        /// The file with the certificate.
        cert: PathBuf,
        /// The file with the key.
        key: PathBuf,
    },
    /// A certificate without its key, or a key without its certificate.
    #[error("a certificate needs its key, and a key its certificate")]
    Half,
    /// No certificate to show.
    #[error("there is no certificate")]
    NoCertificate,
    /// The system has no CA that it trusts.
    #[error("the system trusts no CA; name a file with `ca`")]
    NoSystemRoots,
    /// The library refuses what it was told.
    #[error(transparent)]
    Refused(#[from] rustls::Error),
    /// The proof of a name cannot be made.
    #[error("no proof of a name can be made: {0}")]
    Proof(String),
    /// The CAs of clients cannot be used.
    #[error("the CAs in {path} cannot be used: {why}")]
    Verifier {
        /// The file.
        path: PathBuf,
        /// What is wrong with them.
        why: String,
    },
}
