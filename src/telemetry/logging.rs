//! The log of the process itself, on standard error.

use std::{env, io};

use tracing_subscriber::{
    EnvFilter, Layer, Registry, layer::SubscriberExt, util::SubscriberInitExt,
};

use super::LogFormat;

/// What is logged unless the environment says otherwise.
const DEFAULT_FILTER: &str = "info";

/// Sends log lines to standard error. `PORTOLAN_LOG`, or else `RUST_LOG`,
/// says which: `debug`, or `info,portolan::health=trace`. `color` is for
/// terminals and for text only.
///
/// Only the first call in a process has an effect, also when somebody else
/// has set up `tracing` before.
pub fn init(format: LogFormat, color: bool) {
    let (filter, problem) = filter(|name| env::var(name).ok());
    let lines = tracing_subscriber::fmt::layer().with_writer(io::stderr);
    let layer: Box<dyn Layer<Registry> + Send + Sync> = match format {
        LogFormat::Text => lines.compact().with_target(false).with_ansi(color).boxed(),
        LogFormat::Json => lines.json().flatten_event(true).with_span_list(false).boxed(),
    };
    let first = tracing_subscriber::registry().with(layer.with_filter(filter)).try_init().is_ok();
    if let Some(problem) = problem.filter(|_| first) {
        tracing::warn!("{problem}; logging at level {DEFAULT_FILTER:?}");
    }
}

/// The filter that the environment asks for, and what is wrong with it.
fn filter(variable: impl Fn(&str) -> Option<String>) -> (EnvFilter, Option<String>) {
    let set = ["PORTOLAN_LOG", "RUST_LOG"]
        .into_iter()
        .find_map(|name| Some((name, variable(name).filter(|text| !text.trim().is_empty())?)));
    let Some((name, text)) = set else {
        return (EnvFilter::new(DEFAULT_FILTER), None);
    };
    match EnvFilter::try_new(&text) {
        Ok(filter) => (filter, None),
        Err(error) => {
            let problem = format!("{name}={text:?} is not a log filter: {error}");
            (EnvFilter::new(DEFAULT_FILTER), Some(problem))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_call_is_harmless() {
        init(LogFormat::Text, false);
        init(LogFormat::Json, true);
    }

    #[test]
    fn the_own_variable_goes_before_the_common_one() {
        let (found, problem) = filter(|name| match name {
            "PORTOLAN_LOG" => Some("debug".into()),
            _ => Some("trace".into()),
        });
        assert_eq!((found.to_string().as_str(), problem), ("debug", None));
        let (found, _) = filter(|name| (name == "RUST_LOG").then(|| "trace".into()));
        assert_eq!(found.to_string(), "trace");
    }

    #[test]
    fn a_bad_filter_is_named_and_not_followed() {
        let (found, problem) = filter(|_| Some("portolan=loud".into()));
        assert_eq!(found.to_string(), "info");
        assert!(problem.is_some_and(|text| text.contains("PORTOLAN_LOG=\"portolan=loud\"")));
        let (found, problem) = filter(|_| Some(" ".into()));
        assert_eq!((found.to_string().as_str(), problem), ("info", None));
    }
}
