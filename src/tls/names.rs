//! Which certificate a client is shown: the one that has the name it asks for.

use std::{collections::HashMap, sync::Arc};

use rustls::{
    server::{ClientHello, ResolvesServerCert},
    sign::CertifiedKey,
};

use super::certificate::Identity;

/// The certificates of a listener by their names.
#[derive(Debug)]
pub(super) struct Names {
    exact: HashMap<String, Vec<Arc<CertifiedKey>>>,
    /// Those with a star, by what follows it, the dot included.
    below: HashMap<String, Vec<Arc<CertifiedKey>>>,
    /// Shown to those that ask for no name, or for one that there is not.
    default: Option<Arc<CertifiedKey>>,
}

impl Names {
    /// The first of `identities` is shown where no other has the name, unless
    /// names are `strict`.
    pub(super) fn new(identities: &[Identity], strict: bool) -> Self {
        let (mut exact, mut below) = (HashMap::new(), HashMap::new());
        for Identity { key, facts } in identities {
            for name in &facts.names {
                let (map, name): (&mut HashMap<_, Vec<_>>, _) = match name.strip_prefix('*') {
                    Some(end) => (&mut below, end),
                    None => (&mut exact, name.as_str()),
                };
                map.entry(name.to_owned()).or_default().push(Arc::clone(key));
            }
        }
        let first = identities.first().map(|identity| Arc::clone(&identity.key));
        Self { exact, below, default: first.filter(|_| !strict) }
    }

    /// Those that have `name`, an exact one before a wildcard, which stands for
    /// one label (RFC 6125 section 6.4.3).
    pub(super) fn of(&self, name: &str) -> &[Arc<CertifiedKey>] {
        let lower;
        let name = if name.bytes().any(|byte| byte.is_ascii_uppercase()) {
            lower = name.to_ascii_lowercase();
            &lower
        } else {
            name
        };
        let name = name.strip_suffix('.').unwrap_or(name);
        let wildcard = || name.find('.').and_then(|dot| self.below.get(&name[dot..]));
        self.exact.get(name).or_else(wildcard).map_or(&[], Vec::as_slice)
    }

    /// Whether there is a certificate for a client that asks for `name`.
    pub(super) fn has(&self, name: Option<&str>) -> bool {
        self.default.is_some() || name.is_some_and(|name| !self.of(name).is_empty())
    }
}

impl ResolvesServerCert for Names {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let named = hello.server_name().map_or(&[][..], |name| self.of(name));
        // One name may have a certificate for each kind of key.
        let schemes = hello.signature_schemes();
        let fits = |key: &&Arc<CertifiedKey>| key.key.choose_scheme(schemes).is_some();
        let fitting = named.iter().find(fits).or(named.first());
        fitting.or(self.default.as_ref()).cloned()
    }
}
