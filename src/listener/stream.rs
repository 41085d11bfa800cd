//! What a client connection is carried by.

use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
};

/// The bytes of one client connection, encrypted or not.
pub trait ClientStream: AsyncRead + AsyncWrite + Unpin + Send + 'static {
    /// The socket below.
    fn socket(&self) -> &TcpStream;

    /// Whether another process can go on with it: nothing is known of it here
    /// but what is in the socket.
    fn moves(&self) -> bool;
}

impl ClientStream for TcpStream {
    fn socket(&self) -> &TcpStream {
        self
    }

    fn moves(&self) -> bool {
        true
    }
}
