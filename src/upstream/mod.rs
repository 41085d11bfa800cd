//! Connections to endpoints: opening them, speaking over them, and keeping the
//! idle ones.

mod connect;
mod connection;
mod http1;
mod http2;
mod incoming;
mod keep_alive;
mod pool;
mod switched;
mod tls;
pub mod websocket;

pub use connect::{ConnectError, connect};
pub use connection::Connection;
pub use http1::{
    Answer, AnswerError, Connection as Http1, Fault, Malformed, Outgoing, SendError, Switched,
    recycle,
};
pub use http2::{Http2Answer, Http2Error, Http2Tunnel, Shared};
pub use incoming::{Incoming, IncomingError};
pub use pool::Pools;
pub use switched::Tunnel;

pub use crate::tls::Connector;
pub use tls::Stream;
