//! Header fields on their way to an instance: what a stranger says of its
//! client is gone, what a trusted proxy says ends with that proxy, and nothing
//! that belongs to one connection goes on to the next. The same fields as
//! trailers are no way around that.

use std::{net::SocketAddr, sync::Arc};

use http::{HeaderMap, HeaderName, HeaderValue, Request};
use portolan::{
    listener::ListenerSettings,
    model::Peer,
    proxy::{Client, pass_trailers_on, passed_on},
};

/// Takes each line for a field, the first byte saying who sends it.
pub fn check(data: &[u8]) {
    let Some((who, lines)) = data.split_first() else { return };
    let mut request = Request::new(());
    let headers = request.headers_mut();
    headers.insert("host", HeaderValue::from_static("a.test"));
    for line in lines.split(|byte| *byte == b'\n').take(60) {
        let Some(at) = line.iter().position(|byte| *byte == b':') else { continue };
        let name = HeaderName::from_bytes(&line[..at]);
        let value = HeaderValue::from_bytes(line[at + 1..].trim_ascii());
        if let (Ok(name), Ok(value)) = (name, value) {
            headers.append(name, value);
        }
    }
    let trusted = who & 1 == 1;
    let client = client(trusted, if who & 2 == 2 { "[2001:db8::7]:1" } else { "192.0.2.7:1" });
    let ip = client.peer.ip().to_string();
    let sent = request.headers().clone();
    check_trailers(&sent);
    let Ok(passed) = passed_on(request, &client) else { return };
    let one = |name: &str| {
        let mut all = passed.get_all(name).iter();
        let first = all.next().map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned());
        assert!(all.next().is_none(), "several {name}: {passed:?}");
        first
    };
    assert_eq!(one("host").as_deref(), Some("a.test"));
    let chain = one("x-forwarded-for").expect("a chain");
    assert!(chain.len() <= 2048 + 64 && chain.split(',').count() <= 33, "{chain:?}");
    assert!(chain.rsplit(", ").next() == Some(&ip), "{chain:?}");
    if trusted {
        // What is believed was said: hop by hop it is an end of that.
        let said = hops(&sent, "x-forwarded-for");
        let hops = hops(&passed, "x-forwarded-for");
        assert!(said.ends_with(&hops[..hops.len() - 1]), "{said:?}, {hops:?}");
    } else {
        assert_eq!(chain, ip);
        assert_eq!(one("x-forwarded-proto").as_deref(), Some("http"));
        assert_eq!(one("x-forwarded-host").as_deref(), Some("a.test"));
        assert_eq!(one("x-request-id").as_deref(), Some("id"));
    }
    for name in passed.keys().map(HeaderName::as_str) {
        let ours = ["x-forwarded-for", "x-forwarded-proto", "x-forwarded-host"].contains(&name);
        let told = name.starts_with("x-forwarded-") || name == "x-real-ip" || name == "forwarded";
        assert!(trusted || ours || !told, "{name} went through");
        let plain = name.replace('_', "-");
        // What begins with it as it is written is no disguise.
        let disguised = plain.starts_with("x-forwarded-") && !name.starts_with("x-forwarded-")
            || plain != name && plain == "x-real-ip";
        assert!(!disguised, "{name} went through");
        let ends = ["keep-alive", "proxy-connection", "proxy-authorization", "proxy"];
        assert!(!ends.contains(&name), "{name} went through");
    }
    assert!(one("te").is_none_or(|te| te == "trailers"));
    let switches = one("upgrade").is_some_and(|it| it == "websocket");
    assert_eq!(one("connection").is_some_and(|it| it == "upgrade"), switches);
    assert!(one("connection").is_none() || switches);
    let last = passed.get_all("via").iter().next_back();
    assert_eq!(last.map(HeaderValue::as_bytes), Some(&b"1.1 portolan"[..]));
}

/// What no trailer may say, whoever reads `_` as `-`.
const NEVER: &[&str] = &[
    "authorization",
    "connection",
    "content-encoding",
    "content-length",
    "content-range",
    "content-type",
    "cookie",
    "expect",
    "forwarded",
    "host",
    "keep-alive",
    "proxy",
    "proxy-authorization",
    "proxy-connection",
    "set-cookie",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "via",
    "x-real-ip",
    "x-request-id",
];

fn check_trailers(sent: &HeaderMap) {
    let mut passed = sent.clone();
    pass_trailers_on(&mut passed);
    for name in passed.keys() {
        let plain = name.as_str().replace('_', "-");
        let told = ["x-forwarded-", "x-portolan-", "client-cert", "x-client-cert-"];
        assert!(!NEVER.contains(&&*plain), "{name} went through");
        assert!(!told.iter().any(|start| plain.starts_with(start)), "{name} went through");
        // What passes does so whole, and in its order.
        assert!(passed.get_all(name).iter().eq(sent.get_all(name).iter()), "{name}");
    }
    for name in ["grpc-status", "grpc-message", "server-timing", "x-sum"] {
        assert_eq!(passed.contains_key(name), sent.contains_key(name), "{name}");
    }
    let mut again = passed.clone();
    pass_trailers_on(&mut again);
    assert_eq!(again, passed);
}

fn client(trusted: bool, address: &str) -> Client {
    let mut settings = ListenerSettings::default();
    if trusted {
        let networks = ["0.0.0.0/0", "::/0"].map(|network| network.parse().expect("a network"));
        settings.trusted_proxies = networks.to_vec();
    }
    let address: SocketAddr = address.parse().expect("an address");
    Client::new(Peer::plain(address, address), Arc::new(settings))
}

fn hops(headers: &HeaderMap, name: &str) -> Vec<Vec<u8>> {
    let lines = headers.get_all(name).iter();
    let hops = lines.flat_map(|line| line.as_bytes().split(|byte| *byte == b','));
    let hops = hops.map(|hop| hop.trim_ascii().to_vec());
    hops.filter(|hop| !hop.is_empty()).collect()
}
