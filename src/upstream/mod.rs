//! Connections to endpoints: opening them, and keeping the idle ones.

mod connect;
mod connection;
mod keep_alive;
mod pool;
mod tls;

pub use connect::{ConnectError, connect};
pub use connection::Connection;
pub use keep_alive::announced;
pub use pool::Pools;
pub use tls::Stream;
