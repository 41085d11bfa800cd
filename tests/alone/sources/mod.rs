//! Instances that come from outside, by the simplest of sources: a file.

mod brake;
mod http;
mod merging;
mod moving;
mod outage;
mod reload;

use std::{
    fs,
    net::SocketAddr,
    path::{Path, PathBuf},
    time::Duration,
};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::{Backend, Connection, Portolan, eventually};

const ROUTE: &str = "[[route]]\nservice = 'app'\n";

/// A folder with lists of instances.
struct Lists {
    folder: TempDir,
}

impl Lists {
    fn new() -> Self {
        Self { folder: tempfile::tempdir().expect("a folder") }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(format!("{name}.json"))
    }

    /// Puts `instances` in the place of what the list had.
    fn write(&self, name: &str, instances: &[Value]) {
        self.put(name, &json!({ "instances": instances }).to_string());
    }

    fn put(&self, name: &str, text: &str) {
        let new = self.folder.path().join("new");
        fs::write(&new, text).expect("written");
        fs::rename(new, self.path(name)).expect("renamed");
    }

    fn remove(&self, name: &str) {
        fs::remove_file(self.path(name)).expect("removed");
    }

    /// The section of the source `name`, which reads the list of that name.
    fn section(&self, name: &str) -> String {
        section(name, &self.path(name), "")
    }
}

fn section(name: &str, path: &Path, more: &str) -> String {
    format!(
        "[[source]]\nkind = 'file'\nname = '{name}'\npath = '{}'\ninterval = '100ms'\n{more}\n",
        path.display()
    )
}

fn app(id: &str, address: SocketAddr) -> Value {
    json!({ "service": "app", "id": id, "address": address.to_string() })
}

/// A server that answers with `name`.
fn named(name: &str) -> Backend {
    let length = name.len();
    Backend::answering(format!("HTTP/1.1 200 OK\r\ncontent-length: {length}\r\n\r\n{name}"))
}

fn answers(portolan: &Portolan, text: &str) -> bool {
    portolan.get("/").text() == text
}

fn source(portolan: &Portolan, name: &str) -> Value {
    let all = portolan.admin("GET", "/api/v1/sources", "").json();
    let all = all["sources"].as_array().expect("sources").clone();
    all.into_iter().find(|source| source["source"] == *name).unwrap_or_default()
}

fn attention(portolan: &Portolan) -> String {
    portolan.admin("GET", "/api/v1/status", "").json()["attention"].to_string()
}

/// What was told of sources so far, in order: the kind and the sentence.
fn told(portolan: &Portolan) -> Vec<(String, String)> {
    let mut stream = Connection::open(portolan.admin);
    stream.send(format!(
        "GET /api/v1/events HTTP/1.1\r\nhost: {}\r\nlast-event-id: 0-0\r\n\r\n",
        portolan.admin
    ));
    let mut text = String::new();
    while !stream.is_silent_for(Duration::from_millis(300)) {
        text += &String::from_utf8_lossy(&stream.read().expect("events"));
    }
    let events = text.lines().filter_map(|line| line.strip_prefix("data: "));
    let events = events.map(|data| serde_json::from_str::<Value>(data).expect("an event"));
    let word = |event: &Value, key: &str| event[key].as_str().unwrap_or_default().to_owned();
    let told = events.map(|event| (word(&event, "kind"), word(&event, "detail")));
    told.filter(|(kind, _)| kind.starts_with("source_")).collect()
}

fn kinds(told: &[(String, String)]) -> Vec<&str> {
    told.iter().map(|(kind, _)| kind.as_str()).collect()
}

#[test]
fn what_a_file_lists_is_routed_to_and_an_edit_keeps_what_it_can() {
    let (lists, backend) = (Lists::new(), named("one"));
    lists.write("list", &[app("a", backend.address)]);
    let portolan = Portolan::start(&format!("{}{ROUTE}", lists.section("list")));
    eventually(|| answers(&portolan, "one"));
    let before = portolan.instance("app/a");
    assert_eq!((before["source"].as_str(), before["weight"].as_u64()), (Some("list"), Some(100)));
    let mut edited = app("a", backend.address);
    (edited["weight"], edited["tags"]) = (7.into(), json!(["blue"]));
    lists.write("list", &[edited, app("wrong id", backend.address), json!({"service": "app"})]);
    eventually(|| portolan.instance("app/a")["weight"] == 7);
    let after = portolan.instance("app/a");
    assert_eq!(after["generation"], before["generation"]);
    assert!(after["requests"].as_u64() >= before["requests"].as_u64(), "its counts live on");
    let view = source(&portolan, "list");
    assert_eq!((&view["connected"], &view["instances"]), (&true.into(), &1.into()));
    assert!(view["rejected"].to_string().contains("wrong id"), "{view}");
    assert!(attention(&portolan).contains("2 entries that cannot be instances"));
    let detail = portolan.admin("GET", "/api/v1/sources/list", "").json();
    assert_eq!((&detail["source"], &detail["has"][0]["id"]), (&"list".into(), &"a".into()));
    assert_eq!(portolan.admin("GET", "/api/v1/sources/none", "").status(), 404);
    let other = named("two");
    lists.write("list", &[app("a", other.address)]);
    eventually(|| answers(&portolan, "two"));
    assert_eq!(portolan.instance("app/a")["generation"], 2, "another address is another one");
    assert_eq!(portolan.metric("portolan_registry_source_up{source=\"list\"}"), 1.0);
    assert!(portolan.metric("portolan_registry_source_rejected_total{source=\"list\"}") >= 2.0);
}

#[test]
fn what_a_source_says_of_health_is_heeded_and_taken_back() {
    let (lists, backend) = (Lists::new(), named("one"));
    let reported = |word: &str| {
        let mut instance = app("a", backend.address);
        instance["reported"] = word.into();
        lists.write("list", &[instance]);
    };
    reported("up");
    let portolan = Portolan::start(&format!("{}{ROUTE}", lists.section("list")));
    eventually(|| answers(&portolan, "one"));
    for (word, state, why) in [
        ("down", "unhealthy", "list says DOWN"),
        ("out_of_service", "draining", "list says OUT_OF_SERVICE"),
    ] {
        reported(word);
        eventually(|| portolan.get("/").reason() == "no_healthy_instance");
        let view = portolan.instance("app/a");
        assert_eq!((view["state"].as_str(), view["why"].as_str()), (Some(state), Some(why)));
        reported("up");
        eventually(|| answers(&portolan, "one"));
    }
    let view = portolan.instance("app/a");
    assert_eq!(view["generation"], 1, "it was one and the same all along");
}

#[test]
fn each_source_says_for_itself_whether_loopback_is_allowed() {
    let (lists, backend) = (Lists::new(), named("one"));
    lists.write("list", &[app("a", backend.address)]);
    let config = |more: &str| {
        let section = section("list", &lists.path("list"), more);
        format!("[defaults]\nhealth.kind = 'tcp'\nhealth.interval = '100ms'\n{section}{ROUTE}")
    };
    let portolan = Portolan::start(&config("allow_loopback = false"));
    eventually(|| {
        let why = portolan.instance("app/a")["why"].to_string();
        why.contains("loopback addresses are off")
    });
    assert_eq!(portolan.reload(&config("")).status(), 200);
    eventually(|| answers(&portolan, "one"));
}

#[test]
fn one_source_of_a_service_can_be_meant() {
    let (lists, east, west) = (Lists::new(), named("east"), named("west"));
    lists.write("east", &[app("a", east.address)]);
    lists.write("west", &[app("a", west.address)]);
    let sections = format!("{}{}", lists.section("east"), lists.section("west"));
    let portolan = Portolan::start(&format!(
        "{sections}[[route]]\npath = '/east'\nservice = 'app@east'\n[[route]]\nservice = 'app'\n\
         [[route]]\npath = '/none'\nservice = 'other@west'\n"
    ));
    eventually(|| portolan.get("/east").text() == "east");
    for _ in 0..20 {
        assert_eq!(portolan.get("/east").text(), "east");
    }
    eventually(|| answers(&portolan, "west"));
    eventually(|| answers(&portolan, "east"));
    assert_eq!(portolan.get("/none").reason(), "no_healthy_instance");
    // A route that is new finds what the source has had for long.
    let text = format!("{sections}[[route]]\nservice = 'app@west'\n");
    assert_eq!(portolan.reload(&text).status(), 200);
    for _ in 0..10 {
        assert_eq!(portolan.get("/").text(), "west");
    }
    assert_eq!(portolan.admin("GET", "/api/v1/services/app@east", "").status(), 404);
    lists.write("west", &[app("b", east.address)]);
    eventually(|| answers(&portolan, "east"));
    let body = format!("{{\"address\": \"{}\"}}", west.address);
    let refused = portolan.admin("PUT", "/api/v1/services/app@west/instances/x", &body);
    assert_eq!(refused.status(), 422, "nothing registers under such a name");
}
