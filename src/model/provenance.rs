//! Who has named an instance, as far as it decides what its address may be.

/// Who has named an instance.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Provenance {
    /// The config file.
    Named,
    /// It registered here.
    Registered,
    /// A source has it.
    Sourced {
        /// Whether it may have a loopback address; as registered ones if that
        /// is not said.
        allow_loopback: Option<bool>,
    },
}
