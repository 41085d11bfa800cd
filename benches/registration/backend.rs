//! Instances: one server that answers 200 to everything, at every address of
//! the loopback network.

use std::convert::Infallible;

use bytes::Bytes;
use http::Response;
use http_body_util::Full;
use hyper::{server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;

/// Starts it on the current runtime, and gives its port.
pub(crate) async fn start() -> anyhow::Result<u16> {
    let listener = TcpListener::bind(("0.0.0.0", 0)).await?;
    let port = listener.local_addr()?.port();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let answer = |_| async { Ok::<_, Infallible>(Response::new(Full::new(Bytes::new()))) };
            let connection =
                http1::Builder::new().serve_connection(TokioIo::new(stream), service_fn(answer));
            tokio::spawn(async move {
                // A probe that only connects leaves without a word.
                let _ = connection.await;
            });
        }
    });
    Ok(port)
}
