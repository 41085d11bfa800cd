//! `proxy.toml`: parse with positions, validate, diagnose.

mod settings;

pub use settings::Config;
