//! Pebble, a CA that speaks ACME, and the name server that it asks: every name
//! is this machine, at the ports of the proxy under test.

use std::{
    fs,
    net::{Ipv4Addr, SocketAddr, TcpStream},
};

use super::{Server, free_port, installed};
use crate::support::tls::Authority;

/// A CA whose certificates last for some seconds, so that they are renewed
/// within a test.
pub(crate) struct Pebble {
    authority: Authority,
    directory: u16,
    /// Where it looks for proofs by requests and by handshakes.
    pub(crate) looks_at: [SocketAddr; 2],
    /// The CA.
    pub(crate) server: Server,
    _names: Server,
}

impl Pebble {
    /// A CA whose certificates hold for so many `seconds`, and that wants to
    /// know of an account elsewhere if `external`.
    #[track_caller]
    pub(crate) fn start(seconds: u32, external: bool) -> Self {
        let authority = Authority::new();
        authority.issue("pebble", &["localhost"]);
        let [directory, management, http, tls, dns, dns_management] = [(); 6].map(|()| free_port());
        let names = Server::start(
            installed("pebble/pebble-challtestsrv"),
            &[
                &format!("-dnsserver=127.0.0.1:{dns}"),
                &format!("-management=127.0.0.1:{dns_management}"),
                "-defaultIPv4=127.0.0.1",
                "-defaultIPv6=",
                "-http01=",
                "-https01=",
                "-tlsalpn01=",
                "-doh=",
            ],
        );
        let config = serde_json::json!({ "pebble": {
            "listenAddress": format!("127.0.0.1:{directory}"),
            "managementListenAddress": format!("127.0.0.1:{management}"),
            "certificate": authority.path("pebble.pem"),
            "privateKey": authority.path("pebble.key"),
            "httpPort": http,
            "tlsPort": tls,
            "externalAccountBindingRequired": external,
            "externalAccountMACKeys": {
                "kid-1": "zWNDZM6eQGHWpSRTPal5eIUYFTu7EajVIoguysqZ9wG44nMEtx3MUAsUDkMTQ12W",
            },
            "domainBlocklist": ["blocked.example"],
            "retryAfter": { "authz": 1, "order": 1 },
            "keyAlgorithm": "ecdsa",
            "profiles": { "default": { "description": "short", "validityPeriod": seconds } },
        }});
        let file = authority.path("pebble.json");
        fs::write(&file, config.to_string()).expect("a file");
        let file = file.display().to_string();
        let resolver = format!("127.0.0.1:{dns}");
        let arguments = ["PEBBLE_VA_NOSLEEP=1", "PEBBLE_WFE_NONCEREJECT=20"];
        let program = installed("pebble/pebble").display().to_string();
        let rest = [program.as_str(), "-config", &file, "-dnsserver", &resolver];
        let arguments: Vec<_> = arguments.into_iter().chain(rest).collect();
        let mut server = Server::start("/usr/bin/env", &arguments);
        server.wait_until(|| TcpStream::connect((Ipv4Addr::LOCALHOST, directory)).is_ok());
        let looks_at = [http, tls].map(|port| (Ipv4Addr::LOCALHOST, port).into());
        Self { authority, directory, looks_at, server, _names: names }
    }

    /// The section `[acme]` of somebody who wants certificates from it.
    pub(crate) fn section(&self) -> String {
        format!(
            "[acme]\naccept_terms = true\ncontact = ['ops@shop.example']\nretry = '1s'\n\
             directory = 'https://localhost:{}/dir'\nca = '{}'\n",
            self.directory,
            self.authority.ca()
        )
    }
}
