//! What instances are told of the client: `X-Forwarded-*`, or `Forwarded`
//! (RFC 7239), or both.
//!
//! Only a trusted proxy is believed, and only in the style that is written
//! too: a chain that lacks the last hop would say something else than the
//! other one.

use std::net::IpAddr;

use http::{
    HeaderMap, HeaderName, HeaderValue,
    header::{FORWARDED, HOST},
};
use ipnet::IpNet;

use super::{admission::Fields, client::Client};
use crate::listener::ForwardedStyle;

const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const X_FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
const X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const X_REAL_IP: HeaderName = HeaderName::from_static("x-real-ip");

/// Longest chain that is taken over from a trusted proxy, in bytes and in
/// hops. Of a longer one the end stays, which is nearer and worth more.
const LONGEST_CHAIN: usize = 2048;
const MOST_HOPS: usize = 32;

/// Tells of `client` in `headers`.
pub(super) fn tell(headers: &mut HeaderMap, fields: Fields, client: &Client) {
    let style = client.settings.forwarded;
    let believed = client.trusted && fields.forwarded;
    let (x_forwarded, rfc7239) =
        (style != ForwardedStyle::Rfc7239, style != ForwardedStyle::XForwarded);
    let chain = (believed && rfc7239).then(|| hops(headers, &FORWARDED, is_element)).flatten();
    if fields.forwarded {
        if !(believed && x_forwarded) {
            remove_x_forwarded(headers);
        }
        headers.remove(FORWARDED);
    }
    if rfc7239 && let Some(value) = element(headers, client, chain) {
        headers.insert(FORWARDED, value);
    }
    if x_forwarded {
        tell_x_forwarded(headers, believed, client);
    }
}

fn tell_x_forwarded(headers: &mut HeaderMap, believed: bool, client: &Client) {
    let chain = believed.then(|| hops(headers, &X_FORWARDED_FOR, |_| true)).flatten();
    let chain = chain.and_then(|mut chain| {
        chain.extend_from_slice(client.address.as_bytes());
        HeaderValue::from_bytes(&chain).ok()
    });
    headers.insert(X_FORWARDED_FOR, chain.unwrap_or_else(|| client.address.clone()));
    if !(believed && headers.contains_key(X_FORWARDED_PROTO)) {
        headers.insert(X_FORWARDED_PROTO, HeaderValue::from_static(client.peer.scheme()));
    }
    if !(believed && headers.contains_key(X_FORWARDED_HOST)) {
        match headers.get(HOST).cloned() {
            Some(host) => headers.insert(X_FORWARDED_HOST, host),
            None => headers.remove(X_FORWARDED_HOST),
        };
    }
}

/// Whether `name` is one of the fields by which proxies tell each other of the
/// client.
pub(super) fn is_told_by(name: &str) -> bool {
    name.starts_with("x-forwarded-") || name == "x-real-ip" || name == "forwarded"
}

#[cold]
fn remove_x_forwarded(headers: &mut HeaderMap) {
    let told = |name: &&HeaderName| name.as_str().starts_with("x-forwarded-");
    let told: Vec<HeaderName> = headers.keys().filter(told).cloned().collect();
    for name in told {
        headers.remove(name);
    }
    headers.remove(X_REAL_IP);
}

/// The hops of all lines called `name`, each with ", " behind it; none if
/// there is none, or one of them is not `valid`.
fn hops(headers: &HeaderMap, name: &HeaderName, valid: fn(&[u8]) -> bool) -> Option<Vec<u8>> {
    let lines = headers.get_all(name).iter().rev();
    let hops = lines.flat_map(|line| line.as_bytes().rsplit(|byte| *byte == b','));
    let hops = hops.map(<[u8]>::trim_ascii).filter(|hop| !hop.is_empty());
    let mut kept = Vec::new();
    let mut length = 0;
    for hop in hops.take(MOST_HOPS) {
        if !valid(hop) {
            return None;
        }
        length += hop.len() + 2;
        if length > LONGEST_CHAIN {
            break;
        }
        kept.push(hop);
    }
    let mut chain = Vec::with_capacity(length + 64);
    for hop in kept.into_iter().rev() {
        chain.extend_from_slice(hop);
        chain.extend_from_slice(b", ");
    }
    (!chain.is_empty()).then_some(chain)
}

/// Whether `hop` is an element of `Forwarded` without a comma or a semicolon
/// in a quoted string, which nobody has a use for: pairs of a token and a
/// token or quoted string (RFC 7239 section 4).
fn is_element(hop: &[u8]) -> bool {
    hop.split(|byte| *byte == b';').all(|pair| {
        let mut parts = pair.trim_ascii().splitn(2, |byte| *byte == b'=');
        let (name, value) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
        let value = value
            .strip_prefix(b"\"")
            .map_or(value, |rest| rest.strip_suffix(b"\"").unwrap_or(b"\""));
        let plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"-._[]:~!$&'()*+@/".contains(byte);
        !name.is_empty()
            && name.iter().all(u8::is_ascii_alphabetic)
            && !value.is_empty()
            && value.iter().all(plain)
    })
}

/// `chain` with what is said of `client` behind it.
fn element(headers: &HeaderMap, client: &Client, chain: Option<Vec<u8>>) -> Option<HeaderValue> {
    let mut value = chain.unwrap_or_default();
    value.extend_from_slice(b"for=");
    // RFC 7239 section 6: an IPv6 address is in brackets, and quoted for that.
    if client.address.as_bytes().contains(&b':') {
        value.extend_from_slice(b"\"[");
        value.extend_from_slice(client.address.as_bytes());
        value.extend_from_slice(b"]\"");
    } else {
        value.extend_from_slice(client.address.as_bytes());
    }
    if let Some(host) = headers.get(HOST) {
        // It was found to be a host: nothing in it ends a quoted string.
        value.extend_from_slice(b";host=\"");
        value.extend_from_slice(host.as_bytes());
        value.push(b'"');
    }
    value.extend_from_slice(b";proto=");
    value.extend_from_slice(client.peer.scheme().as_bytes());
    HeaderValue::from_bytes(&value).ok()
}

/// Where a trusted proxy says that its request comes from, to be read when it
/// is logged.
pub(super) fn told_of(headers: &HeaderMap, style: ForwardedStyle) -> Option<HeaderValue> {
    let name = if style == ForwardedStyle::Rfc7239 { FORWARDED } else { X_FORWARDED_FOR };
    headers.get_all(name).iter().next_back().cloned()
}

/// The client in a line of a trusted proxy: the last address that is not of a
/// trusted proxy itself. What stands before it was said by a stranger.
#[cold]
pub(super) fn client_in(line: &HeaderValue, trusted: &[IpNet]) -> Option<IpAddr> {
    let mut client = None;
    for hop in line.to_str().ok()?.rsplit(',') {
        let Some(address) = address_in(hop.trim()) else { break };
        client = Some(address);
        if !trusted.iter().any(|network| network.contains(&address)) {
            break;
        }
    }
    client
}

/// The address in a hop of either style, whose port is of no interest.
fn address_in(hop: &str) -> Option<IpAddr> {
    let node = hop.split(';').find_map(|pair| {
        let (name, value) = pair.trim().split_once('=')?;
        name.eq_ignore_ascii_case("for").then(|| value.trim_matches('"'))
    });
    let node = if hop.contains('=') { node? } else { hop };
    let address = match node.strip_prefix('[') {
        Some(rest) => rest.split(']').next()?,
        None if node.matches(':').count() == 1 => node.split(':').next()?,
        None => node,
    };
    address.parse().ok().map(|address: IpAddr| address.to_canonical())
}

#[cfg(test)]
mod tests;
