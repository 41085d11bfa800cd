//! What is sent twice and what is not: every kind of request, through every
//! kind of failure, under every setting, counted where it arrives.

use std::thread;

use crate::support::{Accepted, Backend, Connection, Message, Portolan, eventually};

/// Requests by name: a method, and what follows the head.
const REQUESTS: [(&str, &str, &str); 17] = [
    ("get", "GET", "\r\n"),
    ("head", "HEAD", "\r\n"),
    ("options", "OPTIONS", "\r\n"),
    ("get-with-body", "GET", "content-length: 4\r\n\r\nbody"),
    ("get-with-chunks", "GET", "transfer-encoding: chunked\r\n\r\n4\r\nbody\r\n0\r\n\r\n"),
    ("post", "POST", "content-length: 4\r\n\r\nbody"),
    ("post-empty", "POST", "content-length: 0\r\n\r\n"),
    ("post-without-length", "POST", "\r\n"),
    ("patch", "PATCH", "content-length: 4\r\n\r\nbody"),
    ("unknown", "PURGE", "\r\n"),
    ("put", "PUT", "content-length: 4\r\n\r\nbody"),
    ("put-empty", "PUT", "content-length: 0\r\n\r\n"),
    ("put-chunks", "PUT", "transfer-encoding: chunked\r\n\r\n4\r\nbody\r\n0\r\n\r\n"),
    ("put-too-long", "PUT", "content-length: 9\r\n\r\nlong body"),
    ("put-trailers", "PUT", "transfer-encoding: chunked\r\n\r\n4\r\nbody\r\n0\r\nx-a: 1\r\n\r\n"),
    ("delete", "DELETE", "\r\n"),
    ("delete-with-body", "DELETE", "content-length: 4\r\n\r\nbody"),
];

/// What an instance does to a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    /// It takes all of it, and ends the connection.
    Closed,
    /// It takes all of it, and resets the connection.
    Reset,
    /// It begins a head, and ends the connection.
    HalfHead,
    /// It takes all of it, and says nothing.
    Late,
    /// It answers 503.
    Busy,
    /// It answers 502, which nobody asked to be retried.
    Other,
    /// It answers what is not HTTP.
    Garbage,
    /// It breaks off within its answer.
    HalfBody,
}

impl Fate {
    const ALL: [Self; 8] = [
        Self::Closed,
        Self::Reset,
        Self::HalfHead,
        Self::Late,
        Self::Busy,
        Self::Other,
        Self::Garbage,
        Self::HalfBody,
    ];

    fn befall(self, mut accepted: Accepted) {
        while accepted.request().is_some() {
            match self {
                Self::Closed => return,
                Self::Reset => return accepted.connection.reset(),
                Self::HalfHead => return accepted.send("HTTP/1.1 200 O"),
                Self::Late => drop(accepted.connection.wait_for_end()),
                Self::Busy => accepted.send("HTTP/1.1 503 Busy\r\ncontent-length: 0\r\n\r\n"),
                Self::Other => accepted.send("HTTP/1.1 502 Bad\r\ncontent-length: 0\r\n\r\n"),
                Self::Garbage => return accepted.send("hello\r\n\r\n"),
                Self::HalfBody => {
                    return accepted.send("HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nhalf");
                }
            }
        }
    }
}

/// The `retry` of a service, and what it lets be sent twice.
struct Setting {
    text: &'static str,
    retries: bool,
    put: bool,
    delete: bool,
    on_timeout: bool,
    on_status: bool,
}

const SETTINGS: [Setting; 6] = [
    Setting {
        text: "",
        retries: true,
        put: false,
        delete: false,
        on_timeout: false,
        on_status: false,
    },
    Setting {
        text: "methods = ['PUT'], buffer = '8B'",
        retries: true,
        put: true,
        delete: false,
        on_timeout: false,
        on_status: false,
    },
    Setting {
        text: "methods = ['DELETE'], buffer = '8B', on_status = [503]",
        retries: true,
        put: false,
        delete: true,
        on_timeout: false,
        on_status: true,
    },
    Setting {
        text: "on_timeout = true",
        retries: true,
        put: false,
        delete: false,
        on_timeout: true,
        on_status: false,
    },
    Setting {
        text: "methods = ['PUT', 'DELETE'], buffer = '8B', on_timeout = true, on_status = [503]",
        retries: true,
        put: true,
        delete: true,
        on_timeout: true,
        on_status: true,
    },
    Setting {
        text: "attempts = 0, methods = ['PUT', 'DELETE'], buffer = '8B', on_timeout = true, on_status = [503]",
        retries: false,
        put: true,
        delete: true,
        on_timeout: true,
        on_status: true,
    },
];

/// Whether a request is to be sent twice.
fn is_sent_twice(name: &str, fate: Fate, setting: &Setting) -> bool {
    let safe = matches!(name, "get" | "head" | "options");
    let repeated = match name {
        "put" | "put-empty" | "put-chunks" => setting.put,
        "delete" | "delete-with-body" => setting.delete,
        _ => false,
    };
    let allowed = match fate {
        Fate::Closed | Fate::Reset | Fate::HalfHead => safe || repeated,
        Fate::Late => safe && setting.on_timeout,
        Fate::Busy => (safe || repeated) && setting.on_status,
        Fate::Other | Fate::Garbage | Fate::HalfBody => false,
    };
    setting.retries && allowed
}

fn ask(portolan: &Portolan, (name, method, rest): (&str, &str, &str)) {
    let mut client: Connection = portolan.connect();
    client.send(format!("{method} /{name} HTTP/1.1\r\nhost: test\r\n{rest}"));
    // The answer to HEAD has no body, whatever its head says.
    let answer = client.read_head();
    assert!(answer.is_ok(), "{name}: {answer:?}");
}

/// The requests for `name` that `backend` got.
fn received(backend: &Backend, name: &str) -> Vec<Message> {
    let mut requests = backend.requests();
    requests.retain(|request| request.target().strip_prefix('/') == Some(name));
    requests
}

/// Two instances of one fate: what is sent twice is sent to both.
fn check(fate: Fate, setting: &Setting) {
    let start = || Backend::start(move |accepted| fate.befall(accepted));
    let (one, two) = (start(), start());
    let response = if fate == Fate::Late { "200ms" } else { "25s" };
    let portolan = Portolan::start(&format!(
        "[service.app]\nendpoints = ['{}', '{}']\ntimeouts = {{ response = '{response}' }}\n\
         retry = {{ budget_floor = 1000, {} }}\n[[route]]\nservice = 'app'",
        one.address, two.address, setting.text
    ));
    thread::scope(|scope| {
        for request in REQUESTS {
            let portolan = &portolan;
            scope.spawn(move || ask(portolan, request));
        }
    });
    // What was sent late may be read late.
    for (name, ..) in REQUESTS {
        let expected = if is_sent_twice(name, fate, setting) { 2 } else { 1 };
        eventually(|| received(&one, name).len() + received(&two, name).len() >= expected);
    }
    drop(portolan);
    eventually(|| one.open() == 0 && two.open() == 0);
    for (name, method, _) in REQUESTS {
        let (one, two) = (received(&one, name), received(&two, name));
        let counts = (one.len(), two.len());
        let expected = if is_sent_twice(name, fate, setting) { 2 } else { 1 };
        let context = format!("{name}, {fate:?}, {:?}: {counts:?}", setting.text);
        assert_eq!(counts.0 + counts.1, expected, "{context}");
        assert!(counts.0 <= 1 && counts.1 <= 1, "twice to one: {context}");
        if let (Some(one), Some(two)) = (one.first(), two.first()) {
            assert!(!matches!(method, "POST" | "PATCH"), "{context}");
            assert_eq!((one.text(), one.complete), (two.text(), two.complete), "{context}");
            for field in ["content-length", "transfer-encoding"] {
                assert_eq!(one.field(field), two.field(field), "{context}");
            }
        }
    }
}

#[test]
fn what_may_be_sent_twice_is_and_nothing_else() {
    for setting in &SETTINGS {
        thread::scope(|scope| {
            for fate in Fate::ALL {
                scope.spawn(move || check(fate, setting));
            }
        });
    }
}

/// Half of the requests meet an instance that is not there. Whatever they are,
/// it costs them nothing: not one byte of them was sent.
#[test]
fn what_was_not_sent_at_all_is_sent_elsewhere_whatever_it_is() {
    let good = Backend::answering("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n");
    for text in ["", "budget_percent = 0, budget_floor = 0"] {
        let portolan = Portolan::start(&format!(
            "workers = 1\n[service.app]\nendpoints = ['{}', '{}']\nbalance = 'round_robin'\n\
             retry = {{ {text} }}\n[[route]]\nservice = 'app'",
            Backend::refusing(),
            good.address
        ));
        for request in REQUESTS {
            for _ in 0..2 {
                ask(&portolan, request);
            }
        }
        let lines = portolan.logged(2 * REQUESTS.len());
        assert!(lines.iter().all(|line| line["status"] == 200), "{lines:?}");
        let retried = lines.iter().filter(|line| line["attempts"] == 2).count();
        assert_eq!(retried, REQUESTS.len());
    }
}
