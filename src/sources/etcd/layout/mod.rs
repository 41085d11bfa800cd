//! What keys and their values mean: one file for each form.
//!
//! Pure: a key after the prefix and its value become instances, or a reason
//! why they are none. A key that belongs to something else holds nothing.

mod grpc;
mod kratos;
mod micro;
mod portolan;
mod traefik;
mod url;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::EtcdSettings;
use crate::sources::{Found, entry};

/// A form of keys and values.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Layout {
    /// What several Portolan write to share a registry.
    Portolan,
    /// gRPC naming (`clientv3/naming/endpoints`): `SERVICE/…`, with
    /// `{"Op":0,"Addr":"host:port"}`.
    Grpc,
    /// The registry of kratos: `/microservices/SERVICE/ID`.
    Kratos,
    /// The registry of go-micro: `/micro/registry/SERVICE/NODE`.
    GoMicro,
    /// The key-value store of Traefik:
    /// `traefik/http/services/SERVICE/loadbalancer/servers/N/url`. Routers are
    /// not read.
    Traefik,
    /// JSON of another form, read by `key` and `fields`.
    Json,
}

/// The instances in the entry whose key, after the prefix, is `key`.
pub(super) fn read(settings: &EtcdSettings, key: &str, value: &[u8]) -> Result<Vec<Found>, String> {
    if value.len() > entry::LARGEST {
        return Err(format!("it has {} bytes, more than {}", value.len(), entry::LARGEST));
    }
    match settings.layout {
        Layout::Portolan => portolan::read(key, value),
        Layout::Kratos => kratos::read(value),
        Layout::GoMicro => micro::read(value),
        Layout::Traefik => traefik::read(key, value),
        Layout::Grpc | Layout::Json => {
            let Some(mut place) = settings.key.read(key) else { return Ok(Vec::new()) };
            place.service = place.service.or(settings.service.as_deref());
            match settings.layout {
                Layout::Grpc => grpc::read(place, value),
                _ => settings.fields.read(place, value).map(|found| vec![found]),
            }
        }
    }
}
