//! Who may order: of several proxies that share their names, one at a time.
//!
//! One proxy alone always may. Proxies that share a registry are to agree
//! through it once there are such; until then each orders for itself.

use std::{future::Future, pin::Pin};

/// A turn: whoever holds it is the only one that orders.
pub type Turn = Box<dyn Send>;

/// Gives turns.
pub trait Sole: Send + Sync {
    /// Waits for the turn to order for `name`. Others wait until it is dropped.
    fn turn<'a>(&'a self, name: &'a str) -> Pin<Box<dyn Future<Output = Turn> + Send + 'a>>;
}

/// The only proxy there is.
#[derive(Clone, Copy, Debug, Default)]
pub struct SoleIssuer;

impl Sole for SoleIssuer {
    fn turn<'a>(&'a self, _: &'a str) -> Pin<Box<dyn Future<Output = Turn> + Send + 'a>> {
        Box::pin(async { Box::new(()) as Turn })
    }
}
