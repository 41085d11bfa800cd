//! What is known of a request when it ends.

use std::{
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::{Duration, SystemTime},
};

use http::{HeaderValue, Method, Version};

use crate::model::{Endpoint, Reason, ServiceName};

/// What is known of a request when it ends, in the order of the line.
///
/// It owns its facts but copies few of them: most are counted references, so
/// that filling it in costs the request path little.
#[derive(Clone, Debug)]
pub struct AccessRecord {
    /// When its head was read.
    pub time: SystemTime,
    /// Its `X-Request-Id`; empty if it has none.
    pub request_id: String,
    /// The client: whom a load balancer has named, or the peer.
    pub client: IpAddr,
    /// The other end of the connection.
    pub peer: SocketAddr,
    /// Its method.
    pub method: Method,
    /// `http` or `https`, as the client spoke it.
    pub scheme: &'static str,
    /// Its host as it was matched; empty if it has none.
    pub host: String,
    /// Its path as it was sent.
    pub path: String,
    /// Its query without the `?`; written only if the settings say so.
    pub query: Option<String>,
    /// The version of TLS that the client spoke: `1.2` or `1.3`.
    pub tls_version: Option<&'static str>,
    /// The name that it asked for in the handshake.
    pub sni: Option<Arc<str>>,
    /// The version of HTTP that the client spoke.
    pub protocol: Version,
    /// The status that the client was sent; 0 if it got no response.
    pub status: u16,
    /// How it ended.
    pub reason: Reason,
    /// The route that matched.
    pub route: Option<Arc<str>>,
    /// The service it was for.
    pub service: Option<ServiceName>,
    /// The endpoint that it was last sent to.
    pub endpoint: Option<Arc<Endpoint>>,
    /// How often an endpoint was asked.
    pub attempts: u32,
    /// Why it was not sent once more, though it could have been: `budget`.
    pub retry: Option<&'static str>,
    /// The status that the instance answered with.
    pub upstream_status: Option<u16>,
    /// From its head to the last byte of its response.
    pub duration: Duration,
    /// From sending it to the head of the instance's response.
    pub upstream: Option<Duration>,
    /// How long opening the connection took; none if one was reused.
    pub connect: Option<Duration>,
    /// Bytes of the request body.
    pub bytes_in: u64,
    /// Bytes of the response body.
    pub bytes_out: u64,
    /// Whether it went over a connection that was open already.
    pub conn_reused: bool,
    /// Its `User-Agent`.
    pub user_agent: Option<HeaderValue>,
    /// Its `Referer`.
    pub referer: Option<HeaderValue>,
}
