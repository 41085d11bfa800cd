//! Nodes of a ZooKeeper ensemble that stand for instances.
//!
//! One persistent recursive watch covers all nodes below the path, there or
//! not. Servers re-arm it after a reconnect without telling what was missed,
//! so every new connection reads everything again, as happens now and then in
//! any case. Nodes that vanish are gone; a connection that is lost says
//! nothing about nodes.

mod layout;
#[cfg(feature = "zookeeper")]
mod session;
mod settings;
#[cfg(feature = "zookeeper")]
mod walk;

pub use layout::Layout;
pub use settings::{NodePath, ServerAddress, ZookeeperSettings, ZookeeperTls};

use super::{Feed, News};

/// Tells what the nodes say, for ever.
#[cfg(feature = "zookeeper")]
pub async fn run(settings: ZookeeperSettings, feed: Feed) {
    let mut backoff = super::Backoff::default();
    let mut session = session::Session::new(settings, feed.clone());
    loop {
        let why = session.follow().await;
        feed.tell(News::Lost(why.to_string()));
        feed.pause(backoff.failed()).await;
    }
}

/// Tells that it cannot.
#[cfg(not(feature = "zookeeper"))]
pub async fn run(_: ZookeeperSettings, feed: Feed) {
    loop {
        feed.tell(News::Lost("this build is without ZooKeeper (feature `zookeeper`)".to_owned()));
        feed.list_wanted().await;
    }
}
