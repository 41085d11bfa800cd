//! A thin HTTP client for the servers that sources ask: `GET`s of bounded size
//! and time over a few connections that are kept.
//!
//! Whatever a server sends is an answer or an error in words; none of it ends
//! the source, and nothing is followed anywhere else. No encoding is asked
//! for, so that a small answer cannot become a large one.

mod connection;
mod error;
#[cfg(test)]
mod tests;
mod url;

use std::{
    sync::{Mutex, PoisonError},
    time::Duration,
};

use bytes::Bytes;
use http::{
    HeaderMap, HeaderName, HeaderValue, Request, StatusCode,
    header::{ACCEPT, AUTHORIZATION, CONTENT_ENCODING, HOST, USER_AGENT},
};
use http_body_util::{BodyExt, Empty, Limited};
use serde::de::DeserializeOwned;

pub use self::url::{ParseServerUrlError, ServerUrl};
pub(super) use self::{connection::Connection, error::CallError};
use crate::{
    model::ClientTlsSettings,
    tls::{Connector, TlsError},
};

/// How long the body of an answer may take once its head is there.
const BODY_TIME: Duration = Duration::from_secs(60);

/// The longest body, in bytes.
const LONGEST_BODY: usize = 256 << 20;

/// A body from this many bytes on is read into values beside the runtime.
const MUCH: usize = 256 << 10;

/// Connections that are kept while nothing is asked.
const KEPT: usize = 16;

/// An answer, whatever its status, read whole.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
}

/// Asks one server.
#[derive(Debug)]
pub(super) struct Client {
    url: ServerUrl,
    connector: Option<Connector>,
    headers: HeaderMap,
    idle: Mutex<Vec<Connection>>,
    longest_body: usize,
    body_time: Duration,
}

impl Client {
    /// One that asks the server at `url`. Reads files where TLS is spoken.
    ///
    /// # Errors
    ///
    /// When what `tls` names cannot be used.
    pub(super) fn new(url: ServerUrl, tls: &ClientTlsSettings) -> Result<Self, TlsError> {
        let connector = match url.is_secure() {
            true => Some(Connector::load(tls.clone())?),
            false => None,
        };
        let mut headers = HeaderMap::new();
        let agent = concat!("portolan/", env!("CARGO_PKG_VERSION"));
        headers.insert(USER_AGENT, HeaderValue::from_static(agent));
        headers.insert(HOST, url.authority().clone());
        headers.insert(ACCEPT, HeaderValue::from_static("application/json"));
        headers.extend(url.authorization().map(|value| (AUTHORIZATION, value)));
        let (longest_body, body_time) = (LONGEST_BODY, BODY_TIME);
        Ok(Self { url, connector, headers, idle: Mutex::default(), longest_body, body_time })
    }

    /// The same, which sends a header `name` with each request. A value that
    /// cannot be one is an error of the server's, who will miss it.
    pub(super) fn with_header(mut self, name: HeaderName, value: &str) -> Self {
        if let Ok(mut value) = HeaderValue::try_from(value) {
            value.set_sensitive(true);
            self.headers.insert(name, value);
        }
        self
    }

    /// The same, which reads no body longer than `bytes`.
    pub(super) fn reading_at_most(self, bytes: usize) -> Self {
        Self { longest_body: bytes, ..self }
    }

    /// Gets `target`, a path with its query below that of the URL. The head of
    /// the answer has to be there `within` that time.
    pub(super) async fn get(&self, target: &str, within: Duration) -> Result<Answer, CallError> {
        self.get_with(target, within, &HeaderMap::new()).await
    }

    /// The same with further `fields`.
    pub(super) async fn get_with(
        &self,
        target: &str,
        within: Duration,
        fields: &HeaderMap,
    ) -> Result<Answer, CallError> {
        let late = |_| CallError::Timeout { what: "answer", within };
        let exchange = tokio::time::timeout(within, self.exchange(target, fields));
        let (connection, response) = exchange.await.map_err(late)??;
        let (parts, body) = response.into_parts();
        if let Some(encoding) = parts.headers.get(CONTENT_ENCODING)
            && encoding != "identity"
        {
            return Err(CallError::Encoded(String::from_utf8_lossy(encoding.as_bytes()).into()));
        }
        let read = Limited::new(body, self.longest_body).collect();
        let late = |_| CallError::Timeout { what: "end of the answer", within: self.body_time };
        let read = tokio::time::timeout(self.body_time, read).await.map_err(late)?;
        let body = match read {
            Ok(body) => body.to_bytes(),
            Err(error) if error.is::<http_body_util::LengthLimitError>() => {
                return Err(CallError::TooLong(self.longest_body));
            }
            Err(error) => return Err(CallError::Broken(error)),
        };
        self.keep(connection);
        Ok(Answer { status: parts.status, headers: parts.headers, body })
    }

    async fn exchange(
        &self,
        target: &str,
        fields: &HeaderMap,
    ) -> Result<(Connection, http::Response<hyper::body::Incoming>), CallError> {
        // One that was kept may be closing; that is no failure of the server.
        while let Some(mut kept) = self.take() {
            if kept.is_ready()
                && let Ok(response) = kept.send(self.request(target, fields)?).await
            {
                return Ok((kept, response));
            }
        }
        let mut new = Connection::open(&self.url, self.connector.as_ref()).await?;
        let response = new.send(self.request(target, fields)?).await;
        Ok((new, response.map_err(|error| CallError::Broken(error.into()))?))
    }

    fn request(
        &self,
        target: &str,
        fields: &HeaderMap,
    ) -> Result<Request<Empty<Bytes>>, CallError> {
        let target = Some(self.url.target(target)).filter(|target| !target.is_empty());
        let target = target.unwrap_or_else(|| "/".to_owned());
        let request = Request::get(target).body(Empty::new());
        let mut request = request.map_err(|error| CallError::Broken(error.into()))?;
        *request.headers_mut() = self.headers.clone();
        request.headers_mut().extend(fields.clone());
        Ok(request)
    }

    fn take(&self) -> Option<Connection> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop()
    }

    fn keep(&self, connection: Connection) {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        idle.retain(Connection::is_open);
        if connection.is_open() && idle.len() < KEPT {
            idle.push(connection);
        }
    }
}

impl Answer {
    /// The JSON of an answer with status 200.
    pub(super) async fn json<T>(self) -> Result<T, CallError>
    where
        T: DeserializeOwned + Send + 'static,
    {
        if self.status != StatusCode::OK {
            return Err(self.refusal());
        }
        let read = |body: &[u8]| {
            serde_json::from_slice(body)
                .map_err(|why| CallError::NotUnderstood { why, beginning: error::beginning(body) })
        };
        if self.body.len() < MUCH {
            return read(&self.body);
        }
        let task = tokio::task::spawn_blocking(move || read(&self.body));
        task.await.unwrap_or_else(|error| Err(CallError::Broken(error.into())))
    }

    /// The answer as an error.
    pub(super) fn refusal(&self) -> CallError {
        CallError::Status { status: self.status, beginning: error::beginning(&self.body) }
    }
}

/// `text` as one value in a query or one segment of a path.
pub(super) fn escape(text: &str) -> impl std::fmt::Display + '_ {
    percent_encoding::utf8_percent_encode(text, UNRESERVED)
}

/// All but the unreserved characters of RFC 3986 section 2.3.
const UNRESERVED: &percent_encoding::AsciiSet =
    &percent_encoding::NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');
