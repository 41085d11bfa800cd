//! `portolan register` and `portolan heartbeat`: for scripts, and for services
//! that cannot speak for themselves.

mod description;

use std::{num::NonZeroU16, time::Duration};

use http::{Method, StatusCode};
use serde::Deserialize;
use serde_json::Value;

use super::{
    client::{Client, ClientError, TIMEOUT},
    exit::Exit,
    output::{FormatArgs, Output},
    text::{WARN, plain, span, styled},
};
use crate::{
    control::view::RegisteredView,
    model::{HumanDuration, InstanceKey},
};
pub(super) use description::{Description, Place};

/// The path of an instance in the admin API.
pub(super) fn instance_path(key: &InstanceKey) -> String {
    format!("/api/v1/services/{}/instances/{}", key.service, key.id)
}

/// How long a call may take that waits for `wait` on the other side.
pub(super) fn patience(wait: HumanDuration) -> Duration {
    wait.0.saturating_add(Duration::from_secs(5))
}

/// Arguments of `register`.
#[derive(Debug, clap::Args)]
pub(super) struct RegisterArgs {
    /// The instance, such as orders/orders-7
    #[arg(value_name = "SERVICE/ID")]
    key: InstanceKey,
    /// Where it listens: 10.0.0.5:8080, or 10.0.0.5 with --port
    #[arg(short, long)]
    address: String,
    /// The port, if --address has none
    #[arg(short, long)]
    port: Option<NonZeroU16>,
    /// Forget it when no heartbeat comes for this long [default: never]
    #[arg(long, value_name = "DURATION")]
    ttl: Option<HumanDuration>,
    #[command(flatten)]
    description: Description,
    /// Answer once every worker routes to it
    #[arg(long)]
    wait: bool,
    /// How long --wait waits
    #[arg(long, default_value = "10s", value_name = "DURATION")]
    timeout: HumanDuration,
    #[command(flatten)]
    format: FormatArgs,
}

impl RegisterArgs {
    pub(super) async fn ask(&self, client: &Client) -> anyhow::Result<Output> {
        let mut path = instance_path(&self.key);
        let mut timeout = TIMEOUT;
        if self.wait {
            path += &format!("?wait=routable&timeout={}ms", self.timeout.0.as_millis());
            timeout = patience(self.timeout);
        }
        let place = Place::named(&self.address, self.port)?;
        let body = self.description.body(&place, self.ttl);
        let json = client.call(Method::PUT, &path, Some(&body), timeout).await?.json()?;
        let view = RegisteredView::deserialize(&json)?;
        let output = Output::of(self.format.format, &json, || registered(&view))?;
        Ok(output.exit(Exit::yes(!self.wait || view.routed)))
    }
}

fn registered(view: &RegisteredView) -> String {
    let instance = &view.instance;
    let verb = if view.created { "registered" } else { "updated" };
    let standing = match (&view.waiting_for, view.routed) {
        (_, true) => "every worker routes to it".to_owned(),
        (Some(waiting), false) => styled(WARN, &format!("waiting for {waiting}")),
        (None, false) => plain(&instance.why),
    };
    format!(
        "{} {verb} at {}: {}, {standing} (table {})\n",
        instance.instance.key(),
        instance.instance.origin.address,
        instance.state,
        view.version
    )
}

/// Arguments of `heartbeat`.
#[derive(Debug, clap::Args)]
pub(super) struct HeartbeatArgs {
    /// The instance, such as orders/orders-7
    #[arg(value_name = "SERVICE/ID")]
    key: InstanceKey,
}

impl HeartbeatArgs {
    pub(super) async fn ask(&self, client: &Client) -> anyhow::Result<Output> {
        let path = format!("{}/heartbeat", instance_path(&self.key));
        let answer = client.call(Method::POST, &path, None, TIMEOUT).await?;
        if !answer.status.is_success() {
            return match answer.problem() {
                ClientError::Refused(_) if answer.status == StatusCode::NOT_FOUND => {
                    let err = format!(
                        "{} is not registered; `portolan register` adds it again\n",
                        self.key
                    );
                    Ok(Output { out: String::new(), err, exit: Exit::No })
                }
                error => Err(error.into()),
            };
        }
        let left = answer.read::<Value>().and_then(|view| view["lease_left_ms"].as_u64());
        let left = left.map(|ms| format!(", lease {} left", span(ms))).unwrap_or_default();
        Ok(Output::ok(format!("{} renewed{left}\n", self.key)))
    }
}

#[cfg(test)]
mod tests;
