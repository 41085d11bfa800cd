//! Instances in the shapes that Consul's clients parse.

use serde_json::{Value, json};

use super::{
    check::{Check, Means, Status},
    index,
    record::Record,
};
use crate::{
    control::Resident,
    model::{InstanceState, Weight},
};

/// Indexes of single entries, which nobody follows.
const INDEX: u64 = 1;

/// An instance, and what is kept of it if it registered in this language.
#[derive(Debug)]
pub(super) struct Shown {
    pub(super) resident: Resident,
    pub(super) record: Option<Record>,
}

impl Shown {
    pub(super) fn of(resident: Resident) -> Self {
        let record = index::record(&resident);
        Self { resident, record }
    }

    /// The name of its service.
    pub(super) fn name(&self) -> String {
        self.record.as_ref().map_or_else(
            || self.resident.instance.service.to_string(),
            |record| record.name.clone(),
        )
    }

    pub(super) fn id(&self) -> String {
        self.record
            .as_ref()
            .map_or_else(|| self.resident.instance.id.to_string(), |record| record.id.clone())
    }

    /// The name of its node, which is its address too.
    pub(super) fn node(&self) -> String {
        self.record.as_ref().map_or_else(
            || self.resident.instance.origin.address.host.to_string(),
            |record| record.node.clone(),
        )
    }

    pub(super) fn tags(&self) -> &[String] {
        self.record.as_ref().map_or(&self.resident.instance.tags, |record| &record.tags)
    }

    fn address(&self) -> String {
        match &self.record {
            Some(record) => record.address.clone(),
            None => self.resident.instance.origin.address.host.to_string(),
        }
    }

    fn weights(&self) -> Value {
        let weight = self.resident.instance.weight;
        let own = if weight == Weight::default() { 1 } else { i64::from(weight.value()) };
        let given = match &self.record {
            Some(record) => record.weights,
            None => Some((own, own)),
        };
        let (passing, warning) = given.unwrap_or((1, 1));
        json!({ "Passing": passing, "Warning": warning })
    }

    fn meta(&self) -> Value {
        let instance = &self.resident.instance;
        let meta = self.record.as_ref().map_or(&instance.metadata, |record| &record.meta);
        json!(meta)
    }

    /// As an agent shows a service.
    pub(super) fn service(&self, datacenter: &str) -> Value {
        let record = self.record.as_ref();
        let tagged = record.map(|record| record.tagged_addresses.clone());
        json!({
            "ID": self.id(),
            "Service": self.name(),
            "Tags": self.tags(),
            "Meta": self.meta(),
            "Port": self.resident.instance.origin.address.port,
            "Address": self.address(),
            "TaggedAddresses": tagged.filter(Value::is_object).unwrap_or_else(|| json!({})),
            "Weights": self.weights(),
            "EnableTagOverride": record.is_some_and(|record| record.enable_tag_override),
            "Datacenter": datacenter,
            "CreateIndex": INDEX,
            "ModifyIndex": INDEX,
        })
    }

    /// As the catalog shows it.
    pub(super) fn entry(&self, datacenter: &str) -> Value {
        let service = self.service(datacenter);
        let mut entry = self.machine(datacenter);
        if let Some(entry) = entry.as_object_mut() {
            entry.remove("Meta");
            entry.insert("NodeMeta".to_owned(), json!({}));
            for name in [
                "ID",
                "Tags",
                "Meta",
                "Port",
                "Address",
                "TaggedAddresses",
                "Weights",
                "EnableTagOverride",
            ] {
                entry.insert(format!("Service{name}"), service[name].clone());
            }
            entry.insert("ServiceName".to_owned(), service["Service"].clone());
        }
        entry
    }

    /// Its node.
    pub(super) fn machine(&self, datacenter: &str) -> Value {
        machine(&self.node(), datacenter)
    }

    /// What is found of it, the worst last: what it is in the eyes of its own
    /// checks, and of the probes of Portolan where those have none.
    pub(super) fn checks(&self) -> Vec<Value> {
        let mut all = Vec::new();
        let record = self.record.as_ref();
        if let Some(reason) = record.and_then(|record| record.maintenance.as_ref()) {
            let id = format!("_service_maintenance:{}", self.id());
            let shown = (id.as_str(), "Service Maintenance Mode", Status::Critical);
            all.push(self.check(shown, reason, "", "maintenance"));
        }
        for check in record.iter().flat_map(|record| &record.checks) {
            let (status, output) = self.standing(check);
            let shown = (check.id.as_str(), check.name.as_str(), status);
            all.push(self.check(shown, &output, &check.notes, check.means.as_str()));
        }
        if record.is_none_or(|record| record.probed().is_empty()) {
            let id = format!("portolan:{}", self.id());
            let shown = (id.as_str(), "What Portolan finds", self.found());
            all.push(self.check(shown, &self.resident.why, "", ""));
        }
        all
    }

    fn standing(&self, check: &Check) -> (Status, String) {
        match &check.means {
            Means::Ttl { .. } => {
                if self.resident.lease_left.is_some_and(|left| left.is_zero()) {
                    return (Status::Critical, "TTL expired".to_owned());
                }
                (check.status, check.output.clone())
            }
            // They are made together, so what is found of one is of all.
            _ => (self.found(), self.resident.why.clone()),
        }
    }

    /// What Portolan finds.
    fn found(&self) -> Status {
        match self.resident.state {
            InstanceState::Healthy => Status::Passing,
            InstanceState::Suspect => Status::Warning,
            InstanceState::Starting | InstanceState::Unhealthy | InstanceState::Draining => {
                Status::Critical
            }
        }
    }

    /// The worst that is found of it.
    pub(super) fn status(&self) -> Status {
        let all = self.checks();
        let of = |check: &Value| Status::of(check["Status"].as_str().unwrap_or_default()).ok();
        all.iter().filter_map(of).max().unwrap_or(Status::Passing)
    }

    fn check(
        &self,
        (id, name, status): (&str, &str, Status),
        output: &str,
        notes: &str,
        kind: &str,
    ) -> Value {
        json!({
            "Node": self.node(),
            "CheckID": id,
            "Name": name,
            "Status": status.as_str(),
            "Notes": notes,
            "Output": output,
            "ServiceID": self.id(),
            "ServiceName": self.name(),
            "ServiceTags": self.tags(),
            "Type": kind,
            "Definition": {},
            "CreateIndex": INDEX,
            "ModifyIndex": INDEX,
        })
    }
}

/// A node: an address that registers.
pub(super) fn machine(node: &str, datacenter: &str) -> Value {
    json!({
        "ID": "",
        "Node": node,
        "Address": node,
        "Datacenter": datacenter,
        "TaggedAddresses": null,
        "Meta": {},
        "CreateIndex": INDEX,
        "ModifyIndex": INDEX,
    })
}
