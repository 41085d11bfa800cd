//! Faults that take outside tools to make: system calls that fail one by one
//! (strace), disks that are full or read-only (unshare and mount), a clock that
//! is moved (faketime). `./scripts/test` installs them; where one is missing or
//! not allowed the tests fail and say so.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test says what it needs by failing without it"
)]

#[allow(unused_imports, reason = "these tests use a part of it")]
#[path = "../support/mod.rs"]
mod support;

mod clock;
mod disk;
mod history;
mod restoring;
mod strace;
mod system_calls;
