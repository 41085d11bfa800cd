//! One data-plane thread: a runtime of its own, its sockets, its connections.
//!
//! A worker shares nothing with the others but the table, counters and the
//! room of a listener. It is told what to do by [`Command`]s, and ends when it
//! is told to stop and its last connection has ended.

use std::{
    cell::RefCell,
    collections::HashMap,
    io,
    net::{SocketAddr, TcpListener},
    rc::Rc,
    sync::Arc,
    thread::{self, JoinHandle},
};

use arc_swap::ArcSwap;
use tokio::{
    runtime::LocalRuntime,
    sync::{Semaphore, mpsc},
    task::spawn_local,
};
use tokio_util::sync::CancellationToken;

use crate::{
    deadline::{self, TickerHandle},
    listener::{self, ListenerSettings, http1},
    model::Reason,
    proxy::{Client, ClientService, Proxy},
};

/// What the sockets of one address have in common, over all workers.
#[derive(Debug)]
pub struct Listening {
    /// A number for metrics.
    pub number: usize,
    /// The address it is bound to.
    pub address: SocketAddr,
    /// Settings for connections to come.
    pub settings: ArcSwap<ListenerSettings>,
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
    /// Stop accepting, let all connections end, then return.
    Stop,
    /// Return at once.
    Abort,
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
    };
    spawn_local(deadline::sweep(ticker, is_needed, housekeeping));
    spawn_local(acknowledge(Rc::clone(&proxy)));
    let listening: RefCell<HashMap<SocketAddr, CancellationToken>> = RefCell::default();
    let all = CancellationToken::new();
    loop {
        match commands.recv().await {
            Some(Command::Listen(shared, socket)) => {
                let stop = all.child_token();
                listening.borrow_mut().insert(shared.address, stop.clone());
                let serving = listen(Rc::clone(&proxy), shared, socket, stop);
                spawn_local(proxy.tasks.track_future(serving));
            }
            Some(Command::Unlisten(address)) => {
                if let Some(stop) = listening.borrow_mut().remove(&address) {
                    stop.cancel();
                }
            }
            Some(Command::Stop) | None => break,
            Some(Command::Abort) => return,
        }
    }
    all.cancel();
    proxy.tasks.close();
    tokio::select! {
        () = proxy.tasks.wait() => {}
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

async fn listen(
    proxy: Rc<Proxy>,
    shared: Arc<Listening>,
    socket: TcpListener,
    stop: CancellationToken,
) {
    let socket = match tokio::net::TcpListener::from_std(socket) {
        Ok(socket) => socket,
        Err(error) => {
            tracing::error!(%error, address = %shared.address, "cannot listen");
            return;
        }
    };
    let room = Arc::clone(&shared.room);
    let stopped = stop.clone();
    listener::accept(socket, room, stopped.cancelled(), |stream, peer, permit| {
        let settings = shared.settings.load_full();
        let client = Client::new(peer, Arc::clone(&settings));
        let service = ClientService::new(Rc::clone(&proxy), client);
        let (proxy, stop, number) = (Rc::clone(&proxy), stop.clone(), shared.number);
        let tasks = proxy.tasks.clone();
        spawn_local(tasks.track_future(async move {
            let open = Open::begin(proxy, number);
            let answer = |request| service.answer(request);
            let end = http1::serve(stream, &settings, answer, stop.cancelled()).await;
            if let http1::End::Broken(error) = end {
                open.refused(&error);
            }
            drop(permit);
        }));
    })
    .await;
}

/// Counts an open connection.
struct Open {
    proxy: Rc<Proxy>,
    listener: usize,
}

impl Open {
    fn begin(proxy: Rc<Proxy>, listener: usize) -> Self {
        proxy.metrics.worker(proxy.worker).connection_opened(listener);
        Self { proxy, listener }
    }

    /// Counts what hyper refused by itself before it was a request.
    fn refused(&self, error: &hyper::Error) {
        let reason = if error.is_parse_too_large() {
            Reason::HeadTooLarge
        } else if error.is_parse() {
            Reason::RequestInvalid
        } else {
            return;
        };
        let metrics = self.proxy.metrics.worker(self.proxy.worker);
        metrics.request_begun();
        metrics.request_ended(reason, true);
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.proxy.metrics.worker(self.proxy.worker).connection_closed(self.listener);
    }
}
