//! The PROXY protocol, versions 1 and 2, as a listener is told it: the load
//! balancers that are listed say whose connection they pass on, before its
//! first byte.
//!
//! Exactly the header is taken from the socket, not a byte more: whatever
//! follows, a TLS handshake or a request, is there for whoever reads next.
//! What an address says is believed without a proof, so this is only ever
//! asked of peers that are listed, and those have to say it.

use std::{io, net::SocketAddr, time::Duration};

use ppp::{v1, v2};
use tokio::{io::AsyncReadExt, net::TcpStream};

use super::ListenerSettings;
use crate::deadline::Deadline;

/// Bytes of a header, with all that version 2 may append to the addresses: as
/// many as fit into any first segment, so that it comes in one piece ("The
/// PROXY protocol", section 2).
const LONGEST: usize = 536;

/// What version 1 begins with.
const TEXT: &[u8] = b"PROXY ";

/// What version 2 begins with.
const BINARY: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";

/// Why a connection has no header that can be read.
#[derive(Debug, thiserror::Error)]
pub enum HeaderError {
    /// The connection ended, or nothing came in time, before its first byte:
    /// somebody looked whether the port is open.
    #[error("nothing was sent")]
    Silent,
    /// It begins with something else.
    #[error("the connection does not begin with a PROXY protocol header")]
    Missing,
    /// It begins like one and goes on in another way.
    #[error("the PROXY protocol header breaks the rules of its version")]
    Invalid,
    /// It is longer than any is allowed to be.
    #[error("the PROXY protocol header is longer than {LONGEST} bytes")]
    TooLong,
    /// The connection ended within it.
    #[error("the connection ended within the PROXY protocol header")]
    CutOff,
    /// It did not come to its end in time.
    #[error("the PROXY protocol header did not come in time")]
    TimedOut,
    /// The socket failed.
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// Who the client of a connection from `peer` is, if that is one of those that
/// say so. Of any other nothing is read.
///
/// # Errors
///
/// When one that has to say it does not; see [`read_header`].
pub async fn introduction(
    stream: &mut TcpStream,
    peer: SocketAddr,
    settings: &ListenerSettings,
) -> Result<Option<SocketAddr>, HeaderError> {
    match &settings.proxy_protocol {
        Some(balancers) if balancers.lists(peer.ip()) => {
            // In a place of its own: other connections have no use for it.
            Box::pin(read_header(stream, settings.head_timeout.into())).await
        }
        _ => Ok(None),
    }
}

/// Reads the header that `stream` begins with, `within` a time, and says who
/// the client is: none if the connection is the balancer's own (`LOCAL`,
/// `UNKNOWN`) or that of a client without an IP address.
///
/// # Errors
///
/// When there is no such header. The connection is of no use then: what has
/// been read of it is lost.
pub async fn read_header(
    stream: &mut TcpStream,
    within: Duration,
) -> Result<Option<SocketAddr>, HeaderError> {
    let deadline = Deadline::new();
    deadline.set(within);
    let mut header = Vec::with_capacity(LONGEST);
    let client = deadline.limit(take_header(stream, &mut header)).await;
    let late = if header.is_empty() { HeaderError::Silent } else { HeaderError::TimedOut };
    client.unwrap_or(Err(late))
}

/// Moves the header from `stream` to `header`, in as many pieces as it comes.
async fn take_header(
    stream: &mut TcpStream,
    header: &mut Vec<u8>,
) -> Result<Option<SocketAddr>, HeaderError> {
    let mut piece = [0; LONGEST];
    loop {
        let taken = header.len();
        let seen = stream.peek(&mut piece[taken..]).await?;
        header.extend_from_slice(&piece[taken..taken + seen]);
        if seen == 0 {
            return Err(if taken == 0 { HeaderError::Silent } else { HeaderError::CutOff });
        }
        let parsed = parse(header)?;
        if let Parsed::Whole { length, .. } = parsed {
            header.truncate(length);
        }
        // All of it has been seen to be there.
        stream.read_exact(&mut header[taken..]).await?;
        match parsed {
            Parsed::Whole { client, .. } => return Ok(client),
            Parsed::Part if header.len() == LONGEST => return Err(HeaderError::TooLong),
            Parsed::Part => {}
        }
    }
}

/// What the first bytes of a connection are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Parsed {
    /// A header of `length` bytes, and something after it perhaps.
    Whole {
        /// Bytes of the header.
        length: usize,
        /// The client, if the header tells of one.
        client: Option<SocketAddr>,
    },
    /// The beginning of a header, each byte of it.
    Part,
}

/// Reads a header from `bytes`, the first ones of a connection. What is refused
/// is refused as soon as it can be told, however much is still to come.
///
/// # Errors
///
/// When they are no header, nor the beginning of one.
pub fn parse(bytes: &[u8]) -> Result<Parsed, HeaderError> {
    if begins_with(bytes, TEXT) {
        parse_text(bytes)
    } else if begins_with(bytes, BINARY) {
        parse_binary(bytes)
    } else {
        Err(HeaderError::Missing)
    }
}

/// Whether `bytes`, as far as they go, are `start`.
fn begins_with(bytes: &[u8], start: &[u8]) -> bool {
    let common = bytes.len().min(start.len());
    bytes[..common] == start[..common]
}

fn parse_text(bytes: &[u8]) -> Result<Parsed, HeaderError> {
    /// Section 2.1: the longest line with its end.
    const LONGEST_LINE: usize = 107;
    let line = &bytes[..bytes.len().min(LONGEST_LINE)];
    let Some(end) = line.windows(2).position(|pair| pair == b"\r\n") else {
        let before = line.split_last().map_or(line, |(_, before)| before);
        let may_go_on = bytes.len() < LONGEST_LINE && !before.contains(&b'\r');
        return if may_go_on { Ok(Parsed::Part) } else { Err(HeaderError::Invalid) };
    };
    // Said alike in whatever pieces it comes.
    if line[..end].contains(&b'\r') {
        return Err(HeaderError::Invalid);
    }
    let line = &line[..end + 2];
    let parsed = v1::Header::try_from(line).map_err(|_| HeaderError::Invalid)?;
    let client = match parsed.addresses {
        v1::Addresses::Unknown => None,
        // Read as a number by the library, and by nobody else.
        _ if line.contains(&b'+') => return Err(HeaderError::Invalid),
        v1::Addresses::Tcp4(it) => Some((it.source_address, it.source_port).into()),
        v1::Addresses::Tcp6(it) => Some((it.source_address, it.source_port).into()),
    };
    Ok(Parsed::Whole { length: line.len(), client })
}

fn parse_binary(bytes: &[u8]) -> Result<Parsed, HeaderError> {
    /// The fixed part: signature, version and command, family, length.
    const FIXED: usize = 16;
    /// Version and command (section 2.2).
    const LOCAL: u8 = 0x20;
    const PROXY: u8 = 0x21;
    if bytes.get(12).is_some_and(|byte| !matches!(*byte, LOCAL | PROXY)) {
        return Err(HeaderError::Invalid);
    }
    let [.., high, low] = bytes.get(..FIXED).unwrap_or_default() else { return Ok(Parsed::Part) };
    let length = FIXED + usize::from(u16::from_be_bytes([*high, *low]));
    if length > LONGEST {
        return Err(HeaderError::TooLong);
    }
    let Some(header) = bytes.get(..length) else { return Ok(Parsed::Part) };
    if header[12] == LOCAL {
        // Whatever it says beyond that is to be ignored.
        return Ok(Parsed::Whole { length, client: None });
    }
    let header = v2::Header::try_from(header).map_err(|_| HeaderError::Invalid)?;
    let client = match (header.protocol, header.addresses) {
        (v2::Protocol::Stream, v2::Addresses::IPv4(it)) => {
            Some((it.source_address, it.source_port).into())
        }
        (v2::Protocol::Stream, v2::Addresses::IPv6(it)) => {
            Some((it.source_address, it.source_port).into())
        }
        // Of a kind that this connection cannot be: as good as unknown.
        _ => None,
    };
    if client.is_some() && header.tlvs().any(|tlv| tlv.is_err()) {
        return Err(HeaderError::Invalid);
    }
    Ok(Parsed::Whole { length, client })
}

#[cfg(test)]
mod tests;
