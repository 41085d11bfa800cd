//! What must hold for any bytes that come from outside, one file for each
//! parser that reads them. A fuzzer looks for bytes for which it does not;
//! `tests/corpora.rs` runs those that were found once, with every test.

pub mod config;
pub mod forwarded;
pub mod host;
pub mod path;
pub mod proxy_header;
pub mod registration;
pub mod request;
pub mod response;
mod wire;

/// What is done with the bytes of a target.
pub type Check = fn(&[u8]);

/// Every target, by the name of its corpus.
pub const ALL: &[(&str, Check)] = &[
    ("config", config::check),
    ("forwarded", forwarded::check),
    ("host", host::check),
    ("path", path::check),
    ("proxy_header", proxy_header::check),
    ("registration", registration::check),
    ("request", request::check),
    ("response", response::check),
];
