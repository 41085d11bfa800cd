//! The other clients: what they ask is answered, whoever else is there.

use std::{
    io,
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use rustls::{ClientConfig, pki_types::ServerName};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::TcpStream,
    task::JoinSet,
    time::timeout,
};
use tokio_rustls::TlsConnector;
use tokio_util::sync::CancellationToken;

/// How many there are.
const CLIENTS: usize = 4;

/// Time between two requests of one of them.
const PAUSE: Duration = Duration::from_millis(10);

/// Requests that each sends over a connection before it opens another.
const REQUESTS: usize = 5;

/// The name that is asked for by TLS.
pub(crate) const NAME: &str = "a.example";

/// What has to happen has so long.
const PATIENCE: Duration = Duration::from_secs(60);

#[derive(Debug)]
pub(crate) struct Bystanders {
    stop: CancellationToken,
    tasks: JoinSet<Experience>,
}

/// What they saw.
#[derive(Debug, Default)]
pub(crate) struct Experience {
    pub(crate) took: Vec<Duration>,
    pub(crate) failed: Vec<String>,
}

impl Experience {
    pub(crate) fn p99(&self) -> Duration {
        let mut took = self.took.clone();
        took.sort_unstable();
        took.get(took.len() * 99 / 100).copied().unwrap_or_default()
    }
}

impl Bystanders {
    /// Has them ask `address`, where a connection begins with `greeting`, and
    /// goes on with TLS if it is told how.
    pub(crate) fn start(
        address: SocketAddr,
        greeting: &'static [u8],
        tls: Option<&Arc<ClientConfig>>,
    ) -> Self {
        let stop = CancellationToken::new();
        let mut tasks = JoinSet::new();
        for _ in 0..CLIENTS {
            let (stop, tls) = (stop.clone(), tls.cloned());
            tasks.spawn(async move {
                let mut seen = Experience::default();
                while !stop.is_cancelled() {
                    match timeout(PATIENCE, visit(address, greeting, tls.clone(), &mut seen)).await
                    {
                        Ok(Ok(())) => {}
                        Ok(Err(error)) => seen.failed.push(error.to_string()),
                        Err(_) => seen.failed.push("no answer".to_owned()),
                    }
                }
                seen
            });
        }
        Self { stop, tasks }
    }

    /// Lets them finish.
    pub(crate) async fn stop(mut self) -> Experience {
        self.stop.cancel();
        let mut all = Experience::default();
        while let Some(seen) = self.tasks.join_next().await {
            let seen = seen.expect("no panic");
            all.took.extend(seen.took);
            all.failed.extend(seen.failed);
        }
        all
    }
}

/// A few requests over one connection, which is opened in the time of the
/// first.
async fn visit(
    address: SocketAddr,
    greeting: &[u8],
    tls: Option<Arc<ClientConfig>>,
    seen: &mut Experience,
) -> io::Result<()> {
    let begun = Instant::now();
    let mut stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    stream.write_all(greeting).await?;
    let Some(tls) = tls else { return ask(stream, begun, seen).await };
    let name = ServerName::try_from(NAME).expect("a name");
    ask(TlsConnector::from(tls).connect(name, stream).await?, begun, seen).await
}

async fn ask<S>(mut stream: S, mut begun: Instant, seen: &mut Experience) -> io::Result<()>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    for _ in 0..REQUESTS {
        stream.write_all(b"GET / HTTP/1.1\r\nhost: test\r\n\r\n").await?;
        let mut answer = Vec::new();
        while !answer.ends_with(b"\r\n\r\nok") {
            if stream.read_buf(&mut answer).await? == 0 {
                let answer = String::from_utf8_lossy(&answer);
                return Err(io::Error::other(format!("it ended after {answer:?}")));
            }
        }
        if !answer.starts_with(b"HTTP/1.1 200") {
            return Err(io::Error::other(String::from_utf8_lossy(&answer).into_owned()));
        }
        seen.took.push(begun.elapsed());
        tokio::time::sleep(PAUSE).await;
        begun = Instant::now();
    }
    Ok(())
}
