//! `proxy.toml`: any text is a config or has an error at a place in it, and a
//! config that is written down is read as the same one.

use portolan::config::{Severity, parse};

/// Reads `data` as a config.
pub fn check(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    // No file of this machine is to be read.
    if text.contains("${") {
        return;
    }
    match parse(text, "proxy.toml", &|_| None) {
        Ok(loaded) => {
            let written = toml::to_string(&loaded.config).expect("TOML");
            let again = parse(&written, "proxy.toml", &|_| None);
            let again =
                again.unwrap_or_else(|report| panic!("{:?}\n{written}", report.diagnostics));
            assert_eq!(again.config, loaded.config, "{written}");
        }
        Err(report) => {
            let errors = report.diagnostics.iter().filter(|it| it.severity == Severity::Error);
            assert!(errors.count() > 0, "refused without an error");
            for found in &report.diagnostics {
                assert!(!found.message.is_empty());
                let Some(span) = &found.span else { continue };
                assert!(text.get(span.clone()).is_some(), "{found:?} is not in {text:?}");
                let lines = text.split('\n').count() as u32;
                assert!((1..=lines).contains(&found.line), "{found:?}");
            }
        }
    }
}
