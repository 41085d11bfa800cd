//! Pebble, a CA that speaks ACME, and the name server that it asks: every name
//! is this machine, at the ports of the proxy under test.

use std::{
    fs,
    net::{Ipv4Addr, SocketAddr, TcpStream},
};

use base64::{Engine, prelude::BASE64_STANDARD};
use rustls::pki_types::CertificateDer;

use super::{Server, free_port, installed};
use crate::support::tls::Authority;

/// A CA whose certificates last for some seconds, so that they are renewed
/// within a test.
pub(crate) struct Pebble {
    authority: Authority,
    directory: u16,
    management: SocketAddr,
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
        Self::with(seconds, external, 20)
    }

    /// One that refuses no nonce without a reason, for tests that count orders:
    /// by chance it refuses one so often that the order fails.
    #[track_caller]
    pub(crate) fn steady(seconds: u32) -> Self {
        Self::with(seconds, false, 0)
    }

    /// One that refuses so many nonces in a hundred.
    #[track_caller]
    fn with(seconds: u32, external: bool, refused: u32) -> Self {
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
        let refused = format!("PEBBLE_WFE_NONCEREJECT={refused}");
        let arguments = ["PEBBLE_VA_NOSLEEP=1", refused.as_str()];
        let program = installed("pebble/pebble").display().to_string();
        let rest = [program.as_str(), "-config", &file, "-dnsserver", &resolver];
        let arguments: Vec<_> = arguments.into_iter().chain(rest).collect();
        let mut server = Server::start("/usr/bin/env", &arguments);
        server.wait_until(|| TcpStream::connect((Ipv4Addr::LOCALHOST, directory)).is_ok());
        let looks_at = [http, tls].map(|port| (Ipv4Addr::LOCALHOST, port).into());
        let management = (Ipv4Addr::LOCALHOST, management).into();
        Self { authority, directory, management, looks_at, server, _names: names }
    }

    /// Orders that it has had.
    pub(crate) fn orders(&self) -> usize {
        let log = fs::read(self.server.folder().join("log")).unwrap_or_default();
        let log = String::from_utf8_lossy(&log);
        log.lines().filter(|line| line.contains("orders in the db")).count()
    }

    /// What stands for its directory in the names of files and keys.
    pub(crate) fn place(&self) -> String {
        format!("localhost_{}_dir", self.directory)
    }

    /// From now on suggests to renew `certificate` between `start` and `end`.
    #[track_caller]
    pub(crate) fn suggest(&self, certificate: &CertificateDer<'_>, start: &str, end: &str) {
        let base64 = BASE64_STANDARD.encode(certificate);
        let window = serde_json::json!({ "suggestedWindow": { "start": start, "end": end } });
        let body = serde_json::json!({
            "Certificate": format!("-----BEGIN CERTIFICATE-----\n{base64}\n-----END CERTIFICATE-----\n"),
            "ARIResponse": window.to_string(),
        });
        let body = body.to_string();
        let mut session = self.authority.client().connect(self.management, "localhost");
        let answer = session.connection.exchange(format!(
            "POST /set-renewal-info/ HTTP/1.1\r\nhost: localhost\r\nuser-agent: test\r\n\
             content-length: {}\r\n\r\n{body}",
            body.len()
        ));
        assert_eq!(answer.status(), 200, "{answer:?}");
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
