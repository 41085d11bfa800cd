//! Every key and every single value, held against the schema.
//!
//! What is wrong is noted and taken out of the tree, so that one pass finds
//! everything and the meaning of the rest can still be checked. What is left
//! deserialises into a `Config`; tables that lost something are marked, since
//! nothing may be concluded from what is absent in them.

use std::{
    borrow::Cow,
    collections::{HashMap, HashSet},
    ops::Range,
};

use serde_json::Value;
use toml::{
    Spanned,
    de::{DeArray, DeTable, DeValue},
};

use super::{
    Code, Diagnostic,
    format::Format,
    interpolate::{InterpolateError, Surroundings},
    schema::{self, Shape, kinds, words},
    suggest::{self, Table},
    wrong_type::wrong_type,
};

/// Walks a tree, takes out what is wrong, and remembers what it found.
pub(super) struct Checker<'a> {
    pub(super) text: &'a str,
    pub(super) surroundings: Surroundings<'a>,
    /// What is wrong.
    pub(super) found: Vec<Diagnostic>,
    /// The places of tables that something was taken out of, at any depth.
    pub(super) damaged: HashSet<Range<usize>>,
    /// The places of values that came out of `${...}`, and their source.
    pub(super) references: HashMap<Range<usize>, String>,
}

impl<'a> Checker<'a> {
    pub(super) fn new(text: &'a str, surroundings: Surroundings<'a>) -> Self {
        Self {
            text,
            surroundings,
            found: Vec::new(),
            damaged: HashSet::new(),
            references: HashMap::new(),
        }
    }

    /// Checks the whole file.
    pub(super) fn file(&mut self, root: &mut Spanned<DeTable<'a>>) {
        let span = root.span();
        self.table(root.get_mut(), span, schema::root(), &Table::Root);
    }

    /// Whether `value` may stay. `table` names it, should it be a table.
    fn value(
        &mut self,
        value: &mut Spanned<DeValue<'a>>,
        node: &'static Value,
        path: &str,
        table: &Table,
    ) -> bool {
        let span = value.span();
        match (Shape::of(node), value.get_mut()) {
            (Shape::Table { .. } | Shape::Map { .. }, DeValue::Table(entries)) => {
                self.table(entries, span, node, table)
            }
            (Shape::Kinds(choices), DeValue::Table(entries)) => {
                match self.kind(entries, &span, choices, table) {
                    Some(node) => self.table(entries, span, node, table),
                    None => false,
                }
            }
            (Shape::List { items } | Shape::OneOrMany { item: items }, DeValue::Array(list)) => {
                self.list(list, items, path);
                true
            }
            (Shape::OneOrMany { item }, _) => self.value(value, item, path, table),
            (Shape::Text(format), DeValue::String(text)) => {
                self.expand(text, &span) && self.text(text, &span, format, path)
            }
            (Shape::Words(choices), DeValue::String(text)) => {
                self.expand(text, &span) && self.word(text, &span, words(choices), path)
            }
            (shape @ (Shape::Integer { .. } | Shape::Numbers(_)), DeValue::Integer(number)) => {
                let number = i128::from_str_radix(number.as_str(), number.radix());
                self.number(number.unwrap_or(i128::MAX), &span, shape, path)
            }
            (Shape::Boolean, DeValue::Boolean(_)) => true,
            (shape, found) => {
                let diagnostic = wrong_type(shape, found, &self.text[span.clone()], path);
                self.found.push(Diagnostic { span: Some(span), ..diagnostic });
                false
            }
        }
    }

    fn table(
        &mut self,
        entries: &mut DeTable<'a>,
        span: Range<usize>,
        node: &'static Value,
        table: &Table,
    ) -> bool {
        let before = self.found.len();
        let shape = Shape::of(node);
        let mut unsound = HashSet::new();
        let mut seen = HashMap::new();
        for (key, value) in entries.iter_mut() {
            let name: &str = key.get_ref();
            let child = match shape {
                Shape::Table { keys, .. } => keys.get(name),
                Shape::Map { names, values } => {
                    self.name(key, names, table, &mut seen).then_some(values)
                }
                _ => None,
            };
            if let (None, Shape::Table { keys, .. }) = (child, shape) {
                let message = format!("unknown key `{}`", table.path(name));
                self.found.push(
                    Diagnostic::new(Code::UnknownKey, key.span(), message)
                        .label(format!("not a key of {table}"))
                        .help(suggest::for_key(name, keys.keys().map(String::as_str))),
                );
            }
            let path = table.path(name);
            let below = Table::One(path.clone());
            if !child.is_some_and(|child| self.value(value, child, &path, &below)) {
                unsound.insert(name.to_owned());
            }
        }
        let mut complete = true;
        if let Shape::Table { required, .. } = shape {
            for key in required.iter().filter_map(Value::as_str) {
                if !entries.contains_key(key) {
                    let message = format!("{table} has no `{key}`");
                    let missing = Diagnostic::new(Code::MissingKey, span.clone(), message);
                    self.found.push(missing.label(format!("`{key}` has no default")));
                }
                complete &= entries.contains_key(key) && !unsound.contains(key);
            }
        }
        for key in &unsound {
            entries.remove(key.as_str());
        }
        if self.found.len() > before {
            self.damaged.insert(span);
        }
        complete
    }

    /// The one of `choices` that a table says it is.
    fn kind(
        &mut self,
        entries: &mut DeTable<'a>,
        span: &Range<usize>,
        choices: &'static [Value],
        table: &Table,
    ) -> Option<&'static Value> {
        let Some(kind) = entries.get_mut("kind") else {
            let known: Vec<_> = kinds(choices).map(|(word, _)| format!("\"{word}\"")).collect();
            let missing =
                Diagnostic::new(Code::MissingKey, span.clone(), format!("{table} has no `kind`"));
            self.found.push(missing.label(format!("not {}", known.join(" or "))));
            return None;
        };
        let (place, path) = (kind.span(), table.path("kind"));
        let DeValue::String(text) = kind.get_mut() else {
            let found =
                wrong_type(Shape::Text(None), kind.get_ref(), &self.text[place.clone()], &path);
            self.found.push(Diagnostic { span: Some(place), ..found });
            return None;
        };
        if !self.expand(text, &place) {
            return None;
        }
        let words = kinds(choices).map(|(word, _)| word);
        if !self.word(text, &place, words.clone(), &path) {
            return None;
        }
        kinds(choices).find(|(word, _)| *word == &**text).map(|(_, node)| node)
    }

    fn list(&mut self, list: &mut DeArray<'a>, items: &'static Value, path: &str) {
        let table = Table::List(path.to_owned());
        *list = std::mem::replace(list, DeArray::new())
            .into_iter()
            .filter_map(|mut item| self.value(&mut item, items, path, &table).then_some(item))
            .collect();
    }

    /// Whether `key` may be the name of an entry.
    fn name<'k>(
        &mut self,
        key: &'k Spanned<Cow<'a, str>>,
        format: Option<Format>,
        table: &Table,
        seen: &mut HashMap<String, &'k Spanned<Cow<'a, str>>>,
    ) -> bool {
        let Some(format) = format else { return true };
        let path = table.path(key.get_ref());
        if !self.text(key.get_ref(), &key.span(), Some(format), &path) {
            return false;
        }
        if format != Format::HeaderName {
            return true;
        }
        let Some(earlier) = seen.insert(key.get_ref().to_ascii_lowercase(), key) else {
            return true;
        };
        let message = format!("`{path}` names a header a second time");
        self.found.push(
            Diagnostic::new(Code::DuplicateKey, key.span(), message)
                .label("the same header, since case does not matter")
                .related(earlier.span(), "named here first"),
        );
        false
    }

    /// Replaces the references in `text`.
    fn expand(&mut self, text: &mut Cow<'a, str>, span: &Range<usize>) -> bool {
        match self.surroundings.expand(text) {
            Ok(Cow::Borrowed(_)) => true,
            Ok(Cow::Owned(value)) => {
                self.references.insert(span.clone(), self.text[span.clone()].to_owned());
                *text = Cow::Owned(value);
                true
            }
            Err((error, place)) => {
                // The place is one in the value; escapes in the source may shift it.
                let source = &self.text[span.clone()];
                let place = source
                    .find(&text[place.clone()])
                    .map_or(span.clone(), |at| span.start + at..span.start + at + place.len());
                let (code, label, help) = match &error {
                    InterpolateError::NoVariable { name } => (
                        Code::NoVariable,
                        "not set",
                        format!("set it, or give a value for that case: `${{{name}:-value}}`"),
                    ),
                    InterpolateError::NoFile { .. } => (
                        Code::NoFile,
                        "cannot be read",
                        "relative paths begin at the folder of the config file".to_owned(),
                    ),
                    InterpolateError::Unclosed | InterpolateError::BadName { .. } => (
                        Code::Interpolation,
                        "not a reference",
                        "write `${NAME}`, `${NAME:-value}` or `${file:PATH}`, and `$${` for `${`"
                            .to_owned(),
                    ),
                };
                let found = Diagnostic::new(code, place, error.to_string());
                self.found.push(found.label(label).help(help));
                false
            }
        }
    }

    fn text(
        &mut self,
        text: &str,
        span: &Range<usize>,
        format: Option<Format>,
        path: &str,
    ) -> bool {
        let Some(format) = format else { return true };
        let Err(why) = format.check(text) else { return true };
        let found = if let Some(reference) = self.references.get(span) {
            let message = format!("`{path}`: {reference} is not {}", format.noun());
            Diagnostic::new(format.code(), span.clone(), message)
                .label("what this stands for is refused")
                .help(format!("a value would be {:?}", format.example()))
        } else {
            let (what, advice) = split_advice(&why);
            Diagnostic::new(format.code(), span.clone(), format!("`{path}`: {what}"))
                .label(format!("not {}", format.noun()))
                .help_if(advice.map(str::to_owned))
        };
        self.found.push(found);
        false
    }

    fn word<'w>(
        &mut self,
        text: &str,
        span: &Range<usize>,
        mut choices: impl Iterator<Item = &'w str> + Clone,
        path: &str,
    ) -> bool {
        let known: Vec<_> = choices.clone().map(|word| format!("{word:?}")).collect();
        let nearest = suggest::nearest(text, choices.clone());
        if choices.any(|word| word == text) {
            return true;
        }
        let (shown, help) = match self.references.get(span) {
            Some(reference) => (reference.clone(), None),
            None => (format!("{text:?}"), nearest),
        };
        let message = format!("`{path}`: {shown} is not one of the words it takes");
        self.found.push(
            Diagnostic::new(Code::Word, span.clone(), message)
                .label(format!("not {}", known.join(" or ")))
                .help_if(help.map(|word| format!("did you mean {word:?}?"))),
        );
        false
    }

    fn number(&mut self, number: i128, span: &Range<usize>, shape: Shape<'_>, path: &str) -> bool {
        let wanted = match shape {
            Shape::Integer { minimum, maximum } => {
                if (minimum..=maximum).contains(&number) {
                    return true;
                }
                if maximum < u32::MAX.into() {
                    format!("not from {minimum} to {maximum}")
                } else if number < minimum {
                    format!("less than {minimum}")
                } else {
                    format!("more than {maximum}")
                }
            }
            Shape::Numbers(choices) => {
                if choices.iter().any(|choice| choice.as_i64().map(i128::from) == Some(number)) {
                    return true;
                }
                let known: Vec<_> = choices.iter().map(Value::to_string).collect();
                format!("not {}", known.join(" or "))
            }
            _ => return true,
        };
        let message = format!("`{path}`: {} is out of range", &self.text[span.clone()]);
        self.found.push(Diagnostic::new(Code::Range, span.clone(), message).label(wanted));
        false
    }
}

/// Divides "what is wrong; what to do". A semicolon within quotes divides
/// nothing.
fn split_advice(why: &str) -> (&str, Option<&str>) {
    match why.rsplit_once("; ") {
        Some((what, advice)) if what.matches('"').count() % 2 == 0 => (what, Some(advice)),
        _ => (why, None),
    }
}
