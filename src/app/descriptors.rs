//! Room for connections: each takes a descriptor, and the limit that a process
//! starts with is often too low for a proxy.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Below this a proxy with a few thousand clients is in trouble.
const FEW: u64 = 8192;

/// Raises the soft limit on open descriptors to the hard one.
pub(super) fn raise_limit() {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit { current: limit.maximum, maximum: limit.maximum };
    let now = match setrlimit(Resource::Nofile, raised) {
        Ok(()) => limit.maximum,
        Err(_) => limit.current,
    };
    if let Some(descriptors) = now.filter(|count| *count < FEW) {
        tracing::warn!("only {descriptors} descriptors may be open at once; raise `ulimit -n`");
    }
}
