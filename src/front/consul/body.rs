//! A JSON object whose keys are read as Go reads them: in any case, and with
//! or without underscores, which is how clients in other languages write them.
//! Pure.

use std::{collections::BTreeMap, time::Duration};

use serde_json::{Map, Value};

use super::duration;
use crate::front::refusal::Refusal;

/// An object.
#[derive(Clone, Debug, Default)]
pub(super) struct Body(Vec<(String, Value)>);

fn refused(why: impl std::fmt::Display) -> Refusal {
    Refusal::bad(format!("Request decode failed: {why}"))
}

fn plain(key: &str) -> String {
    key.chars().filter(|char| *char != '_').map(|char| char.to_ascii_lowercase()).collect()
}

impl Body {
    /// Reads the body of a request.
    ///
    /// # Errors
    ///
    /// When it is not an object.
    pub(super) fn read(body: &[u8]) -> Result<Self, Refusal> {
        let value = serde_json::from_slice(body).map_err(refused)?;
        match value {
            Value::Object(map) => Ok(Self::of(map)),
            _ => Err(refused("the body is not an object")),
        }
    }

    fn of(map: Map<String, Value>) -> Self {
        Self(map.into_iter().map(|(key, value)| (plain(&key), value)).collect())
    }

    /// What stands under `key`, written in lower case; null as if it were not
    /// there. Of several that are the same here, the last one.
    fn value(&self, key: &str) -> Option<&Value> {
        let found = self.0.iter().rev().find(|(known, _)| known == key);
        found.map(|(_, value)| value).filter(|value| !value.is_null())
    }

    /// Whether anything is said under `key`.
    pub(super) fn says(&self, key: &str) -> bool {
        match self.value(key) {
            None | Some(Value::Bool(false)) => false,
            Some(Value::String(text)) => !text.is_empty(),
            Some(Value::Array(list)) => !list.is_empty(),
            Some(Value::Object(map)) => !map.is_empty(),
            Some(_) => true,
        }
    }

    /// A text; empty if there is none.
    pub(super) fn text(&self, key: &str) -> Result<&str, Refusal> {
        match self.value(key) {
            None => Ok(""),
            Some(Value::String(text)) => Ok(text),
            Some(_) => Err(refused(format!("{key} is not a text"))),
        }
    }

    /// A whole number.
    pub(super) fn number(&self, key: &str) -> Result<Option<i64>, Refusal> {
        match self.value(key) {
            None => Ok(None),
            Some(value) => {
                // Clients in Python pass on what they read as a text.
                let number = value.as_i64().or_else(|| value.as_str()?.parse().ok());
                number.map(Some).ok_or_else(|| refused(format!("{key} is not a whole number")))
            }
        }
    }

    /// A truth.
    pub(super) fn truth(&self, key: &str) -> Result<bool, Refusal> {
        match self.value(key) {
            None => Ok(false),
            Some(Value::Bool(truth)) => Ok(*truth),
            Some(_) => Err(refused(format!("{key} is not true or false"))),
        }
    }

    /// A duration; none if it is not there, empty or zero.
    pub(super) fn duration(&self, key: &str) -> Result<Option<Duration>, Refusal> {
        let duration = match self.value(key) {
            None => None,
            Some(Value::String(text)) if text.is_empty() => None,
            Some(Value::String(text)) => {
                let read = duration::parse(text);
                Some(read.ok_or_else(|| refused(format!("{key}: {text:?} is not a duration")))?)
            }
            Some(value) => {
                let nanos = value.as_u64().or_else(|| {
                    value.as_f64().filter(|nanos| (0.0..1e18).contains(nanos)).map(|it| it as u64)
                });
                Some(Duration::from_nanos(
                    nanos.ok_or_else(|| refused(format!("{key} is not a duration")))?,
                ))
            }
        };
        Ok(duration.filter(|duration| !duration.is_zero()))
    }

    /// A list of texts.
    pub(super) fn texts(&self, key: &str) -> Result<Vec<String>, Refusal> {
        let not = || refused(format!("{key} is not a list of texts"));
        match self.value(key) {
            None => Ok(Vec::new()),
            Some(Value::Array(list)) => {
                list.iter().map(|item| item.as_str().map(str::to_owned).ok_or_else(not)).collect()
            }
            Some(_) => Err(not()),
        }
    }

    /// Pairs of texts, their keys as they are.
    pub(super) fn pairs(&self, key: &str) -> Result<BTreeMap<String, String>, Refusal> {
        let not = || refused(format!("{key} is not an object of texts"));
        match self.value(key) {
            None => Ok(BTreeMap::new()),
            Some(Value::Object(map)) => {
                let pair = |(key, value): (&String, &Value)| {
                    Some((key.clone(), value.as_str()?.to_owned()))
                };
                map.iter().map(|item| pair(item).ok_or_else(not)).collect()
            }
            Some(_) => Err(not()),
        }
    }

    /// Pairs of a text and a list of texts, or one; their keys as they are.
    pub(super) fn lists(&self, key: &str) -> Result<BTreeMap<String, Vec<String>>, Refusal> {
        let not = || refused(format!("{key} is not an object of lists of texts"));
        let texts = |value: &Value| match value {
            Value::String(text) => Some(vec![text.clone()]),
            Value::Array(list) => list.iter().map(|item| Some(item.as_str()?.to_owned())).collect(),
            _ => None,
        };
        match self.value(key) {
            None => Ok(BTreeMap::new()),
            Some(Value::Object(map)) => {
                let pair = |(key, value)| Some((String::clone(key), texts(value)?));
                map.iter().map(|item| pair(item).ok_or_else(not)).collect()
            }
            Some(_) => Err(not()),
        }
    }

    /// An object.
    pub(super) fn object(&self, key: &str) -> Result<Option<Self>, Refusal> {
        match self.value(key) {
            None => Ok(None),
            Some(Value::Object(map)) => Ok(Some(Self::of(map.clone()))),
            Some(_) => Err(refused(format!("{key} is not an object"))),
        }
    }

    /// An object as it is; null if there is none.
    pub(super) fn as_it_is(&self, key: &str) -> Value {
        self.value(key).filter(|value| value.is_object()).cloned().unwrap_or_default()
    }

    /// A list of objects.
    pub(super) fn objects(&self, key: &str) -> Result<Vec<Self>, Refusal> {
        let not = || refused(format!("{key} is not a list of objects"));
        match self.value(key) {
            None => Ok(Vec::new()),
            Some(Value::Array(list)) => {
                let object = |item: &Value| Some(Self::of(item.as_object()?.clone()));
                list.iter().map(|item| object(item).ok_or_else(not)).collect()
            }
            Some(_) => Err(not()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_read_in_any_spelling() {
        let body = br#"{"EnableTagOverride": true, "deregister_critical_service_after": "1m",
            "ID": "a", "TAGS": ["x"], "Meta": {"Some_Key": "v"}, "ttl": 5000000000, "port": "80",
            "Check": null, "Checks": [{"TTL": "10s"}]}"#;
        let body = Body::read(body).expect("an object");
        assert_eq!(body.truth("enabletagoverride"), Ok(true));
        let minute = Some(Duration::from_secs(60));
        assert_eq!(body.duration("deregistercriticalserviceafter"), Ok(minute));
        assert_eq!((body.text("id"), body.text("name")), (Ok("a"), Ok("")));
        assert_eq!(body.texts("tags"), Ok(vec!["x".to_owned()]));
        assert_eq!(body.pairs("meta").expect("pairs")["Some_Key"], "v");
        assert_eq!(body.duration("ttl"), Ok(Some(Duration::from_secs(5))));
        assert_eq!(body.number("port"), Ok(Some(80)));
        assert!(!body.says("check") && body.object("check").expect("null").is_none());
        assert_eq!(body.objects("checks").expect("a list").len(), 1);
    }

    #[test]
    fn what_is_something_else_is_refused() {
        let body = Body::read(br#"{"a": 1, "b": "x", "c": [1], "d": {"e": 1}, "f": -5}"#);
        let body = body.expect("an object");
        assert!(body.text("a").is_err() && body.number("b").is_err() && body.truth("a").is_err());
        assert!(body.texts("c").is_err() && body.pairs("d").is_err() && body.objects("c").is_err());
        assert!(body.duration("b").is_err() && body.duration("f").is_err());
        for bad in ["", "[]", "{", "1", "null"] {
            let refusal = Body::read(bad.as_bytes()).expect_err(bad);
            assert!(refusal.text.starts_with("Request decode failed: "), "{refusal:?}");
        }
    }
}
