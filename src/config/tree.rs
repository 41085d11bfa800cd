//! The parsed file by places, for checks of meaning: where a key stands, and
//! how its value may be shown.

use std::{
    collections::{HashMap, HashSet},
    ops::Range,
};

use toml::{
    Spanned,
    de::{DeTable, DeValue},
};

use super::diagnostic::position;

/// The parsed file after the checks of its structure.
pub(super) struct Tree<'a> {
    root: Spanned<DeValue<'a>>,
    text: &'a str,
    /// Tables that something wrong was taken out of.
    damaged: HashSet<Range<usize>>,
    /// Values that came out of `${...}`, and their source.
    pub(super) references: HashMap<Range<usize>, String>,
}

impl<'a> Tree<'a> {
    pub(super) fn new(
        text: &'a str,
        root: Spanned<DeTable<'a>>,
        damaged: HashSet<Range<usize>>,
        references: HashMap<Range<usize>, String>,
    ) -> Self {
        let root = Spanned::new(root.span(), DeValue::Table(root.into_inner()));
        Self { root, text, damaged, references }
    }

    /// The file as a whole.
    pub(super) fn top(&self) -> Place<'_> {
        let value = Some(&self.root);
        Place { tree: self, value, key: self.root.span_ref(), nearest: self.root.span_ref() }
    }
}

/// A key that may be there or not, and its value.
#[derive(Clone, Copy)]
pub(super) struct Place<'t> {
    tree: &'t Tree<'t>,
    value: Option<&'t Spanned<DeValue<'t>>>,
    key: (usize, usize),
    nearest: (usize, usize),
}

trait SpanRef {
    fn span_ref(&self) -> (usize, usize);
}

impl<T> SpanRef for Spanned<T> {
    fn span_ref(&self) -> (usize, usize) {
        (self.span().start, self.span().end)
    }
}

impl<'t> Place<'t> {
    /// The key `name` in this table.
    pub(super) fn key(self, name: &str) -> Self {
        let entry = self.value.and_then(|value| value.get_ref().as_table());
        match entry.and_then(|table| table.get_key_value(name)) {
            Some((key, value)) => Self { key: key.span_ref(), ..self.to(value) },
            None => Self { value: None, ..self },
        }
    }

    /// Item `index` of this list.
    pub(super) fn item(self, index: usize) -> Self {
        match self.value.and_then(|value| value.get_ref().as_array()) {
            Some(list) => {
                list.get(index).map_or(Self { value: None, ..self }, |value| self.to(value))
            }
            // One value where a list of them could be.
            None => self,
        }
    }

    fn to(self, value: &'t Spanned<DeValue<'t>>) -> Self {
        let span = value.span_ref();
        Self { value: Some(value), key: span, nearest: span, ..self }
    }

    /// Whether the file has it.
    pub(super) const fn is_there(self) -> bool {
        self.value.is_some()
    }

    /// Where the value stands, or what it would stand in.
    pub(super) const fn span(self) -> Range<usize> {
        self.nearest.0..self.nearest.1
    }

    /// Where the key stands, or what it would stand in.
    pub(super) const fn key_span(self) -> Range<usize> {
        if self.value.is_some() { self.key.0..self.key.1 } else { self.span() }
    }

    /// Whether something wrong was taken out of this table, so that what is
    /// absent may have been meant.
    pub(super) fn is_damaged(self) -> bool {
        self.tree.damaged.contains(&self.span())
    }

    /// The line it stands on, counted from 1.
    pub(super) fn line(self) -> u32 {
        position(self.tree.text, self.nearest.0).0
    }

    /// The file as a whole.
    pub(super) fn top(self) -> Self {
        self.tree.top()
    }

    /// `value` in quotes, or its `${...}` if that is where it came from.
    pub(super) fn show(self, value: impl std::fmt::Display) -> String {
        match self.tree.references.get(&self.span()) {
            Some(reference) => reference.clone(),
            None => format!("\"{value}\""),
        }
    }

    /// Whether the value came out of `${...}`.
    pub(super) fn is_reference(self) -> bool {
        self.tree.references.contains_key(&self.span())
    }
}
