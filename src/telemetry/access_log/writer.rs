//! The thread that turns records into lines.
//!
//! It ends when every handle is gone and the queue is empty.

use std::{
    mem,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
        mpsc::{Receiver, Sender},
    },
    thread,
    time::{Duration, Instant},
};

use super::{
    json,
    output::{Lost, Output},
    record::AccessRecord,
    text,
};
use crate::telemetry::LogFormat;

/// Lines are written in batches of about this many bytes.
const BATCH: usize = 64 * 1024;

/// After a batch the thread sleeps this long. A sleeping thread need not be
/// woken, so a busy proxy pays for a wake-up per batch and not per line.
const NAP: Duration = Duration::from_millis(1);

/// Warnings come no closer than this.
const WARNING_INTERVAL: Duration = Duration::from_secs(60);

/// What stands in the queue.
#[derive(Debug)]
pub(super) enum Message {
    /// A request that ended.
    Record(Box<AccessRecord>),
    /// Look at the orders.
    Wake,
    /// Answer when everything before this is written.
    Flush(Sender<()>),
}

/// What the thread is told aside from the queue, which may be full.
#[derive(Debug, Default)]
pub(super) struct Orders {
    pub(super) any: AtomicBool,
    pub(super) reopen: AtomicBool,
    pub(super) configure: Mutex<Option<Setup>>,
}

/// How and where lines are written.
#[derive(Debug)]
pub(super) struct Setup {
    pub(super) output: Output,
    pub(super) format: LogFormat,
    pub(super) query: bool,
}

/// The state of the thread.
#[derive(Debug)]
pub(super) struct Writer {
    pub(super) queue: Receiver<Message>,
    pub(super) orders: Arc<Orders>,
    pub(super) lost: Arc<AtomicU64>,
    pub(super) setup: Setup,
    lines: Vec<u8>,
    lost_unreported: u64,
    warned: Option<Instant>,
}

impl Writer {
    pub(super) fn new(
        queue: Receiver<Message>,
        orders: Arc<Orders>,
        lost: Arc<AtomicU64>,
        setup: Setup,
    ) -> Self {
        let lines = Vec::with_capacity(BATCH + 4096);
        Self { queue, orders, lost, setup, lines, lost_unreported: 0, warned: None }
    }

    pub(super) fn run(mut self) {
        while let Ok(first) = self.queue.recv() {
            let mut next = Some(first);
            while let Some(message) = next {
                self.obey();
                self.take(message);
                next = self.queue.try_recv().ok();
            }
            self.write();
            thread::sleep(NAP);
        }
    }

    fn take(&mut self, message: Message) {
        match message {
            Message::Record(record) => {
                let query = self.setup.query;
                match self.setup.format {
                    LogFormat::Json => json::write(&mut self.lines, &record, query),
                    LogFormat::Text => text::write(&mut self.lines, &record, query),
                }
                if self.lines.len() >= BATCH {
                    self.write();
                }
            }
            Message::Wake => {}
            Message::Flush(done) => {
                self.write();
                // Who asked may have stopped waiting.
                let _ = done.send(());
            }
        }
    }

    /// Follows the orders that came since the last look.
    fn obey(&mut self) {
        if !self.orders.any.swap(false, Ordering::AcqRel) {
            return;
        }
        self.write();
        let mut configure = self.orders.configure.lock().unwrap_or_else(PoisonError::into_inner);
        let setup = configure.take();
        drop(configure);
        if let Some(setup) = setup {
            self.setup = setup;
        }
        if self.orders.reopen.swap(false, Ordering::AcqRel)
            && let Err(error) = self.setup.output.reopen()
        {
            let path = self.setup.output.name();
            tracing::warn!(%error, path, "cannot open the access log anew, the old file stays in use");
        }
    }

    fn write(&mut self) {
        if self.lines.is_empty() {
            return;
        }
        let mut lines = mem::take(&mut self.lines);
        if let Err(Lost { lines, error }) = self.setup.output.write_lines(&lines) {
            self.lost.fetch_add(lines, Ordering::Relaxed);
            self.lost_unreported += lines;
            if self.warned.is_none_or(|warned| warned.elapsed() >= WARNING_INTERVAL) {
                self.warned = Some(Instant::now());
                let lines = mem::take(&mut self.lost_unreported);
                let path = self.setup.output.name();
                tracing::warn!(%error, path, lines, "cannot write the access log, lines are lost");
            }
        }
        lines.clear();
        self.lines = lines;
    }
}
