//! Eureka as a source: a real server of it, and fakes that misbehave.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex},
};

use serde_json::json;

use crate::{
    followed::{Followed, address, show},
    servers::{Server, eureka::Eureka},
    support::Backend,
    trial::{Registry, put_through},
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
fn requests_follow_it_whatever_happens_to_it() {
    put_through(Eureka::start());
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
fn a_server_without_deltas_is_read_in_full() {
    let eureka = Eureka::with(&["--eureka.server.disable-delta=true"]);
    eureka.register("web", "a", address(1), &json!({}));
    let followed = Followed::eureka(&[eureka.url()], json!({}));
    followed.until(|heard| heard.instances.len() == 1);
    eureka.register("web", "b", address(2), &json!({}));
    followed.until(|heard| heard.instances.len() == 2 && heard.lists > 2);
    assert!(followed.heard().lost.is_empty(), "{:?}", followed.heard().lost);
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
