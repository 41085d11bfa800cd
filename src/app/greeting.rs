//! The first log lines: where everything is, and what to do next.

use std::net::SocketAddr;

use crate::config::Loaded;

pub(super) fn print(
    loaded: &Loaded,
    listeners: impl Iterator<Item = SocketAddr>,
    admin: SocketAddr,
) {
    let config = &loaded.config;
    for address in listeners {
        tracing::info!("clients connect to http://{address}");
    }
    tracing::info!("services register at http://{admin}/api/v1");
    if !admin.ip().is_loopback() {
        if config.admin.token.is_empty() {
            tracing::warn!("the admin address is not a loopback address and needs no token");
        }
        tracing::warn!("the admin address is not a loopback address and has no TLS");
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

fn plural(count: usize, word: &str) -> String {
    let s = if count == 1 { "" } else { "s" };
    format!("{count} {word}{s}")
}
