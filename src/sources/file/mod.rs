//! A list of instances in a file that somebody else writes.

mod settings;

use std::path::Path;

use tokio::time::{MissedTickBehavior, interval};

pub use settings::FileSettings;

use super::{Feed, News, document};
use crate::file_watch::FileWatch;

/// Tells what the file says whenever that has changed.
pub async fn run(settings: FileSettings, feed: Feed) {
    let FileSettings { path, interval: every } = settings;
    let mut watch = FileWatch::start(&path);
    let mut ticks = interval(every.0);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    // What was told last, as it was read.
    let mut told: Option<String> = None;
    loop {
        let (text, is_wanted) = tokio::select! {
            text = watch.changed() => (Ok(text), false),
            () = feed.list_wanted() => (tokio::fs::read_to_string(&path).await, true),
            _ = ticks.tick() => (tokio::fs::read_to_string(&path).await, false),
        };
        match text {
            Err(error) => {
                told = None;
                feed.tell(News::Lost(format!("cannot read {}: {error}", path.display())));
            }
            Ok(text) if !is_wanted && told.as_ref() == Some(&text) => feed.tell(News::Unchanged),
            Ok(text) => {
                let is_told = tell(&path, &text, &feed);
                told = is_told.then_some(text);
            }
        }
    }
}

/// Tells what `text` says. Answers whether it says anything.
fn tell(path: &Path, text: &str, feed: &Feed) -> bool {
    let is_toml = path.extension().is_some_and(|extension| extension == "toml");
    let read = if is_toml { document::of_toml(text) } else { document::of_json(text.as_bytes()) };
    match read {
        Ok(read) => {
            read.tell(feed);
            true
        }
        Err(error) => {
            feed.tell(News::Lost(format!("{}: {error}", path.display())));
            false
        }
    }
}
