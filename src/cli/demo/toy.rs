//! A service that does nothing but say who it is, and can be told to fail.

use std::{
    convert::Infallible,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode, header::CONTENT_TYPE};
use http_body_util::Full;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;

/// One toy instance.
#[derive(Debug)]
pub(super) struct Toy {
    service: &'static str,
    id: &'static str,
    failing: AtomicBool,
}

impl Toy {
    /// A toy in good health.
    pub(super) const fn new(service: &'static str, id: &'static str) -> Self {
        Self { service, id, failing: AtomicBool::new(false) }
    }

    /// Answers whoever connects, until the runtime ends.
    pub(super) async fn serve(self: Arc<Self>, listener: TcpListener) {
        while let Ok((stream, _)) = listener.accept().await {
            let toy = Arc::clone(&self);
            let service = service_fn(move |request| {
                let answer = toy.answer(&request);
                async move { Ok::<_, Infallible>(answer) }
            });
            let server = hyper::server::conn::http1::Builder::new();
            tokio::spawn(server.serve_connection(TokioIo::new(stream), service));
        }
    }

    fn answer<B>(&self, request: &Request<B>) -> Response<Full<Bytes>> {
        match (request.method(), request.uri().path()) {
            (_, "/healthz") if self.failing.load(Ordering::Relaxed) => {
                respond(StatusCode::SERVICE_UNAVAILABLE, "told to fail\n")
            }
            (_, "/healthz") => respond(StatusCode::OK, "ok\n"),
            (&Method::POST, "/fail") => self.set_failing(true),
            (&Method::POST, "/recover") => self.set_failing(false),
            (_, path) => {
                let said = serde_json::json!({
                    "service": self.service, "instance": self.id, "path": path,
                });
                let mut response = respond(StatusCode::OK, format!("{said}\n"));
                let json = http::HeaderValue::from_static("application/json");
                response.headers_mut().insert(CONTENT_TYPE, json);
                response
            }
        }
    }

    fn set_failing(&self, failing: bool) -> Response<Full<Bytes>> {
        self.failing.store(failing, Ordering::Relaxed);
        let status = if failing { 503 } else { 200 };
        respond(StatusCode::OK, format!("/healthz of {} answers {status} from now on\n", self.id))
    }
}

fn respond(status: StatusCode, text: impl Into<Bytes>) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(text.into()));
    *response.status_mut() = status;
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_toy_fails_when_told_to() {
        let toy = Toy::new("hello", "hello-1");
        let ask = |method: &str, path: &str| {
            let request = Request::builder().method(method).uri(path).body(());
            toy.answer(&request.expect("a request")).status().as_u16()
        };
        assert_eq!(ask("GET", "/healthz"), 200);
        ask("POST", "/fail");
        assert_eq!((ask("GET", "/healthz"), ask("GET", "/x")), (503, 200));
        ask("POST", "/recover");
        assert_eq!(ask("GET", "/healthz"), 200);
    }
}
