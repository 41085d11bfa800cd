//! The tests that need nothing but this crate: the real proxy between clients
//! and instances that are told every byte. One module for each topic.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test says what it needs by failing without it"
)]

#[path = "../support/mod.rs"]
mod support;

mod announced_clients;
mod answers;
mod any_service;
mod body_limits;
mod breaker;
mod broken_responses;
mod clients_leave;
mod control;
mod durability;
mod error_answers;
mod exec;
mod expect_continue;
mod fronts;
mod grpc;
mod header_rules;
mod hold;
mod http2;
mod http2_instances;
mod http_rules;
mod keep_alive;
mod lifecycle;
mod limits;
mod misbehaving;
mod outliers;
mod proxy_protocol;
mod reasons;
mod responses_without_body;
mod resting;
mod retries;
mod retry_budget;
mod routes;
mod sent_twice;
mod signals;
mod slow_start;
mod sources;
mod streaming;
mod systemd;
mod timeouts;
mod tls;
mod trailers;
mod tunnels;
