//! What nodes and what they hold mean: one file for each form.
//!
//! Pure: the path of a node below that of the source and what it holds become
//! an instance, or a reason why it is none. A node that belongs to something
//! else holds nothing.

mod curator;
mod nerve;
mod serverset;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::ZookeeperSettings;
use crate::sources::{Found, entry};

/// A form of nodes and what they hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Layout {
    /// Curator's service discovery, which Spring Cloud Zookeeper uses.
    Curator,
    /// Members of a serverset, as Finagle and Aurora write them.
    Serverset,
    /// Nerve, of SmartStack.
    Nerve,
    /// JSON of another form, read by `fields`.
    Json,
}

/// The instances in the node at `path`, below that of the source.
pub(super) fn read(
    settings: &ZookeeperSettings,
    path: &str,
    data: &[u8],
) -> Result<Vec<Found>, String> {
    let Some(mut place) = settings.key.read(path) else { return Ok(Vec::new()) };
    if data.len() > entry::LARGEST {
        return Err(format!("it has {} bytes, more than {}", data.len(), entry::LARGEST));
    }
    place.service = place.service.or(settings.service.as_deref());
    let found = match settings.layout {
        Layout::Curator => curator::read(place, data),
        Layout::Serverset if !place.id.starts_with(serverset::MEMBER) => return Ok(Vec::new()),
        Layout::Serverset => serverset::read(place, data),
        Layout::Nerve => nerve::read(place, data),
        Layout::Json => settings.fields.read(place, data),
    };
    found.map(|found| vec![found])
}
