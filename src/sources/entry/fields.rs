//! Entries whose form is the user's own: JSON, and where in it what is found.

use std::{fmt, str::FromStr};

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::Place;
use crate::{
    model::{Origin, Reported, Scheme},
    sources::{
        Found,
        draft::{Draft, text_of, words},
    },
};

/// A place in a JSON value (RFC 6901): `/meta/port`. The empty one is the
/// whole value.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Pointer(String);

impl Pointer {
    fn of<'a>(&self, value: &'a Value) -> Option<&'a Value> {
        value.pointer(&self.0).filter(|value| !value.is_null())
    }
}

impl FromStr for Pointer {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.is_empty() || text.starts_with('/') {
            true => Ok(Self(text.to_owned())),
            false => Err(format!("{text:?} is no JSON pointer; write \"/{text}\"")),
        }
    }
}

impl TryFrom<String> for Pointer {
    type Error = String;
    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<Pointer> for String {
    fn from(pointer: Pointer) -> Self {
        pointer.0
    }
}

impl fmt::Debug for Pointer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

impl JsonSchema for Pointer {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Pointer".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string",
            "format": "json-pointer",
            "description": "A place in a JSON value.",
            "examples": ["/address", "/meta/port", ""]
        })
    }
}

/// Where in the JSON value of an entry what is found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Fields {
    /// The service, where the key does not name it.
    pub service: Pointer,
    /// The name of the instance, where it is not the last segment of the key.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<Pointer>,
    /// `host:port` or a URL; or the host alone, beside `port`. `""` for an
    /// entry that is nothing but that.
    pub address: Pointer,
    /// The host, where there is no `address`.
    pub host: Pointer,
    /// The port, unless it is in `address`.
    pub port: Pointer,
    /// `http` or `https`, unless it is in `address`. Default `http`.
    pub scheme: Pointer,
    /// The weight, 1 to 1000. 0 takes the instance out.
    pub weight: Pointer,
    /// The zone.
    pub zone: Pointer,
    /// The version of the program.
    pub version: Pointer,
    /// A list of free words.
    pub tags: Pointer,
    /// An object with free pairs.
    pub metadata: Pointer,
    /// Whether the instance wants requests: `false`, `"OUT_OF_SERVICE"`,
    /// `"maintenance"`, `"draining"` and `"disabled"` take it out; `true`,
    /// `"UP"`, `"passing"`, `"healthy"`, `"alive"`, `"enabled"` and `"ok"` do
    /// not; anything else says that it fails. Default: nothing says so.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<Pointer>,
}

impl Default for Fields {
    fn default() -> Self {
        let at = |name: &str| Pointer(format!("/{name}"));
        Self {
            service: at("service"),
            id: None,
            address: at("address"),
            host: at("host"),
            port: at("port"),
            scheme: at("scheme"),
            weight: at("weight"),
            zone: at("zone"),
            version: at("version"),
            tags: at("tags"),
            metadata: at("metadata"),
            status: None,
        }
    }
}

impl Fields {
    /// The instance in an entry that stands at `place` and holds `value`.
    /// What is not JSON is a text.
    pub(in crate::sources) fn read(&self, place: Place<'_>, value: &[u8]) -> Result<Found, String> {
        let value = match serde_json::from_slice(value) {
            Ok(value) => value,
            Err(error) => match std::str::from_utf8(value) {
                Ok(text) if !text.trim_start().starts_with(['{', '[']) => text.trim().into(),
                _ => return Err(format!("it is not JSON: {error}")),
            },
        };
        let text = |pointer: &Pointer| pointer.of(&value).and_then(text_of);
        let service = match place.service {
            Some(service) => service.to_owned(),
            None => text(&self.service).ok_or("nothing says of which service it is")?,
        };
        let id = self.id.as_ref().and_then(text).unwrap_or_else(|| place.id.to_owned());
        let tags = self.tags.of(&value).and_then(Value::as_array).into_iter().flatten();
        let draft = Draft {
            weight: self.weight.of(&value).and_then(number),
            zone: text(&self.zone),
            version: text(&self.version),
            tags: tags.filter_map(text_of).collect(),
            metadata: words(self.metadata.of(&value)),
            reported: self
                .status
                .as_ref()
                .and_then(text)
                .map_or(Reported::Up, |word| of_word(&word)),
            ..Draft::new(&service, Some(&id))
        };
        let scheme = match text(&self.scheme).as_deref() {
            None | Some("http" | "grpc" | "h2c") => Scheme::Http,
            Some("https" | "grpcs") => Scheme::Https,
            Some(other) => return Err(format!("it speaks {other:?}, which instances cannot")),
        };
        let port = self.port.of(&value).and_then(number);
        let address =
            text(&self.address).or_else(|| text(&self.host)).ok_or("it has no address")?;
        match (address.parse::<Origin>(), port) {
            (Ok(origin), _) => {
                let is_said = address.contains("://");
                draft.on(if is_said { origin } else { Origin { scheme, ..origin } })
            }
            (Err(_), Some(port)) => draft.at(scheme, &address, port),
            (Err(error), None) => Err(error.to_string()),
        }
    }
}

/// A whole number, which some write as a text.
fn number(value: &Value) -> Option<i64> {
    value.as_i64().or_else(|| value.as_str()?.trim().parse().ok())
}

fn of_word(word: &str) -> Reported {
    match word.to_ascii_lowercase().as_str() {
        "true" | "up" | "passing" | "healthy" | "alive" | "enabled" | "ok" => Reported::Up,
        "false" | "out_of_service" | "maintenance" | "draining" | "disabled" => {
            Reported::OutOfService
        }
        _ => Reported::Down,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(fields: &str, service: Option<&str>, value: &str) -> Result<Found, String> {
        let fields: Fields = toml::from_str(fields).expect("fields");
        fields.read(Place { service, id: "a" }, value.as_bytes())
    }

    #[test]
    fn an_entry_is_read_by_pointers() {
        let value = r#"{"svc":"Orders","net":{"ip":"10.0.0.5","p":"8080","tls":"https"},"w":7,
            "l":["a",1],"m":{"k":true,"deep":{}},"state":"MAINTENANCE","name":"x"}"#;
        let fields = "service = '/svc'\nid = '/name'\nhost = '/net/ip'\nport = '/net/p'\n\
            scheme = '/net/tls'\nweight = '/w'\ntags = '/l'\nmetadata = '/m'\nstatus = '/state'";
        let found = read(fields, None, value).expect("an instance");
        assert_eq!(found.reported, Reported::OutOfService);
        let instance = found.instance;
        assert_eq!(instance.key().to_string(), "orders/x");
        assert_eq!(instance.origin.to_string(), "https://10.0.0.5:8080");
        assert_eq!((instance.weight.value(), instance.tags.len()), (7, 2));
        assert_eq!(
            instance.metadata.into_iter().collect::<Vec<_>>(),
            [("k".into(), "true".into())]
        );
    }

    #[test]
    fn an_address_is_a_url_a_pair_or_the_host_beside_a_port() {
        let origin = |fields: &str, value: &str| {
            read(fields, Some("s"), value).map(|found| found.instance.origin.to_string())
        };
        let expected = |text: &str| Ok(text.to_owned());
        assert_eq!(origin("", r#"{"address":"h:1"}"#), expected("http://h:1"));
        assert_eq!(origin("", r#"{"address":"https://h:1"}"#), expected("https://h:1"));
        assert_eq!(origin("", r#"{"address":"h:1","scheme":"https"}"#), expected("https://h:1"));
        assert_eq!(origin("", r#"{"address":"h","port":2}"#), expected("http://h:2"));
        assert_eq!(origin("", r#"{"address":"::1","port":2}"#), expected("http://[::1]:2"));
        assert_eq!(origin("address = ''", "h:1\n"), expected("http://h:1"));
        assert_eq!(origin("address = ''", "\"http://h:1\""), expected("http://h:1"));
        for bad in ["", "{", "{}", "[]", "null", "7", r#"{"address":"h"}"#, r#"{"port":1}"#] {
            assert!(origin("", bad).is_err(), "{bad}");
        }
        assert!(origin("", r#"{"address":"h:1","scheme":"ftp"}"#).is_err());
        assert!(read("", None, r#"{"address":"h:1"}"#).is_err(), "no service");
        assert!(toml::from_str::<Fields>("port = 'port'").is_err());
    }
}
