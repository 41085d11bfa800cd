//! The few calls of the Docker Engine API that are needed, over its socket
//! (<https://docs.docker.com/reference/api/engine/>).

use std::{path::Path, time::Duration};

use bytes::{Buf, Bytes, BytesMut};
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt, Empty, Limited};
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use tokio::{net::UnixStream, time::timeout};

use super::container::Container;

/// How long the engine may take to answer.
const PATIENCE: Duration = Duration::from_secs(30);

/// The longest list that is read, in bytes.
const LONGEST_LIST: usize = 64 << 20;

/// The longest event that is read, in bytes.
const LONGEST_EVENT: usize = 1 << 20;

/// A version of the API that every engine of the last years speaks.
const CONTAINERS: &str = "/v1.41/containers/json?filters=\
    %7B%22label%22%3A%5B%22portolan.service%22%5D%2C%22status%22%3A%5B%22running%22%5D%7D";

/// What may change the list: starts, ends, and what a health check says.
const EVENTS: &str = "/v1.41/events?filters=%7B%22type%22%3A%5B%22container%22%5D%2C%22event%22%3A\
    %5B%22start%22%2C%22die%22%2C%22destroy%22%2C%22pause%22%2C%22unpause%22%2C%22health_status%22\
    %2C%22update%22%2C%22rename%22%5D%7D";

/// Why the engine did not tell.
#[derive(Debug, thiserror::Error)]
pub(super) enum EngineError {
    #[error("cannot connect: {0}")]
    Connect(std::io::Error),
    #[error("the connection broke: {0}")]
    Broken(#[from] hyper::Error),
    #[error("the answer is broken: {0}")]
    Body(Box<dyn std::error::Error + Send + Sync>),
    #[error("no answer within 30s")]
    Timeout,
    #[error("status {0}")]
    Status(StatusCode),
    #[error("the answer is not understood: {0}")]
    NotUnderstood(#[from] serde_json::Error),
    #[error("it told of no more events")]
    NoMoreEvents,
    #[error("an event has more than {LONGEST_EVENT} bytes")]
    LongEvent,
}

/// The engine behind a socket. Each call has a connection of its own.
#[derive(Clone, Copy, Debug)]
pub(super) struct Engine<'a> {
    socket: &'a Path,
}

/// What the engine tells of containers, a line each.
#[derive(Debug)]
pub(super) struct Events {
    body: Incoming,
    buffer: BytesMut,
}

impl<'a> Engine<'a> {
    pub(super) const fn new(socket: &'a Path) -> Self {
        Self { socket }
    }

    /// The containers that run and carry the label.
    pub(super) async fn containers(self) -> Result<Vec<Container>, EngineError> {
        let read = async {
            let body = Limited::new(self.get(CONTAINERS).await?.into_body(), LONGEST_LIST);
            Ok::<Bytes, EngineError>(body.collect().await.map_err(EngineError::Body)?.to_bytes())
        };
        let body = timeout(PATIENCE, read).await.map_err(|_| EngineError::Timeout)??;
        Ok(serde_json::from_slice(&body)?)
    }

    /// What happens from now on.
    pub(super) async fn events(self) -> Result<Events, EngineError> {
        let response = timeout(PATIENCE, self.get(EVENTS)).await;
        let response = response.map_err(|_| EngineError::Timeout)??;
        Ok(Events { body: response.into_body(), buffer: BytesMut::new() })
    }

    async fn get(self, target: &str) -> Result<Response<Incoming>, EngineError> {
        let stream = UnixStream::connect(self.socket).await.map_err(EngineError::Connect)?;
        let (mut sender, connection) =
            hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
        // It ends with the body of the answer.
        tokio::spawn(connection);
        let request = Request::get(target).header(http::header::HOST, "docker");
        let request = request.body(Empty::<Bytes>::new());
        let request = request.map_err(|error| EngineError::Body(error.into()))?;
        let response = sender.send_request(request).await?;
        match response.status() {
            StatusCode::OK => Ok(response),
            status => Err(EngineError::Status(status)),
        }
    }
}

impl Events {
    /// Whether another one is here already.
    pub(super) fn has_more(&self) -> bool {
        memchr::memchr(b'\n', &self.buffer).is_some()
    }

    /// Waits for the next one. What it says does not matter. May be broken
    /// off and called again.
    pub(super) async fn next(&mut self) -> Result<(), EngineError> {
        loop {
            if let Some(end) = memchr::memchr(b'\n', &self.buffer) {
                self.buffer.advance(end + 1);
                return Ok(());
            }
            if self.buffer.len() > LONGEST_EVENT {
                return Err(EngineError::LongEvent);
            }
            let frame = self.body.frame().await.ok_or(EngineError::NoMoreEvents)??;
            if let Ok(data) = frame.into_data() {
                self.buffer.extend_from_slice(&data);
            }
        }
    }
}
