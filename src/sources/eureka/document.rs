//! What a Eureka server answers with, in any of the spellings there are, and
//! the instances in it. Pure.

use serde::Deserialize;

use crate::{
    model::{InstanceKey, ParseNameError, Reported, Scheme},
    sources::{
        Found,
        draft::{Draft, instance_id, service_name},
        loose::{List, Loose, Maybe, Pairs},
    },
};

/// All applications, or those that have changed.
#[derive(Debug, Deserialize)]
pub(super) struct Document {
    pub(super) applications: Applications,
}

#[derive(Debug, Deserialize)]
pub(super) struct Applications {
    /// What the statuses of all instances sum up to, see
    /// [`super::registry::hash_code`].
    #[serde(rename = "apps__hashcode", alias = "apps_hashcode", default)]
    pub(super) hash_code: Option<Loose>,
    /// None if there is no list at all: an answer of another form is not an
    /// empty registry.
    #[serde(default)]
    pub(super) application: Option<List<Maybe<Application>>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Application {
    pub(super) name: Loose,
    pub(super) instance: List<Maybe<Entry>>,
}

/// How an instance is reached that leaves a choice.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Reached {
    /// By the name of its host, not by its address.
    pub(crate) by_hostname: bool,
    /// By TLS where both of its ports are enabled.
    pub(crate) by_tls: bool,
}

/// An instance.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(crate) struct Entry {
    instance_id: Loose,
    host_name: Loose,
    app: Loose,
    ip_addr: Loose,
    status: Loose,
    port: Maybe<Port>,
    secure_port: Maybe<Port>,
    data_center_info: Maybe<DataCenter>,
    metadata: Maybe<Pairs>,
    action_type: Loose,
}

#[derive(Debug, Default, Deserialize)]
struct Port {
    #[serde(rename = "$", default)]
    number: Loose,
    #[serde(rename = "@enabled", default)]
    is_enabled: Loose,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct DataCenter {
    metadata: Maybe<Pairs>,
}

impl Entry {
    /// Its id among the instances of its application: as the server makes it,
    /// the one it was given, else the one of its machine, else its host.
    pub(crate) fn id(&self) -> &str {
        let machine = || self.data_center("instance-id");
        self.instance_id.text().or_else(machine).unwrap_or(self.host_name.as_str())
    }

    /// The application that it says it is of.
    pub(crate) fn app(&self) -> &str {
        self.app.as_str()
    }

    /// Its status, as it is counted.
    pub(super) fn status(&self) -> &str {
        self.status.text().unwrap_or("UNKNOWN")
    }

    /// Whether a list of changes says that it is gone.
    pub(super) fn is_deleted(&self) -> bool {
        self.action_type.as_str() == "DELETED"
    }

    fn data_center(&self, key: &str) -> Option<&str> {
        self.data_center_info.wanted()?.metadata.wanted()?.text(key)
    }

    fn metadata(&self, key: &str) -> Option<&str> {
        self.metadata.wanted()?.text(key)
    }

    /// Its place among all instances.
    ///
    /// # Errors
    ///
    /// When it cannot have one; why, in words for a person.
    pub(crate) fn key(&self, app: &str) -> Result<InstanceKey, String> {
        let words = |error: ParseNameError| error.to_string();
        Ok(InstanceKey {
            service: service_name(app).map_err(words)?,
            id: instance_id(self.id()).map_err(words)?,
        })
    }

    /// The instance, of the application `app`.
    ///
    /// # Errors
    ///
    /// When it cannot be one; why, in words for a person.
    pub(crate) fn found(&self, app: &str, reached: Reached) -> Result<Found, String> {
        // One without an id would not be found again when it is deleted.
        self.key(app)?;
        let (plain, secure) = (self.port.wanted(), self.secure_port.wanted());
        // Clients that name a port and nothing else mean it.
        let plain =
            plain.filter(|port| port.is_enabled.text().is_none() || port.is_enabled.is_true());
        let secure = secure.filter(|port| port.is_enabled.is_true());
        let (port, scheme) = match (plain, secure) {
            (_, Some(port)) if reached.by_tls || plain.is_none() => (port, Scheme::Https),
            (Some(port), _) => (port, Scheme::Http),
            (None, _) => return Err("none of its ports is enabled".to_owned()),
        };
        let (name, address) = (self.host_name.text(), self.ip_addr.text());
        let host = if reached.by_hostname { name.or(address) } else { address.or(name) };
        let zone = self.metadata("zone").or_else(|| self.data_center("availability-zone"));
        let mut metadata = self.metadata.wanted().map(Pairs::to_map).unwrap_or_default();
        // The class of the map is the server's own affair.
        metadata.retain(|key, _| !matches!(key.as_str(), "@class" | "class"));
        let draft = Draft {
            weight: self.metadata("weight").and_then(|weight| weight.parse().ok()),
            zone: zone.map(str::to_owned),
            version: self.metadata("version").map(str::to_owned),
            metadata,
            reported: match self.status() {
                "UP" => Reported::Up,
                "OUT_OF_SERVICE" => Reported::OutOfService,
                _ => Reported::Down,
            },
            ..Draft::new(app, Some(self.id()))
        };
        draft.at(scheme, host.unwrap_or_default(), port.number.number().unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(text: &str) -> Entry {
        serde_json::from_str(text).expect("an entry")
    }

    const FULL: &str = r#"{
        "instanceId": "h:web:8080", "hostName": "h.example", "app": "WEB", "ipAddr": "10.0.0.1",
        "status": "UP", "overriddenStatus": "UNKNOWN", "overriddenstatus": "UNKNOWN",
        "port": {"$": 8080, "@enabled": "true"}, "securePort": {"$": "8443", "@enabled": true},
        "countryId": 1, "dataCenterInfo": {"@class": "A", "name": "Amazon",
            "metadata": {"availability-zone": "us-east-1c", "instance-id": "i-7"}},
        "metadata": {"@class": "java.util.HashMap", "weight": "7", "version": 3}
    }"#;

    #[test]
    fn an_entry_is_an_instance_with_all_that_goes_with_it() {
        let mut reached = Reached::default();
        let Found { instance, reported } = entry(FULL).found("WEB", reached).expect("one");
        assert_eq!(instance.key().to_string(), "web/h:web:8080");
        assert_eq!(instance.origin.to_string(), "http://10.0.0.1:8080");
        assert_eq!((instance.weight.value(), instance.zone.as_deref()), (7, Some("us-east-1c")));
        assert_eq!((instance.version.as_deref(), reported), (Some("3"), Reported::Up));
        assert_eq!(instance.metadata.len(), 2);
        (reached.by_tls, reached.by_hostname) = (true, true);
        let secure = entry(FULL).found("WEB", reached).expect("one").instance.origin;
        assert_eq!(secure.to_string(), "https://h.example:8443");
    }

    #[test]
    fn clients_leave_out_what_they_like() {
        let reached = Reached::default();
        let few = r#"{"hostName": "h", "ipAddr": "10.0.0.1", "app": "js-app",
            "port": {"$": 80, "@enabled": true}, "metadata": {"@class": "x"}}"#;
        let Found { instance, reported } = entry(few).found("JS-APP", reached).expect("one");
        assert_eq!((instance.id.as_str(), reported), ("h", Reported::Down));
        assert!(instance.metadata.is_empty() && instance.weight.value() == 100);
        let secure = few.replace("true}", "false}").replace(
            "\"metadata\"",
            "\"securePort\": {\"$\": 443, \"@enabled\": \"true\"}, \"metadata\"",
        );
        let secure = entry(&secure).found("JS-APP", reached).expect("one").instance.origin;
        assert_eq!(secure.to_string(), "https://10.0.0.1:443");
        let machine = FULL.replace("\"h:web:8080\"", "null");
        assert_eq!(entry(&machine).id(), "i-7");

        let closed = few.replace("true}", "false}");
        assert!(entry(&closed).found("A", reached).expect_err("no port").contains("ports"));
        for odd in ["{}", r#"{"port": 80, "dataCenterInfo": "x", "metadata": [], "ipAddr": {}}"#] {
            assert!(entry(odd).found("A", reached).is_err(), "{odd}");
        }
        assert!(entry(few).found("a b", reached).is_err());
    }

    #[test]
    fn one_may_stand_for_a_list_and_nothing_for_none() {
        let one = format!(
            r#"{{"applications": {{"versions__delta": 1, "apps__hashcode": "UP_1_",
                "application": {{"name": "WEB", "instance": {FULL}}}}}}}"#
        );
        for text in [
            one.clone(),
            one.replace("\"instance\": {", "\"instance\": [7, {")
                .replace("3}\n    }", "3}\n    }]"),
        ] {
            let read: Document = serde_json::from_str(&text).expect(&text);
            let apps = read.applications.application.expect("a list").0;
            let app = apps[0].wanted().expect("an application");
            let ids: Vec<_> =
                app.instance.0.iter().filter_map(Maybe::wanted).map(Entry::id).collect();
            assert_eq!((app.name.as_str(), ids), ("WEB", vec!["h:web:8080"]));
        }
        let none: Document = serde_json::from_str(r#"{"applications": {}}"#).expect("a document");
        assert!(none.applications.application.is_none());
        assert!(serde_json::from_str::<Document>("{}").is_err());
    }
}
