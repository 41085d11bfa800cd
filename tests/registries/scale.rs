//! What many instances cost: `PORTOLAN_SCALE=10000 cargo test --test registries
//! --features outside scale -- --nocapture` prints a report. In a usual run
//! there are fewer, and nothing is measured, only that all arrive.

use std::{
    fs,
    net::IpAddr,
    sync::atomic::{AtomicUsize, Ordering},
    thread,
    time::{Duration, Instant},
};

use portolan::etcd::{
    Client, ClientSettings,
    messages::{Operation, PutRequest, TxnRequest},
};
use serde_json::json;
use tokio::runtime::Runtime;
use zookeeper_client::{Acls, CreateMode};

use crate::{
    routed::source,
    servers::{
        consul::Consul,
        etcd::{Etcd, Version},
        eureka::Eureka,
        zookeeper::Zookeeper,
    },
    support::{Portolan, eventually},
};

fn instances() -> usize {
    std::env::var("PORTOLAN_SCALE").map_or(500, |text| text.parse().expect("a number"))
}

/// Changes each second, and how many seconds, when that is measured.
const CHANGES: usize = 100;
const SECONDS: usize = 10;

fn address(number: usize) -> String {
    format!("10.{}.{}.{}", number >> 16 & 255, number >> 8 & 255, number & 255)
}

/// Resident bytes, and seconds of processor time so far.
fn used(process: u32) -> (u64, f64) {
    let read = |name: &str| fs::read_to_string(format!("/proc/{process}/{name}")).expect("there");
    let resident: u64 = read("statm").split(' ').nth(1).expect("pages").parse().expect("a number");
    let stat = read("stat");
    let fields: Vec<_> = stat[stat.rfind(')').expect("a name")..].split(' ').collect();
    let ticks = |at: usize| fields[at].parse::<f64>().expect("a number");
    (resident * 4096, (ticks(12) + ticks(13)) / 100.0)
}

/// Runs the proxy on what is there, then while `change` makes changes.
fn report(kind: &str, section: &str, change: impl Fn(usize)) {
    let count = instances();
    let config = format!("{section}\n[[route]]\nservice = 's0'\n");
    let empty = {
        let portolan = Portolan::apart("[[route]]\nservice = 's0'\n", 4096);
        used(portolan.process()).0
    };
    let begun = Instant::now();
    let portolan = Portolan::apart(&config, 4096);
    eventually(|| source(&portolan, kind)["instances"] == count);
    let listed = begun.elapsed();
    let (memory, before) = used(portolan.process());
    println!("{kind}: {count} instances in the table {listed:?} after the start of the process");
    println!("{kind}: {} KiB resident, {} KiB without a source", memory >> 10, empty >> 10);
    if std::env::var_os("PORTOLAN_SCALE").is_some() {
        thread::sleep(Duration::from_secs(20));
        let (_, rest) = used(portolan.process());
        println!("{kind}: {:.2} % of a core at rest", (rest - before) * 5.0);
        let begun = Instant::now();
        for number in 0..CHANGES * SECONDS {
            change(1 + number % (count - 1));
            let due = Duration::from_secs_f64((number + 1) as f64 / CHANGES as f64);
            thread::sleep(due.saturating_sub(begun.elapsed()));
        }
        let (memory, after) = used(portolan.process());
        let share = (after - rest) / begun.elapsed().as_secs_f64();
        println!("{kind}: {:.1} % of a core at {CHANGES} changes a second", share * 100.0);
        println!("{kind}: {} KiB resident then", memory >> 10);
    }
    let begun = Instant::now();
    change(0);
    eventually(|| {
        let all = portolan.admin("GET", "/api/v1/services/s0", "").text();
        all.contains("\"weight\":7")
    });
    println!("{kind}: a change is in the table after {:?}", begun.elapsed());
}

#[test]
fn etcd_with_many_instances() {
    let etcd = Etcd::start(Version::Newer);
    let runtime = Runtime::new().expect("a runtime");
    let client = Client::new(ClientSettings {
        endpoints: vec![etcd.url().parse().expect("an address")],
        username: None,
        password: None,
        tls: Default::default(),
    });
    let put = |number: usize, weight: u16| PutRequest {
        key: format!("/apps/s{}/i{number}", number / 10).into(),
        value: format!("{{\"host\":\"{}\",\"port\":80,\"weight\":{weight}}}", address(number))
            .into(),
        ..PutRequest::default()
    };
    runtime.block_on(async {
        let all: Vec<_> = (0..instances()).map(|number| put(number, 100)).collect();
        for some in all.chunks(100) {
            let success = some.iter().cloned().map(|put| Operation::Put(put).into()).collect();
            let txn = TxnRequest { success, ..TxnRequest::default() };
            client.txn(txn).await.expect("put");
        }
    });
    let section = format!(
        "[[source]]\nkind = 'etcd'\nendpoints = ['{}']\nlayout = 'json'\nprefix = '/apps/'",
        etcd.url()
    );
    report("etcd", &section, |number| {
        runtime.block_on(client.put(put(number, 7))).expect("put");
    });
}

#[test]
fn zookeeper_with_many_instances() {
    let zookeeper = Zookeeper::start();
    let runtime = Runtime::new().expect("a runtime");
    let connected =
        runtime.block_on(zookeeper_client::Client::connect(&zookeeper.address.to_string()));
    let client = connected.expect("a session");
    let data = |number: usize, weight: u16| {
        format!("{{\"host\":\"{}\",\"port\":80,\"weight\":{weight}}}", address(number))
    };
    let path = |number: usize| format!("/apps/s{}/i{number}", number / 10);
    let options = CreateMode::Persistent.with_acls(Acls::anyone_all());
    runtime.block_on(async {
        for number in 0..instances() {
            if number % 10 == 0 {
                client.mkdir(&format!("/apps/s{}", number / 10), &options).await.expect("made");
            }
            let data = data(number, 100);
            client.create(&path(number), data.as_bytes(), &options).await.expect("made");
        }
    });
    let section = format!(
        "[[source]]\nkind = 'zookeeper'\nservers = ['{}']\nlayout = 'json'\npath = '/apps'",
        zookeeper.address
    );
    report("zookeeper", &section, |number| {
        let data = data(number, 7);
        runtime.block_on(client.set_data(&path(number), data.as_bytes(), None)).expect("set");
    });
    let _inside = runtime.enter();
    drop(client);
}

/// Calls `each` with all numbers, by a few at once.
fn all_at_once(each: impl Fn(usize) + Sync) {
    let (next, count) = (AtomicUsize::new(0), instances());
    thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    if number >= count {
                        break;
                    }
                    each(number);
                }
            });
        }
    });
}

#[test]
fn consul_with_many_instances() {
    let consul = Consul::start();
    let put = |number: usize, weight: usize| {
        let body = json!({
            "Node": "far", "Address": "10.1.0.1", "SkipNodeUpdate": number > 0,
            "Service": {
                "ID": format!("i{number}"), "Service": format!("s{}", number / 10),
                "Address": address(number), "Port": 80,
                "Weights": { "Passing": weight, "Warning": 1 },
            },
        });
        consul.put("/v1/catalog/register", &body);
    };
    put(0, 100);
    all_at_once(|number| put(number, 100));
    let section = format!("[[source]]\nkind = 'consul'\nurl = '{}'", consul.url());
    report("consul", &section, |number| put(number, 7));
}

#[test]
fn eureka_with_many_instances() {
    let eureka = Eureka::start();
    let put = |number: usize, weight: usize| {
        let address = (address(number).parse::<IpAddr>().expect("an address"), 80).into();
        let more = json!({ "metadata": { "weight": weight.to_string() } });
        eureka.register(&format!("s{}", number / 10), &format!("i{number}"), address, &more);
    };
    all_at_once(|number| put(number, 100));
    let section = format!("[[source]]\nkind = 'eureka'\nurls = ['{}']", eureka.url());
    report("eureka", &section, |number| put(number, 7));
}
