//! `X-Request-Id`: 32 hexadecimal digits, half of them chosen once for each
//! worker, half of them counted.

use std::cell::RefCell;

use bytes::BytesMut;
use http::HeaderValue;

const LENGTH: usize = 32;

/// Ids are cut from one allocation for this many.
const BATCH: usize = 128;

#[derive(Debug)]
pub(super) struct RequestIds(RefCell<State>);

#[derive(Debug)]
struct State {
    prefix: u64,
    count: u64,
    buffer: BytesMut,
}

impl Default for RequestIds {
    fn default() -> Self {
        let prefix = fastrand::u64(..);
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
        for half in [state.prefix, count] {
            for shift in (0..16).rev() {
                let digit = (half >> (shift * 4)) & 0xf;
                state.buffer.extend_from_slice(&[b"0123456789abcdef"[digit as usize]]);
            }
        }
        HeaderValue::from_maybe_shared(state.buffer.split_to(LENGTH).freeze())
            .unwrap_or_else(|_| HeaderValue::from_static("0"))
    }
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
