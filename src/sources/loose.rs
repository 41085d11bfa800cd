//! JSON whose writers do not agree on how a number or a truth is written, nor
//! on whether one of something is a list: read without an error, whatever it
//! is, so that one odd value does not make the rest unreadable.

use std::{collections::BTreeMap, fmt, marker::PhantomData, str::FromStr};

use serde::{
    Deserialize, Deserializer,
    de::{Error, IgnoredAny, MapAccess, SeqAccess, Visitor, value::MapAccessDeserializer},
};

/// A text, a number or a truth, as text; nothing if it is null or has an
/// inside.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Loose(Option<String>);

impl Loose {
    /// The text; empty if there is none.
    pub(crate) fn as_str(&self) -> &str {
        self.0.as_deref().unwrap_or_default()
    }

    /// The text, unless there is none or it is empty.
    pub(crate) fn text(&self) -> Option<&str> {
        self.0.as_deref().filter(|text| !text.is_empty())
    }

    /// The number.
    pub(crate) fn number<T: FromStr>(&self) -> Option<T> {
        self.text()?.parse().ok()
    }

    /// Whether it is true, or `"true"`.
    pub(crate) fn is_true(&self) -> bool {
        self.as_str().eq_ignore_ascii_case("true")
    }
}

impl<'de> Deserialize<'de> for Loose {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Any;
        impl<'de> Visitor<'de> for Any {
            type Value = Loose;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("anything")
            }
            fn visit_str<E>(self, text: &str) -> Result<Loose, E> {
                Ok(Loose(Some(text.to_owned())))
            }
            fn visit_string<E>(self, text: String) -> Result<Loose, E> {
                Ok(Loose(Some(text)))
            }
            fn visit_bool<E>(self, value: bool) -> Result<Loose, E> {
                Ok(Loose(Some(value.to_string())))
            }
            fn visit_i64<E>(self, value: i64) -> Result<Loose, E> {
                Ok(Loose(Some(value.to_string())))
            }
            fn visit_u64<E>(self, value: u64) -> Result<Loose, E> {
                Ok(Loose(Some(value.to_string())))
            }
            fn visit_f64<E>(self, value: f64) -> Result<Loose, E> {
                Ok(Loose(Some(value.to_string())))
            }
            fn visit_unit<E>(self) -> Result<Loose, E> {
                Ok(Loose(None))
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Loose, A::Error> {
                while seq.next_element::<IgnoredAny>()?.is_some() {}
                Ok(Loose(None))
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Loose, A::Error> {
                while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
                Ok(Loose(None))
            }
        }
        deserializer.deserialize_any(Any)
    }
}

/// A list, or one of it without the list; nothing if it is something else.
#[derive(Clone, Debug)]
pub(crate) struct List<T>(pub(crate) Vec<T>);

impl<T> Default for List<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for List<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Any<T>(PhantomData<T>);
        impl<'de, T: Deserialize<'de>> Visitor<'de> for Any<T> {
            type Value = List<T>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list, or one of it")
            }
            fn visit_unit<E: Error>(self) -> Result<List<T>, E> {
                Ok(List(Vec::new()))
            }
            fn visit_bool<E: Error>(self, _: bool) -> Result<List<T>, E> {
                self.visit_unit()
            }
            fn visit_u64<E: Error>(self, _: u64) -> Result<List<T>, E> {
                self.visit_unit()
            }
            fn visit_i64<E: Error>(self, _: i64) -> Result<List<T>, E> {
                self.visit_unit()
            }
            fn visit_f64<E: Error>(self, _: f64) -> Result<List<T>, E> {
                self.visit_unit()
            }
            fn visit_str<E: Error>(self, _: &str) -> Result<List<T>, E> {
                self.visit_unit()
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<List<T>, A::Error> {
                let mut all = Vec::new();
                while let Some(one) = seq.next_element()? {
                    all.push(one);
                }
                Ok(List(all))
            }
            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<List<T>, A::Error> {
                Ok(List(vec![T::deserialize(MapAccessDeserializer::new(map))?]))
            }
        }
        deserializer.deserialize_any(Any(PhantomData))
    }
}

/// What is wanted, or something else, which is not looked at.
#[derive(Clone, Debug, Deserialize)]
#[serde(untagged)]
pub(crate) enum Maybe<T> {
    Wanted(T),
    Other(IgnoredAny),
}

impl<T> Maybe<T> {
    /// What is wanted, if that is what it is.
    pub(crate) const fn wanted(&self) -> Option<&T> {
        match self {
            Self::Wanted(it) => Some(it),
            Self::Other(_) => None,
        }
    }
}

impl<T> Default for Maybe<T> {
    fn default() -> Self {
        Self::Other(IgnoredAny)
    }
}

/// Pairs, or nothing.
#[derive(Clone, Debug, Default)]
pub(crate) struct Pairs(BTreeMap<String, Loose>);

impl Pairs {
    /// What stands under `key`, unless it is empty.
    pub(crate) fn text(&self, key: &str) -> Option<&str> {
        self.0.get(key)?.text()
    }

    /// Those that have a text.
    pub(crate) fn to_map(&self) -> BTreeMap<String, String> {
        let texts = self.0.iter().filter_map(|(key, value)| Some((key, value.0.as_ref()?)));
        texts.map(|(key, value)| (key.clone(), value.clone())).collect()
    }
}

impl<'de> Deserialize<'de> for Pairs {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(Self(Option::deserialize(deserializer)?.unwrap_or_default()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Deserialize)]
    struct Odd {
        a: Loose,
        b: List<Loose>,
        c: Pairs,
        #[serde(default)]
        d: List<Maybe<Pairs>>,
    }

    fn read(json: &str) -> Odd {
        serde_json::from_str(json).expect(json)
    }

    #[test]
    fn whatever_stands_there_can_be_read() {
        let odd = read(r#"{"a": "8080", "b": ["x", 1, null, {"y": [1]}], "c": {"k": true}}"#);
        assert_eq!(odd.a.number(), Some(8080_u16));
        assert_eq!(odd.b.0.iter().map(Loose::as_str).collect::<Vec<_>>(), ["x", "1", "", ""]);
        assert_eq!(odd.c.text("k"), Some("true"));
        let odd = read(r#"{"a": [1, {}], "b": null, "c": null}"#);
        assert!(odd.a.text().is_none() && odd.b.0.is_empty() && odd.c.to_map().is_empty());
        let odd = read(r#"{"a": 1, "b": 1, "c": {}, "d": [1, {"k": "v"}, [{}], {"k": []}]}"#);
        let texts = odd.d.0.iter().map(|one| one.wanted().and_then(|pairs| pairs.text("k")));
        assert_eq!(texts.collect::<Vec<_>>(), [None, Some("v"), None, None]);
        assert!(read(r#"{"a": "TRUE", "b": {}, "c": {}}"#).a.is_true());
    }
}
