//! `portolan upgrade`: has the running proxy start its program anew and hand
//! over to it.

use std::time::Duration;

use http::Method;

use super::{
    client::Client,
    exit::Exit,
    output::{Format, FormatArgs, Output},
    text::{BAD, GOOD, plain, styled},
};
use crate::control::view::UpgradeView;

/// Longer than the proxy waits for the new process.
const TIMEOUT: Duration = Duration::from_secs(120);

/// Arguments of `upgrade`.
#[derive(Debug, clap::Args)]
pub(super) struct UpgradeArgs {
    #[command(flatten)]
    format: FormatArgs,
}

impl UpgradeArgs {
    pub(super) async fn ask(&self, client: &Client) -> anyhow::Result<Output> {
        let answer = client.call(Method::POST, "/api/v1/upgrade", None, TIMEOUT).await?;
        // That nobody took over is an answer too.
        let Some(view) = answer.read::<UpgradeView>() else {
            return Err(answer.json().map_or_else(|error| error, |_| answer.problem()).into());
        };
        let exit = Exit::yes(view.ok);
        Ok(match self.format.format {
            Format::Json => Output::of(Format::Json, &view, String::new)?.exit(exit),
            Format::Text => Output { out: serves(&view), err: refusal(&view), exit },
        })
    }
}

fn serves(view: &UpgradeView) -> String {
    let (Some(pid), Some(program)) = (view.pid, &view.program) else { return String::new() };
    let upgraded = styled(GOOD, "upgraded");
    format!(
        "{upgraded}: process {pid} serves, version {}, after {} ms\n",
        plain(program),
        view.took_ms
    )
}

fn refusal(view: &UpgradeView) -> String {
    if view.ok {
        return String::new();
    }
    let problems = view.problems.lines().map(|line| format!("{}\n", plain(line)));
    let (mut text, refused) = (problems.collect::<String>(), styled(BAD, "refused"));
    text += &format!("{refused}: {}; the running process goes on\n", plain(&view.why));
    text
}

#[cfg(test)]
mod tests {
    use super::{super::testing::*, *};

    async fn upgrade(status: u16, body: &'static str) -> Output {
        let admin = FakeAdmin::start(move |_| (status, body.to_owned())).await;
        let args = UpgradeArgs { format: FormatArgs::default() };
        let said = args.ask(&admin.client).await.expect("an answer");
        assert_eq!(admin.asked()[0].0, "POST /api/v1/upgrade Bearer secret");
        said
    }

    #[tokio::test]
    async fn the_new_process_is_named() {
        let said = upgrade(200, r#"{"ok":true,"pid":4242,"program":"0.2.0","took_ms":80}"#).await;
        assert_eq!(said.exit, Exit::Ok);
        insta::assert_snapshot!(unstyled(&said.out),
            @"upgraded: process 4242 serves, version 0.2.0, after 80 ms");
    }

    #[tokio::test]
    async fn why_nobody_took_over_is_told() {
        let said = upgrade(
            409,
            r#"{"ok":false,"took_ms":20,"why":"the config file is refused: 1 error",
               "problems":"error[P0101]: unknown key `pth`\n"}"#,
        )
        .await;
        assert_eq!((said.exit, said.out.as_str()), (Exit::No, ""));
        insta::assert_snapshot!(unstyled(&said.err), @r"
        error[P0101]: unknown key `pth`
        refused: the config file is refused: 1 error; the running process goes on
        ");
    }
}
