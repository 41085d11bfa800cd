//! `portolan config schema` and `portolan config reference`: what goes into
//! `proxy.toml`, for editors and for people.

use super::{config, output::Output};

/// What to tell about the config file.
#[derive(Debug, clap::Subcommand)]
pub(super) enum ConfigVerb {
    /// Print the JSON schema of proxy.toml, for completion in editors
    #[command(after_help = "\
Example:
  portolan config schema > proxy.schema.json
  and as the first line of proxy.toml:  #:schema ./proxy.schema.json")]
    Schema,
    /// Print every key of proxy.toml with its meaning, as Markdown
    Reference,
}

impl ConfigVerb {
    pub(super) fn perform(&self) -> anyhow::Result<Output> {
        Ok(Output::ok(match self {
            Self::Schema => format!("{}\n", serde_json::to_string_pretty(&config::schema())?),
            Self::Reference => config::reference(),
        }))
    }
}
