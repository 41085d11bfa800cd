//! `[[source]]` with `kind = "zookeeper"`.

use std::{fmt, path::PathBuf, str::FromStr};

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

use super::layout::Layout;
use crate::{
    model::{Address, HumanDuration, ParseAddressError},
    sources::entry::{Fields, Template},
};

/// Nodes of a ZooKeeper ensemble.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ZookeeperSettings {
    /// Client addresses of its servers, such as `10.0.0.1:2181`. One is talked
    /// to at a time, the next one when it fails.
    pub servers: Vec<ServerAddress>,
    /// The form of the nodes and of what they hold.
    pub layout: Layout,
    /// The node below which instances are. It need not be there yet.
    #[serde(default = "services")]
    pub path: NodePath,
    /// Where the nodes of instances stand below `path`.
    #[serde(default)]
    pub key: Template,
    /// The service that all instances are of, where neither the path nor what
    /// a node holds names one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service: Option<String>,
    /// Where in what a node holds what is found, for `json`.
    #[serde(default)]
    pub fields: Fields,
    /// How long the servers and we may not hear of each other before the
    /// session ends and another server is tried; the servers have bounds of
    /// their own for it.
    #[serde(default = "session")]
    pub session_timeout: HumanDuration,
    /// The user, where nodes are not for everybody (digest authentication).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub username: Option<String>,
    /// The password of `username`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub password: Option<String>,
    /// Speak TLS to the servers. Default: in the clear.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls: Option<ZookeeperTls>,
}

/// TLS towards the servers of an ensemble. Their certificates have to be for
/// the hosts in `servers`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ZookeeperTls {
    /// A file with the certificates of the CAs that vouch for the servers
    /// (PEM).
    pub ca: PathBuf,
    /// A file with our own certificate, for servers that ask for one (PEM).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cert: Option<PathBuf>,
    /// A file with its private key (PEM).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<PathBuf>,
}

fn services() -> NodePath {
    NodePath("/services".to_owned())
}

const fn session() -> HumanDuration {
    HumanDuration::from_secs(10)
}

impl fmt::Debug for ZookeeperSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ZookeeperSettings")
            .field("servers", &self.servers)
            .field("layout", &self.layout)
            .field("path", &self.path)
            .finish_non_exhaustive()
    }
}

/// Host and port of a server.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ServerAddress(Address);

impl FromStr for ServerAddress {
    type Err = ParseAddressError;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        text.parse().map(Self)
    }
}

impl TryFrom<String> for ServerAddress {
    type Error = ParseAddressError;
    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<ServerAddress> for String {
    fn from(address: ServerAddress) -> Self {
        address.to_string()
    }
}

impl fmt::Display for ServerAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl JsonSchema for ServerAddress {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "ServerAddress".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string",
            "format": "server-address",
            "description": "Host and port of a server.",
            "examples": ["10.0.0.1:2181"]
        })
    }
}

/// The path of a node: `/` or `/a/b`.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct NodePath(String);

impl NodePath {
    /// The path.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// What `path` is below this one.
    #[must_use]
    pub fn below<'a>(&self, path: &'a str) -> Option<&'a str> {
        match self.0.as_str() {
            "/" => path.strip_prefix('/'),
            own => path.strip_prefix(own)?.strip_prefix('/'),
        }
    }

    /// The path of `child`, which is below this one.
    #[must_use]
    pub fn join(&self, child: &str) -> String {
        match (self.0.as_str(), child) {
            (own, "") => own.to_owned(),
            ("/", child) => format!("/{child}"),
            (own, child) => format!("{own}/{child}"),
        }
    }
}

impl FromStr for NodePath {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let is_name = |name: &str| !matches!(name, "" | "." | "..") && !name.contains('\0');
        let is_path = text
            .strip_prefix('/')
            .is_some_and(|rest| rest.is_empty() || rest.split('/').all(is_name));
        match is_path {
            true => Ok(Self(text.to_owned())),
            false => Err(format!("{text:?} is no path of a node; write one like \"/services\"")),
        }
    }
}

impl TryFrom<String> for NodePath {
    type Error = String;
    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<NodePath> for String {
    fn from(path: NodePath) -> Self {
        path.0
    }
}

impl fmt::Debug for NodePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

impl JsonSchema for NodePath {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "NodePath".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string",
            "format": "node-path",
            "description": "The path of a node of ZooKeeper.",
            "examples": ["/services"]
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_those_of_nodes() {
        let path = |text: &str| NodePath::try_from(text.to_owned());
        for bad in ["", "a", "/a/", "//", "/a//b", "/a/../b", "/./a"] {
            assert!(path(bad).is_err(), "{bad}");
        }
        let own = path("/a/b").expect("a path");
        assert_eq!(
            (own.below("/a/b/c/d"), own.below("/a/bc"), own.below("/a/b")),
            (Some("c/d"), None, None)
        );
        assert_eq!((own.join("c"), own.join("")), ("/a/b/c".to_owned(), "/a/b".to_owned()));
        let root = path("/").expect("a path");
        assert_eq!((root.below("/c"), root.join("c")), (Some("c"), "/c".to_owned()));
    }
}
