//! A client's connection: plain or TLS, never blocking.

use std::{
    io::{self, Read, Write},
    net::{SocketAddr, TcpStream},
    sync::Arc,
};

use rustls::{
    ClientConfig, ClientConnection, DigitallySignedStruct, SignatureScheme,
    client::{
        Resumption,
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    },
    crypto::CryptoProvider,
    pki_types::{CertificateDer, ServerName, UnixTime},
};

use crate::origin::written;

/// A connection, and what is to be written to it.
pub(crate) struct Transport {
    pub(crate) stream: TcpStream,
    tls: Option<Box<ClientConnection>>,
    unsent: Vec<u8>,
    sent: usize,
}

impl Transport {
    pub(crate) fn open(address: SocketAddr, tls: Option<&Arc<ClientConfig>>) -> io::Result<Self> {
        let stream = TcpStream::connect(address)?;
        stream.set_nonblocking(true)?;
        let _ = stream.set_nodelay(true);
        let name = ServerName::try_from("bench.test").map_err(io::Error::other)?;
        let tls = tls
            .map(|config| ClientConnection::new(Arc::clone(config), name).map(Box::new))
            .transpose()
            .map_err(io::Error::other)?;
        Ok(Self { stream, tls, unsent: Vec::new(), sent: 0 })
    }

    /// Sends `data`, or keeps what there is no room for.
    pub(crate) fn send(&mut self, data: &[u8]) -> io::Result<()> {
        if let Some(tls) = &mut self.tls {
            tls.writer().write_all(data)?;
        } else if self.unsent.len() == self.sent {
            self.unsent.clear();
            self.sent = 0;
            let sent = written(&mut self.stream, data)?;
            self.unsent.extend_from_slice(&data[sent..]);
            return Ok(());
        } else {
            self.unsent.extend_from_slice(data);
        }
        self.flush()
    }

    /// Sends what is left; [`Transport::wants_room`] says whether all of it
    /// went.
    pub(crate) fn flush(&mut self) -> io::Result<()> {
        if let Some(tls) = &mut self.tls {
            while tls.wants_write() {
                match tls.write_tls(&mut self.stream) {
                    Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                    Ok(_) => {}
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                    Err(error) => return Err(error),
                }
            }
        } else if self.sent < self.unsent.len() {
            self.sent += written(&mut self.stream, &self.unsent[self.sent..])?;
        }
        Ok(())
    }

    /// Whether there is something left to send.
    pub(crate) fn wants_room(&self) -> bool {
        match &self.tls {
            Some(tls) => tls.wants_write(),
            None => self.sent < self.unsent.len(),
        }
    }

    /// Whether it may have more to read than the socket tells of.
    pub(crate) const fn holds_back(&self) -> bool {
        self.tls.is_some()
    }

    /// Reads what is there; 0 is the end, `WouldBlock` nothing yet.
    pub(crate) fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            let Some(tls) = &mut self.tls else { return self.stream.read(buffer) };
            match tls.reader().read(buffer) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                outcome => return outcome,
            }
            if tls.read_tls(&mut self.stream)? == 0 {
                return Ok(0);
            }
            tls.process_new_packets().map_err(io::Error::other)?;
            self.flush()?;
        }
    }
}

/// What clients of the targets do: TLS 1.3, `protocol` by ALPN, no session
/// resumed, and any certificate taken.
pub(crate) fn config(protocol: &str) -> anyhow::Result<Arc<ClientConfig>> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Anybody(provider)))
        .with_no_client_auth();
    config.alpn_protocols = vec![protocol.as_bytes().to_vec()];
    config.resumption = Resumption::disabled();
    Ok(Arc::new(config))
}

/// Takes every certificate: the targets' are made for the run. Signatures are
/// checked, as any client does.
#[derive(Debug)]
struct Anybody(Arc<CryptoProvider>);

impl ServerCertVerifier for Anybody {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        rustls::crypto::verify_tls12_signature(message, cert, dss, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, cert, dss, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
