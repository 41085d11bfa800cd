//! The tests that need nothing but this crate: the real proxy between clients
//! and instances that are told every byte. One module for each topic.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test says what it needs by failing without it"
)]

#[path = "../support/mod.rs"]
mod support;

mod control;
mod keep_alive;
