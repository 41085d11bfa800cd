//! Where does this request go: patterns, routes, the table of both and of the
//! services behind them, and how it reaches the workers.

pub mod host;
pub mod path;
mod pattern;
mod publish;
mod route;
mod router;
mod settings;
mod table;
mod template;

pub use pattern::{HostPattern, ParsePatternError, PathPrefix};
pub use publish::{Publisher, Reader, Watcher, channel};
pub use route::{Action, Edits, Route, Slot, join};
pub use router::{Lookup, Router};
pub use settings::{
    HeaderEdits, HeaderNameText, HeaderValueText, MethodName, OneOrMany, RedirectSettings,
    RedirectStatus, RouteSettings,
};
pub use table::{Service, ServiceState, Services, Slots, Table};
