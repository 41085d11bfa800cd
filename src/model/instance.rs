//! One network address of a service, as registered.

use std::{collections::BTreeMap, fmt, str::FromStr};

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

use super::{
    DeclaredProbe, Foreign, HealthSettings, HumanDuration, InstanceId, Origin, ServiceName,
};

/// A weight that is not between 1 and 1000.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a weight is a whole number from 1 to 1000, this one is {0}")]
pub struct ParseWeightError(i64);

/// How large a share of requests an instance gets beside its siblings: 1 to
/// 1000, default 100.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "i64", into = "u16")]
pub struct Weight(u16);

impl Weight {
    /// The weight as a number.
    #[must_use]
    pub const fn value(self) -> u16 {
        self.0
    }
}

impl Default for Weight {
    fn default() -> Self {
        Self(100)
    }
}

impl TryFrom<i64> for Weight {
    type Error = ParseWeightError;
    fn try_from(value: i64) -> Result<Self, Self::Error> {
        match u16::try_from(value) {
            Ok(value @ 1..=1000) => Ok(Self(value)),
            _ => Err(ParseWeightError(value)),
        }
    }
}

impl From<Weight> for u16 {
    fn from(weight: Weight) -> Self {
        weight.0
    }
}

impl JsonSchema for Weight {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Weight".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "integer", "minimum": 1, "maximum": 1000, "default": 100 })
    }
}

/// One network address of a service.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Instance {
    /// The service it belongs to.
    pub service: ServiceName,
    /// Its name within the service.
    pub id: InstanceId,
    /// Where it listens.
    pub origin: Origin,
    /// Its share of requests.
    #[serde(default)]
    pub weight: Weight,
    /// The failure domain it runs in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub zone: Option<String>,
    /// The version of the program.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// Free words.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tags: Vec<String>,
    /// Free pairs.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub metadata: BTreeMap<String, String>,
    /// How long a registration lives without a heartbeat; for ever if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ttl: Option<HumanDuration>,
    /// Health settings of its own.
    #[serde(default)]
    pub health: HealthSettings,
    /// What its client said in the language of another registry.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub foreign: Option<Foreign>,
}

impl Instance {
    /// Its place in the catalog.
    #[must_use]
    pub fn key(&self) -> InstanceKey {
        InstanceKey { service: self.service.clone(), id: self.id.clone() }
    }

    /// The probes that its client asks for, if its health settings do not say
    /// it all.
    #[must_use]
    pub fn declared_probes(&self) -> &[DeclaredProbe] {
        self.foreign.as_ref().map_or(&[], |foreign| &foreign.probes)
    }
}

/// Names one instance: `service/id`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct InstanceKey {
    /// The service.
    pub service: ServiceName,
    /// The instance within it.
    pub id: InstanceId,
}

impl FromStr for InstanceKey {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (service, id) = text
            .split_once('/')
            .ok_or_else(|| format!("{text:?} is not SERVICE/ID; write \"orders/orders-7\""))?;
        let service = service.parse().map_err(|error| format!("{error}"))?;
        let id = id.parse().map_err(|error| format!("{error}"))?;
        Ok(Self { service, id })
    }
}

impl fmt::Display for InstanceKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.service, self.id)
    }
}

impl fmt::Debug for InstanceKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weights_are_bounded() {
        assert_eq!(Weight::default().value(), 100);
        assert_eq!(Weight::try_from(1).map(Weight::value), Ok(1));
        for bad in [0, -1, 1001, 65_636] {
            assert_eq!(Weight::try_from(bad), Err(ParseWeightError(bad)));
        }
    }

    #[test]
    fn an_instance_survives_json() {
        let text = r#"{"service":"orders","id":"a","origin":"http://10.0.0.1:80","ttl":"10s"}"#;
        let instance: Instance = serde_json::from_str(text).expect("an instance");
        assert_eq!(instance.weight, Weight::default());
        let again = serde_json::to_string(&instance).expect("serialises");
        assert_eq!(serde_json::from_str::<Instance>(&again).expect("reads"), instance);
    }
}
