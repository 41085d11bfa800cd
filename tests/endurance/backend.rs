//! An instance, in a process of its own: this test binary, started with
//! `backend`. It can be killed as real ones are.
//!
//! What it processed outlives it: the number of each POST is on its log, a
//! file, before the answer is sent. It knows nothing of Portolan.

use std::{
    fs::{File, OpenOptions},
    io::{self, Write},
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use futures_util::{SinkExt, StreamExt};
use http::{HeaderValue, Method, Request, Response, StatusCode, header};
use http_body_util::{BodyExt, Full, StreamBody, combinators::UnsyncBoxBody};
use hyper::{
    body::{Frame, Incoming},
    service::service_fn,
};
use hyper_util::rt::TokioIo;
use rustix::process::{Signal, getpid, kill_process};
use serde::{Deserialize, Serialize};
use tokio::{net::TcpListener, time::sleep};
use tokio_tungstenite::{
    WebSocketStream,
    tungstenite::{handshake::derive_accept_key, protocol::Role},
};

use crate::content;

/// Arguments of `backend`.
#[derive(Debug, clap::Args)]
pub(crate) struct BackendArgs {
    /// Where it listens on 127.0.0.1; 0 finds one.
    #[arg(long, env = "PORT", default_value_t = 0)]
    port: u16,
    /// What it calls itself.
    #[arg(long)]
    name: String,
    /// Where it writes down what it processed.
    #[arg(long)]
    log: PathBuf,
    /// How much longer it takes to answer, in milliseconds.
    #[arg(long, default_value_t = 0)]
    slow: u64,
    /// Close the connection instead of answering, but for health checks.
    #[arg(long)]
    failing: bool,
}

/// What it answers to `/stats`.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Stats {
    /// Requests but for health checks.
    pub(crate) requests: u64,
    /// Those that came before the first health check.
    pub(crate) early: u64,
}

type Body = UnsyncBoxBody<Bytes, io::Error>;

#[derive(Debug)]
struct Backend {
    name: HeaderValue,
    log: File,
    slow: Duration,
    failing: bool,
    probed: AtomicBool,
    requests: AtomicU64,
    early: AtomicU64,
}

/// Serves until it is killed. Says on stdout where.
pub(crate) async fn serve(args: BackendArgs) -> anyhow::Result<()> {
    let backend = Arc::new(Backend {
        name: HeaderValue::try_from(&args.name)?,
        log: OpenOptions::new().create(true).append(true).open(&args.log)?,
        slow: Duration::from_millis(args.slow),
        failing: args.failing,
        probed: AtomicBool::new(false),
        requests: AtomicU64::new(0),
        early: AtomicU64::new(0),
    });
    let listener = TcpListener::bind(("127.0.0.1", args.port)).await?;
    println!("{}", listener.local_addr()?);
    // Whoever started it holds the other end, and lets go of it however it
    // ends.
    std::thread::spawn(|| {
        io::copy(&mut io::stdin(), &mut io::sink()).ok();
        kill_process(getpid(), Signal::KILL).ok();
    });
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        let backend = Arc::clone(&backend);
        let service = service_fn(move |request| Arc::clone(&backend).answer(request));
        let server = hyper::server::conn::http1::Builder::new();
        let connection = server.serve_connection(TokioIo::new(stream), service);
        // It fails when the client leaves, and when it is told to.
        tokio::spawn(connection.with_upgrades());
    }
}

fn whole(body: impl Into<Bytes>) -> Body {
    Full::new(body.into()).map_err(|never| match never {}).boxed_unsync()
}

impl Backend {
    async fn answer(self: Arc<Self>, request: Request<Incoming>) -> anyhow::Result<Response<Body>> {
        let mut path = request.uri().path().split('/').skip(1);
        let kind = path.next().unwrap_or_default().to_owned();
        let number = path.next().and_then(|number| number.parse().ok()).unwrap_or_default();
        match kind.as_str() {
            "healthz" => {
                self.probed.store(true, Ordering::SeqCst);
                return Ok(Response::new(whole("ok")));
            }
            "stats" => {
                let stats = Stats {
                    requests: self.requests.load(Ordering::SeqCst),
                    early: self.early.load(Ordering::SeqCst),
                };
                return Ok(Response::new(whole(serde_json::to_vec(&stats)?)));
            }
            _ => {}
        }
        self.requests.fetch_add(1, Ordering::SeqCst);
        if !self.probed.load(Ordering::SeqCst) {
            self.early.fetch_add(1, Ordering::SeqCst);
        }
        anyhow::ensure!(!self.failing, "told to fail");
        sleep(self.slow).await;
        let mut response = match (request.method(), kind.as_str()) {
            (&Method::GET, "get") => {
                sleep(content::pause(number)).await;
                Response::new(whole(content::body(number)))
            }
            (&Method::POST, "post") => {
                let body = request.into_body().collect().await?.to_bytes();
                // One write: lines of several tasks do not mix.
                (&self.log).write_all(format!("{number}\n").as_bytes())?;
                sleep(content::pause(number)).await;
                Response::new(whole(body))
            }
            (&Method::GET, "stream") => Response::new(streamed(number)),
            (&Method::GET, "websocket") => upgraded(request)?,
            _ => {
                let mut response = Response::new(whole("nothing is here"));
                *response.status_mut() = StatusCode::NOT_FOUND;
                response
            }
        };
        response.headers_mut().insert("x-backend", self.name.clone());
        Ok(response)
    }
}

fn streamed(number: u64) -> Body {
    let (chunks, gap) = content::chunks(number);
    let chunks =
        futures_util::stream::iter(chunks).enumerate().then(move |(index, chunk)| async move {
            if index > 0 {
                sleep(gap).await;
            }
            Ok(Frame::data(chunk))
        });
    BodyExt::boxed_unsync(StreamBody::new(chunks))
}

fn upgraded(request: Request<Incoming>) -> anyhow::Result<Response<Body>> {
    let key = request.headers().get(header::SEC_WEBSOCKET_KEY);
    let accept = derive_accept_key(key.map(HeaderValue::as_bytes).unwrap_or_default());
    tokio::spawn(async move {
        let upgraded = hyper::upgrade::on(request).await?;
        let socket = TokioIo::new(upgraded);
        let mut socket = WebSocketStream::from_raw_socket(socket, Role::Server, None).await;
        while let Some(message) = socket.next().await {
            let message = message?;
            if message.is_text() {
                socket.send(message).await?;
            }
        }
        anyhow::Ok(())
    });
    let response = Response::builder()
        .status(StatusCode::SWITCHING_PROTOCOLS)
        .header(header::CONNECTION, "upgrade")
        .header(header::UPGRADE, "websocket")
        .header(header::SEC_WEBSOCKET_ACCEPT, accept);
    Ok(response.body(whole(""))?)
}
