//! Where the entries of instances stand in a tree: `{service}/{id}`.

use std::{fmt, str::FromStr};

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

/// Segments that a template may have.
const DEEPEST: usize = 16;

/// A text that is no template.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} does not say where instances are; write segments such as \"{{service}}/{{id}}\", with \
     \"*\" for one that does not matter, and the id last"
)]
pub struct ParseTemplateError(String);

/// Where entries stand below the prefix or path of a source: segments between
/// `/`, each a plain word, `*` for any, `{service}` or `{id}`. `{id}` is the
/// last one.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Template(Vec<Segment>);

#[derive(Clone, PartialEq, Eq)]
enum Segment {
    Word(String),
    Any,
    Service,
    Id,
}

/// What the place of an entry says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::sources) struct Place<'a> {
    pub(in crate::sources) service: Option<&'a str>,
    pub(in crate::sources) id: &'a str,
}

impl Template {
    /// What `key` says, which is below the prefix; nothing if it does not fit.
    pub(in crate::sources) fn read<'a>(&self, key: &'a str) -> Option<Place<'a>> {
        let mut place = Place { service: None, id: "" };
        let mut texts = key.split('/');
        for segment in &self.0 {
            let text = texts.next().filter(|text| !text.is_empty())?;
            match segment {
                Segment::Word(word) if word != text => return None,
                Segment::Word(_) | Segment::Any => {}
                Segment::Service => place.service = Some(text),
                Segment::Id => place.id = text,
            }
        }
        texts.next().is_none().then_some(place)
    }

    /// How many segments it has.
    pub(in crate::sources) const fn depth(&self) -> usize {
        self.0.len()
    }

    /// Whether a node called `name` can lead to an entry, or be one, if it
    /// stands `depth` segments below the path, counted from 0.
    pub(in crate::sources) fn leads_through(&self, depth: usize, name: &str) -> bool {
        match self.0.get(depth) {
            Some(Segment::Word(word)) => word == name,
            Some(_) => true,
            None => false,
        }
    }
}

impl Default for Template {
    fn default() -> Self {
        Self(vec![Segment::Service, Segment::Id])
    }
}

impl FromStr for Template {
    type Err = ParseTemplateError;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let segment = |text: &str| match text {
            "*" => Some(Segment::Any),
            "{service}" => Some(Segment::Service),
            "{id}" => Some(Segment::Id),
            "" => None,
            word if word.contains(['{', '}', '*']) => None,
            word => Some(Segment::Word(word.to_owned())),
        };
        let segments: Option<Vec<_>> = text.split('/').map(segment).collect();
        let count = |segments: &[Segment], wanted: &Segment| {
            segments.iter().filter(|segment| *segment == wanted).count()
        };
        segments
            .filter(|segments| segments.last() == Some(&Segment::Id) && segments.len() <= DEEPEST)
            .filter(|segments| count(segments, &Segment::Id) == 1)
            .filter(|segments| count(segments, &Segment::Service) <= 1)
            .map(Self)
            .ok_or_else(|| ParseTemplateError(text.to_owned()))
    }
}

impl TryFrom<String> for Template {
    type Error = ParseTemplateError;
    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<Template> for String {
    fn from(template: Template) -> Self {
        template.to_string()
    }
}

impl fmt::Display for Template {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, segment) in self.0.iter().enumerate() {
            f.write_str(if index == 0 { "" } else { "/" })?;
            f.write_str(match segment {
                Segment::Word(word) => word,
                Segment::Any => "*",
                Segment::Service => "{service}",
                Segment::Id => "{id}",
            })?;
        }
        Ok(())
    }
}

impl fmt::Debug for Template {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl JsonSchema for Template {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Template".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string",
            "format": "key-template",
            "description": "Where entries stand below the prefix or path.",
            "examples": ["{service}/{id}", "{service}/services/{id}", "{id}"]
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_place_of_an_entry_says_of_which_service_it_is() {
        let template = |text: &str| text.parse::<Template>().expect(text);
        let place = |service, id| Some(Place { service, id });
        assert_eq!(Template::default().read("orders/a"), place(Some("orders"), "a"));
        for other in ["orders", "orders/", "/a", "orders/a/b", "orders//a", ""] {
            assert_eq!(Template::default().read(other), None, "{other}");
        }
        let nested = template("{service}/services/{id}");
        assert_eq!(nested.read("orders/services/a"), place(Some("orders"), "a"));
        assert_eq!(nested.read("orders/others/a"), None);
        assert!(nested.leads_through(0, "x") && !nested.leads_through(1, "others"));
        assert_eq!(template("*/{id}").read("x/a"), place(None, "a"));
        assert_eq!(template("{id}").read("a"), place(None, "a"));
    }

    #[test]
    fn templates_print_as_they_are_read_and_nonsense_is_refused() {
        for text in ["{service}/{id}", "a/*/{service}/b/{id}", "{id}"] {
            assert_eq!(text.parse::<Template>().expect(text).to_string(), text);
        }
        for bad in ["", "/", "{id}/", "{service}", "{id}/{id}", "{id}/a", "a{id}", "{host}/{id}"] {
            assert!(bad.parse::<Template>().is_err(), "{bad}");
        }
    }
}
