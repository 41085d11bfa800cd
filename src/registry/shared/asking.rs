//! Asking all other proxies, and answering them.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::{
    runtime::Handle,
    sync::{Mutex as AsyncMutex, watch},
    time::{Instant, sleep, timeout},
};

use super::{
    Inner, SharedRegistry,
    fleet::{Answering, Asking},
    presence::put,
    schema::FORM,
};
use crate::{
    etcd::{
        Error, end_of,
        messages::{Compare, CompareResult, Compared, DeleteRangeRequest, Operation, TxnRequest},
    },
    model::InstanceKey,
    registry::fellows::{Answer, Answers, Ask, FleetReport, Until},
};

/// How soon it is tried again to ask or to answer.
const AGAIN: Duration = Duration::from_millis(250);

/// How long it is waited for what others say of an instance.
const HEARD_OUT: Duration = Duration::from_secs(3);

/// The other proxies that share the registry. Its copies are the same one.
#[derive(Clone)]
pub struct Fellows {
    inner: Arc<Inner>,
}

impl std::fmt::Debug for Fellows {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Fellows").field(&self.inner.presence.id()).finish()
    }
}

impl SharedRegistry {
    pub(in crate::registry) fn fellows(&self) -> Fellows {
        Fellows { inner: Arc::clone(&self.inner) }
    }
}

impl Fellows {
    /// How things stand.
    #[must_use]
    pub fn report(&self) -> FleetReport {
        let state = self.inner.state.borrow().clone();
        let progress = *self.inner.progress();
        let announced = self.inner.announced();
        FleetReport {
            id: announced.fleet.own().to_owned(),
            revision: progress.confirmed(),
            etcd_revision: progress.newest(),
            behind: progress.behind(Instant::now()),
            lost: state.fault.map(|(fault, since)| (since.elapsed(), fault.to_string())),
            pending: announced.mirror.pending(),
            fellows: announced.fleet.report(Instant::now()),
        }
    }

    /// Changes whenever [`Self::report`] or [`Self::asks`] may have.
    #[must_use]
    pub fn pulse(&self) -> watch::Receiver<()> {
        self.inner.pulse.subscribe()
    }

    /// Whether this proxy has left, or given over to another process.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.inner.closed.load(Ordering::Relaxed)
    }

    /// Whether it is this process that speaks for what routes here.
    #[must_use]
    pub fn has_begun(&self) -> bool {
        self.inner.begun.load(Ordering::Relaxed)
    }

    /// What others ask, by number. What they ask about was told before.
    #[must_use]
    pub fn asks(&self) -> BTreeMap<String, Ask> {
        self.inner.announced().fleet.asked_by_others()
    }

    /// Answers the ask `number`. Tries on until it is told, or nobody asks any
    /// more: then the answer is false.
    pub async fn answer(&self, number: &str, answer: &Answer) -> bool {
        let inner = &self.inner;
        let value = Answering { v: FORM, answer: answer.clone() };
        let value = serde_json::to_vec(&value).unwrap_or_default();
        loop {
            let Some(lease) = inner.announced().fleet.ask(number).map(|open| open.lease) else {
                return false;
            };
            let key = inner.keys.answer(number, inner.presence.id());
            let is_open =
                Compare::new(inner.keys.ask(number), CompareResult::NotEqual, Compared::Create(0));
            let request = TxnRequest {
                compare: vec![is_open],
                success: vec![put(key, value.clone(), lease)],
                failure: Vec::new(),
            };
            match inner.client.txn(request).await {
                Ok(answer) => return answer.succeeded,
                Err(error) => tracing::debug!(%error, "another proxy was not answered"),
            }
            sleep(AGAIN).await;
        }
    }

    /// Begins to ask all others. It ends when the value is dropped.
    pub fn ask(&self, ask: Ask) -> Asked {
        static LAST: AtomicU64 = AtomicU64::new(0);
        let number = LAST.fetch_add(1, Ordering::Relaxed);
        let number = format!("{}.{number}", self.inner.presence.id());
        let (inner, putting) = (Arc::clone(&self.inner), Arc::default());
        Asked { inner, ask, number, placed: Mutex::new(None), putting }
    }
}

impl Inner {
    /// Whether another proxy routes to `generation` of an instance, or has not
    /// said within a time.
    pub(super) async fn is_held_elsewhere(
        self: &Arc<Self>,
        key: &InstanceKey,
        generation: u64,
    ) -> bool {
        let ask = Ask { key: key.clone(), generation: Some(generation), until: Until::Routable };
        let asked = Fellows { inner: Arc::clone(self) }.ask(ask);
        let is_held = |answers: &Answers| answers.confirmed + answers.silent > 0;
        drop(
            timeout(HEARD_OUT, asked.until(|answers| answers.confirmed > 0 || !is_held(answers)))
                .await,
        );
        is_held(&asked.answers())
    }
}

/// An ask of this proxy. It is withdrawn when dropped.
#[must_use]
pub struct Asked {
    inner: Arc<Inner>,
    ask: Ask,
    number: String,
    /// The revision in which it was put.
    placed: Mutex<Option<i64>>,
    /// Held while it is put: it is not withdrawn before.
    putting: Arc<AsyncMutex<()>>,
}

impl Asked {
    /// Waits until all that share the registry have said yes. Who cannot have
    /// missed what it is about, and nobody else, is needed: a proxy that comes
    /// later reads what is registered after it is known of.
    pub async fn confirmed(&self) {
        self.until(|answers| answers.unconfirmed.is_empty()).await;
    }

    async fn until(&self, enough: impl Fn(&Answers) -> bool) {
        let mut pulse = self.inner.pulse.subscribe();
        loop {
            if enough(&self.answers()) {
                return;
            }
            if let Err(error) = self.place().await {
                tracing::debug!(%error, "other proxies were not asked");
            }
            // An etcd that is away makes no pulse.
            drop(timeout(AGAIN, pulse.changed()).await);
        }
    }

    /// What the others have said so far.
    #[must_use]
    pub fn answers(&self) -> Answers {
        let mut answers = self.inner.announced().fleet.answers(&self.number, Instant::now());
        if !self.inner.is_connected() && answers.unconfirmed.is_empty() {
            let why = "it is out of reach, and there may be proxies that are not known of";
            answers.unconfirmed.push(("etcd".to_owned(), why.to_owned()));
        }
        answers
    }

    /// Puts the ask, unless it is there or nobody is.
    async fn place(&self) -> Result<(), Error> {
        let placed = *self.placed();
        let heard = *self.inner.heard.borrow();
        let is_there = self.inner.announced().fleet.ask(&self.number).is_some();
        if is_there || placed.is_some_and(|placed| placed > heard) || !self.inner.is_connected() {
            return Ok(());
        }
        let from = self.inner.presence.id().to_owned();
        let asking = Asking { v: FORM, from, ask: self.ask.clone() };
        let value = serde_json::to_vec(&asking).unwrap_or_default();
        let lease = self.inner.own_lease().await;
        let put = put(self.inner.keys.ask(&self.number), value, lease);
        let request = TxnRequest { compare: Vec::new(), success: vec![put], failure: Vec::new() };
        // It may be put, whatever is heard of it.
        self.placed().get_or_insert(0);
        let (inner, putting) = (Arc::clone(&self.inner), Arc::clone(&self.putting));
        let guard = putting.lock_owned().await;
        let put = tokio::spawn(async move {
            let answer = inner.client.txn(request).await;
            drop(guard);
            answer
        });
        if let Ok(answer) = put.await {
            *self.placed() = answer?.header.map(|header| header.revision);
        }
        Ok(())
    }

    fn placed(&self) -> std::sync::MutexGuard<'_, Option<i64>> {
        self.placed.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl std::fmt::Debug for Asked {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Asked").field(&self.number).finish()
    }
}

impl Drop for Asked {
    fn drop(&mut self) {
        let placed = self.placed().is_some();
        let (Ok(runtime), true) = (Handle::try_current(), placed) else { return };
        let (inner, number) = (Arc::clone(&self.inner), std::mem::take(&mut self.number));
        let putting = Arc::clone(&self.putting);
        runtime.spawn(async move {
            drop(putting.lock().await);
            let answers = inner.keys.answers(&number);
            let delete = |key: bytes::Bytes, range_end| {
                let range = DeleteRangeRequest { key, range_end, ..DeleteRangeRequest::default() };
                Operation::DeleteRange(range).into()
            };
            let success = vec![
                delete(inner.keys.ask(&number), bytes::Bytes::new()),
                delete(answers.clone(), end_of(&answers)),
            ];
            // Else it goes with the lease of this proxy.
            let request = TxnRequest { compare: Vec::new(), success, failure: Vec::new() };
            drop(inner.client.txn(request).await);
        });
    }
}
