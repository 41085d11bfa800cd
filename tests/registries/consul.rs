//! Consul as a source: a real server of it, and fakes that misbehave.

use std::{
    fs,
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use serde_json::{Value, json};

use crate::{
    followed::{Followed, address, show},
    routed::{AROUND, connected, named, routed, unrouted},
    servers::{Server, consul::Consul},
    support::{Backend, Portolan, eventually, tls::Authority},
    trial::Registry,
};

impl Registry for Consul {
    const NAME: &'static str = "consul";
    fn address(&self) -> SocketAddr {
        self.address
    }
    fn section(&self, address: SocketAddr) -> String {
        format!("[[source]]\nkind = 'consul'\nurl = 'http://{address}'\nallow_loopback = true")
    }
    fn put(&self, service: &str, id: &str, address: SocketAddr) {
        self.register(service, &format!("{service}-{id}"), address, &json!({}));
    }
    fn delete(&self, service: &str, id: &str) {
        self.deregister(&format!("{service}-{id}"));
    }
    fn server(&mut self) -> &mut Server {
        &mut self.server
    }
    fn restart(&mut self) {
        self.restart();
    }
}

fn ttl() -> Value {
    json!({ "Check": { "TTL": "1h" }, "Weights": { "Passing": 3, "Warning": 2 } })
}

#[test]
fn what_is_registered_is_told_with_all_its_changes() {
    let consul = Consul::start();
    let followed = Followed::consul(&consul.url(), json!({}));
    followed.until(|heard| heard.lists == 1);

    consul.register("Web", "web-1", address(1), &ttl());
    // The check of a TTL fails until somebody reports.
    followed.until_is("web/web-1@one", Some("Down"));
    consul.report("web-1", "pass");
    show("consul: passing", followed.until_is("web/web-1@one", Some("http://10.0.0.1:8080 3")));
    consul.report("web-1", "warn");
    show("consul: warning", followed.until_is("web/web-1@one", Some("http://10.0.0.1:8080 2")));
    consul.report("web-1", "fail");
    show("consul: critical", followed.until_is("web/web-1@one", Some("Down")));
    consul.report("web-1", "pass");
    followed.until_is("web/web-1@one", Some("http://10.0.0.1:8080 3"));
    consul.put("/v1/agent/service/maintenance/web-1?enable=true", &Value::Null);
    show("consul: maintenance", followed.until_is("web/web-1@one", Some("OutOfService")));
    consul.put("/v1/agent/service/maintenance/web-1?enable=false", &Value::Null);
    followed.until_is("web/web-1@one", Some("http://10.0.0.1:8080 3"));

    // Without a check, only the service itself changes.
    let more = json!({ "Tags": ["blue"], "Meta": { "scheme": "https", "zone": "a" } });
    consul.register("web", "web-2", address(2), &json!({}));
    show("consul: registered", followed.until_is("web/web-2@one", Some("http://10.0.0.2:8080 1")));
    consul.register("web", "web-2", address(2), &more);
    show("consul: changed", followed.until_is("web/web-2@one", Some("https://10.0.0.2:8080 1")));
    let found = followed.heard().instances["web/web-2@one"].instance.clone();
    assert_eq!((found.zone.as_deref(), &*found.tags), (Some("a"), &["blue".to_owned()][..]));
    consul.deregister("web-2");
    show("consul: deregistered", followed.until_is("web/web-2@one", None));
    let heard = followed.heard();
    assert_eq!((heard.lists, heard.lost.len()), (1, 0), "{heard:?}");
    // Consul itself is a service there that nobody means.
    assert_eq!(heard.instances.len(), 1, "{heard:?}");
}

#[test]
fn an_instance_that_does_not_report_is_taken_out_with_its_ttl() {
    let (consul, one) = (Consul::start(), named("one"));
    let portolan = Portolan::start(&format!("{}\n{AROUND}", consul.section(consul.address)));
    connected(&portolan, "consul", true);
    consul.register("orders", "a", one.address, &json!({ "Check": { "TTL": "2s" } }));
    consul.report("a", "pass");
    routed(&portolan, "consul: passing", "one");
    unrouted(&portolan, "consul: TTL of 2 s");
    consul.report("a", "pass");
    routed(&portolan, "consul: passing again", "one");
}

#[test]
fn settings_choose_what_is_taken() {
    let consul = Consul::start();
    consul.register("web", "a", address(1), &json!({ "Tags": ["x", "y"], "Meta": { "env": "p" } }));
    consul.register("web", "b", address(2), &json!({ "Tags": ["x"], "Meta": { "env": "q" } }));
    consul.register("web-old", "c", address(3), &json!({ "Tags": ["x", "y"] }));
    consul.register("db", "d", address(4), &json!({ "Check": { "TTL": "1h" }, "Tags": ["x"] }));
    let cases = [
        (json!({ "exclude": [] }), "consul db/d web-old/c web/a web/b"),
        (json!({ "services": ["web*"], "exclude": ["*-old"] }), "web/a web/b"),
        (json!({ "tags": ["x", "y"] }), "web-old/c web/a"),
        (json!({ "metadata": ["env=q"] }), "web/b"),
        (json!({ "filter": "Service.Meta.env == \"p\"" }), "web/a"),
        (json!({ "passing_only": true }), "web-old/c web/a web/b"),
    ];
    for (settings, expected) in cases {
        let followed = Followed::consul(&consul.url(), settings.clone());
        let names = |heard: &crate::followed::Heard| {
            let short = |key: &String| {
                let (name, _) = key.split_once('@').expect("a node");
                name.strip_suffix("/consul").or(name.strip_suffix('/')).unwrap_or(name).to_owned()
            };
            let mut all: Vec<_> = heard.instances.keys().map(short).collect();
            all.sort_unstable();
            all.join(" ")
        };
        followed.until(|heard| heard.lists > 0);
        followed.until(|heard| {
            let found = names(heard);
            // Consul's own service has a name that depends on the version.
            found == expected || found.replace("consul/consul", "consul") == expected
        });
    }
}

#[test]
fn a_datacenter_that_is_not_there_is_no_empty_one() {
    let consul = Consul::start();
    consul.register("web", "a", address(1), &json!({}));
    let there = Followed::consul(&consul.url(), json!({ "datacenter": "dc1", "stale": true }));
    there.until_is("web/a@one", Some("http://10.0.0.1:8080 1"));
    let elsewhere = Followed::consul(&consul.url(), json!({ "datacenter": "dc9" }));
    elsewhere.until(|heard| heard.lost.iter().any(|why| why.contains("datacenter")));
    assert_eq!(elsewhere.heard().lists, 0);
}

#[test]
fn certificates_of_both_sides_are_shown_and_checked() {
    let (authority, other) = (Authority::new(), Authority::new());
    authority.issue("server", &["127.0.0.1"]);
    authority.issue("client", &["portolan"]);
    let path = |name: &str| authority.path(name).display().to_string();
    let port = crate::servers::free_port();
    let tls = format!(
        "ports {{ https = {port} }} ca_file = \"{}\" cert_file = \"{}\" key_file = \"{}\" \
         verify_incoming_https = true",
        authority.ca(),
        path("server.pem"),
        path("server.key")
    );
    let consul = Consul::with(&["-hcl", &tls]);
    consul.register("web", "a", address(1), &json!({}));
    let with =
        |tls: Value| Followed::consul(&format!("https://127.0.0.1:{port}"), json!({ "tls": tls }));
    for wrong in [json!({ "ca": other.ca() }), json!({ "ca": authority.ca() })] {
        let followed = with(wrong);
        followed.until(|heard| heard.lost.len() > 1);
        assert_eq!(followed.heard().lists, 0);
    }
    let identity = json!({
        "ca": authority.ca(), "cert": path("client.pem"), "key": path("client.key"),
    });
    with(identity).until_is("web/a@one", Some("http://10.0.0.1:8080 1"));
}

#[test]
fn an_outage_takes_nothing_away() {
    let mut consul = Consul::start();
    consul.register("web", "a", address(1), &json!({}));
    let followed = Followed::consul(&consul.url(), json!({}));
    followed.until_is("web/a@one", Some("http://10.0.0.1:8080 1"));

    consul.server.kill();
    show("consul: death noticed", followed.until(|heard| !heard.lost.is_empty()));
    let lists = followed.heard().lists;
    consul.restart();
    show("consul: back after a restart", followed.until(|heard| heard.lists > lists));
    consul.register("web", "b", address(2), &json!({}));
    followed.until_is("web/b@one", Some("http://10.0.0.2:8080 1"));
    consul.deregister("b");
    followed.until_is("web/b@one", None);
    let heard = followed.heard();
    assert_eq!(heard.removed, ["web/b@one"], "{heard:?}");
    assert_eq!(heard.instances.len(), 1, "{heard:?}");
}

#[test]
fn a_consul_that_has_lost_everything_does_not_take_it_from_us() {
    let mut consul = Consul::start();
    // A higher index than a new one will have.
    for id in 0..20 {
        consul.register("web", &format!("w{id}"), address(id), &json!({}));
    }
    let followed = Followed::consul(&consul.url(), json!({}));
    followed.until(|heard| heard.instances.len() == 20);
    let lists = followed.heard().lists;
    consul.restart_empty();
    followed.until(|heard| heard.lists > lists);
    consul.register("web", "new", address(99), &json!({}));
    followed.until_is("web/new@one", Some("http://10.0.0.99:8080 1"));
    let heard = followed.heard();
    assert_eq!((heard.instances.len(), heard.removed.len()), (21, 0), "{heard:?}");
}

#[test]
fn hundreds_of_services_take_a_handful_of_connections() {
    let limits = "limits { http_max_conns_per_client = 16 }";
    let consul = Consul::with(&["-hcl", limits]);
    for service in 0..300 {
        let body = json!({
            "Node": "far", "Address": "10.1.0.1", "SkipNodeUpdate": service > 0,
            "Service": { "ID": format!("a{service}"), "Service": format!("s{service}"), "Port": 80 },
        });
        consul.put("/v1/catalog/register", &body);
    }
    let begun = Instant::now();
    let followed = Followed::consul(&consul.url(), json!({}));
    followed.until(|heard| heard.instances.len() == 300);
    show("consul: 300 services read", begun.elapsed());
    for service in [0, 150, 299] {
        let body = json!({
            "Node": "far", "Address": "10.1.0.1", "SkipNodeUpdate": true,
            "Service": { "ID": format!("b{service}"), "Service": format!("s{service}"), "Port": 81 },
        });
        consul.put("/v1/catalog/register", &body);
        let key = format!("s{service}/b{service}@far");
        show("consul: seen among 300", followed.until_is(&key, Some("http://10.1.0.1:81 1")));
    }
    let heard = followed.heard();
    assert!(heard.lost.is_empty(), "{:?}", heard.lost);
    let open = connections_to(consul.address.port());
    assert!(open <= 12, "{open} connections");
}

/// Open connections of this machine to the port.
fn connections_to(port: u16) -> usize {
    let table = fs::read_to_string("/proc/self/net/tcp").expect("the table of connections");
    let remote = format!(":{port:04X}");
    let is_ours = |line: &&str| {
        let words: Vec<_> = line.split_whitespace().collect();
        // Established, with the port on the far side.
        words.get(2).is_some_and(|far| far.ends_with(&remote)) && words.get(3) == Some(&"01")
    };
    table.lines().filter(is_ours).count()
}

#[test]
fn a_token_is_sent_and_a_wrong_one_is_no_empty_catalog() {
    let acl = r#"acl { enabled = true default_policy = "deny"
        tokens { master = "5ec0ffee-0000-4000-8000-000000000001" } }"#;
    let consul = Consul::with_token("5ec0ffee-0000-4000-8000-000000000001", &["-hcl", acl]);
    consul.register("web", "a", address(1), &json!({}));
    let token = |text: &str| json!({ "token": text });
    let right = Followed::consul(&consul.url(), token("5ec0ffee-0000-4000-8000-000000000001"));
    right.until_is("web/a@one", Some("http://10.0.0.1:8080 1"));
    let wrong = Followed::consul(&consul.url(), token("5ec0ffee-0000-4000-8000-000000000002"));
    wrong.until(|heard| heard.lost.iter().any(|why| why.contains("403")));
    let heard = wrong.heard();
    assert_eq!(heard.lists, 0, "{heard:?}");
    assert!(!format!("{:?}", heard.lost).contains("5ec0ffee"), "{heard:?}");
}

/// A fake of Consul with one instance of one service, whose answers to
/// everything else than its leader pass through `change`, which is told the
/// path and how many requests came before.
fn fake(change: impl Fn(&str, usize, String) -> String + Send + Sync + 'static) -> Backend {
    let count = AtomicUsize::new(0);
    Backend::start(move |mut accepted| {
        while let Some(request) = accepted.request() {
            let path = request.target().split('?').next().unwrap_or_default().to_owned();
            let body = match path.as_str() {
                "/v1/status/leader" => "\"10.0.0.1:8300\"".to_owned(),
                "/v1/catalog/services" => r#"{"web": []}"#.to_owned(),
                "/v1/health/service/web" if !request.target().contains("filter") => json!([
                    { "Node": { "Node": "n", "Address": "10.0.0.1" },
                      "Service": { "ID": "a", "Service": "web", "Port": 80 }, "Checks": [] },
                    7,
                ])
                .to_string(),
                _ => "[]".to_owned(),
            };
            let answer = format!(
                "HTTP/1.1 200 OK\r\ncontent-length: {}\r\nx-consul-index: 7\r\n\r\n{body}",
                body.len()
            );
            if path == "/v1/status/leader" {
                accepted.send(answer);
            } else {
                accepted.send(change(&path, count.fetch_add(1, Ordering::SeqCst), answer));
            }
        }
    })
}

fn url(fake: &Backend) -> String {
    format!("http://{}", fake.address)
}

#[test]
fn a_server_that_does_not_wait_is_not_asked_without_end() {
    for replaced in ["x-consul-index: 7", "x-consul-index: 0", "x-odd: 1"] {
        let fake = fake(move |_, _, answer| answer.replace("x-consul-index: 7", replaced));
        let followed = Followed::consul(&url(&fake), json!({}));
        followed.until_is("web/a@n", Some("http://10.0.0.1:80 1"));
        let before = fake.requests().len();
        std::thread::sleep(Duration::from_secs(2));
        let asked = fake.requests().len() - before;
        assert!(asked < 20, "{replaced}: {asked} requests in 2 s");
        let heard = followed.heard();
        assert!(heard.rejected.iter().any(|(what, _)| what == "web"), "{heard:?}");
    }
}

#[test]
fn an_agent_with_too_many_connections_is_asked_again() {
    let busy = "HTTP/1.1 429 Too Many Requests\r\ncontent-length: 0\r\n\r\n";
    let fake = fake(move |_, count, answer| if count < 3 { busy.to_owned() } else { answer });
    let followed = Followed::consul(&url(&fake), json!({}));
    followed.until_is("web/a@n", Some("http://10.0.0.1:80 1"));
    assert!(followed.heard().lost.is_empty(), "{:?}", followed.heard().lost);
}

#[test]
fn what_is_no_answer_is_no_empty_catalog() {
    let answers = [
        ("HTTP/1.1 500 Oops\r\ncontent-length: 17\r\n\r\nNo cluster leader", "No cluster leader"),
        ("HTTP/1.1 200 OK\r\ncontent-length: 13\r\n\r\n<html></html>", "not understood"),
        ("HTTP/1.1 200 OK\r\ncontent-length: 2\r\nx-consul-knownleader: false\r\n\r\n{}", "leader"),
        ("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n[]", "not understood"),
        ("HTTP/1.1 404 No\r\ncontent-length: 0\r\n\r\n", "404"),
    ];
    for (broken, expected) in answers {
        let is_broken = Arc::new(Mutex::new(false));
        let when = Arc::clone(&is_broken);
        let fake = fake(move |path, _, answer| {
            let is_broken = *when.lock().expect("no panic") && path == "/v1/catalog/services";
            if is_broken { broken.to_owned() } else { answer }
        });
        let followed = Followed::consul(&url(&fake), json!({}));
        followed.until_is("web/a@n", Some("http://10.0.0.1:80 1"));
        *is_broken.lock().expect("no panic") = true;
        followed.want();
        followed.until(|heard| heard.lost.iter().any(|why| why.contains(expected)));
        *is_broken.lock().expect("no panic") = false;
        let lists = followed.heard().lists;
        followed.until(|heard| heard.lists > lists);
        let heard = followed.heard();
        assert_eq!((heard.instances.len(), heard.removed.len()), (1, 0), "{expected}: {heard:?}");
    }
}

/// The end of a head in which Consul, since 1.11, says that it left something out.
const FILTERED: &str = "\r\nx-consul-results-filtered-by-acls: true\r\n\r\n";

#[test]
fn what_a_token_may_not_see_any_more_is_not_gone() {
    let nothing = |body: &str| {
        let length = body.len();
        format!("HTTP/1.1 200 OK\r\nx-consul-index: 8\r\ncontent-length: {length}{FILTERED}{body}")
    };
    for (hidden, body) in [("/v1/catalog/services", "{}"), ("/v1/health/service/web", "[]")] {
        let is_hidden = Arc::new(AtomicBool::new(false));
        let (when, answer_then) = (Arc::clone(&is_hidden), nothing(body));
        let fake = fake(move |path, _, answer| {
            let is_hidden = when.load(Ordering::SeqCst) && path == hidden;
            if is_hidden { answer_then.clone() } else { answer }
        });
        let followed = Followed::consul(&url(&fake), json!({}));
        followed.until_is("web/a@n", Some("http://10.0.0.1:80 1"));
        is_hidden.store(true, Ordering::SeqCst);
        followed.want();
        followed.until(|heard| heard.lost.iter().any(|why| why.contains("token may not see")));
        is_hidden.store(false, Ordering::SeqCst);
        let lists = followed.heard().lists;
        followed.until(|heard| heard.lists > lists);
        let heard = followed.heard();
        assert_eq!((heard.instances.len(), heard.removed.len()), (1, 0), "{heard:?}");
    }
}

/// A token may have been given a part alone, or something comes that it was not
/// given; what it sees counts.
#[test]
fn what_a_token_never_saw_is_said_and_the_rest_followed() {
    for from_the_start in [true, false] {
        let [is_partial, is_gone] = [from_the_start, false].map(AtomicBool::new).map(Arc::new);
        let (partial, gone) = (Arc::clone(&is_partial), Arc::clone(&is_gone));
        let fake = fake(move |path, _, mut answer| {
            if gone.load(Ordering::SeqCst) && path == "/v1/catalog/services" {
                answer = answer.replace("content-length: 11", "content-length: 2");
                answer = answer.replace(r#"{"web": []}"#, "{}");
            }
            match partial.load(Ordering::SeqCst) {
                true => answer.replacen("\r\n\r\n", FILTERED, 1),
                false => answer,
            }
        });
        let followed = Followed::consul(&url(&fake), json!({}));
        followed.until_is("web/a@n", Some("http://10.0.0.1:80 1"));
        is_partial.store(true, Ordering::SeqCst);
        followed.want();
        for what in ["/v1/catalog/services", "web"] {
            let of = |(named, why): &(String, String)| named == what && why.contains("token");
            followed.until(|heard| heard.rejected.iter().any(of));
        }
        is_gone.store(true, Ordering::SeqCst);
        followed.want();
        followed.until_is("web/a@n", None);
        assert!(followed.heard().lost.is_empty(), "{:?}", followed.heard().lost);
    }
}

#[test]
fn half_an_answer_is_none() {
    let half = "HTTP/1.1 200 OK\r\ncontent-length: 5000\r\nconnection: close\r\n\r\n[{\"Node\":";
    let fake = Backend::start(move |mut accepted| {
        if accepted.request().is_some() {
            accepted.send(half);
        }
    });
    let followed = Followed::consul(&url(&fake), json!({}));
    eventually(|| followed.heard().lost.len() > 1);
    assert_eq!(followed.heard().lists, 0);
}
