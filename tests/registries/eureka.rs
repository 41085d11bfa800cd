//! Eureka as a source: a real server of it, and fakes that misbehave.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex},
};

use serde_json::json;

use crate::{
    followed::{Followed, address, show},
    routed::{AROUND, connected, named, routed, source, unrouted},
    servers::{Server, eureka::Eureka},
    support::{Backend, Portolan, eventually, tls::Authority},
    trial::Registry,
};

impl Registry for Eureka {
    const NAME: &'static str = "eureka";
    const FORGETS: bool = true;
    fn address(&self) -> SocketAddr {
        self.address
    }
    fn section(&self, address: SocketAddr) -> String {
        format!(
            "[[source]]\nkind = 'eureka'\nurls = ['http://{address}/eureka']\n\
             interval = '200ms'\nkeep = '12s'\nallow_loopback = true"
        )
    }
    fn put(&self, service: &str, id: &str, address: SocketAddr) {
        self.register(service, id, address, &json!({}));
    }
    fn delete(&self, service: &str, id: &str) {
        self.deregister(service, id);
    }
    fn server(&mut self) -> &mut Server {
        &mut self.server
    }
    fn restart(&mut self) {
        self.restart();
    }
}

#[test]
fn what_is_registered_is_told_with_all_its_changes() {
    let eureka = Eureka::shared();
    let followed = Followed::eureka(&[eureka.url()], json!({ "services": ["told*"] }));
    followed.until(|heard| heard.lists > 0);

    eureka.register("told", "h:told:1", address(1), &json!({}));
    let key = "told/h:told:1";
    show("eureka: registered", followed.until_is(key, Some("http://10.0.0.1:8080 100")));
    eureka.register("told", "h:told:1", address(1), &json!({ "metadata": { "weight": "7" } }));
    show("eureka: changed", followed.until_is(key, Some("http://10.0.0.1:8080 7")));
    eureka.set_status("told", "h:told:1", "OUT_OF_SERVICE");
    show("eureka: out of service", followed.until_is(key, Some("OutOfService")));
    let secure = json!({
        "status": "STARTING",
        "port": { "$": 80, "@enabled": "false" },
        "securePort": { "$": 8443, "@enabled": "true" },
    });
    eureka.register("told-too", "two", address(2), &secure);
    followed.until_is("told-too/two", Some("Down"));
    eureka.set_status("told-too", "two", "UP");
    followed.until_is("told-too/two", Some("https://10.0.0.2:8443 100"));
    eureka.deregister("told", "h:told:1");
    show("eureka: deregistered", followed.until_is(key, None));
    eureka.deregister("told-too", "two");
    followed.until_is("told-too/two", None);
    assert!(followed.heard().lost.is_empty(), "{:?}", followed.heard().lost);
}

#[test]
fn what_a_server_forgot_when_it_restarted_is_kept_until_it_had_time_to_return() {
    let mut eureka = Eureka::start();
    for id in ["a", "b"] {
        eureka.register("web", id, address(1), &json!({}));
    }
    // Longer than it takes to start.
    let followed = Followed::eureka(&[eureka.url()], json!({ "keep": "10s" }));
    followed.until(|heard| heard.instances.len() == 2);
    let lists = followed.heard().lists;
    eureka.server.kill();
    show("eureka: death noticed", followed.until(|heard| !heard.lost.is_empty()));
    eureka.restart();
    show("eureka: back after a restart", followed.until(|heard| heard.lists > lists));
    assert_eq!(followed.heard().instances.len(), 2);
    // One client comes back.
    eureka.register("web", "a", address(1), &json!({}));
    show("eureka: forgotten", followed.until_is("web/b", None));
    let heard = followed.heard();
    assert_eq!((heard.of("web/a").is_some(), &*heard.removed), (true, &["web/b".to_owned()][..]));
}

#[test]
fn an_instance_that_sends_no_heartbeat_is_taken_out_with_its_lease() {
    let (eureka, one) = (Eureka::shared(), named("one"));
    let section = eureka.section(eureka.address);
    let portolan = Portolan::start(&format!("{section}\nservices = ['orders']\n{AROUND}"));
    let lease = json!({ "leaseInfo": { "renewalIntervalInSecs": 1, "durationInSecs": 2 } });
    eureka.register("orders", "a", one.address, &lease);
    routed(&portolan, "eureka: registered", "one");
    unrouted(&portolan, "eureka: lease of 2 s, which the server doubles");
}

#[test]
fn a_server_without_deltas_is_read_in_full() {
    let eureka = Eureka::with(&["--eureka.server.disable-delta=true"]);
    eureka.register("web", "a", address(1), &json!({}));
    let followed = Followed::eureka(&[eureka.url()], json!({}));
    followed.until(|heard| heard.instances.len() == 1);
    eureka.register("web", "b", address(2), &json!({}));
    followed.until(|heard| heard.instances.len() == 2 && heard.lists > 2);
    assert!(followed.heard().lost.is_empty(), "{:?}", followed.heard().lost);
}

#[test]
fn tls_is_spoken_to_servers_whose_certificate_is_good() {
    let (authority, other) = (Authority::new(), Authority::new());
    authority.issue("server", &["127.0.0.1"]);
    let eureka = Eureka::secured(&authority.path("server.pem"), &authority.path("server.key"));
    eureka.register_by_tls("web", "a", address(1));
    let url = format!("https://{}/eureka", eureka.address);
    let with =
        |ca: String| Followed::eureka(std::slice::from_ref(&url), json!({ "tls": { "ca": ca } }));
    let wrong = with(other.ca());
    wrong.until(|heard| heard.lost.len() > 1);
    assert_eq!(wrong.heard().lists, 0);
    with(authority.ca()).until_is("web/a", Some("http://10.0.0.1:8080 100"));
}

/// The password has what has to be encoded in a URL.
#[test]
fn user_and_password_are_said_and_never_shown() {
    const PASSWORD: &str = "k/9:x@ %";
    const WRONG: &str = "not-that-one-either";
    let eureka = Eureka::guarded("reader", PASSWORD);
    let (one, two) = (named("one"), named("two"));
    let user = format!("reader:{PASSWORD}");
    eureka.register_as(&user, "orders", "a", one.address);
    let config = |password: &str| {
        let at = eureka.address;
        format!(
            "[[source]]\nkind = 'eureka'\nurls = ['http://reader:{password}@{at}/eureka']\n\
             interval = '200ms'\nallow_loopback = true\n{AROUND}"
        )
    };
    let (right, wrong) = (config("k%2F9%3Ax%40%20%25"), config(WRONG));
    let mut portolan = Portolan::spawned(&right, |command, _| {
        command.env("RUST_LOG", "debug");
    });
    routed(&portolan, "eureka: registered, behind a password", "one");
    // What is new is heard too: it is not the first answer alone that is let through.
    eureka.register_as(&user, "steady", "a", two.address);
    eventually(|| portolan.get("/steady").text() == "two");

    let refused = |portolan: &Portolan| {
        let mut shown = source(portolan, "eureka");
        eventually(|| {
            shown = source(portolan, "eureka");
            shown["connected"] == false && shown["last_error"].is_string()
        });
        let error = shown["last_error"].as_str().expect("an error").to_owned();
        assert!(error.contains("status 401 (user and password"), "{error}");
        // What was known stays.
        assert_eq!(portolan.get("/orders").text(), "one");
        assert_eq!(portolan.get("/steady").text(), "two");
    };
    let nobody = right.replace("reader:k%2F9%3Ax%40%20%25@", "");
    for bad in [&wrong, &nobody] {
        assert_eq!(portolan.reload(bad).status(), 200);
        refused(&portolan);
        assert_eq!(portolan.reload(&right).status(), 200);
        connected(&portolan, "eureka", true);
    }
    // Also by a process that begins with it.
    let kept = portolan.folder().join("data/sources/eureka.jsonl");
    eventually(|| {
        std::fs::read_to_string(&kept).is_ok_and(|it| it.contains(&two.address.to_string()))
    });
    portolan.write(&wrong);
    portolan = portolan.kill_and_start("RUST_LOG=debug exec \"$0\" \"$@\"");
    refused(&portolan);

    let shown = ["/api/v1/sources", "/api/v1/status", "/metrics"]
        .map(|path| portolan.admin("GET", path, "").text());
    for secret in [PASSWORD, WRONG, "k%2F9", "cmVhZGVy"] {
        assert!(!portolan.has_logged(secret), "{secret} is logged");
        for page in &shown {
            assert!(!page.contains(secret), "{secret}: {page}");
        }
    }
    assert_eq!(portolan.reload(&right).status(), 200);
    connected(&portolan, "eureka", true);
    eureka.register_as(&user, "orders", "a", two.address);
    routed(&portolan, "eureka: the password is right again", "two");
}

#[test]
fn of_two_that_replicate_each_other_one_may_die() {
    let [mut first, second] = Eureka::pair();
    first.register("web", "a", address(1), &json!({}));
    eventually(|| second.call("GET", "/WEB", "").body.contains("10.0.0.1"));
    let followed = Followed::eureka(&[first.url(), second.url()], json!({}));
    followed.until_is("web/a", Some("http://10.0.0.1:8080 100"));
    first.server.kill();
    second.register("web", "b", address(2), &json!({}));
    show("eureka: the other asked", followed.until_is("web/b", Some("http://10.0.0.2:8080 100")));
    let heard = followed.heard();
    assert_eq!((heard.instances.len(), heard.removed.len()), (2, 0), "{heard:?}");
    assert!(!heard.lost.is_empty(), "{heard:?}");
}

/// A fake of Eureka that answers with what `full` and `delta` are at the time;
/// a body, or a whole answer.
fn fake(full: &Arc<Mutex<String>>, delta: &Arc<Mutex<String>>) -> Backend {
    let (full, delta) = (Arc::clone(full), Arc::clone(delta));
    Backend::start(move |mut accepted| {
        while let Some(request) = accepted.request() {
            let of = match request.target() {
                "/eureka/apps/" => &full,
                "/eureka/apps/delta" => &delta,
                other => panic!("{other}"),
            };
            let text = of.lock().expect("no panic").clone();
            if text.starts_with("HTTP/") {
                accepted.send(text);
            } else {
                let length = text.len();
                accepted.send(format!("HTTP/1.1 200 OK\r\ncontent-length: {length}\r\n\r\n{text}"));
            }
        }
    })
}

fn url(fake: &Backend, user: &str) -> String {
    format!("http://{user}{}/eureka", fake.address)
}

fn answer(code: &str, ids: &[&str]) -> String {
    let instance = |id: &&str| {
        json!({ "instanceId": id, "app": "WEB", "ipAddr": "10.0.0.1", "status": "UP",
            "port": { "$": 80, "@enabled": "true" } })
    };
    let all: Vec<_> = ids.iter().map(instance).collect();
    json!({ "applications": { "versions__delta": "1", "apps__hashcode": code,
        "application": [{ "name": "WEB", "instance": all }] } })
    .to_string()
}

fn shared(text: impl Into<String>) -> Arc<Mutex<String>> {
    Arc::new(Mutex::new(text.into()))
}

fn set(of: &Mutex<String>, text: impl Into<String>) {
    *of.lock().expect("no panic") = text.into();
}

#[test]
fn changes_that_do_not_add_up_lead_to_a_full_list() {
    let full = shared(answer("UP_1_", &["a"]));
    let delta = shared(answer("UP_1_", &[]));
    let fake = fake(&full, &delta);
    let followed = Followed::eureka(&[url(&fake, "me:s3cret@")], json!({}));
    followed.until(|heard| heard.unchanged > 2 && heard.lists == 1);
    // Of the second instance no change tells, only the hash code.
    set(&full, answer("UP_2_", &["a", "b"]));
    set(&delta, answer("UP_2_", &[]));
    show("eureka: missed and found", followed.until(|heard| heard.instances.len() == 2));
    assert!(followed.heard().lists == 2, "{:?}", followed.heard());
    let authorization = fake.requests()[0].field("authorization").map(str::to_owned);
    // me:s3cret
    assert_eq!(authorization.as_deref(), Some("Basic bWU6czNjcmV0"));
    // A hash code that never fits does not mean a full list each time.
    set(&delta, answer("UP_3_", &[]));
    let unchanged = followed.heard().unchanged;
    followed.until(|heard| heard.unchanged > unchanged + 5);
    assert!(followed.heard().lists <= 3, "{:?}", followed.heard());
}

#[test]
fn without_deltas_everything_is_read_each_time() {
    for status in ["403 Forbidden", "404 Not Found"] {
        let full = shared(answer("UP_1_", &["a"]));
        let delta = shared(format!("HTTP/1.1 {status}\r\ncontent-length: 0\r\n\r\n"));
        let fake = fake(&full, &delta);
        let followed = Followed::eureka(&[url(&fake, "")], json!({}));
        followed.until(|heard| heard.lists > 2);
        set(&full, answer("UP_1_", &["b"]));
        followed.until(|heard| heard.of("web/b").is_some() && heard.of("web/a").is_none());
        assert!(followed.heard().lost.is_empty(), "{:?}", followed.heard().lost);
    }
}

#[test]
fn what_is_no_answer_is_no_empty_registry() {
    let answers = [
        ("<html>log in</html>", "not understood"),
        ("{\"applications\": {}}", "no list"),
        ("{}", "not understood"),
        ("HTTP/1.1 403 Forbidden\r\ncontent-length: 0\r\n\r\n", "403"),
        ("HTTP/1.1 500 Oops\r\ncontent-length: 0\r\n\r\n", "500"),
        ("HTTP/1.1 302 Go\r\nlocation: /login\r\ncontent-length: 0\r\n\r\n", "302"),
    ];
    for (broken, expected) in answers {
        let full = shared(answer("UP_1_", &["a"]));
        let delta = shared(answer("UP_1_", &[]));
        let fake = fake(&full, &delta);
        let followed = Followed::eureka(&[url(&fake, "me:s3cret@")], json!({}));
        followed.until(|heard| heard.instances.len() == 1);
        set(&full, broken);
        followed.want();
        followed.until(|heard| heard.lost.iter().any(|why| why.contains(expected)));
        set(&full, answer("UP_1_", &["a"]));
        let lists = followed.heard().lists;
        followed.until(|heard| heard.lists > lists);
        let heard = followed.heard();
        assert_eq!((heard.instances.len(), heard.removed.len()), (1, 0), "{expected}: {heard:?}");
        assert!(!format!("{:?}", heard.lost).contains("s3cret"), "{heard:?}");
    }
}

#[test]
fn when_one_server_fails_the_next_is_asked() {
    let delta = shared(answer("UP_1_", &[]));
    let full = shared(answer("UP_1_", &["a"]));
    let (first, second) = (fake(&full, &delta), fake(&full, &delta));
    let urls =
        [url(&first, ""), format!("http://{}/eureka", Backend::refusing()), url(&second, "")];
    let followed = Followed::eureka(&urls, json!({}));
    followed.until(|heard| heard.instances.len() == 1);
    assert_eq!(second.connections(), 0);
    // What the second does not have yet, the first may not have replicated.
    set(&full, answer("", &[]));
    drop(first);
    followed.until(|heard| heard.lists > 1);
    assert!(second.connections() > 0);
    assert_eq!(followed.heard().instances.len(), 1);
}
