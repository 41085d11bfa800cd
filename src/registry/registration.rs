//! What is registered, by whom, and the answers to those who ask.

use std::time::Duration;

use crate::model::Instance;

/// An instance as the registry holds it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Registration {
    /// As registered.
    pub instance: Instance,
    /// Which registration this is: counts up over the whole store and is
    /// never given twice, restarts and removals included.
    pub generation: u64,
    /// Whether it is leaving.
    pub draining: bool,
    /// The token that made it; none if no token was asked for.
    pub owner: Option<String>,
}

/// Who asks. Whether a token may touch the service at all was decided before;
/// here it is only told apart from other tokens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Caller {
    /// May touch every instance. Carries the name of the token, if any. What
    /// a token owns stays its own when an admin edits it.
    Admin(Option<String>),
    /// The name of a token that may touch only what it made.
    Token(String),
}

impl Caller {
    /// Whether this caller may touch what `owner` made.
    #[must_use]
    pub fn may_touch(&self, owner: Option<&str>) -> bool {
        match self {
            Self::Admin(_) => true,
            Self::Token(name) => owner == Some(name),
        }
    }

    /// The name of the token.
    #[must_use]
    pub fn name(&self) -> Option<&str> {
        match self {
            Self::Admin(name) => name.as_deref(),
            Self::Token(name) => Some(name),
        }
    }
}

/// The answer to a registration: it is on disk.
#[derive(Clone, Debug)]
pub struct Registered {
    /// Whether the id was free before.
    pub created: bool,
    /// False if it was registered with the very same body: its lease was
    /// renewed and nothing else happened.
    pub changed: bool,
    /// As it now stands.
    pub registration: Registration,
}

/// The answer to a heartbeat.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Renewed {
    /// Which registration was renewed.
    pub generation: u64,
    /// Whether it is leaving.
    pub draining: bool,
    /// How long it now lives without another heartbeat; none for ever.
    pub ttl: Option<Duration>,
}
