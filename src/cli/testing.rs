//! An admin API that answers what a test tells it to and remembers what it was
//! asked.

use std::sync::{Arc, Mutex};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::{body::Incoming, service::service_fn};
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;

use super::client::Client;

/// One call, as `METHOD target` and body.
pub(super) type Asked = (String, String);

/// The fake and a client of it.
pub(super) struct FakeAdmin {
    pub(super) client: Client,
    asked: Arc<Mutex<Vec<Asked>>>,
}

impl FakeAdmin {
    /// Answers each call by `answer`, which gets `METHOD target`.
    pub(super) async fn start(
        answer: impl Fn(&str) -> (u16, String) + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let url = format!("http://{}", listener.local_addr().expect("bound"));
        let asked = Arc::new(Mutex::new(Vec::new()));
        let (log, answer) = (Arc::clone(&asked), Arc::new(answer));
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (log, answer) = (Arc::clone(&log), Arc::clone(&answer));
                let service = service_fn(move |request: Request<Incoming>| {
                    let (log, answer) = (Arc::clone(&log), Arc::clone(&answer));
                    async move {
                        let call = format!("{} {}", request.method(), request.uri());
                        let token = request.headers().get("authorization").cloned();
                        let body = request.into_body().collect().await?.to_bytes();
                        let body = String::from_utf8_lossy(&body).into_owned();
                        let (status, text) = answer(&call);
                        let call = match token {
                            Some(token) => format!("{call} {}", token.to_str().expect("ASCII")),
                            None => call,
                        };
                        log.lock().expect("not poisoned").push((call, body));
                        let mut response = Response::new(Full::new(Bytes::from(text)));
                        *response.status_mut() = status.try_into().expect("a status");
                        Ok::<_, hyper::Error>(response)
                    }
                });
                let server = hyper::server::conn::http1::Builder::new();
                tokio::spawn(server.serve_connection(TokioIo::new(stream), service));
            }
        });
        let token = http::HeaderValue::from_static("Bearer secret");
        Self { client: Client::new(url.parse().expect("a URL"), Some(token)), asked }
    }

    /// What was asked so far.
    pub(super) fn asked(&self) -> Vec<Asked> {
        self.asked.lock().expect("not poisoned").clone()
    }
}

/// `text` without its styles.
pub(super) fn unstyled(text: &str) -> String {
    anstream::adapter::strip_str(text).to_string()
}
