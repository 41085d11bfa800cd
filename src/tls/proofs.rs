//! What is shown to a CA that wants to see that a name is ours (RFC 8555
//! section 8): a text at a path, or a certificate in a handshake of its own.
//!
//! Only those who ask for such a thing meet the lock in here.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use rcgen::{CertificateParams, CustomExtension, KeyPair};
use rustls::{
    ServerConfig,
    crypto::aws_lc_rs,
    pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer},
    sign::{CertifiedKey, SingleCertAndKey},
};

use super::TlsError;

/// The protocol of a handshake that proves a name (RFC 8737 section 4).
const ACME_TLS: &[u8] = b"acme-tls/1";

/// Where a request that proves a name goes (RFC 8555 section 8.3).
const PREFIX: &str = "/.well-known/acme-challenge/";

/// The proofs that are up.
#[derive(Clone, Debug, Default)]
pub struct Proofs(Arc<Mutex<Up>>);

#[derive(Debug, Default)]
struct Up {
    /// Texts by token.
    texts: Stacks<Arc<str>>,
    /// Configurations for handshakes by name.
    handshakes: Stacks<Arc<ServerConfig>>,
    /// The number of the next proof.
    next: u64,
}

/// What is up under each name, with its number: the latest is shown.
type Stacks<T> = HashMap<String, Vec<(u64, T)>>;

fn take_down<T>(stacks: &mut Stacks<T>, name: &str, number: u64) {
    if let Some(stack) = stacks.get_mut(name) {
        stack.retain(|(up, _)| *up != number);
        if stack.is_empty() {
            stacks.remove(name);
        }
    }
}

fn latest<T: Clone>(stacks: &Stacks<T>, name: &str) -> Option<T> {
    stacks.get(name)?.last().map(|(_, shown)| shown.clone())
}

/// A proof is up for as long as this lives.
#[derive(Debug)]
pub struct Proof {
    proofs: Proofs,
    number: u64,
    what: What,
}

#[derive(Debug)]
enum What {
    Text(String),
    Handshake(String),
}

impl Proofs {
    fn up(&self) -> MutexGuard<'_, Up> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Answers a request for `token` with `text`.
    #[must_use]
    pub fn by_request(&self, token: &str, text: &str) -> Proof {
        let mut up = self.up();
        let number = up.number();
        up.texts.entry(token.to_owned()).or_default().push((number, text.into()));
        Proof { proofs: self.clone(), number, what: What::Text(token.to_owned()) }
    }

    /// Shows a certificate with `digest` in it to those who ask for `name` in a
    /// handshake that is for nothing else (RFC 8737 section 3).
    ///
    /// # Errors
    ///
    /// When there is no such certificate for the name.
    pub fn by_handshake(&self, name: &str, digest: &[u8]) -> Result<Proof, TlsError> {
        let config = Arc::new(config(name, digest)?);
        let mut up = self.up();
        let number = up.number();
        up.handshakes.entry(name.to_owned()).or_default().push((number, config));
        Ok(Proof { proofs: self.clone(), number, what: What::Handshake(name.to_owned()) })
    }

    /// What to answer a request for `path` with, if it is for us.
    #[must_use]
    pub fn text(&self, path: &str) -> Option<Arc<str>> {
        let token = path.strip_prefix(PREFIX)?;
        latest(&self.up().texts, token)
    }

    /// With what to shake hands with somebody who asks for `name` and offers
    /// `protocols`, if that is to see a proof.
    #[must_use]
    pub fn handshake<'a>(
        &self,
        name: Option<&str>,
        mut protocols: impl Iterator<Item = &'a [u8]>,
    ) -> Option<Arc<ServerConfig>> {
        // Whoever wants to see a proof offers nothing else.
        (protocols.next() == Some(ACME_TLS)).then(|| latest(&self.up().handshakes, name?))?
    }
}

impl Up {
    const fn number(&mut self) -> u64 {
        self.next += 1;
        self.next
    }
}

impl Drop for Proof {
    fn drop(&mut self) {
        let mut up = self.proofs.up();
        match &self.what {
            What::Text(token) => take_down(&mut up.texts, token, self.number),
            What::Handshake(name) => take_down(&mut up.handshakes, name, self.number),
        }
    }
}

fn config(name: &str, digest: &[u8]) -> Result<ServerConfig, TlsError> {
    let made = || {
        let mut params = CertificateParams::new(vec![name.to_owned()])?;
        params.custom_extensions = vec![CustomExtension::new_acme_identifier(digest)];
        let key = KeyPair::generate()?;
        let cert = params.self_signed(&key)?;
        Ok((cert.der().clone(), PrivatePkcs8KeyDer::from(key.serialize_der())))
    };
    let (cert, key) = made().map_err(|error: rcgen::Error| TlsError::Proof(error.to_string()))?;
    let provider = Arc::new(aws_lc_rs::default_provider());
    // Not held against each other: what marks the certificate as a proof makes
    // it one that is for nothing else, which the library would refuse.
    let key = provider.key_provider.load_private_key(PrivateKeyDer::Pkcs8(key))?;
    let shown = SingleCertAndKey::from(CertifiedKey::new(vec![cert], key));
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_cert_resolver(Arc::new(shown));
    config.alpn_protocols = vec![ACME_TLS.to_vec()];
    Ok(config)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_proof_is_up_while_it_is_held() {
        let proofs = Proofs::default();
        let path = "/.well-known/acme-challenge/token";
        assert!(proofs.text(path).is_none());
        let up = proofs.by_request("token", "token.thumb");
        assert_eq!(proofs.text(path).as_deref(), Some("token.thumb"));
        assert!(proofs.text("/.well-known/acme-challenge/other").is_none());
        assert!(proofs.text("/token").is_none());
        drop(up);
        assert!(proofs.text(path).is_none());
    }

    #[test]
    fn taking_one_down_leaves_another_under_the_same_name() {
        let proofs = Proofs::default();
        let shown = || proofs.text("/.well-known/acme-challenge/token");
        let first = proofs.by_request("token", "first");
        let second = proofs.by_request("token", "second");
        assert_eq!(shown().as_deref(), Some("second"));
        drop(first);
        assert_eq!(shown().as_deref(), Some("second"));
        let third = proofs.by_request("token", "third");
        drop(third);
        assert_eq!(shown().as_deref(), Some("second"));
        drop(second);
        assert!(shown().is_none() && proofs.up().texts.is_empty());
    }

    #[test]
    fn a_handshake_for_a_proof_is_for_nothing_else() {
        let proofs = Proofs::default();
        let up = proofs.by_handshake("a.example", &[7; 32]).expect("a certificate");
        let asks = |name, protocols: &[&'static str]| {
            proofs.handshake(name, protocols.iter().map(|it| it.as_bytes())).is_some()
        };
        assert!(asks(Some("a.example"), &["acme-tls/1"]));
        assert!(!asks(Some("a.example"), &["h2", "acme-tls/1"]));
        assert!(!asks(Some("b.example"), &["acme-tls/1"]));
        assert!(!asks(None, &["acme-tls/1"]) && !asks(Some("a.example"), &[]));
        drop(up);
        assert!(!asks(Some("a.example"), &["acme-tls/1"]));
    }
}
