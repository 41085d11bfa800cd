//! Registers instances at the admin API of a Portolan: a crowd at once, or a
//! few each second for as long as something else is measured.

use std::{
    io::{self, Read, Write},
    net::{SocketAddr, TcpStream},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use anyhow::{Context, bail};

use crate::message::{Messages, Seen};

/// Calls under way at once while a crowd is registered.
const AT_ONCE: usize = 256;

/// One connection to an admin API.
struct Admin {
    stream: TcpStream,
    messages: Messages,
    last: Seen,
    buffer: Vec<u8>,
}

impl Admin {
    fn open(address: SocketAddr) -> io::Result<Self> {
        let stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(Duration::from_secs(30)))?;
        let last = Seen { status: 0, path: [0; 8] };
        Ok(Self { stream, messages: Messages::default(), last, buffer: vec![0; 64 << 10] })
    }

    fn send(&mut self, method: &str, path: &str, body: &str) -> io::Result<()> {
        let length = body.len();
        let head = format!(
            "{method} /api/v1/services/{path} HTTP/1.1\r\nhost: localhost\r\n\
             content-type: application/json\r\ncontent-length: {length}\r\n\r\n{body}"
        );
        self.stream.write_all(head.as_bytes())
    }

    /// Waits for `count` answers.
    fn answers(&mut self, count: usize) -> anyhow::Result<()> {
        let (mut seen, mut refused) = (0, None);
        while seen < count {
            let read = self.stream.read(&mut self.buffer)?;
            if read == 0 {
                bail!("the admin API closed the connection");
            }
            let data = &self.buffer[..read];
            let taken = self.messages.take(data, &mut self.last, |answer| {
                seen += 1;
                if answer.status >= 300 {
                    refused = Some(answer.status);
                }
            });
            if taken.is_err() {
                bail!("the admin API answered what cannot be read");
            }
        }
        match refused {
            Some(status) => bail!("the admin API answered with {status}"),
            None => Ok(()),
        }
    }
}

/// The path of an instance of the crowd.
fn path(service: usize, instance: usize) -> String {
    format!("crowd-{service}/instances/i{instance}")
}

/// Its registration: alive by heartbeats, at an address that nobody asks.
fn body(service: usize, instance: usize, weight: u64) -> String {
    let [_, _, high, low] = u32::try_from(service).unwrap_or(0).to_be_bytes();
    let port = 1024 + instance;
    format!(
        r#"{{"address":"http://127.9.{high}.{low}:{port}","weight":{weight},"ttl":"1h","health":{{"kind":"ttl"}}}}"#
    )
}

/// Registers `services` services of `instances` instances each, and sends a
/// heartbeat for each, which is what makes them routable.
pub(crate) fn crowd(admin: SocketAddr, services: usize, instances: usize) -> anyhow::Result<()> {
    let connections: Result<Vec<_>, _> = (0..AT_ONCE).map(|_| Admin::open(admin)).collect();
    let mut connections = connections.context("cannot reach the admin API")?;
    let every: Vec<_> =
        (0..services).flat_map(|service| (0..instances).map(move |each| (service, each))).collect();
    for batch in every.chunks(AT_ONCE) {
        for (connection, (service, each)) in connections.iter_mut().zip(batch) {
            connection.send("PUT", &path(*service, *each), &body(*service, *each, 100))?;
        }
        for (connection, _) in connections.iter_mut().zip(batch) {
            connection.answers(1)?;
        }
        for (connection, (service, each)) in connections.iter_mut().zip(batch) {
            let heartbeat = format!("{}/heartbeat", path(*service, *each));
            connection.send("POST", &heartbeat, "{}")?;
        }
        for (connection, _) in connections.iter_mut().zip(batch) {
            connection.answers(1)?;
        }
    }
    Ok(())
}

/// Registrations that go on in the background. They end with this.
pub(crate) struct Storm {
    ends: Arc<AtomicBool>,
    made: Arc<AtomicU64>,
    thread: Option<JoinHandle<anyhow::Result<()>>>,
}

impl Storm {
    /// Changes `rate` instances a second of a crowd of `services` services.
    pub(crate) fn begin(admin: SocketAddr, services: usize, rate: u32) -> anyhow::Result<Self> {
        let mut connection = Admin::open(admin)?;
        let (ends, made) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let (told, counted) = (Arc::clone(&ends), Arc::clone(&made));
        let thread = thread::spawn(move || {
            let begun = Instant::now();
            for number in 0_u64.. {
                let due = begun + Duration::from_secs(1) * u32::try_from(number)? / rate;
                thread::sleep(due.saturating_duration_since(Instant::now()));
                if told.load(Relaxed) {
                    break;
                }
                // Every service in turn, in no order that a cache would like.
                let service = (usize::try_from(number)? * 7919) % services;
                let body = body(service, 0, 1 + number % 100);
                connection.send("PUT", &path(service, 0), &body)?;
                connection.answers(1)?;
                counted.fetch_add(1, Relaxed);
            }
            Ok(())
        });
        Ok(Self { ends, made, thread: Some(thread) })
    }

    /// How many were made so far.
    pub(crate) fn made(&self) -> u64 {
        self.made.load(Relaxed)
    }

    /// Ends it.
    pub(crate) fn end(mut self) -> anyhow::Result<()> {
        self.ends.store(true, Relaxed);
        match self.thread.take().map(JoinHandle::join) {
            Some(Ok(outcome)) => outcome.context("the registrations broke off"),
            _ => bail!("the registrations broke off"),
        }
    }
}
