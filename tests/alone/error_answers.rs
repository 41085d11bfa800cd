//! The form of the proxy's own answers, and what they tell to whom.

use crate::support::{Backend, Message, Portolan};

/// The answer to a request for which there is no route.
fn unrouted(portolan: &Portolan, fields: &str) -> Message {
    portolan.exchange(format!("POST / HTTP/1.1\r\nhost: test\r\n{fields}\r\n"))
}

#[test]
fn an_error_has_a_form_that_the_client_can_read() {
    let portolan = Portolan::start("");
    for (accept, content_type, part) in [
        ("", "application/problem+json", "\"reason\":\"no_route\""),
        ("accept: */*\r\n", "application/problem+json", "\"status\":404"),
        ("accept: text/html,*/*;q=0.8\r\n", "text/html; charset=utf-8", "<h1>404 Not Found</h1>"),
        ("accept: text/plain\r\n", "text/plain; charset=utf-8", "reason: no_route\n"),
    ] {
        let answer = unrouted(&portolan, accept);
        assert_eq!(answer.status(), 404);
        assert_eq!(answer.field("content-type"), Some(content_type));
        let id = answer.field("x-request-id").expect("an id");
        assert!(answer.text().contains(part) && answer.text().contains(id), "{answer:?}");
    }
    // Also before anything was looked at.
    let answer = portolan.exchange("GET / HTTP/1.1\r\naccept: text/plain\r\nx : 1\r\n\r\n");
    assert_eq!(answer.field("content-type"), Some("text/plain; charset=utf-8"));
    assert!(answer.text().starts_with("400 Bad Request: "), "{answer:?}");
    let answer = portolan.exchange("TRACE / HTTP/1.1\r\naccept: text/plain\r\nhost: a\r\n\r\n");
    assert_eq!(answer.field("content-type"), Some("text/plain; charset=utf-8"));
}

#[test]
fn a_call_of_grpc_is_told_in_its_own_words() {
    let portolan = Portolan::start("[service.app]\n[[route]]\npath = '/app'\nservice = 'app'");
    let call = |path: &str, kind: &str| {
        portolan.exchange(format!(
            "POST {path} HTTP/1.1\r\nhost: test\r\ncontent-type: {kind}\r\nte: trailers\r\n\
             accept: text/html\r\n\r\n"
        ))
    };
    for (path, status) in [("/", "12"), ("/app", "14"), ("/%00", "13")] {
        let answer = call(path, "application/grpc+proto");
        assert_eq!((answer.status(), answer.field("grpc-status")), (200, Some(status)), "{path}");
        assert_eq!(answer.field("content-type"), Some("application/grpc"));
        assert!(answer.field("grpc-message").is_some() && answer.body.is_empty(), "{answer:?}");
    }
    assert_eq!(
        call("/", "application/grpc-web").field("content-type"),
        Some("application/grpc-web")
    );
    let line = portolan.logged_reason("no_healthy_instance");
    assert_eq!(line["status"], 200);
}

#[test]
fn proxy_status_is_told_to_whom_the_settings_say() {
    let refusing = Backend::refusing();
    let told = |settings: &str| {
        let portolan = Portolan::start(&format!(
            "[[listener]]\n{settings}\n[service.app]\nendpoints = ['{refusing}']\n\
             [[route]]\nservice = 'app'"
        ));
        let answer = portolan.get("/");
        assert_eq!(answer.status(), 502);
        answer.field("proxy-status").map(str::to_owned)
    };
    let words = "portolan; error=connection_refused; details=\"connect_refused\"".to_owned();
    assert_eq!(told(""), None);
    assert_eq!(told("proxy_status = 'all'"), Some(words.clone()));
    assert_eq!(told("proxy_status = 'trusted'"), None);
    let trusted = "proxy_status = 'trusted'\ntrusted_proxies = ['127.0.0.0/8']";
    assert_eq!(told(trusted), Some(words));
}
