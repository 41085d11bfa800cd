//! What a value holds that this version does not know: a newer one has written
//! it, and loses it if it is left out of what is written in its place. Pure.

use serde::Serialize;
use serde_json::{Map, Value};

/// What `text` says and `read`, which was read of it, does not; none if that is
/// nothing.
pub(super) fn beside(read: &impl Serialize, text: &[u8]) -> Option<Value> {
    let known = serde_json::to_vec(read).ok()?;
    // As this version writes it.
    if known == text {
        return None;
    }
    let (known, all) = (serde_json::from_slice(&known).ok()?, serde_json::from_slice(text).ok()?);
    without(all, &known)
}

fn without(all: Value, known: &Value) -> Option<Value> {
    match (all, known) {
        (Value::Object(all), Value::Object(known)) => {
            let left = |(key, value): (String, Value)| match known.get(&key) {
                Some(known) => without(value, known).map(|value| (key, value)),
                None => Some((key, value)),
            };
            let left: Map<_, _> = all.into_iter().filter_map(left).collect();
            (!left.is_empty()).then_some(Value::Object(left))
        }
        (Value::Array(all), Value::Array(known)) if all.len() == known.len() => {
            let left = all.into_iter().zip(known).map(|(all, known)| without(all, known));
            let left: Vec<_> = left.map(Option::unwrap_or_default).collect();
            left.iter().any(|it| !it.is_null()).then_some(Value::Array(left))
        }
        _ => None,
    }
}

/// Puts `newer` back into `value`, which has a say in what it knows.
pub(super) fn fill(value: &mut Value, newer: &Value) {
    match (value, newer) {
        (Value::Object(value), Value::Object(newer)) => {
            for (key, newer) in newer {
                match value.get_mut(key) {
                    Some(value) => fill(value, newer),
                    None => drop(value.insert(key.clone(), newer.clone())),
                }
            }
        }
        (Value::Array(value), Value::Array(newer)) if value.len() == newer.len() => {
            value.iter_mut().zip(newer).for_each(|(value, newer)| fill(value, newer));
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_not_known_stays_where_it_was() {
        let all = json!({
            "v": 1, "more": 1, "deep": { "a": 1, "b": [2] }, "list": [{ "x": 1 }, { "y": 2 }],
        });
        let read = json!({ "v": 1, "deep": { "a": 1 }, "list": [{ "x": 1 }, {}] });
        let text = serde_json::to_vec(&all).expect("JSON");
        let newer = beside(&read, &text).expect("there is more");
        assert_eq!(newer, json!({ "more": 1, "deep": { "b": [2] }, "list": [null, { "y": 2 }] }));
        let mut back = json!({ "v": 1, "deep": { "a": 3 }, "list": [{ "x": 1 }, {}], "own": 1 });
        fill(&mut back, &newer);
        let expected = json!({
            "v": 1, "deep": { "a": 3, "b": [2] }, "list": [{ "x": 1 }, { "y": 2 }], "own": 1,
            "more": 1,
        });
        assert_eq!(back, expected);
        assert_eq!(beside(&all, &text), None);
        // The same in other words.
        assert_eq!(beside(&json!({ "v": 1 }), b"{ \"v\": 1 }"), None);
    }
}
