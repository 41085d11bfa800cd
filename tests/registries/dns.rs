//! DNS as a source: a real name server.

use std::net::SocketAddr;

use serde_json::json;

use crate::{
    followed::Followed,
    routed::{AROUND, Steady, connected, named},
    servers::dnsmasq::Dnsmasq,
    support::{Portolan, eventually},
};

fn follow(servers: &[SocketAddr], services: serde_json::Value) -> Followed {
    let servers: Vec<_> = servers.iter().map(ToString::to_string).collect();
    let settings = json!({
        "servers": servers, "services": services, "interval": "1s", "timeout": "1s",
    });
    let settings = serde_json::from_value(settings).expect("settings");
    Followed::start(move |feed| portolan::sources::dns::run(settings, feed))
}

fn keys(followed: &Followed) -> Vec<String> {
    followed.heard().instances.keys().cloned().collect()
}

#[test]
fn records_are_followed_and_only_an_answer_counts() {
    let srv = "srv-host=_http._tcp.users.test,u.test,8080,1,20";
    let spare = "srv-host=_http._tcp.users.test,spare.test,8081,2,1";
    let spare_address = "host-record=spare.test,10.0.1.9";
    let mut server = Dnsmasq::start(&[
        "host-record=orders.test,10.0.0.1,fd00::1",
        "host-record=u.test,10.0.1.1",
        srv,
        spare,
        spare_address,
    ]);
    let services = json!({ "orders": "orders.test:80", "users": "_http._tcp.users.test" });
    let followed = follow(&[server.address], services);
    followed.until(|heard| heard.lists > 0);
    assert_eq!(keys(&followed), ["orders/10.0.0.1:80", "orders/fd00::1:80", "users/10.0.1.1:8080"]);
    assert_eq!(followed.heard().of("users/10.0.1.1:8080"), Some("http://10.0.1.1:8080 20".into()));

    // The target of the first is gone, and the second of two addresses came.
    server.change(&["host-record=orders.test,10.0.0.2", srv, spare, spare_address]);
    followed.until_is("users/10.0.1.9:8081", Some("http://10.0.1.9:8081 1"));
    followed.until_is("orders/10.0.0.2:80", Some("http://10.0.0.2:80 100"));
    assert_eq!(keys(&followed), ["orders/10.0.0.2:80", "users/10.0.1.9:8081"]);

    server.server.kill();
    let before = followed.heard().lost.len();
    followed.until(|heard| heard.lost.len() > before + 1);
    assert_eq!(keys(&followed), ["orders/10.0.0.2:80", "users/10.0.1.9:8081"]);

    // The name is not there any more, which is an answer.
    server.change(&[srv, spare, spare_address]);
    followed.until_is("orders/10.0.0.2:80", None);
    assert_eq!(keys(&followed), ["users/10.0.1.9:8081"]);
}

#[test]
fn a_server_that_does_not_know_says_nothing() {
    let server = Dnsmasq::start(&["host-record=a.test,10.0.0.1"]);
    // It refuses to speak of names elsewhere.
    let services = json!({ "a": "a.test:80", "other": "orders.elsewhere:80" });
    let followed = follow(&[server.address], services);
    followed.until(|heard| heard.lost.iter().any(|why| why.contains("orders.elsewhere:80")));
    followed.until_is("a/10.0.0.1:80", Some("http://10.0.0.1:80 100"));
    assert_eq!(followed.heard().lists, 0, "not everything was read");
}

#[test]
fn of_two_servers_one_is_enough() {
    let records = ["host-record=a.test,10.0.0.1"];
    let (mut one, two) = (Dnsmasq::start(&records), Dnsmasq::start(&records));
    one.server.kill();
    let followed = follow(&[one.address, two.address], json!({ "a": "a.test:80" }));
    followed.until_is("a/10.0.0.1:80", Some("http://10.0.0.1:80 100"));
    one.restart();
    two.server.stall();
    let before = followed.heard().unchanged;
    followed.until(|heard| heard.unchanged > before + 2);
    assert_eq!(keys(&followed), ["a/10.0.0.1:80"]);
}

#[test]
fn requests_go_on_while_no_server_answers() {
    let backend = named("one");
    let port = backend.address.port();
    let srv = format!("srv-host=_http._tcp.steady.test,local.test,{port},1,1");
    let mut server = Dnsmasq::start(&[&srv, "host-record=local.test,127.0.0.1"]);
    let portolan = Portolan::start(&format!(
        "{AROUND}[[source]]\nkind = 'dns'\nservers = ['{}']\ninterval = '1s'\ntimeout = '500ms'\n\
         ipv6 = false\nservices = {{ steady = '_http._tcp.steady.test' }}\n",
        server.address
    ));
    let steady = Steady::begin(&portolan);
    server.server.kill();
    connected(&portolan, "dns", false);
    server.restart();
    connected(&portolan, "dns", true);
    steady.end();
    server.change(&["host-record=local.test,127.0.0.1"]);
    eventually(|| portolan.get("/steady").reason() == "no_healthy_instance");
}
