//! The instances behind the proxies: as little work as can be.
//!
//! One thread serves several addresses. The path's first part chooses the
//! answer: `/b200` and the like; what was sent is read and forgotten.

use std::{
    collections::HashMap,
    io::{self, Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    time::Duration,
};

use crate::{
    http2::Calls,
    message::{Messages, Seen},
    poll::{Interest, Poll},
};

struct Connection {
    stream: TcpStream,
    speech: Speech,
    /// What the socket had no room for yet.
    unsent: Vec<u8>,
}

enum Speech {
    /// It has not said anything.
    Unknown,
    Http1 {
        messages: Messages,
        last: Seen,
    },
    /// HTTP/2, for calls of gRPC.
    Calls(Box<Calls>),
    /// After a switch to WebSocket: frames go back as they came.
    Echo,
}

/// What a WebSocket is agreed on with (RFC 6455 section 1.3 has this key).
const SWITCHED: &[u8] = b"HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\n\
    upgrade: websocket\r\nsec-websocket-accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";

/// The answers, by the path that asks for them.
struct Answers(Vec<([u8; 8], Vec<u8>)>);

impl Answers {
    fn new() -> Self {
        let sized = |size: usize| {
            let head = format!(
                "HTTP/1.1 200 OK\r\nserver: origin\r\ncontent-type: text/plain\r\ncontent-length: {size}\r\n\r\n"
            );
            [head.as_bytes(), &vec![b'x'; size]].concat()
        };
        let chunked = |size: usize, count: usize| {
            let mut answer =
                b"HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ntransfer-encoding: chunked\r\n\r\n"
                    .to_vec();
            for _ in 0..count {
                answer.extend_from_slice(format!("{size:x}\r\n").as_bytes());
                answer.extend(std::iter::repeat_n(b'x', size));
                answer.extend_from_slice(b"\r\n");
            }
            answer.extend_from_slice(b"0\r\n\r\n");
            answer
        };
        let named = |name: &str, answer| {
            let mut path = [0; 8];
            path[..name.len()].copy_from_slice(name.as_bytes());
            (path, answer)
        };
        Self(vec![
            named("/b200", sized(200)),
            named("/b16k", sized(16 << 10)),
            named("/b1m", sized(1 << 20)),
            named("/chunks", chunked(1 << 12, 4)),
        ])
    }

    fn to(&self, seen: &Seen) -> &[u8] {
        let found = self.0.iter().find(|(path, _)| *path == seen.path);
        &found.unwrap_or(&self.0[0]).1
    }
}

/// Serves `addresses` for ever.
pub(crate) fn serve(addresses: &[SocketAddr]) -> io::Result<()> {
    let answers = Answers::new();
    let mut poll = Poll::new()?;
    let mut listeners = Vec::new();
    for address in addresses {
        let listener = TcpListener::bind(address)?;
        listener.set_nonblocking(true)?;
        poll.add(&listener, listeners.len() as u64, Interest::Read)?;
        listeners.push(listener);
    }
    let mut connections: HashMap<u64, Connection> = HashMap::new();
    let mut next = listeners.len() as u64;
    let (mut ready, mut buffer) = (Vec::new(), vec![0; 256 << 10]);
    loop {
        poll.wait(Duration::from_secs(3600), &mut ready)?;
        for token in &ready {
            if let Some(listener) = listeners.get(*token as usize) {
                while let Ok((stream, _)) = listener.accept() {
                    stream.set_nonblocking(true)?;
                    let _ = stream.set_nodelay(true);
                    poll.add(&stream, next, Interest::Read)?;
                    let (speech, unsent) = (Speech::Unknown, Vec::new());
                    connections.insert(next, Connection { stream, speech, unsent });
                    next += 1;
                }
                continue;
            }
            let Some(connection) = connections.get_mut(token) else { continue };
            if connection.turn(&answers, &mut buffer, &poll, *token).is_err() {
                connections.remove(token);
            }
        }
    }
}

impl Connection {
    fn turn(
        &mut self,
        answers: &Answers,
        buffer: &mut [u8],
        poll: &Poll,
        token: u64,
    ) -> io::Result<()> {
        if !self.unsent.is_empty() {
            let sent = written(&mut self.stream, &self.unsent)?;
            self.unsent.drain(..sent);
            if self.unsent.is_empty() {
                poll.change(&self.stream, token, Interest::Read)?;
            }
            return Ok(());
        }
        let count = match self.stream.read(buffer) {
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(count) => count,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
            Err(error) => return Err(error),
        };
        let data = &buffer[..count];
        let mut out = Vec::new();
        if matches!(self.speech, Speech::Unknown) {
            self.speech = if Calls::begin_with(data) {
                Speech::Calls(Box::new(Calls::open(&[b'x'; 200], &mut out)))
            } else {
                let last = Seen { status: 0, path: [0; 8] };
                Speech::Http1 { messages: Messages::default(), last }
            };
        }
        let mut switches = false;
        match &mut self.speech {
            Speech::Http1 { messages, last } => {
                let mut asked: Option<Seen> = None;
                let mut more = Vec::new();
                let read = messages.take(data, last, |seen| {
                    if asked.replace(seen).is_some() {
                        more.push(seen);
                    }
                });
                read.map_err(|_| io::ErrorKind::InvalidData)?;
                for seen in asked.iter().chain(&more) {
                    switches = seen.path.starts_with(b"/echo");
                    let answer = if switches { SWITCHED } else { answers.to(seen) };
                    send(&mut self.stream, &mut self.unsent, answer)?;
                }
            }
            Speech::Calls(calls) => {
                calls.take(data, &mut out);
                send(&mut self.stream, &mut self.unsent, &out)?;
            }
            Speech::Echo | Speech::Unknown => send(&mut self.stream, &mut self.unsent, data)?,
        }
        if switches {
            self.speech = Speech::Echo;
        }
        if !self.unsent.is_empty() {
            poll.change(&self.stream, token, Interest::Write)?;
        }
        Ok(())
    }
}

/// Sends `data` behind what is `unsent`, or keeps it there.
fn send(stream: &mut TcpStream, unsent: &mut Vec<u8>, data: &[u8]) -> io::Result<()> {
    let sent = if unsent.is_empty() { written(stream, data)? } else { 0 };
    unsent.extend_from_slice(&data[sent..]);
    Ok(())
}

/// How much of `data` the socket took.
pub(crate) fn written(stream: &mut TcpStream, data: &[u8]) -> io::Result<usize> {
    let mut sent = 0;
    while sent < data.len() {
        match stream.write(&data[sent..]) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(count) => sent += count,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(sent)
}
