//! Sockets to requests: bind, accept, find out what the client speaks, then
//! HTTP/1.1 or HTTP/2 for whatever service it is given.

mod accept;
mod farewell;
mod handshakes;
pub mod http1;
pub mod http2;
mod protocol;
pub mod proxy_protocol;
mod settings;
mod socket;
mod stream;
pub mod tls;

pub use accept::accept;
pub use farewell::Farewell;
pub use handshakes::Handshakes;
pub use protocol::{Protocol, Recognised, recognise};
pub use settings::{
    ForwardedStyle, Http2Settings, ListenerSettings, ProxyProtocolSettings, ProxyStatus,
};
pub use socket::{bind_set, complete_set};
pub use stream::ClientStream;
