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
        "store": {
            "state": "writable", "instances": 1204, "commit_p50_us": 412, "commit_p99_us": 2090,
            "snapshot_ms": 180_000, "snapshot_instances": 1200,
        },
        "ledger": { "accepted": 10037, "completed": 9900, "client_gone": 10, "refused": 90,
                    "failed": 0, "in_flight": 37 },
        "departures": [], "connections": 1, "attention": [],
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
      store      writable, 1204 instances, commit p50 0.4 ms p99 2.0 ms, last snapshot 3 min ago
      workers    4
      routes     2
      services   3
      instances  7 healthy
      in flight  37 requests, 1 connection

      10037 requests: 9900 completed, 10 left by their client, 90 refused, 0 failed, 37 in flight
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
    json["departures"] = json!([]);
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
      store      writable, 1204 instances, commit p50 0.4 ms p99 2.0 ms, last snapshot 3 min ago
      workers    4
      routes     2
      services   3
      instances  1 healthy, 2 unhealthy
      probes     intervals stretched 1.4 times
      in flight  37 requests, 1 connection
    ");
}

#[test]
fn what_a_deploy_cost_is_shown() {
    let mut json = well();
    json["requests"] = json!({});
    let departure = |summary: &str, lost: u64, why: &str| {
        json!({
            "service": "orders", "instance": "orders-7", "generation": 7, "why": why,
            "requests": 18_204, "completed": 12, "client_gone": 0, "retried": 3, "lost": lost,
            "summary": summary, "ago_ms": 240_000,
        })
    };
    json["departures"] = json!([
        departure("orders-8: 9 requests, 0 retried, 1 lost", 1, "its lease expired"),
        departure("orders-7 → orders-8: 18,204 requests, 3 retried, 0 lost", 0, "it was asked to"),
    ]);
    let shown = shown(json);
    let block = &shown[shown.find("  left lately").expect("a block")..];
    insta::assert_snapshot!(block, @r"
      left lately
        orders  orders-8: 9 requests, 0 retried, 1 lost                  4 min ago  its lease expired
        orders  orders-7 → orders-8: 18,204 requests, 3 retried, 0 lost  4 min ago  it was asked to
    ");
}

#[test]
fn who_shares_the_registry_is_shown() {
    let mut json = well();
    json["store"] = json!({ "state": "writable", "instances": 12 });
    json["fleet"] = json!({
        "id": "proxy-1-8f3a21c0", "revision": 81_250, "pending": 0, "fellows": [
            { "id": "proxy-2-0cc17d32", "program": "0.1.0", "pid": 7 },
            { "id": "proxy-3-77b0a9e4", "program": "0.1.0", "pid": 8, "missing_ms": 12_000 },
        ],
    });
    let block = |json: &Value| {
        let shown = shown(json.clone());
        shown[shown.find("  store").expect("a block")..shown.find("  workers").expect("one")]
            .to_owned()
    };
    insta::assert_snapshot!(block(&json), @r"
      store      writable, 12 instances
      registry   in etcd, at revision 81250, as proxy-1-8f3a21c0
                 with proxy-2-0cc17d32, version 0.1.0
                 with proxy-3-77b0a9e4, missing for 12 s
    ");
    json["fleet"] = json!({
        "id": "proxy-1-8f3a21c0", "revision": 81_250, "etcd_revision": 81_262, "behind_ms": 3000,
        "pending": 0, "fellows": [],
    });
    insta::assert_snapshot!(block(&json), @r"
      store      writable, 12 instances
      registry   in etcd, at revision 81250 of 81262, behind for 3 s, as proxy-1-8f3a21c0
    ");
    json["fleet"] = json!({
        "id": "proxy-1-8f3a21c0", "revision": 81_250, "pending": 1, "fellows": [],
        "lost_ms": 3000, "fault": "etcd is out of reach",
    });
    insta::assert_snapshot!(block(&json), @r"
      store      writable, 12 instances
      registry   in etcd, lost for 3 s, which lacks 1 instance, as proxy-1-8f3a21c0
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
