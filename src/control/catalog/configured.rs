//! What the config file says of services and their instances, taken over into
//! the catalog. What a new file says the same as the old one stays as it is.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use sha2::{Digest, Sha256};
use tokio::time::Instant;

use super::{Catalog, ProbeChange};
use crate::{
    control::entry::{EntryId, Findings, Lease, Source},
    model::{
        Address, ClientTlsSettings, HealthCheck, HealthSettings, Instance, InstanceId, Provenance,
        Scheme, ServiceName, ServiceSettings, Verdict, Weight,
    },
    tls::Connector,
};

impl Catalog {
    /// Takes over what the config file says of services. `needed` are those
    /// that its routes lead to.
    pub(in crate::control) fn configure(
        &mut self,
        suspect_for: Duration,
        defaults: &ServiceSettings,
        sections: &BTreeMap<ServiceName, ServiceSettings>,
        needed: &BTreeSet<ServiceName>,
        now: Instant,
    ) {
        self.suspect_for = suspect_for;
        self.watch.configure(sections.values().chain([defaults]));
        self.defaults = defaults.clone();
        for name in sections.keys().chain(needed) {
            self.service(name);
        }
        let names: Vec<ServiceName> = self.services.keys().cloned().collect();
        for name in names {
            let settings = sections.get(&name).cloned().unwrap_or_default();
            let service = self.service(&name);
            service.kept = sections.contains_key(&name) || needed.contains(&name);
            let policy = settings.resolve(defaults);
            let other_tls = policy.tls != service.policy.tls;
            if policy != *service.policy {
                service.state.configure(&policy);
                for entry in service.entries.values() {
                    entry.endpoint.outcomes.configure(&policy.outlier);
                }
                service.policy = Arc::new(policy);
            }
            service.settings = settings;
            let drain = service.policy.timeouts.drain;
            self.bound_drains(&name, drain);
            self.configure_endpoints(&name, now);
            if other_tls {
                self.secure(&name);
            }
            self.resolve_checks(&name);
        }
    }

    /// Makes the instances from the file those that it names now.
    fn configure_endpoints(&mut self, name: &ServiceName, now: Instant) {
        let Some(service) = self.services.get(name) else { return };
        let named = service.settings.endpoints.iter();
        let named: BTreeMap<InstanceId, _> =
            named.filter_map(|origin| Some((id_of(&origin.address)?, origin.clone()))).collect();
        let gone: Vec<EntryId> = service
            .entries
            .iter()
            .filter(|((id, source), entry)| {
                *source == Source::File && named.get(id) != Some(&entry.instance.origin)
            })
            .map(|(id, _)| id.clone())
            .collect();
        for id in gone {
            self.take_out(name, &id, "proxy.toml does not name it any more", now);
        }
        for (id, origin) in named {
            let entry_id = (id.clone(), Source::File);
            if self.services.get(name).is_some_and(|s| s.entries.contains_key(&entry_id)) {
                continue;
            }
            let instance = Instance {
                service: name.clone(),
                id,
                origin,
                weight: Weight::default(),
                zone: None,
                version: None,
                tags: Vec::new(),
                metadata: BTreeMap::new(),
                ttl: None,
                health: HealthSettings::default(),
                foreign: None,
            };
            let lease = Lease::Unleased { renewed: false };
            self.put_in(instance, Source::File, Provenance::Named, 0, lease, now);
        }
    }

    /// How TLS is spoken to instances of the service `name`, if `scheme` is.
    pub(super) fn connector(&mut self, name: &ServiceName, scheme: Scheme) -> Option<Connector> {
        let service = self.services.get(name).filter(|_| scheme == Scheme::Https)?;
        let connector = self.connectors.of(&service.policy.tls);
        if service.state.connector().as_deref() != Some(&connector) {
            service.state.secure(connector.clone());
        }
        Some(connector)
    }

    /// Has TLS spoken to the instances of the service `name` as its policy says
    /// now.
    fn secure(&mut self, name: &ServiceName) {
        let Some(service) = self.services.get(name) else { return };
        let secured = service.entries.values().any(|entry| entry.tls.is_some());
        let scheme = if secured { Scheme::Https } else { Scheme::Http };
        let Some(connector) = self.connector(name, scheme) else { return };
        let Some(service) = self.services.get_mut(name) else { return };
        for entry in service.entries.values_mut().filter(|entry| entry.tls.is_some()) {
            entry.tls = Some(connector.clone());
            if entry.is_probed() {
                self.probes.push(ProbeChange::Watch(entry.target()));
            }
        }
        let services = &self.services;
        let used = |settings: &ClientTlsSettings| {
            services.values().any(|service| service.policy.tls == *settings)
        };
        self.connectors.keep(used);
    }

    /// Works out anew how the instances of a service are probed.
    pub(super) fn resolve_checks(&mut self, name: &ServiceName) {
        let Some(service) = self.services.get_mut(name) else { return };
        for entry in service.entries.values_mut() {
            let layers = [&entry.instance.health, &service.settings.health, &self.defaults.health];
            let check = HealthCheck::resolve(&layers).greeting(service.policy.proxy_protocol);
            let check = check.declared(entry.instance.declared_probes());
            if check == entry.check {
                continue;
            }
            let was_probed = entry.is_probed();
            entry.check = check;
            match (was_probed, entry.is_probed()) {
                (true, true) => self.probes.push(ProbeChange::Watch(entry.target())),
                (false, true) => {
                    // What served until now goes on until a probe says
                    // otherwise.
                    if entry.state.is_routable() {
                        entry.findings.verdict = Verdict::Passing;
                        entry.findings.once_passed = true;
                    }
                    self.probes.push(ProbeChange::Watch(entry.target()));
                }
                (true, false) => {
                    entry.findings = Findings::default();
                    self.probes.push(ProbeChange::Unwatch(entry.endpoint.id));
                }
                (false, false) => {}
            }
        }
    }
}

/// How an instance that the file names by its address alone is called: by the
/// address, since that tells it from the others.
fn id_of(address: &Address) -> Option<InstanceId> {
    const LONGEST: usize = 128;
    let text = address.to_string().replace(['[', ']'], "");
    if text.len() <= LONGEST {
        return text.parse().ok();
    }
    // A DNS name may be longer than an id: its end, and what tells it apart.
    let digest = Sha256::digest(&text);
    let mark = u32::from_be_bytes([digest[0], digest[1], digest[2], digest[3]]);
    format!("{mark:08x}-{}", &text[text.len() - 100..]).parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_address_has_an_id_of_its_own() {
        let id = |text: &str| id_of(&text.parse::<Address>().expect(text)).expect(text);
        assert_eq!(id("10.0.1.10:3000").as_str(), "10.0.1.10:3000");
        assert_eq!(id("[::1]:3000").as_str(), "::1:3000");
        let label = "a".repeat(60);
        let long = |first: &str| id(&format!("{first}.{label}.{label}.{label}.example:80"));
        assert_ne!(long("x"), long("y"));
        assert!(long("x").as_str().ends_with(".example:80"));
    }
}
