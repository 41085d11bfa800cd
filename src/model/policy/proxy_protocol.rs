//! The PROXY protocol towards instances: what stands before the first byte of
//! a connection and says for whom it is made (HAProxy's `proxy-protocol.txt`).

use std::net::{IpAddr, SocketAddr};

use ppp::{v1, v2};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The header that instances expect on each connection.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ProxyProtocol {
    /// None.
    #[default]
    Off,
    /// The line of text.
    V1,
    /// The binary header.
    V2,
}

/// A binary header of a connection that is made for nobody.
const LOCAL: &[u8] = b"\r\n\r\n\0\r\nQUIT\n\x20\0\0\0";

impl ProxyProtocol {
    /// The header of a connection made for a client at `client`, which itself
    /// is connected to `local`. Empty if there is to be none.
    #[must_use]
    pub fn header(self, client: SocketAddr, local: SocketAddr) -> Vec<u8> {
        let addresses = alike(client, local);
        match self {
            Self::Off => Vec::new(),
            Self::V1 => v1::Addresses::from(addresses).to_string().into_bytes(),
            Self::V2 => {
                let command = v2::Version::Two | v2::Command::Proxy;
                let header = v2::Builder::with_addresses(command, v2::Protocol::Stream, addresses);
                // It is too long only with more than addresses.
                header.build().unwrap_or_else(|_| LOCAL.to_vec())
            }
        }
    }

    /// The header of a connection that the proxy makes for itself, as for a
    /// probe. Empty if there is to be none.
    #[must_use]
    pub const fn own_header(self) -> &'static [u8] {
        match self {
            Self::Off => b"",
            Self::V1 => b"PROXY UNKNOWN\r\n",
            Self::V2 => LOCAL,
        }
    }
}

/// Both addresses in one family, as the header has them: that of IPv4 if both
/// have a place there.
fn alike(client: SocketAddr, local: SocketAddr) -> (SocketAddr, SocketAddr) {
    let [client, local] =
        [client, local].map(|address| SocketAddr::new(address.ip().to_canonical(), address.port()));
    let mapped = |address: SocketAddr| match address.ip() {
        IpAddr::V4(ip) => SocketAddr::new(ip.to_ipv6_mapped().into(), address.port()),
        IpAddr::V6(_) => address,
    };
    if client.is_ipv4() == local.is_ipv4() {
        (client, local)
    } else {
        (mapped(client), mapped(local))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header(version: ProxyProtocol, client: &str, local: &str) -> Vec<u8> {
        version.header(client.parse().expect("an address"), local.parse().expect("an address"))
    }

    #[test]
    fn a_line_names_both_ends() {
        for (client, local, line) in [
            ("192.0.2.7:5000", "10.0.0.1:80", "TCP4 192.0.2.7 10.0.0.1 5000 80"),
            ("[::ffff:192.0.2.7]:5000", "[::ffff:10.0.0.1]:80", "TCP4 192.0.2.7 10.0.0.1 5000 80"),
            ("[2001:db8::7]:5000", "[::1]:80", "TCP6 2001:db8::7 ::1 5000 80"),
            ("[2001:db8::7]:5000", "10.0.0.1:80", "TCP6 2001:db8::7 ::ffff:10.0.0.1 5000 80"),
        ] {
            let text = format!("PROXY {line}\r\n");
            assert_eq!(header(ProxyProtocol::V1, client, local), text.as_bytes());
        }
    }

    #[test]
    fn a_binary_header_names_both_ends() {
        let four = header(ProxyProtocol::V2, "192.0.2.7:5000", "10.0.0.1:80");
        let start = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c";
        assert_eq!(four, [&start[..], &[192, 0, 2, 7, 10, 0, 0, 1, 0x13, 0x88, 0, 80]].concat());
        let mixed = header(ProxyProtocol::V2, "[2001:db8::7]:5000", "10.0.0.1:80");
        assert_eq!(mixed[12..16], [0x21, 0x21, 0, 36]);
        assert_eq!(mixed[42..48], [0xff, 0xff, 10, 0, 0, 1]);
    }

    #[test]
    fn what_is_our_own_names_nobody() {
        let parsed = v2::Header::try_from(ProxyProtocol::V2.own_header()).expect("a header");
        assert_eq!(parsed.command, v2::Command::Local);
        let line = ProxyProtocol::V1.own_header();
        let parsed = v1::Header::try_from(line).expect("a header");
        assert_eq!(parsed.addresses, v1::Addresses::Unknown);
        let off = ProxyProtocol::Off;
        assert!(off.own_header().is_empty() && header(off, "1.2.3.4:5", "1.2.3.4:6").is_empty());
    }
}
