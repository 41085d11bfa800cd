//! What a registration says about an instance beside its names and its lease:
//! the options that `register` and `exec` have in common, and the body that
//! comes of them.

use std::{collections::BTreeMap, net::Ipv6Addr, num::NonZeroU16};

use serde_json::{Value, json};

use super::super::exit::UsageError;
use crate::model::{HumanDuration, Origin, Weight};

/// Options that describe an instance.
#[derive(Clone, Debug, Default, clap::Args)]
pub(in crate::cli) struct Description {
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

/// Where an instance listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::cli) enum Place {
    /// At this address.
    At(Origin),
    /// On this port of the address that the proxy sees the call come from.
    Port(NonZeroU16),
}

impl Place {
    /// The place that `--address` and `--port` name.
    pub(in crate::cli) fn named(address: &str, port: Option<NonZeroU16>) -> anyhow::Result<Self> {
        let full = match port {
            None => address.to_owned(),
            Some(port) if address.parse::<Ipv6Addr>().is_ok() => format!("[{address}]:{port}"),
            Some(port) => format!("{address}:{port}"),
        };
        let origin = full.parse().map_err(|error| UsageError(format!("--address: {error}")))?;
        Ok(Self::At(origin))
    }
}

impl Description {
    /// What is registered, but for the names: those stand in the path.
    pub(in crate::cli) fn body(&self, place: &Place, ttl: Option<HumanDuration>) -> Value {
        let mut body = match place {
            Place::At(origin) => json!({ "address": origin }),
            Place::Port(port) => json!({ "port": port }),
        };
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
        set("ttl", json!(ttl));
        if let Some(path) = &self.health_path {
            set("health", json!({ "path": path }));
        }
        body
    }
}
