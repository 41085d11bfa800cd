//! What is asked of the proxies.

use crate::load::Work;

/// A kind of work with a name.
#[derive(Clone, Debug)]
pub(crate) struct Scenario {
    pub(crate) name: &'static str,
    pub(crate) work: Work,
}

const BROWSER: &str = "user-agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Safari/537.36\r\n\
accept: text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8\r\n\
accept-encoding: gzip, deflate, br, zstd\r\n\
accept-language: en-GB,en;q=0.9,de;q=0.7\r\n\
cache-control: no-cache\r\n\
cookie: session=0123456789abcdef0123456789abcdef; theme=dark; consent=yes; visitor=8c1f0a52-3b8e-4a63-9ad5-4e6d1a1b7c55\r\n\
referer: http://bench.test/some/page/of/the/shop?item=4711&size=xl\r\n\
sec-fetch-dest: document\r\n\
sec-fetch-mode: navigate\r\n";

fn get(path: &str, fields: &str) -> Vec<u8> {
    format!("GET /api{path} HTTP/1.1\r\nhost: bench.test\r\n{fields}\r\n").into_bytes()
}

/// Every scenario, in the order of the report.
pub(crate) fn all() -> Vec<Scenario> {
    let steady = |request| Work { request, connections: 64, reconnect: false, rate: None };
    let mut post = b"POST /api/b200 HTTP/1.1\r\nhost: bench.test\r\ncontent-type: text/plain\r\ncontent-length: 16384\r\n\r\n".to_vec();
    post.extend(std::iter::repeat_n(b'y', 16 << 10));
    let mut chunked = b"POST /api/chunks HTTP/1.1\r\nhost: bench.test\r\ncontent-type: text/plain\r\ntransfer-encoding: chunked\r\n\r\n".to_vec();
    for _ in 0..4 {
        chunked.extend_from_slice(b"1000\r\n");
        chunked.extend(std::iter::repeat_n(b'y', 4096));
        chunked.extend_from_slice(b"\r\n");
    }
    chunked.extend_from_slice(b"0\r\n\r\n");
    let small = get("/b200", "");
    vec![
        Scenario { name: "small", work: steady(small.clone()) },
        Scenario { name: "heads", work: steady(get("/b200", BROWSER)) },
        Scenario { name: "16 KiB", work: steady(get("/b16k", "")) },
        Scenario { name: "1 MiB", work: Work { connections: 16, ..steady(get("/b1m", "")) } },
        Scenario { name: "POST 16 KiB", work: steady(post) },
        Scenario { name: "chunked both ways", work: steady(chunked) },
        Scenario {
            name: "1,000 connections",
            work: Work { connections: 1000, ..steady(small.clone()) },
        },
        Scenario {
            name: "a connection each",
            work: Work {
                reconnect: true,
                connections: 32,
                ..steady(get("/b200", "connection: close\r\n"))
            },
        },
        Scenario { name: "6,000 a second", work: Work { rate: Some(6000), ..steady(small) } },
    ]
}
