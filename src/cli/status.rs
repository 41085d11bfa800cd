//! `portolan status`: the proxy on one screen, problems first.

use super::{
    client::Client,
    departures,
    output::{FormatArgs, Output},
    source,
    text::{BAD, BOLD, Cell, Columns, DIM, GOOD, PLAIN, WARN, count, plain, precise, span, styled},
};
use crate::{
    control::view::{
        AcmeView, CertificateView, FellowView, FleetView, LedgerView, StatusView, StoreView,
    },
    model::InstanceState,
};

/// Arguments of `status`.
#[derive(Debug, clap::Args)]
pub(super) struct StatusArgs {
    #[command(flatten)]
    format: FormatArgs,
}

impl StatusArgs {
    pub(super) async fn ask(&self, client: &Client) -> anyhow::Result<Output> {
        let (view, json) = client.view::<StatusView>("/api/v1/status").await?;
        Output::of(self.format.format, &json, || text(&view))
    }
}

fn text(view: &StatusView) -> String {
    let mut text = headline(view);
    text += &attention(view);
    text.push('\n');
    text += &facts(view).to_string();
    text += &requests(view);
    text += &departures::block(&view.departures);
    text
}

fn headline(view: &StatusView) -> String {
    let ready = if view.ready { styled(GOOD, "ready") } else { styled(BAD, "NOT READY") };
    format!(
        "{BOLD}portolan {}{BOLD:#}   up {}   table {}, {} ago   {ready}\n",
        plain(&view.program),
        span(view.uptime_ms),
        view.version,
        span(view.published_ms),
    )
}

/// What needs a person, before anything else.
fn attention(view: &StatusView) -> String {
    let waiting = view.waiting_for.iter().map(|what| format!("waiting for {what}"));
    let lines: Vec<_> = waiting.chain(view.attention.iter().cloned()).collect();
    if lines.is_empty() && view.config.problems.is_empty() {
        return String::new();
    }
    let mut text = format!("\n{}\n", styled(BAD, "NEEDS ATTENTION"));
    for line in lines {
        text += &format!("  {}\n", styled(WARN, &line));
    }
    for line in view.config.problems.lines() {
        text += &format!("  {}\n", plain(line));
    }
    text
}

fn facts(view: &StatusView) -> Columns {
    let mut rows = Columns::indented(2);
    let mut fact = |name: &str, value: Cell| rows.push([Cell::styled(DIM, name), value]);
    for (index, listener) in view.listeners.iter().enumerate() {
        fact(if index == 0 { "listening" } else { "" }, listener.into());
    }
    fact("admin", view.admin.as_str().into());
    for (index, front) in view.fronts.iter().enumerate() {
        let speaks: Vec<_> = front.speaks.iter().map(|api| api.as_str()).collect();
        let read = match (front.read, front.read_all) {
            (true, true) => ", all of it read too",
            (true, false) => ", read too",
            (false, _) => "",
        };
        let shown = format!("{} for clients of {}{read}", front.address, speaks.join(" and "));
        fact(if index == 0 { "fronts" } else { "" }, shown.into());
    }
    fact("process", view.pid.to_string().into());
    fact("config", config(view));
    fact("store", store(&view.store, view.fleet.is_some()));
    for (index, line) in view.fleet.iter().flat_map(fleet).enumerate() {
        fact(if index == 0 { "registry" } else { "" }, line);
    }
    for (index, source) in view.sources.iter().enumerate() {
        fact(if index == 0 { "sources" } else { "" }, source::line(source));
    }
    for (index, certificate) in view.certificates.iter().enumerate() {
        fact(if index == 0 { "certificates" } else { "" }, shown_certificate(certificate));
    }
    for (index, name) in view.acme.iter().enumerate() {
        fact(if index == 0 { "acme" } else { "" }, obtained(name));
    }
    fact("workers", view.workers.to_string().into());
    fact("routes", view.routes.to_string().into());
    fact("services", view.services.to_string().into());
    fact("instances", instances(view));
    if view.probe_stretch > 1.0 {
        let stretched = format!("intervals stretched {:.1} times", view.probe_stretch);
        fact("probes", Cell::styled(WARN, stretched));
    }
    let in_flight = usize::try_from(view.ledger.in_flight).unwrap_or(usize::MAX);
    let connections = usize::try_from(view.connections).unwrap_or(usize::MAX);
    let now = format!("{}, {}", count(in_flight, "request"), count(connections, "connection"));
    fact("in flight", now.into());
    rows
}

fn config(view: &StatusView) -> Cell {
    let config = &view.config;
    let read = format!("{}, read {} ago", config.path, span(config.loaded_ms));
    if config.last_reload_ok {
        read.into()
    } else {
        Cell::styled(BAD, format!("{read}; what is on disk now was refused"))
    }
}

/// `0.0.0.0:8443 shop.example, 61 days left, by Example CA, certs/shop.pem`.
fn shown_certificate(certificate: &CertificateView) -> Cell {
    let CertificateView { listener, file, names, days_left, issuer, .. } = certificate;
    let name = names.first().map_or("no name", String::as_str);
    let more =
        if names.len() > 1 { format!(" and {} more", names.len() - 1) } else { String::new() };
    let left = match days_left {
        ..=-1 => "expired".to_owned(),
        1 => "1 day left".to_owned(),
        days => format!("{days} days left"),
    };
    let by = if issuer.is_empty() { String::new() } else { format!(", by {issuer}") };
    let text = format!("{listener} {name}{more}, {left}{by}, {file}");
    if *days_left < 14 { Cell::styled(BAD, text) } else { text.into() }
}

/// `shop.example until 2026-12-31T00:00:00Z, next order 2026-12-01T00:00:00Z`.
fn obtained(name: &AcmeView) -> Cell {
    let AcmeView { name, expires, next, failures, error } = name;
    let has = match expires {
        Some(expires) => format!("{name} until {expires}"),
        None => format!("{name} has no certificate yet"),
    };
    match error {
        None => format!("{has}, next order {next}").into(),
        Some(error) => {
            let orders = count(usize::try_from(*failures).unwrap_or(usize::MAX), "failure");
            Cell::styled(BAD, format!("{has}, {orders}, next try {next}: {error}"))
        }
    }
}

/// `writable, 1204 instances, commit p50 0.4 ms p99 2.1 ms, last snapshot 3 min
/// ago`.
fn store(store: &StoreView, is_shared: bool) -> Cell {
    let mut parts = vec![store.state.clone(), count(store.instances, "instance")];
    if let (Some(p50), Some(p99)) = (store.commit_p50_us, store.commit_p99_us) {
        parts.push(format!("commit p50 {} p99 {}", precise(p50), precise(p99)));
    }
    match store.snapshot_ms {
        Some(age) => parts.push(format!("last snapshot {} ago", span(age))),
        None if is_shared => {}
        None => parts.push("no snapshot yet".to_owned()),
    }
    let style = if store.state == "writable" { PLAIN } else { BAD };
    Cell::styled(style, parts.join(", "))
}

/// `in etcd, at revision 812, as proxy-1-1a2b3c4d`, then a line for each other
/// proxy.
/// Milliseconds that a proxy may be behind etcd before it is said: others write
/// there too, and it is asked for every 2 s.
const BEHIND: u64 = 1000;

fn fleet(fleet: &FleetView) -> Vec<Cell> {
    let (mut style, mut first) = match (&fleet.fault, fleet.lost_ms) {
        (Some(_), Some(lost)) => (BAD, format!("in etcd, lost for {}", span(lost))),
        _ => (PLAIN, format!("in etcd, at revision {}", fleet.revision)),
    };
    if let (Some(behind @ BEHIND..), None) = (fleet.behind_ms, fleet.lost_ms) {
        first += &format!(" of {}, behind for {}", fleet.etcd_revision, span(behind));
        style = WARN;
    }
    if fleet.pending > 0 {
        first += &format!(", which lacks {}", count(fleet.pending, "instance"));
        style = if style == PLAIN { WARN } else { style };
    }
    let first = Cell::styled(style, format!("{first}, as {}", fleet.id));
    let fellow = |fellow: &FellowView| match fellow.missing_ms {
        None => format!("with {}, version {}", fellow.id, fellow.program).into(),
        Some(missing) => {
            Cell::styled(BAD, format!("with {}, missing for {}", fellow.id, span(missing)))
        }
    };
    std::iter::once(first).chain(fleet.fellows.iter().map(fellow)).collect()
}

fn instances(view: &StatusView) -> Cell {
    let by_state: Vec<_> = InstanceState::ALL
        .iter()
        .filter_map(|state| {
            let number = view.instances.get(state.as_str()).filter(|number| **number > 0)?;
            Some(format!("{number} {state}"))
        })
        .collect();
    let all_well = view.instances.iter().all(|(state, n)| state == "healthy" || *n == 0);
    match by_state.is_empty() {
        true => "none".into(),
        false => Cell::styled(if all_well { GOOD } else { WARN }, by_state.join(", ")),
    }
}

/// How requests ended since the start, most frequent first.
fn requests(view: &StatusView) -> String {
    let total: u64 = view.requests.values().sum();
    if total == 0 {
        return String::new();
    }
    let mut by_count: Vec<_> = view.requests.iter().collect();
    by_count.sort_by_key(|(reason, number)| (std::cmp::Reverse(**number), reason.as_str()));
    let mut rows = Columns::indented(4);
    for (reason, number) in by_count {
        #[allow(clippy::cast_precision_loss, reason = "shown with two digits")]
        let share = *number as f64 * 100.0 / total as f64;
        rows.push([
            reason.into(),
            Cell::number(*number),
            Cell::from(format!("{share:.2} %")).right(),
        ]);
    }
    let LedgerView { accepted, completed, client_gone, refused, failed, in_flight } = view.ledger;
    let ledger = format!(
        "{accepted} requests: {completed} completed, {client_gone} left by their client, \
         {refused} refused, {failed} failed, {in_flight} in flight"
    );
    format!("\n  {}\n{rows}", styled(DIM, &ledger))
}

#[cfg(test)]
mod tests;
