//! A line to a server that can be cut.

use std::{
    io::{Read, Write},
    net::{Shutdown, SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::Duration,
};

/// Passes bytes on, as long as it is not cut.
#[derive(Debug)]
pub(crate) struct Relay {
    /// Where clients connect.
    pub(crate) address: SocketAddr,
    is_cut: Arc<AtomicBool>,
    is_stalled: Arc<AtomicBool>,
    streams: Arc<Mutex<Vec<TcpStream>>>,
}

impl Relay {
    /// A line to `behind`.
    pub(crate) fn to(behind: SocketAddr) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a port");
        let address = listener.local_addr().expect("an address");
        let (is_cut, is_stalled, streams) = (Arc::default(), Arc::default(), Arc::default());
        let relay = Self { address, is_cut, is_stalled, streams };
        let (is_cut, streams) = (Arc::clone(&relay.is_cut), Arc::clone(&relay.streams));
        let stalled = Arc::clone(&relay.is_stalled);
        thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                let Ok(server) = TcpStream::connect(behind) else { continue };
                let mut open = streams.lock().expect("no panic");
                if is_cut.load(Ordering::SeqCst) {
                    continue;
                }
                for stream in [&client, &server] {
                    open.push(stream.try_clone().expect("a descriptor"));
                }
                let [there, back] = [&server, &client].map(|it| it.try_clone().expect("one"));
                pass(back, there, Arc::clone(&stalled));
                pass(server, client, Arc::clone(&stalled));
            }
        });
        relay
    }

    /// Ends all connections and lets no new one through.
    pub(crate) fn cut(&self) {
        let mut open = self.streams.lock().expect("no panic");
        self.is_cut.store(true, Ordering::SeqCst);
        for stream in open.drain(..) {
            let _ = stream.shutdown(Shutdown::Both);
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

fn pass(mut from: TcpStream, mut to: TcpStream, stalled: Arc<AtomicBool>) {
    thread::spawn(move || {
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
