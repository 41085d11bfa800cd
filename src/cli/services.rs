//! `portolan services`: all services in a table, or one with its instances.

use serde_json::Value;

use super::{
    client::{Client, escape},
    departures,
    explain::standing,
    output::{FormatArgs, Output},
    text::{BAD, BOLD, Cell, Columns, DIM, GOOD, WARN, plain, span, styled},
};
use crate::{
    control::view::{InstanceView, ServiceView, ServicesView},
    model::ServiceName,
};

/// Arguments of `services`.
#[derive(Debug, clap::Args)]
pub(super) struct ServicesArgs {
    /// Show this one with all of its instances
    name: Option<ServiceName>,
    #[command(flatten)]
    format: FormatArgs,
}

impl ServicesArgs {
    pub(super) async fn ask(&self, client: &Client) -> anyhow::Result<Output> {
        if let Some(name) = &self.name {
            let path = format!("/api/v1/services/{name}");
            let (view, json) = client.view::<ServiceView>(&path).await?;
            return Output::of(self.format.format, &json, || one(&view));
        }
        let (view, json) = all_pages(client).await?;
        Output::of(self.format.format, &json, || table(&view.services))
    }
}

/// Every page of the list as one.
async fn all_pages(client: &Client) -> anyhow::Result<(ServicesView, Value)> {
    let (mut all, mut json) = client.view::<ServicesView>("/api/v1/services?limit=1000").await?;
    while let Some(cursor) = all.next.take() {
        let path = format!("/api/v1/services?limit=1000&cursor={}", escape(&cursor));
        let (page, mut page_json) = client.view::<ServicesView>(&path).await?;
        all.services.extend(page.services);
        all.next = page.next;
        if let (Some(list), Some(more)) =
            (json["services"].as_array_mut(), page_json["services"].as_array_mut())
        {
            list.append(more);
        }
    }
    if let Some(object) = json.as_object_mut() {
        object.remove("next");
    }
    Ok((all, json))
}

fn table(services: &[ServiceView]) -> String {
    if services.is_empty() {
        return "no services; `portolan register` adds an instance of one\n".to_owned();
    }
    let mut rows =
        Columns::headed(["SERVICE", "USABLE", "IN FLIGHT", "REQUESTS", "FAILURES", "SOURCE"]);
    for view in services {
        let sum = |of: fn(&_) -> u64| Cell::number(view.instances.iter().map(of).sum());
        rows.push([
            view.service.as_str().into(),
            usable(view),
            sum(|instance: &crate::control::view::InstanceView| instance.in_flight.into()),
            sum(|instance| instance.requests),
            sum(|instance| instance.failures),
            sources(view).into(),
        ]);
    }
    rows.to_string()
}

fn usable(view: &ServiceView) -> Cell {
    let all = view.instances.len();
    let style = match view.routable {
        0 => BAD,
        some if some < all || view.panic => WARN,
        _ => GOOD,
    };
    let open = view.circuit.as_ref().is_some_and(|circuit| circuit.state != "closed");
    let (style, trouble) = match (open, view.panic) {
        (true, _) => (BAD, " CIRCUIT OPEN"),
        (false, true) => (style, " PANIC"),
        (false, false) => (style, ""),
    };
    Cell::styled(style, format!("{}/{all}{trouble}", view.routable)).right()
}

/// `registry (2), proxy.toml (1)`.
fn sources(view: &ServiceView) -> String {
    let mut counted: Vec<(&str, usize)> = Vec::new();
    for instance in &view.instances {
        match counted.iter_mut().find(|(source, _)| *source == instance.source) {
            Some((_, number)) => *number += 1,
            None => counted.push((&instance.source, 1)),
        }
    }
    let shown: Vec<_> =
        counted.iter().map(|(source, number)| format!("{source} ({number})")).collect();
    shown.join(", ")
}

fn one(view: &ServiceView) -> String {
    let routes =
        if view.routes.is_empty() { "no route".to_owned() } else { view.routes.join(", ") };
    let mut text = format!(
        "{BOLD}{}{BOLD:#}   {}, {} of {} usable   routes: {}\n",
        plain(&view.service),
        plain(&view.balance),
        view.routable,
        view.instances.len(),
        plain(&routes),
    );
    if view.panic {
        let sentence = "PANIC: most instances fail together, so failing ones are kept in use";
        text += &format!("{}\n", styled(BAD, sentence));
    }
    if let Some(circuit) = view.circuit.as_ref().filter(|circuit| circuit.state != "closed") {
        let sentence = match circuit.left_ms {
            Some(left) => format!("CIRCUIT OPEN for {}: too many requests fail", span(left)),
            None => "CIRCUIT HALF OPEN: a few requests try the service out".to_owned(),
        };
        text += &format!("{}\n", styled(BAD, &sentence));
    }
    if view.retries_refused > 0 {
        let (sent, refused) = (view.retries, view.retries_refused);
        let sentence = format!(
            "{sent} requests were sent once more, and {refused} were not: retry budget spent"
        );
        text += &format!("{}\n", styled(WARN, &sentence));
    } else if view.retries > 0 {
        text += &format!("{} requests were sent once more\n", view.retries);
    }
    if view.instances.is_empty() {
        return text + &departures::block(&view.departures);
    }
    let mut rows = Columns::headed([
        "",
        "INSTANCE",
        "ADDRESS",
        "WEIGHT",
        "IN FLIGHT",
        "REQUESTS",
        "FAILURES",
        "LEASE",
        "SOURCE",
        "WHY",
    ]);
    for instance in &view.instances {
        let lease = match instance.lease_left_ms {
            None => Cell::styled(DIM, "none"),
            Some(0) => Cell::styled(BAD, "expired"),
            Some(left) => span(left).into(),
        };
        rows.push([
            standing(instance),
            instance.instance.id.as_str().into(),
            instance.instance.origin.address.to_string().into(),
            Cell::number(instance.instance.weight.value().into()),
            Cell::number(instance.in_flight.into()),
            Cell::number(instance.requests),
            Cell::number(instance.failures),
            lease,
            origin(instance).into(),
            format!("{} for {}: {}", instance.state, span(instance.since_ms), instance.why).into(),
        ]);
    }
    text.push('\n');
    text += &rows.to_string();
    text + &departures::block(&view.departures)
}

/// Where it came from, and in whose language it said so.
fn origin(instance: &InstanceView) -> String {
    match &instance.instance.foreign {
        Some(foreign) => format!("{} ({})", instance.source, foreign.api.as_str()),
        None => instance.source.clone(),
    }
}

#[cfg(test)]
mod tests;
