//! `portolan explain`: where a request would go, and why, as the running proxy
//! sees it.

use std::fmt::Write as _;

use anyhow::anyhow;
use http::Uri;

use super::{
    client::{Client, escape},
    exit::{Exit, UsageError},
    output::{FormatArgs, Output},
    text::{BAD, BOLD, Cell, Columns, DIM, GOOD, PLAIN, WARN, plain, span, styled},
};
use crate::{
    control::view::{ConsideredView, ExplanationView, InstanceView, ServiceView},
    model::InstanceState,
};

/// Arguments of `explain`.
#[derive(Debug, clap::Args)]
#[command(allow_missing_positional = true)]
pub(super) struct ExplainArgs {
    /// The request method
    #[arg(default_value = "GET")]
    method: String,
    /// The URL a client would ask for; `http://` may be left out
    #[arg(required = true)]
    url: String,
    /// A request header; may be given several times
    #[arg(short = 'H', long = "header", value_name = "NAME: VALUE")]
    headers: Vec<String>,
    #[command(flatten)]
    format: FormatArgs,
}

impl ExplainArgs {
    pub(super) async fn ask(&self, client: &Client) -> anyhow::Result<Output> {
        let url = full_url(&self.url)?;
        let mut path =
            format!("/api/v1/explain?method={}&url={}", escape(&self.method), escape(&url));
        for header in &self.headers {
            if !header.contains(':') {
                let sentence = format!("{header:?} is no header; write -H 'Name: value'");
                return Err(UsageError(sentence).into());
            }
            write!(path, "&header={}", escape(header))?;
        }
        let (view, json) = client.view::<ExplanationView>(&path).await?;
        let exit = Exit::yes(would_be_served(&view));
        Ok(Output::of(self.format.format, &json, || text(&url, &view))?.exit(exit))
    }
}

fn full_url(text: &str) -> anyhow::Result<String> {
    let full = if text.contains("://") { text.to_owned() } else { format!("http://{text}") };
    let has_host = full.parse::<Uri>().is_ok_and(|uri| uri.host().is_some_and(|h| !h.is_empty()));
    let refused = || UsageError(format!("{text:?} is no URL; write \"http://HOST/PATH\""));
    has_host.then_some(full).ok_or_else(|| anyhow!(refused()))
}

/// Whether a client would get what the operator meant it to get.
fn would_be_served(view: &ExplanationView) -> bool {
    matches!(view.reason.as_str(), "ok" | "redirect")
}

fn text(url: &str, view: &ExplanationView) -> String {
    let mut text = headline(url, view);
    text.push('\n');
    if !would_be_served(view) {
        text += &format!("  {}\n\n", styled(WARN, &view.summary));
    }
    text += &fact("host", &view.host);
    text += &fact("path", &view.path);
    text += &considered(&view.considered);
    if let Some(service) = &view.service {
        text += &instances(service);
    }
    text += &outcome(view);
    text
}

/// One line with its name in front, in line with the names of routes and
/// instances.
fn fact(name: &str, value: &str) -> String {
    format!("  {DIM}{name:<10}{DIM:#}  {}\n", plain(value))
}

fn headline(url: &str, view: &ExplanationView) -> String {
    let status = view.status.map(|status| format!("{status} ")).unwrap_or_default();
    let (style, target) = match (&view.location, &view.service) {
        (Some(location), _) => (GOOD, format!("{status}redirect to {location}")),
        (None, Some(service)) if would_be_served(view) => (GOOD, service.service.clone()),
        _ => (BAD, format!("{status}{}", view.reason)),
    };
    let route = view.route.as_ref().map(|route| format!("  (route {route})")).unwrap_or_default();
    format!(
        "{BOLD}{} {}{BOLD:#}  ->  {}{}   {}\n",
        plain(&view.method),
        plain(url),
        styled(style, &target),
        plain(&route),
        styled(DIM, &format!("table {}", view.version)),
    )
}

fn considered(routes: &[ConsideredView]) -> String {
    let mut rows = Columns::indented(6);
    for ConsideredView { route, matched, why } in routes {
        let (style, answer) = if *matched { (GOOD, "YES   ") } else { (DIM, "no    ") };
        let hosts =
            if route.hosts.is_empty() { "any host".to_owned() } else { route.hosts.join(", ") };
        let line = route.line.map(|line| format!("line {line}")).unwrap_or_default();
        rows.push([
            Cell::styled(style, answer),
            route.name.as_str().into(),
            hosts.into(),
            route.path.as_str().into(),
            why.as_str().into(),
            Cell::styled(DIM, line),
        ]);
    }
    rows.to_string()
}

fn instances(service: &ServiceView) -> String {
    let panic = if service.panic { ", PANIC: failing ones kept in use" } else { "" };
    let usable = format!(
        "{}, {} of {} usable{panic}",
        service.balance,
        service.routable,
        service.instances.len()
    );
    let head = fact("service", &format!("{}, {usable}", service.service));
    let mut rows = Columns::indented(6);
    for instance in &service.instances {
        rows.push(instance_row(instance));
    }
    format!("{head}{rows}")
}

/// How an instance stands, in the fewest words.
pub(super) fn standing(view: &InstanceView) -> Cell {
    match view.state {
        InstanceState::Healthy | InstanceState::Suspect if is_ejected(view) => {
            Cell::styled(WARN, "ejected")
        }
        InstanceState::Healthy => Cell::styled(GOOD, "ok    "),
        InstanceState::Starting => Cell::styled(WARN, "starting"),
        InstanceState::Suspect => Cell::styled(WARN, "suspect"),
        InstanceState::Draining => Cell::styled(WARN, "draining"),
        InstanceState::Unhealthy if view.routable => Cell::styled(WARN, "PANIC "),
        InstanceState::Unhealthy => Cell::styled(BAD, "DOWN  "),
    }
}

/// Whether it gets no requests because it is ejected: the last one gets them
/// all the same.
fn is_ejected(view: &InstanceView) -> bool {
    view.ejected.is_some() && !view.routable
}

fn instance_row(view: &InstanceView) -> [Cell; 6] {
    let lease = match view.lease_left_ms {
        None => String::new(),
        Some(0) => "lease expired".to_owned(),
        Some(left) => format!("lease {} left", span(left)),
    };
    let style = if view.routable { PLAIN } else { WARN };
    [
        standing(view),
        view.instance.id.as_str().into(),
        view.instance.origin.address.to_string().into(),
        Cell::from(format!("{} in flight", view.in_flight)).right(),
        Cell::styled(style, format!("for {}: {}", span(view.since_ms), view.why)),
        Cell::styled(DIM, lease),
    ]
}

fn outcome(view: &ExplanationView) -> String {
    let (Some(path), Some(service)) = (&view.forwarded_path, &view.service) else {
        return String::new();
    };
    if !would_be_served(view) {
        return String::new();
    }
    let mut usable = service.instances.iter().filter(|instance| instance.routable);
    let sent = match (usable.next(), usable.next()) {
        (Some(only), None) => format!("{} {}{path}", view.method, only.instance.origin),
        _ => format!("{} {path}, to one of {} instances", view.method, service.routable),
    };
    fact("would send", &sent)
}

#[cfg(test)]
mod tests;
