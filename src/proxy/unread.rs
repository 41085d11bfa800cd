//! What never became a request: counted and logged like one all the same.

use std::time::{Duration, SystemTime};

use http::{Method, Version};

use super::{Proxy, client::Client};
use crate::{model::Reason, telemetry::AccessRecord};

impl Proxy {
    /// Records that a connection of `client`, which speaks `protocol`, ended
    /// for `reason`: before its first request, or for what never became one.
    #[cold]
    pub fn refused_unread(&self, client: &Client, protocol: Version, reason: Reason) {
        let metrics = self.metrics.worker(self.worker);
        metrics.request_begun();
        metrics.request_ended(reason, false);
        if !self.access_log.wants(reason, 0) {
            return;
        }
        self.access_log.write(Box::new(AccessRecord {
            time: SystemTime::now(),
            request_id: String::new(),
            client: client.peer.ip(),
            peer: client.peer.address,
            // Nobody knows.
            method: Method::from_bytes(b"-").unwrap_or_default(),
            scheme: client.peer.scheme(),
            host: String::new(),
            path: String::new(),
            query: None,
            tls_version: None,
            sni: None,
            protocol,
            status: 0,
            reason,
            route: None,
            service: None,
            endpoint: None,
            attempts: 0,
            retry: None,
            upstream_status: None,
            duration: Duration::ZERO,
            upstream: None,
            connect: None,
            bytes_in: 0,
            bytes_out: 0,
            conn_reused: false,
            user_agent: None,
            referer: None,
        }));
    }
}
