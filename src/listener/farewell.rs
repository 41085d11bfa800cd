//! What becomes of client connections when a worker stops accepting.

/// What becomes of client connections when a worker stops accepting.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Farewell {
    /// They end: the next response says so, and those that stay idle are
    /// closed.
    #[default]
    Close,
    /// Another process serves them: each moves there between two requests, and
    /// its client is told nothing.
    Move,
}
