//! How things stand with each name, for those who show it.

use std::time::SystemTime;

/// How things stand with one name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Standing {
    /// The name.
    pub name: String,
    /// Until when its certificate holds; none if there is none yet.
    pub not_after: Option<SystemTime>,
    /// When the next order for it is due.
    pub next: SystemTime,
    /// Orders that failed since the last one that did not.
    pub failures: u32,
    /// What was wrong with the last one of them.
    pub error: Option<String>,
}

/// What is told while certificates are kept.
#[derive(Clone, Debug)]
pub enum News {
    /// How things stand with all names, whenever that has changed.
    Standings(Vec<Standing>),
    /// There is a new certificate for a name.
    Obtained {
        /// The name.
        name: String,
        /// Until when it holds.
        not_after: SystemTime,
    },
    /// Another proxy has obtained one, and it was taken over.
    TakenOver {
        /// The name.
        name: String,
        /// Until when it holds.
        not_after: SystemTime,
        /// What the other is called.
        by: String,
    },
    /// There is none, and the one before, if any, stays.
    Failed {
        /// The name.
        name: String,
        /// Why not.
        error: String,
    },
}
