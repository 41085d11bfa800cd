//! Eureka's REST API: what is registered, in the shapes that clients parse.

use super::{backend, call, call_with, eureka::body, start};
use crate::support::{Backend, Portolan, eventually};

const JSON: &str = "accept: application/json\r\n";

struct Run {
    proxy: Portolan,
    backend: Backend,
}

impl Run {
    fn start() -> Self {
        let proxy = start("eureka = true\nread = true");
        let backend = backend();
        let run = Self { proxy, backend };
        run.registers("UP", 1);
        eventually(|| run.proxy.get("/").status() == 200);
        run
    }

    #[track_caller]
    fn registers(&self, status: &str, dirty: u64) {
        let body = body(self.backend.address, status, dirty);
        let answer = call(self.proxy.fronts[0], "POST", "/eureka/apps/ORDERS", &body);
        assert_eq!(answer.status(), 204);
    }

    #[track_caller]
    fn json(&self, path: &str) -> serde_json::Value {
        let answer = call_with(self.proxy.fronts[0], "GET", path, "", JSON);
        assert_eq!(answer.status(), 200, "{answer:?}");
        assert_eq!(answer.field("content-type"), Some("application/json"));
        answer.json()
    }
}

#[test]
fn everything_is_read_at_once_or_one_by_one() {
    let run = Run::start();
    let all = run.json("/eureka/apps/");
    let all = &all["applications"];
    assert_eq!(all["apps__hashcode"], "UP_1_");
    let version = |all: &serde_json::Value| -> u64 {
        all["versions__delta"].as_str().expect("text").parse().expect("a number")
    };
    assert!(version(all) > 1_000_000, "another one after a restart");
    let app = &all["application"][0];
    assert_eq!(app["name"], "ORDERS");
    let instance = &app["instance"][0];
    let port = run.backend.address.port();
    assert_eq!(instance["port"], serde_json::json!({"$": port, "@enabled": "true"}));
    assert_eq!(instance["status"], "UP");
    assert_eq!(instance["hostName"], "h.example");
    let class = "com.netflix.appinfo.InstanceInfo$DefaultDataCenterInfo";
    assert_eq!(instance["dataCenterInfo"]["@class"], class);
    assert_eq!(instance["overriddenStatus"], "UNKNOWN");
    assert_eq!(instance["actionType"], "ADDED");
    assert_eq!(&run.json("/eureka/apps/orders")["application"], app);
    let path = format!("/eureka/v2/apps/ORDERS/h:orders:{port}");
    assert_eq!(&run.json(&path)["instance"], instance);
    assert_eq!(&run.json(&format!("/eureka/instances/h:orders:{port}"))["instance"], instance);
    assert_eq!(&run.json("/eureka/vips/orders")["applications"]["application"][0], app);
    for nothing in ["apps/NONE", "apps/ORDERS/x", "instances/x", "vips/x", "svips/x"] {
        let answer = call(run.proxy.fronts[0], "GET", &format!("/eureka/{nothing}"), "");
        assert_eq!(answer.status(), 404, "{nothing}");
    }
    let xml = call(run.proxy.fronts[0], "GET", "/eureka/apps/", "").text();
    assert!(xml.starts_with("<applications><versions__delta>"), "{xml}");
    assert!(xml.contains(&format!("<port enabled=\"true\">{port}</port>")), "{xml}");
    assert!(xml.contains(&format!("<dataCenterInfo class=\"{class}\">")), "{xml}");
    assert!(xml.contains("<overriddenstatus>UNKNOWN</overriddenstatus>"), "{xml}");
}

#[test]
fn an_empty_registry_is_a_list_all_the_same() {
    let proxy = start("eureka = true\nread = true");
    let answer = call_with(proxy.fronts[0], "GET", "/eureka/apps", "", JSON).json();
    assert_eq!(answer["applications"]["application"], serde_json::json!([]));
    assert_eq!(answer["applications"]["apps__hashcode"], "");
}

#[test]
fn changes_and_the_hash_code_keep_a_client_in_step() {
    let run = Run::start();
    let delta = || run.json("/eureka/apps/delta")["applications"].clone();
    assert_eq!(delta()["application"], serde_json::json!([]));
    run.registers("OUT_OF_SERVICE", 2);
    let changed = delta();
    assert_eq!(run.json("/eureka/apps")["applications"]["apps__hashcode"], "OUT_OF_SERVICE_1_");
    let instance = &changed["application"][0]["instance"][0];
    let told = (&instance["status"], &instance["actionType"]);
    assert_eq!(told, (&"OUT_OF_SERVICE".into(), &"MODIFIED".into()));
    let port = run.backend.address.port();
    let path = format!("/eureka/apps/ORDERS/h:orders:{port}");
    assert_eq!(call(run.proxy.fronts[0], "DELETE", &path, "").status(), 200);
    let changed = delta();
    assert_eq!(changed["application"][0]["instance"][0]["actionType"], "DELETED");
}

#[test]
fn a_full_read_is_what_changes_are_told_since() {
    let run = Run::start();
    let before = run.json("/eureka/apps")["applications"]["versions__delta"].clone();
    run.proxy.register("billing/b-1", run.backend.address);
    let changed = run.json("/eureka/apps/delta")["applications"].clone();
    assert_eq!(changed["application"][0]["name"], "BILLING");
    assert_ne!(changed["versions__delta"], before);
}

#[test]
fn an_instance_that_is_replaced_over_a_restart_is_seen_by_who_asks_for_changes() {
    let run = Run::start();
    let ids = |all: &serde_json::Value| {
        let apps = all["applications"]["application"].as_array().expect("a list").clone();
        let instances = apps.iter().flat_map(|app| app["instance"].as_array().expect("a list"));
        let ids = instances.map(|one| one["instanceId"].as_str().expect("text").to_owned());
        ids.collect::<Vec<_>>()
    };
    let known = run.json("/eureka/apps");
    // One goes and one comes, and nobody asks before Portolan ends: as many
    // are UP as before.
    let other = backend();
    let port = run.backend.address.port();
    let path = format!("/eureka/apps/ORDERS/h:orders:{port}");
    assert_eq!(call(run.proxy.fronts[0], "DELETE", &path, "").status(), 200);
    let joined = body(other.address, "UP", 1);
    assert_eq!(call(run.proxy.fronts[0], "POST", "/eureka/apps/ORDERS", &joined).status(), 204);
    eventually(|| run.proxy.get("/").status() == 200);
    let Run { proxy, backend } = run;
    let run = Run { proxy: proxy.restart(), backend };
    eventually(|| run.proxy.get("/").status() == 200);
    let delta = run.json("/eureka/apps/delta");
    let (of_client, told) =
        (&known["applications"]["apps__hashcode"], &delta["applications"]["apps__hashcode"]);
    assert_eq!(of_client, "UP_1_");
    // What it has and what it is told do not agree, so it reads all.
    assert!(ids(&delta).is_empty());
    assert_ne!(of_client, told);
    assert_eq!(ids(&run.json("/eureka/apps")), [format!("h:orders:{}", other.address.port())]);
}

#[test]
fn what_registered_in_another_language_is_shown_too() {
    let run = Run::start();
    run.proxy.register("billing/b-1", run.backend.address);
    let app = run.json("/eureka/apps/BILLING")["application"].clone();
    let instance = &app["instance"][0];
    assert_eq!(
        (&instance["instanceId"], &instance["vipAddress"]),
        (&"b-1".into(), &"billing".into())
    );
    assert_eq!(instance["port"]["$"], run.backend.address.port());
    assert_eq!(instance["securePort"]["@enabled"], "false");
}
