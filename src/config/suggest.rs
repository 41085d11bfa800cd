//! "Did you mean": the known word that a misspelt one stands for.

use serde_json::Value;

use super::schema::{self, Shape};

/// What other proxies call our keys; only for suggestions.
const ELSEWHERE: [(&str, &str); 14] = [
    ("backend", "service"),
    ("bind", "address"),
    ("endpoint", "endpoints"),
    ("hostname", "host"),
    ("lb_policy", "balance"),
    ("listen", "address"),
    ("load_balancing", "balance"),
    ("location", "path"),
    ("policy", "balance"),
    ("prefix", "path"),
    ("server", "listener"),
    ("upstream", "service"),
    ("url", "to"),
    ("verb", "method"),
];

/// The candidate that `word` is most likely a slip of, if any is near.
pub(super) fn nearest<'c>(
    word: &str,
    candidates: impl IntoIterator<Item = &'c str>,
) -> Option<&'c str> {
    let word = word.to_lowercase();
    let near = (word.chars().count() / 3).clamp(1, 3);
    candidates
        .into_iter()
        .map(|candidate| (strsim::osa_distance(&word, candidate), candidate))
        .filter(|(distance, candidate)| *distance <= near && *distance < candidate.len())
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// Help for a `key` that the table with these `keys` does not have.
pub(super) fn for_key<'k>(key: &str, keys: impl Iterator<Item = &'k str> + Clone) -> String {
    let synonym = ELSEWHERE.iter().find(|(other, _)| *other == key).map(|(_, ours)| *ours);
    let synonym = synonym.filter(|ours| keys.clone().any(|known| known == *ours));
    if let Some(known) = nearest(key, keys.clone()).or(synonym) {
        return format!("did you mean `{known}`?");
    }
    let mut tables = Vec::new();
    tables_with(key, schema::root(), &Table::Root, &mut tables);
    if (1..=3).contains(&tables.len()) {
        return format!("`{key}` is a key of {}", tables.join(" and "));
    }
    let known: Vec<_> = keys.map(|key| format!("`{key}`")).collect();
    format!("known are {}", known.join(", "))
}

/// A table of the file, by the header that begins it.
#[derive(Clone, Debug)]
pub(super) enum Table {
    Root,
    One(String),
    List(String),
}

impl Table {
    /// The path of `key` in this table.
    pub(super) fn path(&self, key: &str) -> String {
        let bare = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
        let plain = !key.is_empty() && key.bytes().all(bare);
        let key = if plain { key.to_owned() } else { format!("{key:?}") };
        match self {
            Self::Root => key,
            Self::One(path) | Self::List(path) => format!("{path}.{key}"),
        }
    }
}

impl std::fmt::Display for Table {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Root => f.write_str("the top level"),
            Self::One(path) => write!(f, "[{path}]"),
            Self::List(path) => write!(f, "[[{path}]]"),
        }
    }
}

/// Adds the tables at or below `node` that have `key`.
fn tables_with(key: &str, node: &Value, table: &Table, found: &mut Vec<String>) {
    let keys = match Shape::of(node) {
        Shape::Table { keys, .. } => keys,
        Shape::Kinds(choices) => {
            // Once is enough for those that several kinds have.
            let mut having = schema::kinds(choices);
            if having.any(|(_, kind)| kind["properties"][key].is_object()) {
                found.push(table.to_string());
            }
            return;
        }
        _ => return,
    };
    if keys.contains_key(key) {
        found.push(table.to_string());
    }
    for (name, node) in keys {
        let path = table.path(name);
        match Shape::of(node) {
            Shape::List { items } => tables_with(key, items, &Table::List(path), found),
            Shape::Map { values, .. } => {
                tables_with(key, values, &Table::One(format!("{path}.NAME")), found);
            }
            _ => tables_with(key, node, &Table::One(path), found),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slips_are_recognised_and_other_words_are_not() {
        let keys = ["address", "max_connections", "host", "to"];
        assert_eq!(nearest("max_conections", keys), Some("max_connections"));
        assert_eq!(nearest("adress", keys), Some("address"));
        assert_eq!(nearest("Host", keys), Some("host"));
        assert_eq!(nearest("hsot", keys), Some("host"));
        assert_eq!(nearest("port", keys), None);
        assert_eq!(nearest("x", keys), None);
        assert_eq!(nearest("", keys), None);
    }

    #[test]
    fn a_key_of_another_table_is_pointed_to() {
        let help = |key| for_key(key, ["interval"].into_iter());
        assert_eq!(help("strip_prefix"), "`strip_prefix` is a key of [[route]]");
        assert_eq!(help("quux"), "known are `interval`");
        assert_eq!(for_key("listen", ["address"].into_iter()), "did you mean `address`?");
    }
}
