//! A reload changes the sources that it changes.

use super::*;

#[test]
fn a_reload_leaves_other_sources_alone_and_ends_those_that_are_gone() {
    let (lists, one, two) = (Lists::new(), named("one"), named("two"));
    lists.write("east", &[app("a", one.address)]);
    lists.write(
        "west",
        &[json!({ "service": "other", "id": "b", "address": two.address.to_string() })],
    );
    let route = "[[route]]\nservice = 'app'\n[[route]]\npath = '/other'\nservice = 'other'\n";
    let (east, west) = (lists.section("east"), lists.section("west"));
    let portolan = Portolan::start(&format!("{east}{west}{route}"));
    eventually(|| answers(&portolan, "one") && portolan.get("/other").text() == "two");
    let before = portolan.instance("app/a");
    // West reads another file from now on.
    lists.write(
        "west2",
        &[json!({ "service": "other", "id": "c", "address": two.address.to_string() })],
    );
    let west2 = section("west", &lists.path("west2"), "");
    let answer = portolan.reload(&format!("{east}{west2}{route}"));
    assert_eq!(answer.json()["changes"], json!(["~ source west"]));
    eventually(|| portolan.instance("other/c")["routable"] == true);
    let answer = portolan.reload(&format!("{east}{route}"));
    assert_eq!(answer.json()["changes"], json!(["- source west"]));
    assert_eq!(portolan.get("/other").reason(), "no_healthy_instance");
    let after = portolan.instance("app/a");
    assert_eq!(after["generation"], before["generation"]);
    assert!(after["requests"].as_u64() >= before["requests"].as_u64());
    assert!(source(&portolan, "west").is_null());
    // And it is there again.
    portolan.reload(&format!("{east}{west}{route}"));
    eventually(|| portolan.get("/other").text() == "two");
}
