//! Header fields on their way through (RFC 9110 section 7.6).
//!
//! The order matters: first what `Connection` lists and what is hop-by-hop is
//! removed, then ours is added. A client that lists `X-Forwarded-For` in its
//! `Connection` would otherwise remove what the proxy says of it.

use http::{
    HeaderMap, HeaderName, HeaderValue,
    header::{
        CONNECTION, PROXY_AUTHENTICATE, PROXY_AUTHORIZATION, TE, TRANSFER_ENCODING, UPGRADE, VIA,
    },
};

use super::{
    admission::{Fields, is_reserved, tokens},
    client::Client,
    forwarded,
};

pub(super) const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const KEEP_ALIVE: HeaderName = HeaderName::from_static("keep-alive");
const PROXY: HeaderName = HeaderName::from_static("proxy");
const PROXY_CONNECTION: HeaderName = HeaderName::from_static("proxy-connection");
const HTTP2_SETTINGS: HeaderName = HeaderName::from_static("http2-settings");

/// Fields by which instances are told of the client's certificate. They are
/// never those of a client.
const CLIENT_CERTIFICATE: [HeaderName; 5] = [
    CLIENT_CERT,
    HeaderName::from_static("client-cert-chain"),
    X_CLIENT_CERT_SUBJECT,
    X_CLIENT_CERT_SAN,
    X_CLIENT_CERT_SHA256,
];
/// RFC 9440 section 2.2.
pub(super) const CLIENT_CERT: HeaderName = HeaderName::from_static("client-cert");
pub(super) const X_CLIENT_CERT_SUBJECT: HeaderName =
    HeaderName::from_static("x-client-cert-subject");
pub(super) const X_CLIENT_CERT_SAN: HeaderName = HeaderName::from_static("x-client-cert-san");
pub(super) const X_CLIENT_CERT_SHA256: HeaderName = HeaderName::from_static("x-client-cert-sha256");

/// Fields that no `Connection` field can remove: they frame the message, carry
/// its authority, or are the proxy's own word.
fn is_protected(token: &str) -> bool {
    const PROTECTED: [&str; 14] = [
        "host",
        "content-length",
        "content-type",
        "transfer-encoding",
        "authorization",
        "cookie",
        "set-cookie",
        "forwarded",
        "via",
        "x-request-id",
        "x-real-ip",
        "te",
        "trailer",
        "client-cert",
    ];
    PROTECTED.iter().any(|name| token.eq_ignore_ascii_case(name))
        || token.get(..12).is_some_and(|start| start.eq_ignore_ascii_case("x-forwarded-"))
}

fn remove_listed(headers: &mut HeaderMap) {
    let listed: Vec<HeaderName> = headers
        .get_all(CONNECTION)
        .iter()
        .flat_map(tokens)
        .filter(|token| !is_protected(token))
        .filter_map(|token| token.parse().ok())
        .collect();
    for name in listed {
        headers.remove(name);
    }
    headers.remove(CONNECTION);
}

/// Makes the fields of a client those of a request to an instance. `via` is
/// this passage, with the protocol that it came by.
pub(super) fn to_instance(
    headers: &mut HeaderMap,
    via: HeaderValue,
    fields: Fields,
    client: &Client,
    request_id: &HeaderValue,
) {
    if fields.connection {
        remove_listed(headers);
    }
    if fields.hop_by_hop {
        for name in [
            KEEP_ALIVE,
            PROXY,
            PROXY_AUTHORIZATION,
            PROXY_CONNECTION,
            HTTP2_SETTINGS,
            TE,
            TRANSFER_ENCODING,
            UPGRADE,
        ] {
            headers.remove(name);
        }
    }
    if fields.te_trailers {
        headers.insert(TE, HeaderValue::from_static("trailers"));
    }
    if fields.websocket {
        headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
        headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
    }
    client_certificate(headers, fields, client);
    if fields.own {
        remove_own(headers);
    }
    forwarded::tell(headers, fields, client);
    if !(client.trusted && fields.request_id) {
        headers.insert(X_REQUEST_ID, request_id.clone());
    }
    if fields.via {
        headers.append(VIA, via);
    } else {
        headers.insert(VIA, via);
    }
}

/// Tells of the client's certificate, if the listener is to; nobody else can.
fn client_certificate(headers: &mut HeaderMap, fields: Fields, client: &Client) {
    if fields.client_cert {
        for name in CLIENT_CERTIFICATE {
            headers.remove(name);
        }
    }
    for (name, value) in &client.certificate {
        headers.insert(name.clone(), value.clone());
    }
}

/// Removes the fields of the proxy's own that a client has made up.
#[cold]
fn remove_own(headers: &mut HeaderMap) {
    let own = |name: &&HeaderName| name.as_str().starts_with("x-portolan-");
    let own: Vec<HeaderName> = headers.keys().filter(own).cloned().collect();
    for name in own {
        headers.remove(name);
    }
}

/// Makes the fields of an instance those of an answer to a client.
pub(super) fn to_client(headers: &mut HeaderMap) {
    let mut connection = false;
    let mut hop_by_hop = false;
    for name in headers.keys() {
        match name.as_str() {
            "connection" => connection = true,
            "transfer-encoding" | "keep-alive" | "proxy-connection" | "proxy-authenticate"
            | "te" | "upgrade" => hop_by_hop = true,
            _ => {}
        }
    }
    if connection {
        remove_listed(headers);
    }
    if hop_by_hop {
        for name in
            [KEEP_ALIVE, PROXY_AUTHENTICATE, PROXY_CONNECTION, TE, TRANSFER_ENCODING, UPGRADE]
        {
            headers.remove(name);
        }
    }
}

/// Removes from trailers what only a head may hold, in every spelling: some
/// servers add trailers to the fields of the head.
pub(super) fn clean_trailers(trailers: &mut HeaderMap) {
    let of_heads = |name: &&HeaderName| match name.as_str() {
        name if name.contains('_') => is_of_heads(&name.replace('_', "-")),
        name => is_of_heads(name),
    };
    let of_heads: Vec<HeaderName> = trailers.keys().filter(of_heads).cloned().collect();
    for name in of_heads {
        trailers.remove(name);
    }
}

/// Framing, routing, modifiers of the request, authentication, control of the
/// answer and the format of the content (RFC 9110 section 6.5.1).
fn is_of_heads(name: &str) -> bool {
    is_reserved(name)
        || name.starts_with("if-")
        || matches!(
            name,
            "age"
                | "authorization"
                | "cache-control"
                | "content-encoding"
                | "content-range"
                | "content-type"
                | "cookie"
                | "date"
                | "expires"
                | "http2-settings"
                | "location"
                | "max-forwards"
                | "pragma"
                | "proxy"
                | "proxy-authenticate"
                | "range"
                | "retry-after"
                | "set-cookie"
                | "vary"
                | "warning"
                | "www-authenticate"
        )
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use http::Request;

    use super::*;
    use crate::{listener::ListenerSettings, model::Peer, proxy::admission::admit};

    fn seen(trusted: bool, fields: &[(&str, &str)]) -> HeaderMap {
        let mut settings = ListenerSettings::default();
        if trusted {
            settings.trusted_proxies = vec!["10.0.0.0/8".parse().expect("a network")];
        }
        let peer = "10.0.0.9:1234".parse().expect("an address");
        let client = Client::new(Peer::plain(peer, peer), Arc::new(settings));
        let mut request = Request::get("/").header("host", "a");
        for (name, value) in fields {
            request = request.header(*name, *value);
        }
        let mut request = request.body(()).expect("a request");
        let admitted = admit(&request, &client).expect("let in");
        let id = HeaderValue::from_static("id");
        let via = HeaderValue::from_static("1.1 portolan");
        to_instance(request.headers_mut(), via, admitted.fields, &client, &id);
        request.headers().clone()
    }

    fn all(headers: &HeaderMap, name: &str) -> Vec<String> {
        let text = |value: &HeaderValue| value.to_str().expect("text").to_owned();
        headers.get_all(name).iter().map(text).collect()
    }

    #[test]
    fn a_stranger_is_not_believed() {
        let headers = seen(
            false,
            &[
                ("x-forwarded-for", "1.2.3.4"),
                ("x-forwarded-proto", "https"),
                ("x-forwarded-host", "evil"),
                ("x-forwarded-port", "1"),
                ("x-real-ip", "1.2.3.4"),
                ("forwarded", "for=1.2.3.4"),
                ("x-request-id", "theirs"),
            ],
        );
        assert_eq!(all(&headers, "x-forwarded-for"), ["10.0.0.9"]);
        assert_eq!(all(&headers, "x-forwarded-proto"), ["http"]);
        assert_eq!(all(&headers, "x-forwarded-host"), ["a"]);
        assert_eq!(all(&headers, "x-request-id"), ["id"]);
        for gone in ["x-forwarded-port", "x-real-ip", "forwarded"] {
            assert!(!headers.contains_key(gone), "{gone}");
        }
    }

    #[test]
    fn a_trusted_proxy_is_believed_and_added() {
        let headers = seen(
            true,
            &[
                ("x-forwarded-for", "1.2.3.4"),
                ("x-forwarded-proto", "https"),
                ("x-request-id", "theirs"),
            ],
        );
        assert_eq!(all(&headers, "x-forwarded-for"), ["1.2.3.4, 10.0.0.9"]);
        assert_eq!(all(&headers, "x-forwarded-proto"), ["https"]);
        assert_eq!(all(&headers, "x-forwarded-host"), ["a"]);
        assert_eq!(all(&headers, "x-request-id"), ["theirs"]);
    }

    #[test]
    fn connection_removes_what_it_lists_but_nothing_of_ours() {
        let headers = seen(
            false,
            &[
                ("connection", "close, X-Secret, X-Forwarded-For, Host"),
                ("connection", "Cookie, X-Other"),
                ("x-secret", "1"),
                ("x-other", "1"),
                ("cookie", "a=b"),
                ("keep-alive", "timeout=5"),
                ("proxy-connection", "keep-alive"),
                ("upgrade", "h2c"),
                ("proxy", "http://evil"),
                ("te", "gzip, trailers"),
            ],
        );
        for gone in ["connection", "x-secret", "x-other", "keep-alive", "upgrade", "proxy"] {
            assert!(!headers.contains_key(gone), "{gone}");
        }
        assert_eq!(all(&headers, "x-forwarded-for"), ["10.0.0.9"]);
        assert_eq!(all(&headers, "host"), ["a"]);
        assert_eq!(all(&headers, "cookie"), ["a=b"]);
        assert_eq!(all(&headers, "te"), ["trailers"]);
        assert_eq!(all(&headers, "via"), ["1.1 portolan"]);
    }

    #[test]
    fn via_grows_by_one_at_each_passage() {
        let headers = seen(false, &[("via", "1.0 first")]);
        assert_eq!(all(&headers, "via"), ["1.0 first", "1.1 portolan"]);
    }

    #[test]
    fn trailers_lose_what_only_a_head_may_hold() {
        let mut trailers = HeaderMap::new();
        let forbidden = [
            "host",
            "content-length",
            "transfer-encoding",
            "te",
            "trailer",
            "connection",
            "upgrade",
            "keep-alive",
            "proxy",
            "proxy-authorization",
            "proxy-authenticate",
            "authorization",
            "www-authenticate",
            "cookie",
            "set-cookie",
            "via",
            "expect",
            "max-forwards",
            "range",
            "cache-control",
            "if-match",
            "content-type",
            "content-encoding",
            "content-range",
            "x-forwarded-for",
            "x-forwarded-anything",
            "x-real-ip",
            "forwarded",
            "x-request-id",
            "x-portolan-reason",
            "client-cert",
            "x-client-cert-subject",
            "x_forwarded_for",
            "content_length",
            "x_portolan-reason",
            "set_cookie",
        ];
        let allowed = ["grpc-status", "grpc-message", "x-sum", "etag", "my_key", "server-timing"];
        for name in forbidden.into_iter().chain(allowed) {
            trailers.append(HeaderName::from_static(name), HeaderValue::from_static("1"));
        }
        clean_trailers(&mut trailers);
        let kept: Vec<&str> = trailers.keys().map(HeaderName::as_str).collect();
        assert_eq!(kept.len(), allowed.len(), "{kept:?}");
        assert!(allowed.iter().all(|name| kept.contains(name)), "{kept:?}");
    }

    #[test]
    fn an_answer_loses_what_is_of_the_connection() {
        let mut headers = HeaderMap::new();
        for (name, value) in
            [("connection", "x-a"), ("x-a", "1"), ("keep-alive", "1"), ("x-b", "1")]
        {
            headers.append(name, HeaderValue::from_static(value));
        }
        to_client(&mut headers);
        assert_eq!(all(&headers, "x-b"), ["1"]);
        assert_eq!(headers.len(), 1);
    }
}
