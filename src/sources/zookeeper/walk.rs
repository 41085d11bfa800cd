//! All nodes of instances, read level by level.

use futures_util::{StreamExt, TryStreamExt, stream};
use zookeeper_client::{Client, Error};

use super::{
    ZookeeperSettings,
    session::{AT_ONCE, SessionError},
};

/// Nodes of a level that are taken.
const MOST: usize = 200_000;

/// What was read. Paths are below that of the source.
pub(super) struct Walked {
    /// The nodes of instances, and what each holds or why that is not known.
    pub(super) nodes: Vec<(String, Result<Vec<u8>, String>)>,
    /// Nodes whose children may not be read, and why.
    pub(super) closed: Vec<(String, String)>,
}

/// All nodes of instances. One that goes while this reads is not there; one
/// that may not be read takes nothing from the others.
pub(super) async fn nodes(
    client: &Client,
    settings: &ZookeeperSettings,
) -> Result<Walked, SessionError> {
    let base = &settings.path;
    let mut level = vec![String::new()];
    let mut closed = Vec::new();
    for depth in 0..settings.key.depth() {
        let lists = level.into_iter().map(|parent| async move {
            let path = base.join(&parent);
            let names = match client.list_children(&path).await {
                Ok(names) => names,
                Err(Error::NoNode) => Vec::new(),
                Err(error @ Error::NoAuth) if !parent.is_empty() => {
                    return Ok(Err((parent, error.to_string())));
                }
                Err(error) => return Err(SessionError::Read { path, error }),
            };
            let names = names.into_iter().filter(|name| settings.key.leads_through(depth, name));
            let child = |name: String| match parent.is_empty() {
                true => name,
                false => format!("{parent}/{name}"),
            };
            Ok(Ok(names.map(child).collect::<Vec<_>>()))
        });
        let mut lists = stream::iter(lists).buffer_unordered(AT_ONCE);
        level = Vec::new();
        while let Some(children) = lists.try_next().await? {
            match children {
                Ok(children) => level.extend(children),
                Err(parent) => closed.push(parent),
            }
            if level.len() > MOST {
                return Err(SessionError::TooMany(MOST));
            }
        }
    }
    let reads = level.into_iter().map(|path| async move {
        match client.get_data(&base.join(&path)).await {
            Ok((data, _)) => Ok(Some((path, Ok(data)))),
            Err(Error::NoNode) => Ok(None),
            Err(error @ Error::NoAuth) => Ok(Some((path, Err(error.to_string())))),
            Err(error) => Err(SessionError::Read { path: base.join(&path), error }),
        }
    });
    let read = stream::iter(reads).buffer_unordered(AT_ONCE);
    let nodes = read.try_filter_map(|node| async move { Ok(node) }).try_collect().await?;
    Ok(Walked { nodes, closed })
}
