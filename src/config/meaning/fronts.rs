//! Addresses where clients of other registries register.

use super::{
    Code, Config, Diagnostic,
    addresses::{overlap, related},
    tokens,
};
use crate::{config::tree::Place, front::FrontSettings};

pub(super) fn check(config: &Config, top: Place<'_>, found: &mut Vec<Diagnostic>) {
    for (index, front) in config.front.iter().enumerate() {
        let place = top.key("front").item(index);
        tokens::check(&front.token, place, found);
        if place.is_damaged() {
            continue;
        }
        if front.speaks().next().is_none() {
            let message = "a front speaks no language";
            let silent = Diagnostic::new(Code::SilentFront, place.span(), message);
            found.push(
                silent
                    .label("nobody could register")
                    .help("say `eureka = true` or `consul = true`"),
            );
        }
        exposed(front, place, found);
        shared(config, index, top, found);
        effects(front, place, found);
    }
}

fn exposed(front: &FrontSettings, place: Place<'_>, found: &mut Vec<Diagnostic>) {
    if front.address.0.ip().to_canonical().is_loopback() || front.insecure {
        return;
    }
    let lacks = match (front.token.is_empty(), front.tls.is_none()) {
        (false, false) => return,
        (true, true) => "without tokens and without TLS",
        (true, false) => "without tokens",
        (false, true) => "without TLS, so that tokens can be read on the way",
    };
    let message = format!("a front is open to other machines {lacks}");
    let open = Diagnostic::new(Code::FrontExposed, place.key("address").span(), message);
    let help =
        "listen on 127.0.0.1, or say `insecure = true` in its [[front]] if the network is trusted";
    found.push(open.label("not a loopback address").help(help));
}

/// Whether another one has its address.
fn shared(config: &Config, index: usize, top: Place<'_>, found: &mut Vec<Diagnostic>) {
    let front = &config.front[index];
    let address = top.key("front").item(index).key("address");
    let clash = |other: std::net::SocketAddr| overlap(front.address.0, other);
    let admin = clash(config.admin.address.0).then(|| (top.key("admin"), "the admin address"));
    let listener = config.listener.iter().position(|listener| clash(listener.address.0));
    let listener = listener.map(|at| (top.key("listener").item(at), "the address of a listener"));
    let earlier = config.front[..index].iter().position(|other| clash(other.address.0));
    let earlier = earlier.map(|at| (top.key("front").item(at), "the address of another front"));
    for (other, what) in [admin, listener, earlier].into_iter().flatten() {
        if !other.is_damaged() {
            let message = format!("a front has {what}, {}", address.show(front.address));
            let one = Diagnostic::new(Code::SameAddress, address.span(), message);
            let one = one.label("taken by another");
            found.push(related(one, address, other.key("address"), "taken here"));
        }
    }
}

fn effects(front: &FrontSettings, place: Place<'_>, found: &mut Vec<Diagnostic>) {
    let needs = [
        ("read_all", "read", front.read),
        ("use_hostname", "eureka", front.eureka),
        ("prefer_secure", "eureka", front.eureka),
        ("datacenter", "consul", front.consul),
    ];
    for (key, other, said) in needs {
        if place.key(key).is_there() && !said {
            let message = format!("`{key}` has no effect without `{other} = true`");
            let none = Diagnostic::new(Code::NoEffect, place.key(key).key_span(), message);
            found.push(none.label("nothing asks for it"));
        }
    }
}
