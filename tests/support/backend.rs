//! An instance that does what the test tells it, byte by byte.

use std::{
    net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc, Mutex, Weak,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    thread,
    time::Duration,
};

use socket2::{Domain, Socket, Type};

use super::{Connection, Message};

/// An instance on a port of its own. It runs until it is dropped, which also
/// cuts its connections.
#[derive(Debug)]
pub(crate) struct Backend {
    /// Where it listens.
    pub(crate) address: SocketAddr,
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    stopped: AtomicBool,
    connections: AtomicUsize,
    open: AtomicUsize,
    streams: Mutex<Vec<Weak<TcpStream>>>,
    requests: Mutex<Vec<Message>>,
}

/// What a script works with: the connection, and what came before it.
#[derive(Debug)]
pub(crate) struct Accepted {
    /// The connection.
    pub(crate) connection: Connection,
    /// Which one it is, from 1.
    pub(crate) number: usize,
    shared: Arc<Shared>,
}

impl Accepted {
    /// Reads a request with its body and keeps it for [`Backend::requests`].
    pub(crate) fn request(&mut self) -> Option<Message> {
        let request = self.connection.read_request()?;
        self.note(&request);
        Some(request)
    }

    /// Reads the head of a request and keeps it for [`Backend::requests`].
    pub(crate) fn head(&mut self) -> Option<Message> {
        let request = self.connection.read_head().ok()?;
        self.note(&request);
        Some(request)
    }

    fn note(&self, request: &Message) {
        self.shared.requests.lock().expect("no panic").push(request.clone());
    }

    /// Sends `bytes`.
    pub(crate) fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.connection.send(bytes);
    }
}

impl Backend {
    /// Starts one that runs `script` for each connection, on a thread of its
    /// own. The connection is closed when the script returns.
    pub(crate) fn start(script: impl Fn(Accepted) + Send + Sync + 'static) -> Self {
        Self::at(Ipv4Addr::LOCALHOST, script)
    }

    /// As [`Self::start`], at an address of this machine.
    pub(crate) fn at(ip: Ipv4Addr, script: impl Fn(Accepted) + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind((ip, 0)).expect("a port");
        let address = listener.local_addr().expect("an address");
        let shared = Arc::new(Shared::default());
        let (accepting, script) = (Arc::clone(&shared), Arc::new(script));
        thread::spawn(move || {
            for stream in listener.incoming() {
                if accepting.stopped.load(Ordering::SeqCst) {
                    return;
                }
                let Ok(stream) = stream else { continue };
                let connection = Connection::new(stream);
                accepting.streams.lock().expect("no panic").push(connection.weak());
                let number = accepting.connections.fetch_add(1, Ordering::SeqCst) + 1;
                accepting.open.fetch_add(1, Ordering::SeqCst);
                let (shared, script) = (Arc::clone(&accepting), Arc::clone(&script));
                let open = Open(Arc::clone(&shared));
                thread::spawn(move || {
                    let _open = open;
                    script(Accepted { connection, number, shared });
                });
            }
        });
        Self { address, shared }
    }

    /// Answers each request, over however many connections, with `answer`.
    pub(crate) fn answering(answer: impl AsRef<[u8]> + Send + Sync + 'static) -> Self {
        Self::start(move |mut accepted| {
            while accepted.request().is_some() {
                accepted.send(&answer);
            }
        })
    }

    /// An address that refuses connections: it is bound, so that nobody else
    /// gets it, and not listened on.
    pub(crate) fn refusing() -> SocketAddr {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
        socket.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into()).expect("a port");
        let address = socket.local_addr().expect("an address");
        // For as long as the tests run.
        std::mem::forget(socket);
        address.as_socket().expect("an IP address")
    }

    /// Connections accepted so far.
    pub(crate) fn connections(&self) -> usize {
        self.shared.connections.load(Ordering::SeqCst)
    }

    /// Connections whose script has not returned.
    pub(crate) fn open(&self) -> usize {
        self.shared.open.load(Ordering::SeqCst)
    }

    /// Requests read so far.
    pub(crate) fn requests(&self) -> Vec<Message> {
        self.shared.requests.lock().expect("no panic").clone()
    }

    /// The one request read so far.
    #[track_caller]
    pub(crate) fn only_request(&self) -> Message {
        let mut requests = self.requests();
        assert_eq!(requests.len(), 1, "{requests:?}");
        requests.remove(0)
    }
}

/// An address at which connections are neither accepted nor refused, until
/// this is dropped: its queue is full.
#[derive(Debug)]
pub(crate) struct Silence {
    /// The address.
    pub(crate) address: SocketAddr,
    _listener: Socket,
    _queue: Vec<TcpStream>,
}

impl Silence {
    /// Opens one.
    pub(crate) fn start() -> Self {
        let listener = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
        listener.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into()).expect("a port");
        listener.listen(0).expect("a listener");
        let address = listener.local_addr().expect("an address");
        let address = address.as_socket().expect("an IP address");
        let mut queue = Vec::new();
        let patience = Duration::from_millis(500);
        while let Ok(stream) = TcpStream::connect_timeout(&address, patience) {
            queue.push(stream);
        }
        Self { address, _listener: listener, _queue: queue }
    }
}

struct Open(Arc<Shared>);

impl Drop for Open {
    fn drop(&mut self) {
        self.0.open.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Drop for Backend {
    fn drop(&mut self) {
        self.shared.stopped.store(true, Ordering::SeqCst);
        // Wakes the thread that accepts.
        let _ = TcpStream::connect(self.address);
        for stream in self.shared.streams.lock().expect("no panic").drain(..) {
            if let Some(stream) = stream.upgrade() {
                let _ = stream.shutdown(Shutdown::Both);
            }
        }
    }
}
