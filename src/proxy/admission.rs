//! Which requests are let in: everything that could be read in two ways is
//! refused here, once, before routing.
//!
//! What the bytes of HTTP/1 could hide was refused in `listener/http1`; this
//! is what a request means, in whatever version it came. One pass over the
//! header fields finds all that the later steps need to know.

use std::borrow::Cow;

use http::{
    HeaderMap, HeaderValue, Method, Request, Version, header::MAX_FORWARDS, uri::PathAndQuery,
};

use super::{client::Client, failure::Failure, form::Form, forwarded::is_told_by};
use crate::{
    model::Reason,
    routing::{
        host::{self, CanonicalHost},
        path,
    },
};

/// Passages through this proxy after which a request is taken to go in a
/// circle.
const MOST_PASSAGES: usize = 10;

/// What admission found out.
#[derive(Debug)]
pub(super) struct Admitted {
    /// The host, canonical; none for HTTP/1.0 without one.
    pub(super) host: Option<CanonicalHost>,
    /// The path, if its canonical form is another than the one sent.
    pub(super) path: Option<String>,
    /// It is for the proxy itself (RFC 9110 sections 7.6.2 and 9.3.7).
    pub(super) for_proxy: bool,
    /// The `Max-Forwards` that it has left behind the proxy.
    pub(super) max_forwards: Option<u32>,
    /// What the header fields hold.
    pub(super) fields: Fields,
}

impl Admitted {
    /// The host to match by.
    pub(super) fn host(&self) -> &str {
        self.host.as_ref().map_or("", CanonicalHost::as_str)
    }

    /// The canonical path.
    pub(super) fn path<'a>(&'a self, target: &'a PathAndQuery) -> &'a str {
        self.path.as_deref().unwrap_or_else(|| target.path())
    }
}

/// Which of the fields that matter to a proxy are there.
#[derive(Clone, Copy, Debug, Default)]
#[allow(clippy::struct_excessive_bools, reason = "a set of facts, not a state")]
pub(super) struct Fields {
    hosts: u8,
    /// Bytes of all of them.
    size: usize,
    /// `Connection`.
    pub(super) connection: bool,
    /// A field that is hop-by-hop without being listed in `Connection`.
    pub(super) hop_by_hop: bool,
    /// A field by which proxies tell each other of the client.
    pub(super) forwarded: bool,
    /// A field by which instances are told of the client's certificate.
    pub(super) client_cert: bool,
    /// A field that only the proxy sets.
    pub(super) own: bool,
    /// A name with `_`, which some take for `-`.
    pub(super) underscored: bool,
    /// How an answer of the proxy is to look.
    pub(super) form: Form,
    /// `X-Request-Id`.
    pub(super) request_id: bool,
    /// `grpc-timeout`.
    pub(super) grpc_timeout: bool,
    /// `TE: trailers`.
    pub(super) te_trailers: bool,
    /// `Via`.
    pub(super) via: bool,
    /// `Expect: 100-continue`.
    pub(super) expect_continue: bool,
    /// A request to switch to WebSocket (RFC 6455 section 4.1).
    pub(super) websocket: bool,
    transfer_encoding: bool,
}

/// Holds a request against the rules.
///
/// # Errors
///
/// The reason it is refused for.
pub(super) fn admit<B>(request: &Request<B>, client: &Client) -> Result<Admitted, Failure> {
    if matches!(*request.method(), Method::CONNECT | Method::TRACE) {
        return Err(Failure::new(Reason::MethodRefused, "CONNECT and TRACE are refused"));
    }
    let uri = request.uri();
    let target = uri.path_and_query().map_or("", PathAndQuery::as_str);
    if target.len() > client.settings.max_target_size.bytes() {
        return Err(Failure::new(Reason::TargetTooLong, "the request target is too long"));
    }
    // RFC 9112 section 3.2: authority-form and asterisk-form are not for a
    // request that is to be routed by its path.
    let absolute = match (uri.scheme(), uri.authority()) {
        (None, None) => None,
        (Some(scheme), Some(authority)) if *scheme == *client.peer.scheme() => Some(authority),
        (Some(_), _) => return Err(Failure::invalid("the scheme of the target is another")),
        (None, Some(_)) => return Err(Failure::invalid("the target does not begin with '/'")),
    };
    let fields = scan(request.headers(), request.version())?;
    // hyper looks at the size of a head only while it is incomplete.
    if target.len() + fields.size > client.settings.max_head_size.bytes() {
        return Err(Failure::new(Reason::HeadTooLarge, "the head of the request is too large"));
    }
    if fields.hosts > 1 || (fields.hosts == 0 && request.version() != Version::HTTP_10) {
        return Err(Failure::invalid("a request has exactly one Host field"));
    }
    // RFC 9112 section 3.2.2: the authority of the target outweighs `Host`.
    let authority = match absolute {
        Some(authority) => Some(authority.as_str().as_bytes()),
        None => request.headers().get(http::header::HOST).map(HeaderValue::as_bytes),
    };
    let host = match authority {
        None => None,
        Some(text) => match host::of_authority(text) {
            None => return Err(Failure::invalid("the Host is not a host with an optional port")),
            host => host,
        },
    };
    // RFC 9110 section 15.5.20.
    if let Some(tls) = &client.peer.tls
        && tls.misdirects(host.as_ref().map_or("", CanonicalHost::as_str))
    {
        let detail = "this host wants another connection, by its own name";
        return Err(Failure::new(Reason::Misdirected, detail));
    }
    let (mut for_proxy, mut max_forwards) = (false, None);
    if *request.method() == Method::OPTIONS {
        max_forwards = forwards_left(request.headers())?;
        for_proxy = target == "*" || max_forwards == Some(0);
        max_forwards = max_forwards.map(|left| left.saturating_sub(1));
    }
    let path = match path::canonical(uri.path()) {
        _ if for_proxy => None,
        Ok(Cow::Borrowed(_)) => None,
        Ok(Cow::Owned(path)) => Some(path),
        Err(_) => return Err(Failure::invalid("the path can be read in more than one way")),
    };
    Ok(Admitted { host, path, for_proxy, max_forwards, fields })
}

/// RFC 9110 section 7.6.2.
fn forwards_left(headers: &HeaderMap) -> Result<Option<u32>, Failure> {
    let mut lines = headers.get_all(MAX_FORWARDS).iter();
    let Some(line) = lines.next() else { return Ok(None) };
    let digits = line.as_bytes().iter().all(u8::is_ascii_digit) && lines.next().is_none();
    let left = line.to_str().ok().filter(|_| digits).and_then(|text| text.parse().ok());
    left.map(Some).ok_or(Failure::invalid("Max-Forwards is not one number"))
}

/// Whether a field frames the message, belongs to the connection or is one that
/// the proxy sets.
pub(super) fn is_reserved(name: &str) -> bool {
    is_told_by(name)
        || name.starts_with("x-portolan-")
        || name.starts_with("client-cert")
        || name.starts_with("x-client-cert-")
        || matches!(
            name,
            "connection"
                | "content-length"
                | "expect"
                | "host"
                | "keep-alive"
                | "proxy-authorization"
                | "proxy-connection"
                | "te"
                | "trailer"
                | "transfer-encoding"
                | "upgrade"
                | "via"
                | "x-request-id"
        )
}

/// Refuses a field that some servers take for a reserved one: they read `_` as
/// `-` (CVE-2025-64484).
#[cold]
fn refuse_disguise(name: &str) -> Result<(), Failure> {
    if is_reserved(&name.replace('_', "-")) {
        return Err(Failure::invalid("the name of a field can be read as that of another"));
    }
    Ok(())
}

fn scan(headers: &HeaderMap, version: Version) -> Result<Fields, Failure> {
    let mut fields = Fields::default();
    let mut upgrade = false;
    let mut upgrade_websocket = false;
    let mut passages = 0;
    for (name, value) in headers {
        fields.size += name.as_str().len() + value.len() + ": \r\n".len();
        match name.as_str() {
            "host" => fields.hosts = fields.hosts.saturating_add(1),
            "connection" => {
                fields.connection = true;
                upgrade |= has_token(value, "upgrade");
            }
            "transfer-encoding" => {
                if fields.transfer_encoding || version == Version::HTTP_10 {
                    return Err(Failure::invalid("more than one transfer coding"));
                }
                if !value.as_bytes().trim_ascii().eq_ignore_ascii_case(b"chunked") {
                    let detail = "the only transfer coding understood is chunked";
                    return Err(Failure::new(Reason::CodingRefused, detail));
                }
                fields.transfer_encoding = true;
                fields.hop_by_hop = true;
            }
            "te" => {
                fields.hop_by_hop = true;
                fields.te_trailers |= has_token(value, "trailers");
            }
            "upgrade" => {
                fields.hop_by_hop = true;
                upgrade_websocket |= value.as_bytes().eq_ignore_ascii_case(b"websocket");
            }
            "keep-alive"
            | "proxy-connection"
            | "proxy-authorization"
            | "proxy"
            | "http2-settings" => fields.hop_by_hop = true,
            "expect" => {
                if !value.as_bytes().eq_ignore_ascii_case(b"100-continue") {
                    let detail = "the only expectation understood is 100-continue";
                    return Err(Failure::new(Reason::ExpectationRefused, detail));
                }
                // RFC 9110 section 10.1.1: it means nothing from HTTP/1.0.
                fields.expect_continue = version != Version::HTTP_10;
            }
            "via" => {
                fields.via = true;
                passages += passages_in(value);
            }
            "client-cert"
            | "client-cert-chain"
            | "x-client-cert-subject"
            | "x-client-cert-san"
            | "x-client-cert-sha256" => fields.client_cert = true,
            "x-request-id" => fields.request_id = true,
            "grpc-timeout" => fields.grpc_timeout = true,
            "accept" if !matches!(fields.form, Form::Grpc(_)) => {
                fields.form = Form::accepted(value);
            }
            "content-type" => fields.form = Form::of_call(value).unwrap_or(fields.form),
            name if is_told_by(name) => fields.forwarded = true,
            name if name.starts_with("x-portolan-") => fields.own = true,
            name if name.contains('_') => {
                refuse_disguise(name)?;
                fields.underscored = true;
            }
            _ => {}
        }
    }
    if passages >= MOST_PASSAGES {
        let detail = "the request has passed through this proxy too often";
        return Err(Failure::new(Reason::LoopDetected, detail));
    }
    fields.websocket = upgrade_websocket && upgrade && version == Version::HTTP_11;
    Ok(fields)
}

/// Whether the comma-separated list in `value` has `token`, in any case.
pub(super) fn has_token(value: &HeaderValue, token: &str) -> bool {
    tokens(value).any(|found| found.eq_ignore_ascii_case(token))
}

/// The members of the comma-separated list in `value`.
pub(super) fn tokens(value: &HeaderValue) -> impl Iterator<Item = &str> {
    let text = value.to_str().unwrap_or_default();
    text.split(',').map(|token| token.trim_matches([' ', '\t'])).filter(|token| !token.is_empty())
}

fn passages_in(via: &HeaderValue) -> usize {
    tokens(via).filter(|hop| hop.split(' ').nth(1) == Some("portolan")).count()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::{listener::ListenerSettings, model::Peer};

    fn client() -> Client {
        let settings = Arc::new(ListenerSettings::default());
        let address = "10.0.0.9:1234".parse().expect("an address");
        Client::new(Peer::plain(address, address), settings)
    }

    fn admit_with(target: &str, fields: &[(&str, &str)]) -> Result<Admitted, Reason> {
        let mut request = Request::get(target);
        for (name, value) in fields {
            request = request.header(*name, *value);
        }
        admit(&request.body(()).expect("a request"), &client()).map_err(|failure| failure.reason)
    }

    #[test]
    fn an_ordinary_request_is_let_in_as_it_is() {
        let admitted = admit_with("/a/b?c=%2f", &[("host", "Shop.Example:8080")]).expect("let in");
        assert_eq!(admitted.host(), "shop.example");
        assert_eq!(admitted.path, None);
    }

    #[test]
    fn the_target_outweighs_the_host() {
        let admitted = admit_with("http://a.example/x", &[("host", "b.example")]).expect("let in");
        assert_eq!(admitted.host(), "a.example");
    }

    #[test]
    fn what_can_be_read_in_two_ways_is_refused() {
        let host = ("host", "a");
        for (target, fields, reason) in [
            ("/", &[][..], Reason::RequestInvalid),
            ("/", &[host, ("host", "b")], Reason::RequestInvalid),
            ("/", &[("host", "user@a")], Reason::RequestInvalid),
            ("/", &[("host", "a:99999")], Reason::RequestInvalid),
            ("a:80", &[host], Reason::RequestInvalid),
            ("*", &[host], Reason::RequestInvalid),
            ("/", &[host, ("x_forwarded_for", "1.2.3.4")], Reason::RequestInvalid),
            ("/", &[host, ("transfer_encoding", "chunked")], Reason::RequestInvalid),
            ("/", &[host, ("content_length", "1")], Reason::RequestInvalid),
            ("/", &[host, ("x-portolan_user", "1")], Reason::RequestInvalid),
            ("ftp://a/x", &[host], Reason::RequestInvalid),
            ("/a%2fb", &[host], Reason::RequestInvalid),
            ("/a%00", &[host], Reason::RequestInvalid),
            ("/", &[host, ("transfer-encoding", "gzip, chunked")], Reason::CodingRefused),
            ("/", &[host, ("transfer-encoding", "chunked, chunked")], Reason::CodingRefused),
            (
                "/",
                &[host, ("transfer-encoding", "chunked"), ("transfer-encoding", "chunked")],
                Reason::RequestInvalid,
            ),
            ("/", &[host, ("expect", "200-ok")], Reason::ExpectationRefused),
            ("/", &[host, ("via", &["1.1 portolan"; 10].join(", "))], Reason::LoopDetected),
        ] {
            assert_eq!(admit_with(target, fields).err(), Some(reason), "{target} {fields:?}");
        }
    }

    #[test]
    fn only_websocket_is_switched_to() {
        let fields = |upgrade| {
            let fields = [("host", "a"), ("connection", "Upgrade"), ("upgrade", upgrade)];
            admit_with("/", &fields).expect("let in").fields
        };
        assert!(fields("WebSocket").websocket);
        assert!(!fields("h2c").websocket && fields("h2c").hop_by_hop);
    }
}
