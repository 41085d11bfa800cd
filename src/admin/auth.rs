//! Who is asking, and what they may do: pure decisions over `[admin]`.
//!
//! While the admin address is a loopback address, whoever can reach it is on
//! this machine and may do everything; a request that names a token is held to
//! that token all the same. Everywhere else a token is needed.

use std::net::IpAddr;

use http::{HeaderMap, header};
use ipnet::IpNet;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use super::{
    problem::{Kind, Problem},
    settings::{AdminSettings, Scope, TokenSettings},
};
use crate::{
    model::{Host, Origin, ServiceName, matches_name},
    registry::Caller,
};

/// Who can reach the admin address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reach {
    /// This machine.
    Loopback,
    /// The network.
    Network,
}

impl Reach {
    /// The reach of an address that is listened on.
    pub(crate) fn of(listening: IpAddr) -> Self {
        if listening.to_canonical().is_loopback() { Self::Loopback } else { Self::Network }
    }
}

/// Who asks, as far as is known, and what they may do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Identity {
    /// The name of the token; none was needed if absent.
    token: Option<String>,
    scope: Scope,
    services: Vec<String>,
    addresses: Vec<IpNet>,
    reach: Reach,
}

/// Finds out who asks.
///
/// # Errors
///
/// No token where one is needed, or one that is not known.
pub(super) fn authenticate(
    settings: &AdminSettings,
    reach: Reach,
    headers: &HeaderMap,
) -> Result<Identity, Problem> {
    let refused = |detail: &str| Err(Problem::new(Kind::Unauthorized, detail));
    let mut fields = headers.get_all(header::AUTHORIZATION).iter();
    let (field, another) = (fields.next(), fields.next());
    if another.is_some() {
        return refused("the request has more than one Authorization");
    }
    let secret = field.map(|field| bearer(field.as_bytes()));
    if secret == Some(None) {
        return refused("the Authorization is not of the form \"Bearer TOKEN\"");
    }
    match identify(&settings.token, settings.insecure, reach, secret.flatten()) {
        Ok(identity) => Ok(identity),
        Err(Unknown::NoToken) => {
            refused("send \"Authorization: Bearer TOKEN\"; see [[admin.token]]")
        }
        Err(Unknown::BadToken) => refused("the token is not known here"),
    }
}

/// Why it is not known who asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unknown {
    /// There is no token, and one is needed.
    NoToken,
    /// The token is none of ours.
    BadToken,
}

/// Who asks at an address of `reach` with `secret`.
pub(crate) fn identify(
    tokens: &[TokenSettings],
    insecure: bool,
    reach: Reach,
    secret: Option<&[u8]>,
) -> Result<Identity, Unknown> {
    let Some(secret) = secret else {
        // `insecure` without a token: the operator asked for an open address.
        let open = reach == Reach::Loopback || (insecure && tokens.is_empty());
        if !open {
            return Err(Unknown::NoToken);
        }
        let (services, addresses) = (Vec::new(), Vec::new());
        return Ok(Identity { token: None, scope: Scope::Admin, services, addresses, reach });
    };
    let token = find(tokens, secret).ok_or(Unknown::BadToken)?;
    Ok(Identity {
        token: Some(token.name.clone()),
        scope: token.scope,
        services: token.services.clone(),
        addresses: token.addresses.clone(),
        reach,
    })
}

pub(crate) fn bearer(field: &[u8]) -> Option<&[u8]> {
    let (scheme, secret) = field.split_at_checked(7)?;
    let secret = secret.trim_ascii();
    (scheme.eq_ignore_ascii_case(b"bearer ") && !secret.is_empty()).then_some(secret)
}

/// Looks at every token whatever it finds, so that the time taken does not
/// tell which one was close.
fn find<'a>(tokens: &'a [TokenSettings], secret: &[u8]) -> Option<&'a TokenSettings> {
    let digest = hex(&Sha256::digest(secret));
    let mut found = None;
    for token in tokens {
        let known = token.sha256.to_ascii_lowercase();
        if bool::from(known.as_bytes().ct_eq(digest.as_bytes())) {
            found = Some(token);
        }
    }
    found
}

pub(super) fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write;
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        // Writing to a String cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

impl Identity {
    /// How the audit log calls them.
    pub(crate) fn name(&self) -> &str {
        match (&self.token, self.reach) {
            (Some(name), _) => name,
            (None, Reach::Loopback) => "loopback",
            (None, Reach::Network) => "anyone",
        }
    }

    /// Whether their scope is `needed` or wider.
    pub(crate) fn need(&self, needed: Scope) -> Result<(), Problem> {
        if self.scope >= needed {
            return Ok(());
        }
        let (name, scope) = (self.name(), word(self.scope));
        let detail = format!("this needs the scope {}, {name:?} has {scope}", word(needed));
        Err(Problem::new(Kind::Forbidden, detail))
    }

    /// On whose behalf they may change the instances of `service`.
    pub(crate) fn caller(&self, service: &ServiceName) -> Result<Caller, Problem> {
        self.need(Scope::Register)?;
        match &self.token {
            Some(name) if self.scope == Scope::Register => {
                if self.services.iter().any(|pattern| matches_name(pattern, service.as_str())) {
                    return Ok(Caller::Token(name.clone()));
                }
                let services = self.services.join(", ");
                let detail = format!("{name:?} may register {services}, and not {service}");
                Err(Problem::new(Kind::Forbidden, detail))
            }
            token => Ok(Caller::Admin(token.clone())),
        }
    }

    /// Whether they, connected from `peer`, may register an instance at
    /// `origin`.
    pub(crate) fn may_register_at(&self, origin: &Origin, peer: IpAddr) -> Result<(), Problem> {
        let refused = |detail: String| Err(Problem::at(Kind::AddressNotYours, "/address", detail));
        let only_peer = self.addresses.is_empty();
        if only_peer && self.reach == Reach::Loopback {
            return Ok(());
        }
        let ip = match &origin.address.host {
            Host::Ip(ip) => ip.to_canonical(),
            Host::Name(name) => {
                return refused(format!(
                    "{name} is a name, which may come to stand for any address; register an IP \
                     address, or name the endpoint in proxy.toml"
                ));
            }
        };
        let name = self.name();
        if only_peer {
            let peer = peer.to_canonical();
            if ip == peer {
                return Ok(());
            }
            return refused(format!(
                "{name:?} may register the address that it comes from, {peer}, and not {ip}; \
                 leave the address out and give a port, or set `addresses` of the token"
            ));
        }
        if self.addresses.iter().any(|network| network.contains(&ip)) {
            return Ok(());
        }
        refused(format!("{ip} is not in the `addresses` that {name:?} may register"))
    }
}

const fn word(scope: Scope) -> &'static str {
    match scope {
        Scope::Read => "read",
        Scope::Register => "register",
        Scope::Admin => "admin",
    }
}

#[cfg(test)]
mod tests;
