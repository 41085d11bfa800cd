//! Registries of others that instances come from.
//!
//! Each kind is a file or folder of its own that knows one protocol: it reads
//! what is there, tells it to its [`Feed`], keeps itself connected, and never
//! ends by itself. What is made of that (which instances are kept while a
//! source is out of reach, which disappearances are believed) is decided once
//! for all of them, behind the feed.

mod backoff;
mod client;
pub mod consul;
pub mod dns;
pub mod docker;
mod document;
pub(crate) mod draft;
mod entry;
pub mod etcd;
pub mod eureka;
mod feed;
pub mod file;
mod found;
pub mod http;
pub mod last_known;
pub(crate) mod loose;
mod pattern;
mod running;
mod settings;
mod told;
pub mod zookeeper;

pub use crate::model::Reported;
pub use backoff::Backoff;
pub use client::{ParseServerUrlError, ServerUrl};
pub use dns::DnsQuestion;
pub use entry::{Fields, ParseTemplateError, Pointer, Template};
pub use feed::{Feed, News, SourceName};
pub use found::Found;
pub use http::DocumentUrl;
pub use last_known::LastKnown;
pub use pattern::ServicePattern;
pub use running::{NewsSender, Running};
pub use settings::{CommonSettings, SourceKind, SourceSettings};
