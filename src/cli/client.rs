//! A thin client of the admin API: one connection for each call, JSON in and
//! out, a bearer token, a deadline; over TLS where the URL says so.
//!
//! It says what went wrong in three kinds, since they call for different
//! hands: nobody answered, somebody else answered, Portolan said no.

use std::{path::Path, sync::Arc, time::Duration};

use bytes::Bytes;
use http::{
    HeaderValue, Method, Request, StatusCode,
    header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HOST, USER_AGENT},
};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::Value;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
};
use tokio_rustls::TlsConnector;

use super::admin_url::AdminUrl;
use crate::{
    model::ClientTlsSettings,
    tls::{Connector, TlsError, is_about_certificate, words},
};

/// How long a call without a wait of its own may take.
pub(super) const TIMEOUT: Duration = Duration::from_secs(10);

/// An answer of the admin API never is longer than this.
const MAX_ANSWER: usize = 256 << 20;

/// What a call is carried by.
trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}

impl<S: AsyncRead + AsyncWrite + Unpin + Send> Stream for S {}

/// Why a call did not bring what was asked for.
#[derive(Debug, thiserror::Error)]
pub(super) enum ClientError {
    /// No connection, or it broke.
    #[error("the admin API at {url} cannot be reached")]
    Unreachable { url: String, source: Box<dyn std::error::Error + Send + Sync> },
    /// Somebody, who cannot show who it is.
    #[error("what answers at {url} is not trusted: {why}")]
    Untrusted { url: String, why: String },
    /// No answer in time.
    #[error("the admin API at {url} did not answer within {}", humantime::format_duration(*.after))]
    Timeout { url: String, after: Duration },
    /// An answer that Portolan does not give.
    #[error("what answers at {url} is not a Portolan admin API: {found}")]
    NotPortolan { url: String, found: String },
    /// Portolan said no.
    #[error("{0}")]
    Refused(Problem),
}

impl ClientError {
    /// What a person can try, a line each.
    pub(super) fn advice(&self) -> Vec<String> {
        let elsewhere = "another address is given by --admin URL or PORTOLAN_ADMIN";
        match self {
            Self::Unreachable { .. } => {
                vec!["is it running? `portolan run` starts it".to_owned(), elsewhere.to_owned()]
            }
            Self::Untrusted { .. } => {
                vec!["the CA of the proxy is given by --ca FILE or PORTOLAN_CA".to_owned()]
            }
            Self::Timeout { .. } | Self::NotPortolan { .. } => vec![elsewhere.to_owned()],
            Self::Refused(problem) => problem.advice(),
        }
    }
}

/// An error answer of the admin API (RFC 9457), as much of it as there is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub(super) struct Problem {
    pub(super) title: String,
    pub(super) status: u16,
    pub(super) detail: String,
    pub(super) errors: Vec<ProblemPart>,
}

/// One of several things wrong with a request.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub(super) struct ProblemPart {
    pub(super) pointer: String,
    pub(super) detail: String,
    pub(super) suggestion: Option<String>,
}

impl Problem {
    fn advice(&self) -> Vec<String> {
        let mut lines = Vec::new();
        for ProblemPart { pointer, detail, suggestion } in &self.errors {
            // With one thing wrong, its detail stands above already.
            if *detail != self.detail {
                lines.push(format!("{pointer}: {detail}"));
            } else if !pointer.is_empty() {
                lines.push(format!("at {pointer}"));
            }
            if let Some(suggestion) = suggestion {
                lines.push(format!("did you mean {suggestion:?}?"));
            }
        }
        if self.status == 401 {
            lines.push("a token is given by PORTOLAN_TOKEN or --token-file".to_owned());
        }
        lines
    }
}

impl std::fmt::Display for Problem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match (self.title.as_str(), self.detail.as_str()) {
            ("", "") => write!(f, "the admin API answered {}", self.status),
            (title, "") => write!(f, "{title}"),
            ("", detail) => write!(f, "{detail}"),
            (title, detail) => write!(f, "{title}: {detail}"),
        }
    }
}

/// An answer that came, whatever its status.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) body: Bytes,
    url: Arc<str>,
}

impl Answer {
    /// The JSON of an answer that is not an error.
    pub(super) fn json(&self) -> Result<Value, ClientError> {
        if !self.status.is_success() {
            return Err(self.problem());
        }
        serde_json::from_slice(&self.body).map_err(|error| self.foreign(&error.to_string()))
    }

    /// The body as `T`, whatever the status.
    pub(super) fn read<T: DeserializeOwned>(&self) -> Option<T> {
        serde_json::from_slice(&self.body).ok()
    }

    /// The answer as an error.
    pub(super) fn problem(&self) -> ClientError {
        match serde_json::from_slice::<Problem>(&self.body) {
            Ok(problem) => {
                ClientError::Refused(Problem { status: self.status.as_u16(), ..problem })
            }
            Err(_) => self.foreign(&format!("status {} without a JSON body", self.status.as_u16())),
        }
    }

    /// The answer as one that Portolan does not give.
    pub(super) fn foreign(&self, found: &str) -> ClientError {
        ClientError::NotPortolan { url: self.url.to_string(), found: found.to_owned() }
    }
}

/// Talks to the admin API of a running proxy.
#[derive(Clone, Debug)]
pub(super) struct Client {
    url: AdminUrl,
    shown: Arc<str>,
    token: Option<HeaderValue>,
    /// How TLS is spoken, if it is.
    connector: Option<Connector>,
}

impl Client {
    /// `token` is the whole value of `Authorization`.
    pub(super) fn new(url: AdminUrl, token: Option<HeaderValue>) -> Self {
        Self { shown: url.to_string().into(), url, token, connector: None }
    }

    /// The same, which trusts those that the CAs in the file `ca` vouch for, or
    /// those of the system.
    ///
    /// # Errors
    ///
    /// When there are none.
    pub(super) fn trusting(self, ca: Option<&Path>) -> Result<Self, TlsError> {
        if !self.url.is_secure() {
            return Ok(self);
        }
        let ca = ca.map(Path::to_owned);
        let connector = Connector::load(ClientTlsSettings { ca, ..Default::default() })?;
        Ok(Self { connector: Some(connector), ..self })
    }

    /// Whether the proxy is on this machine, as far as its address tells.
    pub(super) fn is_local(&self) -> bool {
        self.url.is_loopback()
    }

    /// The JSON of a `GET`, and the view in it.
    pub(super) async fn view<T: DeserializeOwned>(
        &self,
        path: &str,
    ) -> Result<(T, Value), ClientError> {
        let answer = self.call(Method::GET, path, None, TIMEOUT).await?;
        let json = answer.json()?;
        let view = T::deserialize(&json).map_err(|error| answer.foreign(&error.to_string()))?;
        Ok((view, json))
    }

    /// One call, its answer read whole.
    pub(super) async fn call(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
        timeout: Duration,
    ) -> Result<Answer, ClientError> {
        let call = async {
            let (parts, body) = self.send(method, path, &[], body).await?.into_parts();
            let body = Limited::new(body, MAX_ANSWER).collect().await;
            let body = body.map_err(|source| self.unreachable(source))?.to_bytes();
            Ok(Answer { status: parts.status, body, url: Arc::clone(&self.shown) })
        };
        let late = |_| ClientError::Timeout { url: self.shown.to_string(), after: timeout };
        tokio::time::timeout(timeout, call).await.map_err(late)?
    }

    /// Begins an answer without an end: server-sent events.
    pub(super) async fn stream(
        &self,
        path: &str,
        last_event: Option<&str>,
    ) -> Result<Incoming, ClientError> {
        let accept = (ACCEPT.as_str(), "text/event-stream");
        let resume = last_event.map(|id| ("last-event-id", id));
        let headers: Vec<_> = [Some(accept), resume].into_iter().flatten().collect();
        let late = |_| ClientError::Timeout { url: self.shown.to_string(), after: TIMEOUT };
        let begun = tokio::time::timeout(TIMEOUT, self.send(Method::GET, path, &headers, None));
        let response = begun.await.map_err(late)??;
        if response.status().is_success() {
            return Ok(response.into_body());
        }
        let (parts, body) = response.into_parts();
        let body = Limited::new(body, MAX_ANSWER).collect().await;
        let body = body.map_err(|source| self.unreachable(source))?.to_bytes();
        let answer = Answer { status: parts.status, body, url: Arc::clone(&self.shown) };
        Err(answer.problem())
    }

    async fn send(
        &self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: Option<&Value>,
    ) -> Result<http::Response<Incoming>, ClientError> {
        let connected = TcpStream::connect((self.url.host(), self.url.port())).await;
        let stream = connected.map_err(|source| self.unreachable(source))?;
        let identity = self.url.identity();
        let tls = self.connector.as_ref().and_then(|connector| connector.for_host(&identity));
        let stream: Box<dyn Stream> = match tls {
            Some((config, name)) => {
                let shaken = TlsConnector::from(config).connect(name, stream).await;
                Box::new(shaken.map_err(|error| self.untrusted(&error))?)
            }
            None if self.url.is_secure() => {
                return Err(self.unreachable("there is no way to speak TLS to it"));
            }
            None => Box::new(stream),
        };
        let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
            .await
            .map_err(|source| self.unreachable(source))?;
        tokio::spawn(connection);

        let mut request = Request::builder()
            .method(&method)
            .uri(self.url.target(path))
            .header(HOST, self.url.authority())
            .header(USER_AGENT, concat!("portolan/", env!("CARGO_PKG_VERSION")));
        if let Some(token) = &self.token {
            request = request.header(AUTHORIZATION, token);
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let body = match body {
            Some(body) => Bytes::from(body.to_string()),
            // The admin API takes changes as JSON only; a browser's form cannot make one.
            None if method != Method::GET => Bytes::from_static(b"{}"),
            None => Bytes::new(),
        };
        if !body.is_empty() {
            request = request.header(CONTENT_TYPE, "application/json");
        }
        let request = request.body(Full::new(body)).map_err(|source| self.unreachable(source))?;
        sender.send_request(request).await.map_err(|source| self.unreachable(source))
    }

    fn untrusted(&self, error: &std::io::Error) -> ClientError {
        if is_about_certificate(error) {
            ClientError::Untrusted { url: self.shown.to_string(), why: words(error) }
        } else {
            self.unreachable(format!("it does not speak TLS: {}", words(error)))
        }
    }

    fn unreachable(
        &self,
        source: impl Into<Box<dyn std::error::Error + Send + Sync>>,
    ) -> ClientError {
        ClientError::Unreachable { url: self.shown.to_string(), source: source.into() }
    }
}

/// `text` as one value in a query or one segment of a path.
pub(super) fn escape(text: &str) -> impl std::fmt::Display + '_ {
    percent_encoding::utf8_percent_encode(text, UNRESERVED)
}

/// All but the unreserved characters of RFC 3986 section 2.3.
const UNRESERVED: &percent_encoding::AsciiSet =
    &percent_encoding::NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

#[cfg(test)]
mod tests;
