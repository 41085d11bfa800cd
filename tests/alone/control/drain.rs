//! Leaving: nothing new comes, what is there is finished, and the answer says
//! so.

use std::thread;

use super::*;
use crate::support::Connection;

/// A request for `/slow` that has reached the instance.
fn slow(proxy: &Portolan, instance: &Steered) -> Connection {
    let before = instance.served();
    let mut client = proxy.connect();
    client.send("GET /slow HTTP/1.1\r\nhost: test\r\n\r\n");
    eventually(|| instance.served() > before);
    client
}

#[test]
fn a_drain_waits_for_what_is_in_flight() {
    let proxy = Portolan::start(PROBED);
    let (one, two) = (Steered::start("one"), Steered::start("two"));
    proxy.put("app/one", "?wait=routable", &one.body(""));
    let mut client = slow(&proxy, &one);
    proxy.put("app/two", "?wait=routable", &two.body(""));
    let drain = format!("{}/drain", path("app/one"));
    let early = proxy.admin("POST", &format!("{drain}?wait=drained&timeout=200ms"), "");
    assert_eq!(early.status(), 202, "{early:?}");
    let view = early.json();
    assert_eq!(
        (&view["drained"], &view["in_flight"], &view["completed"]),
        (&false.into(), &1.into(), &0.into())
    );
    assert_eq!(proxy.state("app/one"), "draining");
    for _ in 0..20 {
        assert_eq!(proxy.get("/").text(), "two", "nothing new for the one that leaves");
    }
    thread::scope(|scope| {
        let waiting = scope.spawn(|| proxy.admin("POST", &format!("{drain}?wait=drained"), ""));
        one.let_go();
        let view = waiting.join().expect("no panic");
        assert_eq!(view.status(), 200, "{view:?}");
        assert_eq!((&view.json()["drained"], &view.json()["in_flight"]), (&true.into(), &0.into()));
    });
    assert_eq!(client.read_response().text(), "one", "it was finished, not cut");
    let again = proxy.admin("POST", &format!("{drain}?wait=drained"), "");
    assert_eq!((again.status(), &again.json()["drained"]), (200, &true.into()));
    eventually(|| proxy.happened("one").iter().any(|(kind, _)| kind == "drained"));
}

#[test]
fn a_deregistration_waits_too_and_counts_who_finished() {
    let proxy = Portolan::start(PROBED);
    let one = Steered::start("one");
    proxy.put("app/one", "?wait=routable", &one.body(""));
    let mut clients = [slow(&proxy, &one), slow(&proxy, &one), slow(&proxy, &one)];
    thread::scope(|scope| {
        let waiting = scope.spawn(|| proxy.deregister("app/one"));
        eventually(|| proxy.admin("GET", &path("app/one"), "").status() == 404);
        assert_eq!(proxy.get("/").reason(), "no_healthy_instance");
        // Whoever asks again is not told that nothing is left.
        let again = proxy.delete("app/one", "?wait=drained&timeout=100ms");
        let view = again.json();
        assert_eq!(
            (again.status(), &view["found"], &view["in_flight"]),
            (202, &false.into(), &3.into())
        );
        one.let_go();
        let view = waiting.join().expect("no panic").json();
        assert_eq!((&view["drained"], &view["completed"]), (&true.into(), &3.into()), "{view}");
    });
    for client in &mut clients {
        assert_eq!(client.read_response().status(), 200);
    }
    for _ in 0..2 {
        let again = proxy.deregister("app/one");
        let view = again.json();
        assert_eq!(
            (again.status(), &view["found"], &view["drained"]),
            (200, &false.into(), &true.into())
        );
    }
}

#[test]
fn a_tunnel_is_waited_for() {
    let proxy = Portolan::start(PROBED);
    let one = Steered::start("one");
    proxy.put("app/one", "?wait=routable", &one.body(""));
    let mut tunnel = tunnel(&proxy);
    let early = proxy.delete("app/one", "?wait=drained&timeout=200ms");
    assert_eq!((early.status(), &early.json()["in_flight"]), (202, &1.into()));
    tunnel.send("still there");
    assert_eq!(tunnel.read_exact(11).expect("an echo"), b"still there");
    drop(tunnel);
    let late = proxy.deregister("app/one");
    assert_eq!((late.status(), &late.json()["drained"]), (200, &true.into()));
}

/// An upgraded connection that echoes.
#[track_caller]
pub(super) fn tunnel(proxy: &Portolan) -> Connection {
    let mut tunnel = proxy.connect();
    let answer = tunnel.exchange(
        "GET /tunnel HTTP/1.1\r\nhost: test\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n",
    );
    assert_eq!(answer.status(), 101, "{answer:?}");
    tunnel
}

#[test]
fn a_new_process_may_take_the_id_while_the_old_one_leaves() {
    let proxy = Portolan::start(PROBED);
    let (old, new) = (Steered::start("old"), Steered::start("new"));
    proxy.put("app/one", "?wait=routable", &old.body(""));
    let mut client = slow(&proxy, &old);
    let drain = format!("{}/drain", path("app/one"));
    assert_eq!(proxy.admin("POST", &drain, "").status(), 200);
    let taken = proxy.put("app/one", "?wait=routable", &new.body("")).json();
    assert_eq!(
        (&taken["instance"]["generation"], &taken["instance"]["in_flight"]),
        (&2.into(), &0.into())
    );
    assert_eq!(proxy.get("/").text(), "new");
    let left = proxy.deregister("app/one").json();
    assert_eq!(left["drained"], true, "the slow one is not the new one's");
    old.let_go();
    assert_eq!(client.read_response().text(), "old");
}
