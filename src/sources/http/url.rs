//! Where a document is.

use std::{fmt, str::FromStr};

use http::uri::PathAndQuery;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

use crate::sources::{ParseServerUrlError, ServerUrl};

/// `http://[USER:PASSWORD@]HOST[:PORT][/PATH][?QUERY]`. It is shown without
/// user, password and query, which may be secret.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct DocumentUrl {
    server: ServerUrl,
    target: String,
}

/// Why a text is no URL of a document.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ParseDocumentUrlError {
    /// The part before the path.
    #[error(transparent)]
    Server(#[from] ParseServerUrlError),
    /// The path or the query.
    #[error("path and query cannot have that; write other characters percent-encoded")]
    Target,
}

impl DocumentUrl {
    /// The server, without a path.
    pub(super) const fn server(&self) -> &ServerUrl {
        &self.server
    }

    /// Path and query, as they are asked for.
    pub(super) fn target(&self) -> &str {
        &self.target
    }
}

impl FromStr for DocumentUrl {
    type Err = ParseDocumentUrlError;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let authority = text.find("://").map_or(0, |at| at + 3);
        let end = text[authority..].find(['/', '?', '#']).map_or(text.len(), |at| authority + at);
        let (server, target) = text.split_at(end);
        let slash = if target.starts_with('/') { "" } else { "/" };
        let target = format!("{slash}{target}");
        // A fragment is for whoever reads the document.
        if target.contains('#') || target.parse::<PathAndQuery>().is_err() {
            return Err(ParseDocumentUrlError::Target);
        }
        Ok(Self { server: server.parse()?, target })
    }
}

impl TryFrom<String> for DocumentUrl {
    type Error = ParseDocumentUrlError;
    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<DocumentUrl> for String {
    fn from(url: DocumentUrl) -> Self {
        Self::from(url.server) + &url.target
    }
}

impl fmt::Display for DocumentUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = self.target.split('?').next().unwrap_or_default();
        write!(f, "{}{path}", self.server)
    }
}

impl fmt::Debug for DocumentUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl JsonSchema for DocumentUrl {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "DocumentUrl".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string",
            "format": "document-url",
            "examples": ["https://inventory.internal/instances"]
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_path_is_asked_for_as_it_is_written() {
        for (text, target) in [
            ("http://a", "/"),
            ("http://a:81?x=1", "/?x=1"),
            ("http://a/list/", "/list/"),
            ("https://u:p@a/l/b?env=prod&x=/y", "/l/b?env=prod&x=/y"),
        ] {
            let url: DocumentUrl = text.parse().expect(text);
            assert_eq!(url.target(), target, "{text}");
            assert_eq!(url.to_string().parse::<DocumentUrl>().map(|_| ()), Ok(()), "{text}");
        }
        let secret: DocumentUrl = "http://u:p@a/l?token=s3cret".parse().expect("a URL");
        assert_eq!(secret.to_string(), "http://a/l");
        assert_eq!(String::from(secret), "http://u:p@a/l?token=s3cret");
        for bad in ["", "a/b", "ftp://a/b", "http:///b", "http://a/b#c", "http://a/b c"] {
            assert!(bad.parse::<DocumentUrl>().is_err(), "{bad}");
        }
    }
}
