//! The calls, over whichever member can be reached.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use futures_util::stream;
use prost::Message;
use tokio::sync::Mutex;
use tonic::Code;

use super::{
    ClientSettings, Error, Watch, call, end_of,
    link::Link,
    member::Place,
    messages::{
        DeleteRangeRequest, DeleteRangeResponse, KeyValue, LeaseGrantRequest, LeaseGrantResponse,
        LeaseKeepAliveRequest, LeaseKeepAliveResponse, LeaseRevokeRequest, LeaseRevokeResponse,
        LeaseTimeToLiveRequest, LeaseTimeToLiveResponse, PutRequest, PutResponse, RangeRequest,
        RangeResponse, ResponseHeader, StatusRequest, StatusResponse, TxnRequest, TxnResponse,
    },
};

/// Keys of one page of a list; fewer where they are large.
const PAGE: i64 = 1000;

/// Keys of one list, and bytes of their values, that are taken.
const MOST_KEYS: usize = 200_000;
const MOST_BYTES: usize = 256 << 20;

/// A client of one cluster. Its copies are the same one.
#[derive(Clone, Debug)]
pub struct Client {
    pub(super) shared: Arc<Shared>,
    answer: Duration,
}

#[derive(Debug)]
pub(super) struct Shared {
    pub(super) settings: ClientSettings,
    pub(super) link: Mutex<Place>,
}

/// All keys under a prefix as of one revision.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listing {
    /// The revision: a watch from the one after it misses nothing.
    pub revision: i64,
    /// The keys in their order, with their values.
    pub entries: Vec<KeyValue>,
}

/// Whether a call may be made once more when it is not known whether it was
/// heard.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Repeat {
    Safe,
    Unsafe,
}

impl Client {
    /// A client that connects when it is first used, to any member.
    #[must_use]
    pub fn new(settings: ClientSettings) -> Self {
        let link = Mutex::new(Place::among(settings.endpoints.len()));
        Self { shared: Arc::new(Shared { settings, link }), answer: call::ANSWER }
    }

    /// The same one, which waits for an answer for `within` and then goes to
    /// another member.
    #[must_use]
    pub fn answered(&self, within: Duration) -> Self {
        Self { shared: Arc::clone(&self.shared), answer: within }
    }

    /// Reads all keys that begin with `prefix`, in pages, as of one revision.
    ///
    /// # Errors
    ///
    /// When it cannot be read in full, with [`Error::Compacted`] if the
    /// revision was compacted in between.
    pub async fn list(&self, prefix: &[u8]) -> Result<Listing, Error> {
        let end = end_of(prefix);
        let mut listing = Listing { revision: 0, entries: Vec::new() };
        let mut key = match prefix {
            [] => Bytes::from_static(&[0]),
            prefix => Bytes::copy_from_slice(prefix),
        };
        let (mut bytes, mut limit) = (0, PAGE);
        loop {
            let request = RangeRequest {
                key: key.clone(),
                range_end: end.clone(),
                limit,
                revision: listing.revision,
                ..RangeRequest::default()
            };
            let page = match self.range(request).await {
                Ok(page) => page,
                // Larger than what is taken, as tonic says it.
                Err(Error::Answered { code: Code::OutOfRange, .. }) if limit > 1 => {
                    limit /= 4;
                    limit = limit.max(1);
                    continue;
                }
                Err(error) => return Err(error),
            };
            if listing.revision == 0 {
                listing.revision = revision(page.header);
            }
            bytes += page.kvs.iter().map(|kv| kv.key.len() + kv.value.len()).sum::<usize>();
            let last = page.kvs.last().map(|last| last.key.clone());
            listing.entries.extend(page.kvs);
            if listing.entries.len() > MOST_KEYS || bytes > MOST_BYTES {
                let prefix = String::from_utf8_lossy(prefix).into_owned();
                let what = format!("{MOST_KEYS} keys, {} MiB", MOST_BYTES >> 20);
                return Err(Error::TooMuch { prefix, what });
            }
            match last {
                // The least key after the last one.
                Some(last) if page.more => key = [&last[..], &[0]].concat().into(),
                _ => return Ok(listing),
            }
        }
    }

    /// Watches all keys that begin with `prefix`, from `revision` on.
    ///
    /// # Errors
    ///
    /// When no member can be reached.
    pub async fn watch(&self, prefix: &[u8], revision: i64) -> Result<Watch, Error> {
        self.with_link(
            Repeat::Safe,
            |link| async move { Watch::open(&link, prefix, revision).await },
        )
        .await
    }

    /// `KV/Range`. A serializable one is answered without a leader too.
    ///
    /// # Errors
    ///
    /// When no member answers.
    pub async fn range(&self, request: RangeRequest) -> Result<RangeResponse, Error> {
        let (led, wanted) = (!request.serializable, request.revision);
        let answer = self.call("/etcdserverpb.KV/Range", request, led, Repeat::Safe).await;
        answer.map_err(|error| match error {
            Error::Compacted { .. } => Error::Compacted { wanted },
            error => error,
        })
    }

    /// `KV/Put`.
    ///
    /// # Errors
    ///
    /// When it was not put, or that is not known.
    pub async fn put(&self, request: PutRequest) -> Result<PutResponse, Error> {
        self.call("/etcdserverpb.KV/Put", request, true, Repeat::Unsafe).await
    }

    /// `KV/DeleteRange`.
    ///
    /// # Errors
    ///
    /// When it was not deleted, or that is not known.
    pub async fn delete_range(
        &self,
        request: DeleteRangeRequest,
    ) -> Result<DeleteRangeResponse, Error> {
        self.call("/etcdserverpb.KV/DeleteRange", request, true, Repeat::Unsafe).await
    }

    /// `KV/Txn`.
    ///
    /// # Errors
    ///
    /// When it was not done, or that is not known.
    pub async fn txn(&self, request: TxnRequest) -> Result<TxnResponse, Error> {
        self.call("/etcdserverpb.KV/Txn", request, true, Repeat::Unsafe).await
    }

    /// `Lease/LeaseGrant`: a lease of `ttl` seconds. The server may give more.
    ///
    /// # Errors
    ///
    /// When none is granted. One that was and is not known of ends by itself.
    pub async fn grant(&self, ttl: i64) -> Result<LeaseGrantResponse, Error> {
        let request = LeaseGrantRequest { ttl, id: 0 };
        self.call("/etcdserverpb.Lease/LeaseGrant", request, true, Repeat::Safe).await
    }

    /// `Lease/LeaseRevoke`: ends the lease, and deletes its keys.
    ///
    /// # Errors
    ///
    /// When it was not ended, or that is not known.
    pub async fn revoke(&self, id: i64) -> Result<LeaseRevokeResponse, Error> {
        let request = LeaseRevokeRequest { id };
        self.call("/etcdserverpb.Lease/LeaseRevoke", request, true, Repeat::Unsafe).await
    }

    /// `Lease/LeaseKeepAlive`: renews each lease of `ids` once, and answers
    /// with the seconds that each now has, in the same order; 0 where there is
    /// no such lease.
    ///
    /// # Errors
    ///
    /// When not all are answered. Those that were not may have been renewed.
    pub async fn keep_alive(&self, ids: &[i64]) -> Result<Vec<i64>, Error> {
        self.with_link(Repeat::Safe, |link| async move {
            let asked: Vec<_> = ids.iter().map(|id| LeaseKeepAliveRequest { id: *id }).collect();
            let path = "/etcdserverpb.Lease/LeaseKeepAlive";
            let mut answers = call::streaming::<_, LeaseKeepAliveResponse, _>(
                &link,
                path,
                stream::iter(asked),
                self.answer,
            )
            .await?;
            let mut ttls = Vec::with_capacity(ids.len());
            while ttls.len() < ids.len() {
                match tokio::time::timeout(self.answer, answers.message()).await {
                    Ok(Ok(Some(answer))) => ttls.push(answer.ttl.max(0)),
                    Ok(Ok(None)) => {
                        let why = "it ended before all was answered".to_owned();
                        return Err(Error::Broken { endpoint: link.endpoint.to_string(), why });
                    }
                    Ok(Err(status)) => return Err(Error::from_status(&status, &link.endpoint)),
                    Err(_) => return Err(call::silent(&link, self.answer)),
                }
            }
            Ok(ttls)
        })
        .await
    }

    /// `Lease/LeaseTimeToLive`: what a lease still has, and its keys.
    ///
    /// # Errors
    ///
    /// When no member answers.
    pub async fn time_to_live(&self, id: i64) -> Result<LeaseTimeToLiveResponse, Error> {
        let request = LeaseTimeToLiveRequest { id, keys: true };
        self.call("/etcdserverpb.Lease/LeaseTimeToLive", request, true, Repeat::Safe).await
    }

    /// `Maintenance/Status` of the member that is talked to.
    ///
    /// # Errors
    ///
    /// When no member answers.
    pub async fn status(&self) -> Result<StatusResponse, Error> {
        self.call("/etcdserverpb.Maintenance/Status", StatusRequest {}, false, Repeat::Safe).await
    }

    async fn call<M, R>(
        &self,
        path: &'static str,
        message: M,
        led: bool,
        repeat: Repeat,
    ) -> Result<R, Error>
    where
        M: Message + Clone + Send + Sync + 'static,
        R: Message + Default + Send + Sync + 'static,
    {
        self.with_link(repeat, |link| {
            let message = message.clone();
            async move { call::unary(&link, path, message, led, self.answer).await }
        })
        .await
    }

    /// Does `what` over the connection that there is, with another token or
    /// member where that helps and nothing can be done twice.
    async fn with_link<T, F>(&self, repeat: Repeat, what: impl Fn(Link) -> F) -> Result<T, Error>
    where
        F: Future<Output = Result<T, Error>>,
    {
        let mut left = self.shared.settings.endpoints.len();
        let mut renewed = false;
        loop {
            let link = self.link().await?;
            let number = link.number;
            let error = match what(link).await {
                Ok(done) => return Ok(done),
                Err(error) => error,
            };
            let again = match &error {
                Error::Denied { token: true, .. } => !std::mem::replace(&mut renewed, true),
                error if error.is_of_member() => {
                    left = left.saturating_sub(1);
                    left > 0 && (repeat == Repeat::Safe || error.is_without_effect())
                }
                _ => return Err(error),
            };
            self.leave(number).await;
            if !again {
                return Err(error);
            }
        }
    }
}

/// The revision in a header.
pub(super) fn revision(header: Option<ResponseHeader>) -> i64 {
    header.map_or(0, |header| header.revision)
}
