//! Sockets to requests: accept, then HTTP/1.1. TLS and HTTP/2 will stand
//! beside `http1` as files of their own.

mod settings;

pub use settings::{ListenAddress, ListenerSettings, Network};
