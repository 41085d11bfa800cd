//! Three servers, of which one at a time is out of order.

use super::*;

#[test]
fn the_leader_may_die() {
    let (mut servers, one, steady) = (Zookeeper::ensemble(), named("one"), named("steady"));
    let addresses: Vec<_> = servers.iter().map(|server| server.address).collect();
    Registrar::of(&addresses).put("steady", "a", steady.address);
    let names: Vec<_> = addresses.iter().map(ToString::to_string).collect();
    let portolan = Portolan::start(&format!("{}{AROUND}", section(&names, "")));
    let requests = Steady::begin(&portolan);
    for round in 0..2 {
        eventually(|| servers.iter().any(Zookeeper::leads));
        let leader = servers.iter().position(Zookeeper::leads).expect("there is one");
        servers[leader].server.kill();
        eventually(|| servers.iter().any(Zookeeper::leads));
        let others: Vec<_> =
            addresses.iter().copied().filter(|address| *address != addresses[leader]).collect();
        let registrar = Registrar::of(&others);
        registrar.put("orders", "a", one.address);
        routed(&portolan, &format!("put after the leader died, round {round}"), "one");
        registrar.delete("orders", "a");
        unrouted(&portolan, "deleted");
        drop(registrar);
        servers[leader].restart();
    }
    requests.end();
}
