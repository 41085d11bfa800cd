//! Which member is talked to, and over which connection.

use std::time::Duration;

use futures_util::{StreamExt, stream::FuturesUnordered};
use tokio::time::timeout;
use tonic::{Code, metadata::AsciiMetadataValue};

use super::{
    Client, Error, Watch, call,
    link::Link,
    messages::{AuthenticateRequest, AuthenticateResponse},
};

/// How long a connection may take until another is opened beside it (RFC 8305
/// §5), and how many are opened at a time: at least, and one to each member.
const BESIDE: Duration = Duration::from_millis(250);
const MOST_OPENING: usize = 4;

/// Where we are in the list of members.
#[derive(Debug)]
pub(super) struct Place {
    link: Option<Link>,
    /// The member to try next.
    next: usize,
    /// The number of the next connection or token.
    number: u64,
}

impl Place {
    /// Anywhere among `count` members.
    pub(super) fn among(count: usize) -> Self {
        Self { link: None, next: fastrand::usize(..count.max(1)), number: 0 }
    }
}

impl Client {
    /// Goes to another member, unless somebody already has: the connection
    /// called `number` has failed.
    pub(super) async fn leave(&self, number: u64) {
        let mut place = self.shared.link.lock().await;
        if place.link.as_ref().is_some_and(|link| link.number == number) {
            place.link = None;
        }
    }

    /// Goes to another member for what comes next: what the one that is talked
    /// to says is not to be relied on.
    pub async fn leave_member(&self) {
        self.shared.link.lock().await.link = None;
    }

    /// Goes to another member for what comes next: the one of `watch` is not
    /// to be relied on.
    pub async fn leave_member_of(&self, watch: &Watch) {
        self.leave(watch.number()).await;
    }

    /// The connection. If there is none, one is opened to each member in turn,
    /// and to the next one, or the same anew, while one is not heard of: where
    /// packets were lost that is sooner than TCP would try again.
    pub(super) async fn link(&self) -> Result<Link, Error> {
        let mut place = self.shared.link.lock().await;
        if let Some(link) = place.link.as_ref().filter(|link| !link.is_closed()) {
            return Ok(link.clone());
        }
        let settings = &self.shared.settings;
        let count = settings.endpoints.len();
        let (mut failed, mut last) = (vec![false; count], Error::NoEndpoint);
        let mut opening = FuturesUnordered::new();
        let mut next = true;
        while failed.contains(&false) {
            if next && opening.len() < count.max(MOST_OPENING) {
                let at = place.next % count;
                place.next = place.next.wrapping_add(1);
                place.number += 1;
                let number = place.number;
                opening.push(async move {
                    (at, Link::open(&settings.endpoints[at], &settings.tls, number).await)
                });
            }
            let (at, opened) = match timeout(BESIDE, opening.next()).await {
                Ok(Some((at, Ok(link)))) => (at, self.introduce(link).await),
                Ok(Some((at, Err(error)))) => (at, Err(error)),
                Ok(None) | Err(_) => {
                    next = true;
                    continue;
                }
            };
            match opened {
                Ok(link) => {
                    place.link = Some(link.clone());
                    return Ok(link);
                }
                Err(error) => last = error,
            }
            next = !std::mem::replace(&mut failed[at], true);
        }
        Err(last)
    }

    /// Says who we are, if we have a name.
    async fn introduce(&self, mut link: Link) -> Result<Link, Error> {
        let settings = &self.shared.settings;
        let Some(name) = settings.username.clone() else { return Ok(link) };
        let password = settings.password.clone().unwrap_or_default();
        let request = AuthenticateRequest { name, password };
        let path = "/etcdserverpb.Auth/Authenticate";
        let answer =
            call::unary::<_, AuthenticateResponse>(&link, path, request, true, call::ANSWER).await;
        let token = match answer {
            Ok(answer) => answer.token,
            // Who we are does not matter there, until it is turned on.
            Err(Error::Answered { code: Code::FailedPrecondition, .. }) => return Ok(link),
            Err(error) => return Err(error),
        };
        link.token = Some(AsciiMetadataValue::try_from(token).map_err(|_| Error::Denied {
            endpoint: link.endpoint.to_string(),
            message: "its token cannot be sent".to_owned(),
            token: false,
        })?);
        Ok(link)
    }
}
