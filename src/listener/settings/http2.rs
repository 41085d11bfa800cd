//! `http2` of a listener: what an HTTP/2 connection and its streams may cost.

use std::num::NonZeroU32;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::model::{ByteSize, HumanDuration};

/// HTTP/2 on a listener, and the bounds of each connection.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Http2Settings {
    /// Whether clients may speak it: with prior knowledge over plain TCP, or by
    /// ALPN over TLS.
    pub enabled: bool,
    /// Streams that a client may have open at once on one connection.
    pub max_streams: NonZeroU32,
    /// Bytes of a request body that are taken before an instance has taken
    /// them, for each stream.
    pub stream_window: ByteSize,
    /// The same for all streams of a connection together. Below `max_streams`
    /// times `stream_window`, uploads that an instance does not take hold up
    /// the other streams of their connection.
    pub connection_window: ByteSize,
    /// Bytes of a response that are held for a client which does not take
    /// them, for each stream.
    pub send_buffer: ByteSize,
    /// Bytes of a request head: names, values and 32 for each field (RFC 9113
    /// section 6.5.2). More gets 431. Clients are told twice as much.
    pub max_header_list: ByteSize,
    /// Fields of a request head, each crumb of a cookie counted. More gets 431.
    pub max_fields: NonZeroU32,
    /// Streams that a client may cancel in one second. More ends the
    /// connection with ENHANCE_YOUR_CALM.
    pub max_cancels: NonZeroU32,
    /// How often a client is asked whether it is still there.
    pub ping_interval: HumanDuration,
    /// How long it has to answer.
    pub ping_timeout: HumanDuration,
}

impl Default for Http2Settings {
    fn default() -> Self {
        Self {
            enabled: true,
            max_streams: const { NonZeroU32::new(100).unwrap() },
            stream_window: ByteSize::kib(64),
            connection_window: ByteSize::kib(6400),
            send_buffer: ByteSize::kib(64),
            max_header_list: ByteSize::kib(32),
            max_fields: const { NonZeroU32::new(100).unwrap() },
            max_cancels: const { NonZeroU32::new(200).unwrap() },
            ping_interval: HumanDuration::from_secs(20),
            ping_timeout: HumanDuration::from_secs(10),
        }
    }
}
