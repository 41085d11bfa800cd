//! Memory that the connections of one worker share.
//!
//! A connection has a buffer only while there is something in it: one that
//! waits for an answer, or is idle, holds none. The buffer used last is the
//! next to be used, so that a busy worker works in few of them. What is cut
//! out of a buffer shares its memory, which is used again once nobody has any
//! of it.

use std::{
    cell::RefCell,
    io, mem,
    pin::pin,
    task::{Context, Poll},
};

use bytes::{Bytes, BytesMut};
use http::HeaderMap;
use tokio::io::{AsyncRead, AsyncReadExt};

/// Buffers of each kind that are kept when nobody uses them.
const MOST_SPARE: usize = 16;

/// The largest buffer for writing that is kept, in bytes.
const LARGEST_FRONT: usize = 64 << 10;

/// The most fields of a map that is kept.
const LARGEST_MAP: usize = 96;

/// How much is read at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Piece {
    /// A head and a small body.
    Small,
    /// Of a body that is large.
    Large,
}

impl Piece {
    const fn bytes(self) -> usize {
        match self {
            Self::Small => 32 << 10,
            Self::Large => 128 << 10,
        }
    }

    /// What suits the rest of a body of which `count` bytes came at once.
    pub(super) const fn after(self, count: usize) -> Self {
        if count > Self::Small.bytes() / 2 { Self::Large } else { self }
    }

    /// What suits `left` bytes that are to come.
    pub(super) const fn of(left: u64) -> Self {
        if left > Self::Small.bytes() as u64 { Self::Large } else { Self::Small }
    }
}

#[derive(Default)]
struct Spare {
    small: RefCell<Vec<BytesMut>>,
    large: RefCell<Vec<BytesMut>>,
    fronts: RefCell<Vec<Vec<u8>>>,
    maps: RefCell<Vec<HeaderMap>>,
}

impl Spare {
    const fn reading(&self, piece: Piece) -> &RefCell<Vec<BytesMut>> {
        match piece {
            Piece::Small => &self.small,
            Piece::Large => &self.large,
        }
    }
}

thread_local! {
    static SPARE: Spare = Spare::default();
}

/// Keeps `thing` for the next who needs one.
fn keep<T>(spare: impl FnOnce(&Spare) -> &RefCell<Vec<T>>, thing: T) {
    // At the end of a thread there may be nobody to keep it.
    let _ = SPARE.try_with(|all| {
        let mut kept = spare(all).borrow_mut();
        if kept.len() < MOST_SPARE {
            kept.push(thing);
        }
    });
}

fn kept<T>(spare: impl FnOnce(&Spare) -> &RefCell<Vec<T>>) -> Option<T> {
    SPARE.try_with(|all| spare(all).borrow_mut().pop()).ok().flatten()
}

/// What was read from a connection and not used yet.
#[derive(Debug)]
pub(super) struct ReadBuffer {
    bytes: BytesMut,
    piece: Piece,
    /// It had to take more than a piece.
    grown: bool,
}

impl ReadBuffer {
    /// An empty one that takes a `piece`.
    fn new(piece: Piece) -> Self {
        let spare = SPARE.try_with(|all| {
            let mut kept = all.reading(piece).borrow_mut();
            // Of some there may still be a part in use.
            let free = kept.iter_mut().rposition(|bytes| bytes.try_reclaim(piece.bytes()))?;
            Some(kept.remove(free))
        });
        let fresh = || BytesMut::with_capacity(piece.bytes());
        Self { bytes: spare.ok().flatten().unwrap_or_else(fresh), piece, grown: false }
    }

    /// Reads what there is of a `piece` into `buffer`. Answers with the bytes
    /// read, and none is the end.
    pub(super) fn poll_fill<S: AsyncRead + Unpin>(
        buffer: &mut Option<Self>,
        piece: Piece,
        stream: &mut S,
        context: &mut Context<'_>,
    ) -> Poll<io::Result<usize>> {
        // What is empty may share its memory with what was cut out of it.
        let mut filled = match buffer.take().filter(|buffer| !buffer.bytes.is_empty()) {
            Some(filled) => filled,
            None => Self::new(piece),
        };
        let room = filled.bytes.capacity() - filled.bytes.len();
        if room < filled.piece.bytes() / 8 {
            filled.grown = true;
            filled.bytes.reserve(filled.piece.bytes());
        }
        let read = pin!(stream.read_buf(&mut filled.bytes)).poll(context);
        if !filled.bytes.is_empty() {
            *buffer = Some(filled);
        }
        read
    }

    /// What is in it.
    pub(super) fn bytes(&mut self) -> &mut BytesMut {
        &mut self.bytes
    }

    /// What is in it, to be kept apart from it.
    pub(super) fn into_bytes(mut self) -> Bytes {
        self.bytes.split().freeze()
    }
}

impl Drop for ReadBuffer {
    fn drop(&mut self) {
        if !self.grown {
            let (mut bytes, piece) = (mem::take(&mut self.bytes), self.piece);
            bytes.clear();
            keep(|spare| spare.reading(piece), bytes);
        }
    }
}

/// Bytes on their way out that were put together here.
#[derive(Debug, Default)]
pub(super) struct Front {
    /// The bytes.
    pub(super) bytes: Vec<u8>,
    /// How many of them have left.
    pub(super) sent: usize,
}

impl Front {
    /// An empty one.
    pub(super) fn new() -> Self {
        Self { bytes: kept(|spare| &spare.fronts).unwrap_or_default(), sent: 0 }
    }

    /// What has not left.
    pub(super) fn rest(&self) -> &[u8] {
        self.bytes.get(self.sent..).unwrap_or_default()
    }
}

impl Drop for Front {
    fn drop(&mut self) {
        let mut bytes = mem::take(&mut self.bytes);
        if (1..=LARGEST_FRONT).contains(&bytes.capacity()) {
            bytes.clear();
            keep(|spare| &spare.fronts, bytes);
        }
    }
}

/// An empty map of fields.
pub(super) fn map() -> HeaderMap {
    kept(|spare| &spare.maps).unwrap_or_default()
}

/// Keeps the memory of `map`, whose fields are of no use any more.
pub fn recycle(mut map: HeaderMap) {
    if (1..=LARGEST_MAP).contains(&map.capacity()) {
        map.clear();
        keep(|spare| &spare.maps, map);
    }
}

#[cfg(test)]
mod tests {
    use std::task::Waker;

    use super::*;

    fn fill(buffer: &mut Option<ReadBuffer>, mut data: &[u8]) -> Poll<io::Result<usize>> {
        let mut context = Context::from_waker(Waker::noop());
        ReadBuffer::poll_fill(buffer, Piece::Small, &mut data, &mut context)
    }

    fn place(buffer: &mut ReadBuffer) -> *const u8 {
        buffer.bytes().as_ptr()
    }

    #[test]
    fn memory_is_used_again_once_nobody_has_any_of_it() {
        let mut buffer = None;
        let _ = fill(&mut buffer, b"one");
        let first = buffer.as_mut().map(place);
        let one = buffer.take().map(ReadBuffer::into_bytes);
        let _ = fill(&mut buffer, b"two");
        assert_ne!(buffer.as_mut().map(place), first, "the first is still in use");
        assert_eq!(one.as_deref(), Some(&b"one"[..]));
        drop(one);
        let mut other = None;
        let _ = fill(&mut other, b"three");
        assert_eq!(other.as_mut().map(place), first);
    }

    #[test]
    fn who_reads_nothing_holds_no_buffer() {
        let mut buffer = None;
        assert!(matches!(fill(&mut buffer, b""), Poll::Ready(Ok(0))));
        assert!(buffer.is_none());
    }

    #[test]
    fn maps_come_back_empty() {
        let mut used = HeaderMap::with_capacity(16);
        used.insert("a", http::HeaderValue::from_static("1"));
        let capacity = used.capacity();
        recycle(used);
        let again = map();
        assert_eq!((again.len(), again.capacity()), (0, capacity));
    }
}
