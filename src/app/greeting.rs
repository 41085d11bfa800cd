//! The first log lines: where everything is, and what to do next.

use std::net::SocketAddr;

use crate::{config::Loaded, control::view::FrontView};

pub(super) fn print(
    loaded: &Loaded,
    listeners: impl Iterator<Item = (bool, SocketAddr)>,
    admin: SocketAddr,
    fronts: &[FrontView],
) {
    let config = &loaded.config;
    for (tls, address) in listeners {
        tracing::info!("clients connect to {}://{address}", scheme(tls));
    }
    for front in fronts {
        let speaks: Vec<_> = front.speaks.iter().map(|api| api.as_str()).collect();
        let (scheme, address) = (scheme(front.tls), &front.address);
        let speaks = speaks.join(" and ");
        tracing::info!("clients of {speaks} register at {scheme}://{address}");
    }
    let tls = config.admin.tls.is_some();
    tracing::info!("services register at {}://{admin}/api/v1", scheme(tls));
    if !admin.ip().is_loopback() {
        if config.admin.token.is_empty() {
            tracing::warn!("the admin address is not a loopback address and needs no token");
        }
        if !tls {
            tracing::warn!("the admin address is not a loopback address and has no TLS");
        }
    }
    let routes = plural(config.route.len(), "route");
    let services = plural(config.service.len(), "service");
    tracing::info!("{}: {routes}, {services}", loaded.file);
    if config.route.is_empty() {
        tracing::warn!("there are no routes yet, so every request is answered with 404");
    }
    let name = config.route.iter().find_map(|route| route.service.as_ref());
    if let Some(name) = name.filter(|_| admin.ip().is_loopback()) {
        tracing::info!(
            "next: portolan register {name}/{name}-1 --address 127.0.0.1:3000, portolan status"
        );
    }
}

const fn scheme(tls: bool) -> &'static str {
    if tls { "https" } else { "http" }
}

fn plural(count: usize, word: &str) -> String {
    let s = if count == 1 { "" } else { "s" };
    format!("{count} {word}{s}")
}
