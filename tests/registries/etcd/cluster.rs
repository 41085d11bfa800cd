//! Three members, of which one at a time is out of order.

use super::*;

#[test]
fn the_leader_may_die() {
    let (mut members, one, steady) = (Etcd::cluster(), named("one"), named("steady"));
    let urls: Vec<_> = members.iter().map(Etcd::url).collect();
    members[0].put("/apps/steady/a", &entry(steady.address));
    let portolan = Portolan::start(&format!("{}{AROUND}", section(&urls, "")));
    let requests = Steady::begin(&portolan);
    for round in 0..2 {
        eventually(|| members.iter().any(Etcd::leads));
        let leader = members.iter().position(Etcd::leads).expect("there is one");
        members[leader].server.kill();
        let other = &members[(leader + 1) % 3];
        eventually(|| members.iter().any(Etcd::leads));
        other.put("/apps/orders/a", &entry(one.address));
        routed(&portolan, &format!("put after the leader died, round {round}"), "one");
        other.delete("/apps/orders/a");
        unrouted(&portolan, "deleted");
        members[leader].restart();
    }
    requests.end();
}

#[test]
fn a_member_without_a_majority_is_left() {
    let (mut members, one) = (Etcd::cluster(), named("one"));
    let urls: Vec<_> = members.iter().map(Etcd::url).collect();
    members[0].put("/apps/orders/a", &entry(one.address));
    let portolan = Portolan::start(&format!("{}{AROUND}", section(&urls, "")));
    routed(&portolan, "listed", "one");
    members[1].server.kill();
    members[2].server.kill();
    // The one that is left says nothing any more, and is not believed.
    connected(&portolan, "etcd", false);
    assert_eq!(portolan.get("/orders").text(), "one");
    members[1].restart();
    connected(&portolan, "etcd", true);
    members[1].delete("/apps/orders/a");
    unrouted(&portolan, "deleted");
}
