//! `portolan check`: reads the file as `run` would, binds nothing, and says
//! everything that is wrong with it at once.

use std::path::Path;

use clap::ValueEnum;

use super::{
    config::{self, Config, Diagnostic, Report},
    exit::Exit,
    output::{self, Output},
    text::{GOOD, count, plain},
};
use crate::control::view::{DiagnosticView, ReloadView};

/// Arguments of `check`.
#[derive(Debug, Default, clap::Args)]
pub(super) struct CheckArgs {
    /// How the result looks: text, json or github
    #[arg(long, value_enum, default_value_t, value_name = "FORMAT", hide_possible_values = true)]
    format: CheckFormat,
    /// `-W error`: fail on warnings too
    #[arg(short = 'W', value_enum, value_name = "LEVEL", hide_possible_values = true)]
    warnings: Option<WarningLevel>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
enum CheckFormat {
    /// For people
    #[default]
    Text,
    /// The answer of the admin API to the same question
    Json,
    /// Annotations of GitHub Actions
    Github,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum WarningLevel {
    /// A warning is an error
    Error,
}

impl CheckArgs {
    pub(super) fn perform(&self, path: &Path) -> anyhow::Result<Output> {
        let (config, report) = match config::load(path) {
            Ok(loaded) => {
                let report = loaded.report();
                (Some(loaded.config), report)
            }
            Err(report) => (None, report),
        };
        self.output(path, config.as_ref(), &report)
    }

    fn output(
        &self,
        path: &Path,
        config: Option<&Config>,
        report: &Report,
    ) -> anyhow::Result<Output> {
        let strict = self.warnings.is_some();
        let good = config.filter(|_| !strict || report.diagnostics.is_empty());
        let mut output = Output::ok("").exit(Exit::yes(good.is_some()));
        match self.format {
            CheckFormat::Text => {
                output.out = good.map(|config| summary(path, config)).unwrap_or_default();
                output.err = report.render(output::stderr_has_color());
                if config.is_some() && good.is_none() {
                    output.err += "a warning is an error here, because of -W error\n";
                }
            }
            CheckFormat::Github => output.out = report.github(),
            CheckFormat::Json => {
                let view = ReloadView {
                    ok: good.is_some(),
                    changes: Vec::new(),
                    needs_restart: Vec::new(),
                    diagnostics: report.diagnostics.iter().map(view).collect(),
                };
                output.out = format!("{}\n", serde_json::to_string_pretty(&view)?);
            }
        }
        Ok(output)
    }
}

/// `proxy.toml: ok (3 routes, 2 services, 1 listener)`.
fn summary(path: &Path, config: &Config) -> String {
    // A service may also come into being by a route that names it.
    let named = config.route.iter().filter_map(|route| route.service.as_ref());
    let services: std::collections::BTreeSet<_> = config.service.keys().chain(named).collect();
    format!(
        "{}: {GOOD}ok{GOOD:#} ({}, {}, {})\n",
        plain(&path.display().to_string()),
        count(config.route.len(), "route"),
        count(services.len(), "service"),
        count(config.listener.len(), "listener"),
    )
}

fn view(found: &Diagnostic) -> DiagnosticView {
    DiagnosticView {
        severity: found.severity.to_string(),
        code: found.code.to_string(),
        message: found.message.clone(),
        file: found.file.clone(),
        line: found.line,
        column: found.column,
        help: found.help.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::{
        super::{config::Severity, testing::unstyled},
        *,
    };

    fn report(diagnostics: Vec<Diagnostic>) -> Report {
        Report { diagnostics, file: "proxy.toml".to_owned(), text: String::new() }
    }

    fn warned() -> Report {
        report(vec![Diagnostic {
            code: config::Code::ALL[0],
            severity: Severity::Warning,
            message: "route `old` can never match".to_owned(),
            file: "proxy.toml".to_owned(),
            line: 8,
            column: 1,
            label: String::new(),
            help: None,
            span: None,
            related: None,
        }])
    }

    fn output(args: &CheckArgs, config: Option<&Config>, report: &Report) -> Output {
        args.output(Path::new("proxy.toml"), config, report).expect("an output")
    }

    #[test]
    fn a_good_file_is_summed_up() {
        let config: Config = toml::from_str(
            "[service.a]\n[[route]]\npath = \"/a\"\nservice = \"a\"\n[[route]]\nservice = \"b\"\n",
        )
        .expect("a config");
        let said = output(&CheckArgs::default(), Some(&config), &report(Vec::new()));
        assert_eq!(
            (unstyled(&said.out).as_str(), said.exit),
            ("proxy.toml: ok (2 routes, 2 services, 1 listener)\n", Exit::Ok)
        );
    }

    #[test]
    fn warnings_fail_only_when_asked_to() {
        let config = Config::default();
        let lenient = output(&CheckArgs::default(), Some(&config), &warned());
        assert_eq!(lenient.exit, Exit::Ok);
        assert!(lenient.err.contains("can never match"));
        let strict = CheckArgs { warnings: Some(WarningLevel::Error), ..Default::default() };
        let strict = output(&strict, Some(&config), &warned());
        assert_eq!((strict.exit, strict.out.as_str()), (Exit::No, ""));
    }

    #[test]
    fn json_is_what_the_admin_api_answers() {
        let args = CheckArgs { format: CheckFormat::Json, warnings: None };
        let said = output(&args, None, &warned());
        let read: ReloadView = serde_json::from_str(&said.out).expect("a view");
        assert_eq!((read.ok, read.diagnostics[0].line), (false, 8));
        assert_eq!(said.exit, Exit::No);
    }
}
