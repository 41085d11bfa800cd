//! What attacks are made of: many clients at once that each do the same thing
//! again and again, for a time.

use std::{future::Future, io, net::SocketAddr, pin::Pin, time::Duration};

use tokio::{
    net::{TcpSocket, TcpStream},
    task::JoinSet,
    time::{Instant, sleep, timeout_at},
};

type Performed = Pin<Box<dyn Future<Output = u64>>>;

/// An attack that can be chosen.
pub(crate) struct Attack {
    pub(crate) name: &'static str,
    /// Clients in its full form.
    pub(crate) clients: usize,
    /// Bytes of memory that each of them may cost.
    pub(crate) each: u64,
    /// More settings of the listener.
    pub(crate) listener: &'static str,
    /// Whether the listener speaks TLS, and so the other clients.
    pub(crate) tls: bool,
    /// What the connections of other clients begin with.
    pub(crate) greeting: &'static [u8],
    /// Does it, and answers with how often a client was turned away.
    pub(crate) perform: fn(Pressure, Duration) -> Performed,
}

/// Many clients of one proxy.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pressure {
    pub(crate) address: SocketAddr,
    pub(crate) clients: usize,
}

impl Pressure {
    pub(crate) const fn start(address: SocketAddr, clients: usize) -> Self {
        Self { address, clients }
    }

    /// Has each client do `turn` over a new connection until it is turned
    /// away, and again, for `time`. Answers with how often that was.
    pub(crate) async fn apply<T, F>(self, time: Duration, turn: T) -> u64
    where
        T: Fn(TcpStream) -> F + Clone + Send + Sync + 'static,
        F: Future<Output = io::Result<()>> + Send + 'static,
    {
        let until = Instant::now() + time;
        let mut tasks = JoinSet::new();
        for number in 0..self.clients {
            let turn = turn.clone();
            tasks.spawn(async move {
                let mut ends = 0;
                // Not all in one moment: the queue of the kernel is finite.
                sleep(Duration::from_micros(100 * number as u64)).await;
                while Instant::now() < until {
                    let one = async {
                        match open(self.address).await {
                            Ok(stream) => turn(stream).await,
                            Err(error) => Err(error),
                        }
                    };
                    if let Ok(ended) = timeout_at(until, one).await {
                        ends += 1;
                        if ended.is_err() {
                            // Nobody gains by turning in place.
                            sleep(Duration::from_millis(5)).await;
                        }
                    }
                }
                ends
            });
        }
        let mut ends = 0;
        while let Some(count) = tasks.join_next().await {
            ends += count.expect("no panic");
        }
        ends
    }
}

/// A connection that takes little into its own buffers.
async fn open(address: SocketAddr) -> io::Result<TcpStream> {
    let socket = TcpSocket::new_v4()?;
    socket.set_recv_buffer_size(4096)?;
    socket.set_nodelay(true)?;
    socket.connect(address).await
}
