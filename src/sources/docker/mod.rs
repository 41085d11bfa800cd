//! Containers of a Docker engine, by their labels.
//!
//! The engine tells when a container changes; what there is then is read anew,
//! so nothing depends on having heard everything.

mod container;
mod engine;
mod settings;

use std::{convert::Infallible, time::Duration};

use tokio::time::{Instant, sleep, sleep_until};

pub use settings::DockerSettings;

use self::engine::{Engine, EngineError};
use super::{Backoff, Feed, News};

/// Changes that come within this time are read together.
const TOGETHER: Duration = Duration::from_millis(100);

/// Tells which containers are instances, and which are not any more.
pub async fn run(settings: DockerSettings, feed: Feed) {
    let mut backoff = Backoff::default();
    loop {
        let Err(error) = follow(&settings, &feed).await;
        let place = match &settings.url {
            Some(url) => url.to_string(),
            None => settings.socket.display().to_string(),
        };
        feed.tell(News::Lost(format!("{place}: {error}")));
        tokio::select! {
            () = sleep(backoff.failed()) => {}
            () = feed.list_wanted() => {}
        }
    }
}

async fn follow(settings: &DockerSettings, feed: &Feed) -> Result<Infallible, EngineError> {
    let engine = Engine::reach(settings).await?;
    // First: what changes while the list is read is told.
    let mut events = engine.events().await?;
    loop {
        tell(&engine, settings, feed).await?;
        let again = Instant::now() + settings.interval.0;
        tokio::select! {
            event = events.next() => {
                event?;
                sleep(TOGETHER).await;
                while events.has_more() {
                    events.next().await?;
                }
            }
            () = sleep_until(again) => {}
            () = feed.list_wanted() => {}
        }
    }
}

async fn tell(
    engine: &Engine<'_>,
    settings: &DockerSettings,
    feed: &Feed,
) -> Result<(), EngineError> {
    let mut all = Vec::new();
    for container in engine.containers().await? {
        match container.found(settings.network.as_deref()) {
            Ok(found) => all.extend(found),
            Err(why) => feed.tell(News::Rejected { what: container.name(), why }),
        }
    }
    feed.tell(News::List(all));
    Ok(())
}
