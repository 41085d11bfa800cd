//! The control plane: the catalog, the reconciler that is its only writer, and
//! the handle that the admin API has on both.

mod catalog;
mod certificates;
mod compile;
mod departing;
pub mod diagnosis;
mod entry;
mod error;
mod explain;
mod fellows;
mod fronts;
mod handle;
mod happening;
mod inheritance;
mod leave;
mod predecessor;
mod process;
mod reconciler;
mod registering;
mod routes;
mod scrape;
mod shared;
mod show;
mod slow_start;
mod source_memory;
mod sources;
mod status;
#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;
pub mod view;

pub use error::ControlError;
pub use explain::Question;
pub use fronts::{Extent, Resident};
pub use handle::{Control, Parts, RegisterRequest, Reloaded};
pub use happening::{EventId, HistoryGone, Replay};
pub use inheritance::Inheritance;
pub use leave::Leave;
pub use predecessor::{InFlightReport, Leaver, PredecessorFeed};
pub use registering::Registering;
pub use show::ServiceFilter;
