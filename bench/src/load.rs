//! The load: connections that send one request after the other, as fast as
//! they are answered or at a fixed rate.
//!
//! At a fixed rate the clock of a request starts when it was due, not when a
//! connection was free to send it, so that a slow proxy cannot hide its queue.

use std::{
    collections::VecDeque,
    io::{self, Read, Write},
    net::{SocketAddr, TcpStream},
    sync::Arc,
    time::{Duration, Instant},
};

use rustls::ClientConfig;

use crate::{
    http2::Http2,
    message::{Messages, Seen},
    poll::{Interest, Poll},
    transport::Transport,
};

/// How a target is spoken to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Protocol {
    Http1,
    /// With so many requests at once on each connection.
    Http2(usize),
    /// Calls of gRPC with a message of 100 bytes, so many at once.
    Grpc(usize),
    /// Messages that come back as they were sent.
    WebSocket,
}

/// What is sent, and how.
#[derive(Clone, Debug)]
pub(crate) struct Work {
    /// What is spoken.
    pub(crate) protocol: Protocol,
    /// With TLS, if at all.
    pub(crate) tls: Option<Arc<ClientConfig>>,
    /// The bytes of one request of HTTP/1.1 or of one frame of a WebSocket, the
    /// path of a request of HTTP/2.
    pub(crate) request: Vec<u8>,
    /// Connections open at once.
    pub(crate) connections: usize,
    /// A new connection for each request.
    pub(crate) reconnect: bool,
    /// Requests a second; as many as go if absent.
    pub(crate) rate: Option<u32>,
}

/// What came of it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Outcome {
    /// Requests answered with 200.
    pub(crate) answered: u64,
    /// Answers with another status, and connections that broke.
    pub(crate) failed: u64,
    /// From due to answered, in microseconds, sorted.
    pub(crate) latencies: Vec<u32>,
}

impl Outcome {
    /// The latency that `share` of the requests kept to, in microseconds.
    pub(crate) fn percentile(&self, share: f64) -> u32 {
        let last = self.latencies.len().saturating_sub(1);
        let index = (last as f64 * share).round() as usize;
        self.latencies.get(index).copied().unwrap_or(0)
    }
}

/// Clients of one proxy.
pub(crate) struct Clients {
    address: SocketAddr,
    work: Work,
    poll: Poll,
    clients: Vec<Client>,
}

struct Client {
    transport: Transport,
    speech: Speech,
    /// The requests under way: their streams, and when they were due.
    due: Vec<(u32, Instant)>,
    waits_for_room: bool,
}

enum Speech {
    Http1 {
        messages: Messages,
        last: Seen,
    },
    Http2(Box<Http2>),
    /// How much of a message has come back.
    WebSocket {
        came: usize,
        whole: usize,
    },
}

/// An answer that is complete.
struct Answered {
    good: bool,
    due: Instant,
}

impl Clients {
    /// Opens the connections of `work` to `address`.
    pub(crate) fn open(address: SocketAddr, work: Work) -> io::Result<Self> {
        let poll = Poll::new()?;
        let mut clients = Vec::with_capacity(work.connections);
        for token in 0..work.connections {
            clients.push(Client::open(address, &work, &poll, token as u64)?);
        }
        Ok(Self { address, work, poll, clients })
    }

    /// Keeps them busy for `duration`, then waits for the last answers.
    pub(crate) fn run(&mut self, duration: Duration) -> io::Result<Outcome> {
        let begun = Instant::now();
        let end = begun + duration;
        let mut outcome = Outcome::default();
        let at_once = match self.work.protocol {
            Protocol::Http1 | Protocol::WebSocket => 1,
            Protocol::Http2(streams) | Protocol::Grpc(streams) => streams,
        };
        let count = self.clients.len();
        let mut idle: VecDeque<usize> = (0..count * at_once).map(|slot| slot % count).collect();
        let (mut given, mut under_way) = (0_u64, 0_u64);
        let (mut ready, mut answers) = (Vec::new(), Vec::new());
        let mut buffer = vec![0; 256 << 10];
        loop {
            let now = Instant::now();
            if now < end {
                let rate = self.work.rate;
                let due = |number: u64| match rate {
                    Some(rate) => begun + Duration::from_secs_f64(number as f64 / f64::from(rate)),
                    None => now,
                };
                while let Some(index) = idle.front().copied()
                    && due(given) <= now
                {
                    idle.pop_front();
                    under_way += 1;
                    let asked = self.clients[index].ask(&self.work, due(given));
                    if asked.and_then(|()| self.wait_for(index)).is_err() {
                        under_way -= self.renew(index, &mut idle, &mut outcome)?;
                    }
                    given += 1;
                }
            } else if under_way == 0 || now > end + Duration::from_secs(5) {
                outcome.failed += under_way;
                break;
            }
            // A fixed rate must not sleep past the next one due.
            let patience = match self.work.rate {
                Some(_) if now < end => Duration::from_micros(50),
                _ => Duration::from_millis(20),
            };
            self.poll.wait(patience, &mut ready)?;
            for token in &ready {
                let index = *token as usize;
                answers.clear();
                let read = self.clients[index].turn(&mut buffer, &mut answers);
                let read = read.and_then(|()| self.wait_for(index));
                for answer in &answers {
                    under_way -= 1;
                    idle.push_back(index);
                    if answer.good {
                        outcome.answered += 1;
                        let micros = answer.due.elapsed().as_micros();
                        outcome.latencies.push(u32::try_from(micros).unwrap_or(u32::MAX));
                    } else {
                        outcome.failed += 1;
                    }
                }
                if self.work.reconnect && !answers.is_empty() {
                    self.clients[index] =
                        Client::open(self.address, &self.work, &self.poll, *token)?;
                } else if read.is_err() {
                    under_way -= self.renew(index, &mut idle, &mut outcome)?;
                }
            }
        }
        outcome.latencies.sort_unstable();
        Ok(outcome)
    }

    /// Has the client told of what it waits for.
    fn wait_for(&mut self, index: usize) -> io::Result<()> {
        let client = &mut self.clients[index];
        let room = client.transport.wants_room();
        if room != client.waits_for_room {
            client.waits_for_room = room;
            let interest = if room { Interest::Both } else { Interest::Read };
            self.poll.change(&client.transport.stream, index as u64, interest)?;
        }
        Ok(())
    }

    /// Opens a new connection in place of one that broke; how many requests
    /// went with it.
    fn renew(
        &mut self,
        index: usize,
        idle: &mut VecDeque<usize>,
        outcome: &mut Outcome,
    ) -> io::Result<u64> {
        let lost = self.clients[index].due.len();
        outcome.failed += lost.max(1) as u64;
        self.clients[index] = Client::open(self.address, &self.work, &self.poll, index as u64)?;
        idle.extend(std::iter::repeat_n(index, lost));
        Ok(lost as u64)
    }
}

impl Client {
    fn open(address: SocketAddr, work: &Work, poll: &Poll, token: u64) -> io::Result<Self> {
        let mut transport = Transport::open(address, work.tls.as_ref())?;
        let speech = match work.protocol {
            Protocol::WebSocket => {
                switch(&mut transport.stream)?;
                Speech::WebSocket { came: 0, whole: work.request.len() }
            }
            Protocol::Http1 => {
                let last = Seen { status: 0, path: [0; 8] };
                Speech::Http1 { messages: Messages::default(), last }
            }
            Protocol::Http2(_) | Protocol::Grpc(_) => {
                let path = String::from_utf8_lossy(&work.request);
                let mut out = Vec::new();
                let message = matches!(work.protocol, Protocol::Grpc(_)).then_some(&[b'x'; 100]);
                let message = message.map(|message| &message[..]);
                let speech = Http2::open(&path, message, work.tls.is_some(), &mut out);
                transport.send(&out)?;
                Speech::Http2(Box::new(speech))
            }
        };
        poll.add(&transport.stream, token, Interest::Read)?;
        Ok(Self { transport, speech, due: Vec::new(), waits_for_room: false })
    }

    fn ask(&mut self, work: &Work, due: Instant) -> io::Result<()> {
        match &mut self.speech {
            Speech::Http1 { .. } | Speech::WebSocket { .. } => {
                self.due.push((0, due));
                self.transport.send(&work.request)
            }
            Speech::Http2(speech) => {
                let mut out = Vec::with_capacity(256);
                self.due.push((speech.ask(&mut out), due));
                self.transport.send(&out)
            }
        }
    }

    /// Sends what it can, and reads what is there.
    fn turn(&mut self, buffer: &mut [u8], answers: &mut Vec<Answered>) -> io::Result<()> {
        if self.waits_for_room {
            self.transport.flush()?;
        }
        loop {
            let count = match self.transport.read(buffer) {
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(count) => count,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error),
            };
            self.take(&buffer[..count], answers)?;
            if !self.transport.holds_back() {
                return Ok(());
            }
        }
    }

    fn take(&mut self, data: &[u8], answers: &mut Vec<Answered>) -> io::Result<()> {
        let due = &mut self.due;
        let mut seen = |stream, good| {
            if let Some(place) = due.iter().position(|(asked, _)| *asked == stream) {
                answers.push(Answered { good, due: due.swap_remove(place).1 });
            }
        };
        match &mut self.speech {
            Speech::Http1 { messages, last } => messages
                .take(data, last, |answer| seen(0, answer.status == 200))
                .map_err(|_| io::ErrorKind::InvalidData.into()),
            Speech::WebSocket { came, whole } => {
                *came += data.len();
                while *came >= *whole {
                    *came -= *whole;
                    seen(0, true);
                }
                Ok(())
            }
            Speech::Http2(speech) => {
                let mut out = Vec::new();
                speech.take(data, &mut out, seen).map_err(|_| io::ErrorKind::InvalidData)?;
                if out.is_empty() { Ok(()) } else { self.transport.send(&out) }
            }
        }
    }
}

/// Agrees with the other side of `stream`, which is not read from yet, to
/// speak WebSocket on it.
fn switch(stream: &mut TcpStream) -> io::Result<()> {
    stream.set_nonblocking(false)?;
    stream.write_all(
        b"GET /ws/echo HTTP/1.1\r\nhost: bench.test\r\nconnection: upgrade\r\nupgrade: websocket\r\n\
          sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
    )?;
    let (mut head, mut byte) = (Vec::new(), [0]);
    while !head.ends_with(b"\r\n\r\n") {
        stream.read_exact(&mut byte)?;
        head.push(byte[0]);
    }
    if !head.starts_with(b"HTTP/1.1 101 ") {
        return Err(io::Error::other(String::from_utf8_lossy(&head).into_owned()));
    }
    stream.set_nonblocking(true)
}
