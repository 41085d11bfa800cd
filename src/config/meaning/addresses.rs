//! Where the proxy listens, and that it does not talk to itself.

use std::net::SocketAddr;

use crate::{config::tree::Place, listener::ListenerSettings};

use super::{Code, Config, Diagnostic, zero};

pub(super) fn check(config: &Config, top: Place<'_>, found: &mut Vec<Diagnostic>) {
    let place = top.key("listener");
    let admin = top.key("admin").key("address");
    if config.listener.is_empty() && !top.is_damaged() {
        let none = Diagnostic::new(Code::NoListener, place.span(), "there is no listener");
        found.push(none.label("nobody could connect"));
    }
    for (index, listener) in config.listener.iter().enumerate() {
        let place = place.item(index);
        limits(listener, place, found);
        balancers(listener, place, found);
        let address = place.key("address");
        let clash = |other: SocketAddr| overlap(listener.address.0, other);
        if clash(config.admin.address.0) && !place.is_damaged() && !top.key("admin").is_damaged() {
            let shown = address.show(listener.address);
            let message = format!("a listener has the admin address, {shown}");
            let one = Diagnostic::new(Code::AdminAddress, address.span(), message)
                .label("clients would reach the admin API");
            found.push(related(one, address, admin, "the admin address"));
        }
        let earlier = config.listener[..index].iter().position(|other| clash(other.address.0));
        if let Some(other) = earlier.map(|other| top.key("listener").item(other))
            && !place.is_damaged()
            && !other.is_damaged()
        {
            let shown = address.show(listener.address);
            let message = format!("two listeners share the address {shown}");
            let one = Diagnostic::new(Code::SameAddress, address.span(), message)
                .label("taken by another listener");
            found.push(related(one, address, other.key("address"), "taken here"));
        }
    }
    exposed(config, top.key("admin"), found);
    endpoints(config, top, found);
}

pub(super) fn related(
    one: Diagnostic,
    place: Place<'_>,
    other: Place<'_>,
    label: &str,
) -> Diagnostic {
    // Both may be defaults, which stand nowhere.
    if other.is_there() && other.span() != place.span() {
        one.related(other.span(), label)
    } else {
        one
    }
}

/// Whether both would hold the same port of the same address. Port 0 is a new
/// port each time.
pub(super) fn overlap(one: SocketAddr, other: SocketAddr) -> bool {
    let same_ip = one.ip() == other.ip()
        || (one.is_ipv4() == other.is_ipv4()
            && (one.ip().is_unspecified() || other.ip().is_unspecified()));
    one.port() != 0 && one.port() == other.port() && same_ip
}

fn limits(listener: &ListenerSettings, place: Place<'_>, found: &mut Vec<Diagnostic>) {
    for (key, is_zero) in [
        ("head_timeout", listener.head_timeout.0.is_zero()),
        ("idle_timeout", listener.idle_timeout.0.is_zero()),
        ("max_head_size", listener.max_head_size.0 == 0),
        ("max_target_size", listener.max_target_size.0 == 0),
    ] {
        if is_zero {
            found.push(zero(place.key(key), &format!("a `{key}`")));
        }
    }
}

fn balancers(listener: &ListenerSettings, place: Place<'_>, found: &mut Vec<Diagnostic>) {
    let Some(balancers) = &listener.proxy_protocol else { return };
    let place = place.key("proxy_protocol");
    if balancers.from.is_empty() && !place.is_damaged() {
        let message = "`proxy_protocol` lists no network";
        let none = Diagnostic::new(Code::NoEffect, place.key("from").span(), message);
        found.push(none.label("nobody is asked for a header"));
    }
}

fn exposed(config: &Config, admin: Place<'_>, found: &mut Vec<Diagnostic>) {
    let address = admin.key("address");
    let settings = &config.admin;
    if settings.address.0.ip().to_canonical().is_loopback()
        || settings.insecure
        || admin.is_damaged()
    {
        return;
    }
    let lacks = match (settings.token.is_empty(), settings.tls.is_none()) {
        (false, false) => return,
        (true, true) => "without tokens and without TLS",
        (true, false) => "without tokens",
        (false, true) => "without TLS, so that tokens can be read on the way",
    };
    found.push(
        Diagnostic::new(
            Code::AdminExposed,
            address.span(),
            format!("the admin address is open to other machines {lacks}"),
        )
        .label("not a loopback address")
        .help("listen on 127.0.0.1, or say `insecure = true` in [admin] if the network is trusted"),
    );
}

fn endpoints(config: &Config, top: Place<'_>, found: &mut Vec<Diagnostic>) {
    let listeners = config.listener.iter().map(|listener| listener.address.0);
    let fronts = config.front.iter().map(|front| front.address.0);
    let own: Vec<SocketAddr> = listeners.chain(fronts).chain([config.admin.address.0]).collect();
    let services = top.key("service");
    for (name, service) in &config.service {
        let place = services.key(name.as_str()).key("endpoints");
        for (index, endpoint) in service.endpoints.iter().enumerate() {
            let item = place.item(index);
            let shown = item.show(endpoint);
            let is_own = endpoint.address.socket_addr().is_some_and(|address| {
                own.iter().any(|own| {
                    let reached = own.ip() == address.ip()
                        || own.ip().is_unspecified() && address.ip().is_loopback();
                    own.port() == address.port() && reached
                })
            });
            if is_own {
                let message = format!("the endpoint {shown} is the proxy itself");
                let own = Diagnostic::new(Code::OwnAddress, item.span(), message);
                found.push(own.label("one of our own addresses"));
            }
            let earlier = service.endpoints[..index].iter().position(|other| other == endpoint);
            if let Some(earlier) = earlier {
                let message = format!("the endpoint {shown} is listed twice");
                found.push(
                    Diagnostic::new(Code::SameEndpoint, item.span(), message)
                        .label("changes nothing")
                        .related(place.item(earlier).span(), "listed here first"),
                );
            }
        }
    }
}
