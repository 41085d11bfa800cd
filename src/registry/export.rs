//! An export: everything a store holds as text, a line of JSON for each
//! registration under a line that says what they are.
//!
//! Snapshots are exports, and so is what is carried from one store to another.
//! `docs/reference/registry.md` describes the format. Pure: text in and out.
//! What is read was written by somebody, so nothing of it is believed that
//! does not fit the rest.

use std::{
    collections::HashMap,
    fmt::Write as _,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::{Registration, store::Contents};
use crate::model::Instance;

const FORMAT: u64 = 1;

/// What a store held at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Export {
    /// When, to the second.
    pub taken: SystemTime,
    pub(super) contents: Contents,
}

/// Why a text is not an export.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ExportError {
    /// One line is not what it should be.
    #[error("line {line}: {why}")]
    Line {
        /// Counted from 1.
        line: usize,
        /// What is wrong with it.
        why: String,
    },
    /// The header knows of another number of lines.
    #[error(
        "its header promises {promised} instances, and {found} follow: it is cut off or mixed up"
    )]
    Count {
        /// What the header says.
        promised: u64,
        /// How many lines follow it.
        found: u64,
    },
    /// Every line reads, but it is not what was written.
    #[error("its checksum does not fit: it was changed since it was written")]
    Checksum,
    /// The file cannot be read at all.
    #[error("cannot be read: {0}")]
    Unreadable(String),
}

/// The first line. What is left out of it is not checked, so that a person
/// may write one.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Header {
    portolan_registry: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    taken: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    last_generation: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    commits: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    instances: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    sha256: Option<String>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    generation: u64,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    draining: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    owner: Option<String>,
    instance: Instance,
}

impl Export {
    /// What the store holds now.
    pub(super) fn of(contents: Contents) -> Self {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Self { taken: UNIX_EPOCH + Duration::from_secs(now.as_secs()), contents }
    }

    /// The registrations, in the order of service and id.
    #[must_use]
    pub fn registrations(&self) -> &[Registration] {
        &self.contents.registrations
    }

    /// The highest generation that had been given.
    #[must_use]
    pub fn last_generation(&self) -> u64 {
        self.contents.last_generation
    }

    /// As text.
    #[must_use]
    pub fn to_text(&self) -> String {
        let mut body = String::new();
        for Registration { instance, generation, draining, owner } in self.registrations() {
            let (generation, draining, owner) = (*generation, *draining, owner.clone());
            let line = Line { generation, draining, owner, instance: instance.clone() };
            body += &json(&line);
            body.push('\n');
        }
        let header = Header {
            portolan_registry: FORMAT,
            taken: Some(humantime::format_rfc3339_seconds(self.taken).to_string()),
            last_generation: Some(self.contents.last_generation),
            commits: Some(self.contents.commits),
            instances: Some(self.registrations().len() as u64),
            sha256: Some(sha256(&body)),
        };
        format!("{}\n{body}", json(&header))
    }

    /// Reads what [`Self::to_text`] writes.
    ///
    /// # Errors
    ///
    /// Names the first line that is wrong, or what is wrong with the whole.
    pub fn parse(text: &[u8]) -> Result<Self, ExportError> {
        let text = std::str::from_utf8(text).map_err(|error| {
            let before = text.get(..error.valid_up_to()).unwrap_or_default();
            let line = 1 + before.iter().filter(|byte| **byte == b'\n').count();
            ExportError::Line { line, why: "it is not UTF-8".to_owned() }
        })?;
        let (head, body) = text.split_once('\n').unwrap_or((text, ""));
        let header = header(head)?;
        let mut registrations = Vec::new();
        let mut seen = HashMap::new();
        let last = header.last_generation.unwrap_or(u64::MAX);
        for (number, line) in body.lines().enumerate() {
            let number = number + 2;
            let wrong = |why| ExportError::Line { line: number, why };
            let Line { generation, draining, owner, instance } =
                serde_json::from_str(line).map_err(|error| wrong(place(&error)))?;
            if !(1..=last.min(i64::MAX.cast_unsigned())).contains(&generation) {
                return Err(wrong(format!("generation {generation} was never given")));
            }
            let key = instance.key();
            if let Some(before) = seen.insert(key.to_string(), number) {
                return Err(wrong(format!("{key} is on line {before} already")));
            }
            if let Some(before) = seen.insert(generation.to_string(), number) {
                return Err(wrong(format!("generation {generation} is on line {before} already")));
            }
            registrations.push(Registration { instance, generation, draining, owner });
        }
        let found = registrations.len() as u64;
        match header.instances {
            Some(promised) if promised != found => {
                return Err(ExportError::Count { promised, found });
            }
            _ => {}
        }
        if header.sha256.is_some_and(|sum| sum != sha256(body)) {
            return Err(ExportError::Checksum);
        }
        registrations.sort_by_key(|it| it.instance.key());
        let highest = registrations.iter().map(|it| it.generation).max().unwrap_or(0);
        let contents = Contents {
            last_generation: header.last_generation.unwrap_or(highest),
            commits: header.commits.unwrap_or(0),
            registrations,
        };
        let taken = header.taken.and_then(|text| humantime::parse_rfc3339(&text).ok());
        Ok(Self { taken: taken.unwrap_or(UNIX_EPOCH), contents })
    }
}

/// When the export that begins with `text` was taken, how many commits and
/// instances it holds; none if it does not begin as one.
pub(super) fn glance(text: &str) -> Option<(SystemTime, u64, u64)> {
    let Header { taken, commits, instances, .. } = header(text.lines().next()?).ok()?;
    Some((humantime::parse_rfc3339(&taken?).ok()?, commits?, instances?))
}

fn header(line: &str) -> Result<Header, ExportError> {
    let wrong = |why| ExportError::Line { line: 1, why };
    // The format first: another one may have other fields.
    let value: serde_json::Value =
        serde_json::from_str(line).map_err(|error| wrong(place(&error)))?;
    match value.get("portolan_registry").and_then(serde_json::Value::as_u64) {
        Some(FORMAT) => serde_json::from_value(value).map_err(|error| wrong(error.to_string())),
        Some(found) => {
            let why = format!("it has format {found} and this version knows {FORMAT}");
            Err(wrong(why))
        }
        None => Err(wrong("it is not the header of an export of a registry".to_owned())),
    }
}

/// Without the line, which is always the first of the text that serde sees.
fn place(error: &serde_json::Error) -> String {
    let text = error.to_string();
    match text.rsplit_once(" at line ") {
        Some((why, _)) => format!("{why}, at column {}", error.column()),
        None => text,
    }
}

/// What is written here is made of strings, numbers and maps with text for
/// keys, which always have a JSON text.
fn json(value: &impl Serialize) -> String {
    serde_json::to_string(value).unwrap_or_default()
}

fn sha256(text: &str) -> String {
    Sha256::digest(text).iter().fold(String::with_capacity(64), |mut text, byte| {
        // Writing to a string cannot fail.
        write!(text, "{byte:02x}").ok();
        text
    })
}

#[cfg(test)]
mod tests;
