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

use super::Provenance;

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
        self.check_with(self.allow_loopback, address)
    }

    /// Whether an instance that was named by `provenance` may be reached at
    /// `address`.
    ///
    /// # Errors
    ///
    /// Names the rule that forbids it.
    pub fn check_from(
        &self,
        provenance: Provenance,
        address: SocketAddr,
    ) -> Result<(), AddressDenied> {
        match provenance {
            Provenance::Named => self.check_own(address),
            Provenance::Sourced { allow_loopback: Some(allow) } => self.check_with(allow, address),
            Provenance::Registered | Provenance::Sourced { allow_loopback: None } => {
                self.check(address)
            }
        }
    }

    fn check_with(&self, allow_loopback: bool, address: SocketAddr) -> Result<(), AddressDenied> {
        let ip = plain(address.ip());
        let why = if !allow_loopback && ip.is_loopback() {
            Some("loopback addresses are off, see allow_loopback")
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
        // Connecting to the unspecified address reaches this machine.
        let here = |ip: IpAddr| ip.is_loopback() || ip.is_unspecified() || is_local(ip);
        let is_own = self.own.iter().any(|own| {
            own.port() == address.port()
                && (plain(own.ip()) == ip
                    || (own.ip().is_unspecified() && here(ip))
                    || ip.is_unspecified())
        });
        let why = "the proxy itself listens there";
        if is_own { Err(AddressDenied { address, why }) } else { Ok(()) }
    }
}

fn forbidden(ip: IpAddr) -> Option<&'static str> {
    const METADATA: &str = "it is the metadata service of a cloud";
    match ip {
        _ if ip.is_unspecified() => Some("the unspecified address names no host"),
        _ if ip.is_multicast() => Some("it is a multicast address"),
        IpAddr::V4(ip) if ip.is_broadcast() => Some("it is the broadcast address"),
        IpAddr::V4(ip) if ip.octets()[0] == 0 => Some("0.0.0.0/8 names no host"),
        IpAddr::V4(ip) if ip.is_link_local() => Some("it is a link-local address"),
        IpAddr::V4(ip) if METADATA_V4.contains(&ip) => Some(METADATA),
        IpAddr::V6(ip) if ip.is_unicast_link_local() => Some("it is a link-local address"),
        IpAddr::V6(ip) if METADATA_V6.contains(&[ip.segments()[0], ip.segments()[1]]) => {
            Some(METADATA)
        }
        _ => None,
    }
}

/// Alibaba, Azure and Oracle; the others are link-local.
const METADATA_V4: [Ipv4Addr; 3] = [
    Ipv4Addr::new(100, 100, 100, 200),
    Ipv4Addr::new(168, 63, 129, 16),
    Ipv4Addr::new(192, 0, 0, 192),
];

/// The networks of AWS and Google.
const METADATA_V6: [[u16; 2]; 2] = [[0xfd00, 0xec2], [0xfd20, 0xce]];

/// IPv4 in IPv6 clothes is IPv4: mapped (`::ffff:0:0/96`, RFC 4291), through
/// NAT64 (`64:ff9b::/96`, RFC 6052) and 6to4 (`2002::/16`, RFC 3056).
fn plain(ip: IpAddr) -> IpAddr {
    let IpAddr::V6(v6) = ip.to_canonical() else { return ip.to_canonical() };
    let octets = v6.octets();
    match v6.segments() {
        [0x64, 0xff9b, 0, 0, 0, 0, ..] => {
            Ipv4Addr::new(octets[12], octets[13], octets[14], octets[15]).into()
        }
        [0x2002, ..] => Ipv4Addr::new(octets[2], octets[3], octets[4], octets[5]).into(),
        _ => v6.into(),
    }
}

/// Whether `ip` is an address of this machine: the kernel answers from it when
/// it talks to it. Asking this way holds where `ip_nonlocal_bind` lets
/// anything be bound.
fn is_local(ip: IpAddr) -> bool {
    let any: IpAddr =
        if ip.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
    let Ok(socket) = std::net::UdpSocket::bind((any, 0)) else { return true };
    // Connecting a UDP socket sends nothing.
    let own = socket.connect((ip, 9)).and_then(|()| socket.local_addr());
    own.is_ok_and(|own| own.ip() == ip)
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
            "[fd00:ec2::23]:80",
            "168.63.129.16:80",
            "[64:ff9b::a9fe:a9fe]:80",
            "[2002:a9fe:a9fe::1]:80",
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
        let check = |allow| {
            let provenance = Provenance::Sourced { allow_loopback: Some(allow) };
            guard.check_from(provenance, "127.0.0.1:3000".parse().expect("an address"))
        };
        assert!(check(true).is_ok() && check(false).is_err(), "each source says for itself");
        let own: SocketAddr = "127.0.0.1:8080".parse().expect("an address");
        assert!(guard.check_own(own).is_err());
        let anywhere: SocketAddr = "0.0.0.0:9900".parse().expect("an address");
        assert!(guard.check_own(anywhere).is_err());
    }
}
