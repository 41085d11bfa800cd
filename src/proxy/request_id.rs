//! `X-Request-Id`: 32 hexadecimal digits, half of them chosen once for each
//! worker, half of them counted.

use std::cell::RefCell;

use bytes::BytesMut;
use http::HeaderValue;

const LENGTH: usize = 32;
const HALF: usize = LENGTH / 2;

/// Ids are cut from one allocation for this many.
const BATCH: usize = 128;

#[derive(Debug)]
pub(super) struct RequestIds(RefCell<State>);

#[derive(Debug)]
struct State {
    prefix: [u8; HALF],
    count: u64,
    buffer: BytesMut,
}

impl Default for RequestIds {
    fn default() -> Self {
        let prefix = digits(fastrand::u64(..));
        Self(RefCell::new(State { prefix, count: 0, buffer: BytesMut::new() }))
    }
}

impl RequestIds {
    pub(super) fn next(&self) -> HeaderValue {
        let state = &mut *self.0.borrow_mut();
        state.count += 1;
        if state.buffer.capacity() < LENGTH {
            state.buffer = BytesMut::with_capacity(LENGTH * BATCH);
        }
        // Scrambled, so that ids do not look as if they were in order.
        let count = state.count.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        state.buffer.extend_from_slice(&state.prefix);
        state.buffer.extend_from_slice(&digits(count));
        HeaderValue::from_maybe_shared(state.buffer.split_to(LENGTH).freeze())
            .unwrap_or_else(|_| HeaderValue::from_static("0"))
    }
}

/// `number` in hexadecimal digits.
fn digits(number: u64) -> [u8; HALF] {
    let mut text = [0; HALF];
    for (pair, byte) in text.as_chunks_mut::<2>().0.iter_mut().zip(number.to_be_bytes()) {
        *pair = [byte >> 4, byte & 0xf].map(|digit| b"0123456789abcdef"[usize::from(digit)]);
    }
    text
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn ids_are_long_and_never_the_same() {
        let ids = RequestIds::default();
        let seen: HashSet<_> = (0..10_000).map(|_| ids.next()).collect();
        assert_eq!(seen.len(), 10_000);
        assert!(seen.iter().all(|id| id.len() == LENGTH));
    }
}
