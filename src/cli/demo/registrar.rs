//! What a service does to be found: registers, renews its lease, registers
//! again when it has been forgotten, and leaves.

use std::{net::SocketAddr, time::Duration};

use http::{Method, StatusCode};
use serde_json::json;
use tokio::task::JoinHandle;

use super::super::client::{Client, ClientError, TIMEOUT};

/// The TTL of a toy's lease. A third of it passes between heartbeats, so that
/// one may get lost.
const TTL: Duration = Duration::from_secs(10);

/// A registration that is kept alive.
#[derive(Debug)]
pub(super) struct Registration {
    client: Client,
    path: String,
    heart: JoinHandle<()>,
}

impl Registration {
    /// Registers and returns once requests are routed there, or after ten
    /// seconds.
    pub(super) async fn begin(
        client: &Client,
        service: &str,
        id: &str,
        address: SocketAddr,
    ) -> Result<Self, ClientError> {
        let path = format!("/api/v1/services/{service}/instances/{id}");
        register(client, &path, address).await?;
        let heart = tokio::spawn(beat(client.clone(), path.clone(), address, TTL / 3));
        Ok(Self { client: client.clone(), path, heart })
    }

    /// Leaves, and waits up to `patience` for what is in flight.
    pub(super) async fn end(self, patience: Duration) {
        self.heart.abort();
        let path = format!("{}?wait=drained&timeout={}s", self.path, patience.as_secs());
        let left = self.client.call(Method::DELETE, &path, None, patience + TIMEOUT);
        // The proxy ends right after this, and the lease with it.
        left.await.ok();
    }
}

async fn register(client: &Client, path: &str, address: SocketAddr) -> Result<(), ClientError> {
    let body = json!({
        "address": format!("http://{address}"),
        "ttl": format!("{}s", TTL.as_secs()),
        "health": { "path": "/healthz" },
    });
    let path = format!("{path}?wait=routable&timeout=10s");
    client.call(Method::PUT, &path, Some(&body), TIMEOUT * 2).await?.json().map(drop)
}

async fn beat(client: Client, path: String, address: SocketAddr, period: Duration) {
    let heartbeat = format!("{path}/heartbeat");
    loop {
        tokio::time::sleep(period).await;
        let beaten = client.call(Method::POST, &heartbeat, None, TIMEOUT).await;
        if beaten.is_ok_and(|answer| answer.status == StatusCode::NOT_FOUND) {
            // If this fails, so does the next heartbeat, and we are here again.
            register(&client, &path, address).await.ok();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{super::super::testing::FakeAdmin, *};

    #[tokio::test]
    async fn what_was_forgotten_registers_again() {
        let admin = FakeAdmin::start(|call| match call.contains("heartbeat") {
            true => (404, r#"{"title":"unknown instance"}"#.to_owned()),
            false => (200, "{}".to_owned()),
        })
        .await;
        let address = "127.0.0.1:80".parse().expect("an address");
        let path = "/api/v1/services/hello/instances/a".to_owned();
        let beating = beat(admin.client.clone(), path, address, Duration::from_millis(5));
        let seen_twice = async {
            while admin.asked().iter().filter(|(call, _)| call.starts_with("PUT")).count() < 2 {
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        };
        tokio::select! {
            () = beating => {}
            () = seen_twice => {}
        }
        let (_, body) = &admin.asked()[1];
        assert!(body.contains(r#""address":"http://127.0.0.1:80""#), "{body}");
    }

    #[tokio::test]
    async fn leaving_waits_for_the_drain() {
        let admin = FakeAdmin::start(|_| (200, "{}".to_owned())).await;
        let address = "127.0.0.1:80".parse().expect("an address");
        let registration = Registration::begin(&admin.client, "hello", "a", address).await;
        registration.expect("registered").end(Duration::from_secs(5)).await;
        let calls: Vec<_> = admin.asked().into_iter().map(|(call, _)| call).collect();
        assert_eq!(
            calls,
            [
                "PUT /api/v1/services/hello/instances/a?wait=routable&timeout=10s Bearer secret",
                "DELETE /api/v1/services/hello/instances/a?wait=drained&timeout=5s Bearer secret",
            ]
        );
    }
}
