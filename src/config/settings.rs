//! `proxy.toml` as a whole: the sections, each a struct of the folder it
//! configures, used as it is read.

use std::{collections::BTreeMap, num::NonZeroUsize, time::Duration};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    acme::AcmeSettings,
    admin::AdminSettings,
    front::FrontSettings,
    health::ProberSettings,
    listener::ListenerSettings,
    model::{HumanDuration, ServiceName, ServiceSettings},
    registry::RegistrySettings,
    routing::RouteSettings,
    sources::SourceSettings,
    telemetry::TelemetrySettings,
};

/// `proxy.toml`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Data-plane threads. Default: one for each core.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub workers: Option<NonZeroUsize>,
    /// How long everything goes on after SIGTERM while `/readyz` says no, so
    /// that whoever sends requests here can stop before they are refused.
    pub shutdown_delay: HumanDuration,
    /// How long requests in flight may go on after that.
    pub shutdown_timeout: HumanDuration,
    /// How long requests, streams and tunnels may go on in the old process
    /// after an upgrade.
    pub upgrade_timeout: HumanDuration,
    /// Addresses that clients connect to.
    pub listener: Vec<ListenerSettings>,
    /// Where the certificates of `tls.acme` are obtained.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub acme: Option<AcmeSettings>,
    /// The admin address.
    pub admin: AdminSettings,
    /// Addresses where services register that speak to a registry of another
    /// make.
    pub front: Vec<FrontSettings>,
    /// Where what registers here is kept.
    pub registry: RegistrySettings,
    /// Places outside that instances come from. What an earlier one says of an
    /// address counts before what a later one does.
    pub source: Vec<SourceSettings>,
    /// Bounds over all probes.
    pub health: ProberSettings,
    /// What every service starts from.
    pub defaults: ServiceSettings,
    /// Services by name. One that instances only register under needs no
    /// section.
    #[schemars(extend("propertyNames" = { "format": "service-name" }))]
    pub service: BTreeMap<ServiceName, ServiceSettings>,
    /// Routes. The most specific one that matches wins; their order in the
    /// file decides between equals.
    pub route: Vec<RouteSettings>,
    /// Logs.
    pub telemetry: TelemetrySettings,
}

impl Config {
    /// The names for which certificates are obtained by ACME, each once.
    pub fn automatic_names(&self) -> std::collections::BTreeSet<String> {
        let tls = self.listener.iter().filter_map(|listener| listener.tls.as_ref());
        tls.flat_map(|tls| &tls.acme).map(|name| name.to_ascii_lowercase()).collect()
    }
}

impl Default for Config {
    fn default() -> Self {
        Self {
            workers: None,
            shutdown_delay: HumanDuration(Duration::ZERO),
            shutdown_timeout: HumanDuration::from_secs(30),
            upgrade_timeout: HumanDuration::from_secs(15 * 60),
            listener: vec![ListenerSettings::default()],
            acme: None,
            admin: AdminSettings::default(),
            front: Vec::new(),
            registry: RegistrySettings::default(),
            source: Vec::new(),
            health: ProberSettings::default(),
            defaults: ServiceSettings::default(),
            service: BTreeMap::new(),
            route: Vec::new(),
            telemetry: TelemetrySettings::default(),
        }
    }
}
