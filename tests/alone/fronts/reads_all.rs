//! Reading all that is known at a front, not only what registered there.

use std::fs;

use serde_json::{Value, json};
use tempfile::TempDir;

use super::{backend, call, call_with};
use crate::support::{Portolan, eventually};

/// A proxy that has an instance by a list, one by its file and one that
/// registered, beside another source.
struct Run {
    proxy: Portolan,
    _folder: TempDir,
    listed: crate::support::Backend,
    _named: crate::support::Backend,
}

impl Run {
    #[track_caller]
    fn start(front: &str) -> Self {
        let (folder, listed, named) =
            (tempfile::tempdir().expect("a folder"), backend(), backend());
        let list = folder.path().join("list.json");
        let entry = json!({
            "service": "orders", "id": "o-1", "address": listed.address.to_string(),
            "tags": ["blue"], "metadata": {"team": "shop"}, "weight": 7,
        });
        fs::write(&list, json!({ "instances": [entry] }).to_string()).expect("written");
        let proxy = Portolan::start(&format!(
            "[[front]]\neureka = true\nconsul = true\nread = true\n{front}\n\
             [[source]]\nkind = 'file'\nname = 'list'\npath = '{}'\ninterval = '100ms'\n\
             [defaults]\nhealth = {{ kind = 'tcp', interval = '100ms' }}\n\
             [service.fixed]\nendpoints = ['{}']\n\
             [[route]]\nservice = 'orders'\n[[route]]\npath = '/list'\nservice = 'orders@list'\n",
            list.display(),
            named.address
        ));
        let run = Self { proxy, _folder: folder, listed, _named: named };
        run.proxy.register("billing/b-1", run.listed.address);
        eventually(|| run.proxy.get("/").status() == 200);
        eventually(|| run.proxy.get("/list").status() == 200);
        run
    }

    #[track_caller]
    fn consul(&self, path: &str) -> Value {
        let answer = call(self.proxy.fronts[0], "GET", &format!("/v1/{path}"), "");
        assert_eq!(answer.status(), 200, "{answer:?}");
        answer.json()
    }

    #[track_caller]
    fn eureka(&self) -> Value {
        let json = "accept: application/json\r\n";
        let answer = call_with(self.proxy.fronts[0], "GET", "/eureka/apps", "", json);
        answer.json()["applications"].clone()
    }
}

#[test]
fn only_what_registered_is_shown_unless_all_is_asked_for() {
    let run = Run::start("");
    assert_eq!(run.consul("catalog/services"), json!({"billing": []}));
    assert_eq!(run.eureka()["apps__hashcode"], "UP_1_");
}

#[test]
fn instances_of_sources_are_shown_with_their_source() {
    let run = Run::start("read_all = true");
    let services = json!({"billing": [], "fixed": [], "orders": ["blue"]});
    eventually(|| run.consul("catalog/services") == services);
    let health = run.consul("health/service/orders?passing");
    let service = &health[0]["Service"];
    assert_eq!(service["Meta"], json!({"team": "shop", "portolan-source": "list"}));
    assert_eq!((&service["ID"], &service["Weights"]["Passing"]), (&"o-1".into(), &7.into()));
    assert_eq!(run.consul("catalog/service/billing")[0]["ServiceMeta"], json!({}));
    let all = run.eureka();
    assert_eq!(all["apps__hashcode"], "UP_3_");
    let apps = all["application"].as_array().expect("a list");
    let source = |name: &str| {
        let app = apps.iter().find(|app| app["name"] == name).expect("it is there");
        app["instance"][0]["metadata"]["portolan-source"].clone()
    };
    assert_eq!(source("ORDERS"), "list");
    assert_eq!(source("FIXED"), "proxy.toml");
    assert_eq!(source("BILLING"), Value::Null);
    // Who has only this to register at sees nothing of the others.
    assert_eq!(run.consul("agent/services"), json!({}));
}

#[test]
fn an_instance_that_two_have_is_one_and_two_of_one_id_are_two() {
    let run = Run::start("read_all = true");
    let ids = || {
        let all = run.consul("health/service/orders");
        let all = all.as_array().expect("a list").iter();
        let ids = all.map(|one| one["Service"]["ID"].as_str().unwrap_or_default().to_owned());
        ids.collect::<Vec<_>>()
    };
    // The same process comes over under a name of its own: it counts first.
    run.proxy.register("orders/moved", run.listed.address);
    eventually(|| ids() == ["moved"]);
    assert_eq!(run.proxy.deregister("orders/moved").status(), 200);
    eventually(|| ids() == ["o-1"]);
    let other = backend();
    run.proxy.register("orders/o-1", other.address);
    eventually(|| ids() == ["o-1", "o-1@list"]);
}

#[test]
fn two_that_read_each_other_keep_nothing_alive_between_them() {
    let run = Run::start("read_all = true");
    let front = run.proxy.fronts[0];
    let reader = Portolan::start(&format!(
        "[[source]]\nkind = 'eureka'\nurls = ['http://{front}/eureka']\ninterval = '100ms'\n\
         allow_loopback = true\n\
         [[source]]\nkind = 'consul'\nurl = 'http://{front}'\nallow_loopback = true\n\
         [[route]]\nservice = 'billing'\n[[route]]\npath = '/late'\nservice = 'late'\n"
    ));
    for name in ["eureka", "consul"] {
        let source = || reader.admin("GET", &format!("/api/v1/sources/{name}"), "").json();
        let rejected = || source()["rejected"].as_array().cloned().unwrap_or_default();
        eventually(|| source()["instances"] == 1 && rejected().len() == 2);
        let why = rejected()[0].to_string();
        assert!(why.contains("a Portolan has it from"), "{why}");
    }
    eventually(|| reader.get("/").status() == 200);
    // What registers later is heard of, too.
    run.proxy.register("late/l-1", run.listed.address);
    eventually(|| reader.get("/late").status() == 200);
    for name in ["eureka", "consul"] {
        let source = || reader.admin("GET", &format!("/api/v1/sources/{name}"), "").json();
        eventually(|| source()["instances"] == 2);
    }
}
