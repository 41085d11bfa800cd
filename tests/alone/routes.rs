//! Routes: what they match, what they change, and what they answer.

use crate::support::{Backend, Echo, Message, Portolan};

/// `routes`, each of which may lead to the services `one` and `two`.
fn start(routes: &str) -> (Echo, Echo, Portolan) {
    let (one, two) = (Echo::start("one"), Echo::start("two"));
    let portolan = Portolan::start(&format!(
        "[service.one]\nendpoints = ['{}']\n[service.two]\nendpoints = ['{}']\n[service.down]\n\
         {routes}",
        one.address(),
        two.address()
    ));
    (one, two, portolan)
}

fn target(answer: &Message) -> String {
    answer.json()["target"].as_str().expect("an echo").to_owned()
}

#[test]
fn prefixes_are_stripped_and_added() {
    let (_one, _two, portolan) = start(
        "[[route]]\npath = '/strip'\nservice = 'one'\nstrip_prefix = true\n\
         [[route]]\npath = '/add'\nservice = 'one'\nadd_prefix = '/v1'\n\
         [[route]]\npath = '/both'\nservice = 'one'\nstrip_prefix = true\nadd_prefix = '/v2'\n\
         [[route]]\nservice = 'one'",
    );
    for (sent, seen) in [
        ("/strip", "/"),
        ("/strip/a/b?q=%2f&r", "/a/b?q=%2f&r"),
        ("/add/a", "/v1/add/a"),
        ("/both/a?", "/v2/a?"),
        ("/stripped", "/stripped"),
        // The same bytes that were matched.
        ("/x/../strip/%61", "/a"),
        ("/caf%c3%a9", "/caf%C3%A9"),
        ("/plain//x", "/plain//x"),
    ] {
        assert_eq!(target(&portolan.get(sent)), seen, "{sent}");
    }
}

#[test]
fn a_redirect_keeps_what_follows() {
    let (_one, _two, portolan) = start(
        "[[route]]\npath = '/old'\nredirect = { to = 'https://new.test/n', status = 301 }\n\
         response_headers = { set = { X-Moved = 'yes' } }\n\
         [[route]]\npath = '/here'\nredirect = { to = '/there' }",
    );
    let answer = portolan.get("/old/a?b=c");
    assert_eq!(
        (answer.status(), answer.field("location")),
        (301, Some("https://new.test/n/a?b=c"))
    );
    assert_eq!(answer.field("x-moved"), Some("yes"));
    let answer = portolan.get("/here");
    assert_eq!((answer.status(), answer.field("location")), (308, Some("/there")));
    assert_eq!(portolan.logged(2)[0]["reason"], "redirect");
}

#[test]
fn headers_are_edited_in_both_directions() {
    let backend = Backend::answering(
        "HTTP/1.1 200 OK\r\nx-secret: 1\r\nserver: theirs\r\ncontent-length: 0\r\n\r\n",
    );
    let portolan = Portolan::start(&format!(
        "[service.app]\nendpoints = ['{}']\n[[route]]\nservice = 'app'\n\
         request_headers = {{ set = {{ X-Team = 'blue' }}, remove = ['X-Debug'] }}\n\
         response_headers = {{ set = {{ Server = 'ours' }}, remove = ['X-Secret'] }}",
        backend.address
    ));
    let answer = portolan
        .exchange("GET / HTTP/1.1\r\nhost: test\r\nx-debug: 1\r\nx-team: red\r\nx-team: 2\r\n\r\n");
    assert_eq!((answer.field("server"), answer.field("x-secret")), (Some("ours"), None));
    let request = backend.only_request();
    assert_eq!((request.field("x-team"), request.field("x-debug")), (Some("blue"), None));
}

#[test]
fn predicates_decide_among_routes_of_the_same_path() {
    let (_one, _two, portolan) = start(
        "[[route]]\nservice = 'one'\nmethod = ['GET', 'HEAD']\n\
         [[route]]\nservice = 'two'\nmethod = 'GET'\nheader = { X-Canary = 'yes' }",
    );
    let name = |fields: &str| {
        let answer = portolan.exchange(format!("GET / HTTP/1.1\r\nhost: test\r\n{fields}\r\n"));
        answer.json()["name"].as_str().map(str::to_owned)
    };
    assert_eq!(name(""), Some("one".into()));
    assert_eq!(name("x-canary: no\r\n"), Some("one".into()));
    assert_eq!(name("x-canary: no\r\nx-canary: yes\r\n"), Some("two".into()));
    let answer = portolan.exchange("POST / HTTP/1.1\r\nhost: test\r\ncontent-length: 0\r\n\r\n");
    assert_eq!((answer.status(), &*answer.reason()), (404, "no_route"));
}

#[test]
fn the_most_specific_host_and_path_win() {
    let (_one, _two, portolan) = start(
        "[[route]]\nservice = 'one'\n\
         [[route]]\nhost = '*.shop.test'\npath = '/a'\nservice = 'two'\n\
         [[route]]\nhost = 'x.shop.test'\npath = '/a/b'\nredirect = { to = '/exact' }",
    );
    let asked = |host: &str, target: &str| {
        let answer = portolan.exchange(format!("GET {target} HTTP/1.1\r\nhost: {host}\r\n\r\n"));
        match answer.field("location") {
            Some(location) => location.to_owned(),
            None => answer.json()["name"].as_str().expect("an echo").to_owned(),
        }
    };
    assert_eq!(asked("other.test", "/a/b"), "one");
    assert_eq!(asked("y.shop.test", "/a/b"), "two");
    assert_eq!(asked("Y.SHOP.TEST.:8080", "/a"), "two");
    assert_eq!(asked("x.shop.test", "/a/b/c"), "/exact/c");
    assert_eq!(asked("x.shop.test", "/a/bc"), "two");
    assert_eq!(asked("y.shop.test", "/ab"), "one");
    assert_eq!(asked("shop.test", "/a"), "one");
}

#[test]
fn a_service_without_instances_is_not_an_unknown_one() {
    let (one, _two, portolan) = start(
        "[[route]]\nhost = 'test'\nservice = 'one'\n\
         [[route]]\nhost = 'test'\npath = '/down'\nservice = 'down'",
    );
    // Never the less specific route, whose service is up.
    let answer = portolan.get("/down/x");
    assert_eq!((answer.status(), &*answer.reason()), (503, "no_healthy_instance"));
    let seconds: u32 = answer.field("retry-after").expect("a field").parse().expect("seconds");
    assert!(seconds > 0);
    let answer = portolan.exchange("GET / HTTP/1.1\r\nhost: other\r\n\r\n");
    assert_eq!((answer.status(), &*answer.reason()), (404, "no_route"));
    assert_eq!(answer.field("retry-after"), None);
    assert_eq!(one.requests().len(), 0);
    assert_eq!(portolan.get("/up").status(), 200);
}

#[test]
fn the_timeout_of_a_route_comes_before_that_of_its_service() {
    let backend = Backend::start(|mut accepted| {
        accepted.request();
        accepted.connection.wait_for_end();
    });
    let portolan = Portolan::start(&format!(
        "[service.app]\nendpoints = ['{}']\ntimeouts = {{ request = '1h' }}\n\
         [[route]]\nservice = 'app'\ntimeout = '200ms'",
        backend.address
    ));
    let answer = portolan.get("/");
    assert_eq!((answer.status(), &*answer.reason()), (504, "request_timeout"));
}
