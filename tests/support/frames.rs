//! HTTP/2 by its bytes: frames as a test writes them, and frames as they come.

use std::net::SocketAddr;

use super::{Connection, Ending};

/// What an HTTP/2 connection begins with.
pub(crate) const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

pub(crate) const DATA: u8 = 0;
pub(crate) const HEADERS: u8 = 1;
pub(crate) const RST_STREAM: u8 = 3;
pub(crate) const SETTINGS: u8 = 4;
pub(crate) const PUSH_PROMISE: u8 = 5;
pub(crate) const PING: u8 = 6;
pub(crate) const GOAWAY: u8 = 7;
pub(crate) const WINDOW_UPDATE: u8 = 8;
pub(crate) const CONTINUATION: u8 = 9;

pub(crate) const END_STREAM: u8 = 1;
pub(crate) const END_HEADERS: u8 = 4;

pub(crate) const NO_ERROR: u32 = 0;
pub(crate) const CANCEL: u32 = 8;
pub(crate) const ENHANCE_YOUR_CALM: u32 = 11;

/// A frame as it came.
#[derive(Clone, Debug)]
pub(crate) struct Frame {
    pub(crate) kind: u8,
    pub(crate) flags: u8,
    pub(crate) stream: u32,
    pub(crate) payload: Vec<u8>,
}

impl Frame {
    /// The error code of RST_STREAM or GOAWAY.
    pub(crate) fn code(&self) -> u32 {
        let at = if self.kind == GOAWAY { 4 } else { 0 };
        u32::from_be_bytes(self.payload[at..at + 4].try_into().expect("four bytes"))
    }

    /// The status of an answer, if it is the first field and one that HPACK has
    /// a number for.
    pub(crate) fn status(&self) -> Option<u16> {
        assert_eq!(self.kind, HEADERS);
        match self.payload.first()? {
            0x88 => Some(200),
            0x89 => Some(204),
            0x8a => Some(206),
            0x8b => Some(304),
            0x8c => Some(400),
            0x8d => Some(404),
            0x8e => Some(500),
            _ => None,
        }
    }
}

/// A frame to be sent.
pub(crate) fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).expect("short").to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

/// Fields as HPACK has them when it is not clever.
pub(crate) fn fields(fields: &[(&str, &str)]) -> Vec<u8> {
    let mut block = Vec::new();
    for (name, value) in fields {
        block.push(0);
        for text in [name, value] {
            length(&mut block, text.len());
            block.extend_from_slice(text.as_bytes());
        }
    }
    block
}

/// RFC 7541 section 5.1, with a prefix of seven bits.
fn length(block: &mut Vec<u8>, mut length: usize) {
    if length < 127 {
        block.push(length as u8);
        return;
    }
    block.push(127);
    length -= 127;
    while length >= 128 {
        block.push((length % 128 + 128) as u8);
        length /= 128;
    }
    block.push(length as u8);
}

/// The fields of a GET of `/` from the host `test`.
pub(crate) const GET: [(&str, &str); 4] =
    [(":method", "GET"), (":scheme", "http"), (":authority", "test"), (":path", "/")];

/// One end, spoken over by frames.
#[derive(Debug)]
pub(crate) struct Frames {
    pub(crate) connection: Connection,
    read: Vec<u8>,
}

impl Frames {
    /// Connects and exchanges settings.
    #[track_caller]
    pub(crate) fn open(address: SocketAddr) -> Self {
        Self::with_settings(address, &[])
    }

    /// As [`Self::open`], with the payload of a SETTINGS frame.
    #[track_caller]
    pub(crate) fn with_settings(address: SocketAddr, settings: &[u8]) -> Self {
        let mut frames = Self { connection: Connection::open(address), read: Vec::new() };
        frames.connection.send(PREFACE);
        frames.send(SETTINGS, 0, 0, settings);
        frames.until(|frame| frame.kind == SETTINGS && frame.flags == 0);
        frames.send(SETTINGS, 1, 0, &[]);
        frames
    }

    /// The end of an instance, once it has read the preface and said its
    /// settings.
    #[track_caller]
    pub(crate) fn of_instance(mut connection: Connection) -> Self {
        let mut read = Vec::new();
        while read.len() < PREFACE.len() {
            read.extend_from_slice(&connection.read().expect("a preface"));
        }
        let read = read.split_off(PREFACE.len());
        let mut frames = Self { connection, read };
        frames.send(SETTINGS, 0, 0, &[]);
        frames
    }

    /// Sends a frame.
    pub(crate) fn send(&mut self, kind: u8, flags: u8, stream: u32, payload: &[u8]) {
        self.connection.send(frame(kind, flags, stream, payload));
    }

    /// Begins `stream` with a head and no body.
    pub(crate) fn request(&mut self, stream: u32, head: &[(&str, &str)]) {
        self.send(HEADERS, END_HEADERS | END_STREAM, stream, &fields(head));
    }

    /// The next frame, or how the connection ended.
    #[track_caller]
    pub(crate) fn next(&mut self) -> Result<Frame, Ending> {
        while self.read.len() < 9 || self.read.len() < 9 + self.length() {
            let bytes = self.connection.read()?;
            if bytes.is_empty() {
                return Err(Ending::Closed);
            }
            self.read.extend_from_slice(&bytes);
        }
        let rest = self.read.split_off(9 + self.length());
        let frame = std::mem::replace(&mut self.read, rest);
        Ok(Frame {
            kind: frame[3],
            flags: frame[4],
            stream: u32::from_be_bytes(frame[5..9].try_into().expect("four bytes")),
            payload: frame[9..].to_vec(),
        })
    }

    fn length(&self) -> usize {
        u32::from_be_bytes([0, self.read[0], self.read[1], self.read[2]]) as usize
    }

    /// The next frame that is `wanted`.
    #[track_caller]
    pub(crate) fn until(&mut self, wanted: impl Fn(&Frame) -> bool) -> Frame {
        loop {
            match self.next() {
                Ok(frame) if wanted(&frame) => return frame,
                Ok(_) => {}
                Err(ending) => panic!("{ending:?} before it came"),
            }
        }
    }

    /// All frames until the connection ends.
    #[track_caller]
    pub(crate) fn rest(&mut self) -> Vec<Frame> {
        std::iter::from_fn(|| self.next().ok()).collect()
    }

    /// The status of the answer on `stream`, which has to be one that HPACK
    /// has a number for.
    #[track_caller]
    pub(crate) fn status(&mut self, stream: u32) -> Option<u16> {
        self.until(|frame| frame.kind == HEADERS && frame.stream == stream).status()
    }

    /// Whether the connection still answers a ping.
    #[track_caller]
    pub(crate) fn is_alive(&mut self) -> bool {
        self.send(PING, 0, 0, b"are you?");
        loop {
            match self.next() {
                Ok(frame) if frame.kind == PING && frame.flags == 1 => return true,
                Ok(frame) if frame.kind == GOAWAY => return false,
                Ok(_) => {}
                Err(_) => return false,
            }
        }
    }
}
