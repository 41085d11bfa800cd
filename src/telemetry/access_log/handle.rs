//! The side of the access log that workers hold.

use std::{
    io,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU8, AtomicU64, Ordering},
        mpsc::{self, Receiver, Sender, SyncSender, TrySendError},
    },
    thread,
    time::{Duration, Instant},
};

use super::{
    output::Output,
    record::AccessRecord,
    writer::{Message, Orders, Setup, Writer},
};
use crate::{
    model::Reason,
    telemetry::{AccessLogMode, AccessLogSettings},
};

/// How long the last handle waits for the queue to be written.
const FAREWELL: Duration = Duration::from_secs(2);

/// A handle on the access log. When the last one is dropped, what is queued is
/// written, for at most two seconds.
#[derive(Clone, Debug)]
pub struct AccessLog(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    mode: AtomicU8,
    /// None only while this is dropped.
    queue: Option<SyncSender<Message>>,
    dropped: AtomicU64,
    lost: Arc<AtomicU64>,
    orders: Arc<Orders>,
    /// Disconnected when the thread has ended.
    ended: Mutex<Receiver<()>>,
}

const ALL: u8 = 0;
const ERRORS: u8 = 1;
const OFF: u8 = 2;

const fn mode_number(mode: AccessLogMode) -> u8 {
    match mode {
        AccessLogMode::All => ALL,
        AccessLogMode::Errors => ERRORS,
        AccessLogMode::Off => OFF,
    }
}

impl AccessLog {
    /// Opens the output and starts the thread that writes to it.
    ///
    /// # Errors
    ///
    /// If the file cannot be opened, or the thread not started.
    pub fn start(settings: &AccessLogSettings) -> io::Result<Self> {
        let setup = setup(settings)?;
        let capacity = usize::try_from(settings.queue.get()).unwrap_or(usize::MAX);
        let (queue, receiver) = mpsc::sync_channel(capacity);
        let (orders, lost) = (Arc::<Orders>::default(), Arc::<AtomicU64>::default());
        let writer = Writer::new(receiver, Arc::clone(&orders), Arc::clone(&lost), setup);
        let (ends, ended): (Sender<()>, _) = mpsc::channel();
        thread::Builder::new().name("access-log".into()).spawn(move || {
            writer.run();
            drop(ends);
        })?;
        Ok(Self(Arc::new(Shared {
            mode: AtomicU8::new(mode_number(settings.mode)),
            queue: Some(queue),
            dropped: AtomicU64::new(0),
            lost,
            orders,
            ended: Mutex::new(ended),
        })))
    }

    /// Whether a request that ended like this is to be written. A client that
    /// went away counts as an error: it may have gone because it waited.
    #[must_use]
    pub fn wants(&self, reason: Reason, status: u16) -> bool {
        match self.0.mode.load(Ordering::Relaxed) {
            ALL => true,
            ERRORS => !reason.is_success() || status >= 500,
            _ => false,
        }
    }

    /// Queues one line; drops and counts it if the queue is full. Never waits.
    pub fn write(&self, record: Box<AccessRecord>) {
        if self.0.try_send(Message::Record(record)).is_err() {
            self.0.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Lines dropped because the queue was full.
    #[must_use]
    pub fn dropped(&self) -> u64 {
        self.0.dropped.load(Ordering::Relaxed)
    }

    /// Lines that could not be written: a full disk, a pipe that nobody reads.
    #[must_use]
    pub fn lost(&self) -> u64 {
        self.0.lost.load(Ordering::Relaxed)
    }

    /// Has the file opened anew by its path, after it was renamed. Lines queued
    /// before go to either. If it cannot be opened, a warning is logged and the
    /// old file stays in use.
    pub fn reopen(&self) {
        self.0.orders.reopen.store(true, Ordering::Release);
        self.0.order();
    }

    /// Takes over new settings, all but the length of the queue, which stays
    /// as it was at the start.
    ///
    /// # Errors
    ///
    /// If the file cannot be opened; then nothing changes.
    pub fn configure(&self, settings: &AccessLogSettings) -> io::Result<()> {
        let setup = setup(settings)?;
        *self.0.orders.configure.lock().unwrap_or_else(PoisonError::into_inner) = Some(setup);
        self.0.mode.store(mode_number(settings.mode), Ordering::Relaxed);
        self.0.order();
        Ok(())
    }

    /// Waits until everything that is queued now is written or lost. False if
    /// that took longer than `timeout`. Blocks its thread.
    pub fn flush(&self, timeout: Duration) -> bool {
        let deadline = Instant::now() + timeout;
        let (done, is_done) = mpsc::channel();
        while self.0.try_send(Message::Flush(done.clone())).is_err() {
            if Instant::now() >= deadline {
                return false;
            }
            thread::sleep(Duration::from_millis(1));
        }
        is_done.recv_timeout(deadline.saturating_duration_since(Instant::now())).is_ok()
    }
}

fn setup(settings: &AccessLogSettings) -> io::Result<Setup> {
    let output = Output::open(settings.path.as_deref())?;
    Ok(Setup { output, format: settings.format, query: settings.query })
}

impl Shared {
    fn try_send(&self, message: Message) -> Result<(), TrySendError<Message>> {
        match &self.queue {
            Some(queue) => queue.try_send(message),
            None => Err(TrySendError::Disconnected(message)),
        }
    }

    fn order(&self) {
        self.orders.any.store(true, Ordering::Release);
        // If the queue is full, the thread is awake and looks by itself.
        let _ = self.try_send(Message::Wake);
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        self.queue = None;
        let ended = self.ended.get_mut().unwrap_or_else(PoisonError::into_inner);
        // An error either way: the thread has ended, or the time is over.
        let _ = ended.recv_timeout(FAREWELL);
    }
}
