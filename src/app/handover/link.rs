//! What the two processes have to say to each other once the new one serves,
//! for as long as the old one finishes what it has in flight.

use std::{
    cell::Cell,
    io,
    os::{
        fd::{AsFd, OwnedFd},
        unix::net::UnixStream,
    },
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use rustix::process::{Pid, Signal, kill_process};
use tokio::{
    sync::{mpsc, oneshot},
    time::{MissedTickBehavior, interval, timeout},
};

use super::{FromNew, FromOld, Wire};
use crate::{
    admin::RelayedCall,
    app::listeners::Directory,
    control::{Control, Leaver, PredecessorFeed},
    listener::http1::Moved,
    worker::{MovedClient, Worker},
};

/// How often the old process looks whether what is in flight has changed.
const REPORT: Duration = Duration::from_millis(50);

/// The process that took over, as the old one sees it.
#[derive(Debug)]
pub(in crate::app) struct Heir {
    pid: u32,
    /// Whether it is told to stop too.
    stops: Cell<bool>,
    all_moved: oneshot::Receiver<()>,
    /// Client connections that have moved.
    moved: Arc<AtomicU64>,
}

impl Heir {
    /// Tells it to stop: this process was told to when it had just taken over.
    pub(in crate::app) fn stop(&self) {
        self.stops.set(true);
        let pid = i32::try_from(self.pid).ok().and_then(Pid::from_raw);
        if let Some(Err(error)) = pid.map(|pid| kill_process(pid, Signal::TERM)) {
            tracing::warn!(%error, pid = self.pid, "cannot stop the process that took over");
        }
    }

    /// Whether it was told to stop.
    pub(in crate::app) fn stops(&self) -> bool {
        self.stops.get()
    }

    /// Waits until the last client connection that moves has moved, or none
    /// has for `patience`.
    pub(in crate::app) async fn all_moved(mut self, patience: Duration) {
        let mut before = self.moved.load(Ordering::Relaxed);
        while timeout(patience, &mut self.all_moved).await.is_err() {
            let now = self.moved.load(Ordering::Relaxed);
            if now == before {
                return;
            }
            before = now;
        }
    }
}

/// Leads the new process on: reports what is in flight here, and passes on
/// client connections and calls that are its own to serve.
pub(in crate::app) fn lead(
    (pid, wire): (u32, Arc<Wire>),
    control: Control,
    clients: mpsc::UnboundedReceiver<MovedClient>,
    calls: mpsc::Receiver<RelayedCall>,
) -> Heir {
    let (last, all_moved) = oneshot::channel();
    let moved = Arc::new(AtomicU64::new(0));
    let counted = (last, Arc::clone(&moved));
    let seen = Arc::new(AtomicU64::new(0));
    tokio::spawn(hear_leavers(Arc::clone(&wire), control.clone(), Arc::clone(&seen)));
    tokio::spawn(async move {
        if let Err(error) = pass_on(&wire, &control, &seen, clients, calls, counted).await {
            tracing::warn!(%error, "the process that took over is gone");
        }
    });
    Heir { pid, stops: Cell::new(false), all_moved, moved }
}

async fn pass_on(
    wire: &Wire,
    control: &Control,
    seen: &AtomicU64,
    mut clients: mpsc::UnboundedReceiver<MovedClient>,
    mut calls: mpsc::Receiver<RelayedCall>,
    (last, moved): (oneshot::Sender<()>, Arc<AtomicU64>),
) -> io::Result<()> {
    let mut last = Some(last);
    let mut reported = None;
    let mut looks = interval(REPORT);
    looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    control.acknowledged().await;
    loop {
        tokio::select! {
            client = clients.recv(), if last.is_some() => match client {
                Some(MovedClient { listener, announced, connection: Moved { stream, ahead } }) => {
                    let message = FromOld::Client { listener, announced, ahead: ahead.into() };
                    wire.send(&message, Some(stream.as_fd())).await?;
                    moved.fetch_add(1, Ordering::Relaxed);
                }
                // The workers have ended: that is the last word.
                None => {
                    let report = control.in_flight_report(seen.load(Ordering::Acquire));
                    wire.send(&FromOld::InFlight(report), None).await?;
                    let _ = last.take().map(|last| last.send(()));
                }
            },
            Some(RelayedCall { stream, peer, local }) = calls.recv() => {
                wire.send(&FromOld::Call { peer, local }, Some(stream.as_fd())).await?;
            }
            _ = looks.tick() => {
                // Before the counts: they have to be no older.
                let report = control.in_flight_report(seen.load(Ordering::Acquire));
                if reported.as_ref() != Some(&report) {
                    wire.send(&FromOld::InFlight(report.clone()), None).await?;
                    reported = Some(report);
                }
            }
        }
    }
}

/// Takes out here whom the new process says are leaving.
async fn hear_leavers(wire: Arc<Wire>, control: Control, seen: Arc<AtomicU64>) {
    while let Ok(Some((message, _))) = wire.receive::<FromNew>().await {
        if let FromNew::Leaver(leaver) = message {
            control.leave_with(&leaver).await;
            seen.store(leaver.number, Ordering::Release);
        }
    }
}

/// Follows the old process until it ends: takes in what it reports, and serves
/// what it passes on.
pub(in crate::app) async fn follow(
    wire: Wire,
    (feed, mut leavers): (PredecessorFeed, mpsc::UnboundedReceiver<Leaver>),
    listeners: Directory,
    workers: Arc<[Worker]>,
    calls: mpsc::Sender<RelayedCall>,
) {
    let tell = async {
        while let Some(leaver) = leavers.recv().await {
            if wire.send(&FromNew::Leaver(leaver), None).await.is_err() {
                return;
            }
        }
    };
    let hear = async {
        loop {
            let (message, descriptor) = match wire.receive::<FromOld>().await {
                Ok(Some(received)) => received,
                Err(error) if error.kind() == io::ErrorKind::InvalidData => {
                    // It may have been a report: nothing is known any more.
                    tracing::error!(%error, "the process before says what cannot be read");
                    feed.lost();
                    continue;
                }
                Ok(None) | Err(_) => break,
            };
            match (message, descriptor) {
                (FromOld::InFlight(report), _) => feed.report(report),
                (FromOld::Client { listener, announced, ahead }, Some(descriptor)) => {
                    let connection = Moved { stream: descriptor.into(), ahead: ahead.into() };
                    listeners.adopt(MovedClient { listener, announced, connection }, &workers);
                }
                (FromOld::Call { peer, local }, Some(descriptor)) => {
                    let stream = UnixStream::from(descriptor);
                    let _ = calls.send(RelayedCall { stream, peer, local }).await;
                }
                (_, descriptor) => drop::<Option<OwnedFd>>(descriptor),
            }
        }
    };
    // Nobody is told any more once nobody listens.
    tokio::select! {
        () = hear => {}
        () = async { tell.await; std::future::pending().await } => {}
    }
    tracing::info!("the process before has ended");
}
