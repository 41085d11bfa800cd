//! Where etcd is and who we are there.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::model::{ClientTlsSettings, Origin};

/// How an etcd cluster is reached.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ClientSettings {
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
}

impl fmt::Debug for ClientSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientSettings")
            .field("endpoints", &self.endpoints)
            .field("username", &self.username)
            .field("tls", &self.tls)
            .finish_non_exhaustive()
    }
}
