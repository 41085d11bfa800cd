//! The HTTP probe: `GET path`, or what a client has declared, on a connection of
//! its own, an expected status, and a text in the body if one is asked for.
//!
//! Redirects are answers like any other: following one would let an instance
//! send the proxy anywhere. Nothing an instance sends is kept beyond
//! [`BODY_LIMIT`].

use std::{convert::Infallible, time::Duration};

use ::http::{HeaderName, HeaderValue, Request, Response, StatusCode, header, uri::PathAndQuery};
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::{body::Incoming, client::conn::http1};
use hyper_util::rt::TokioIo;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
    time::{Instant, timeout_at},
};
use tokio_rustls::{TlsConnector, client::TlsStream};

use super::{
    Target,
    dial::{Deadline, Dialer},
    failure::{Failure, HttpFailure, shown_path},
};
use crate::{
    model::{AddressGuard, ProbeRequest, StatusSet},
    tls::{Connector, words},
};

/// How much of a body is searched for the expected text, in bytes.
const BODY_LIMIT: usize = 64 << 10;

/// How much is read of a body that decides nothing, in bytes. The beginning of
/// a failure is shown, and many servers complain if nobody takes what they
/// send.
const COURTESY_LIMIT: usize = 4 << 10;

/// How long such a body is waited for.
const COURTESY_WAIT: Duration = Duration::from_millis(250);

/// The most bytes of an answer's head.
const HEAD_LIMIT: usize = 64 << 10;

const USER_AGENT: &str = concat!("portolan-probe/", env!("CARGO_PKG_VERSION"));

/// What to send and what to expect, from [`crate::model::Probe::Http`].
#[derive(Clone, Copy, Debug)]
pub(super) struct HttpProbe<'a> {
    pub(super) path: &'a str,
    pub(super) host: Option<&'a str>,
    pub(super) expect_status: &'a StatusSet,
    pub(super) expect_body: Option<&'a str>,
    pub(super) request: Option<&'a ProbeRequest>,
}

impl HttpProbe<'_> {
    /// Sends the request and judges the answer.
    pub(super) async fn probe(
        self,
        dialer: &Dialer,
        target: &Target,
        guard: &AddressGuard,
        deadline: Deadline,
    ) -> Result<String, Failure> {
        let method = self.request.and_then(|sent| sent.method.as_deref()).unwrap_or("GET");
        let shown = || format!("{method} {}", shown_path(self.path));
        let failed = |why| Failure::Http { request: shown(), why };
        let request = self.request(target).map_err(|e| failed(HttpFailure::Unsendable(e)))?;
        let stream = dialer.dial(target, guard, deadline).await?;
        let exchange = async {
            match &target.tls {
                None => self.exchange(stream, request, deadline).await,
                Some(connector) => {
                    let stream = secure(stream, target, connector).await?;
                    self.exchange(stream, request, deadline).await
                }
            }
        };
        let status = timeout_at(deadline.at, exchange)
            .await
            .unwrap_or(Err(HttpFailure::Timeout { within: deadline.within }))
            .map_err(failed)?;
        Ok(format!("{} -> {}", shown(), status.as_u16()))
    }

    fn request(self, target: &Target) -> Result<Request<Full<Bytes>>, ::http::Error> {
        let host = match (self.host, target.port()) {
            (Some(host), _) => host.to_owned(),
            (None, 80) if target.tls.is_none() => target.address.host.to_string(),
            (None, 443) if target.tls.is_some() => target.address.host.to_string(),
            (None, port) => format!("{}:{port}", target.address.host),
        };
        // Parsed as a path, so that no spelling of it names another host.
        let path: PathAndQuery = self.path.parse()?;
        let plain = ProbeRequest::default();
        let sent = self.request.unwrap_or(&plain);
        let mut request = Request::builder()
            .method(sent.method.as_deref().unwrap_or("GET"))
            .uri(path)
            .header(header::HOST, host)
            .header(header::CONNECTION, "close")
            .body(Full::from(sent.body.clone()))?;
        let fields = request.headers_mut();
        for (name, values) in &sent.headers {
            for value in values {
                fields.append(name.parse::<HeaderName>()?, value.parse()?);
            }
        }
        for (name, value) in [(header::USER_AGENT, USER_AGENT), (header::ACCEPT, "*/*")] {
            fields.entry(name).or_insert(HeaderValue::from_static(value));
        }
        Ok(request)
    }

    async fn exchange(
        self,
        stream: impl AsyncRead + AsyncWrite + Unpin,
        request: Request<Full<Bytes>>,
        deadline: Deadline,
    ) -> Result<StatusCode, HttpFailure> {
        let mut builder = http1::Builder::new();
        builder.max_buf_size(HEAD_LIMIT);
        let (mut sender, connection) =
            builder.handshake(TokioIo::new(stream)).await.map_err(HttpFailure::Protocol)?;
        // What goes wrong on the connection comes out of the exchange too.
        let driven = async {
            connection.await.ok();
            std::future::pending::<Infallible>().await
        };
        let judged = async {
            let response = sender.send_request(request).await.map_err(HttpFailure::Protocol)?;
            self.judge(response, deadline).await
        };
        tokio::select! {
            judged = judged => judged,
            never = driven => match never {},
        }
    }

    async fn judge(
        self,
        response: Response<Incoming>,
        deadline: Deadline,
    ) -> Result<StatusCode, HttpFailure> {
        let status = response.status();
        let mut body = response.into_body();
        let mut read = Vec::new();
        let expected = self.expect_status.contains(status.as_u16());
        let Some(wanted) = self.expect_body.filter(|_| expected) else {
            let until = deadline.at.min(Instant::now() + COURTESY_WAIT);
            // Late or broken, it changes nothing.
            _ = timeout_at(until, read_until(&mut body, &mut read, COURTESY_LIMIT, None)).await;
            let failed = HttpFailure::Status { status: status.as_u16(), body: read };
            return if expected { Ok(status) } else { Err(failed) };
        };
        let broke = read_until(&mut body, &mut read, BODY_LIMIT, Some(wanted)).await.err();
        match (contains(&read, wanted), broke) {
            (true, _) => Ok(status),
            (false, Some(error)) => Err(HttpFailure::Protocol(error)),
            (false, None) => {
                read.truncate(COURTESY_LIMIT);
                let wanted = wanted.to_owned();
                Err(HttpFailure::Body { status: status.as_u16(), wanted, body: read })
            }
        }
    }
}

/// Speaks TLS over `stream`, as requests do, and agrees on HTTP/2.
pub(super) async fn secure_http2(
    stream: TcpStream,
    target: &Target,
    connector: &Connector,
) -> Result<TlsStream<TcpStream>, String> {
    let unusable = "the certificates that are configured cannot be used";
    let (config, name) = connector.for_http2(&target.address.host).ok_or(unusable)?;
    let shaken = TlsConnector::from(config).connect(name, stream).await;
    let stream = shaken.map_err(|error| words(&error))?;
    match stream.get_ref().1.alpn_protocol() {
        Some(b"h2") => Ok(stream),
        _ => Err("it does not offer HTTP/2".to_owned()),
    }
}

/// Speaks TLS over `stream`, as requests do.
async fn secure(
    stream: TcpStream,
    target: &Target,
    connector: &Connector,
) -> Result<TlsStream<TcpStream>, HttpFailure> {
    let unusable =
        || HttpFailure::Tls("the certificates that are configured cannot be used".into());
    let (config, name) = connector.for_host(&target.address.host).ok_or_else(unusable)?;
    let shaken = TlsConnector::from(config).connect(name, stream).await;
    shaken.map_err(|error| HttpFailure::Tls(words(&error)))
}

/// Reads on until the body ends, `limit` bytes are read or `wanted` is found.
async fn read_until(
    body: &mut Incoming,
    read: &mut Vec<u8>,
    limit: usize,
    wanted: Option<&str>,
) -> Result<(), hyper::Error> {
    while read.len() < limit {
        let Some(frame) = body.frame().await else { break };
        let Ok(data) = frame?.into_data() else { continue };
        let known = read.len();
        read.extend_from_slice(&data[..data.len().min(limit - known)]);
        // Only what is new, and as much before it as could begin the text.
        if let Some(wanted) = wanted
            && contains(&read[known.saturating_sub(wanted.len())..], wanted)
        {
            break;
        }
    }
    Ok(())
}

fn contains(body: &[u8], wanted: &str) -> bool {
    wanted.is_empty() || body.windows(wanted.len()).any(|window| window == wanted.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_is_found_wherever_it_stands() {
        assert!(contains(b"status: ok", "ok") && contains(b"", "") && contains(b"x", ""));
        assert!(!contains(b"status: no", "ok") && !contains(b"", "ok"));
    }
}
