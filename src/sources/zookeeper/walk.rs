//! All nodes of instances, read level by level.

use futures_util::{StreamExt, TryStreamExt, stream};
use zookeeper_client::{Client, Error};

use super::{
    ZookeeperSettings,
    session::{AT_ONCE, SessionError},
};

/// Nodes of a level that are taken.
const MOST: usize = 200_000;

/// The nodes of instances: the path of each below that of the source, and what
/// it holds. A node that goes while this reads is not there.
pub(super) async fn nodes(
    client: &Client,
    settings: &ZookeeperSettings,
) -> Result<Vec<(String, Vec<u8>)>, SessionError> {
    let base = &settings.path;
    let mut level = vec![String::new()];
    for depth in 0..settings.key.depth() {
        let lists = level.into_iter().map(|parent| async move {
            let path = base.join(&parent);
            let names = match client.list_children(&path).await {
                Ok(names) => names,
                Err(Error::NoNode) => Vec::new(),
                Err(error) => return Err(SessionError::Read { path, error }),
            };
            let names = names.into_iter().filter(|name| settings.key.leads_through(depth, name));
            let child = |name: String| match parent.is_empty() {
                true => name,
                false => format!("{parent}/{name}"),
            };
            Ok(names.map(child).collect::<Vec<_>>())
        });
        let mut lists = stream::iter(lists).buffer_unordered(AT_ONCE);
        level = Vec::new();
        while let Some(children) = lists.try_next().await? {
            level.extend(children);
            if level.len() > MOST {
                return Err(SessionError::TooMany(MOST));
            }
        }
    }
    let reads = level.into_iter().map(|path| async move {
        match client.get_data(&base.join(&path)).await {
            Ok((data, _)) => Ok(Some((path, data))),
            Err(Error::NoNode) => Ok(None),
            Err(error) => Err(SessionError::Read { path: base.join(&path), error }),
        }
    });
    let read = stream::iter(reads).buffer_unordered(AT_ONCE);
    read.try_filter_map(|node| async move { Ok(node) }).try_collect().await
}
