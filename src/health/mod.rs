//! Active health: probes, the threshold counter, and the loop that runs them.

mod settings;

pub use settings::ProberSettings;
