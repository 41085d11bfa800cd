//! Tests of `status`.

use serde_json::{Value, json};

use super::{
    super::{
        output::Format,
        testing::{FakeAdmin, unstyled},
    },
    *,
};

fn well() -> Value {
    json!({
        "program": "0.1.0", "pid": 4242, "uptime_ms": 273_600_000, "version": 1284, "published_ms": 12_000,
        "workers": 4, "listeners": ["0.0.0.0:8080", "[::]:8080"], "admin": "127.0.0.1:9900",
        "ready": true,
        "config": { "path": "proxy.toml", "loaded_ms": 7_200_000, "last_reload_ok": true },
        "services": 3, "routes": 2, "instances": { "healthy": 7, "unhealthy": 0 },
        "probe_stretch": 1.0, "requests": { "ok": 9900, "no_route": 90, "client_gone": 10 },
        "in_flight": 37, "connections": 1, "store": "ok", "attention": [],
    })
}

fn shown(json: Value) -> String {
    let view = serde_json::from_value(json).expect("a view");
    unstyled(&text(&view))
}

#[test]
fn all_is_well() {
    insta::assert_snapshot!(shown(well()), @r"
    portolan 0.1.0   up 3 d 4 h   table 1284, 12 s ago   ready

      listening  0.0.0.0:8080
                 [::]:8080
      admin      127.0.0.1:9900
      process    4242
      config     proxy.toml, read 2 h ago
      store      ok
      workers    4
      routes     2
      services   3
      instances  7 healthy
      in flight  37 requests, 1 connection

      10000 requests, by how they ended
        ok           9900  99.00 %
        no_route       90   0.90 %
        client_gone    10   0.10 %
    ");
}

#[test]
fn problems_come_first() {
    let mut json = well();
    json["ready"] = json!(false);
    json["waiting_for"] = json!(["first probes of orders"]);
    json["attention"] = json!(["service orders: 1 of 3 instances usable"]);
    json["config"]["last_reload_ok"] = json!(false);
    json["config"]["problems"] = json!("error[P0101]: unknown key `pth`\n --> proxy.toml:3:1\n");
    json["instances"] = json!({ "healthy": 1, "unhealthy": 2 });
    json["probe_stretch"] = json!(1.44);
    json["requests"] = json!({});
    insta::assert_snapshot!(shown(json), @r"
    portolan 0.1.0   up 3 d 4 h   table 1284, 12 s ago   NOT READY

    NEEDS ATTENTION
      waiting for first probes of orders
      service orders: 1 of 3 instances usable
      error[P0101]: unknown key `pth`
       --> proxy.toml:3:1

      listening  0.0.0.0:8080
                 [::]:8080
      admin      127.0.0.1:9900
      process    4242
      config     proxy.toml, read 2 h ago; what is on disk now was refused
      store      ok
      workers    4
      routes     2
      services   3
      instances  1 healthy, 2 unhealthy
      probes     intervals stretched 1.4 times
      in flight  37 requests, 1 connection
    ");
}

#[tokio::test]
async fn json_is_passed_on() {
    let admin = FakeAdmin::start(|_| (200, well().to_string())).await;
    let args = StatusArgs { format: super::FormatArgs { format: Format::Json } };
    let said = args.ask(&admin.client).await.expect("an answer");
    let read: Value = serde_json::from_str(&said.out).expect("JSON");
    assert_eq!(read, well());
    assert_eq!(admin.asked()[0].0, "GET /api/v1/status Bearer secret");
}
