//! Whether a registry that several proxies share can be found.

use super::{Code, Config, Diagnostic, zero};
use crate::{config::tree::Place, registry::Backend};

pub(super) fn check(config: &Config, top: Place<'_>, found: &mut Vec<Diagnostic>) {
    let place = top.key("registry");
    if top.is_damaged() || place.is_damaged() {
        return;
    }
    let is_shared = config.registry.backend == Backend::Etcd;
    let Some(etcd) = &config.registry.etcd else {
        if is_shared {
            let message = "nothing says which etcd the registry is in";
            let lost = Diagnostic::new(Code::RegistryNowhere, place.key("backend").span(), message);
            found.push(lost.label("shared by way of etcd").help(HELP));
        }
        return;
    };
    let etcd_place = place.key("etcd");
    if etcd_place.is_damaged() {
        return;
    }
    if etcd.endpoints.is_empty() {
        let at = etcd_place.key("endpoints").span();
        let lost = Diagnostic::new(Code::RegistryNowhere, at, "no member of etcd is named");
        found.push(lost.label("empty").help(HELP));
    }
    if etcd.prefix.trim_matches('/').is_empty() {
        let message = "the registry would have all of etcd";
        let all = Diagnostic::new(Code::Refused, etcd_place.key("prefix").span(), message);
        found.push(all.label("has no name in it").help("say `prefix = \"/portolan/v1/\"`"));
    }
    if etcd.missing_for.0.is_zero() {
        found.push(zero(etcd_place.key("missing_for"), "`missing_for`"));
    }
    if !is_shared {
        let message = "an etcd is named, and the registry is not in it";
        let unused = Diagnostic::new(Code::RegistryElsewhere, etcd_place.key_span(), message);
        found.push(unused.label("not used").help("say `backend = \"etcd\"` in [registry]"));
    }
}

const HELP: &str =
    "name its members: `[registry.etcd]` with `endpoints = [\"http://10.0.0.1:2379\"]`";
