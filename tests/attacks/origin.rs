//! The instance behind the proxy: a megabyte at `/big`, and reads whatever it
//! is sent.

use std::{convert::Infallible, net::SocketAddr};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::{body::Incoming, service::service_fn};
use hyper_util::rt::TokioIo;
use tokio::net::TcpSocket;

/// Starts one, for as long as there are tests.
pub(crate) fn start() -> SocketAddr {
    let socket = TcpSocket::new_v4().expect("a socket");
    socket.bind(SocketAddr::from(([127, 0, 0, 1], 0))).expect("a port");
    // Room for all connections that an attack makes at once: the kernel drops
    // what there is none for, and others would wait for it to be sent again.
    let listener = socket.listen(4096).expect("a listener");
    let address = listener.local_addr().expect("an address");
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let connection = hyper::server::conn::http1::Builder::new()
                .serve_connection(TokioIo::new(stream), service_fn(answer));
            tokio::spawn(connection);
        }
    });
    address
}

async fn answer(request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
    static BIG: [u8; 1 << 20] = [b'x'; 1 << 20];
    let body = match request.uri().path() {
        "/big" => Bytes::from_static(&BIG),
        _ => Bytes::from_static(b"ok"),
    };
    let mut upload = request.into_body();
    while let Some(Ok(_)) = upload.frame().await {}
    Ok(Response::new(Full::new(body)))
}
