//! Real servers on free loopback ports, one file for each kind. What a server
//! writes is in a folder of its own that goes with it.
//!
//! A server ends with the value that holds it, and with the test binary
//! however that ends: the kernel is asked to see to it.

#![allow(dead_code, reason = "not every test uses all of it")]

mod child;
pub(crate) mod consul;
pub(crate) mod dnsmasq;
pub(crate) mod etcd;
pub(crate) mod eureka;
pub(crate) mod http;
pub(crate) mod network;
pub(crate) mod pebble;
mod port;
pub(crate) mod relay;
mod tests;
pub(crate) mod zookeeper;

use std::{env, path::PathBuf, time::Duration};

pub(crate) use self::{child::Server, port::free_port};

/// How long a server may take until it answers: the JVM is slow to start on a
/// machine that has other things to do.
pub(crate) const START: Duration = Duration::from_secs(180);

/// What `scripts/install-registries` has put in place.
///
/// # Panics
///
/// When it is not there.
#[track_caller]
pub(crate) fn installed(path: &str) -> PathBuf {
    let cache = env::var_os("XDG_CACHE_HOME").map(PathBuf::from);
    let cache =
        cache.unwrap_or_else(|| PathBuf::from(env::var_os("HOME").expect("a home")).join(".cache"));
    let path = cache.join("portolan/registries").join(path);
    assert!(path.exists(), "{} is missing: run scripts/install-registries", path.display());
    path
}
