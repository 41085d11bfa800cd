//! A service whose instances leave a registry of others for the one here, one
//! by one, while requests go on.

use serde_json::json;

use crate::{
    routed::{AROUND, Steady, named, source},
    servers::{
        eureka::{Eureka, register_at},
        http,
    },
    support::{Portolan, eventually},
};

#[test]
fn a_service_moves_over_from_eureka_one_by_one_without_a_failed_request() {
    let eureka = Eureka::start();
    let backends: Vec<_> = (0..6).map(|_| named("steady")).collect();
    for (number, backend) in backends.iter().enumerate().take(4) {
        eureka.register("steady", &format!("i{number}"), backend.address, &json!({}));
    }
    let portolan = Portolan::start(&format!(
        "[[source]]\nkind = 'eureka'\nurls = ['{}']\ninterval = '200ms'\n\
         allow_loopback = true\n{AROUND}",
        eureka.url()
    ));
    let known = || source(&portolan, "eureka")["instances"].as_u64();
    eventually(|| known() == Some(4));
    // The other half is here already.
    for (number, backend) in backends.iter().enumerate().skip(4) {
        portolan.register(&format!("steady/i{number}"), backend.address);
    }
    let requests = Steady::begin(&portolan);
    let is_asked = |number: usize| {
        let before = backends[number].requests().len();
        eventually(|| backends[number].requests().len() > before);
    };
    (0..6).for_each(is_asked);

    // The same process, by the same name or by another.
    for (number, name) in [(0, "steady/i0"), (1, "steady/renamed")] {
        portolan.register(name, backends[number].address);
        is_asked(number);
        eureka.deregister("steady", &format!("i{number}"));
        eventually(|| known() == Some(3 - number as u64));
        is_asked(number);
    }
    // A new process, in place of the old one: by another name, or by the same.
    let new = [named("steady"), named("steady")];
    for ((number, name), backend) in [(2, "steady/new"), (3, "steady/i3")].into_iter().zip(&new) {
        portolan.register(name, backend.address);
        eureka.deregister("steady", &format!("i{number}"));
        eventually(|| known() == Some(3 - number as u64));
        eventually(|| !backend.requests().is_empty());
        // Nobody asks the old one any more.
        let mut before = usize::MAX;
        eventually(|| {
            let asked = backends[number].requests().len();
            requests.flow();
            std::mem::replace(&mut before, asked) == backends[number].requests().len()
        });
    }
    [0, 1, 4, 5].into_iter().for_each(is_asked);
    requests.end();
}

#[test]
fn services_move_over_from_eureka_by_another_url_and_nothing_else() {
    let eureka = Eureka::start();
    let backends: Vec<_> = (0..6).map(|_| named("steady")).collect();
    let id = |number: usize| format!("host:steady:{number}");
    // Half of it speaks to Eureka, the other half to the front.
    for (number, backend) in backends.iter().enumerate().take(3) {
        eureka.register("steady", &id(number), backend.address, &json!({}));
    }
    let portolan = Portolan::start(&format!(
        "[[front]]\neureka = true\nread = true\nread_all = true\n\
         [[source]]\nkind = 'eureka'\nurls = ['{}']\ninterval = '200ms'\n\
         allow_loopback = true\n{AROUND}",
        eureka.url()
    ));
    let front = portolan.fronts[0];
    let registers = |number: usize| {
        let address = backends[number].address;
        let answer = register_at(front, "steady", &id(number), address, &json!({}));
        assert_eq!(answer.status, 204, "{answer:?}");
    };
    (3..6).for_each(registers);
    // Who looks services up at the front sees all of them, wherever they are.
    let all_are_found = || {
        let all = http::call(front, "GET", "/eureka/apps", "").expect("an answer").json();
        let apps = all["applications"]["application"].as_array().expect("a list").clone();
        let instances = apps.iter().flat_map(|app| app["instance"].as_array().expect("a list"));
        let up = instances.filter(|one| one["status"] == "UP");
        let mut ids: Vec<_> = up.map(|one| one["instanceId"].as_str().map(str::to_owned)).collect();
        ids.sort();
        ids == (0..6).map(|number| Some(id(number))).collect::<Vec<_>>()
    };
    eventually(all_are_found);
    let requests = Steady::begin(&portolan);
    let is_asked = |number: usize| {
        let before = backends[number].requests().len();
        eventually(|| backends[number].requests().len() > before);
    };
    (0..6).for_each(is_asked);
    let known = || source(&portolan, "eureka")["instances"].as_u64();
    for number in 0..3 {
        registers(number);
        assert!(all_are_found(), "an instance that both have is one");
        is_asked(number);
        eureka.deregister("steady", &id(number));
        eventually(|| known() == Some(2 - number as u64));
        assert!(all_are_found());
        is_asked(number);
    }
    (0..6).for_each(is_asked);
    requests.end();
}
