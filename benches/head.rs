//! What the head of a request costs between the parser and the instance:
//! admission, which refuses what can be read in two ways, and the rewriting of
//! its fields.
//!
//! `cargo bench --bench head`. What to look for stands in
//! `docs/performance.md`.

#![allow(clippy::expect_used, reason = "a benchmark that cannot be set up should say so and end")]

use std::{net::SocketAddr, sync::Arc};

use divan::{Bencher, black_box};
use http::{Request, Uri};
use portolan::{
    listener::ListenerSettings,
    model::Peer,
    proxy::{Client, passed_on},
};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() {
    divan::main();
}

const PLAIN: &[(&str, &str)] = &[("host", "shop.example")];

const BROWSER: &[(&str, &str)] = &[
    ("host", "shop.example"),
    ("user-agent", "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko)"),
    ("accept", "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"),
    ("accept-encoding", "gzip, deflate, br, zstd"),
    ("accept-language", "en-GB,en;q=0.9,de;q=0.7"),
    ("cache-control", "no-cache"),
    ("cookie", "session=0123456789abcdef0123456789abcdef; theme=dark; consent=yes"),
    ("referer", "http://shop.example/some/page?item=4711&size=xl"),
    ("sec-fetch-dest", "document"),
    ("sec-fetch-mode", "navigate"),
];

/// Everything that has to be taken out.
const LIES: &[(&str, &str)] = &[
    ("host", "shop.example"),
    ("connection", "keep-alive, x-internal, x-forwarded-for"),
    ("keep-alive", "timeout=5"),
    ("te", "trailers, deflate"),
    ("proxy-connection", "keep-alive"),
    ("x-internal", "1"),
    ("x-forwarded-for", "10.0.0.1, 10.0.0.2"),
    ("x-forwarded-proto", "https"),
    ("x-real-ip", "10.0.0.1"),
    ("forwarded", "for=10.0.0.1;proto=https"),
    ("x_forwarded_for", "10.0.0.1"),
    ("client-cert", ":MIIB:"),
];

fn run(bencher: Bencher<'_, '_>, fields: &[(&str, &str)]) {
    let address: SocketAddr = "192.0.2.7:40000".parse().expect("an address");
    let client = Client::new(Peer::plain(address, address), Arc::new(ListenerSettings::default()));
    let uri: Uri = "/orders/17/items?page=2".parse().expect("a target");
    let request = || {
        let mut request = Request::new(());
        *request.uri_mut() = uri.clone();
        for (name, value) in fields {
            let name: http::HeaderName = name.parse().expect("a name");
            request.headers_mut().append(name, value.parse().expect("a value"));
        }
        request
    };
    bencher
        .with_inputs(request)
        .bench_local_values(|request| passed_on(black_box(request), &client).expect("admitted"));
}

#[divan::bench]
fn plain(bencher: Bencher<'_, '_>) {
    run(bencher, PLAIN);
}

#[divan::bench]
fn of_a_browser(bencher: Bencher<'_, '_>) {
    run(bencher, BROWSER);
}

#[divan::bench]
fn full_of_what_must_go(bencher: Bencher<'_, '_>) {
    run(bencher, LIES);
}
