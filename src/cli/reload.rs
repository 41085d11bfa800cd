//! `portolan reload`: has the running proxy read its config file again.

use http::Method;

use super::{
    client::{Client, TIMEOUT},
    exit::Exit,
    output::{Format, FormatArgs, Output},
    text::{BAD, GOOD, WARN, plain, styled},
};
use crate::control::view::{DiagnosticView, ReloadView};

/// Arguments of `reload`.
#[derive(Debug, clap::Args)]
pub(super) struct ReloadArgs {
    #[command(flatten)]
    format: FormatArgs,
}

impl ReloadArgs {
    pub(super) async fn ask(&self, client: &Client) -> anyhow::Result<Output> {
        let answer = client.call(Method::POST, "/api/v1/config/reload", None, TIMEOUT).await?;
        // A refused file is an answer too, whatever status it comes with.
        let Some(view) = answer.read::<ReloadView>() else {
            return Err(answer.json().map_or_else(|error| error, |_| answer.problem()).into());
        };
        let exit = Exit::yes(view.ok);
        Ok(match self.format.format {
            Format::Json => Output::of(Format::Json, &view, String::new)?.exit(exit),
            Format::Text => Output { out: changes(&view), err: problems(&view), exit },
        })
    }
}

fn changes(view: &ReloadView) -> String {
    if !view.ok {
        return String::new();
    }
    let nothing = if view.changes.is_empty() { ", nothing changed" } else { "" };
    let mut text = format!("{}{nothing}\n", styled(GOOD, "reloaded"));
    for change in &view.changes {
        text += &format!("  {}\n", plain(change));
    }
    for change in &view.needs_restart {
        text += &format!("  {} {}\n", styled(WARN, "needs a restart:"), plain(change));
    }
    text
}

fn problems(view: &ReloadView) -> String {
    let mut text = String::new();
    for found in &view.diagnostics {
        let DiagnosticView { severity, code, message, file, line, column, help } = found;
        let style = if severity == "error" { BAD } else { WARN };
        let kind = styled(style, &format!("{severity}[{code}]"));
        text += &format!("{kind}: {}\n  --> {}:{line}:{column}\n", plain(message), plain(file));
        if let Some(help) = help {
            text += &format!("  = help: {}\n", plain(help));
        }
    }
    if !view.ok {
        text += &format!("{}: the running config goes on as it was\n", styled(BAD, "refused"));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::{super::testing::*, *};

    async fn reload(status: u16, body: &'static str) -> Output {
        let admin = FakeAdmin::start(move |_| (status, body.to_owned())).await;
        ReloadArgs { format: FormatArgs::default() }.ask(&admin.client).await.expect("an answer")
    }

    #[tokio::test]
    async fn a_reload_tells_what_it_changed() {
        let said = reload(
            200,
            r#"{"ok":true,"changes":["+ route old"],"needs_restart":["workers: 2 to 4"],
               "diagnostics":[]}"#,
        )
        .await;
        assert_eq!(said.exit, Exit::Ok);
        insta::assert_snapshot!(unstyled(&said.out), @r"
        reloaded
          + route old
          needs a restart: workers: 2 to 4
        ");
    }

    #[tokio::test]
    async fn a_refused_file_is_told_with_its_problems() {
        let said = reload(
            422,
            r#"{"ok":false,"changes":[],"diagnostics":[{"severity":"error","code":"P0101",
               "message":"unknown key `pth`","file":"proxy.toml","line":3,"column":1,
               "help":"did you mean `path`?"}]}"#,
        )
        .await;
        assert_eq!((said.exit, said.out.as_str()), (Exit::No, ""));
        insta::assert_snapshot!(unstyled(&said.err), @r"
        error[P0101]: unknown key `pth`
          --> proxy.toml:3:1
          = help: did you mean `path`?
        refused: the running config goes on as it was
        ");
    }
}
