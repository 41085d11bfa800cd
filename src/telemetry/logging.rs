//! The log of the process itself, on standard error.
//!
//! Text that is given as a field (`host = "…"`, `?host`) is escaped; what is
//! given with `%` is written as it is in text, and might end the line. So
//! nothing that a client or an instance chose is given with `%`.

use std::{env, io};

use tracing_subscriber::{
    EnvFilter, Layer, Registry, fmt::MakeWriter, layer::SubscriberExt, util::SubscriberInitExt,
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
    let layer = lines(format, color, io::stderr);
    let first = tracing_subscriber::registry().with(layer.with_filter(filter)).try_init().is_ok();
    if let Some(problem) = problem.filter(|_| first) {
        tracing::warn!("{problem}; logging at level {DEFAULT_FILTER:?}");
    }
}

/// Writes each event as one line.
fn lines<W>(format: LogFormat, color: bool, writer: W) -> Box<dyn Layer<Registry> + Send + Sync>
where
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    let lines = tracing_subscriber::fmt::layer().with_writer(writer);
    match format {
        LogFormat::Text => lines.compact().with_target(false).with_ansi(color).boxed(),
        LogFormat::Json => lines.json().flatten_event(true).with_span_list(false).boxed(),
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
    use std::{
        io::{Read, Seek},
        sync::Arc,
    };

    use super::*;

    fn logged(format: LogFormat) -> String {
        let mut file = tempfile::tempfile().expect("a file");
        let writer = Arc::new(file.try_clone().expect("the same file"));
        let subscriber = tracing_subscriber::registry().with(lines(format, false, writer));
        tracing::subscriber::with_default(subscriber, || {
            tracing::warn!(service = "orders", forged = "a\nb\u{1b}[2J", path = %"c\nd", "gone");
        });
        let mut text = String::new();
        file.rewind().expect("rewinds");
        file.read_to_string(&mut text).expect("UTF-8");
        text
    }

    #[test]
    fn json_is_one_object_a_line() {
        let text = logged(LogFormat::Json);
        assert_eq!(text.lines().count(), 1, "{text:?}");
        let line: serde_json::Value = serde_json::from_str(&text).expect("JSON");
        assert_eq!((&line["level"], &line["message"]), (&"WARN".into(), &"gone".into()));
        assert_eq!((&line["service"], &line["path"]), (&"orders".into(), &"c\nd".into()));
    }

    #[test]
    fn text_is_time_level_message_and_fields() {
        let text = logged(LogFormat::Text);
        let (_, rest) = text.split_once(" WARN ").expect("a level");
        assert!(rest.starts_with("gone service=\"orders\""), "{text:?}");
        assert!(!text.contains('\u{1b}'), "{text:?}");
    }

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
