//! Where does this request go: patterns, the table, and its explanation.

pub mod host;
pub mod path;
mod pattern;
mod settings;

pub use pattern::{HostPattern, ParsePatternError, PathPrefix};
pub use settings::{
    HeaderEdits, HeaderNameText, HeaderValueText, MethodName, OneOrMany, RedirectSettings,
    RedirectStatus, RouteSettings,
};
