//! One call over one connection: metadata in, status out.

use std::time::Duration;

use http::uri::PathAndQuery;
use prost::Message;
use tokio::time::timeout;
use tonic::{Request, Streaming, metadata::AsciiMetadataValue};
use tonic_prost::ProstCodec;

use super::{Error, link::Link};

/// How long an answer may take: more than an election.
pub(super) const ANSWER: Duration = Duration::from_secs(5);

/// Calls `path` and waits `within` that time for the one answer. `led` has the
/// member refuse at once when it has no leader, rather than wait for one.
pub(super) async fn unary<M, R>(
    link: &Link,
    path: &'static str,
    message: M,
    led: bool,
    within: Duration,
) -> Result<R, Error>
where
    M: Message + Send + Sync + 'static,
    R: Message + Default + Send + Sync + 'static,
{
    let request = request(link, message, led);
    let call = async {
        let mut grpc = link.grpc();
        grpc.ready().await.map_err(|error| broken(link, &error))?;
        let path = PathAndQuery::from_static(path);
        let answer = grpc.unary(request, path, ProstCodec::<M, R>::default()).await;
        answer.map_err(|status| Error::from_status(&status, &link.endpoint))
    };
    match timeout(within, call).await {
        Ok(answer) => Ok(answer?.into_inner()),
        Err(_) => Err(silent(link, within)),
    }
}

/// Calls `path` with all that `messages` yields, and answers with the stream
/// of what comes back, whose head is waited for `within` that time.
pub(super) async fn streaming<M, R, S>(
    link: &Link,
    path: &'static str,
    messages: S,
    within: Duration,
) -> Result<Streaming<R>, Error>
where
    M: Message + Send + Sync + 'static,
    R: Message + Default + Send + Sync + 'static,
    S: futures_util::Stream<Item = M> + Send + 'static,
{
    let request = request(link, messages, true);
    let call = async {
        let mut grpc = link.grpc();
        grpc.ready().await.map_err(|error| broken(link, &error))?;
        let path = PathAndQuery::from_static(path);
        let answer = grpc.streaming(request, path, ProstCodec::<M, R>::default()).await;
        answer.map_err(|status| Error::from_status(&status, &link.endpoint))
    };
    match timeout(within, call).await {
        Ok(answer) => Ok(answer?.into_inner()),
        Err(_) => Err(silent(link, within)),
    }
}

pub(super) fn silent(link: &Link, within: Duration) -> Error {
    Error::TimedOut { endpoint: link.endpoint.to_string(), within }
}

fn broken(link: &Link, error: &hyper::Error) -> Error {
    Error::Broken { endpoint: link.endpoint.to_string(), why: error.to_string() }
}

fn request<T>(link: &Link, message: T, led: bool) -> Request<T> {
    let mut request = Request::new(message);
    let metadata = request.metadata_mut();
    if let Some(token) = &link.token {
        metadata.insert("token", token.clone());
    }
    if led {
        metadata.insert("hasleader", AsciiMetadataValue::from_static("true"));
    }
    request
}
