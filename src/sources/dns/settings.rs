//! `[[source]]` with `kind = "dns"`.

use std::{collections::BTreeMap, fmt, net::SocketAddr, str::FromStr, sync::Arc};

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

use crate::model::{Address, Host, HumanDuration, ListenAddress, ServiceName};

/// Names that are looked up, one for each service.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DnsSettings {
    /// What is looked up for each service: `"orders.internal:8080"` for A and
    /// AAAA records, `"_http._tcp.orders.internal"` for SRV records.
    #[schemars(extend("propertyNames" = { "format": "service-name" }))]
    pub services: BTreeMap<ServiceName, DnsQuestion>,
    /// Servers that are asked, as `"10.0.0.2:53"`. Default: those of the
    /// system.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub servers: Vec<ListenAddress>,
    /// Whether AAAA records are asked for too. Both kinds have to be answered
    /// then.
    #[serde(default = "ipv6")]
    pub ipv6: bool,
    /// After so long a name is looked up again, however long its records hold;
    /// and no later where there are none.
    #[serde(default = "interval")]
    pub interval: HumanDuration,
    /// How long the servers may take for one answer.
    #[serde(default = "timeout")]
    pub timeout: HumanDuration,
}

const fn ipv6() -> bool {
    true
}

const fn interval() -> HumanDuration {
    HumanDuration::from_secs(30)
}

const fn timeout() -> HumanDuration {
    HumanDuration::from_secs(5)
}

impl DnsSettings {
    /// The servers that are named.
    pub(super) fn servers(&self) -> impl Iterator<Item = SocketAddr> + '_ {
        self.servers.iter().map(|server| server.0)
    }
}

/// What is looked up.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum DnsQuestion {
    /// A and AAAA records of a name; the port is given.
    Addresses {
        /// The name.
        name: Arc<str>,
        /// The port of every instance.
        port: u16,
    },
    /// SRV records, which bring their ports.
    Services(Arc<str>),
}

/// A text that is nothing to look up.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} is nothing to look up; write \"NAME:PORT\", or \"_SERVICE._tcp.NAME\" for SRV records"
)]
pub struct ParseDnsQuestionError(String);

impl FromStr for DnsQuestion {
    type Err = ParseDnsQuestionError;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let refused = || ParseDnsQuestionError(text.to_owned());
        if text.starts_with('_') {
            // The port makes an address of it, whose name is checked then.
            let checked: Address = format!("{text}:1").parse().map_err(|_| refused())?;
            return match checked.host {
                Host::Name(name) if name.contains("._") => Ok(Self::Services(name)),
                Host::Name(_) | Host::Ip(_) => Err(refused()),
            };
        }
        let Address { host, port } = text.parse().map_err(|_| refused())?;
        match host {
            Host::Name(name) => Ok(Self::Addresses { name, port }),
            Host::Ip(_) => Err(refused()),
        }
    }
}

impl TryFrom<String> for DnsQuestion {
    type Error = ParseDnsQuestionError;
    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<DnsQuestion> for String {
    fn from(question: DnsQuestion) -> Self {
        question.to_string()
    }
}

impl fmt::Display for DnsQuestion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Addresses { name, port } => write!(f, "{name}:{port}"),
            Self::Services(name) => f.write_str(name),
        }
    }
}

impl fmt::Debug for DnsQuestion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{self}\"")
    }
}

impl JsonSchema for DnsQuestion {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "DnsQuestion".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string",
            "format": "dns-question",
            "examples": ["orders.internal:8080", "_http._tcp.orders.internal"]
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_services_are_told_apart() {
        let read = |text: &str| text.parse::<DnsQuestion>();
        assert!(matches!(read("Orders.internal:80"), Ok(DnsQuestion::Addresses { port: 80, .. })));
        assert!(matches!(read("_http._tcp.orders.internal"), Ok(DnsQuestion::Services(_))));
        for bad in ["", "orders", "10.0.0.1:80", "_http", "_http.orders", "_a._tcp.b:80", "a b:1"] {
            assert!(read(bad).is_err(), "{bad}");
        }
    }
}
