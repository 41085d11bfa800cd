//! XML as Eureka's clients write and read it, from and to the JSON that says
//! the same: an attribute is `@name`, text beside attributes is `$`.

use std::fmt::Write;

use quick_xml::{
    Reader, XmlVersion,
    events::{BytesStart, Event},
};
use serde_json::{Map, Value};

/// Elements within elements, at most.
const DEPTH: usize = 16;

/// An element that is open.
struct Open {
    name: String,
    inside: Map<String, Value>,
    text: String,
}

impl Open {
    fn of(start: &BytesStart<'_>) -> Result<Self, String> {
        let mut inside = Map::new();
        for attribute in start.attributes() {
            let attribute = attribute.map_err(|error| error.to_string())?;
            let value = attribute.normalized_value(XmlVersion::Implicit1_0);
            let value = value.map_err(|error| error.to_string())?;
            let name = attribute.key.as_ref();
            inside.insert(format!("@{}", lossy(name)), value.into_owned().into());
        }
        Ok(Self { name: lossy(start.name().as_ref()), inside, text: String::new() })
    }

    fn value(mut self) -> Value {
        let text = self.text.trim();
        if self.inside.is_empty() {
            return text.into();
        }
        if !text.is_empty() {
            self.inside.insert("$".to_owned(), text.into());
        }
        Value::Object(self.inside)
    }
}

fn lossy(name: impl AsRef<[u8]>) -> String {
    String::from_utf8_lossy(name.as_ref()).into_owned()
}

/// The name of the root element, and what is in it.
///
/// # Errors
///
/// Says why it is not a document, in words for a person.
pub(super) fn parse(text: &str) -> Result<(String, Value), String> {
    let mut reader = Reader::from_str(text);
    let mut open: Vec<Open> = Vec::new();
    loop {
        let event = reader.read_event().map_err(|error| error.to_string())?;
        let closed = match event {
            Event::Start(start) => {
                if open.len() == DEPTH {
                    return Err(format!("more than {DEPTH} elements within each other"));
                }
                open.push(Open::of(&start)?);
                continue;
            }
            Event::Empty(start) => Open::of(&start)?,
            Event::End(_) => open.pop().ok_or("an element ends that has not begun")?,
            Event::Text(text) => {
                if let Some(inner) = open.last_mut() {
                    inner.text.push_str(&text.xml10_content());
                }
                continue;
            }
            Event::CData(text) => {
                if let Some(inner) = open.last_mut() {
                    inner.text.push_str(&text.xml10_content());
                }
                continue;
            }
            Event::GeneralRef(reference) => {
                let known = match reference.resolve_char_ref().map_err(|error| error.to_string())? {
                    Some(char) => char.to_string(),
                    None => {
                        let name = reference.xml10_content();
                        let known = quick_xml::escape::resolve_predefined_entity(&name);
                        known.ok_or("an entity that is not defined")?.to_owned()
                    }
                };
                if let Some(inner) = open.last_mut() {
                    inner.text.push_str(&known);
                }
                continue;
            }
            Event::DocType(_) => return Err("a document type is not taken".to_owned()),
            Event::Eof => return Err("it ends early".to_owned()),
            Event::Decl(_) | Event::PI(_) | Event::Comment(_) => continue,
        };
        let name = closed.name.clone();
        let value = closed.value();
        match open.last_mut() {
            None => return Ok((name, value)),
            Some(parent) => add(&mut parent.inside, name, value),
        }
    }
}

/// A second one of a name makes a list of both.
fn add(parent: &mut Map<String, Value>, name: String, value: Value) {
    match parent.get_mut(&name) {
        None => {
            parent.insert(name, value);
        }
        Some(Value::Array(list)) => list.push(value),
        Some(one) => *one = Value::Array(vec![one.take(), value]),
    }
}

/// `value` as the content of an element called `name`.
pub(super) fn element(out: &mut String, name: &str, value: &Value) {
    if !is_name(name) {
        return;
    }
    match value {
        Value::Null => {}
        Value::Array(items) => items.iter().for_each(|item| element(out, name, item)),
        Value::Object(inside) => {
            let _ = write!(out, "<{name}");
            for (key, value) in inside {
                if let Some(attribute) = key.strip_prefix('@').filter(|name| is_name(name)) {
                    let _ = write!(out, " {attribute}=\"{}\"", escaped(&plain(value)));
                }
            }
            out.push('>');
            for (key, value) in inside {
                match key.as_str() {
                    "$" => out.push_str(&escaped(&plain(value))),
                    key if key.starts_with('@') => {}
                    key => element(out, key, value),
                }
            }
            let _ = write!(out, "</{name}>");
        }
        value => {
            let _ = write!(out, "<{name}>{}</{name}>", escaped(&plain(value)));
        }
    }
}

fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Null | Value::Array(_) | Value::Object(_) => String::new(),
        value => value.to_string(),
    }
}

/// As text or the value of an attribute; what XML 1.0 cannot say is left out.
fn escaped(text: &str) -> String {
    let says = |char: &char| !char.is_control() || matches!(char, '\t' | '\n' | '\r');
    let text: String = text.chars().filter(says).collect();
    quick_xml::escape::escape(text).into_owned()
}

/// Whether it may be the name of an element: of those that XML allows, the
/// ones in ASCII.
fn is_name(name: &str) -> bool {
    let begins = |char: char| char.is_ascii_alphabetic() || char == '_';
    let goes_on = |char: char| begins(char) || char.is_ascii_digit() || "-.".contains(char);
    name.starts_with(begins) && name.chars().all(goes_on)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_document_is_what_the_json_of_it_says() {
        let text = r#"<?xml version="1.0"?><!-- x --><instance>
            <app>A &amp; B</app><port enabled="true">80</port>
            <dataCenterInfo class="com.x$Y"><name>MyOwn</name></dataCenterInfo>
            <metadata class="m"/><empty/><n>1</n><n><![CDATA[<2>]]></n><n>&#51;</n>
            </instance>"#;
        let (name, value) = parse(text).expect("a document");
        assert_eq!(name, "instance");
        assert_eq!(
            value,
            json!({
                "app": "A & B", "port": {"@enabled": "true", "$": "80"},
                "dataCenterInfo": {"@class": "com.x$Y", "name": "MyOwn"},
                "metadata": {"@class": "m"}, "empty": "", "n": ["1", "<2>", "3"]
            })
        );
    }

    #[test]
    fn what_is_hostile_is_refused() {
        let deep = "<a>".repeat(17);
        let bomb = "<!DOCTYPE a [<!ENTITY b \"bb\">]><a>&b;</a>";
        let twice = "<a b=\"1\" b=\"2\"/>";
        for bad in
            ["", "x", "<a>", "<a></b>", "</a>", "<a>&b;</a>", "<a b=\"&c;\"/>", &deep, bomb, twice]
        {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn what_is_written_can_be_read() {
        let value = json!({
            "name": "A <b> & \"c\"", "port": {"@enabled": "true", "$": 80}, "none": null,
            "list": ["x", {"y": true}], "bad name": "left out", "1": "left out", "odd": "a\u{1}b"
        });
        let mut text = String::new();
        element(&mut text, "instance", &value);
        let (_, read) = parse(&text).expect(&text);
        assert_eq!(
            read,
            json!({
                "name": "A <b> & \"c\"", "port": {"@enabled": "true", "$": "80"},
                "list": ["x", {"y": "true"}], "odd": "ab"
            })
        );
    }
}
