//! One exchange of each kind, and whether what came back is right.

use bytes::Bytes;
use futures_util::{SinkExt, StreamExt};
use http::{Method, Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::{
    body::Incoming,
    client::conn::http1::{SendRequest, handshake},
};
use hyper_util::rt::TokioIo;
use std::{net::SocketAddr, sync::Mutex, time::Duration};
use tokio::{
    net::TcpStream,
    time::{sleep, timeout},
};
use tokio_tungstenite::tungstenite::{self, Message};

use crate::{
    content,
    tally::{Cause, Kind},
};

/// What an answer may take.
const PATIENCE: Duration = Duration::from_secs(180);

/// Idle connections that are kept.
const MOST_IDLE: usize = 256;

type Sender = SendRequest<Full<Bytes>>;

/// A client: an address, and its connections there.
#[derive(Debug)]
pub(crate) struct Client {
    target: SocketAddr,
    idle: Mutex<Vec<Sender>>,
}

impl Client {
    pub(crate) fn of(target: SocketAddr) -> Self {
        Self { target, idle: Mutex::default() }
    }

    /// Does one of `kind`.
    pub(crate) async fn exchange(&self, kind: Kind, number: u64) -> Result<(), Cause> {
        let exchange = async {
            match kind {
                Kind::Get => self.get(number).await,
                Kind::Post => self.post(number).await,
                Kind::Stream => self.stream(number).await,
                Kind::WebSocket => self.websocket(number).await,
            }
        };
        timeout(PATIENCE, exchange).await.unwrap_or(Err(Cause::Timeout))
    }

    async fn get(&self, number: u64) -> Result<(), Cause> {
        let path = format!("/get/{number}");
        self.request(Method::GET, path, Bytes::new(), number, &content::body(number)).await
    }

    async fn post(&self, number: u64) -> Result<(), Cause> {
        let (path, body) = (format!("/post/{number}"), content::body(!number));
        self.request(Method::POST, path, body.clone(), number, &body).await
    }

    async fn stream(&self, number: u64) -> Result<(), Cause> {
        let (path, expected) = (format!("/stream/{number}"), content::chunks(number).0.concat());
        self.request(Method::GET, path, Bytes::new(), number, &expected).await
    }

    async fn request(
        &self,
        method: Method,
        path: String,
        body: Bytes,
        number: u64,
        expected: &[u8],
    ) -> Result<(), Cause> {
        // One in sixteen comes as a new client and leaves again.
        let stays = !content::mixed(number ^ 4).is_multiple_of(16);
        let mut request = Request::builder().method(method).uri(path).header("host", "app.test");
        if !stays {
            request = request.header("connection", "close");
        }
        let request = request.body(Full::new(body)).expect("a request");
        let (sender, response) = self.send(request, stays).await?;
        let status = response.status();
        let from_instance = response.headers().contains_key("x-backend");
        let body = response.into_body().collect().await;
        let body = body.map_err(|error| Cause::Cut(chain(&error)))?.to_bytes();
        if !from_instance {
            return Err(Cause::Refused(status.as_u16(), reason(&body)));
        }
        if status != 200 || body != expected {
            return Err(Cause::Wrong(format!("status {status}, {} bytes", body.len())));
        }
        let mut idle = self.idle.lock().expect("no panic");
        if stays && !sender.is_closed() && idle.len() < MOST_IDLE {
            idle.push(sender);
        }
        Ok(())
    }

    /// Sends it over an idle connection, or a new one.
    async fn send(
        &self,
        mut request: Request<Full<Bytes>>,
        stays: bool,
    ) -> Result<(Sender, Response<Incoming>), Cause> {
        loop {
            let kept = stays.then(|| self.idle.lock().expect("no panic").pop()).flatten();
            let (mut sender, is_kept) = match kept {
                Some(sender) => (sender, true),
                None => (self.connect().await?, false),
            };
            if sender.ready().await.is_err() && is_kept {
                continue;
            }
            let mut failed = match sender.try_send_request(request).await {
                Ok(response) => return Ok((sender, response)),
                Err(failed) => failed,
            };
            match failed.take_message() {
                // Nothing of it was sent: the proxy had closed it before.
                Some(unsent) if is_kept => request = unsent,
                _ => {
                    let age = if is_kept { "kept" } else { "new" };
                    let error = chain(failed.error());
                    return Err(Cause::Closed(format!("a {age} connection: {error}")));
                }
            }
        }
    }

    async fn connect(&self) -> Result<Sender, Cause> {
        let stream = self.dial().await?;
        let (sender, connection) =
            handshake(TokioIo::new(stream)).await.map_err(|error| Cause::Connect(chain(&error)))?;
        tokio::spawn(connection);
        Ok(sender)
    }

    async fn dial(&self) -> Result<TcpStream, Cause> {
        let stream = TcpStream::connect(self.target).await;
        let stream = stream.map_err(|error| Cause::Connect(chain(&error)))?;
        stream.set_nodelay(true).map_err(|error| Cause::Connect(chain(&error)))?;
        Ok(stream)
    }

    async fn websocket(&self, number: u64) -> Result<(), Cause> {
        let stream = self.dial().await?;
        let url = format!("ws://app.test/websocket/{number}");
        let (mut socket, _) =
            tokio_tungstenite::client_async(url, stream).await.map_err(|error| match error {
                tungstenite::Error::Http(answer) => {
                    let body = answer.body().as_deref().unwrap_or_default();
                    Cause::Refused(answer.status().as_u16(), reason(body))
                }
                error => Cause::Closed(chain(&error)),
            })?;
        let (messages, gap) = content::messages(number);
        for message in messages {
            let cut = |error: tungstenite::Error| Cause::Cut(chain(&error));
            socket.send(Message::text(message.clone())).await.map_err(cut)?;
            match socket.next().await {
                Some(Ok(echo)) if echo == Message::text(message.clone()) => {}
                Some(Ok(other)) => return Err(Cause::Wrong(format!("{other:?}"))),
                Some(Err(error)) => return Err(cut(error)),
                None => return Err(Cause::Cut("the end".to_owned())),
            }
            sleep(gap).await;
        }
        socket.close(None).await.map_err(|error| Cause::Cut(chain(&error)))?;
        // The close frame of the other side, and the end.
        while let Some(message) = socket.next().await {
            message.map_err(|error| Cause::Cut(chain(&error)))?;
        }
        Ok(())
    }
}

/// The reason in an error answer of the proxy.
fn reason(body: &[u8]) -> String {
    let json: serde_json::Value = serde_json::from_slice(body).unwrap_or_default();
    json["reason"].as_str().map_or_else(|| "no reason".to_owned(), str::to_owned)
}

fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    text
}
