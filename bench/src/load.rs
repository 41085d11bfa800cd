//! The load: connections that send one request after the other, as fast as
//! they are answered or at a fixed rate.
//!
//! At a fixed rate the clock of a request starts when it was due, not when a
//! connection was free to send it, so that a slow proxy cannot hide its queue.

use std::{
    collections::VecDeque,
    io::{self, Read},
    net::{SocketAddr, TcpStream},
    time::{Duration, Instant},
};

use crate::{
    message::{Messages, Seen},
    origin::written,
    poll::{Interest, Poll},
};

/// What is sent, and how.
#[derive(Clone, Debug)]
pub(crate) struct Work {
    /// The bytes of one request.
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
    stream: TcpStream,
    messages: Messages,
    last: Seen,
    /// How much of the request is sent.
    sent: usize,
    /// When the request that is under way was due.
    due: Option<Instant>,
}

impl Clients {
    /// Opens the connections of `work` to `address`.
    pub(crate) fn open(address: SocketAddr, work: Work) -> io::Result<Self> {
        let poll = Poll::new()?;
        let mut clients = Vec::with_capacity(work.connections);
        for token in 0..work.connections {
            clients.push(Client::open(address, &poll, token as u64)?);
        }
        Ok(Self { address, work, poll, clients })
    }

    /// Keeps them busy for `duration`, then waits for the last answers.
    pub(crate) fn run(&mut self, duration: Duration) -> io::Result<Outcome> {
        let begun = Instant::now();
        let end = begun + duration;
        let mut outcome = Outcome::default();
        let mut idle: VecDeque<usize> = (0..self.clients.len()).collect();
        let mut under_way = 0;
        let mut given = 0_u64;
        let (mut ready, mut buffer) = (Vec::new(), vec![0; 256 << 10]);
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
                    match self.give(index, due(given)) {
                        Ok(()) => under_way += 1,
                        Err(_) => self.renew(index, &mut idle, &mut outcome)?,
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
                match self.answer(index, &mut buffer) {
                    Ok(None) => {}
                    Ok(Some((status, due))) => {
                        under_way -= 1;
                        if status == 200 {
                            outcome.answered += 1;
                            let micros = due.elapsed().as_micros();
                            outcome.latencies.push(u32::try_from(micros).unwrap_or(u32::MAX));
                        } else {
                            outcome.failed += 1;
                        }
                        if self.work.reconnect {
                            self.clients[index] =
                                Client::open(self.address, &self.poll, index as u64)?;
                        }
                        idle.push_back(index);
                    }
                    Err(_) => {
                        under_way -= u64::from(self.clients[index].due.is_some());
                        self.renew(index, &mut idle, &mut outcome)?;
                    }
                }
            }
        }
        outcome.latencies.sort_unstable();
        Ok(outcome)
    }

    fn give(&mut self, index: usize, due: Instant) -> io::Result<()> {
        let client = &mut self.clients[index];
        client.due = Some(due);
        client.sent = written(&mut client.stream, &self.work.request)?;
        if client.sent < self.work.request.len() {
            self.poll.change(&client.stream, index as u64, Interest::Write)?;
        }
        Ok(())
    }

    /// The status of the answer that is now complete, if one is.
    fn answer(&mut self, index: usize, buffer: &mut [u8]) -> io::Result<Option<(u16, Instant)>> {
        let client = &mut self.clients[index];
        if client.due.is_some() && client.sent < self.work.request.len() {
            client.sent += written(&mut client.stream, &self.work.request[client.sent..])?;
            if client.sent == self.work.request.len() {
                self.poll.change(&client.stream, index as u64, Interest::Read)?;
            }
            return Ok(None);
        }
        let count = match client.stream.read(buffer) {
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(count) => count,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(None),
            Err(error) => return Err(error),
        };
        let mut status = None;
        client
            .messages
            .take(&buffer[..count], &mut client.last, |seen| status = Some(seen.status))
            .map_err(|_| io::ErrorKind::InvalidData)?;
        Ok(status.and_then(|status| Some((status, client.due.take()?))))
    }

    /// Opens a new connection in place of one that broke.
    fn renew(
        &mut self,
        index: usize,
        idle: &mut VecDeque<usize>,
        outcome: &mut Outcome,
    ) -> io::Result<()> {
        outcome.failed += 1;
        self.clients[index] = Client::open(self.address, &self.poll, index as u64)?;
        idle.push_back(index);
        Ok(())
    }
}

impl Client {
    fn open(address: SocketAddr, poll: &Poll, token: u64) -> io::Result<Self> {
        let stream = TcpStream::connect(address)?;
        stream.set_nonblocking(true)?;
        let _ = stream.set_nodelay(true);
        poll.add(&stream, token, Interest::Read)?;
        let last = Seen { status: 0, path: [0; 8] };
        Ok(Self { stream, messages: Messages::default(), last, sent: 0, due: None })
    }
}
