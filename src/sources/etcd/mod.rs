//! Keys of an etcd cluster that stand for instances.
//!
//! All keys under the prefix are read as of one revision, and watched from the
//! next one on. They are read again whenever that chain is broken (another
//! connection, a compacted revision) and now and then when it is not, since a
//! server has lost an event before. That a key is gone is told alike for one
//! that was deleted and one whose lease is over: etcd does not say which.

mod follow;
mod layout;
mod settings;

pub use layout::Layout;
pub use settings::EtcdSettings;

use super::{Backoff, Feed, News};
use crate::etcd::{Client, Error};

/// Tells what the keys say, for ever.
pub async fn run(settings: EtcdSettings, feed: Feed) {
    let client = Client::new(settings.client());
    let mut follower = follow::Follower::new(settings, client, feed.clone());
    let mut backoff = Backoff::default();
    loop {
        let error = follower.follow().await;
        // What is missing is read again at once; nothing was out of reach.
        if !matches!(error, Error::Compacted { .. }) {
            feed.tell(News::Lost(error.to_string()));
        }
        feed.pause(backoff.failed()).await;
    }
}
