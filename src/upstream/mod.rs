//! Connections to endpoints: opening them, and keeping the idle ones.

mod connect;
mod pool;

pub use connect::{ConnectError, connect, open};
pub use pool::{Connection, Pools};
