//! From the labels of a container to an instance.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
};

use serde::Deserialize;

use crate::{
    model::{
        Address, HealthSettings, Host, Instance, InstanceId, Origin, Reported, Scheme, Weight,
    },
    sources::Found,
};

/// A container as `GET /containers/json` lists it. What is not needed is left
/// out.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub(super) struct Container {
    id: String,
    names: Vec<String>,
    labels: BTreeMap<String, String>,
    /// "Up 5 minutes (unhealthy)".
    status: String,
    ports: Vec<Port>,
    host_config: HostConfig,
    network_settings: NetworkSettings,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
struct Port {
    private_port: u16,
    #[serde(rename = "Type")]
    protocol: String,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
struct HostConfig {
    network_mode: String,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
struct NetworkSettings {
    networks: BTreeMap<String, Network>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct Network {
    #[serde(rename = "IPAddress")]
    ip_address: String,
    #[serde(rename = "GlobalIPv6Address")]
    global_ipv6_address: String,
}

impl Network {
    fn ip(&self) -> Option<IpAddr> {
        let both = [&self.ip_address, &self.global_ipv6_address];
        both.into_iter().find_map(|text| text.parse().ok())
    }
}

impl Container {
    /// How it is called in messages.
    pub(super) fn name(&self) -> String {
        let name = self.names.first().map(|name| name.trim_start_matches('/'));
        name.unwrap_or(&self.id).chars().take(128).collect()
    }

    fn label(&self, name: &str) -> Option<&str> {
        self.labels.get(&format!("portolan.{name}")).map(|value| value.trim())
    }

    /// The instance that it is, if its labels say that it is one.
    pub(super) fn found(&self, network: Option<&str>) -> Result<Option<Found>, String> {
        let Some(service) = self.label("service") else { return Ok(None) };
        let instance = Instance {
            service: service.parse().map_err(|error| format!("portolan.service: {error}"))?,
            id: self.instance_id()?,
            origin: Origin {
                address: Address { host: Host::Ip(self.ip(network)?), port: self.port()? },
                scheme: match self.label("scheme") {
                    None | Some("http") => Scheme::Http,
                    Some("https") => Scheme::Https,
                    Some(other) => return Err(format!("portolan.scheme: {other:?} is not spoken")),
                },
            },
            weight: self.weight()?,
            zone: self.label("zone").map(str::to_owned),
            version: self.label("version").map(str::to_owned),
            tags: self
                .label("tags")
                .map(|tags| tags.split(',').map(|tag| tag.trim().to_owned()).collect())
                .unwrap_or_default(),
            metadata: BTreeMap::from([("container".to_owned(), self.name())]),
            ttl: None,
            health: HealthSettings {
                path: self.label("health.path").map(str::to_owned),
                ..HealthSettings::default()
            },
            foreign: None,
        };
        // "(health: starting)" and "(unhealthy)"; without a check of its own
        // it says nothing.
        let status = &self.status;
        let is_down = status.ends_with("(unhealthy)") || status.ends_with("(health: starting)");
        let reported = if is_down { Reported::Down } else { Reported::Up };
        Ok(Some(Found { instance, reported }))
    }

    /// The name of the container may be used again; its id is not.
    fn instance_id(&self) -> Result<InstanceId, String> {
        let id: String = self.id.chars().take(12).collect();
        id.parse().map_err(|_| format!("{id:?} is not an id of a container"))
    }

    fn ip(&self, network: Option<&str>) -> Result<IpAddr, String> {
        if self.host_config.network_mode == "host" {
            return Ok(std::net::Ipv4Addr::LOCALHOST.into());
        }
        let networks = &self.network_settings.networks;
        if let Some(name) = self.label("network").or(network) {
            let network = networks.get(name);
            let network = network.ok_or_else(|| format!("it is not in the network {name:?}"))?;
            return network
                .ip()
                .ok_or_else(|| format!("it has no address in the network {name:?}"));
        }
        networks.values().find_map(Network::ip).ok_or_else(|| "it has no address".to_owned())
    }

    fn port(&self) -> Result<u16, String> {
        if let Some(port) = self.label("port") {
            let parsed = port.parse().ok().filter(|port| *port != 0);
            return parsed.ok_or_else(|| format!("portolan.port: {port:?} is not a port"));
        }
        let tcp =
            self.ports.iter().filter(|port| port.protocol != "udp" && port.protocol != "sctp");
        let exposed: BTreeSet<_> = tcp.map(|port| port.private_port).collect();
        match (exposed.len(), exposed.first()) {
            (1, Some(port)) if *port != 0 => Ok(*port),
            (count, _) => Err(format!("it exposes {count} ports; say which as portolan.port")),
        }
    }

    fn weight(&self) -> Result<Weight, String> {
        let Some(weight) = self.label("weight") else { return Ok(Weight::default()) };
        let number: i64 =
            weight.parse().map_err(|_| format!("portolan.weight: {weight:?} is not a number"))?;
        Weight::try_from(number).map_err(|error| format!("portolan.weight: {error}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As an engine of version 27 has it, less what is not read.
    const LISTED: &str = r#"{
        "Id": "8dfafdbc3a40a2b6f0a1", "Names": ["/boring_feynman"], "Image": "ubuntu",
        "Labels": {"portolan.service": "orders", "com.example.vendor": "Acme"},
        "State": "running", "Status": "Up 5 minutes (healthy)",
        "Ports": [{"IP": "0.0.0.0", "PrivatePort": 8080, "PublicPort": 3333, "Type": "tcp"},
                  {"IP": "::", "PrivatePort": 8080, "PublicPort": 3333, "Type": "tcp"}],
        "HostConfig": {"NetworkMode": "shop"},
        "NetworkSettings": {"Networks": {
            "shop": {"IPAddress": "172.20.0.5", "GlobalIPv6Address": ""},
            "back": {"IPAddress": "172.21.0.9", "GlobalIPv6Address": "fd00::9"}}},
        "Mounts": []
    }"#;

    fn container(change: impl FnOnce(&mut Container)) -> Container {
        let mut container = serde_json::from_str(LISTED).expect("a container");
        change(&mut container);
        container
    }

    fn label<'a>(name: &'a str, value: &'a str) -> impl FnOnce(&mut Container) + 'a {
        move |container| {
            container.labels.insert(format!("portolan.{name}"), value.to_owned());
        }
    }

    fn origin(container: &Container, network: Option<&str>) -> Result<String, String> {
        container.found(network).map(|found| found.expect("labelled").instance.origin.to_string())
    }

    #[test]
    fn labels_make_an_instance() {
        let plain = container(|_| ());
        let found = plain.found(None).expect("sound").expect("labelled");
        assert_eq!(found.instance.key().to_string(), "orders/8dfafdbc3a40");
        assert_eq!(found.reported, Reported::Up);
        assert_eq!(origin(&plain, None), Ok("http://172.21.0.9:8080".into()), "the first by name");
        assert_eq!(origin(&plain, Some("shop")), Ok("http://172.20.0.5:8080".into()));
        let chosen = container(label("network", "shop"));
        assert_eq!(origin(&chosen, Some("back")), Ok("http://172.20.0.5:8080".into()));
        let other = container(label("port", "9000"));
        assert_eq!(origin(&other, None), Ok("http://172.21.0.9:9000".into()));
        let host = container(|container| container.host_config.network_mode = "host".into());
        assert_eq!(origin(&host, None), Ok("http://127.0.0.1:8080".into()));
        let tagged = container(label("tags", "blue, canary"));
        let tagged = tagged.found(None).expect("sound").expect("labelled");
        assert_eq!(tagged.instance.tags, ["blue", "canary"]);
    }

    #[test]
    fn what_its_own_check_says_is_told() {
        for (status, reported) in [
            ("Up 1 second (unhealthy)", Reported::Down),
            ("Up 1 second (health: starting)", Reported::Down),
            ("Up 1 second", Reported::Up),
        ] {
            let container = container(|container| container.status = status.into());
            let found = container.found(None).expect("sound").expect("labelled");
            assert_eq!(found.reported, reported, "{status}");
        }
    }

    #[test]
    fn what_cannot_be_an_instance_says_why() {
        for (name, value, why) in [
            ("service", "Orders!", "portolan.service"),
            ("port", "none", "portolan.port"),
            ("port", "0", "portolan.port"),
            ("weight", "5000", "portolan.weight"),
            ("scheme", "ftp", "portolan.scheme"),
            ("network", "other", "not in the network"),
        ] {
            let error = container(label(name, value)).found(None).expect_err(name);
            assert!(error.contains(why), "{error}");
        }
        let port = |private_port, protocol: &str| Port { private_port, protocol: protocol.into() };
        let udp = container(|container| container.ports.push(port(1, "udp")));
        assert_eq!(origin(&udp, Some("shop")), Ok("http://172.20.0.5:8080".into()));
        let many = container(|container| container.ports.push(port(1, "tcp")));
        assert!(many.found(None).expect_err("two").contains("2 ports"));
        let unlabelled = container(|container| container.labels.clear());
        assert!(unlabelled.found(None).expect("fine").is_none());
        let alone = container(|container| container.network_settings.networks.clear());
        assert!(alone.found(None).is_err());
    }
}
