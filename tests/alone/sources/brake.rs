//! A list that lacks most of what there was is not believed at once.

use super::*;

/// Instances of which only the first answers.
fn many(first: SocketAddr, count: u16) -> Vec<Value> {
    let other = |n: u16| app(&format!("i{n}"), format!("127.0.0.1:{n}").parse().expect("one"));
    std::iter::once(app("a", first)).chain((1..count).map(other)).collect()
}

fn instances(portolan: &Portolan) -> usize {
    let view = portolan.admin("GET", "/api/v1/services/app", "").json();
    view["instances"].as_array().map_or(0, Vec::len)
}

fn start(lists: &Lists, count: u16) -> (Portolan, Backend) {
    let backend = named("one");
    lists.write("list", &many(backend.address, count));
    let portolan = Portolan::start(&format!("{}{ROUTE}", lists.section("list")));
    eventually(|| instances(&portolan) == usize::from(count));
    (portolan, backend)
}

#[test]
fn a_list_that_lacks_most_is_believed_when_it_says_so_twice() {
    let lists = Lists::new();
    let (portolan, backend) = start(&lists, 20);
    lists.write("list", &many(backend.address, 3));
    eventually(|| source(&portolan, "list")["held"]["missing"] == 17);
    assert_eq!(instances(&portolan), 20, "what is missing stays as it was");
    assert!(attention(&portolan).contains("lacks 17 of 20 instances all at once"));
    assert_eq!(portolan.metric("portolan_registry_source_held{source=\"list\"}"), 17.0);
    // The file says the same when it is asked again.
    eventually(|| instances(&portolan) == 3);
    let view = source(&portolan, "list");
    assert_eq!((&view["held"], &view["instances"]), (&Value::Null, &3.into()));
    assert!(!attention(&portolan).contains("list"), "{}", attention(&portolan));
    let held = "list: its list lacks 17 of 20 instances; they stay until it says so again";
    let accepted = "list: 17 instances are gone: its list said so again";
    assert_eq!(
        told(&portolan),
        [("source_held", held), ("source_accepted", accepted)]
            .map(|(kind, detail)| (kind.to_owned(), detail.to_owned()))
    );
}

#[test]
fn what_comes_back_was_never_gone() {
    let lists = Lists::new();
    let (portolan, backend) = start(&lists, 20);
    let generation = portolan.instance("app/i7")["generation"].clone();
    lists.write("list", &[]);
    eventually(|| source(&portolan, "list")["held"]["missing"] == 20);
    assert!(answers_always(&portolan));
    lists.write("list", &many(backend.address, 20));
    eventually(|| source(&portolan, "list")["held"].is_null());
    assert_eq!(
        (instances(&portolan), portolan.instance("app/i7")["generation"].clone()),
        (20, generation)
    );
    let told = told(&portolan);
    assert_eq!(kinds(&told), ["source_held", "source_accepted"], "{told:?}");
    assert_eq!(told[1].1, "list: all instances are back");
}

fn answers_always(portolan: &Portolan) -> bool {
    // Nineteen of twenty refuse; a retry finds another one or fails too.
    portolan.get("/").reason() != "no_healthy_instance"
}

#[test]
fn a_person_can_believe_it_at_once() {
    let lists = Lists::new();
    let (portolan, backend) = start(&lists, 20);
    lists.write("list", &many(backend.address, 1));
    eventually(|| source(&portolan, "list")["held"]["missing"] == 19);
    let answer = portolan.admin("POST", "/api/v1/sources/list/accept", "");
    assert_eq!((answer.status(), &answer.json()["instances"]), (200, &1.into()));
    assert_eq!(instances(&portolan), 1);
    assert!(answers(&portolan, "one"));
    let last = told(&portolan).pop().expect("events");
    let accepted = "list: 19 instances are gone: somebody accepted that";
    assert_eq!(last, ("source_accepted".to_owned(), accepted.to_owned()));
    let none = portolan.admin("POST", "/api/v1/sources/other/accept", "");
    assert_eq!(none.status(), 404);
    assert_eq!(portolan.admin("POST", "/api/v1/sources/list/resync", "").status(), 200);
}

#[test]
fn a_few_that_leave_are_believed_at_once() {
    let lists = Lists::new();
    let (portolan, backend) = start(&lists, 20);
    // Half, which takes no second look.
    lists.write("list", &many(backend.address, 10));
    eventually(|| instances(&portolan) == 10);
    assert!(source(&portolan, "list")["held"].is_null());
    let history = portolan.metric("portolan_registry_source_held{source=\"list\"}");
    assert_eq!(history, 0.0);
}
