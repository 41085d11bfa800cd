//! Which addresses an instance may have.
//!
//! Whoever may register a service must not be able to make the proxy talk to
//! something that only the proxy can reach: its own listeners, the metadata
//! service of a cloud, the loopback interface. The check is made on the
//! resolved address, at registration and again at every connect and probe, so
//! that a name cannot change its meaning in between.

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    sync::Arc,
};

/// Why an address is not allowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{address} is not allowed: {why}")]
pub struct AddressDenied {
    /// The resolved address.
    pub address: SocketAddr,
    /// The rule that forbids it.
    pub why: &'static str,
}

/// Decides over the addresses of instances.
#[derive(Clone, Debug)]
pub struct AddressGuard {
    allow_loopback: bool,
    own: Arc<[SocketAddr]>,
}

/// The rules that all workers of a process, and its control plane, go by.
pub type SharedGuard = Arc<arc_swap::ArcSwap<AddressGuard>>;

impl AddressGuard {
    /// `own` are the addresses this process listens on.
    #[must_use]
    pub fn new(allow_loopback: bool, own: Vec<SocketAddr>) -> Self {
        Self { allow_loopback, own: own.into() }
    }

    /// Whether an instance that registered itself may be reached at `address`.
    ///
    /// # Errors
    ///
    /// Names the rule that forbids it.
    pub fn check(&self, address: SocketAddr) -> Result<(), AddressDenied> {
        let ip = plain(address.ip());
        let why = if !self.allow_loopback && ip.is_loopback() {
            Some("loopback addresses are off, see registry.allow_loopback")
        } else {
            forbidden(ip)
        };
        match why {
            Some(why) => Err(AddressDenied { address, why }),
            None => self.check_own(address),
        }
    }

    /// Whether `address` is not one of our own listeners: the one rule for
    /// endpoints that the config file names.
    ///
    /// # Errors
    ///
    /// Says that it is.
    pub fn check_own(&self, address: SocketAddr) -> Result<(), AddressDenied> {
        let ip = plain(address.ip());
        let is_own = self.own.iter().any(|own| {
            own.port() == address.port()
                && (plain(own.ip()) == ip
                    || (own.ip().is_unspecified() && (ip.is_loopback() || is_local(ip))))
        });
        let why = "the proxy itself listens there";
        if is_own { Err(AddressDenied { address, why }) } else { Ok(()) }
    }
}

fn forbidden(ip: IpAddr) -> Option<&'static str> {
    const AWS_METADATA_V6: Ipv6Addr = Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254);
    const ALIBABA_METADATA: Ipv4Addr = Ipv4Addr::new(100, 100, 100, 200);
    match ip {
        _ if ip.is_unspecified() => Some("the unspecified address names no host"),
        _ if ip.is_multicast() => Some("it is a multicast address"),
        IpAddr::V4(ip) if ip.is_broadcast() => Some("it is the broadcast address"),
        IpAddr::V4(ip) if ip.octets()[0] == 0 => Some("0.0.0.0/8 names no host"),
        IpAddr::V4(ip) if ip.is_link_local() => Some("it is a link-local address"),
        IpAddr::V6(ip) if ip.is_unicast_link_local() => Some("it is a link-local address"),
        IpAddr::V4(ALIBABA_METADATA) | IpAddr::V6(AWS_METADATA_V6) => {
            Some("it is the metadata service of a cloud")
        }
        _ => None,
    }
}

/// IPv4 in IPv6 clothes (`::ffff:127.0.0.1`) is IPv4.
const fn plain(ip: IpAddr) -> IpAddr {
    ip.to_canonical()
}

/// Only an address of this machine can be bound to.
fn is_local(ip: IpAddr) -> bool {
    std::net::UdpSocket::bind((ip, 0)).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn guard(allow_loopback: bool) -> AddressGuard {
        let own = ["127.0.0.1:9900", "0.0.0.0:8080"];
        AddressGuard::new(allow_loopback, own.map(|own| own.parse().expect("an address")).to_vec())
    }

    fn allowed(guard: &AddressGuard, address: &str) -> bool {
        guard.check(address.parse().expect("an address")).is_ok()
    }

    #[test]
    fn what_only_the_proxy_can_reach_is_denied() {
        let guard = guard(false);
        for bad in [
            "127.0.0.1:80",
            "127.9.9.9:80",
            "[::1]:80",
            "[::ffff:127.0.0.1]:80",
            "0.0.0.0:80",
            "0.1.2.3:80",
            "[::]:80",
            "169.254.169.254:80",
            "[::ffff:169.254.169.254]:80",
            "[fe80::1]:80",
            "224.0.0.1:80",
            "[ff02::1]:80",
            "255.255.255.255:80",
            "100.100.100.200:80",
            "[fd00:ec2::254]:80",
        ] {
            assert!(!allowed(&guard, bad), "{bad}");
        }
        for good in ["10.0.0.1:80", "192.168.1.1:80", "203.0.113.9:80", "[fd00::1]:80"] {
            assert!(allowed(&guard, good), "{good}");
        }
    }

    #[test]
    fn loopback_is_a_setting_but_our_own_listeners_never_are_instances() {
        let guard = guard(true);
        assert!(allowed(&guard, "127.0.0.1:3000"));
        assert!(!allowed(&guard, "127.0.0.1:9900"));
        assert!(!allowed(&guard, "127.0.0.1:8080"));
        assert!(!allowed(&guard, "[::ffff:127.0.0.1]:8080"));
        let own: SocketAddr = "127.0.0.1:8080".parse().expect("an address");
        assert!(guard.check_own(own).is_err());
    }
}
