//! `portolan register` and `portolan heartbeat`: for scripts, and for services
//! that cannot speak for themselves.

use std::{collections::BTreeMap, net::Ipv6Addr, num::NonZeroU16, time::Duration};

use http::{Method, StatusCode};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{
    client::{Client, ClientError, TIMEOUT},
    exit::{Exit, UsageError},
    output::{FormatArgs, Output},
    text::{WARN, plain, span, styled},
};
use crate::{
    control::view::RegisteredView,
    model::{HumanDuration, InstanceKey, Origin, Weight},
};

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
    /// Its share of requests, 1 to 1000 [default: 100]
    #[arg(short, long, value_parser = weight)]
    weight: Option<Weight>,
    /// Probe it by GET on this path [default: open a TCP connection]
    #[arg(long, value_name = "PATH")]
    health_path: Option<String>,
    /// A free word; may be given several times
    #[arg(long = "tag", value_name = "WORD")]
    tags: Vec<String>,
    /// A free pair; may be given several times
    #[arg(long = "meta", value_name = "KEY=VALUE", value_parser = pair)]
    metadata: Vec<(String, String)>,
    /// The failure domain it runs in
    #[arg(long)]
    zone: Option<String>,
    /// The version of the program
    #[arg(long, value_name = "VERSION")]
    version_label: Option<String>,
    /// Answer once every worker routes to it
    #[arg(long)]
    wait: bool,
    /// How long --wait waits
    #[arg(long, default_value = "10s", value_name = "DURATION")]
    timeout: HumanDuration,
    #[command(flatten)]
    format: FormatArgs,
}

fn weight(text: &str) -> Result<Weight, String> {
    let number: i64 = text.parse().map_err(|_| format!("{text:?} is not a whole number"))?;
    Weight::try_from(number).map_err(|error| error.to_string())
}

fn pair(text: &str) -> Result<(String, String), String> {
    let split = text.split_once('=').filter(|(key, _)| !key.is_empty());
    let (key, value) = split.ok_or_else(|| format!("{text:?} is not KEY=VALUE"))?;
    Ok((key.to_owned(), value.to_owned()))
}

impl RegisterArgs {
    pub(super) async fn ask(&self, client: &Client) -> anyhow::Result<Output> {
        let mut path = instance_path(&self.key);
        let mut timeout = TIMEOUT;
        if self.wait {
            path += &format!("?wait=routable&timeout={}ms", self.timeout.0.as_millis());
            timeout = patience(self.timeout);
        }
        let body = self.body()?;
        let json = client.call(Method::PUT, &path, Some(&body), timeout).await?.json()?;
        let view = RegisteredView::deserialize(&json)?;
        let output = Output::of(self.format.format, &json, || registered(&view))?;
        Ok(output.exit(Exit::yes(!self.wait || view.routed)))
    }

    /// What is registered, but for the names: those stand in the path.
    fn body(&self) -> anyhow::Result<Value> {
        let mut body = json!({ "address": origin(&self.address, self.port)? });
        let mut set = |key: &str, value: Value| {
            if !value.is_null() && value != json!([]) && value != json!({}) {
                body[key] = value;
            }
        };
        set("weight", json!(self.weight));
        set("zone", json!(self.zone));
        set("version", json!(self.version_label));
        set("tags", json!(self.tags));
        set("metadata", json!(self.metadata.iter().cloned().collect::<BTreeMap<_, _>>()));
        set("ttl", json!(self.ttl));
        if let Some(path) = &self.health_path {
            set("health", json!({ "path": path }));
        }
        Ok(body)
    }
}

fn origin(address: &str, port: Option<NonZeroU16>) -> anyhow::Result<Origin> {
    let full = match port {
        None => address.to_owned(),
        Some(port) if address.parse::<Ipv6Addr>().is_ok() => format!("[{address}]:{port}"),
        Some(port) => format!("{address}:{port}"),
    };
    full.parse().map_err(|error| UsageError(format!("--address: {error}")).into())
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
