//! The registries of others, and a CA that speaks ACME: real servers of them,
//! which the tests start, kill and stall, and fakes that misbehave.
//! `./scripts/install-registries` installs what is needed; where something is
//! missing the tests fail and say so.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test says what it needs by failing without it"
)]

#[allow(unused_imports, reason = "these tests use a part of it")]
#[path = "../support/mod.rs"]
mod support;

#[macro_use]
mod figures;

mod acme;
mod consul;
mod dns;
mod etcd;
mod eureka;
mod followed;
mod kept;
mod moved;
mod routed;
mod scale;
mod servers;
mod shared;
mod side_by_side;
mod trial;
mod zookeeper;
