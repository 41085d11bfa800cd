//! What many instances cost, probed as they are unless `proxy.toml` says
//! otherwise: `scripts/bench-sources` prints a report of a build with
//! optimization. In a usual run there are fewer, and nothing is measured, only
//! that all arrive.

use std::{
    fs,
    net::{IpAddr, Ipv4Addr, TcpListener},
    sync::{
        LazyLock,
        atomic::{AtomicUsize, Ordering},
    },
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

/// How long it may take until all get requests.
const LONGEST: Duration = Duration::from_secs(180);

/// Changes each second, and how many seconds, when that is measured.
const CHANGES: usize = 100;
const SECONDS: usize = 10;

/// Every address of the machine's own has somebody to connect to at `PORT`.
static PORT: LazyLock<u16> = LazyLock::new(|| {
    let listener = TcpListener::bind((Ipv4Addr::UNSPECIFIED, 0)).expect("a port");
    let port = listener.local_addr().expect("an address").port();
    thread::spawn(move || listener.incoming().for_each(drop));
    port
});

fn address(number: usize) -> String {
    format!("127.{}.{}.{}", 1 + (number >> 16 & 127), number >> 8 & 255, number & 255)
}

/// How long nothing changes before it is called rest: servers of Eureka repeat
/// each change for three minutes.
const SETTLES: Duration = Duration::from_secs(20);
const EUREKA_SETTLES: Duration = Duration::from_secs(220);

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
    let config = format!(
        "{section}\nallow_loopback = true\n[defaults]\nhealth.kind = 'tcp'\n[[route]]\nservice = 's0'\n"
    );
    let empty = {
        let portolan = Portolan::apart("[[route]]\nservice = 's0'\n", 4096);
        used(portolan.process()).0
    };
    let begun = Instant::now();
    let portolan = Portolan::apart(&config, 4096);
    eventually(|| source(&portolan, kind)["instances"] == count);
    let listed = begun.elapsed();
    say!("{kind}: {count} instances known {listed:?} after the start of the process");
    let healthy = || {
        let status = portolan.admin("GET", "/api/v1/status", "").json();
        status["instances"]["healthy"].as_u64().unwrap_or_default()
    };
    while healthy() < count as u64 {
        assert!(begun.elapsed() < LONGEST, "{kind}: {} of {count} get requests", healthy());
        thread::sleep(Duration::from_millis(50));
    }
    say!("{kind}: all probed and in the table {:?} after the start", begun.elapsed());
    let memory = used(portolan.process()).0;
    say!("{kind}: {} KiB resident, {} KiB without a source", memory >> 10, empty >> 10);
    if std::env::var_os("PORTOLAN_SCALE").is_some() {
        thread::sleep(if kind == "eureka" { EUREKA_SETTLES } else { SETTLES });
        let (before, begun) = (used(portolan.process()).1, Instant::now());
        thread::sleep(SETTLES);
        let (_, rest) = used(portolan.process());
        let share = (rest - before) / begun.elapsed().as_secs_f64();
        say!("{kind}: {:.2} % of a core at rest", share * 100.0);
        let begun = Instant::now();
        for number in 0..CHANGES * SECONDS {
            change(1 + number % (count - 1));
            let due = Duration::from_secs_f64((number + 1) as f64 / CHANGES as f64);
            thread::sleep(due.saturating_sub(begun.elapsed()));
        }
        let (memory, after) = used(portolan.process());
        let seconds = begun.elapsed().as_secs_f64();
        let (share, rate) = ((after - rest) / seconds, (CHANGES * SECONDS) as f64 / seconds);
        say!("{kind}: {:.1} % of a core at {rate:.0} changes a second", share * 100.0);
        say!("{kind}: {} KiB resident then", memory >> 10);
    }
    let begun = Instant::now();
    change(0);
    eventually(|| {
        let all = portolan.admin("GET", "/api/v1/services/s0", "").text();
        all.contains("\"weight\":7")
    });
    say!("{kind}: a change is in the table after {:?}", begun.elapsed());
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
        value: format!(
            "{{\"host\":\"{}\",\"port\":{},\"weight\":{weight}}}",
            address(number),
            *PORT
        )
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
        format!("{{\"host\":\"{}\",\"port\":{},\"weight\":{weight}}}", address(number), *PORT)
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
                "Address": address(number), "Port": *PORT,
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
        let address = (address(number).parse::<IpAddr>().expect("an address"), *PORT).into();
        let more = json!({ "metadata": { "weight": weight.to_string() } });
        eureka.register(&format!("s{}", number / 10), &format!("i{number}"), address, &more);
    };
    all_at_once(|number| put(number, 100));
    let section = format!("[[source]]\nkind = 'eureka'\nurls = ['{}']", eureka.url());
    report("eureka", &section, |number| put(number, 7));
}
