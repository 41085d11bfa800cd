//! A request of HTTP/2 in the shape of one of HTTP/1.1, or the reason why it
//! has none.
//!
//! What is said twice in HTTP/2 (the authority, by a pseudo field and by
//! `Host`), or said in parts (cookies), is said once afterwards (RFC 9113
//! sections 8.2.3 and 8.3.1). From here on a request is the same whatever it
//! came by, and held against the same rules. A WebSocket by extended CONNECT
//! (RFC 8441) becomes the GET that asks for it in HTTP/1.1.

use http::{
    HeaderMap, HeaderValue, Method, Request, Uri, Version,
    header::{CONNECTION, COOKIE, EXPECT, HOST, SEC_WEBSOCKET_KEY, UPGRADE},
    uri::PathAndQuery,
};
use hyper::ext::Protocol;

use super::{client::Client, failure::Failure, websocket};
use crate::model::Reason;

/// Makes `request` one of HTTP/1.1, if it came by HTTP/2.
///
/// # Errors
///
/// The reason it is refused for.
pub(super) fn flatten<B>(request: &mut Request<B>, client: &Client) -> Result<(), Failure> {
    if request.version() != Version::HTTP_2 {
        return Ok(());
    }
    check_fields(request, client)?;
    // No 100 goes out by HTTP/2, so nobody waits for one, and the body is not
    // held for it.
    let expected = request.headers().get(EXPECT);
    if expected.is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"100-continue")) {
        request.headers_mut().remove(EXPECT);
    }
    if *request.method() == Method::CONNECT {
        match request.extensions().get::<Protocol>() {
            // Refused as in HTTP/1.1.
            None => return Ok(()),
            Some(protocol) if protocol.as_str() == "websocket" => become_upgrade(request)?,
            Some(_) => {
                let detail = "the only protocol to connect to is websocket";
                return Err(Failure::new(Reason::ProtocolRefused, detail));
            }
        }
    }
    flatten_target(request, client)?;
    join_cookies(request.headers_mut());
    Ok(())
}

/// The passage of a request that came by `version` (RFC 9110 section 7.6.3).
pub(super) fn via(version: Version) -> HeaderValue {
    HeaderValue::from_static(if version == Version::HTTP_2 { "2 portolan" } else { "1.1 portolan" })
}

/// What a field counts beside its name and value (RFC 9113 section 6.5.2).
const FIELD: usize = 32;

/// HPACK makes a field of one byte on the line into one of any size here, so
/// their number is bounded as well as their size. What is left of whitespace
/// at the ends of a value makes a message malformed (RFC 9113 section 8.2.1).
fn check_fields<B>(request: &Request<B>, client: &Client) -> Result<(), Failure> {
    let headers = request.headers();
    if headers.len() > client.settings.http2.max_fields.get() as usize {
        return Err(Failure::new(Reason::HeadTooLarge, "the request has too many fields"));
    }
    let is_blank = |byte: Option<&u8>| matches!(byte, Some(b' ' | b'\t'));
    let mut size = pseudo_size(request);
    for (name, value) in headers {
        let bytes = value.as_bytes();
        size += name.as_str().len() + bytes.len() + FIELD;
        if is_blank(bytes.first()) || is_blank(bytes.last()) {
            return Err(Failure::invalid("the value of a field begins or ends with whitespace"));
        }
    }
    if size > client.settings.http2.max_header_list.bytes() {
        return Err(Failure::new(Reason::HeadTooLarge, "the head of the request is too large"));
    }
    Ok(())
}

/// What the pseudo fields add to the size of a head.
fn pseudo_size<B>(request: &Request<B>) -> usize {
    let uri = request.uri();
    let fields = [
        (":method", Some(request.method().as_str())),
        (":scheme", uri.scheme_str()),
        (":authority", uri.authority().map(|authority| authority.as_str())),
        (":path", uri.path_and_query().map(|path| path.as_str())),
    ];
    let sizes =
        fields.iter().filter_map(|(name, value)| Some(name.len() + (*value)?.len() + FIELD));
    sizes.sum()
}

/// RFC 8441 section 5: the key is of no use in HTTP/2, and HTTP/1.1 cannot do
/// without.
fn become_upgrade<B>(request: &mut Request<B>) -> Result<(), Failure> {
    *request.method_mut() = Method::GET;
    let key = websocket::key();
    let headers = request.headers_mut();
    headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
    headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
    headers.insert(SEC_WEBSOCKET_KEY, key.clone());
    *request.version_mut() = Version::HTTP_11;
    request.extensions_mut().insert(websocket::Asked(key));
    Ok(())
}

/// Moves the authority from the target to `Host`.
fn flatten_target<B>(request: &mut Request<B>, client: &Client) -> Result<(), Failure> {
    let uri = request.uri();
    if let Some(scheme) = uri.scheme_str() {
        // A proxy in front of this one may have taken the TLS off.
        let consistent = scheme == client.peer.scheme() || (client.trusted && scheme == "https");
        if !consistent {
            return Err(Failure::invalid("the scheme of the target is not that of the listener"));
        }
    }
    if let Some(authority) = uri.authority() {
        let authority = authority.as_str();
        let mut hosts = request.headers().get_all(HOST).iter();
        if hosts.any(|host| !host.as_bytes().eq_ignore_ascii_case(authority.as_bytes())) {
            return Err(Failure::invalid("Host is another than the authority of the target"));
        }
        let host = HeaderValue::from_str(authority)
            .map_err(|_| Failure::invalid("the authority of the target is not a host"))?;
        request.headers_mut().insert(HOST, host);
    }
    let target = request.uri().path_and_query().cloned();
    *request.uri_mut() = Uri::from(target.unwrap_or(PathAndQuery::from_static("/")));
    Ok(())
}

/// Makes one field of the crumbs of a cookie.
fn join_cookies(headers: &mut HeaderMap) {
    let mut crumbs = headers.get_all(COOKIE).iter();
    let (Some(first), Some(second)) = (crumbs.next(), crumbs.next()) else { return };
    let mut whole = first.as_bytes().to_vec();
    for crumb in std::iter::once(second).chain(crumbs) {
        whole.extend_from_slice(b"; ");
        whole.extend_from_slice(crumb.as_bytes());
    }
    if let Ok(cookie) = HeaderValue::from_maybe_shared(bytes::Bytes::from(whole)) {
        headers.insert(COOKIE, cookie);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use http::HeaderName;

    use super::*;
    use crate::{
        listener::ListenerSettings,
        model::{ByteSize, Peer},
    };

    fn flattened(target: &str, fields: &[(&'static str, &str)]) -> Result<Request<()>, Reason> {
        let address = "10.0.0.9:1".parse().expect("an address");
        let settings = Arc::new(ListenerSettings::default());
        let client = Client::new(Peer::plain(address, address), settings);
        let mut request = Request::get(target).version(Version::HTTP_2);
        for (name, value) in fields {
            request = request.header(HeaderName::from_static(name), *value);
        }
        let mut request = request.body(()).expect("a request");
        flatten(&mut request, &client).map(|()| request).map_err(|failure| failure.reason)
    }

    #[test]
    fn the_authority_becomes_the_host() {
        let request = flattened("http://a.example:81/x?y", &[]).expect("flat");
        assert_eq!(request.headers()[HOST], "a.example:81");
        assert_eq!(request.uri(), "/x?y");
        let request = flattened("http://a/x", &[("host", "A")]).expect("flat");
        assert_eq!(request.headers().get_all(HOST).iter().count(), 1);
        assert_eq!(flattened("/x", &[("host", "b")]).expect("flat").headers()[HOST], "b");
    }

    #[test]
    fn what_is_said_in_two_ways_is_refused() {
        for (target, fields) in [
            ("http://a/", &[("host", "b")][..]),
            ("http://a/", &[("host", "a"), ("host", "b")]),
            ("http://a/", &[("host", "a:80")]),
            ("ftp://a/", &[]),
            ("https://a/", &[]),
            ("http://a/", &[("x", " a")]),
            ("http://a/", &[("x", "a\t")]),
        ] {
            assert_eq!(flattened(target, fields).err(), Some(Reason::RequestInvalid), "{fields:?}");
        }
    }

    #[test]
    fn fields_are_counted_and_not_only_measured() {
        let crumbs = vec![("cookie", "a"); 101];
        assert_eq!(flattened("http://a/", &crumbs).err(), Some(Reason::HeadTooLarge));
        assert!(flattened("http://a/", &crumbs[1..]).is_ok());
    }

    #[test]
    fn a_head_is_measured_to_the_byte() {
        let mut settings = ListenerSettings::default();
        // Method, scheme, authority and path, and one field.
        let size = [(7, 3), (7, 4), (10, 1), (5, 1), (1, 100)];
        let size: usize = size.iter().map(|(name, value)| name + value + FIELD).sum();
        settings.http2.max_header_list = ByteSize(size as u64);
        let address = "10.0.0.9:1".parse().expect("an address");
        let client = Client::new(Peer::plain(address, address), Arc::new(settings));
        let seen = |length: usize| {
            let request = Request::get("http://a/").version(Version::HTTP_2);
            let request = request.header("x", "v".repeat(length)).body(()).expect("a request");
            check_fields(&request, &client).map_err(|failure| failure.reason)
        };
        assert_eq!(seen(100), Ok(()));
        assert_eq!(seen(101), Err(Reason::HeadTooLarge));
    }

    #[test]
    fn the_crumbs_of_a_cookie_are_one_again() {
        let crumbs = [("cookie", "a=b"), ("x", "y"), ("cookie", "c=d"), ("cookie", "e=f")];
        let request = flattened("http://a/", &crumbs).expect("flat");
        let cookies: Vec<_> = request.headers().get_all(COOKIE).iter().collect();
        assert_eq!(cookies, ["a=b; c=d; e=f"]);
        let one = flattened("http://a/", &crumbs[..1]).expect("flat");
        assert_eq!(one.headers()[COOKIE], "a=b");
    }
}
