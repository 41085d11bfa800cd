//! What is sent, by the row of the rules that it is about. After each of them
//! comes a request for `/probe`, whatever the bytes before it mean.

mod bodies;
mod fields;
mod framing;
mod targets;

/// What Portolan has to do with a case.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Expect {
    /// Refuse it before an origin has a byte of it.
    Refused,
    /// Let so many requests through.
    Forwarded(usize),
    /// Let so many requests through and refuse what comes after them.
    ForwardedThenRefused(usize),
    /// Answer it itself and go on: its end is known.
    Answered,
    /// Break off: an origin may have its beginning, and never all of it.
    Cut,
    /// One or the other, as long as nobody reads it in another way.
    Either,
}

/// One stream of bytes.
#[derive(Clone, Debug)]
pub(crate) struct Case {
    pub(crate) name: String,
    /// The row of the rules.
    pub(crate) row: &'static str,
    pub(crate) bytes: Vec<u8>,
    pub(crate) expect: Expect,
}

/// Every case.
pub(crate) fn all() -> Vec<Case> {
    let mut list = List::default();
    framing::list(&mut list);
    targets::list(&mut list);
    fields::list(&mut list);
    bodies::list(&mut list);
    list.0
}

#[derive(Default)]
struct List(Vec<Case>);

impl List {
    fn add(
        &mut self,
        row: &'static str,
        name: impl Into<String>,
        expect: Expect,
        bytes: impl AsRef<[u8]>,
    ) {
        let bytes = bytes.as_ref().to_vec();
        self.0.push(Case { name: name.into(), row, bytes, expect });
    }
}

/// What must never be taken for a request of its own.
const SMUGGLED: &str = "GET /smuggled HTTP/1.1\r\nhost: a.test\r\n\r\n";

/// A GET with further fields, each with its end of line.
fn get(target: &str, fields: &str) -> String {
    format!("GET {target} HTTP/1.1\r\nhost: a.test\r\n{fields}\r\n")
}

/// A POST with further fields, each with its end of line, and what follows.
fn post(fields: &str, body: &str) -> String {
    format!("POST /post HTTP/1.1\r\nhost: a.test\r\n{fields}\r\n{body}")
}

/// A chunked POST.
fn chunked(body: &str) -> String {
    post("transfer-encoding: chunked\r\n", body)
}
