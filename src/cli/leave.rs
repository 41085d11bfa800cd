//! `portolan drain` and `portolan deregister`: the two ways to leave, both able
//! to say when it is safe to exit.

use http::Method;
use serde::Deserialize;

use super::{
    client::{Client, TIMEOUT},
    exit::Exit,
    output::{FormatArgs, Output},
    register::{instance_path, patience},
    text::{GOOD, WARN, plain, styled},
};
use crate::{
    control::view::LeavingView,
    model::{HumanDuration, InstanceKey},
};

/// Arguments of `drain` and `deregister`.
#[derive(Debug, clap::Args)]
pub(super) struct LeaveArgs {
    /// The instance, such as orders/orders-7
    #[arg(value_name = "SERVICE/ID")]
    key: InstanceKey,
    /// Answer once nothing is sent to it and nothing is in flight on it
    #[arg(long)]
    wait: bool,
    /// How long --wait waits
    #[arg(long, default_value = "30s", value_name = "DURATION")]
    timeout: HumanDuration,
    #[command(flatten)]
    format: FormatArgs,
}

impl LeaveArgs {
    /// Stops sending to it; it stays registered.
    pub(super) async fn drain(&self, client: &Client) -> anyhow::Result<Output> {
        let path = format!("{}/drain", instance_path(&self.key));
        self.ask(client, Method::POST, path).await
    }

    /// Takes it out of the registry.
    pub(super) async fn deregister(&self, client: &Client) -> anyhow::Result<Output> {
        self.ask(client, Method::DELETE, instance_path(&self.key)).await
    }

    async fn ask(
        &self,
        client: &Client,
        method: Method,
        mut path: String,
    ) -> anyhow::Result<Output> {
        let mut timeout = TIMEOUT;
        if self.wait {
            path += &format!("?wait=drained&timeout={}ms", self.timeout.0.as_millis());
            timeout = patience(self.timeout);
        }
        let json = client.call(method, &path, None, timeout).await?.json()?;
        let view = LeavingView::deserialize(&json)?;
        let output = Output::of(self.format.format, &json, || left(&self.key, &view))?;
        Ok(output.exit(Exit::yes(!self.wait || view.drained)))
    }
}

fn left(key: &InstanceKey, view: &LeavingView) -> String {
    let LeavingView { in_flight, completed, client_gone, retried, cut, .. } = *view;
    let is_known = u64::from(in_flight) + completed + client_gone + retried + cut > 0;
    if !view.found && !is_known {
        return format!("{key} was not registered\n");
    }
    let table = view.version;
    if view.drained {
        let drained = styled(GOOD, "drained");
        return format!(
            "{key} {drained}, safe to stop: {}, 0 in flight (table {table})\n",
            ended(view)
        );
    }
    let unconfirmed = match &view.unconfirmed[..] {
        [] => String::new(),
        names => format!(", not confirmed by {}", plain(&names.join(", "))),
    };
    format!(
        "{key} {}: {} still in flight, {}{unconfirmed} (table {table})\n",
        styled(WARN, "draining"),
        view.in_flight,
        ended(view)
    )
}

/// How those ended that have since it began to leave.
fn ended(view: &LeavingView) -> String {
    let mut text = format!("{} finished", view.completed);
    if view.client_gone > 0 {
        text += &format!(", {} left by their client", view.client_gone);
    }
    if view.retried > 0 {
        text += &format!(", {} retried", view.retried);
    }
    if view.cut > 0 {
        text += &format!(", {}", styled(WARN, &format!("{} cut", view.cut)));
    }
    text
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::{super::testing::FakeAdmin, *};

    #[derive(Parser)]
    struct Parsed {
        #[command(flatten)]
        args: LeaveArgs,
    }

    fn args(words: &[&str]) -> LeaveArgs {
        let words = ["leave", "orders/a"].iter().chain(words);
        Parsed::try_parse_from(words).expect("arguments").args
    }

    fn answer(drained: bool) -> String {
        format!(
            r#"{{"drained":{drained},"in_flight":{},"completed":4,"version":9,"found":true}}"#,
            u8::from(!drained)
        )
    }

    #[tokio::test]
    async fn drained_is_safe_to_stop() {
        let admin = FakeAdmin::start(|_| (200, answer(true))).await;
        let said = args(&["--wait"]).deregister(&admin.client).await.expect("an answer");
        assert_eq!(said.exit, Exit::Ok);
        insta::assert_snapshot!(super::super::testing::unstyled(&said.out),
            @"orders/a drained, safe to stop: 4 finished, 0 in flight (table 9)");
        let call =
            "DELETE /api/v1/services/orders/instances/a?wait=drained&timeout=30000ms Bearer secret";
        assert_eq!(admin.asked()[0].0, call);
    }

    #[tokio::test]
    async fn who_has_not_confirmed_is_named() {
        let answer = r#"{"drained":false,"in_flight":0,"completed":4,"version":9,"found":true,
            "unconfirmed":["proxy-2"]}"#;
        let admin = FakeAdmin::start(move |_| (202, answer.to_owned())).await;
        let said = args(&["--wait"]).deregister(&admin.client).await.expect("an answer");
        assert_eq!(said.exit, Exit::No);
        insta::assert_snapshot!(super::super::testing::unstyled(&said.out),
            @"orders/a draining: 0 still in flight, 4 finished, not confirmed by proxy-2 (table 9)");
    }

    #[tokio::test]
    async fn a_wait_that_ran_out_is_a_no() {
        let admin = FakeAdmin::start(|_| (202, answer(false))).await;
        let waited = args(&["--wait", "--timeout", "1s"]).drain(&admin.client).await;
        assert_eq!(waited.expect("an answer").exit, Exit::No);
        let not_waited = args(&[]).drain(&admin.client).await.expect("an answer");
        assert_eq!(not_waited.exit, Exit::Ok);
        let call = "POST /api/v1/services/orders/instances/a/drain Bearer secret";
        assert_eq!(admin.asked()[1].0, call);
    }
}
