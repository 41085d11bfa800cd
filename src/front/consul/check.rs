//! A check as a client declares it. Those that ask the instance are asked by
//! Portolan's own probes; what an agent would run on its machine is refused.
//! Pure.

use std::time::Duration;

use http::{HeaderName, HeaderValue, Method};
use serde::{Deserialize, Serialize};

use super::body::Body;
use crate::{
    front::refusal::Refusal,
    model::{HumanDuration, ProbeRequest},
};

/// How an instance is found to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Status {
    Passing,
    Warning,
    Critical,
}

impl Status {
    /// The one that is written `text`.
    ///
    /// # Errors
    ///
    /// When it is none, in Consul's words.
    pub(super) fn of(text: &str) -> Result<Self, Refusal> {
        Ok(match text {
            "passing" => Self::Passing,
            "warning" => Self::Warning,
            "critical" => Self::Critical,
            _ => {
                let text = "Status for checks must 'passing', 'warning', 'critical'";
                return Err(Refusal::bad(text));
            }
        })
    }

    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Passing => "passing",
            Self::Warning => "warning",
            Self::Critical => "critical",
        }
    }
}

/// How an instance is checked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase", tag = "by")]
pub(super) enum Means {
    /// By a request.
    Http { url: String },
    /// By the protocol `grpc.health.v1`.
    Grpc { target: String, tls: bool },
    /// By opening a connection.
    Tcp { address: String },
    /// By what it says itself.
    Ttl { ttl: HumanDuration },
}

impl Means {
    /// The word for it.
    pub(super) const fn as_str(&self) -> &'static str {
        match self {
            Self::Http { .. } => "http",
            Self::Grpc { .. } => "grpc",
            Self::Tcp { .. } => "tcp",
            Self::Ttl { .. } => "ttl",
        }
    }
}

/// A check.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Check {
    pub(super) id: String,
    pub(super) name: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub(super) notes: String,
    pub(super) means: Means,
    /// What a request carries.
    #[serde(default, skip_serializing_if = "is_plain")]
    pub(super) request: ProbeRequest,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) interval: Option<HumanDuration>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) timeout: Option<HumanDuration>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) healthy_after: Option<std::num::NonZeroU32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) unhealthy_after: Option<std::num::NonZeroU32>,
    /// How long the instance is kept once this is critical.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) deregister_after: Option<HumanDuration>,
    /// Whether it came with the registration of the instance.
    pub(super) inherent: bool,
    /// What was said last, of one that is checked by what it says itself.
    pub(super) status: Status,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub(super) output: String,
}

/// The longest text that is kept of what a client says, in bytes.
const TEXT: usize = 512;

/// `text`, or as much of it as is kept.
pub(super) fn kept(text: &str) -> String {
    let end = (0..=text.len().min(TEXT)).rev().find(|at| text.is_char_boundary(*at));
    text[..end.unwrap_or(0)].to_owned()
}

impl Check {
    /// Reads a check of the service `service`. Its id, if it does not say one,
    /// is `id`.
    ///
    /// # Errors
    ///
    /// In Consul's words where it has some.
    pub(super) fn read(body: &Body, service: &str, id: String) -> Result<Self, Refusal> {
        for (key, what) in [
            ("args", "scripts"),
            ("script", "scripts"),
            ("dockercontainerid", "checks inside of containers"),
            ("aliasservice", "alias checks"),
            ("aliasnode", "alias checks"),
            ("h2ping", "H2PING checks"),
            ("udp", "UDP checks"),
            ("osservice", "checks of the operating system"),
        ] {
            if body.says(key) {
                let text =
                    format!("Invalid check: {what} are not run here; use HTTP, TCP, GRPC or TTL");
                return Err(Refusal::bad(text));
            }
        }
        let (ttl, interval) = (body.duration("ttl")?, body.duration("interval")?);
        let means = Self::means(body, ttl, interval)?;
        let request = match means {
            Means::Http { .. } => request(body)?,
            _ => ProbeRequest::default(),
        };
        let said = body.text("checkid")?;
        let said = if said.is_empty() { body.text("id")? } else { said };
        let name = body.text("name")?;
        let status = body.text("status")?;
        let status = if status.is_empty() { Status::Critical } else { Status::of(status)? };
        let times = |key: &str| -> Result<Option<std::num::NonZeroU32>, Refusal> {
            let number = body.number(key)?.and_then(|number| u32::try_from(number).ok());
            Ok(number.and_then(std::num::NonZeroU32::new))
        };
        let named = |text: &str, or: String| if text.is_empty() { or } else { kept(text) };
        Ok(Self {
            id: named(said, id),
            name: named(name, format!("Service '{service}' check")),
            notes: kept(body.text("notes")?),
            means,
            request,
            interval: interval.map(HumanDuration),
            timeout: body.duration("timeout")?.map(HumanDuration),
            healthy_after: times("successbeforepassing")?,
            unhealthy_after: times("failuresbeforecritical")?,
            deregister_after: body.duration("deregistercriticalserviceafter")?.map(HumanDuration),
            inherent: true,
            status,
            output: kept(body.text("output")?),
        })
    }

    fn means(
        body: &Body,
        ttl: Option<Duration>,
        interval: Option<Duration>,
    ) -> Result<Means, Refusal> {
        let refused = |text: &str| Err(Refusal::bad(format!("Invalid check: {text}")));
        let (url, tcp, grpc) = (body.text("http")?, body.text("tcp")?, body.text("grpc")?);
        let asks = [url, tcp, grpc].into_iter().filter(|text| !text.is_empty()).count();
        match (asks, ttl, interval) {
            (0, None, None) => refused("TTL must be > 0 for TTL checks"),
            (0, None, Some(_)) => refused("one of HTTP, TCP, GRPC and TTL is needed"),
            (0, Some(_), Some(_)) | (1.., Some(_), _) => {
                refused("Interval and TTL cannot both be specified")
            }
            (0, Some(ttl), None) => Ok(Means::Ttl { ttl: HumanDuration(ttl) }),
            (1, None, None) => refused("Interval must be > 0 for Script, HTTP, or TCP checks"),
            (1, None, Some(_)) if !url.is_empty() => Ok(Means::Http { url: url.to_owned() }),
            (1, None, Some(_)) if !tcp.is_empty() => Ok(Means::Tcp { address: tcp.to_owned() }),
            (1, None, Some(_)) => {
                Ok(Means::Grpc { target: grpc.to_owned(), tls: body.truth("grpcusetls")? })
            }
            _ => refused("a check is one of HTTP, TCP and GRPC"),
        }
    }
}

fn is_plain(request: &ProbeRequest) -> bool {
    *request == ProbeRequest::default()
}

/// Fields that say where a message ends and what becomes of its connection,
/// which is for who sends it to say.
const OURS: [&str; 8] = [
    "connection",
    "content-length",
    "expect",
    "keep-alive",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

/// What a check by HTTP sends beside its path.
fn request(body: &Body) -> Result<ProbeRequest, Refusal> {
    let refused = |text: String| Refusal::bad(format!("Invalid check: {text}"));
    let method = body.text("method")?.to_ascii_uppercase();
    let method = Some(method).filter(|method| !matches!(method.as_str(), "" | "GET"));
    if let Some(method) = &method
        && (Method::from_bytes(method.as_bytes()).is_err() || method == "CONNECT")
    {
        return Err(refused(format!("{method:?} is no method that can be sent")));
    }
    let mut headers = std::collections::BTreeMap::new();
    for (name, values) in body.lists("header")? {
        let is_name = name.parse::<HeaderName>().is_ok();
        if !is_name || OURS.iter().any(|ours| name.eq_ignore_ascii_case(ours)) {
            return Err(refused(format!("{name:?} is no header that can be sent")));
        }
        if values.iter().any(|value| value.parse::<HeaderValue>().is_err()) {
            return Err(refused(format!("{name:?} has a value that cannot be sent")));
        }
        headers.insert(name, values);
    }
    Ok(ProbeRequest { method, headers, body: body.text("body")?.to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Check, String> {
        let body = Body::read(text.as_bytes()).expect("an object");
        Check::read(&body, "web", "service:web".to_owned()).map_err(|refusal| refusal.text)
    }

    #[test]
    fn a_check_is_of_one_kind() {
        let ttl = read(r#"{"ttl": "10s"}"#).expect("a check");
        assert_eq!((ttl.id.as_str(), ttl.name.as_str()), ("service:web", "Service 'web' check"));
        assert_eq!((ttl.status, ttl.means.as_str()), (Status::Critical, "ttl"));
        let http =
            r#"{"CheckID": "c", "HTTP": "http://a/b", "Interval": "10s", "Status": "passing"}"#;
        let http = read(http).expect("a check");
        assert_eq!((http.id.as_str(), http.status), ("c", Status::Passing));
        for (text, why) in [
            ("{}", "Invalid check: TTL must be > 0 for TTL checks"),
            (r#"{"TTL": "0s"}"#, "Invalid check: TTL must be > 0 for TTL checks"),
            (
                r#"{"HTTP": "http://a"}"#,
                "Invalid check: Interval must be > 0 for Script, HTTP, or TCP checks",
            ),
            (
                r#"{"TTL": "1s", "Interval": "1s"}"#,
                "Invalid check: Interval and TTL cannot both be specified",
            ),
            (
                r#"{"TTL": "1s", "Status": "fine"}"#,
                "Status for checks must 'passing', 'warning', 'critical'",
            ),
        ] {
            assert_eq!(read(text).expect_err(text), why);
        }
        for (text, word) in [
            (r#"{"Args": ["/bin/true"], "Interval": "1s"}"#, "scripts"),
            (r#"{"DockerContainerID": "x", "Interval": "1s"}"#, "containers"),
            (r#"{"AliasService": "x"}"#, "alias"),
            (r#"{"HTTP": "http://a", "Interval": "1s", "Method": "A B"}"#, "A B"),
            (r#"{"HTTP": "http://a", "Interval": "1s", "Header": {"a b": ["c"]}}"#, "a b"),
            (r#"{"HTTP": "http://a", "Interval": "1s", "Header": {"X": ["a\nb"]}}"#, "value"),
            (r#"{"HTTP": "http://a", "Interval": "1s", "Header": {"Te": ["x"]}}"#, "Te"),
            (r#"{"HTTP": "http://a", "Interval": "1s", "Header": ["x"]}"#, "header"),
            (r#"{"HTTP": "http://a", "TCP": "a:1", "Interval": "1s"}"#, "one of"),
        ] {
            assert!(read(text).expect_err(text).contains(word), "{text}");
        }
    }

    #[test]
    fn what_is_kept_is_bounded() {
        let long = "é".repeat(400);
        assert_eq!(kept(&long).len(), TEXT);
        assert_eq!(kept("short"), "short");
    }
}
