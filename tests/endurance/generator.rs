//! The load: so many exchanges a second, whatever becomes of those before
//! (open loop), for as long as it is wanted.

use std::{
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use tokio::{task::JoinHandle, time::MissedTickBehavior};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{
    content::mixed,
    exchange::Client,
    tally::{Failure, Kind, Tally},
};

/// How often exchanges are begun: some at once.
const TICK: Duration = Duration::from_millis(5);

/// Numbers are never used twice, whatever runs one after the other.
static NUMBERS: AtomicU64 = AtomicU64::new(1);

/// What is sent.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Mix {
    /// Of a hundred: 66 GETs, 28 POSTs, 5 streams, 1 WebSocket.
    All,
    /// GETs alone.
    Gets,
}

impl Mix {
    fn kind(self, number: u64) -> Kind {
        match (self, mixed(number ^ 5) % 100) {
            (Self::Gets, _) | (_, 0..66) => Kind::Get,
            (_, 66..94) => Kind::Post,
            (_, 94..99) => Kind::Stream,
            _ => Kind::WebSocket,
        }
    }
}

/// A running load.
#[derive(Debug)]
pub(crate) struct Generator {
    shared: Arc<Shared>,
    stop: CancellationToken,
    sending: JoinHandle<()>,
}

#[derive(Debug)]
struct Shared {
    client: Client,
    tally: Mutex<Tally>,
    under_way: TaskTracker,
}

impl Generator {
    /// Begins to send `rate` exchanges a second to `target`.
    pub(crate) fn start(target: SocketAddr, rate: u64, mix: Mix) -> Self {
        let shared = Arc::new(Shared {
            client: Client::of(target),
            tally: Mutex::default(),
            under_way: TaskTracker::new(),
        });
        let stop = CancellationToken::new();
        let sending = tokio::spawn(send(Arc::clone(&shared), rate, mix, stop.clone()));
        Self { shared, stop, sending }
    }

    /// Sends no more, and waits for what is under way.
    pub(crate) async fn stop(self) -> Tally {
        self.stop.cancel();
        self.sending.await.expect("no panic");
        self.shared.under_way.close();
        self.shared.under_way.wait().await;
        std::mem::take(&mut *self.shared.tally.lock().expect("no panic"))
    }
}

async fn send(shared: Arc<Shared>, rate: u64, mix: Mix, stop: CancellationToken) {
    let begun = Instant::now();
    let mut ticks = tokio::time::interval(TICK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
    let mut sent = 0;
    while stop.run_until_cancelled(ticks.tick()).await.is_some() {
        let due = (begun.elapsed().as_secs_f64() * rate as f64) as u64;
        for nth in sent..due {
            let due_at = begun + Duration::from_secs_f64(nth as f64 / rate as f64);
            let number = NUMBERS.fetch_add(1, Ordering::Relaxed);
            let shared = Arc::clone(&shared);
            let one = Arc::clone(&shared).one(mix.kind(number), number, due_at);
            shared.under_way.spawn(one);
        }
        sent = due;
    }
    shared.tally.lock().expect("no panic").span = begun.elapsed();
}

impl Shared {
    async fn one(self: Arc<Self>, kind: Kind, number: u64, due: Instant) {
        let begun = Instant::now();
        let result = self.client.exchange(kind, number).await;
        let ended = Instant::now();
        let mut tally = self.tally.lock().expect("no panic");
        *tally.sent.entry(kind).or_default() += 1;
        match result {
            Ok(()) => {
                *tally.ok.entry(kind).or_default() += 1;
                if kind == Kind::Get {
                    tally.took.push(ended - due);
                }
            }
            Err(cause) => tally.failures.push(Failure { kind, number, cause, begun, ended }),
        }
    }
}
