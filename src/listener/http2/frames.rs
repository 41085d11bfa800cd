//! What the frames of a client come to, without what is in them.
//!
//! It walks over the heads of frames (RFC 9113 section 4.1) as they are read,
//! nine bytes each, and skips the rest. What it tells is what the library
//! beneath does not: whether a head of a request is under way, the last stream
//! that was begun, and how often the client does what costs us more than it.

use std::time::{Duration, Instant};

use super::super::protocol::PREFACE;

const HEAD: usize = 9;

const DATA: u8 = 0x0;
const HEADERS: u8 = 0x1;
const RST_STREAM: u8 = 0x3;
const WINDOW_UPDATE: u8 = 0x8;
const CONTINUATION: u8 = 0x9;

const END_STREAM: u8 = 0x1;
const END_HEADERS: u8 = 0x4;

/// Frames that carry nothing of a request, in one second: SETTINGS, PING,
/// PRIORITY, CONTINUATION, empty DATA and whatever else. A client that
/// measures its line sends hundreds.
const MOST_IDLE_FRAMES: u32 = 10_000;

const SECOND: Duration = Duration::from_secs(1);

/// A client does too much of something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Abuse {
    /// It begins streams only to cancel them.
    Cancels,
    /// It sends frames that carry nothing.
    IdleFrames,
}

/// Where in its frames a client is.
#[derive(Debug)]
pub(super) struct Frames {
    /// Bytes of the preface that are still to come.
    preface: usize,
    /// The head of a frame that has come in part.
    head: [u8; HEAD],
    had: usize,
    /// Bytes of a frame that are still to come.
    rest: usize,
    /// The frame is one of a head of a request, or between two that are.
    in_head: bool,
    last_stream: u32,
    cancels: Rate,
    idle_frames: Rate,
}

impl Frames {
    pub(super) fn new(max_cancels: u32) -> Self {
        Self {
            preface: PREFACE.len(),
            head: [0; HEAD],
            had: 0,
            rest: 0,
            in_head: false,
            last_stream: 0,
            cancels: Rate::new(max_cancels),
            idle_frames: Rate::new(MOST_IDLE_FRAMES),
        }
    }

    /// Whether the preface has come.
    pub(super) const fn has_begun(&self) -> bool {
        self.preface == 0
    }

    /// Whether the head of a request has begun and not ended.
    pub(super) const fn in_head(&self) -> bool {
        self.in_head
    }

    /// Whether the preface, or the head of a request, has come in part.
    pub(super) const fn is_in_part(&self) -> bool {
        self.in_head || (self.preface > 0 && self.preface < PREFACE.len())
    }

    /// The last stream that the client has begun.
    pub(super) const fn last_stream(&self) -> u32 {
        self.last_stream
    }

    /// Walks over `bytes`.
    ///
    /// # Errors
    ///
    /// What the client does too much of.
    pub(super) fn walk(&mut self, mut bytes: &[u8]) -> Result<(), Abuse> {
        let preface = self.preface.min(bytes.len());
        self.preface -= preface;
        bytes = &bytes[preface..];
        while !bytes.is_empty() {
            if self.rest > 0 {
                let skipped = self.rest.min(bytes.len());
                self.rest -= skipped;
                bytes = &bytes[skipped..];
            } else {
                let taken = (HEAD - self.had).min(bytes.len());
                self.head[self.had..self.had + taken].copy_from_slice(&bytes[..taken]);
                self.had += taken;
                bytes = &bytes[taken..];
                if self.had < HEAD {
                    break;
                }
                self.had = 0;
                self.begin()?;
            }
            if self.rest == 0 && self.ends_head() {
                self.in_head = false;
            }
        }
        Ok(())
    }

    /// Takes note of the frame whose head has come.
    fn begin(&mut self) -> Result<(), Abuse> {
        let [l0, l1, l2, kind, flags, s0, s1, s2, s3] = self.head;
        self.rest = u32::from_be_bytes([0, l0, l1, l2]) as usize;
        match kind {
            HEADERS => {
                let stream = u32::from_be_bytes([s0 & 0x7f, s1, s2, s3]);
                self.last_stream = self.last_stream.max(stream);
                self.in_head = true;
            }
            RST_STREAM => {
                if !self.cancels.allows_another() {
                    return Err(Abuse::Cancels);
                }
            }
            WINDOW_UPDATE => {}
            DATA if self.rest > 0 || flags & END_STREAM != 0 => {}
            _ => {
                if !self.idle_frames.allows_another() {
                    return Err(Abuse::IdleFrames);
                }
            }
        }
        Ok(())
    }

    /// Whether the last frame is the last one of a head.
    const fn ends_head(&self) -> bool {
        matches!(self.head[3], HEADERS | CONTINUATION) && self.head[4] & END_HEADERS != 0
    }
}

/// So many in each second.
#[derive(Debug)]
struct Rate {
    most: u32,
    count: u32,
    since: Option<Instant>,
}

impl Rate {
    const fn new(most: u32) -> Self {
        Self { most, count: 0, since: None }
    }

    fn allows_another(&mut self) -> bool {
        self.count += 1;
        if self.count <= self.most && self.since.is_some() {
            return true;
        }
        // The clock is asked only where it matters.
        let now = Instant::now();
        if self.since.is_some_and(|since| now.saturating_duration_since(since) < SECOND) {
            return false;
        }
        (self.count, self.since) = (1, Some(now));
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
        let length = u32::try_from(payload.len()).expect("short").to_be_bytes();
        [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
    }

    #[test]
    fn a_head_is_under_way_until_its_last_byte_however_it_is_cut() {
        let bytes = [
            &PREFACE[..],
            &frame(0x4, 0, 0, &[]),
            &frame(HEADERS, 0, 3, b"abc"),
            &frame(CONTINUATION, END_HEADERS, 3, b"def"),
            &frame(DATA, END_STREAM, 3, b"body"),
        ]
        .concat();
        let begins = PREFACE.len() + 9 + 9;
        let ends = begins + 3 + 9 + 3;
        let mut frames = Frames::new(1);
        for (index, byte) in bytes.iter().enumerate() {
            frames.walk(&[*byte]).expect("no abuse");
            let read = index + 1;
            assert_eq!(frames.in_head(), (begins..ends).contains(&read), "after {read}");
        }
        assert_eq!(frames.last_stream(), 3);
        let mut at_once = Frames::new(1);
        at_once.walk(&bytes).expect("no abuse");
        assert!(!at_once.in_head());
    }

    #[test]
    fn cancels_are_counted() {
        let mut frames = Frames::new(3);
        frames.walk(PREFACE).expect("no abuse");
        let cancel = frame(RST_STREAM, 0, 1, &[0, 0, 0, 8]);
        for _ in 0..3 {
            assert_eq!(frames.walk(&cancel), Ok(()));
        }
        assert_eq!(frames.walk(&cancel), Err(Abuse::Cancels));
    }

    #[test]
    fn what_carries_a_body_is_not_idle() {
        let mut frames = Frames::new(3);
        frames.walk(PREFACE).expect("no abuse");
        for _ in 0..2 * MOST_IDLE_FRAMES {
            frames.walk(&frame(DATA, 0, 1, b"x")).expect("a body");
            frames.walk(&frame(WINDOW_UPDATE, 0, 0, &[0, 0, 0, 1])).expect("flow");
        }
        let empty = frame(DATA, 0, 1, &[]);
        let abuse = (0..=MOST_IDLE_FRAMES).find_map(|_| frames.walk(&empty).err());
        assert_eq!(abuse, Some(Abuse::IdleFrames));
    }
}
