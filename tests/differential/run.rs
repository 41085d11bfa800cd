//! Runs the cases through Portolan to one origin, and to that origin alone.

use std::{
    collections::HashMap,
    io::{ErrorKind, Read, Write},
    net::{Shutdown, SocketAddr, TcpStream},
    time::{Duration, Instant},
};

use portolan::routing::path;
use serde_json::Value;

use crate::{
    cases::{Case, Expect},
    messages::{self, Answer, Request},
    origin::Origin,
    support::{PATIENCE, Portolan, eventually},
    tap::Tap,
};

/// What follows each case on its connection.
const PROBE: &str = "GET /probe HTTP/1.1\r\nhost: probe.test\r\n\r\n";

/// How long a server that says nothing is waited for where it may be waiting
/// itself.
const SILENCE: Duration = Duration::from_millis(300);

/// What became of a case.
#[derive(Debug, Default)]
pub(crate) struct Outcome {
    /// Requests that Portolan let through, the probe among them if it got as
    /// far.
    pub(crate) forwarded: usize,
    /// What Portolan answered, and whether it was the origin that did.
    pub(crate) answers: Vec<Answer>,
    /// Everything that is not as it should be.
    pub(crate) faults: Vec<String>,
    /// What the origin answered when it was asked directly.
    pub(crate) direct: Vec<Answer>,
}

impl Outcome {
    /// Whether nothing but the probe, if anything, came through.
    pub(crate) fn is_refused(&self) -> bool {
        !self.answers.iter().any(|answer| answer.seen.is_some() && !is_probe(answer))
    }

    /// Whether the origin by itself takes some of it for a request.
    pub(crate) fn is_taken_directly(&self) -> bool {
        self.direct.iter().any(|answer| answer.seen.is_some() && !is_probe(answer))
    }

    /// Whether the origin by itself reads a request out of what was hidden.
    pub(crate) fn is_smuggled_directly(&self) -> bool {
        self.direct
            .iter()
            .any(|answer| answer.seen.as_ref().is_some_and(|seen| seen.target.contains("smuggled")))
    }
}

fn is_probe(answer: &Answer) -> bool {
    answer.seen.as_ref().is_some_and(|seen| seen.target == "/probe")
}

/// Runs `cases`, one after the other.
pub(crate) fn all(origin: &Origin, cases: &[Case]) -> Vec<Outcome> {
    let tap = Tap::before(origin.address);
    // Routes that tell in a field which way they went.
    let route = |keys: &str, name: &str| {
        format!(
            "[[route]]\nname = '{name}'\n{keys}\nservice = 'app'\n\
             request_headers = {{ set = {{ x-route = '{name}' }} }}\n"
        )
    };
    let portolan = Portolan::start(&format!(
        "[service.app]\nendpoints = ['{}']\n{}{}{}",
        tap.address,
        route("", "rest"),
        route("path = '/admin'", "admin"),
        route("host = 'b.test'", "b"),
    ));
    let mut outcomes: Vec<_> =
        cases.iter().map(|case| one(case, origin, &portolan, &tap)).collect();
    compare_with_log(&portolan, &mut outcomes);
    outcomes.into_iter().map(|(_, outcome)| outcome).collect()
}

fn one(case: &Case, origin: &Origin, portolan: &Portolan, tap: &Tap) -> (Vec<Request>, Outcome) {
    let bytes = [&*case.bytes, PROBE.as_bytes()].concat();
    let waits = match case.expect {
        // It waits for more, and so do we unless it is told that none comes.
        Expect::Cut | Expect::Either => SILENCE,
        _ => PATIENCE,
    };
    let answers = ask(portolan.address(), &bytes, waits);
    eventually(|| portolan.metric("portolan_requests_in_flight") == 0.0);
    // Whatever was said before this is on the tap by then.
    assert_eq!(portolan.get("/fence").status(), 200, "{}: {}", origin.name, case.name);
    let mut outcome = Outcome { answers: messages::answers(&answers), ..Outcome::default() };
    let requests = tapped(tap, &mut outcome);
    judge(case, &requests, &mut outcome);
    outcome.direct = messages::answers(&ask(origin.address, &bytes, SILENCE));
    (requests, outcome)
}

/// Sends `bytes` and reads until the connection ends or the probe has its
/// answer. After `silence` the server is told that no more will come.
fn ask(address: SocketAddr, bytes: &[u8], silence: Duration) -> Vec<u8> {
    let mut stream = TcpStream::connect(address).expect("a server");
    let _ = stream.set_nodelay(true);
    stream.set_write_timeout(Some(PATIENCE)).expect("a timeout");
    // It may end the connection before it has all.
    let _ = stream.write_all(bytes);
    let mut answers = Vec::new();
    let mut piece = [0; 16 * 1024];
    let mut told = false;
    let mut until = Instant::now() + silence;
    loop {
        let left = until.saturating_duration_since(Instant::now()).max(Duration::from_millis(1));
        stream.set_read_timeout(Some(left)).expect("a timeout");
        match stream.read(&mut piece) {
            Ok(0) => return answers,
            Ok(count) => answers.extend(&piece[..count]),
            Err(error) if error.kind() == ErrorKind::WouldBlock && !told => {
                let _ = stream.shutdown(Shutdown::Write);
                (told, until) = (true, Instant::now() + SILENCE.max(silence));
            }
            Err(_) => return answers,
        }
        if messages::answers(&answers).iter().any(is_probe) {
            return answers;
        }
    }
}

/// What came through to the tap, held against what the origin says of it.
fn tapped(tap: &Tap, outcome: &mut Outcome) -> Vec<Request> {
    let mut all = Vec::new();
    for heard in tap.take() {
        let requests = match messages::requests(&heard.requests) {
            Ok((requests, _)) => requests,
            Err(error) => {
                let text = String::from_utf8_lossy(&heard.requests).into_owned();
                outcome.faults.push(format!("the origin was sent {error}: {text:?}"));
                continue;
            }
        };
        let seen: Vec<_> = messages::answers(&heard.answers)
            .into_iter()
            .filter_map(|answer| answer.seen)
            .collect();
        // An origin may refuse what it was sent; it must not see more in it.
        if seen.len() > requests.len() {
            outcome.faults.push(format!("{} requests, seen as {seen:?}", requests.len()));
        }
        let mut refused = messages::answers(&heard.answers).into_iter();
        for request in &requests {
            let Some(answer) = refused.next() else { break };
            let Some(seen) = answer.seen else { continue };
            let host = request.field("host").unwrap_or_default();
            if (&*seen.method, &*seen.target, &*seen.host, seen.length)
                != (&*request.method, &*request.target, host, request.length)
            {
                outcome.faults.push(format!("sent {request:?}, seen as {seen:?}"));
            }
        }
        all.extend(requests.into_iter().filter(|request| request.target != "/fence"));
    }
    all
}

/// Holds what came through against what was expected.
fn judge(case: &Case, requests: &[Request], outcome: &mut Outcome) {
    outcome.forwarded = requests.len();
    let mut faults = Vec::new();
    for request in requests {
        check_one(request, &mut faults);
    }
    let probes = requests.iter().filter(|request| request.target == "/probe").count();
    let own = requests.len() - probes;
    let hidden = requests.iter().filter(|request| request.target.contains("smuggled")).count();
    if hidden > 0 {
        faults.push("what was hidden in another message became a request".to_owned());
    }
    let answered = outcome.answers.iter().filter(|answer| is_probe(answer)).count();
    let (least, most, probed) = match case.expect {
        Expect::Refused | Expect::Cut => (0, 0, Some(false)),
        Expect::Forwarded(count) => (count, count, Some(true)),
        Expect::ForwardedThenRefused(count) => (count, count, Some(false)),
        Expect::Answered => (0, 0, Some(true)),
        Expect::Either => (0, 2, None),
    };
    if own < least || own > most {
        let asked: Vec<_> =
            requests.iter().map(|it| format!("{} {}", it.method, it.target)).collect();
        let statuses: Vec<_> = outcome.answers.iter().map(|answer| answer.status).collect();
        faults.push(format!("{own} let through: {asked:?}, answered with {statuses:?}"));
    } else if probed.is_some_and(|probed| probed != (answered == 1)) || answered > 1 {
        let statuses: Vec<_> = outcome.answers.iter().map(|answer| answer.status).collect();
        faults.push(format!("the request behind it was answered {answered} times: {statuses:?}"));
    }
    // Answers come in the order of what they answer.
    let own_first = usize::from(case.expect == Expect::Answered);
    for (request, answer) in requests.iter().zip(outcome.answers.iter().skip(own_first)) {
        // An origin that refuses it says nothing of it.
        if let Some(seen) = &answer.seen
            && seen.target != request.target
        {
            faults.push(format!("{} was answered with that of {}", request.target, seen.target));
        }
    }
    outcome.faults.extend(faults);
}

/// What holds for every request that an origin gets.
fn check_one(request: &Request, faults: &mut Vec<String>) {
    let mut fault =
        |text: String| faults.push(format!("{} {}: {text}", request.method, request.target));
    if path::canonical(&request.path_text()).as_deref() != Ok(&*request.path_text()) {
        fault("its path is not canonical".to_owned());
    }
    let is_admin = request.path() == "/admin" || request.path().starts_with("/admin/");
    let host = request.field("host").unwrap_or_default().to_lowercase();
    let is_b = matches!(&*host, "b.test" | "b.test." | "b.test:8080");
    let route = request.field("x-route");
    let expected = if is_b {
        "b"
    } else if is_admin {
        "admin"
    } else {
        "rest"
    };
    if route != Some(expected) {
        fault(format!("it went the way of {route:?}, and not of {expected:?}"));
    }
    for (name, value) in &request.fields {
        let plain = name.replace('_', "-");
        let framing = ["content-length", "transfer-encoding", "host", "connection"];
        let ours =
            plain.starts_with("x-forwarded-") || plain == "x-real-ip" || plain == "forwarded";
        if *name != plain && (ours || framing.contains(&&*plain)) {
            fault(format!("the field {name} would be read as {plain}"));
        }
        let is_upgrade = request.field("upgrade") == Some("websocket");
        let ends_here = match &**name {
            "connection" => !is_upgrade || value != "upgrade",
            "upgrade" => !is_upgrade,
            "te" => value != "trailers",
            "keep-alive"
            | "proxy-connection"
            | "proxy-authorization"
            | "proxy"
            | "http2-settings" => true,
            _ => false,
        };
        if ends_here {
            fault(format!("the field {name}: {value} went through"));
        }
        let spoofed = ours && (value.contains("1.2.3.4") || value.contains("evil.test"));
        if spoofed {
            fault(format!("the client is believed: {name}: {value}"));
        }
    }
    if request.field("x-forwarded-for") != Some("127.0.0.1") {
        fault(format!("x-forwarded-for is {:?}", request.field("x-forwarded-for")));
    }
}

/// Holds each request that came through against what Portolan has logged of
/// it.
fn compare_with_log(portolan: &Portolan, outcomes: &mut [(Vec<Request>, Outcome)]) {
    let ids: usize = outcomes.iter().map(|(requests, _)| requests.len()).sum();
    let by_id = |lines: Vec<Value>| -> HashMap<String, Value> {
        let id = |line: &Value| line["request_id"].as_str().map(str::to_owned);
        lines.into_iter().filter_map(|line| Some((id(&line)?, line))).collect()
    };
    eventually(|| by_id(portolan.access_log()).len() >= ids);
    let lines = by_id(portolan.access_log());
    for (requests, outcome) in outcomes {
        for request in requests {
            let id = request.field("x-request-id").unwrap_or_default();
            let Some(line) = lines.get(id) else {
                outcome.faults.push(format!("{} is not in the log", request.target));
                continue;
            };
            let text = |name: &str| line[name].as_str().unwrap_or_default().to_owned();
            let path = text("path");
            let canonical = path::canonical(&path).map(std::borrow::Cow::into_owned);
            let told = (text("method"), canonical.as_deref().unwrap_or("?"), &line["bytes_in"]);
            let sent = (request.method.clone(), &*request.path_text(), &request.length.into());
            if told != sent {
                outcome.faults.push(format!("sent {request:?}, logged as {line}"));
            }
        }
    }
}
