//! The reference page of `proxy.toml`, made from the schema: every key with
//! its type, its default and what its struct says about it.

use std::fmt::Write;

use serde_json::Value;

use super::{
    schema::{self, Shape, kinds, words},
    suggest::Table,
    wrong_type::noun,
};

const INTRODUCTION: &str = "\
# proxy.toml

Every key that `proxy.toml` can have. This page is made from the program; a test holds it.
`portolan config schema` prints the same as a JSON schema, from which editors complete.

- A duration is text with its unit: `\"500ms\"`, `\"5s\"`, `\"1m 30s\"`. A size too: `\"512B\"`, `\"64KiB\"`, `\"1MiB\"`.
- In text, `${NAME}` stands for an environment variable, `${NAME:-value}` for one with a value in case it is not set, and `${file:PATH}` for what a file holds, less a line break at its end. Relative paths begin at the folder of `proxy.toml`. `$${` stands for `${`. What is put in this way is never shown in a diagnostic.
- An unknown key is an error. `portolan check` reports every error at once; [diagnostics](diagnostics.md) explains them.
";

/// The page, in Markdown.
#[must_use]
pub fn reference() -> String {
    let mut page = INTRODUCTION.to_owned();
    table(&mut page, schema::root(), &Table::Root, "Top level");
    page
}

/// Prints the keys of one table, then the tables below it.
fn table(page: &mut String, node: &Value, header: &Table, description: &str) {
    if let Shape::Kinds(choices) = Shape::of(node) {
        return kinds_of(page, choices, header, description);
    }
    let Shape::Table { keys, required } = Shape::of(node) else { return };
    let title = match header {
        Table::Root => "Top level".to_owned(),
        Table::One(_) | Table::List(_) => format!("`{header}`"),
    };
    let level = title.replace(".NAME", "").matches('.').count().min(1) + 2;
    // Writing to a String cannot fail.
    let _ = write!(page, "\n{} {title}\n", "#".repeat(level));
    if !matches!(header, Table::Root) {
        let _ = write!(page, "\n{}\n", one_line(description));
    }
    let mut below = Vec::new();
    let mut rows = String::new();
    for (key, node) in keys {
        let path = header.path(key);
        let described = node["description"].as_str().unwrap_or_default();
        match (Shape::of(node), section(node)) {
            (Shape::List { items }, Some(_)) => below.push((Table::List(path), items, described)),
            (Shape::Map { values, .. }, Some(_)) => {
                below.push((Table::One(format!("{path}.NAME")), values, described));
            }
            (_, Some(node)) => below.push((Table::One(path), node, described)),
            (_, None) => {
                rows.push_str(&row(key, node, required.iter().any(|name| name == key)));
            }
        }
    }
    if !rows.is_empty() {
        page.push_str("\n| key | type | default | |\n| --- | --- | --- | --- |\n");
        page.push_str(&rows);
    }
    for (header, node, description) in below {
        // Both hold the same settings; once is enough.
        if header.to_string() == "[defaults]" {
            let _ = write!(
                page,
                "\n## `{header}`\n\n{} Has the keys of `[service.NAME]`, less `endpoints`, and the \
                 tables below it; a service overrides them value by value.\n",
                one_line(description)
            );
        } else {
            table(page, node, &header, description);
        }
    }
}

/// The line of one key.
fn row(key: &str, node: &Value, is_required: bool) -> String {
    let described = node["description"].as_str().unwrap_or_default();
    let shape = Shape::of(node);
    let default = if is_required { "required".into() } else { default(node, described) };
    let text = format!("{}{}", one_line(described), choices(shape));
    format!("| `{key}` | {} | {default} | {text} |\n", kind(shape))
}

/// Prints the keys that all kinds of a table have, then those of each kind.
fn kinds_of(page: &mut String, choices: &[Value], header: &Table, description: &str) {
    let _ = write!(page, "\n## `{header}`\n\n{}\n", one_line(description));
    let Some((_, first)) = kinds(choices).next() else { return };
    let has = |node: &Value, key: &str| node["properties"][key] == first["properties"][key];
    let is_common = |key: &str| kinds(choices).all(|(_, node)| has(node, key)) || key == "kind";
    let rows = |page: &mut String, node: &Value, wanted: &dyn Fn(&str) -> bool| {
        page.push_str("\n| key | type | default | |\n| --- | --- | --- | --- |\n");
        let Shape::Table { keys, required } = Shape::of(node) else { return };
        for (key, node) in keys.iter().filter(|(key, _)| wanted(key)) {
            let is_required = required.iter().any(|name| name == key);
            page.push_str(&row(key, node, is_required));
        }
    };
    // With one kind there is nothing that it has in common with others.
    let is_common = |key: &str| choices.len() > 1 && is_common(key);
    if choices.len() > 1 {
        rows(page, first, &is_common);
    }
    for (word, node) in kinds(choices) {
        let described = node["description"].as_str().unwrap_or_default();
        let _ = write!(page, "\n### `{header}` with `kind = \"{word}\"`\n\n{described}\n");
        rows(page, node, &|key| !is_common(key));
    }
}

/// The table that `node` is, or holds several of.
fn section(node: &Value) -> Option<&Value> {
    let inner = match Shape::of(node) {
        Shape::Table { .. } | Shape::Kinds(_) => node,
        Shape::List { items } => items,
        Shape::Map { values, .. } => values,
        _ => return None,
    };
    matches!(Shape::of(inner), Shape::Table { .. } | Shape::Kinds(_)).then_some(inner)
}

fn kind(shape: Shape<'_>) -> String {
    let without_article = |noun: String| {
        let bare = noun.strip_prefix("a ").or_else(|| noun.strip_prefix("an "));
        bare.map_or(noun.clone(), str::to_owned)
    };
    match shape {
        Shape::List { items } => format!("list of: {}", kind(Shape::of(items))),
        Shape::OneOrMany { item } => format!("{} or list", kind(Shape::of(item))),
        Shape::Map { names, values } => {
            let names = names.map_or("text", |names| names.noun());
            format!("table from {names} to {}", noun(Shape::of(values)))
        }
        Shape::Words(choices) => {
            let known: Vec<_> = words(choices).map(|word| format!("`\"{word}\"`")).collect();
            known.join(", ")
        }
        Shape::Numbers(choices) => {
            let known: Vec<_> = choices.iter().map(|number| format!("`{number}`")).collect();
            known.join(", ")
        }
        Shape::Integer { minimum, maximum } if maximum < u32::MAX.into() => {
            format!("whole number, {minimum} to {maximum}")
        }
        Shape::Integer { minimum, .. } => format!("whole number, {minimum} or more"),
        other => without_article(noun(other)),
    }
}

/// What each of the words means, if the schema says so.
fn choices(shape: Shape<'_>) -> String {
    let Shape::Words(choices) = shape else { return String::new() };
    choices
        .iter()
        .filter_map(|choice| {
            let (word, text) = (choice["const"].as_str()?, choice["description"].as_str()?);
            Some(format!("<br>`\"{word}\"`: {}", one_line(text)))
        })
        .collect()
}

/// As it would be written in the file. What a service leaves open is decided
/// elsewhere, so its default stands only in the description, after "Default".
fn default(node: &Value, description: &str) -> String {
    let own = if node["default"].is_null() { schema::resolve(node) } else { node };
    match &own["default"] {
        Value::Null => {}
        value => return format!("`{value}`"),
    }
    let description = one_line(description);
    let Some((_, rest)) = description.split_once("Default") else { return String::new() };
    let rest = rest.trim_start_matches(':').trim_start();
    let end = rest.find([';', '.']).unwrap_or(rest.len());
    let said = &rest[..end];
    match Shape::of(node) {
        _ if said.contains(' ') => said.to_owned(),
        Shape::Text(Some(_)) | Shape::Words(_) => format!("`\"{}\"`", said.trim_matches('`')),
        Shape::Integer { .. } | Shape::Boolean => format!("`{said}`"),
        _ => said.to_owned(),
    }
}

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ").replace('|', "\\|")
}
