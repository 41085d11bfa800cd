//! One HTTP/1.1 connection that requests are sent on one after the other.

use std::net::SocketAddr;

use bytes::Bytes;
use http::{Request, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

pub(crate) struct Client {
    sender: SendRequest<Full<Bytes>>,
    address: SocketAddr,
}

impl Client {
    pub(crate) async fn connect(address: SocketAddr) -> anyhow::Result<Self> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        let (sender, connection) = handshake(TokioIo::new(stream)).await?;
        tokio::spawn(connection);
        Ok(Self { sender, address })
    }

    /// Sends a call to the admin address and insists on a 200 or 201.
    pub(crate) async fn call(
        &mut self,
        method: &str,
        path: &str,
        body: String,
    ) -> anyhow::Result<()> {
        let host = self.address.to_string();
        let (status, text) = self.send(method, &host, path, body).await?;
        let done = [StatusCode::OK, StatusCode::CREATED].contains(&status);
        anyhow::ensure!(done, "{method} {path} -> {status} {}", String::from_utf8_lossy(&text));
        Ok(())
    }

    /// Asks for `host` and insists on a 200.
    pub(crate) async fn ask(&mut self, host: &str) -> anyhow::Result<()> {
        let (status, _) = self.send("GET", host, "/", String::new()).await?;
        anyhow::ensure!(status == StatusCode::OK, "GET http://{host}/ -> {status}");
        Ok(())
    }

    async fn send(
        &mut self,
        method: &str,
        host: &str,
        path: &str,
        body: String,
    ) -> anyhow::Result<(StatusCode, Bytes)> {
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header("host", host)
            .header("content-type", "application/json")
            .body(Full::new(body.into()))?;
        self.sender.ready().await?;
        let response = self.sender.send_request(request).await?;
        let status = response.status();
        Ok((status, response.into_body().collect().await?.to_bytes()))
    }
}
