//! `[[source]]`: where else instances come from.
//!
//! The keys that every source has, and flat beside them those of its kind.
//! [`SourceKind`] is the one list of kinds: how each is called, its settings
//! and its driver.

use futures_util::future::BoxFuture;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::{Feed, SourceName, consul, dns, docker, etcd, eureka, file, http, zookeeper};

/// A place outside that instances come from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SourceSettings {
    /// What every source has.
    #[serde(flatten)]
    pub common: CommonSettings,
    /// What its kind has.
    #[serde(flatten)]
    pub kind: SourceKind,
}

/// The settings that every source has.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct CommonSettings {
    /// How it is called in logs, in `portolan status`, and in
    /// `service = "orders@NAME"`. Default: the kind.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<SourceName>,
    /// Whether its instances may have loopback addresses. Default: as for
    /// instances that register here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub allow_loopback: Option<bool>,
}

impl SourceSettings {
    /// How the source is called.
    #[must_use]
    pub fn name(&self) -> SourceName {
        self.common.name.clone().unwrap_or_else(|| SourceName::of_kind(self.kind.word()))
    }
}

macro_rules! kinds {
    ($($variant:ident $word:literal $module:ident::$settings:ident $doc:literal)*) => {
        /// The kinds of sources, each with its settings.
        #[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
        #[serde(tag = "kind")]
        pub enum SourceKind {
            $(
                #[doc = $doc]
                #[serde(rename = $word)]
                $variant($module::$settings),
            )*
        }

        impl SourceKind {
            /// How the kind is called in `proxy.toml`.
            #[must_use]
            pub const fn word(&self) -> &'static str {
                match self { $(Self::$variant(_) => $word,)* }
            }

            /// Whether a registry of the kind may have forgotten what it had: it
            /// keeps that in memory, or in a state that is set back.
            pub(super) const fn may_forget(&self) -> bool {
                matches!(self, Self::Consul(_) | Self::Eureka(_))
            }

            /// The driver of the kind, at work.
            pub(super) fn run(self, feed: Feed) -> BoxFuture<'static, ()> {
                match self { $(Self::$variant(settings) => Box::pin($module::run(settings, feed)),)* }
            }
        }

        fn kinds(generator: &mut SchemaGenerator) -> Vec<Value> {
            vec![$(kind($word, $doc, $module::$settings::json_schema(generator), generator),)*]
        }
    };
}

kinds! {
    Consul "consul" consul::ConsulSettings "The catalog of Consul."
    Dns "dns" dns::DnsSettings "Names that are looked up, one for each service."
    Docker "docker" docker::DockerSettings
        "Containers of a Docker engine that carry the label `portolan.service`."
    Etcd "etcd" etcd::EtcdSettings "Keys of an etcd v3 cluster."
    Eureka "eureka" eureka::EurekaSettings "The registry of Eureka servers."
    File "file" file::FileSettings "A file with a list of instances."
    Http "http" http::HttpSettings "A document with a list of instances that a server answers with."
    Zookeeper "zookeeper" zookeeper::ZookeeperSettings "Nodes of a ZooKeeper ensemble."
}

/// One closed table for each kind, since that is what there is in the end.
impl JsonSchema for SourceSettings {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "SourceSettings".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "object", "oneOf": kinds(generator) })
    }
}

fn kind(word: &str, doc: &str, own: Schema, generator: &mut SchemaGenerator) -> Value {
    let (own, common) = (own.to_value(), CommonSettings::json_schema(generator).to_value());
    let mut keys = Map::new();
    let described = "Which kind of source it is.";
    let tag = serde_json::json!({ "type": "string", "const": word, "description": described });
    keys.insert("kind".to_owned(), tag);
    for table in [&common, &own] {
        let all = table["properties"].as_object().into_iter().flatten();
        keys.extend(all.map(|(key, node)| (key.clone(), node.clone())));
    }
    let mut required = vec![Value::from("kind")];
    required.extend(own["required"].as_array().into_iter().flatten().cloned());
    serde_json::json!({
        "type": "object",
        "description": doc,
        "properties": keys,
        "required": required,
        "additionalProperties": false,
    })
}
