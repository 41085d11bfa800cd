//! One data-plane thread: a runtime of its own, its sockets, its connections.
//!
//! A worker shares nothing with the others but the table, counters and the
//! room of a listener. It is told what to do by [`Command`]s, and ends when it
//! is told to stop and its last connection has ended.

mod connection;
mod memory;
mod serving;

use std::{
    cell::{Cell, OnceCell, RefCell},
    collections::HashMap,
    io,
    net::{SocketAddr, TcpListener},
    rc::Rc,
    sync::Arc,
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use arc_swap::{ArcSwap, ArcSwapOption};
use tokio::{
    runtime::LocalRuntime,
    sync::{Semaphore, mpsc, oneshot},
    task::spawn_local,
};
use tokio_util::sync::CancellationToken;

use crate::{
    deadline::{self, TickerHandle},
    listener::{
        self, Farewell, Handshakes, ListenerSettings, http1::Moved, proxy_protocol::HeaderError,
    },
    model::Peer,
    proxy::Proxy,
    tls::ServerTls,
};
use connection::{Before, adopt, serve};

/// Time between two complaints in the log.
const COMPLAINTS: Duration = Duration::from_secs(10);

/// What the sockets of one address have in common, over all workers.
#[derive(Debug)]
pub struct Listening {
    /// A number for metrics.
    pub number: usize,
    /// The address it is bound to.
    pub address: SocketAddr,
    /// Settings for connections to come.
    pub settings: ArcSwap<ListenerSettings>,
    /// What it speaks TLS with, if it does.
    pub tls: ArcSwapOption<ServerTls>,
    /// Connections that may still be opened.
    pub room: Arc<Semaphore>,
}

/// What a worker is told.
#[derive(Debug)]
pub enum Command {
    /// Accept on a socket.
    Listen(Arc<Listening>, TcpListener),
    /// Stop accepting at an address, and let its connections end.
    Unlisten(SocketAddr),
    /// Stop accepting. Requests, streams and tunnels go on; connections move
    /// out between two requests.
    MoveTo(mpsc::UnboundedSender<MovedClient>),
    /// Serve a connection that another process has accepted.
    Adopt(Arc<Listening>, MovedClient),
    /// Say that the worker turns.
    Turn(oneshot::Sender<()>),
    /// Stop accepting, let all connections end, then return.
    Stop,
    /// Return at once.
    Abort,
}

/// A client connection that another process is to serve.
#[derive(Debug)]
pub struct MovedClient {
    /// Where it was accepted.
    pub listener: SocketAddr,
    /// The client that a load balancer has named.
    pub announced: Option<SocketAddr>,
    /// The connection.
    pub connection: Moved,
}

/// The control plane's handle on a worker.
#[derive(Debug)]
pub struct Worker {
    commands: mpsc::UnboundedSender<Command>,
    thread: JoinHandle<()>,
}

impl Worker {
    /// Starts a worker. `proxy` is called on its thread, which what it returns
    /// never leaves.
    ///
    /// # Errors
    ///
    /// When the system has no thread left.
    pub fn start(
        number: usize,
        ticker: TickerHandle,
        proxy: impl FnOnce() -> Proxy + Send + 'static,
    ) -> io::Result<Self> {
        let (commands, receiver) = mpsc::unbounded_channel();
        let thread = thread::Builder::new().name(format!("worker-{number}")).spawn(move || {
            let runtime = match LocalRuntime::new() {
                Ok(runtime) => runtime,
                Err(error) => {
                    tracing::error!(%error, worker = number, "a worker could not start");
                    return;
                }
            };
            runtime.block_on(run(Rc::new(proxy()), ticker, receiver));
        })?;
        Ok(Self { commands, thread })
    }

    /// Tells the worker. One that has ended does not listen.
    pub fn tell(&self, command: Command) {
        let _ = self.commands.send(command);
    }

    /// Whether it has ended.
    #[must_use]
    pub fn is_finished(&self) -> bool {
        self.thread.is_finished()
    }

    /// Waits for its end. Blocks.
    pub fn join(self) {
        let _ = self.thread.join();
    }
}

/// What the connections of a worker have in common.
#[derive(Clone)]
struct Work {
    proxy: Rc<Proxy>,
    /// Where connections move, once they do.
    movers: Rc<RefCell<Option<mpsc::UnboundedSender<MovedClient>>>>,
    /// When a load balancer was last complained of.
    complained: Rc<Cell<Option<Instant>>>,
}

impl Work {
    /// Logs that the load balancer at `peer` does not do as was agreed; each
    /// of its connections is the same, so not each time.
    #[cold]
    fn complain(&self, error: &HeaderError, peer: &Peer) {
        if self.complained.get().is_none_or(|last| last.elapsed() > COMPLAINTS) {
            self.complained.set(Some(Instant::now()));
            let Peer { address: peer, local: listener, .. } = peer;
            tracing::warn!(%error, %peer, %listener, "closed a connection of a load balancer");
        }
    }
}

/// How the connections of one listener are told to end, and what they have in
/// common on this worker.
#[derive(Clone, Default)]
struct Stop {
    token: CancellationToken,
    farewell: Rc<Cell<Farewell>>,
    /// Room for TLS handshakes, once there was one.
    handshakes: Rc<OnceCell<Handshakes>>,
}

impl Stop {
    fn tell(&self, farewell: Farewell) {
        self.farewell.set(farewell);
        self.token.cancel();
    }

    /// Waits until it is told.
    async fn told(&self) -> Farewell {
        self.token.cancelled().await;
        self.farewell.get()
    }
}

async fn run(
    proxy: Rc<Proxy>,
    ticker: TickerHandle,
    mut commands: mpsc::UnboundedReceiver<Command>,
) {
    let (idling, tidied) = (Rc::clone(&proxy), Rc::clone(&proxy));
    let is_needed = move || !idling.pools.is_empty();
    let housekeeping = move || {
        tidied.pools.tidy();
        // Also what took its place just before the last table came.
        cut(&tidied);
        memory::give_back();
    };
    spawn_local(deadline::sweep(ticker, is_needed, housekeeping));
    spawn_local(acknowledge(Rc::clone(&proxy)));
    let mut listening: HashMap<SocketAddr, Stop> = HashMap::new();
    let work = Work { proxy, movers: Rc::default(), complained: Rc::default() };
    let tasks = &work.proxy.tasks;
    loop {
        match commands.recv().await {
            Some(Command::Listen(shared, socket)) => {
                let stop = listening.entry(shared.address).or_default().clone();
                spawn_local(tasks.track_future(listen(work.clone(), shared, socket, stop)));
            }
            Some(Command::Adopt(shared, moved)) => {
                // Without one, its listener has just been taken out.
                let stop = listening.get(&shared.address).cloned().unwrap_or_default();
                spawn_local(tasks.track_future(adopt(work.clone(), shared, moved, stop)));
            }
            Some(Command::Unlisten(address)) => {
                if let Some(stop) = listening.remove(&address) {
                    stop.tell(Farewell::Close);
                }
            }
            Some(Command::MoveTo(movers)) => {
                work.movers.replace(Some(movers));
                for stop in listening.values() {
                    stop.tell(Farewell::Move);
                }
            }
            Some(Command::Turn(turned)) => {
                let _ = turned.send(());
            }
            Some(Command::Stop) | None => break,
            Some(Command::Abort) => return,
        }
    }
    // What is moving goes on moving.
    for stop in listening.values().filter(|stop| !stop.token.is_cancelled()) {
        stop.tell(Farewell::Close);
    }
    tasks.close();
    tokio::select! {
        () = tasks.wait() => {}
        () = aborted(&mut commands) => {}
    }
}

async fn aborted(commands: &mut mpsc::UnboundedReceiver<Command>) {
    while let Some(command) = commands.recv().await {
        if matches!(command, Command::Abort) {
            return;
        }
    }
    std::future::pending().await
}

/// Refreshes the table when there is a new one, even if there are no requests,
/// closes the connections to endpoints that are not in it any more, and cuts
/// what those have in flight whose time is over.
async fn acknowledge(proxy: Rc<Proxy>) {
    loop {
        proxy.tables.acknowledge();
        proxy.pools.drop_retired();
        cut(&proxy);
        proxy.tables.published().await;
    }
}

/// Ends what is in flight on endpoints whose time is over.
fn cut(proxy: &Proxy) {
    proxy.tables.with(|table| {
        for endpoint in &*table.expired {
            deadline::expire(endpoint.value());
        }
    });
}

async fn listen(work: Work, shared: Arc<Listening>, socket: TcpListener, stop: Stop) {
    let socket = match tokio::net::TcpListener::from_std(socket) {
        Ok(socket) => socket,
        Err(error) => {
            tracing::error!(%error, address = %shared.address, "cannot listen");
            return;
        }
    };
    let room = Arc::clone(&shared.room);
    listener::accept(socket, room, stop.told(), |stream, peer, permit| {
        let tasks = work.proxy.tasks.clone();
        let (work, shared, stop) = (work.clone(), Arc::clone(&shared), stop.clone());
        let served = serve(work, shared, stream, peer, Before::Accepted, stop, permit);
        spawn_local(tasks.track_future(served));
    })
    .await;
}
