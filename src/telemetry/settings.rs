//! `[telemetry]`: what is written down.

use std::{num::NonZeroU32, path::PathBuf};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Logs.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct TelemetrySettings {
    /// How log lines look.
    pub log: LogFormat,
    /// The access log.
    pub access_log: AccessLogSettings,
}

/// How log lines look.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}

/// Which requests are logged.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum AccessLogMode {
    /// Every request.
    All,
    /// Those that the proxy failed, and those answered with 5xx.
    #[default]
    Errors,
    /// None.
    Off,
}

/// The access log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct AccessLogSettings {
    /// Which requests are logged.
    pub mode: AccessLogMode,
    /// How a line looks.
    pub format: LogFormat,
    /// A file to append to, opened anew on SIGUSR1. Default: standard output.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path: Option<PathBuf>,
    /// Write the query of the target too. It may hold secrets.
    pub query: bool,
    /// Lines that may wait to be written, over all workers. Further ones are
    /// dropped and counted in `portolan_access_log_dropped_total`.
    pub queue: NonZeroU32,
}

impl Default for AccessLogSettings {
    fn default() -> Self {
        Self {
            mode: AccessLogMode::default(),
            format: LogFormat::default(),
            path: None,
            query: false,
            queue: const { NonZeroU32::new(8192).unwrap() },
        }
    }
}
