//! `portolan token`: makes a bearer token and what `proxy.toml` keeps of it.

use std::{fmt::Write as _, fs::File, io::Read};

use anyhow::Context;
use clap::ValueEnum;
use serde::Serialize;
use sha2::{Digest, Sha256};

use super::{
    exit::UsageError,
    output::{FormatArgs, Output},
    text::{BOLD, DIM},
};
use crate::admin::{Scope, TokenSettings};

/// Arguments of `token`.
#[derive(Debug, clap::Args)]
pub(super) struct TokenArgs {
    /// How it is called in logs
    #[arg(long, default_value = "operator")]
    name: String,
    /// What it allows: read, register or admin
    #[arg(long, value_enum, default_value = "admin", hide_possible_values = true)]
    scope: ScopeWord,
    /// A service it may register, * for any characters; may be given several
    /// times, only with --scope register
    #[arg(long = "service", value_name = "PATTERN")]
    services: Vec<String>,
    #[command(flatten)]
    format: FormatArgs,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum ScopeWord {
    /// Look
    Read,
    /// Register, renew, drain and deregister
    Register,
    /// Everything
    Admin,
}

impl From<ScopeWord> for Scope {
    fn from(word: ScopeWord) -> Self {
        match word {
            ScopeWord::Read => Self::Read,
            ScopeWord::Register => Self::Register,
            ScopeWord::Admin => Self::Admin,
        }
    }
}

#[derive(Debug, Serialize)]
struct TokenView {
    token: String,
    sha256: String,
    toml: String,
}

impl TokenArgs {
    pub(super) fn perform(&self) -> anyhow::Result<Output> {
        let registers = self.scope == ScopeWord::Register;
        if registers && self.services.is_empty() {
            let sentence = "--scope register needs --service PATTERN; '*' is every service";
            return Err(UsageError(sentence.to_owned()).into());
        }
        if !registers && !self.services.is_empty() {
            return Err(UsageError("--service goes with --scope register".to_owned()).into());
        }
        let mut secret = [0; 32];
        let mut random = File::open("/dev/urandom").context("no source of randomness")?;
        random.read_exact(&mut secret).context("no randomness")?;
        let view = self.view(&secret)?;
        Output::of(self.format.format, &view, || text(&view))
    }

    fn view(&self, secret: &[u8; 32]) -> anyhow::Result<TokenView> {
        // The prefix lets scanners of repositories tell what they have found.
        let token = format!("ptl_{}", hex(secret));
        let sha256 = hex(&Sha256::digest(&token));
        let settings = TokenSettings {
            name: self.name.clone(),
            sha256: sha256.clone(),
            scope: self.scope.into(),
            services: self.services.clone(),
            addresses: Vec::new(),
        };
        let mut section = toml::Table::try_from(settings)?;
        section.retain(|_, value| value.as_array().is_none_or(|list| !list.is_empty()));
        let toml = format!("[[admin.token]]\n{section}");
        Ok(TokenView { token, sha256, toml })
    }
}

fn text(view: &TokenView) -> String {
    format!(
        "{BOLD}{}{BOLD:#}\n\n{DIM}# The token is shown this once. In proxy.toml:{DIM:#}\n{}",
        view.token, view.toml
    )
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(2 * bytes.len()), |mut text, byte| {
        // Writing to a string cannot fail.
        write!(text, "{byte:02x}").ok();
        text
    })
}

#[cfg(test)]
mod tests {
    use super::{super::testing::unstyled, *};

    fn args(scope: ScopeWord, services: &[&str]) -> TokenArgs {
        let services = services.iter().map(|name| (*name).to_owned()).collect();
        TokenArgs { name: "deploy".to_owned(), scope, services, format: FormatArgs::default() }
    }

    #[test]
    fn the_block_goes_into_proxy_toml_as_it_is() {
        let view = args(ScopeWord::Register, &["orders-*"]).view(&[7; 32]).expect("a token");
        assert_eq!(view.token.len(), 4 + 64);
        assert_eq!(view.sha256, hex(&Sha256::digest(&view.token)));
        let config: crate::config::Config = toml::from_str(&view.toml).expect("a config");
        assert_eq!(config.admin.token[0].sha256, view.sha256);
        assert_eq!(config.admin.token[0].services, ["orders-*"]);
        let shown = unstyled(&text(&view)).replace(&view.sha256, "SHA");
        insta::assert_snapshot!(shown, @r#"
        ptl_0707070707070707070707070707070707070707070707070707070707070707

        # The token is shown this once. In proxy.toml:
        [[admin.token]]
        name = "deploy"
        sha256 = "SHA"
        scope = "register"
        services = ["orders-*"]
        "#);
    }

    #[test]
    fn no_two_are_alike() {
        let make = || args(ScopeWord::Admin, &[]).perform().expect("a token").out;
        assert_ne!(make(), make());
    }

    #[test]
    fn scope_and_services_go_together() {
        assert!(args(ScopeWord::Register, &[]).perform().is_err());
        assert!(args(ScopeWord::Read, &["orders"]).perform().is_err());
    }
}
