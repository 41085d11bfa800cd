//! Sockets to requests: bind, accept, then HTTP/1.1 for whatever service it is
//! given. TLS and HTTP/2 will stand beside `http1` as files of their own.

mod accept;
mod activity;
mod farewell;
pub mod http1;
pub mod proxy_protocol;
mod settings;
mod socket;
mod stream;
pub mod tls;

pub use accept::accept;
pub use farewell::Farewell;
pub use settings::{ListenerSettings, ProxyProtocolSettings};
pub use socket::{bind_set, complete_set};
pub use stream::ClientStream;
