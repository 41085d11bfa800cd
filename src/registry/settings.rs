//! `[registry]`.

use std::{fmt, num::NonZeroU32, path::PathBuf};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::model::{ClientTlsSettings, HumanDuration, Origin};

/// The registry.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct RegistrySettings {
    /// Where registrations are kept. Default: in a store of this proxy.
    pub backend: Backend,
    /// The etcd cluster of `backend = "etcd"`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub etcd: Option<EtcdBackendSettings>,
    /// The folder of the store; of what was last known of it, where it is in
    /// etcd. It is made if it is missing.
    pub data_dir: PathBuf,
    /// Whether instances may have loopback addresses. Default: only while the
    /// admin address is a loopback address itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub allow_loopback: Option<bool>,
    /// How long passing HTTP probes keep an instance routable whose lease has
    /// expired.
    pub suspect_for: HumanDuration,
    /// How long the record of an instance is kept after its lease expired. A
    /// heartbeat within it revives the instance.
    pub forget_after: HumanDuration,
    /// How long an instance without a TTL may fail its probes before it is
    /// deregistered.
    pub deregister_after: HumanDuration,
    /// How long after a snapshot of the store the next one is made at the
    /// earliest. One is made when the store has changed, and at the end.
    pub snapshot_every: HumanDuration,
    /// Snapshots that are kept, in `snapshots` in `data_dir`. With 0 none are
    /// made.
    pub snapshots_kept: u32,
    /// Services with registered instances.
    pub max_services: NonZeroU32,
    /// Instances of one service.
    pub max_instances_per_service: NonZeroU32,
}

impl Default for RegistrySettings {
    fn default() -> Self {
        Self {
            backend: Backend::default(),
            etcd: None,
            data_dir: PathBuf::from("./data"),
            allow_loopback: None,
            suspect_for: HumanDuration::from_secs(60),
            forget_after: HumanDuration::from_secs(600),
            deregister_after: HumanDuration::from_secs(86_400),
            snapshot_every: HumanDuration::from_secs(900),
            snapshots_kept: 5,
            max_services: const { NonZeroU32::new(20_000).unwrap() },
            max_instances_per_service: const { NonZeroU32::new(10_000).unwrap() },
        }
    }
}

/// Where registrations are kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Backend {
    /// In a store of this proxy, in `data_dir`.
    #[default]
    Embedded,
    /// In an etcd v3 cluster, for all proxies that use the same `prefix` of it.
    Etcd,
}

/// The etcd cluster that holds the registry.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct EtcdBackendSettings {
    /// Client addresses of its members, such as `http://10.0.0.1:2379`. One is
    /// talked to at a time, the next one when it fails.
    pub endpoints: Vec<Origin>,
    /// The user, where authentication is on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub username: Option<String>,
    /// The password of `username`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub password: Option<String>,
    /// TLS towards members whose address begins with `https://`; with `cert`
    /// and `key` for those that know users by their certificate.
    #[serde(default)]
    pub tls: ClientTlsSettings,
    /// What all keys begin with. Nothing else may write there, nor read where
    /// certificates are obtained: their keys are there too.
    #[serde(default = "default_prefix")]
    pub prefix: String,
    /// How long a proxy that has vanished without leaving is taken into
    /// account: it may be cut off and still be routing, so `wait=drained` and
    /// `wait=routable` do not succeed meanwhile and name it.
    #[serde(default = "default_missing_for")]
    pub missing_for: HumanDuration,
    /// What becomes of a new registration while etcd is away.
    #[serde(default)]
    pub on_outage: OnOutage,
}

/// What becomes of a registration that cannot be written to etcd.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum OnOutage {
    /// It is refused with 503: a 2xx means that all proxies know.
    #[default]
    Refuse,
    /// It is kept on the disk of the proxy that was told, which alone routes to
    /// it until etcd is back.
    Accept,
}

const fn default_missing_for() -> HumanDuration {
    HumanDuration::from_secs(60)
}

fn default_prefix() -> String {
    "/portolan/v1/".to_owned()
}

impl fmt::Debug for EtcdBackendSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EtcdBackendSettings")
            .field("endpoints", &self.endpoints)
            .field("username", &self.username)
            .field("tls", &self.tls)
            .field("prefix", &self.prefix)
            .field("missing_for", &self.missing_for)
            .field("on_outage", &self.on_outage)
            .finish_non_exhaustive()
    }
}
