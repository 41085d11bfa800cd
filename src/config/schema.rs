//! The JSON schema of `proxy.toml`, and how the checks read it.
//!
//! The schema is derived from [`Config`], so each key, its type and the format
//! of its text are written down once, at the struct that holds them. Checks
//! and the reference page walk the same schema that editors complete from.

use std::sync::LazyLock;

use serde_json::{Map, Value};

use super::{Config, format::Format};

static SCHEMA: LazyLock<Value> = LazyLock::new(|| {
    let mut schema = schemars::schema_for!(Config).to_value();
    schema["title"] = "proxy.toml".into();
    schema
});

/// The JSON schema (draft 2020-12) of `proxy.toml`.
#[must_use]
pub fn schema() -> Value {
    SCHEMA.clone()
}

/// The schema of the file as a whole.
pub(super) fn root() -> &'static Value {
    &SCHEMA
}

/// What a value may be: the few forms that occur in our schema.
#[derive(Clone, Copy, Debug)]
pub(super) enum Shape<'s> {
    /// A table with these keys and no others.
    Table { keys: &'s Map<String, Value>, required: &'s [Value] },
    /// A table with any keys, of a format, and values of one kind.
    Map { names: Option<Format>, values: &'s Value },
    /// A table of one of several kinds; which one, its key `kind` says.
    Kinds(&'s [Value]),
    /// A list.
    List { items: &'s Value },
    /// One value, or a list of such.
    OneOrMany { item: &'s Value },
    /// Text.
    Text(Option<Format>),
    /// One of a few words.
    Words(&'s [Value]),
    /// A whole number within bounds.
    Integer { minimum: i128, maximum: i128 },
    /// One of a few numbers.
    Numbers(&'s [Value]),
    /// True or false.
    Boolean,
    /// None of these: a gap in this list, which a test looks for.
    Unknown,
}

impl<'s> Shape<'s> {
    pub(super) fn of(node: &'s Value) -> Self {
        let node = resolve(node);
        if let Some(choices) = node["oneOf"].as_array() {
            let is_table = choices.iter().all(|choice| choice["properties"].is_object());
            return if is_table { Self::Kinds(choices) } else { Self::Words(choices) };
        }
        if let Some(choices) = node["anyOf"].as_array() {
            let item = choices.iter().find(|choice| resolve(choice)["type"] != "array");
            return item.map_or(Self::Unknown, |item| Self::OneOrMany { item });
        }
        if let Some(numbers) = node["enum"].as_array() {
            return Self::Numbers(numbers);
        }
        match type_of(node) {
            Some("object") => match node["properties"].as_object() {
                Some(keys) if node["additionalProperties"] == false => {
                    let required = node["required"].as_array().map_or(&[][..], Vec::as_slice);
                    Self::Table { keys, required }
                }
                None if node["additionalProperties"].is_object() => Self::Map {
                    names: node["propertyNames"]["format"].as_str().and_then(Format::find),
                    values: &node["additionalProperties"],
                },
                _ => Self::Unknown,
            },
            Some("array") => Self::List { items: &node["items"] },
            Some("string") => match node["format"].as_str() {
                None => Self::Text(None),
                Some(name) => {
                    Format::find(name).map_or(Self::Unknown, |format| Self::Text(Some(format)))
                }
            },
            Some("integer") => integer(node),
            Some("boolean") => Self::Boolean,
            _ => Self::Unknown,
        }
    }
}

fn integer(node: &Value) -> Shape<'_> {
    let limits = match node["format"].as_str() {
        Some("uint8") => (0, u8::MAX.into()),
        Some("uint16") => (0, u16::MAX.into()),
        Some("uint32") => (0, u32::MAX.into()),
        Some("uint64" | "uint") => (0, i64::MAX.into()),
        Some(_) => return Shape::Unknown,
        None => (i64::MIN.into(), i64::MAX.into()),
    };
    let bound = |key: &str, default| node[key].as_i64().map_or(default, i128::from);
    Shape::Integer { minimum: bound("minimum", limits.0), maximum: bound("maximum", limits.1) }
}

/// Follows references, and takes `null` out of what may be absent: TOML has no
/// null.
pub(super) fn resolve(node: &Value) -> &Value {
    let mut node = node;
    loop {
        if let Some(name) = node["$ref"].as_str() {
            node = &SCHEMA["$defs"][name.trim_start_matches("#/$defs/")];
            continue;
        }
        match node["anyOf"].as_array().map(Vec::as_slice) {
            Some([value, null] | [null, value]) if null["type"] == "null" => node = value,
            _ => return node,
        }
    }
}

fn type_of(node: &Value) -> Option<&str> {
    match &node["type"] {
        Value::String(name) => Some(name),
        Value::Array(names) => names.iter().filter_map(Value::as_str).find(|name| *name != "null"),
        _ => None,
    }
}

/// The kinds of [`Shape::Kinds`], by the words for them.
pub(super) fn kinds(choices: &[Value]) -> impl Iterator<Item = (&str, &Value)> + Clone {
    choices
        .iter()
        .filter_map(|choice| Some((choice["properties"]["kind"]["const"].as_str()?, choice)))
}

/// The words of [`Shape::Words`].
pub(super) fn words(choices: &[Value]) -> impl Iterator<Item = &str> + Clone {
    choices.iter().filter_map(|choice| choice["const"].as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn walk(node: &Value, path: &str) {
        let below = |key: &str| format!("{path}.{key}");
        match Shape::of(node) {
            Shape::Unknown => panic!("{path}: the checks cannot read {}", resolve(node)),
            Shape::Table { keys, .. } => {
                keys.iter().for_each(|(key, node)| {
                    assert!(node["description"].is_string(), "{path}.{key} is not described");
                    walk(node, &below(key));
                });
            }
            Shape::Map { names, values } => {
                assert!(names.is_some(), "{path}: the names have no format");
                walk(values, &below("*"));
            }
            Shape::Kinds(choices) => {
                assert_eq!(kinds(choices).count(), choices.len(), "{path}");
                kinds(choices).for_each(|(word, node)| walk(node, &below(word)));
            }
            Shape::List { items } => walk(items, &below("[]")),
            Shape::OneOrMany { item } => walk(item, &below("[]")),
            Shape::Words(choices) => assert_eq!(words(choices).count(), choices.len(), "{path}"),
            Shape::Numbers(choices) => assert!(choices.iter().all(Value::is_i64), "{path}"),
            Shape::Text(_) | Shape::Integer { .. } | Shape::Boolean => {}
        }
    }

    #[test]
    fn the_checks_can_read_all_of_the_schema() {
        walk(root(), "");
        assert_eq!(schema()["$schema"], "https://json-schema.org/draft/2020-12/schema");
    }

    #[test]
    fn every_format_that_is_named_is_known_and_the_other_way_round() {
        let mut seen = Vec::new();
        collect(root(), &mut seen);
        for name in &seen {
            assert!(Format::find(name).is_some() || name.starts_with("uint"), "{name}");
        }
        for format in Format::ALL {
            assert!(seen.iter().any(|name| Format::find(name) == Some(format)), "{format:?}");
        }
    }

    fn collect(node: &Value, seen: &mut Vec<String>) {
        match node {
            Value::Object(map) => {
                seen.extend(map.get("format").and_then(Value::as_str).map(str::to_owned));
                let inner = map.iter().filter(|(key, _)| *key != "default");
                inner.for_each(|(_, node)| collect(node, seen));
            }
            Value::Array(items) => items.iter().for_each(|node| collect(node, seen)),
            _ => {}
        }
    }
}
