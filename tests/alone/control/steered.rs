//! An instance whose health and pace the test decides over.

use std::{
    net::SocketAddr,
    sync::{
        Arc, Condvar, Mutex,
        atomic::{AtomicU16, AtomicUsize, Ordering},
    },
};

use crate::support::Backend;

/// It answers `/healthz` with a status that can be changed and the body `up`,
/// `/slow` when it is let go, an upgrade with an echo of every byte, and
/// everything else at once with its name.
#[derive(Debug)]
pub(super) struct Steered {
    backend: Backend,
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    name: &'static str,
    health: AtomicU16,
    probes: AtomicUsize,
    served: AtomicUsize,
    held: Mutex<bool>,
    let_go: Condvar,
}

impl Steered {
    /// Starts one that calls itself `name` and is healthy.
    pub(super) fn start(name: &'static str) -> Self {
        let shared = Arc::new(Shared {
            name,
            health: AtomicU16::new(200),
            probes: AtomicUsize::new(0),
            served: AtomicUsize::new(0),
            held: Mutex::new(true),
            let_go: Condvar::new(),
        });
        let script = Arc::clone(&shared);
        let backend = Backend::start(move |mut accepted| {
            while let Ok(head) = accepted.connection.read_head() {
                let mut request = head;
                accepted.connection.read_body(&mut request, false);
                if request.field("upgrade").is_some() {
                    accepted.send(
                        "HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\n\
                         upgrade: websocket\r\n\r\n",
                    );
                    while let Ok(bytes) = accepted.connection.read() {
                        accepted.send(bytes);
                    }
                    return;
                }
                let (status, body) = script.answer(request.target());
                let length = body.len();
                accepted.send(format!(
                    "HTTP/1.1 {status} Whatever\r\ncontent-length: {length}\r\n\r\n{body}"
                ));
            }
        });
        Self { backend, shared }
    }

    pub(super) fn address(&self) -> SocketAddr {
        self.backend.address
    }

    /// Connections that are open.
    pub(super) fn open(&self) -> usize {
        self.backend.open()
    }

    /// A body that registers it, with more fields.
    pub(super) fn body(&self, more: &str) -> String {
        let comma = if more.is_empty() { "" } else { ", " };
        format!("{{\"address\": \"{}\"{comma}{more}}}", self.address())
    }

    /// What `/healthz` answers from now on.
    pub(super) fn set_health(&self, status: u16) {
        self.shared.health.store(status, Ordering::SeqCst);
    }

    /// Lets requests for `/slow` go on, those to come too.
    pub(super) fn let_go(&self) {
        *self.shared.held.lock().expect("no panic") = false;
        self.shared.let_go.notify_all();
    }

    /// Requests for `/healthz` so far.
    pub(super) fn probes(&self) -> usize {
        self.shared.probes.load(Ordering::SeqCst)
    }

    /// Other requests so far, those that have only begun too.
    pub(super) fn served(&self) -> usize {
        self.shared.served.load(Ordering::SeqCst)
    }
}

impl Drop for Steered {
    fn drop(&mut self) {
        self.let_go();
    }
}

impl Shared {
    fn answer(&self, target: &str) -> (u16, String) {
        if target.starts_with("/healthz") {
            self.probes.fetch_add(1, Ordering::SeqCst);
            return (self.health.load(Ordering::SeqCst), "up".to_owned());
        }
        self.served.fetch_add(1, Ordering::SeqCst);
        if target.starts_with("/slow") {
            let held = self.held.lock().expect("no panic");
            drop(self.let_go.wait_while(held, |held| *held).expect("no panic"));
        }
        (200, self.name.to_owned())
    }
}
