//! Questions that wait: what wakes them, and what does not.

use super::{backend, call};
use crate::support::{Message, Portolan, eventually};

/// The index of an answer.
#[track_caller]
fn index(answer: &Message) -> u64 {
    answer.field("x-consul-index").expect("an index").parse().expect("a number")
}

#[test]
fn probes_and_what_happens_to_others_change_no_index() {
    let proxy = Portolan::start(
        "[[front]]\nconsul = true\nread = true\n\
         [defaults]\nhealth = { kind = 'tcp', interval = '100ms' }\n[[route]]\nservice = 'orders'\n",
    );
    let (orders, billing) = (backend(), backend());
    let ask = |query: &str| {
        call(proxy.fronts[0], "GET", &format!("/v1/health/service/orders{query}"), "")
    };
    // As long as nothing changes that anybody would route by, the index stays,
    // though probes go on and another service comes and goes.
    let stays = |name: &str| {
        let before = index(&ask(""));
        let why = || proxy.instance("orders/o-1")["why"].to_string();
        let first = why();
        proxy.register(name, billing.address);
        eventually(|| why() != first);
        assert_eq!(index(&ask(&format!("?index={before}&wait=200ms"))), before);
        assert_eq!(index(&ask("")), before);
        before
    };
    proxy.register("orders/o-1", orders.address);
    let well = stays("billing/b-1");
    drop(orders);
    eventually(|| proxy.instance("orders/o-1")["state"] == "unhealthy");
    assert!(stays("billing/b-2") > well);
}
