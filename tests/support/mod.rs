//! What the integration tests are made of: the real proxy on port 0, instances
//! and clients that are told every byte, and a way to wait for what is to come.
//!
//! Everything blocks and runs on plain threads, so that a test reads top to
//! bottom and the proxy under test has its runtimes for itself. No test
//! measures time: what has to happen has [`PATIENCE`] to do so.

#![allow(dead_code, reason = "each test binary uses its part")]

mod backend;
mod connection;
mod echo;
pub(crate) mod frames;
pub(crate) mod http2;
mod message;
mod portolan;
mod process;
pub(crate) mod tls;

use std::time::{Duration, Instant};

pub(crate) use self::{
    backend::{Accepted, Backend, Silence},
    connection::{Connection, Ending},
    echo::Echo,
    message::Message,
    portolan::Portolan,
    process::{PROGRAM, signal},
};

/// How long something that has to happen may take: far longer than it does on
/// the slowest machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// Waits until `condition` holds.
///
/// # Panics
///
/// When it does not within [`PATIENCE`].
#[track_caller]
pub(crate) fn eventually(mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !condition() {
        assert!(Instant::now() < deadline, "it did not come true");
        std::thread::sleep(Duration::from_millis(10));
    }
}
