//! A line to a server that can be cut.

use std::{
    io::{Read, Write},
    net::{Shutdown, SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc, Mutex, Weak,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::Duration,
};

use super::network::Door;

/// Passes bytes on, as long as it is not cut.
#[derive(Debug)]
pub(crate) struct Relay {
    /// Where clients connect.
    pub(crate) address: SocketAddr,
    is_cut: Arc<AtomicBool>,
    is_stalled: Arc<AtomicBool>,
    lines: Arc<Mutex<Vec<Weak<Line>>>>,
}

/// The two ends of a connection.
type Line = [TcpStream; 2];

impl Relay {
    /// A line to `behind`.
    pub(crate) fn to(behind: SocketAddr) -> Self {
        Self::by(behind, || {})
    }

    /// A line to `behind` in another namespace.
    pub(crate) fn into(door: Door, behind: SocketAddr) -> Self {
        Self::by(behind, move || door.enter())
    }

    /// A line to `behind`, laid by a thread that does `first` first.
    fn by(behind: SocketAddr, first: impl FnOnce() + Send + 'static) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a port");
        let address = listener.local_addr().expect("an address");
        let (is_cut, is_stalled, lines) = (Arc::default(), Arc::default(), Arc::default());
        let relay = Self { address, is_cut, is_stalled, lines };
        let (is_cut, lines) = (Arc::clone(&relay.is_cut), Arc::clone(&relay.lines));
        let stalled = Arc::clone(&relay.is_stalled);
        thread::spawn(move || {
            first();
            for client in listener.incoming().map_while(Result::ok) {
                let Ok(server) = TcpStream::connect(behind) else { continue };
                let mut open = lines.lock().expect("no panic");
                if is_cut.load(Ordering::SeqCst) {
                    continue;
                }
                let line = Arc::new([client, server]);
                open.retain(|line| line.strong_count() > 0);
                open.push(Arc::downgrade(&line));
                pass(Arc::clone(&line), 0, Arc::clone(&stalled));
                pass(line, 1, Arc::clone(&stalled));
            }
        });
        relay
    }

    /// Ends all connections and lets no new one through.
    pub(crate) fn cut(&self) {
        let mut open = self.lines.lock().expect("no panic");
        self.is_cut.store(true, Ordering::SeqCst);
        for line in open.drain(..).filter_map(|line| line.upgrade()) {
            line.iter().for_each(|end| drop(end.shutdown(Shutdown::Both)));
        }
    }

    /// Lets no byte through, and says nothing of it.
    pub(crate) fn stall(&self) {
        self.is_stalled.store(true, Ordering::SeqCst);
    }

    /// Lets connections through again.
    pub(crate) fn mend(&self) {
        self.is_stalled.store(false, Ordering::SeqCst);
        self.is_cut.store(false, Ordering::SeqCst);
    }
}

fn pass(line: Arc<Line>, from: usize, stalled: Arc<AtomicBool>) {
    thread::spawn(move || {
        let (mut from, mut to) = (&line[from], &line[1 - from]);
        let mut buffer = [0; 16 << 10];
        while let Ok(count @ 1..) = from.read(&mut buffer) {
            while stalled.load(Ordering::SeqCst) {
                thread::sleep(Duration::from_millis(5));
            }
            if to.write_all(&buffer[..count]).is_err() {
                break;
            }
        }
        let _ = to.shutdown(Shutdown::Both);
        let _ = from.shutdown(Shutdown::Both);
    });
}
