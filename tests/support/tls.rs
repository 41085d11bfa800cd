//! TLS for tests: an authority of its own, and both ends of a connection.
//!
//! What is encrypted is carried by a relay to a plain connection, so that a
//! test speaks over it as over any other: a goodbye (`close_notify`) becomes
//! one (FIN), and a connection that broke off without becomes a reset.

use std::{
    fs, io,
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::{Arc, LazyLock},
    time::Duration,
};

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair, SanType};
use rustls::{
    ClientConfig, HandshakeKind, ProtocolVersion, RootCertStore, ServerConfig,
    crypto::aws_lc_rs,
    pki_types::{CertificateDer, PrivateKeyDer, ServerName, pem::PemObject},
    server::WebPkiClientVerifier,
};
use tempfile::TempDir;
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    runtime::Runtime,
};
use tokio_rustls::{TlsAcceptor, TlsConnector};

use super::{Connection, PATIENCE};

static RELAYS: LazyLock<Runtime> = LazyLock::new(|| {
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    builder.worker_threads(1).enable_all().build().expect("a runtime")
});

/// Issues certificates, and keeps them in a folder.
pub(crate) struct Authority {
    folder: TempDir,
    issuer: CertifiedIssuer<'static, KeyPair>,
}

impl Authority {
    pub(crate) fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).expect("no names");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().expect("a key");
        let issuer = CertifiedIssuer::self_signed(params, key).expect("a CA");
        let folder = tempfile::tempdir().expect("a folder");
        fs::write(folder.path().join("ca.pem"), issuer.pem()).expect("a file");
        Self { folder, issuer }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn ca(&self) -> String {
        self.path("ca.pem").display().to_string()
    }

    /// A certificate for `names` in `file`.pem, its key in `file`.key; both as
    /// a config file names them.
    pub(crate) fn issue(&self, file: &str, names: &[&str]) -> String {
        self.issue_as(file, names, |_| {})
    }

    /// As [`Self::issue`], with what `change` says otherwise.
    pub(crate) fn issue_as(
        &self,
        file: &str,
        names: &[&str],
        change: impl FnOnce(&mut CertificateParams),
    ) -> String {
        let names: Vec<_> = names.iter().map(|&name| name.to_owned()).collect();
        let mut params = CertificateParams::new(names).expect("names");
        change(&mut params);
        let key = KeyPair::generate().expect("a key");
        let cert = params.signed_by(&key, &self.issuer).expect("a certificate");
        let (pem, private) = (self.path(&format!("{file}.pem")), self.path(&format!("{file}.key")));
        replace(&pem, &cert.pem());
        replace(&private, &key.serialize_pem());
        format!("cert = '{}', key = '{}'", pem.display(), private.display())
    }

    pub(crate) fn roots(&self) -> RootCertStore {
        let mut roots = RootCertStore::empty();
        roots.add(self.issuer.der().clone()).expect("a CA");
        roots
    }

    /// A client that trusts this authority.
    pub(crate) fn client(&self) -> Client {
        Client::new(self.roots(), None, rustls::ALL_VERSIONS)
    }

    /// One that shows the certificate in `file`.
    pub(crate) fn client_as(&self, file: &str) -> Client {
        Client::new(self.roots(), Some(self.identity(file)), rustls::ALL_VERSIONS)
    }

    /// One that speaks nothing but `version`.
    pub(crate) fn client_speaking(
        &self,
        version: &'static rustls::SupportedProtocolVersion,
    ) -> Client {
        Client::new(self.roots(), None, &[version])
    }

    pub(crate) fn identity(&self, file: &str) -> Identity {
        let pem = fs::read(self.path(&format!("{file}.pem"))).expect("a file");
        let key = self.path(&format!("{file}.key"));
        let chain = CertificateDer::pem_slice_iter(&pem).collect::<Result<_, _>>();
        (chain.expect("a chain"), PrivateKeyDer::from_pem_file(key).expect("a key"))
    }

    /// A server before the plain one at `behind`, that shows the certificate
    /// in `file` and, if `asks`, wants one of this authority.
    pub(crate) fn server(&self, file: &str, behind: SocketAddr, asks: bool) -> SocketAddr {
        self.server_speaking(file, behind, asks, &[])
    }

    /// As [`Self::server`], agreeing on one of `protocols` if there are any.
    pub(crate) fn server_speaking(
        &self,
        file: &str,
        behind: SocketAddr,
        asks: bool,
        protocols: &[&str],
    ) -> SocketAddr {
        let (chain, key) = self.identity(file);
        let provider = Arc::new(aws_lc_rs::default_provider());
        let builder = ServerConfig::builder_with_provider(Arc::clone(&provider));
        let builder = builder.with_safe_default_protocol_versions().expect("versions");
        let builder = if asks {
            let roots = Arc::new(self.roots());
            let verifier = WebPkiClientVerifier::builder_with_provider(roots, provider);
            builder.with_client_cert_verifier(verifier.build().expect("a CA"))
        } else {
            builder.with_no_client_auth()
        };
        let mut config = builder.with_single_cert(chain, key).expect("a pair");
        config.alpn_protocols = protocols.iter().map(|it| it.as_bytes().to_vec()).collect();
        let acceptor = TlsAcceptor::from(Arc::new(config));
        RELAYS.block_on(async {
            let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
            let address = listener.local_addr().expect("an address");
            tokio::spawn(async move {
                while let Ok((stream, _)) = listener.accept().await {
                    let acceptor = acceptor.clone();
                    tokio::spawn(async move {
                        let Ok(stream) = acceptor.accept(stream).await else { return };
                        let Ok(plain) = TcpStream::connect(behind).await else { return };
                        relay(stream, plain).await;
                    });
                }
            });
            address
        })
    }
}

/// Puts a new file in the place of an old one, in one step.
pub(crate) fn replace(path: &Path, text: &str) {
    let new = path.with_extension("new");
    fs::write(&new, text).expect("a file");
    fs::rename(new, path).expect("a file");
}

/// The names of a certificate that are not DNS names.
pub(crate) fn uri(text: &str) -> SanType {
    SanType::URI(text.try_into().expect("a URI"))
}

type Identity = (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>);

/// A client that remembers its sessions.
#[derive(Clone)]
pub(crate) struct Client(pub(crate) Arc<ClientConfig>);

/// What a handshake came to.
pub(crate) struct Session {
    pub(crate) connection: Connection,
    /// The certificate that was shown.
    pub(crate) certificate: CertificateDer<'static>,
    pub(crate) version: ProtocolVersion,
    pub(crate) alpn: Option<Vec<u8>>,
    pub(crate) resumed: bool,
}

impl Client {
    fn new(
        roots: RootCertStore,
        identity: Option<Identity>,
        versions: &[&'static rustls::SupportedProtocolVersion],
    ) -> Self {
        let provider = Arc::new(aws_lc_rs::default_provider());
        let builder = ClientConfig::builder_with_provider(provider);
        let builder = builder.with_protocol_versions(versions).expect("versions");
        let builder = builder.with_root_certificates(roots);
        let mut config = match identity {
            None => builder.with_no_client_auth(),
            Some((chain, key)) => builder.with_client_auth_cert(chain, key).expect("a pair"),
        };
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Self(Arc::new(config))
    }

    /// The same, changed; it has no sessions in common with the first.
    pub(crate) fn with(&self, change: impl FnOnce(&mut ClientConfig)) -> Self {
        let mut config = ClientConfig::clone(&self.0);
        config.resumption = rustls::client::Resumption::in_memory_sessions(64);
        change(&mut config);
        Self(Arc::new(config))
    }

    /// Connects to `address`, which has to have `name`. That a certificate of
    /// the client is refused shows in TLS 1.3 only when something is read.
    pub(crate) fn try_connect(&self, address: SocketAddr, name: &str) -> io::Result<Session> {
        self.connect_behind(b"", address, name)
    }

    /// As [`Self::try_connect`], with bytes in the clear before all others.
    pub(crate) fn connect_behind(
        &self,
        before: &[u8],
        address: SocketAddr,
        name: &str,
    ) -> io::Result<Session> {
        let name = ServerName::try_from(name.to_owned()).expect("a name");
        let connector = TlsConnector::from(Arc::clone(&self.0));
        RELAYS.block_on(async {
            let shaken = async {
                let mut stream = TcpStream::connect(address).await?;
                stream.write_all(before).await?;
                connector.connect(name, stream).await
            };
            let stream = tokio::time::timeout(PATIENCE, shaken).await??;
            let (_, tls) = stream.get_ref();
            let listener = TcpListener::bind("127.0.0.1:0").await?;
            let near = std::net::TcpStream::connect(listener.local_addr()?)?;
            let (far, _) = listener.accept().await?;
            let session = Session {
                connection: Connection::over(near),
                certificate: tls.peer_certificates().expect("a certificate")[0].clone(),
                version: tls.protocol_version().expect("a version"),
                alpn: tls.alpn_protocol().map(<[u8]>::to_vec),
                resumed: tls.handshake_kind() == Some(HandshakeKind::Resumed),
            };
            tokio::spawn(relay(stream, far));
            Ok(session)
        })
    }

    /// An address whose connections are carried to `address`, which has to
    /// have `name`, and where HTTP/2 is spoken.
    pub(crate) fn http2_to(&self, address: SocketAddr, name: &'static str) -> SocketAddr {
        let with = self.with(|config| config.alpn_protocols = vec![b"h2".to_vec()]);
        let connector = TlsConnector::from(with.0);
        RELAYS.block_on(async {
            let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
            let near = listener.local_addr().expect("an address");
            tokio::spawn(async move {
                while let Ok((plain, _)) = listener.accept().await {
                    let connector = connector.clone();
                    tokio::spawn(async move {
                        let name = ServerName::try_from(name).expect("a name");
                        let Ok(stream) = TcpStream::connect(address).await else { return };
                        let Ok(stream) = connector.connect(name, stream).await else { return };
                        assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
                        relay(stream, plain).await;
                    });
                }
            });
            near
        })
    }

    #[track_caller]
    pub(crate) fn connect(&self, address: SocketAddr, name: &str) -> Session {
        self.try_connect(address, name).unwrap_or_else(|error| panic!("{error}"))
    }
}

trait Socket: AsyncRead + AsyncWrite {
    fn socket(&self) -> &TcpStream;
}

impl Socket for tokio_rustls::client::TlsStream<TcpStream> {
    fn socket(&self) -> &TcpStream {
        self.get_ref().0
    }
}

impl Socket for tokio_rustls::server::TlsStream<TcpStream> {
    fn socket(&self) -> &TcpStream {
        self.get_ref().0
    }
}

/// Carries what comes on either side to the other, and how it ends.
async fn relay(mut secure: impl Socket + Unpin, mut plain: TcpStream) {
    let _ = (plain.set_nodelay(true), secure.socket().set_nodelay(true));
    let (mut up, mut down) = ([0; 16 * 1024], [0; 16 * 1024]);
    let (mut reads_up, mut reads_down) = (true, true);
    while reads_up || reads_down {
        let outcome = tokio::select! {
            read = plain.read(&mut up), if reads_up => match read {
                Ok(0) => {
                    reads_up = false;
                    secure.shutdown().await
                }
                Ok(count) => match secure.write_all(&up[..count]).await {
                    Ok(()) => secure.flush().await,
                    error => error,
                },
                Err(error) => Err(error),
            },
            read = secure.read(&mut down), if reads_down => match read {
                Ok(0) => {
                    reads_down = false;
                    plain.shutdown().await
                }
                Ok(count) => plain.write_all(&down[..count]).await,
                Err(error) => Err(error),
            },
        };
        if outcome.is_err() {
            let _ = secure.socket().set_zero_linger();
            let _ = plain.set_zero_linger();
            return;
        }
    }
    // What was sent last may be on its way.
    tokio::time::sleep(Duration::from_millis(10)).await;
}
