//! A name server, `dnsmasq`, with the records that it is told.

use std::{
    fs,
    net::{Ipv4Addr, SocketAddr, UdpSocket},
    path::PathBuf,
    time::Duration,
};

use tempfile::TempDir;

use super::{Server, free_port};

/// A name server for all names below `test`; it refuses to speak of others.
#[derive(Debug)]
pub(crate) struct Dnsmasq {
    /// Where it is asked.
    pub(crate) address: SocketAddr,
    /// Its process.
    pub(crate) server: Server,
    zone: PathBuf,
    _folder: TempDir,
}

impl Dnsmasq {
    /// Starts one with `records`, an option of dnsmasq each:
    /// `host-record=a.test,10.0.0.1`.
    #[track_caller]
    pub(crate) fn start(records: &[&str]) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let zone = folder.path().join("zone");
        write(&zone, records);
        let port = free_port();
        let (config, port_text) =
            (format!("--conf-file={}", zone.display()), format!("--port={port}"));
        let arguments = [
            "--no-daemon",
            "--no-resolv",
            "--no-hosts",
            "--listen-address=127.0.0.1",
            "--bind-interfaces",
            "--user=",
            "--pid-file=",
            "--local=/test/",
            "--local-ttl=1",
            &port_text,
            &config,
        ];
        let server = Server::start("dnsmasq", &arguments);
        let address = (Ipv4Addr::LOCALHOST, port).into();
        let mut dnsmasq = Self { address, server, zone, _folder: folder };
        dnsmasq.wait();
        dnsmasq
    }

    /// Has it know `records` in place of what it knew.
    #[track_caller]
    pub(crate) fn change(&mut self, records: &[&str]) {
        write(&self.zone, records);
        self.restart();
    }

    /// Starts it again as it was.
    #[track_caller]
    pub(crate) fn restart(&mut self) {
        self.server.restart();
        self.wait();
    }

    #[track_caller]
    fn wait(&mut self) {
        let address = self.address;
        self.server.wait_until(|| answers(address).is_some());
    }
}

fn write(zone: &PathBuf, records: &[&str]) {
    let text: String = records.iter().map(|record| format!("{record}\n")).collect();
    fs::write(zone, text).expect("written");
}

/// Asks for the address of `test` (RFC 1035 section 4.1), and waits a moment
/// for any answer.
fn answers(server: SocketAddr) -> Option<usize> {
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).ok()?;
    socket.set_read_timeout(Some(Duration::from_millis(500))).ok()?;
    let question = b"\x00\x01\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00\x04test\x00\x00\x01\x00\x01";
    socket.send_to(question, server).ok()?;
    socket.recv(&mut [0; 512]).ok()
}
