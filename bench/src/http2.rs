//! Just enough HTTP/2 to ask and to count answers, and to answer calls of gRPC:
//! frames are written by hand, and of a message only its end and, if it is a
//! response, the first byte of its fields are looked at (RFC 9113, RFC 7541).

use std::collections::VecDeque;

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const GOAWAY: u8 = 7;
const WINDOW_UPDATE: u8 = 8;

const END_STREAM: u8 = 0x1;
const ACK: u8 = 0x1;
const END_HEADERS: u8 = 0x4;

/// `:status: 200` of the static table (RFC 7541 appendix A, entry 8).
const STATUS_200: u8 = 0x88;

/// The largest window (RFC 9113 section 6.9.1), so that none is ever in the
/// way of what is measured.
const WINDOW: u32 = (1 << 31) - 1;

/// One connection of a client.
#[derive(Debug)]
pub(crate) struct Http2 {
    /// The header block and the body that each stream sends.
    block: Vec<u8>,
    body: Vec<u8>,
    next: u32,
    unread: Vec<u8>,
    /// Bytes of the frame under way that nobody looks at.
    skip: usize,
    /// Whether the stream's fields began with a status of 200, by stream.
    good: Vec<u32>,
    /// What the connection's window lost.
    taken: u32,
}

/// What a peer sent that this cannot go on after.
#[derive(Debug)]
pub(crate) struct Unreadable;

fn frame(out: &mut Vec<u8>, kind: u8, flags: u8, stream: u32, payload: &[u8]) {
    let length = u32::try_from(payload.len()).unwrap_or(u32::MAX).to_be_bytes();
    out.extend_from_slice(&length[1..]);
    out.extend_from_slice(&[kind, flags]);
    out.extend_from_slice(&stream.to_be_bytes());
    out.extend_from_slice(payload);
}

/// A field without Huffman coding and without a place in the table (RFC 7541
/// section 6.2.2); names and values shorter than 127 bytes.
fn literal(block: &mut Vec<u8>, name: &str, value: &str) {
    block.push(0);
    for text in [name, value] {
        block.push(u8::try_from(text.len()).unwrap_or(126).min(126));
        block.extend_from_slice(text.as_bytes());
    }
}

/// Says that nobody has to wait for room here, and that nothing is pushed.
fn open_windows(out: &mut Vec<u8>) {
    let window = [&[0, 4][..], &WINDOW.to_be_bytes(), &[0, 2, 0, 0, 0, 0]].concat();
    frame(out, SETTINGS, 0, 0, &window);
    frame(out, WINDOW_UPDATE, 0, 0, &(WINDOW - 65_535).to_be_bytes());
}

/// A message of gRPC as it is sent: not compressed, and its length.
fn envelope(message: &[u8]) -> Vec<u8> {
    let length = u32::try_from(message.len()).unwrap_or(u32::MAX).to_be_bytes();
    [&[0], &length[..], message].concat()
}

/// One connection of an origin that answers every call with the same message.
#[derive(Debug)]
pub(crate) struct Calls {
    head: Vec<u8>,
    body: Vec<u8>,
    trailers: Vec<u8>,
    preface: usize,
    unread: Vec<u8>,
    /// What the peer lets be sent on the connection.
    window: u64,
    /// Streams whose answer waits for that.
    waiting: VecDeque<u32>,
    /// What the connection's window lost.
    taken: u32,
}

impl Calls {
    /// Whether `data` is how a client of HTTP/2 begins.
    pub(crate) fn begin_with(data: &[u8]) -> bool {
        data.starts_with(&PREFACE[..data.len().min(PREFACE.len())])
    }

    /// An origin that answers with `message`, and what it says first.
    pub(crate) fn open(message: &[u8], out: &mut Vec<u8>) -> Self {
        open_windows(out);
        let mut head = vec![STATUS_200];
        literal(&mut head, "content-type", "application/grpc");
        let mut trailers = Vec::new();
        literal(&mut trailers, "grpc-status", "0");
        Self {
            head,
            body: envelope(message),
            trailers,
            preface: PREFACE.len(),
            unread: Vec::new(),
            window: 65_535,
            waiting: VecDeque::new(),
            taken: 0,
        }
    }

    /// Takes what was read; the answers go to `out`.
    pub(crate) fn take(&mut self, data: &[u8], out: &mut Vec<u8>) {
        let preface = self.preface.min(data.len());
        self.preface -= preface;
        self.unread.extend_from_slice(&data[preface..]);
        let unread = std::mem::take(&mut self.unread);
        let mut data = &unread[..];
        while let Some((head, rest)) = data.split_at_checked(9) {
            let length = u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize;
            let Some((payload, rest)) = rest.split_at_checked(length) else { break };
            let stream = u32::from_be_bytes([head[5], head[6], head[7], head[8]]) & WINDOW;
            let (kind, flags) = (head[3], head[4]);
            data = rest;
            match kind {
                DATA => self.taken += u32::try_from(length).unwrap_or(0),
                SETTINGS if flags & ACK == 0 => frame(out, SETTINGS, ACK, 0, &[]),
                PING if flags & ACK == 0 => frame(out, PING, ACK, 0, payload),
                WINDOW_UPDATE if stream == 0 => {
                    let more = payload.try_into().map(u32::from_be_bytes).unwrap_or(0);
                    self.window += u64::from(more);
                }
                _ => {}
            }
            if matches!(kind, DATA | HEADERS) && flags & END_STREAM != 0 {
                self.waiting.push_back(stream);
            }
        }
        self.unread = data.to_vec();
        while self.window >= self.body.len() as u64
            && let Some(stream) = self.waiting.pop_front()
        {
            self.window -= self.body.len() as u64;
            frame(out, HEADERS, END_HEADERS, stream, &self.head);
            frame(out, DATA, 0, stream, &self.body);
            frame(out, HEADERS, END_HEADERS | END_STREAM, stream, &self.trailers);
        }
        if self.taken > 1 << 30 {
            frame(out, WINDOW_UPDATE, 0, 0, &self.taken.to_be_bytes());
            self.taken = 0;
        }
    }
}

impl Http2 {
    /// A client that asks for `path`, with a GET or with a call of gRPC that
    /// sends `message`, and what it says first.
    pub(crate) fn open(path: &str, message: Option<&[u8]>, https: bool, out: &mut Vec<u8>) -> Self {
        out.extend_from_slice(PREFACE);
        open_windows(out);
        // Of the static table: GET is 2, POST 3, http 6, https 7.
        let method = if message.is_some() { 0x83 } else { 0x82 };
        let mut block = vec![method, if https { 0x87 } else { 0x86 }];
        literal(&mut block, ":path", path);
        literal(&mut block, ":authority", "bench.test");
        if message.is_some() {
            literal(&mut block, "content-type", "application/grpc");
            literal(&mut block, "te", "trailers");
        }
        Self {
            block,
            body: message.map(envelope).unwrap_or_default(),
            next: 1,
            unread: Vec::new(),
            skip: 0,
            good: Vec::new(),
            taken: 0,
        }
    }

    /// Writes one request; gives its stream.
    pub(crate) fn ask(&mut self, out: &mut Vec<u8>) -> u32 {
        let stream = self.next;
        self.next += 2;
        let ends = if self.body.is_empty() { END_STREAM } else { 0 };
        frame(out, HEADERS, END_HEADERS | ends, stream, &self.block);
        if !self.body.is_empty() {
            frame(out, DATA, END_STREAM, stream, &self.body);
        }
        stream
    }

    /// Takes what was read, and calls `seen` with each stream that ended and
    /// whether its status was 200. What has to be answered goes to `out`.
    pub(crate) fn take(
        &mut self,
        data: &[u8],
        out: &mut Vec<u8>,
        mut seen: impl FnMut(u32, bool),
    ) -> Result<(), Unreadable> {
        let skipped = self.skip.min(data.len());
        self.skip -= skipped;
        let kept;
        let mut data = &data[skipped..];
        if !self.unread.is_empty() {
            self.unread.extend_from_slice(data);
            kept = std::mem::take(&mut self.unread);
            data = &kept;
        }
        while let Some((head, rest)) = data.split_at_checked(9) {
            let length = u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize;
            let stream = u32::from_be_bytes([head[5], head[6], head[7], head[8]]) & WINDOW;
            let (kind, flags) = (head[3], head[4]);
            // The content of a body is not needed, nor waited for, unless it is
            // the last of a stream.
            let whole = kind != DATA || flags & END_STREAM != 0;
            if whole && rest.len() < length {
                break;
            }
            let present = length.min(rest.len());
            let payload = &rest[..present];
            self.skip = length - present;
            data = &rest[present..];
            match kind {
                DATA => self.taken += u32::try_from(length).unwrap_or(0),
                HEADERS if payload.first() == Some(&STATUS_200) => self.good.push(stream),
                SETTINGS if flags & ACK == 0 => frame(out, SETTINGS, ACK, 0, &[]),
                PING if flags & ACK == 0 => frame(out, PING, ACK, 0, payload),
                GOAWAY => return Err(Unreadable),
                RST_STREAM => seen(stream, false),
                _ => {}
            }
            if matches!(kind, DATA | HEADERS) && flags & END_STREAM != 0 {
                let good = self.good.iter().position(|good| *good == stream);
                let good = good.map(|index| self.good.swap_remove(index));
                seen(stream, good.is_some());
            }
        }
        self.unread = data.to_vec();
        if self.taken > 1 << 30 {
            frame(out, WINDOW_UPDATE, 0, 0, &self.taken.to_be_bytes());
            self.taken = 0;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_counted_however_they_are_cut() {
        let mut wire = Vec::new();
        frame(&mut wire, SETTINGS, 0, 0, &[]);
        for stream in [1, 3] {
            frame(&mut wire, HEADERS, END_HEADERS, stream, &[STATUS_200, 0x0f]);
            frame(&mut wire, DATA, 0, stream, &[b'x'; 300]);
            frame(&mut wire, DATA, END_STREAM, stream, b"end");
        }
        frame(&mut wire, HEADERS, END_HEADERS | END_STREAM, 5, &[0x8d]);
        for pieces in 1..wire.len() {
            let mut said = Vec::new();
            let mut client = Http2::open("/api/b200", None, false, &mut said);
            let mut ended = Vec::new();
            for piece in wire.chunks(pieces) {
                let seen = |stream, good| ended.push((stream, good));
                client.take(piece, &mut Vec::new(), seen).expect("readable");
            }
            assert_eq!(ended, [(1, true), (3, true), (5, false)], "in pieces of {pieces}");
        }
    }

    #[test]
    fn calls_are_answered_however_they_are_cut() {
        let mut asked = Vec::new();
        let mut client = Http2::open("/bench.Echo/Call", Some(b"hello"), false, &mut asked);
        let streams = [client.ask(&mut asked), client.ask(&mut asked)];
        for pieces in 1..asked.len() {
            let (mut said, mut ended) = (Vec::new(), Vec::new());
            let mut origin = Calls::open(&[b'x'; 200], &mut said);
            for piece in asked.chunks(pieces) {
                origin.take(piece, &mut said);
            }
            let seen = |stream, good| ended.push((stream, good));
            let mut client = Http2::open("/bench.Echo/Call", Some(b"hello"), false, &mut vec![]);
            client.take(&said, &mut Vec::new(), seen).expect("readable");
            assert_eq!(ended, streams.map(|stream| (stream, true)), "in pieces of {pieces}");
        }
    }
}
