//! Routes with `{service}` in them: one for each service there is.

use crate::support::{Echo, Message, Portolan, eventually};

const ROUTES: &str = "[[route]]\nhost = '{service}.svc.example'\n\
    [[route]]\npath = '/svc/{service}'\nstrip_prefix = true\n";

fn ask(portolan: &Portolan, host: &str, target: &str) -> Message {
    let close = "connection: close";
    portolan.exchange(format!("GET {target} HTTP/1.1\r\nhost: {host}\r\n{close}\r\n\r\n"))
}

/// Which server answered, and for which path.
fn heard(answer: &Message) -> (String, String) {
    let view = answer.json();
    let text = |key: &str| view[key].as_str().unwrap_or_default().to_owned();
    (text("name"), text("target"))
}

fn explained(portolan: &Portolan, url: &str) -> serde_json::Value {
    portolan.admin("GET", &format!("/api/v1/explain?url={url}"), "").json()
}

#[test]
fn a_new_service_has_its_routes_without_a_reload() {
    let (orders, users) = (Echo::start("orders"), Echo::start("users"));
    let portolan = Portolan::start(ROUTES);
    for (host, path) in [("orders.svc.example", "/"), ("test", "/svc/orders/x")] {
        let answer = ask(&portolan, host, path);
        assert_eq!((answer.status(), answer.reason()), (404, "no_route".to_owned()));
    }
    portolan.register("orders/a", orders.address());
    portolan.register("users/a", users.address());
    for (host, path, expected) in [
        ("orders.svc.example", "/a/b?c", ("orders", "/a/b?c")),
        ("Users.Svc.Example:8080", "/", ("users", "/")),
        ("users.svc.example.", "/", ("users", "/")),
        ("test", "/svc/orders", ("orders", "/")),
        ("test", "/svc/orders/a?b", ("orders", "/a?b")),
        ("test", "/svc/%75sers/a", ("users", "/a")),
    ] {
        let answer = ask(&portolan, host, path);
        assert_eq!(answer.status(), 200, "{host}{path}: {answer:?}");
        let (backend, target) = heard(&answer);
        assert_eq!((&*backend, &*target), expected, "{host}{path}");
    }
    assert_eq!(portolan.metric("portolan_config_reloads_total{result=\"ok\"}"), 0.0);
    // What has been there is known, and has no instance now.
    portolan.deregister("orders/a");
    let answer = ask(&portolan, "orders.svc.example", "/");
    assert_eq!((answer.status(), answer.reason()), (503, "no_healthy_instance".to_owned()));
    portolan.register("orders/b", orders.address());
    assert_eq!(ask(&portolan, "orders.svc.example", "/").status(), 200);
    let routes = portolan.admin("GET", "/api/v1/routes", "").json();
    let hosts: Vec<_> = routes["routes"].as_array().expect("routes").iter().collect();
    assert_eq!(hosts.len(), 2, "as the file has them: {routes}");
    assert_eq!(hosts[0]["service"], "{service}");
}

#[test]
fn a_route_that_names_its_host_or_path_comes_first() {
    let (orders, other) = (Echo::start("orders"), Echo::start("other"));
    let portolan = Portolan::start(&format!(
        "{ROUTES}[[route]]\nhost = 'orders.svc.example'\nservice = 'other'\n\
         [[route]]\nhost = '*.svc.example'\nservice = 'other'\n\
         [[route]]\npath = '/svc/orders'\nservice = 'other'\n\
         [[route]]\npath = '/svc/users/deep'\nservice = 'other'\n\
         [service.other]\nendpoints = ['{}']\n",
        other.address()
    ));
    portolan.register("orders/a", orders.address());
    portolan.register("users/a", orders.address());
    let backend = |host: &str, path: &str| heard(&ask(&portolan, host, path)).0;
    assert_eq!(backend("orders.svc.example", "/"), "other", "the host is written there");
    assert_eq!(backend("users.svc.example", "/"), "orders", "one host comes before a wildcard");
    assert_eq!(backend("nobody.svc.example", "/"), "other", "the wildcard gets the rest");
    assert_eq!(backend("test", "/svc/orders/x"), "other");
    assert_eq!(backend("test", "/svc/users/x"), "orders");
    assert_eq!(backend("test", "/svc/users/deep/x"), "other", "the longer path");
}

#[test]
fn a_name_stands_for_no_more_than_itself() {
    let (shop, nested) = (Echo::start("shop"), Echo::start("nested"));
    let portolan = Portolan::start(&format!(
        "{ROUTES}[[route]]\nhost = '*.shop.svc.example'\nservice = 'shop'\n\
         [[route]]\npath = '/only/{{service}}'\nservices = ['public-*']\n"
    ));
    portolan.register("shop/a", shop.address());
    // Whoever may register this must not get a host of the shop.
    portolan.register("login.shop/a", nested.address());
    portolan.register("a..b/a", nested.address());
    portolan.register("public-x/a", nested.address());
    assert_eq!(heard(&ask(&portolan, "login.shop.svc.example", "/")).0, "shop");
    assert_eq!(heard(&ask(&portolan, "test", "/svc/login.shop/x")).0, "nested");
    assert_eq!(heard(&ask(&portolan, "test", "/svc/a..b/x")), ("nested".into(), "/x".into()));
    assert_eq!(heard(&ask(&portolan, "test", "/only/public-x")).0, "nested");
    for (host, path) in [
        ("test", "/only/shop"),
        ("test", "/svc/"),
        ("test", "/svc//shop"),
        ("test", "/svc/../svc/"),
        ("test", "/svc/%7Bservice%7D"),
        ("test", "/svc/shop@registry"),
        ("test", "/svc/SHOP"),
        ("test", "/svc/shopx"),
        ("svc.example", "/"),
        ("_.svc.example", "/"),
        ("a..b.svc.example", "/"),
        ("{service}.svc.example", "/"),
        ("a.a.svc.example", "/"),
    ] {
        let answer = ask(&portolan, host, path);
        let reason = answer.reason();
        let is_refused = matches!(&*reason, "no_route" | "request_invalid" | "host_invalid");
        assert!(is_refused && matches!(answer.status(), 400 | 404), "{host}{path}: {answer:?}");
    }
}

#[test]
fn explain_says_where_the_name_was_taken_from() {
    let orders = Echo::start("orders");
    let portolan = Portolan::start(ROUTES);
    portolan.register("orders/a", orders.address());
    let view = explained(&portolan, "http://orders.svc.example/x");
    assert_eq!((&view["reason"], &view["service"]["service"]), (&"ok".into(), &"orders".into()));
    assert_eq!(view["route"], "{service}.svc.example/");
    let first = &view["considered"][0];
    assert_eq!(
        (&first["why"], &first["hosts"][0]),
        (
            &"the most specific that matches; the service is taken from the host".into(),
            &"orders.svc.example".into()
        )
    );
    let view = explained(&portolan, "http://test/svc/orders/x");
    assert!(view["considered"][0]["why"].to_string().contains("taken from the path"), "{view}");
    assert_eq!(view["forwarded_path"], "/x");
    let view = explained(&portolan, "http://oders.svc.example/");
    assert_eq!(
        (&view["reason"], &view["summary"]),
        (
            &"no_route".into(),
            &"there is no service oders, which the host asks for by the route \
              {service}.svc.example/"
                .into()
        )
    );
    assert!(view["considered"].to_string().contains("it leads to no service oders"), "{view}");
    assert_eq!(explained(&portolan, "http://a.b.svc.example/")["reason"], "no_route");
}

#[test]
fn many_services_come_and_go_under_load() {
    let echo = Echo::start("one");
    let portolan = Portolan::start(ROUTES);
    portolan.register("steady/a", echo.address());
    let mut client = portolan.connect();
    for round in 0..30 {
        let name = format!("s{round}/a");
        portolan.register(&name, echo.address());
        let answer = ask(&portolan, &format!("s{round}.svc.example"), "/");
        assert_eq!(answer.status(), 200, "{name} is routed to once it is registered");
        let steady = client.exchange("GET /svc/steady HTTP/1.1\r\nhost: test\r\n\r\n");
        assert_eq!(steady.status(), 200, "{steady:?}");
        portolan.deregister(&name);
    }
    let counted = "portolan_requests_total{route=\"*/svc/{service}\",service=\"steady\"";
    eventually(|| {
        let text = portolan.admin("GET", "/metrics", "").text();
        text.lines().any(|line| line.starts_with(counted) && line.ends_with(" 30"))
    });
}
