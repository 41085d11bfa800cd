//! What is sent again, where, and above all what is not.

use std::net::SocketAddr;

use crate::support::{Backend, Echo, Portolan, eventually};

const OK: &str = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nhi";

fn request(method: &str) -> String {
    let body = if matches!(method, "POST" | "PUT" | "PATCH") { "body" } else { "" };
    let length = body.len();
    format!("{method} / HTTP/1.1\r\nhost: test\r\ncontent-length: {length}\r\n\r\n{body}")
}

/// One worker, so that a test knows which idle connections there are.
fn before(addresses: &[SocketAddr], service: &str) -> Portolan {
    let addresses: Vec<_> = addresses.iter().map(ToString::to_string).collect();
    Portolan::start(&format!(
        "workers = 1\n[service.app]\nbalance = 'round_robin'\nendpoints = {addresses:?}\n\
         {service}\n[[route]]\nservice = 'app'"
    ))
}

#[test]
fn a_refused_connection_costs_the_client_nothing() {
    let echo = Echo::start("one");
    let portolan = before(&[Backend::refusing(), echo.address()], "");
    for method in ["GET", "POST", "PUT", "DELETE", "PATCH"] {
        for _ in 0..4 {
            let answer = portolan.exchange(request(method));
            assert_eq!(answer.status(), 200, "{method}");
            assert_eq!(answer.json()["body"].as_str().map(str::len), Some(body_length(method)));
        }
    }
    assert_eq!(echo.requests().len(), 20);
    let retried = "portolan_upstream_retries_total{service=\"app\",cause=\"connect\"}";
    assert!(portolan.metric(retried) >= 5.0);
    assert!(portolan.logged(20).iter().any(|line| line["attempts"] == 2));
}

fn body_length(method: &str) -> usize {
    if matches!(method, "POST" | "PUT" | "PATCH") { 4 } else { 0 }
}

#[test]
fn when_all_refuse_the_client_is_told() {
    let refusing = [Backend::refusing(), Backend::refusing(), Backend::refusing()];
    let portolan = before(&refusing, "retry = { attempts = 1 }");
    let answer = portolan.get("/");
    assert_eq!((answer.status(), &*answer.reason()), (502, "connect_refused"));
    assert_eq!(portolan.logged(1)[0]["attempts"], 2);
    let portolan = before(&refusing, "retry = { attempts = 5 }");
    portolan.get("/");
    assert_eq!(portolan.logged(1)[0]["attempts"], 3);
    let portolan = before(&refusing, "retry = { attempts = 0 }");
    portolan.get("/");
    assert_eq!(portolan.logged(1)[0]["attempts"], 1);
}

/// An instance whose first connection answers one request, reads another and
/// ends without a word; the others answer.
fn forgetful() -> Backend {
    Backend::start(|mut accepted| {
        accepted.request();
        accepted.send(OK);
        while accepted.request().is_some() && accepted.number > 1 {
            accepted.send(OK);
        }
    })
}

#[test]
fn a_safe_request_is_sent_again_when_its_idle_connection_ends() {
    for method in ["GET", "OPTIONS"] {
        let backend = forgetful();
        let portolan = before(&[backend.address], "");
        let mut client = portolan.connect();
        for _ in 0..3 {
            assert_eq!(client.exchange(request(method)).text(), "hi", "{method}");
        }
        assert_eq!((backend.connections(), backend.requests().len()), (2, 4));
    }
}

#[test]
fn an_unsafe_request_is_never_sent_twice() {
    for method in ["POST", "PUT", "DELETE", "PATCH"] {
        let backend = forgetful();
        let other = forgetful();
        let portolan = before(&[backend.address, other.address], "retry = { attempts = 5 }");
        let mut client = portolan.connect();
        for _ in 0..2 {
            assert_eq!(client.exchange(request(method)).text(), "hi");
        }
        let answer = portolan.exchange(request(method));
        assert_eq!((answer.status(), &*answer.reason()), (502, "upstream_reset"), "{method}");
        assert_eq!(backend.requests().len() + other.requests().len(), 3, "{method}");
    }
}

#[test]
fn a_get_with_a_body_is_never_sent_twice() {
    let backend = forgetful();
    let portolan = before(&[backend.address], "retry = { attempts = 5 }");
    let with_body = "GET / HTTP/1.1\r\nhost: test\r\ncontent-length: 4\r\n\r\nbody";
    assert_eq!(portolan.exchange(with_body).text(), "hi");
    assert_eq!(portolan.exchange(with_body).reason(), "upstream_reset");
    assert_eq!(backend.requests().len(), 2);
}

#[test]
fn a_connection_that_ended_while_idle_is_not_used() {
    let backend = Backend::start(|mut accepted| {
        accepted.request();
        accepted.send(OK);
    });
    let portolan = before(&[backend.address], "");
    for number in 1..=5 {
        // POST: it could not be sent again.
        assert_eq!(portolan.exchange(request("POST")).text(), "hi");
        eventually(|| backend.open() == 0 && backend.connections() == number);
    }
    assert_eq!(backend.requests().len(), 5);
}

#[test]
fn a_safe_request_goes_elsewhere_when_a_fresh_connection_ends() {
    let breaking = Backend::start(|mut accepted| {
        accepted.request();
    });
    let echo = Echo::start("one");
    let portolan = before(&[breaking.address, echo.address()], "");
    for _ in 0..4 {
        assert_eq!(portolan.exchange(request("GET")).status(), 200);
    }
    let statuses = (0..4).map(|_| portolan.exchange(request("POST")).status());
    let statuses: Vec<_> = statuses.collect();
    assert!(statuses.contains(&502) && statuses.contains(&200), "{statuses:?}");
    let posts = |requests: &[crate::support::Message]| {
        requests.iter().filter(|request| request.method() == "POST").count()
    };
    assert_eq!(posts(&breaking.requests()) + posts(&echo.requests()), 4);
}

#[test]
fn an_answer_with_a_status_goes_to_the_client_if_nobody_else_is_left_to_ask() {
    let busy = "HTTP/1.1 503 Busy\r\ncontent-length: 4\r\n\r\nbusy";
    let (one, two) = (Backend::answering(busy), Backend::answering(busy));
    let settings = "retry = { attempts = 5, on_status = [503] }";
    let portolan = before(&[one.address, two.address], settings);
    let answer = portolan.get("/");
    assert_eq!((answer.status(), &*answer.text()), (503, "busy"));
    assert_eq!((one.requests().len(), two.requests().len()), (1, 1));
    let line = &portolan.logged(1)[0];
    assert_eq!((&line["reason"], &line["attempts"]), (&"ok".into(), &2.into()));
    let heads = "portolan_upstream_requests_total{service=\"app\",code_class=\"5xx\"}";
    assert_eq!(portolan.metric(heads), 2.0);
    let retried = "portolan_upstream_retries_total{service=\"app\",cause=\"status\"}";
    assert_eq!(portolan.metric(retried), 1.0);
}

#[test]
fn an_answer_with_a_status_costs_the_client_nothing_if_somebody_else_answers() {
    for answer in [
        "HTTP/1.1 503 Busy\r\ncontent-length: 0\r\n\r\n",
        "HTTP/1.1 503 Busy\r\ncontent-length: 4\r\n\r\nbusy",
        "HTTP/1.1 503 Busy\r\ntransfer-encoding: chunked\r\n\r\n4\r\nbusy\r\n0\r\n\r\n",
    ] {
        let (busy, good) = (Backend::answering(answer), Backend::answering(OK));
        let settings = "retry = { on_status = [503], budget_floor = 100 }";
        let portolan = before(&[busy.address, good.address], settings);
        let mut client = portolan.connect();
        for _ in 0..20 {
            let answer = client.exchange(request("GET"));
            assert_eq!((answer.status(), &*answer.text()), (200, "hi"));
        }
        let asked = busy.requests().len();
        assert!((8..=12).contains(&asked), "{asked}");
        // Only an answer that is over leaves a connection behind.
        let kept = answer.contains("content-length: 0");
        assert_eq!(busy.connections(), if kept { 1 } else { asked });
        assert_eq!(good.connections(), 1);
    }
}

#[test]
fn a_put_whose_idle_connection_ends_is_sent_again_to_the_same_instance() {
    let backend = forgetful();
    let portolan = before(&[backend.address], "retry = { methods = ['PUT'], budget_floor = 0 }");
    for _ in 0..3 {
        assert_eq!(portolan.exchange(request("PUT")).text(), "hi");
    }
    let bodies: Vec<_> = backend.requests().iter().map(crate::support::Message::text).collect();
    assert_eq!(bodies, ["body"; 4]);
    let stale = "portolan_upstream_retries_total{service=\"app\",cause=\"stale\"}";
    assert_eq!(portolan.metric(stale), 1.0);
    // Asked not to, nothing is sent twice.
    let backend = forgetful();
    let portolan = before(&[backend.address], "retry = { attempts = 0 }");
    assert_eq!(portolan.exchange(request("GET")).text(), "hi");
    assert_eq!(portolan.exchange(request("GET")).reason(), "upstream_reset");
    assert_eq!(backend.requests().len(), 2);
}

#[test]
fn a_body_that_goes_elsewhere_goes_there_whole() {
    let breaking = || {
        Backend::start(|mut accepted| {
            accepted.request();
        })
    };
    let (one, two) = (breaking(), breaking());
    let settings = "retry = { methods = ['PUT'], buffer = '10KiB' }";
    let portolan = before(&[one.address, two.address], settings);
    let body: String = (0..1024).map(|number| format!("{number:9}\n")).collect();
    let mut client = portolan.connect();
    // In pieces, so that it is not all there at once.
    client.send("PUT / HTTP/1.1\r\nhost: test\r\ntransfer-encoding: chunked\r\n\r\n");
    for piece in body.as_bytes().chunks(1000) {
        client.send(format!("{:x}\r\n", piece.len()));
        client.send(piece);
        client.send("\r\n");
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    client.send("0\r\n\r\n");
    assert_eq!(client.read_response().reason(), "upstream_reset");
    for backend in [one, two] {
        let request = backend.only_request();
        assert!(request.complete && request.text() == body, "{request:?}");
        assert_eq!(request.field("transfer-encoding"), Some("chunked"));
    }
    assert_eq!(portolan.logged(1)[0]["bytes_in"], body.len());
}

#[test]
fn an_expectation_is_not_repeated_with_the_body() {
    let breaking = || {
        Backend::start(|mut accepted| {
            let head = accepted.head().expect("a head");
            if head.field("expect").is_some() {
                accepted.send("HTTP/1.1 100 Continue\r\n\r\n");
            }
            assert_eq!(accepted.connection.read_exact(4), Ok(b"body".to_vec()));
        })
    };
    let (one, two) = (breaking(), breaking());
    let portolan = before(&[one.address, two.address], "retry = { methods = ['PUT'] }");
    let mut client = portolan.connect();
    client
        .send("PUT / HTTP/1.1\r\nhost: test\r\nexpect: 100-continue\r\ncontent-length: 4\r\n\r\n");
    assert_eq!(client.read_head().expect("a head").status(), 100);
    client.send("body");
    assert_eq!(client.read_response().reason(), "upstream_reset");
    let requests = [one.only_request(), two.only_request()];
    let expecting = requests.iter().filter(|request| request.field("expect").is_some()).count();
    assert_eq!(expecting, 1);
}

#[test]
fn nothing_is_sent_again_after_a_timeout() {
    let stalling = || {
        Backend::start(|mut accepted| {
            accepted.request();
            accepted.connection.wait_for_end();
        })
    };
    let (one, two) = (stalling(), stalling());
    let addresses = [one.address, two.address];
    let portolan =
        before(&addresses, "retry = { attempts = 5 }\ntimeouts = { response = '300ms' }");
    assert_eq!(portolan.get("/").reason(), "response_timeout");
    assert_eq!(one.requests().len() + two.requests().len(), 1);
}

#[test]
fn nothing_is_sent_again_after_an_answer_that_is_not_http() {
    let (one, two) = (Backend::answering("hello\r\n\r\n"), Backend::answering("hello\r\n\r\n"));
    let portolan = before(&[one.address, two.address], "retry = { attempts = 5 }");
    assert_eq!(portolan.get("/").reason(), "upstream_protocol_error");
    assert_eq!(one.requests().len() + two.requests().len(), 1);
}
