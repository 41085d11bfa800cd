//! Connections to endpoints: opening them, and keeping the idle ones.

mod connect;
mod pool;

pub use connect::{ConnectError, SharedGuard, connect, open};
pub use pool::{Connection, Pools};
