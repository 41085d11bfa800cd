//! Ports that nobody else gets.

use std::{
    collections::HashSet,
    net::{TcpListener, UdpSocket},
    sync::{LazyLock, Mutex},
};

static TAKEN: LazyLock<Mutex<HashSet<u16>>> = LazyLock::new(Mutex::default);

/// A loopback port that is free for TCP and UDP, and that this process gives
/// out once. It is below those that the kernel gives to outgoing connections,
/// so that a server can be restarted on it.
pub(crate) fn free_port() -> u16 {
    let mut taken = TAKEN.lock().expect("no panic");
    loop {
        let port = fastrand::u16(12_000..32_000);
        let free = || {
            let tcp = TcpListener::bind(("127.0.0.1", port)).ok()?;
            let udp = UdpSocket::bind(("127.0.0.1", port)).ok()?;
            Some((tcp, udp))
        };
        if !taken.contains(&port) && free().is_some() {
            taken.insert(port);
            return port;
        }
    }
}
