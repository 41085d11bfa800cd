//! The access log: one line per request.
//!
//! A worker decides whether a request is wanted, puts its facts into a bounded
//! queue and goes on; a thread of its own turns them into lines and writes
//! them. When the disk or the reader of a pipe is slow, lines are dropped and
//! counted, and no request waits.

mod escape;
mod handle;
mod json;
mod output;
mod record;
#[cfg(test)]
mod tests;
mod text;
mod writer;

pub use handle::AccessLog;
pub use record::AccessRecord;
