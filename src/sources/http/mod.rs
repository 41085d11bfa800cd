//! A list of instances that a server answers with, asked for now and then.

mod settings;
mod url;

use std::convert::Infallible;

use http::{
    HeaderMap, StatusCode,
    header::{AUTHORIZATION, ETAG, IF_NONE_MATCH},
};
use tokio::time::sleep;

pub use settings::HttpSettings;
pub use url::{DocumentUrl, ParseDocumentUrlError};

use super::{
    Backoff, Feed, News,
    client::{CallError, Client},
    document::{self, DocumentError},
};
use crate::tls::TlsError;

/// Why there is no list.
#[derive(Debug, thiserror::Error)]
enum HttpError {
    #[error(transparent)]
    Tls(#[from] TlsError),
    #[error(transparent)]
    Call(#[from] CallError),
    #[error(transparent)]
    Document(#[from] DocumentError),
    #[error("reading the document was broken off")]
    BrokenOff,
}

/// Tells what the server answers whenever that has changed.
pub async fn run(settings: HttpSettings, feed: Feed) {
    let mut backoff = Backoff::default();
    loop {
        let Err(error) = follow(&settings, &feed).await;
        feed.tell(News::Lost(format!("{}: {error}", settings.url)));
        tokio::select! {
            () = sleep(backoff.failed()) => {}
            () = feed.list_wanted() => {}
        }
    }
}

async fn follow(settings: &HttpSettings, feed: &Feed) -> Result<Infallible, HttpError> {
    let mut client = Client::new(settings.url.server().clone(), &settings.tls)?
        .reading_at_most(usize::try_from(settings.max_size.0).unwrap_or(usize::MAX));
    if let Some(token) = &settings.token {
        client = client.with_header(AUTHORIZATION, &format!("Bearer {token}"));
    }
    let mut fields = HeaderMap::new();
    loop {
        let answer = client.get_with(settings.url.target(), settings.timeout.0, &fields).await?;
        match answer.status {
            StatusCode::NOT_MODIFIED if !fields.is_empty() => feed.tell(News::Unchanged),
            StatusCode::OK => {
                fields.clear();
                if let Some(tag) = answer.headers.get(ETAG) {
                    fields.insert(IF_NONE_MATCH, tag.clone());
                }
                // It may be long; nothing else waits for it.
                let read = tokio::task::spawn_blocking(move || document::of_json(&answer.body));
                read.await.map_err(|_| HttpError::BrokenOff)??.tell(feed);
            }
            _ => return Err(answer.refusal().into()),
        }
        tokio::select! {
            () = sleep(settings.interval.0) => {}
            // All of it, whether it has changed or not.
            () = feed.list_wanted() => fields.clear(),
        }
    }
}
