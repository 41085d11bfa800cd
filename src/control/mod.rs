//! The control plane: the catalog, the reconciler that is its only writer, and
//! the handle that the admin API has on both.

mod catalog;
mod compile;
mod error;
mod explain;
mod handle;
mod happening;
mod reconciler;
mod routes;
mod shared;
pub mod show;
pub mod view;

pub use error::ControlError;
pub use explain::Question;
pub use handle::{Control, Parts, RegisterRequest};
pub use happening::{EventId, HistoryGone, Replay};
pub use show::ServiceFilter;
