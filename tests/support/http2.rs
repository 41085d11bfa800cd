//! A client and an instance that speak HTTP/2 by a library, each on a thread
//! of its own.

use std::{
    future::Future,
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use h2::{
    RecvStream, SendStream,
    client::{self, ResponseFuture, SendRequest},
    server::{self, SendResponse},
};
use http::{HeaderMap, HeaderValue, Request, Response};
use tokio::{net::TcpStream, runtime::Runtime};

use super::{Message, PATIENCE};

/// An answer, read to its end.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) head: Response<()>,
    pub(crate) body: Vec<u8>,
    pub(crate) trailers: HeaderMap,
}

impl Answer {
    pub(crate) fn status(&self) -> u16 {
        self.head.status().as_u16()
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The same as if it had come by HTTP/1.1.
    pub(crate) fn message(&self) -> Message {
        let text = |value: &HeaderValue| value.to_str().expect("text").to_owned();
        let fields = self.head.headers().iter();
        Message {
            start: format!("HTTP/2.0 {}", self.status()),
            fields: fields.map(|(name, value)| (name.to_string(), text(value))).collect(),
            body: self.body.clone(),
            complete: true,
            ..Message::default()
        }
    }

    pub(crate) fn field(&self, name: &str) -> Option<&str> {
        self.head.headers().get(name).map(|value| value.to_str().expect("text"))
    }

    pub(crate) fn trailer(&self, name: &str) -> Option<&str> {
        self.trailers.get(name).map(|value| value.to_str().expect("text"))
    }
}

fn runtime() -> Runtime {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .expect("a runtime")
}

/// A client connection.
#[derive(Debug)]
pub(crate) struct Http2 {
    runtime: Option<Runtime>,
    sender: SendRequest<Bytes>,
    ended: Arc<Mutex<Option<Result<(), h2::Error>>>>,
}

impl Http2 {
    /// Connects to `address` with prior knowledge.
    #[track_caller]
    pub(crate) fn open(address: SocketAddr) -> Self {
        Self::with(address, &client::Builder::new())
    }

    /// As [`Self::open`], with the settings of `builder`.
    #[track_caller]
    pub(crate) fn with(address: SocketAddr, builder: &client::Builder) -> Self {
        let runtime = runtime();
        let ended = Arc::new(Mutex::new(None));
        let noted = Arc::clone(&ended);
        let builder = builder.clone();
        let sender = runtime.block_on(async {
            let stream = TcpStream::connect(address).await.expect("a connection");
            let (sender, connection) = builder.handshake(stream).await.expect("a handshake");
            tokio::spawn(async move {
                let outcome = connection.await;
                *noted.lock().expect("no panic") = Some(outcome);
            });
            sender
        });
        Self { runtime: Some(runtime), sender, ended }
    }

    /// Waits for `future`.
    #[track_caller]
    pub(crate) fn wait<F: Future>(&self, future: F) -> F::Output {
        let bounded = async { tokio::time::timeout(PATIENCE, future).await };
        self.runtime.as_ref().expect("a runtime").block_on(bounded).expect("it did not come")
    }

    /// Begins `request`. Its body follows unless it `ends` here.
    #[track_caller]
    pub(crate) fn begin(
        &self,
        request: Request<()>,
        ends: bool,
    ) -> (ResponseFuture, SendStream<Bytes>) {
        let mut sender = self.wait(self.sender.clone().ready()).expect("room for a stream");
        sender.send_request(request, ends).expect("a request")
    }

    /// Sends `request` with `body` and reads the answer.
    #[track_caller]
    pub(crate) fn exchange(&self, request: Request<()>, body: &[u8]) -> Result<Answer, h2::Error> {
        let (answer, mut stream) = self.begin(request, body.is_empty());
        if !body.is_empty() {
            stream.send_data(Bytes::copy_from_slice(body), true)?;
        }
        self.wait(read(answer))
    }

    /// Gets `path` from the host `test`.
    #[track_caller]
    pub(crate) fn get(&self, path: &str) -> Answer {
        self.exchange(get(path), b"").expect("an answer")
    }

    /// How the connection ended, if it has.
    pub(crate) fn has_ended(&self) -> bool {
        self.ended.lock().expect("no panic").is_some()
    }

    /// Whether it extends CONNECT (RFC 8441).
    pub(crate) fn extends_connect(&self) -> bool {
        self.sender.is_extended_connect_protocol_enabled()
    }
}

impl Drop for Http2 {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

/// A GET of `path` from the host `test`.
pub(crate) fn get(path: &str) -> Request<()> {
    Request::get(format!("http://test{path}")).body(()).expect("a request")
}

/// A POST to `path` of the host `test`.
pub(crate) fn post(path: &str) -> Request<()> {
    Request::post(format!("http://test{path}")).body(()).expect("a request")
}

/// Reads an answer to its end.
pub(crate) async fn read(answer: ResponseFuture) -> Result<Answer, h2::Error> {
    let (parts, body) = answer.await?.into_parts();
    let (body, trailers) = read_body(body).await?;
    Ok(Answer { head: Response::from_parts(parts, ()), body, trailers })
}

/// Reads a body to its end.
pub(crate) async fn read_body(mut body: RecvStream) -> Result<(Vec<u8>, HeaderMap), h2::Error> {
    let mut bytes = Vec::new();
    while let Some(chunk) = body.data().await {
        let chunk = chunk?;
        body.flow_control().release_capacity(chunk.len())?;
        bytes.extend_from_slice(&chunk);
    }
    let trailers = body.trailers().await?.unwrap_or_default();
    Ok((bytes, trailers))
}

/// A request as an instance gets it.
pub(crate) type Asked = Request<RecvStream>;

/// How an instance answers.
pub(crate) type Reply = SendResponse<Bytes>;

/// An instance that speaks HTTP/2. It runs until it is dropped.
#[derive(Debug)]
pub(crate) struct Http2Backend {
    pub(crate) address: SocketAddr,
    connections: Arc<AtomicUsize>,
    requests: Arc<AtomicUsize>,
    open: Arc<AtomicUsize>,
    runtime: Option<Runtime>,
}

impl Http2Backend {
    /// Starts one that answers each request with `answer`.
    pub(crate) fn start<F>(answer: impl Fn(Asked, Reply) -> F + Clone + Send + 'static) -> Self
    where
        F: Future<Output = ()> + Send + 'static,
    {
        Self::with(server::Builder::new(), answer)
    }

    /// As [`Self::start`], with the settings of `builder`.
    pub(crate) fn with<F>(
        builder: server::Builder,
        answer: impl Fn(Asked, Reply) -> F + Clone + Send + 'static,
    ) -> Self
    where
        F: Future<Output = ()> + Send + 'static,
    {
        Self::serving(move |stream, requests| {
            let (builder, answer) = (builder.clone(), answer.clone());
            async move {
                let Ok(mut connection) = builder.handshake::<_, Bytes>(stream).await else {
                    return;
                };
                while let Some(Ok((request, reply))) = connection.accept().await {
                    requests.fetch_add(1, Ordering::SeqCst);
                    tokio::spawn(answer(request, reply));
                }
            }
        })
    }

    /// Starts one that does with each connection what `serve` says, which is
    /// told where requests are counted.
    pub(crate) fn serving<F>(
        serve: impl Fn(TcpStream, Arc<AtomicUsize>) -> F + Send + 'static,
    ) -> Self
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let runtime = runtime();
        let listener = runtime.block_on(tokio::net::TcpListener::bind("127.0.0.1:0"));
        let listener = listener.expect("a port");
        let address = listener.local_addr().expect("an address");
        let (connections, requests, open) =
            (Arc::<AtomicUsize>::default(), Arc::<AtomicUsize>::default(), Arc::default());
        let (accepted, asked, held) =
            (Arc::clone(&connections), Arc::clone(&requests), Arc::<AtomicUsize>::clone(&open));
        runtime.spawn(async move {
            loop {
                let Ok((stream, _)) = listener.accept().await else { return };
                let _ = stream.set_nodelay(true);
                accepted.fetch_add(1, Ordering::SeqCst);
                held.fetch_add(1, Ordering::SeqCst);
                let (served, held) = (serve(stream, Arc::clone(&asked)), Arc::clone(&held));
                tokio::spawn(async move {
                    served.await;
                    held.fetch_sub(1, Ordering::SeqCst);
                });
            }
        });
        Self { address, connections, requests, open, runtime: Some(runtime) }
    }

    /// Starts one that answers each request with `text` once it has the whole
    /// of it.
    pub(crate) fn answering(text: &'static str) -> Self {
        Self::start(move |request, mut reply| async move {
            let Ok(_) = read_body(request.into_body()).await else { return };
            let Ok(mut stream) = reply.send_response(Response::new(()), false) else { return };
            let _ = stream.send_data(Bytes::from_static(text.as_bytes()), true);
        })
    }

    /// Connections accepted so far.
    pub(crate) fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }

    /// Connections that are open.
    pub(crate) fn open(&self) -> usize {
        self.open.load(Ordering::SeqCst)
    }

    /// Requests so far.
    pub(crate) fn requests(&self) -> usize {
        self.requests.load(Ordering::SeqCst)
    }
}

impl Drop for Http2Backend {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_timeout(Duration::from_millis(100));
        }
    }
}
