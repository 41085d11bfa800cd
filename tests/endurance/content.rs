//! What is in a body: a function of the number of the exchange, so that both
//! sides know it and neither has to be told.

use std::time::Duration;

use bytes::Bytes;

/// The finalizer of SplitMix64: numbers in a row become numbers all over.
pub(crate) const fn mixed(number: u64) -> u64 {
    let mut mixed = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

/// A body of up to 4 KiB.
pub(crate) fn body(number: u64) -> Bytes {
    let length = 16 + mixed(number) as usize % 4080;
    let line = format!("{number:016x} ");
    line.bytes().cycle().take(length).collect()
}

/// How long an instance takes to answer: up to 12 ms, so that there is always
/// something in flight.
pub(crate) const fn pause(number: u64) -> Duration {
    Duration::from_millis(mixed(number ^ 1) % 13)
}

/// The chunks of a streamed body, and the time between two of them: 100 to
/// 500 ms in total.
pub(crate) fn chunks(number: u64) -> (Vec<Bytes>, Duration) {
    let count = 3 + mixed(number) % 4;
    let total = 100 + mixed(number ^ 2) % 400;
    let chunks = (0..count).map(|chunk| body(number ^ (chunk << 48)).slice(..16)).collect();
    (chunks, Duration::from_millis(total / (count - 1)))
}

/// The messages of a WebSocket, and the time between two of them: half a
/// second at most in total.
pub(crate) fn messages(number: u64) -> (Vec<String>, Duration) {
    let count = 2 + mixed(number) % 4;
    let messages = (0..count).map(|message| format!("message {message} of {number:x}")).collect();
    (messages, Duration::from_millis(20 + mixed(number ^ 3) % 80))
}
