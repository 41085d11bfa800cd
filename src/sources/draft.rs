//! An instance as others describe it, before it is one of ours.
//!
//! What makes it reachable has to be right. What only goes with it is held to
//! what registrations are held to, and left out beyond that, since whoever
//! wrote it knows nothing of our bounds. Pure: the same text always becomes the
//! same name, whatever else there is.

use std::collections::BTreeMap;

use serde_json::Value;
use sha2::{Digest, Sha256};

use super::Found;
use crate::model::{
    HealthSettings, Instance, InstanceId, Origin, ParseNameError, Reported, Scheme, ServiceName,
    Weight,
};

/// Tags, and pairs of metadata, that are kept.
const MOST: usize = 64;

/// The longest word and the longest text that are kept, in bytes.
const WORD: usize = 128;
const TEXT: usize = 512;

/// What others say of an instance.
#[derive(Debug, Default)]
pub(crate) struct Draft {
    /// The service, as they call it.
    pub(crate) service: String,
    /// Its name within the service; its address is, if it has none.
    pub(crate) id: Option<String>,
    /// Its share of requests. 0 says that it wants none.
    pub(crate) weight: Option<i64>,
    pub(crate) zone: Option<String>,
    pub(crate) version: Option<String>,
    pub(crate) tags: Vec<String>,
    pub(crate) metadata: BTreeMap<String, String>,
    pub(crate) reported: Reported,
}

impl Draft {
    /// One of `service` that is called `id`.
    pub(crate) fn new(service: &str, id: Option<&str>) -> Self {
        Self { service: service.to_owned(), id: id.map(str::to_owned), ..Self::default() }
    }

    /// An instance that listens at `host` and `port`.
    pub(crate) fn at(self, scheme: Scheme, host: &str, port: i64) -> Result<Found, String> {
        if host.is_empty() {
            return Err("it has no address".to_owned());
        }
        if port == 0 {
            return Err("it has no port".to_owned());
        }
        let host = match host.contains(':') && !host.starts_with('[') {
            true => format!("[{host}]"),
            false => host.to_owned(),
        };
        let address = format!("{host}:{port}").parse();
        let address = address.map_err(|error| format!("{error}"))?;
        self.on(Origin { address, scheme })
    }

    /// An instance that listens at `origin`.
    pub(crate) fn on(self, origin: Origin) -> Result<Found, String> {
        let words = |error: ParseNameError| error.to_string();
        let service = service_name(&self.service).map_err(words)?;
        let address = origin.address.to_string().replace(['[', ']'], "");
        let id = self.id.as_deref().filter(|id| !id.is_empty()).unwrap_or(&address);
        let reported = match (self.weight, self.reported) {
            (Some(..=0), Reported::Up) => Reported::OutOfService,
            (_, reported) => reported,
        };
        let weight = self.weight.and_then(|weight| Weight::try_from(weight.min(1000)).ok());
        let fits = |text: &String, most| text.len() <= most && !text.contains(char::is_control);
        let is_word = |text: &String| !text.is_empty() && fits(text, WORD);
        let instance = Instance {
            service,
            id: instance_id(id).map_err(words)?,
            origin,
            weight: weight.unwrap_or_default(),
            zone: self.zone.filter(is_word),
            version: self.version.filter(is_word),
            tags: self.tags.into_iter().filter(is_word).take(MOST).collect(),
            metadata: (self.metadata.into_iter())
                .filter(|(key, value)| is_word(key) && fits(value, TEXT))
                .take(MOST)
                .collect(),
            ttl: None,
            health: HealthSettings::default(),
            foreign: None,
        };
        Ok(Found { instance, reported })
    }
}

/// The service that is called `text`: the same in lower case.
///
/// # Errors
///
/// When it has other characters than a name may have, or too many.
pub(crate) fn service_name(text: &str) -> Result<ServiceName, ParseNameError> {
    text.to_ascii_lowercase().parse()
}

/// The instance that is called `text`: the same, if it may be an id. If not,
/// what may not stand there becomes `_`, and eight digits of its SHA-256 keep
/// it apart from others.
///
/// # Errors
///
/// When it is empty.
pub(crate) fn instance_id(text: &str) -> Result<InstanceId, ParseNameError> {
    let error = match text.parse() {
        Ok(id) => return Ok(id),
        Err(error @ ParseNameError::Empty { .. }) => return Err(error),
        Err(error) => error,
    };
    let plain = |letter: char| match letter.is_ascii_alphanumeric() || "-_.:@".contains(letter) {
        true => letter,
        false => '_',
    };
    let shown: String = text.chars().take(WORD - 9).map(plain).collect();
    let sum = Sha256::digest(text.as_bytes());
    let sum: String = sum.iter().take(4).map(|byte| format!("{byte:02x}")).collect();
    format!("{shown}-{sum}").parse().map_err(|_| error)
}

/// A scalar as text.
pub(crate) fn text_of(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Bool(is) => Some(is.to_string()),
        _ => None,
    }
}

/// The pairs of an object whose values are words, without what Java adds to say
/// of which class something is.
pub(crate) fn words(value: Option<&Value>) -> BTreeMap<String, String> {
    let pairs = value.and_then(Value::as_object).into_iter().flatten();
    pairs
        .filter(|(key, _)| *key != "@class")
        .filter_map(|(key, value)| Some((key.clone(), text_of(value)?)))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_others_become_names_of_ours() {
        let found = Draft::new("Hello-Service", Some("host:8080/a b")).at(Scheme::Http, "::1", 80);
        let instance = found.expect("an instance").instance;
        assert_eq!(instance.service.as_str(), "hello-service");
        assert!(instance.id.as_str().starts_with("host:8080_a_b-"));
        assert_eq!(instance.origin.to_string(), "http://[::1]:80");
        let other = Draft::new("a", Some("host:8080 a/b")).at(Scheme::Http, "::1", 80);
        assert_ne!(other.expect("an instance").instance.id, instance.id);
        let long = Draft::new("a", Some(&"é".repeat(500))).at(Scheme::Http, "h", 80);
        assert!(long.is_ok());
        let unnamed = Draft::new("a", None).at(Scheme::Http, "fe80::1", 80).expect("an instance");
        assert_eq!(unnamed.instance.id.as_str(), "fe80::1:80");
        for (host, port) in [("", 80), ("a b", 80), ("a", 0), ("a", -1), ("a", 65_536), ("a/", 1)] {
            assert!(Draft::new("a", None).at(Scheme::Http, host, port).is_err(), "{host}:{port}");
        }
        assert!(Draft::new("a/b", None).at(Scheme::Http, "h", 80).is_err());
        assert!(service_name("a b").is_err() && service_name("").is_err());
        assert_eq!(instance_id("host:orders:80").expect("an id").as_str(), "host:orders:80");
        let long = ["x".repeat(300), "x".repeat(301)].map(|text| instance_id(&text).expect("one"));
        assert_ne!(long[0], long[1]);
        assert!(instance_id("").is_err() && instance_id("..").is_ok());
    }

    #[test]
    fn what_only_goes_with_an_instance_is_cut_and_not_refused() {
        let draft = Draft {
            weight: Some(5000),
            zone: Some("z".repeat(200)),
            version: Some("1\u{7}".to_owned()),
            tags: vec!["t".to_owned(); 100],
            metadata: (0..100).map(|n| (format!("{n:03}"), "x".repeat(n * 10))).collect(),
            ..Draft::new("a", None)
        };
        let found = draft.at(Scheme::Https, "h", 443).expect("an instance");
        assert_eq!(found.instance.weight.value(), 1000);
        assert_eq!((found.instance.zone, found.instance.version), (None, None));
        assert_eq!(found.instance.tags.len(), 64);
        assert_eq!(found.instance.metadata.len(), 52);
        let none = Draft { weight: Some(0), ..Draft::new("a", None) }.at(Scheme::Http, "h", 1);
        assert_eq!(none.expect("an instance").reported, Reported::OutOfService);
    }
}
