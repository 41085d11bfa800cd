//! What calls take out of a request: the instance in the path, the query, the
//! body. Each refuses by a [`Problem`] that names the place.

use std::{str::FromStr, time::Duration};

use axum::{
    body::{Body, Bytes},
    extract::{FromRequestParts, Path, Query},
};
use http::request::Parts;
use http_body_util::{BodyExt, LengthLimitError, Limited};

use super::{
    calls::Call,
    problem::{Kind, Problem, nearest},
};
use crate::{
    model::{HumanDuration, InstanceKey, ServiceName},
    sources::SourceName,
};

/// The longest body of a change of instances, in bytes.
pub(crate) const MAX_BODY: usize = 64 * 1024;

/// How long a body may take to come.
const BODY_TIMEOUT: Duration = Duration::from_secs(10);

/// The longest that a call waits for what it was asked to wait for.
pub(super) const MAX_WAIT: Duration = Duration::from_secs(300);

/// `{service}` of the path.
#[derive(Debug)]
pub(super) struct ServicePath(pub(super) ServiceName);

/// `{source}` of the path.
#[derive(Debug)]
pub(super) struct SourcePath(pub(super) SourceName);

/// `{service}/instances/{id}` of the path.
#[derive(Debug)]
pub(super) struct InstancePath(pub(super) InstanceKey);

fn bad(detail: impl ToString) -> Problem {
    Problem::new(Kind::BadRequest, detail.to_string())
}

impl<S: Send + Sync> FromRequestParts<S> for ServicePath {
    type Rejection = Problem;
    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let path: Path<String> = Path::from_request_parts(parts, state).await.map_err(bad)?;
        path.0.parse().map(Self).map_err(bad)
    }
}

impl<S: Send + Sync> FromRequestParts<S> for SourcePath {
    type Rejection = Problem;
    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let path: Path<String> = Path::from_request_parts(parts, state).await.map_err(bad)?;
        path.0.parse().map(Self).map_err(bad)
    }
}

impl<S: Send + Sync> FromRequestParts<S> for InstancePath {
    type Rejection = Problem;
    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let path: Path<(String, String)> =
            Path::from_request_parts(parts, state).await.map_err(bad)?;
        let (service, id) = path.0;
        let service = service.parse().map_err(bad)?;
        let id = id.parse().map_err(bad)?;
        Ok(Self(InstanceKey { service, id }))
    }
}

/// The query, held to the parameters that the call documents.
#[derive(Debug)]
pub(super) struct Params(Vec<(String, String)>);

impl<S: Send + Sync> FromRequestParts<S> for Params {
    type Rejection = Problem;
    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        let query: Query<Vec<(String, String)>> = Query::try_from_uri(&parts.uri).map_err(bad)?;
        let call = parts.extensions.get::<&'static Call>();
        let known = call.map_or(&[][..], |call| call.query);
        for (name, _) in &query.0 {
            if !known.iter().any(|param| param.name == *name) {
                let nearest = nearest(name, known.iter().map(|param| param.name));
                let detail = "this call has no such parameter";
                return Err(
                    Problem::at(Kind::BadRequest, format!("?{name}"), detail).suggest(nearest)
                );
            }
        }
        Ok(Self(query.0))
    }
}

impl Params {
    /// The values of a parameter that may be repeated.
    pub(super) fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.0.iter().filter(move |(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// The value of a parameter that may be given once.
    pub(super) fn one(&self, name: &str) -> Result<Option<&str>, Problem> {
        let mut values = self.0.iter().filter(|(known, _)| known == name);
        match (values.next(), values.next()) {
            (first, None) => Ok(first.map(|(_, value)| value.as_str())),
            _ => Err(Self::refused(name, "may be given once")),
        }
    }

    /// Whether `?name` or `?name=1` is there.
    pub(super) fn flag(&self, name: &str) -> Result<bool, Problem> {
        match self.one(name)? {
            None | Some("0" | "false") => Ok(false),
            Some("" | "1" | "true") => Ok(true),
            Some(_) => Err(Self::refused(name, "is a switch; write 1 or 0")),
        }
    }

    /// The value of a parameter as a `T`.
    pub(super) fn parsed<T: FromStr<Err: ToString>>(
        &self,
        name: &str,
    ) -> Result<Option<T>, Problem> {
        let value = self.one(name)?.map(str::parse).transpose();
        value.map_err(|error: T::Err| Self::refused(name, error.to_string()))
    }

    /// `wait=WORD&timeout=`: how long to wait for WORD, if at all.
    pub(super) fn wait(
        &self,
        word: &'static str,
        default: Duration,
    ) -> Result<Option<Duration>, Problem> {
        let timeout: Option<HumanDuration> = self.parsed("timeout")?;
        match (self.one("wait")?, timeout) {
            (None, None) => Ok(None),
            (None, Some(_)) => {
                let detail = format!("there is nothing to wait for without wait={word}");
                Err(Self::refused("timeout", detail))
            }
            (Some(given), _) if given != word => {
                let detail = format!("one can wait for {word:?} here");
                Err(Self::refused("wait", detail).suggest(Some(word)))
            }
            (Some(_), Some(timeout)) if timeout.0 > MAX_WAIT => {
                Err(Self::refused("timeout", "is at most 5m"))
            }
            (Some(_), timeout) => Ok(Some(timeout.map_or(default, Into::into))),
        }
    }

    /// A parameter that has a value of the wrong kind.
    pub(super) fn refused(name: &str, detail: impl Into<String>) -> Problem {
        Problem::at(Kind::BadRequest, format!("?{name}"), detail)
    }
}

/// The whole body, if it has at most `limit` bytes and comes in time.
pub(crate) async fn read(body: Body, limit: usize) -> Result<Bytes, Problem> {
    let whole = Limited::new(body, limit).collect();
    match tokio::time::timeout(BODY_TIMEOUT, whole).await {
        Ok(Ok(body)) => Ok(body.to_bytes()),
        Ok(Err(error)) if error.is::<LengthLimitError>() => {
            let detail = format!("a body has at most {} KiB here", limit / 1024);
            Err(Problem::new(Kind::BodyTooLarge, detail))
        }
        Ok(Err(error)) => Err(bad(format!("the body ended early: {error}"))),
        Err(_) => {
            let detail = format!("the body took longer than {} s", BODY_TIMEOUT.as_secs());
            Err(Problem::new(Kind::BodyTimeout, detail))
        }
    }
}
