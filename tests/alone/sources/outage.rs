//! A source that cannot be reached is not one that has nothing.

use super::*;

const PROBED: &str = "[defaults]\nhealth = { kind = 'tcp', interval = '100ms' }\n";

#[test]
fn what_was_known_stays_while_a_source_is_lost() {
    let (lists, backend) = (Lists::new(), named("one"));
    lists.write("list", &[app("a", backend.address)]);
    let portolan = Portolan::start(&format!("{PROBED}{}{ROUTE}", lists.section("list")));
    eventually(|| answers(&portolan, "one"));
    lists.remove("list");
    eventually(|| source(&portolan, "list")["connected"] == false);
    assert!(answers(&portolan, "one"));
    let said = attention(&portolan);
    assert!(said.contains("source list has not been reached for"), "{said}");
    assert!(said.contains("its 1 instances stay"), "{said}");
    // A list that cannot be read as a whole is as good as none.
    lists.put("list", "{\"instances\": [");
    eventually(|| {
        source(&portolan, "list")["last_error"].to_string().contains("not a JSON object")
    });
    assert!(answers(&portolan, "one"));
    assert!(portolan.metric("portolan_registry_source_failures_total{source=\"list\"}") >= 2.0);
    assert_eq!(portolan.metric("portolan_registry_source_up{source=\"list\"}"), 0.0);
    lists.write("list", &[app("a", backend.address)]);
    eventually(|| source(&portolan, "list")["connected"] == true);
    assert!(answers(&portolan, "one") && !attention(&portolan).contains("reached"));
    assert_eq!(portolan.instance("app/a")["generation"], 1);
    // Once each, however often it was tried.
    let told = told(&portolan);
    assert_eq!(kinds(&told), ["source_lost", "source_back"], "{told:?}");
    assert!(told[0].1.starts_with("list: "), "{told:?}");
    assert!(told[0].1.ends_with("; its 1 instances stay as they were"), "{told:?}");
    assert!(told[1].1.starts_with("list: it is heard again after"), "{told:?}");
}

fn kept(portolan: &Portolan) -> PathBuf {
    portolan.folder().join("data/sources/list.jsonl")
}

#[test]
fn a_restart_while_a_source_is_lost_routes_by_what_it_had() {
    let (lists, backend) = (Lists::new(), named("one"));
    lists.write("list", &[app("a", backend.address)]);
    let portolan = Portolan::start(&format!("{PROBED}{}{ROUTE}", lists.section("list")));
    eventually(|| answers(&portolan, "one"));
    eventually(|| {
        fs::read_to_string(kept(&portolan)).is_ok_and(|text| text.contains("\"id\":\"a\""))
    });
    lists.remove("list");
    let portolan = portolan.restart();
    eventually(|| portolan.admin("GET", "/readyz", "").status() == 200);
    assert!(answers(&portolan, "one"), "ready is ready");
    let view = source(&portolan, "list");
    assert_eq!((&view["connected"], &view["instances"]), (&false.into(), &1.into()));
    assert!(attention(&portolan).contains("its 1 instances stay as they were"));
    // What is restored is probed before it gets requests.
    let address = backend.address;
    drop(backend);
    let portolan = portolan.restart();
    eventually(|| portolan.instance("app/a")["state"] == "unhealthy");
    assert_eq!(portolan.get("/").reason(), "no_healthy_instance");
    assert_eq!(portolan.instance("app/a")["origin"], format!("http://{address}"));
}

#[test]
fn a_damaged_memory_is_said_and_put_aside() {
    let (lists, backend) = (Lists::new(), named("one"));
    lists.write("list", &[app("a", backend.address)]);
    let portolan = Portolan::start(&format!("{PROBED}{}{ROUTE}", lists.section("list")));
    eventually(|| kept(&portolan).exists());
    let text = fs::read_to_string(kept(&portolan)).expect("there");
    fs::write(kept(&portolan), text.replace("\"id\":\"a\"", "\"id\":\"b\"")).expect("written");
    lists.remove("list");
    let portolan = portolan.restart();
    assert!(attention(&portolan).contains("is damaged"), "{}", attention(&portolan));
    assert!(kept(&portolan).with_extension("damaged").exists());
    assert_eq!(portolan.get("/").reason(), "no_healthy_instance");
    lists.write("list", &[app("a", backend.address)]);
    eventually(|| answers(&portolan, "one"));
    eventually(|| kept(&portolan).exists() && !attention(&portolan).contains("damaged"));
}

#[test]
fn readiness_waits_for_the_first_list() {
    let (lists, backend) = (Lists::new(), named("one"));
    let portolan = Portolan::start(&format!("{PROBED}{}{ROUTE}", lists.section("list")));
    let answer = portolan.admin("GET", "/readyz", "");
    assert_eq!(answer.status(), 503, "{answer:?}");
    assert!(answer.text().contains("the first list of source list"), "{}", answer.text());
    lists.write("list", &[app("a", backend.address)]);
    eventually(|| portolan.admin("GET", "/readyz", "").status() == 200);
    assert!(answers(&portolan, "one"));
}
