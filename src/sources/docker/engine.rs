//! The few calls of the Docker Engine API that are needed
//! (<https://docs.docker.com/reference/api/engine/>), over its socket or TCP.
//! They are made by the version that the engine names as its own: engines give
//! up old ones in time.

use std::time::Duration;

use bytes::{Buf, Bytes, BytesMut};
use http::{
    HeaderValue, Request, Response, StatusCode,
    header::{AUTHORIZATION, HOST},
};
use http_body_util::{BodyExt, Empty, Limited};
use hyper::body::Incoming;
use tokio::{net::UnixStream, time::timeout};

use super::{DockerSettings, container::Container};
use crate::{
    sources::client::{CallError, Connection},
    tls::{Connector, TlsError},
};

/// How long the engine may take to answer.
const PATIENCE: Duration = Duration::from_secs(30);

/// The longest list that is read, in bytes.
const LONGEST_LIST: usize = 64 << 20;

/// The longest event that is read, in bytes.
const LONGEST_EVENT: usize = 1 << 20;

const CONTAINERS: &str = "/containers/json?filters=\
    %7B%22label%22%3A%5B%22portolan.service%22%5D%2C%22status%22%3A%5B%22running%22%5D%7D";

/// What may change the list: starts, ends, and what a health check says.
const EVENTS: &str = "/events?filters=%7B%22type%22%3A%5B%22container%22%5D%2C%22event%22%3A\
    %5B%22start%22%2C%22die%22%2C%22destroy%22%2C%22pause%22%2C%22unpause%22%2C%22health_status%22\
    %2C%22update%22%2C%22rename%22%5D%7D";

/// Why the engine did not tell.
#[derive(Debug, thiserror::Error)]
pub(super) enum EngineError {
    #[error(transparent)]
    Tls(#[from] TlsError),
    #[error("cannot connect: {0}")]
    Connect(std::io::Error),
    #[error(transparent)]
    Call(#[from] CallError),
    #[error("the connection broke: {0}")]
    Broken(#[from] hyper::Error),
    #[error("the answer is broken: {0}")]
    Body(Box<dyn std::error::Error + Send + Sync>),
    #[error("no answer within 30s")]
    Timeout,
    #[error("status {0}")]
    Status(StatusCode),
    #[error("no Docker engine answers there")]
    NoEngine,
    #[error("the answer is not understood: {0}")]
    NotUnderstood(#[from] serde_json::Error),
    #[error("it told of no more events")]
    NoMoreEvents,
    #[error("an event has more than {LONGEST_EVENT} bytes")]
    LongEvent,
}

/// An engine that has answered. Each call has a connection of its own.
#[derive(Debug)]
pub(super) struct Engine<'a> {
    settings: &'a DockerSettings,
    connector: Option<Connector>,
    version: String,
}

/// What the engine tells of containers, a line each.
#[derive(Debug)]
pub(super) struct Events {
    body: Incoming,
    buffer: BytesMut,
    _connection: Connection,
}

impl<'a> Engine<'a> {
    /// Asks the engine which version of the API it speaks.
    pub(super) async fn reach(settings: &'a DockerSettings) -> Result<Self, EngineError> {
        let connector = match &settings.url {
            Some(url) if url.is_secure() => Some(Connector::load(settings.tls.clone())?),
            _ => None,
        };
        let mut engine = Self { settings, connector, version: String::new() };
        let ping = timeout(PATIENCE, engine.get("/_ping")).await;
        let (_connection, answer) = ping.map_err(|_| EngineError::Timeout)??;
        let version = answer.headers().get("api-version").and_then(|version| version.to_str().ok());
        let is_number = |text: &str| {
            (1..=4).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit())
        };
        let version = version
            .filter(|version| {
                version
                    .split_once('.')
                    .is_some_and(|(major, minor)| is_number(major) && is_number(minor))
            })
            .ok_or(EngineError::NoEngine)?;
        engine.version = format!("/v{version}");
        Ok(engine)
    }

    /// The containers that run and carry the label.
    pub(super) async fn containers(&self) -> Result<Vec<Container>, EngineError> {
        let read = async {
            let (_connection, answer) = self.get(CONTAINERS).await?;
            let body = Limited::new(answer.into_body(), LONGEST_LIST);
            Ok::<Bytes, EngineError>(body.collect().await.map_err(EngineError::Body)?.to_bytes())
        };
        let body = timeout(PATIENCE, read).await.map_err(|_| EngineError::Timeout)??;
        Ok(serde_json::from_slice(&body)?)
    }

    /// What happens from now on.
    pub(super) async fn events(&self) -> Result<Events, EngineError> {
        let answer = timeout(PATIENCE, self.get(EVENTS)).await;
        let (connection, answer) = answer.map_err(|_| EngineError::Timeout)??;
        Ok(Events { body: answer.into_body(), buffer: BytesMut::new(), _connection: connection })
    }

    async fn get(&self, target: &str) -> Result<(Connection, Response<Incoming>), EngineError> {
        let target = format!("{}{target}", self.version);
        let (mut connection, request) = match &self.settings.url {
            Some(url) => {
                let mut request = Request::get(url.target(&target)).header(HOST, url.authority());
                if let Some(user) = url.authorization() {
                    request = request.header(AUTHORIZATION, user);
                }
                (Connection::open(url, self.connector.as_ref()).await?, request)
            }
            None => {
                let stream = UnixStream::connect(&self.settings.socket).await;
                let stream = stream.map_err(EngineError::Connect)?;
                let host = HeaderValue::from_static("docker");
                let request = Request::get(target).header(HOST, host);
                (Connection::over(Box::new(stream)).await?, request)
            }
        };
        let request = request.body(Empty::<Bytes>::new());
        let request = request.map_err(|error| EngineError::Body(error.into()))?;
        let answer = connection.send(request).await?;
        match answer.status() {
            StatusCode::OK => Ok((connection, answer)),
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
