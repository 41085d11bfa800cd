//! `[[source]]` with `kind = "etcd"`.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::layout::Layout;
use crate::{
    etcd::ClientSettings,
    model::{ClientTlsSettings, Origin},
    sources::entry::{Fields, Template},
};

/// Keys of an etcd v3 cluster.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct EtcdSettings {
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
    /// The form of the keys and of what they hold.
    pub layout: Layout,
    /// What the keys begin with. Default: by layout, `/microservices/` for
    /// `kratos`, `/micro/registry/` for `go-micro`, `traefik/http/services/`
    /// for `traefik`, `/portolan/v1/services/` for `portolan`. `grpc`
    /// and `json` have none: all keys are read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prefix: Option<String>,
    /// Where keys stand after `prefix`, for `grpc` and `json`.
    #[serde(default)]
    pub key: Template,
    /// The service that all instances are of, where neither the key nor what
    /// it holds names one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service: Option<String>,
    /// Where in the values what is found, for `json`.
    #[serde(default)]
    pub fields: Fields,
}

impl EtcdSettings {
    /// What the keys begin with.
    #[must_use]
    pub fn prefix(&self) -> &str {
        self.prefix.as_deref().unwrap_or(match self.layout {
            Layout::Kratos => "/microservices/",
            Layout::GoMicro => "/micro/registry/",
            Layout::Traefik => "traefik/http/services/",
            Layout::Portolan => "/portolan/v1/services/",
            Layout::Grpc | Layout::Json => "",
        })
    }

    pub(super) fn client(&self) -> ClientSettings {
        ClientSettings {
            endpoints: self.endpoints.clone(),
            username: self.username.clone(),
            password: self.password.clone(),
            tls: self.tls.clone(),
        }
    }
}

impl fmt::Debug for EtcdSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EtcdSettings")
            .field("endpoints", &self.endpoints)
            .field("layout", &self.layout)
            .field("prefix", &self.prefix())
            .finish_non_exhaustive()
    }
}
