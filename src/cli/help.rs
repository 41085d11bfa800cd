//! `portolan help`: a verb, a diagnostic code, or everything.

use clap::CommandFactory;

use super::{Cli, config::Code, exit::UsageError, output::Output, text::BOLD};

/// Arguments of `help`.
#[derive(Debug, clap::Args)]
pub(super) struct HelpArgs {
    /// A diagnostic code such as P0101, or a verb
    #[arg(value_name = "CODE|VERB")]
    topic: Vec<String>,
}

impl HelpArgs {
    pub(super) fn perform(&self) -> anyhow::Result<Output> {
        if let [code] = self.topic.as_slice()
            && is_code(code)
        {
            let found = Code::find(code)
                .ok_or_else(|| UsageError(format!("there is no diagnostic {code}")))?;
            let (title, explanation) = (found.title(), found.explanation());
            let text =
                format!("{BOLD}{found}: {title}{BOLD:#} ({})\n\n{explanation}\n", found.severity());
            return Ok(Output::ok(text));
        }
        let mut command = Cli::command();
        command.build();
        let mut found = &mut command;
        for word in &self.topic {
            found = found.find_subcommand_mut(word).ok_or_else(|| {
                UsageError(format!("{word:?} is neither a verb nor a diagnostic code"))
            })?;
        }
        Ok(Output::ok(found.render_help().ansi().to_string()))
    }
}

/// `P0101`, in either case.
fn is_code(text: &str) -> bool {
    let digits = text.strip_prefix(['P', 'p']).unwrap_or_default();
    digits.len() == 4 && digits.bytes().all(|byte| byte.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::{super::testing::unstyled, *};

    fn help(topic: &[&str]) -> anyhow::Result<String> {
        let topic = topic.iter().map(|word| (*word).to_owned()).collect();
        HelpArgs { topic }.perform().map(|said| unstyled(&said.out))
    }

    #[test]
    fn verbs_and_nothing_at_all_have_help() {
        assert!(help(&[]).expect("help").contains("healthcheck"));
        assert!(help(&["explain"]).expect("help").contains("explain"));
        assert!(help(&["config", "schema"]).expect("help").contains("JSON schema"));
    }

    #[test]
    fn every_code_is_explained_in_either_case() {
        for code in Code::ALL {
            let text = help(&[&code.to_string().to_lowercase()]).expect("an explanation");
            assert!(text.starts_with(&format!("{code}: {}", code.title())), "{text}");
        }
    }

    #[test]
    fn what_is_no_topic_is_refused() {
        assert!(help(&["dance"]).is_err());
        assert!(is_code("p0101") && !is_code("P010") && !is_code("P01O1"));
    }
}
