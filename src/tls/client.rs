//! What the proxy needs to speak TLS as a client: to instances, and to the
//! admin address of another process.

use std::{
    path::Path,
    sync::{Arc, OnceLock},
};

use arc_swap::ArcSwap;
use rustls::{
    AlertDescription, CertificateError, ClientConfig, DigitallySignedStruct, Error, RootCertStore,
    SignatureScheme,
    client::{
        Resumption,
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    },
    crypto::{CryptoProvider, aws_lc_rs, verify_tls12_signature, verify_tls13_signature},
    pki_types::{CertificateDer, ServerName, UnixTime},
    version::{TLS12, TLS13},
};

use super::{TlsError, certificate};
use crate::model::{AlpnProtocol, ClientTlsSettings, Host, TlsVersion};

/// Sessions with instances that are remembered for each service, over all
/// workers.
const SESSIONS: usize = 1024;

/// Speaks TLS to the instances of a service. Its copies are one and the same;
/// what it speaks with can be replaced, and holds for the next connection.
#[derive(Clone, Debug)]
pub struct Connector(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    settings: ClientTlsSettings,
    /// None if it could not be made, so that nothing is sent in the clear, nor
    /// to somebody that nobody vouches for.
    config: ArcSwap<Option<Configs>>,
}

/// What is spoken with, by what is to be spoken above it.
#[derive(Clone, Debug)]
struct Configs {
    http1: Arc<ClientConfig>,
    http2: Arc<ClientConfig>,
}

impl PartialEq for Connector {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl Eq for Connector {}

impl Connector {
    /// Reads the files that `settings` name. Blocks.
    ///
    /// # Errors
    ///
    /// When any of them cannot be used.
    pub fn load(settings: ClientTlsSettings) -> Result<Self, TlsError> {
        let config = config(&settings)?;
        Ok(Self(Arc::new(Inner { settings, config: ArcSwap::from_pointee(Some(config)) })))
    }

    /// One that refuses to connect.
    #[must_use]
    pub fn closed(settings: ClientTlsSettings) -> Self {
        Self(Arc::new(Inner { settings, config: ArcSwap::from_pointee(None) }))
    }

    /// Reads the files again. Blocks.
    ///
    /// # Errors
    ///
    /// When any of them cannot be used; then all stays as it was.
    pub fn refresh(&self) -> Result<(), TlsError> {
        self.0.config.store(Arc::new(Some(config(&self.0.settings)?)));
        Ok(())
    }

    /// What it was made from.
    #[must_use]
    pub fn settings(&self) -> &ClientTlsSettings {
        &self.0.settings
    }

    /// What to speak HTTP/1.1 with, and the name that whoever listens at `host`
    /// has to have; none if it refuses to connect.
    #[must_use]
    pub fn for_host(&self, host: &Host) -> Option<(Arc<ClientConfig>, ServerName<'static>)> {
        self.with(host, |configs| &configs.http1)
    }

    /// As [`Self::for_host`], for HTTP/2, which is all that is offered then.
    #[must_use]
    pub fn for_http2(&self, host: &Host) -> Option<(Arc<ClientConfig>, ServerName<'static>)> {
        self.with(host, |configs| &configs.http2)
    }

    fn with(
        &self,
        host: &Host,
        choose: impl FnOnce(&Configs) -> &Arc<ClientConfig>,
    ) -> Option<(Arc<ClientConfig>, ServerName<'static>)> {
        let config = Arc::clone(choose(self.0.config.load().as_ref().as_ref()?));
        let name = match (&self.0.settings.server_name, host) {
            (Some(name), _) => ServerName::try_from(name.clone()).ok()?,
            (None, Host::Name(name)) => ServerName::try_from(name.to_string()).ok()?,
            (None, Host::Ip(ip)) => ServerName::IpAddress((*ip).into()),
        };
        Some((config, name))
    }
}

fn config(settings: &ClientTlsSettings) -> Result<Configs, TlsError> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let versions: &[_] = match settings.min_version.unwrap_or_default() {
        TlsVersion::V12 => &[&TLS13, &TLS12],
        TlsVersion::V13 => &[&TLS13],
    };
    let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_protocol_versions(versions)?;
    let builder = if settings.verify == Some(false) {
        let anybody = Anybody(Arc::clone(&provider));
        builder.dangerous().with_custom_certificate_verifier(Arc::new(anybody))
    } else {
        let roots = match &settings.ca {
            Some(path) => Arc::new(roots(path)?),
            None => system_roots()?,
        };
        builder.with_root_certificates(roots)
    };
    let mut config = match (&settings.cert, &settings.key) {
        (None, None) => builder.with_no_client_auth(),
        (Some(cert), Some(key)) => {
            let (chain, private) =
                (certificate::certificates(cert)?, certificate::private_key(key)?);
            builder.with_client_auth_cert(chain, private).map_err(|error| match error {
                Error::InconsistentKeys(_) => {
                    TlsError::Mismatch { cert: cert.clone(), key: key.clone() }
                }
                error => TlsError::Key { path: key.clone(), error },
            })?
        }
        _ => return Err(TlsError::Half),
    };
    config.resumption = Resumption::in_memory_sessions(SESSIONS);
    let mut http2 = config.clone();
    // A session is one of what was agreed on in it.
    http2.resumption = Resumption::in_memory_sessions(SESSIONS);
    http2.alpn_protocols = vec![AlpnProtocol::Http2.as_str().as_bytes().to_vec()];
    Ok(Configs { http1: Arc::new(config), http2: Arc::new(http2) })
}

fn roots(path: &Path) -> Result<RootCertStore, TlsError> {
    let mut roots = RootCertStore::empty();
    for ca in certificate::certificates(path)? {
        roots
            .add(ca)
            .map_err(|error| TlsError::Broken { path: path.to_owned(), why: error.to_string() })?;
    }
    Ok(roots)
}

/// The CAs that the system trusts, read once.
fn system_roots() -> Result<Arc<RootCertStore>, TlsError> {
    static ROOTS: OnceLock<Arc<RootCertStore>> = OnceLock::new();
    let roots = ROOTS.get_or_init(|| {
        let mut roots = RootCertStore::empty();
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        Arc::new(roots)
    });
    if roots.is_empty() { Err(TlsError::NoSystemRoots) } else { Ok(Arc::clone(roots)) }
}

/// Takes any certificate, as `verify = false` asks for. That whoever shows it
/// has its key is checked all the same.
#[derive(Debug)]
struct Anybody(Arc<CryptoProvider>);

impl ServerCertVerifier for Anybody {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, cert, dss, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, cert, dss, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

/// Whether `error`, of a handshake, says that the certificate of the other
/// side was not good enough.
#[must_use]
pub fn is_about_certificate(error: &std::io::Error) -> bool {
    let inner = error.get_ref().and_then(|inner| inner.downcast_ref::<Error>());
    matches!(inner, Some(Error::InvalidCertificate(_) | Error::NoCertificatesPresented))
}

/// Whether `error`, of a handshake, says that the other side speaks none of the
/// protocols that it was offered.
#[must_use]
pub fn refuses_protocol(error: &std::io::Error) -> bool {
    let inner = error.get_ref().and_then(|inner| inner.downcast_ref::<Error>());
    matches!(
        inner,
        Some(
            Error::AlertReceived(AlertDescription::NoApplicationProtocol)
                | Error::NoApplicationProtocol
        )
    )
}

/// What `error`, of a handshake, means for a person.
#[must_use]
pub fn words(error: &std::io::Error) -> String {
    let inner = error.get_ref().and_then(|inner| inner.downcast_ref::<Error>());
    match inner {
        Some(Error::InvalidCertificate(
            // The latter from another CA of the same name.
            CertificateError::UnknownIssuer | CertificateError::BadSignature,
        )) => "no CA that is trusted vouches for its certificate".to_owned(),
        Some(Error::InvalidCertificate(
            CertificateError::Expired | CertificateError::ExpiredContext { .. },
        )) => "its certificate has expired".to_owned(),
        Some(Error::InvalidCertificate(
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
        )) => "its certificate is for another name".to_owned(),
        Some(
            Error::AlertReceived(AlertDescription::NoApplicationProtocol)
            | Error::NoApplicationProtocol,
        ) => "it does not offer HTTP/2".to_owned(),
        Some(error) => error.to_string(),
        None => error.to_string(),
    }
}
