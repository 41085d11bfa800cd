//! Stands between Portolan and an origin, passes every byte on and writes it
//! down first.

use std::{
    io::{Read, Write},
    net::{Shutdown, SocketAddr, TcpListener, TcpStream},
    sync::{Arc, Mutex},
    thread,
};

/// A tap. Its threads end with their connections.
#[derive(Debug)]
pub(crate) struct Tap {
    pub(crate) address: SocketAddr,
    heard: Arc<Mutex<Vec<Heard>>>,
}

/// What was said over one connection since somebody looked.
#[derive(Clone, Debug, Default)]
pub(crate) struct Heard {
    pub(crate) requests: Vec<u8>,
    pub(crate) answers: Vec<u8>,
}

impl Tap {
    pub(crate) fn before(origin: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("an address");
        let heard = Arc::new(Mutex::new(Vec::new()));
        let shared = Arc::clone(&heard);
        thread::spawn(move || {
            for near in listener.incoming().flatten() {
                let far = TcpStream::connect(origin).expect("the origin");
                let _ = (near.set_nodelay(true), far.set_nodelay(true));
                let mut all = shared.lock().expect("no panic");
                let number = all.len();
                all.push(Heard::default());
                drop(all);
                let (back, forth) = (Arc::clone(&shared), Arc::clone(&shared));
                let (near_too, far_too) =
                    (near.try_clone().expect("a descriptor"), far.try_clone());
                let far_too = far_too.expect("a descriptor");
                thread::spawn(move || {
                    pump(&near, &far, |bytes| {
                        forth.lock().expect("no panic")[number].requests.extend(bytes);
                    });
                });
                thread::spawn(move || {
                    pump(&far_too, &near_too, |bytes| {
                        back.lock().expect("no panic")[number].answers.extend(bytes);
                    });
                });
            }
        });
        Self { address, heard }
    }

    /// What was said since the last time, over each connection that was used.
    pub(crate) fn take(&self) -> Vec<Heard> {
        let mut all = self.heard.lock().expect("no panic");
        let taken = all.iter_mut().map(std::mem::take);
        taken.filter(|heard| !heard.requests.is_empty() || !heard.answers.is_empty()).collect()
    }
}

fn pump(mut from: &TcpStream, mut to: &TcpStream, note: impl Fn(&[u8])) {
    let mut bytes = [0; 16 * 1024];
    while let Ok(count @ 1..) = from.read(&mut bytes) {
        note(&bytes[..count]);
        if to.write_all(&bytes[..count]).is_err() {
            break;
        }
    }
    // Who leaves in the middle of a message leaves altogether.
    let _ = (from.shutdown(Shutdown::Both), to.shutdown(Shutdown::Both));
}
