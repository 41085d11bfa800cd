//! What a listener needs to speak TLS, made whole from the files that its
//! settings name, or not at all.
//!
//! Each rule for client certificates has a configuration and ticket keys of
//! its own, so that no session that was begun under one is resumed under
//! another.

use std::{path::Path, sync::Arc, time::SystemTime};

use rustls::{
    RootCertStore, ServerConfig,
    crypto::{CryptoProvider, aws_lc_rs},
    server::{NoServerSessionStorage, ProducesTickets, WebPkiClientVerifier},
    version::{TLS12, TLS13},
};
use sha2::{Digest, Sha256};

use super::{
    Automatic, Facts, Proofs, TlsError,
    certificate::{self, Identity},
    names::Names,
};
use crate::model::{AlpnProtocol, ClientAuth, HostRules, ServerTlsSettings, TlsVersion};

/// What one listener speaks TLS with. It never changes; a new one is made when
/// files or settings have.
#[derive(Debug)]
pub struct ServerTls {
    /// The first one is that of the listener, the others are those of hosts.
    policies: Vec<Policy>,
    rules: Arc<HostRules>,
    names: Arc<Names>,
    facts: Vec<Facts>,
    /// What is shown to a CA; none if it has no names of `acme`.
    proofs: Option<Proofs>,
}

/// A rule for client certificates.
#[derive(Debug)]
struct Policy {
    /// What a session that is resumed under it has been held to.
    mark: [u8; 32],
    config: Arc<ServerConfig>,
    tickets: Arc<dyn ProducesTickets>,
}

impl ServerTls {
    /// Reads the files that `settings` name, and those that are obtained
    /// `automatic`ally, as far as there are any. Sessions that were begun under
    /// `before` can be resumed where the same rule with the same CAs holds.
    /// Blocks.
    ///
    /// # Errors
    ///
    /// When any of the files cannot be used. A CA that is missing is no reason
    /// to do without.
    pub fn load(
        settings: &ServerTlsSettings,
        speaks: &[AlpnProtocol],
        automatic: &Automatic,
        before: Option<&Self>,
    ) -> Result<Self, TlsError> {
        let provider = Arc::new(aws_lc_rs::default_provider());
        let load = |files| Identity::load(files, &provider);
        let mut identities: Vec<_> =
            settings.certificates.iter().map(load).collect::<Result<_, _>>()?;
        identities.extend(automatic.load(&settings.acme, &provider, before));
        if identities.is_empty() && settings.acme.is_empty() {
            return Err(TlsError::NoCertificate);
        }
        let names = Arc::new(Names::new(&identities, settings.strict_names));
        let own = (settings.client_ca.as_deref(), settings.client_auth);
        let hosts = settings.host.iter().map(|host| (host.client_ca.as_deref(), host.client_auth));
        let wanted = if settings.alpn.is_empty() { speaks } else { &settings.alpn };
        let alpn: Vec<_> = wanted.iter().copied().filter(|it| speaks.contains(it)).collect();
        let alpn = &*alpn;
        let parts = Parts { provider, names: &names, version: settings.min_version, alpn, before };
        let policies = [own].into_iter().chain(hosts).enumerate().map(|rule| parts.policy(rule));
        let policies = policies.collect::<Result<_, _>>()?;
        let rules = Arc::new(HostRules::new(&settings.host));
        let facts = identities.into_iter().map(|identity| identity.facts).collect();
        let proofs = (!settings.acme.is_empty()).then(|| automatic.proofs.clone());
        Ok(Self { policies, rules, names, facts, proofs })
    }

    /// The number of the rule for a client that asks for `name`, and what it is
    /// served with.
    #[must_use]
    pub fn choose(&self, name: Option<&str>) -> (usize, Arc<ServerConfig>) {
        let policy = name.map_or(0, |name| self.rules.of(name));
        (policy, Arc::clone(&self.policies[policy].config))
    }

    /// Whether there is a certificate for a client that asks for `name`.
    #[must_use]
    pub fn has_name(&self, name: Option<&str>) -> bool {
        self.names.has(name)
    }

    /// With what to shake hands with somebody who asks for `name` and offers
    /// `protocols`, if that is a CA that wants to see a proof.
    #[must_use]
    pub fn proof<'a>(
        &self,
        name: Option<&str>,
        protocols: Option<impl Iterator<Item = &'a [u8]>>,
    ) -> Option<Arc<ServerConfig>> {
        self.proofs.as_ref()?.handshake(name, protocols?)
    }

    /// The certificate for `name` that was read from `file`, if it is here.
    pub(super) fn identity(&self, name: &str, file: &Path) -> Option<Identity> {
        let facts = self.facts.iter().find(|facts| *facts.path == *file)?;
        let key = self.names.of(name).first()?;
        Some(Identity { key: Arc::clone(key), facts: facts.clone() })
    }

    /// Which rule holds for which host; none if there is but one.
    #[must_use]
    pub fn rules(&self) -> Option<&Arc<HostRules>> {
        (self.policies.len() > 1).then_some(&self.rules)
    }

    /// What its certificates say.
    #[must_use]
    pub fn facts(&self) -> &[Facts] {
        &self.facts
    }

    /// The first one to expire.
    #[must_use]
    pub fn expires(&self) -> Option<SystemTime> {
        self.facts.iter().map(|facts| facts.not_after).min()
    }
}

struct Parts<'a> {
    provider: Arc<CryptoProvider>,
    names: &'a Arc<Names>,
    version: TlsVersion,
    alpn: &'a [AlpnProtocol],
    before: Option<&'a ServerTls>,
}

impl Parts<'_> {
    fn policy(
        &self,
        (number, (ca, auth)): (usize, (Option<&Path>, Option<ClientAuth>)),
    ) -> Result<Policy, TlsError> {
        let auth = auth.unwrap_or_default();
        let mut mark = Sha256::new();
        mark.update([u8::try_from(number).unwrap_or(u8::MAX), u8::from(ca.is_some())]);
        mark.update([u8::from(auth == ClientAuth::Required)]);
        let versions: &[_] = match self.version {
            TlsVersion::V12 => &[&TLS13, &TLS12],
            TlsVersion::V13 => &[&TLS13],
        };
        let builder = ServerConfig::builder_with_provider(Arc::clone(&self.provider))
            .with_protocol_versions(versions)?;
        let builder = match ca {
            None => builder.with_no_client_auth(),
            Some(path) => {
                let roots = roots(path, &mut mark)?;
                let verifier = WebPkiClientVerifier::builder_with_provider(
                    Arc::new(roots),
                    Arc::clone(&self.provider),
                );
                let verifier = match auth {
                    ClientAuth::Required => verifier,
                    ClientAuth::Optional => verifier.allow_unauthenticated(),
                };
                let refused = |error: rustls::server::VerifierBuilderError| TlsError::Verifier {
                    path: path.to_owned(),
                    why: error.to_string(),
                };
                builder.with_client_cert_verifier(verifier.build().map_err(refused)?)
            }
        };
        let mark: [u8; 32] = mark.finalize().into();
        let same = |before: &&ServerTls| {
            before.policies.get(number).filter(|policy| policy.mark == mark).is_some()
        };
        let tickets = match self.before.filter(same) {
            Some(before) => Arc::clone(&before.policies[number].tickets),
            None => aws_lc_rs::Ticketer::new()?,
        };
        let names: Arc<Names> = Arc::clone(self.names);
        let mut config = builder.with_cert_resolver(names);
        // Tickets hold all that there is to a session: whichever worker gets
        // the next connection can go on with it.
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.ticketer = Arc::clone(&tickets);
        config.alpn_protocols =
            self.alpn.iter().map(|protocol| protocol.as_str().as_bytes().to_vec()).collect();
        Ok(Policy { mark, config: Arc::new(config), tickets })
    }
}

/// The CAs in the file at `path`. Each goes into `mark`.
fn roots(path: &Path, mark: &mut Sha256) -> Result<RootCertStore, TlsError> {
    let mut roots = RootCertStore::empty();
    for ca in certificate::certificates(path)? {
        mark.update(&ca);
        roots
            .add(ca)
            .map_err(|error| TlsError::Broken { path: path.to_owned(), why: error.to_string() })?;
    }
    Ok(roots)
}
