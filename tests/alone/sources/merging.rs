//! One address that several sources have, and instances that move from one to
//! another.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
};

use super::*;

const PROBED: &str = "[defaults]\nhealth = { kind = 'tcp', interval = '100ms' }\n";

fn view(portolan: &Portolan) -> Vec<Value> {
    let view = portolan.admin("GET", "/api/v1/services/app", "").json();
    view["instances"].as_array().cloned().unwrap_or_default()
}

/// The sources whose instances get requests.
fn routed(portolan: &Portolan) -> Vec<String> {
    let routable = view(portolan).into_iter().filter(|view| view["routable"] == true);
    routable.map(|view| view["source"].as_str().unwrap_or_default().to_owned()).collect()
}

#[test]
fn of_one_address_the_source_that_counts_first_is_asked() {
    let (lists, backend) = (Lists::new(), named("one"));
    lists.write("east", &[app("a", backend.address)]);
    lists.write("west", &[app("b", backend.address)]);
    let (east, west) = (lists.section("east"), lists.section("west"));
    let portolan = Portolan::start(&format!("{PROBED}{east}{west}{ROUTE}"));
    eventually(|| view(&portolan).len() == 2 && routed(&portolan) == ["east"]);
    let shadowed = portolan.instance("app/b");
    assert_eq!(shadowed["shadowed_by"], "east");
    assert_eq!(shadowed["why"], "east has the same address, and counts first");
    // The other order in the file.
    assert_eq!(portolan.reload(&format!("{PROBED}{west}{east}{ROUTE}")).status(), 200);
    eventually(|| routed(&portolan) == ["west"]);
    portolan.register("app/c", backend.address);
    eventually(|| routed(&portolan) == ["registry"]);
    let named = format!("[service.app]\nendpoints = ['{}']\n", backend.address);
    assert_eq!(portolan.reload(&format!("{PROBED}{west}{east}{named}{ROUTE}")).status(), 200);
    eventually(|| routed(&portolan) == ["proxy.toml"]);
    assert_eq!(view(&portolan).len(), 4);
    assert_eq!(portolan.reload(&format!("{PROBED}{west}{ROUTE}")).status(), 200);
    eventually(|| routed(&portolan) == ["registry"]);
    portolan.deregister("app/c");
    eventually(|| routed(&portolan) == ["west"]);
}

#[test]
fn an_instance_moves_here_and_back_without_a_request_that_fails() {
    let (lists, backend) = (Lists::new(), named("one"));
    lists.write("list", &[app("a", backend.address)]);
    let portolan = Portolan::start(&format!("{PROBED}{}{ROUTE}", lists.section("list")));
    eventually(|| answers(&portolan, "one"));
    let stop = Arc::new(AtomicBool::new(false));
    let (address, stopped) = (portolan.address(), Arc::clone(&stop));
    let client = thread::spawn(move || {
        let mut client = crate::support::Connection::open(address);
        let mut count = 0_u32;
        while !stopped.load(Ordering::Relaxed) {
            let answer = client.exchange("GET / HTTP/1.1\r\nhost: test\r\n\r\n");
            assert_eq!(answer.status(), 200, "after {count}: {answer:?}");
            count += 1;
        }
        count
    });
    for round in 0..5 {
        let id = format!("app/r{round}");
        portolan.register(&id, backend.address);
        eventually(|| routed(&portolan) == ["registry"]);
        lists.write("list", &[]);
        portolan.admin("POST", "/api/v1/sources/list/resync", "");
        // All of it is gone at once, which is held; somebody knows better.
        eventually(|| !source(&portolan, "list")["held"].is_null());
        portolan.admin("POST", "/api/v1/sources/list/accept", "");
        assert_eq!(view(&portolan).len(), 1);
        lists.write("list", &[app("a", backend.address)]);
        eventually(|| {
            view(&portolan).len() == 2 && portolan.instance("app/a")["state"] == "healthy"
        });
        portolan.deregister(&id);
        eventually(|| routed(&portolan) == ["list"]);
    }
    stop.store(true, Ordering::Relaxed);
    let count = client.join().expect("every request was answered");
    assert!(count > 100, "{count}");
}
