//! What becomes of what clients and proxies say of who asks.

use std::sync::Arc;

use http::Request;

use super::*;
use crate::{listener::ListenerSettings, model::Peer, proxy::admission::admit};

fn seen(style: ForwardedStyle, trusted: bool, peer: &str, fields: &[(&str, &str)]) -> HeaderMap {
    let mut settings = ListenerSettings { forwarded: style, ..ListenerSettings::default() };
    if trusted {
        settings.trusted_proxies = vec!["0.0.0.0/0".parse().expect("a network")];
        settings.trusted_proxies.push("::/0".parse().expect("a network"));
    }
    let peer = peer.parse().expect("an address");
    let client = Client::new(Peer::plain(peer, peer), Arc::new(settings));
    let mut request = Request::get("/").header("host", "shop:8080");
    for (name, value) in fields {
        request = request.header(*name, *value);
    }
    let mut request = request.body(()).expect("a request");
    let admitted = admit(&request, &client).expect("let in");
    tell(request.headers_mut(), admitted.fields, &client);
    request.headers().clone()
}

fn text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name).map(|value| value.to_str().expect("text"))
}

const PEER: &str = "10.0.0.9:1234";

#[test]
fn h7_forwarded_has_the_form_of_rfc_7239() {
    let headers = seen(ForwardedStyle::Rfc7239, false, PEER, &[("x-forwarded-for", "1.2.3.4")]);
    let expected = "for=10.0.0.9;host=\"shop:8080\";proto=http";
    assert_eq!(text(&headers, "forwarded"), Some(expected));
    assert!(!headers.keys().any(|name| name.as_str().starts_with("x-forwarded-")));
    let headers = seen(ForwardedStyle::Both, false, "[2001:db8::1]:80", &[]);
    let expected = "for=\"[2001:db8::1]\";host=\"shop:8080\";proto=http";
    assert_eq!(text(&headers, "forwarded"), Some(expected));
    assert_eq!(text(&headers, "x-forwarded-for"), Some("2001:db8::1"));
}

#[test]
fn h7_what_cannot_be_read_is_dropped() {
    let own = "for=10.0.0.9;host=\"shop:8080\";proto=http";
    for (theirs, kept) in [
        ("for=1.2.3.4;proto=https, for=\"[::1]:80\"", true),
        ("For=_hidden", true),
        ("for=1.2.3.4, for=\"a,b\"", false),
        ("1.2.3.4", false),
        ("for=", false),
        ("for=\"1.2.3.4", false),
        ("for=1.2.3.4;=x", false),
    ] {
        let headers = seen(ForwardedStyle::Rfc7239, true, PEER, &[("forwarded", theirs)]);
        let expected = if kept { format!("{theirs}, {own}") } else { own.to_owned() };
        assert_eq!(text(&headers, "forwarded"), Some(&*expected), "{theirs}");
    }
}

#[test]
fn h6_every_field_of_a_stranger_is_dropped() {
    let headers = seen(
        ForwardedStyle::XForwarded,
        false,
        PEER,
        &[
            ("x-forwarded-ssl", "on"),
            ("x-forwarded-client-cert", "me"),
            ("x-forwarded-prefix", "/x"),
            ("x-forwarded-for", "1.2.3.4"),
            ("x-real-ip", "1.2.3.4"),
            ("forwarded", "for=1.2.3.4"),
        ],
    );
    let mut told: Vec<_> = headers.keys().map(HeaderName::as_str).collect();
    told.sort_unstable();
    assert_eq!(told, ["host", "x-forwarded-for", "x-forwarded-host", "x-forwarded-proto"]);
    assert_eq!(text(&headers, "x-forwarded-for"), Some("10.0.0.9"));
}

#[test]
fn h6_the_other_style_ends_here() {
    let fields = [("x-forwarded-for", "1.2.3.4"), ("forwarded", "for=5.6.7.8")];
    let headers = seen(ForwardedStyle::XForwarded, true, PEER, &fields);
    assert_eq!(text(&headers, "x-forwarded-for"), Some("1.2.3.4, 10.0.0.9"));
    assert_eq!(text(&headers, "forwarded"), None);
    let headers = seen(ForwardedStyle::Rfc7239, true, PEER, &fields);
    assert_eq!(text(&headers, "x-forwarded-for"), None);
    assert!(text(&headers, "forwarded").is_some_and(|value| value.starts_with("for=5.6.7.8, ")));
}

#[test]
fn h6_a_chain_is_bounded_and_keeps_its_end() {
    let hops: Vec<_> = (0..100).map(|number| format!("10.1.0.{number}")).collect();
    let headers =
        seen(ForwardedStyle::XForwarded, true, PEER, &[("x-forwarded-for", &hops.join(","))]);
    let chain: Vec<_> = text(&headers, "x-forwarded-for").expect("a chain").split(", ").collect();
    assert_eq!(chain.len(), MOST_HOPS + 1);
    assert_eq!((chain[0], chain[31], chain[32]), ("10.1.0.68", "10.1.0.99", "10.0.0.9"));
    let long = format!("{}, 1.2.3.4", "x".repeat(5000));
    let headers = seen(ForwardedStyle::XForwarded, true, PEER, &[("x-forwarded-for", &long)]);
    assert_eq!(text(&headers, "x-forwarded-for"), Some("1.2.3.4, 10.0.0.9"));
}

#[test]
fn h6_the_client_is_the_last_who_is_not_trusted() {
    let trusted = ["10.0.0.0/8".parse().expect("a network")];
    for (line, client) in [
        ("1.2.3.4", Some("1.2.3.4")),
        ("6.6.6.6, 1.2.3.4, 10.0.0.1", Some("1.2.3.4")),
        ("10.0.0.1, 10.0.0.2", Some("10.0.0.1")),
        ("1.2.3.4, nonsense, 10.0.0.1", Some("10.0.0.1")),
        ("nonsense", None),
        ("2001:db8::1", Some("2001:db8::1")),
        ("for=1.2.3.4;proto=https, for=\"10.0.0.1:80\"", Some("1.2.3.4")),
        ("for=\"[2001:db8::1]:80\"", Some("2001:db8::1")),
        ("for=_hidden", None),
    ] {
        let found = client_in(&HeaderValue::from_str(line).expect("a value"), &trusted);
        assert_eq!(found, client.map(|text| text.parse().expect("an address")), "{line}");
    }
}
