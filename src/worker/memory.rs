//! Memory that is not used any more.

use std::hint::black_box;

/// More than the largest block that shares its pages with others.
const HUGE: usize = 1 << 20;

/// Gives memory that has been free for a while back to the system.
///
/// mimalloc does that when it is called upon, a second after it became free,
/// and on few occasions: that a block goes which had pages of its own is one.
/// Without this, what thousands of connections have given back when they came
/// to rest would stay with a worker that has nothing else to do. The block is
/// never touched, so it costs two calls and no memory.
pub(super) fn give_back() {
    drop(black_box(Vec::<u8>::with_capacity(black_box(HUGE))));
}
