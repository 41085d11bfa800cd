//! The API of a Consul agent, as far as services need it that register there,
//! and the catalog that others read. Under `/v1`.
//!
//! An agent knows the services of its own machine. Here each address that
//! calls is taken for a machine with an agent of its own: two machines may use
//! the same id, and each sees and changes what it registered. Source of the
//! rules: `agent/agent_endpoint.go` of hashicorp/consul and its documentation.

mod agent;
mod blocking;
mod body;
mod check;
mod duration;
mod filter;
mod index;
mod probe;
mod reading;
mod record;
mod registering;
mod shown;

use http::{Method, StatusCode};

use super::{
    call::Call,
    refusal::{Answer, Refusal},
};
use crate::telemetry::FrontCall;
pub(super) use blocking::Answers;
pub(super) use index::Index;

/// What an instance says of itself by a check.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Report {
    Pass,
    Warn,
    Fail,
    /// As the body says.
    Update,
}

/// What is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Asked {
    Register,
    Deregister { id: String },
    Maintenance { id: String },
    RegisterCheck,
    DeregisterCheck { id: String },
    Report { id: String, report: Report },
    Agent(agent::Asked),
    Catalog(reading::Asked),
}

impl Asked {
    /// What `method` asks for at the path of `segments` behind the prefix.
    ///
    /// # Errors
    ///
    /// When there is no such call.
    pub(super) fn of(method: &Method, segments: &[&str]) -> Result<Self, Refusal> {
        if let ["kv", ..] = segments
            && method == Method::GET
        {
            return Err(Refusal::missing("there is no key-value store here, and so no key"));
        }
        let (needs, asked) = Self::at(segments)?;
        if method == needs || (needs == Method::GET && method == Method::HEAD) {
            return Ok(asked);
        }
        let text = format!("method {method} not allowed; it takes {needs}");
        Err(Refusal::new(StatusCode::METHOD_NOT_ALLOWED, text))
    }

    fn at(segments: &[&str]) -> Result<(Method, Self), Refusal> {
        let report = |id: &str, report| Self::Report { id: id.to_owned(), report };
        let put = |asked| Ok((Method::PUT, asked));
        match segments {
            ["agent", "service", "register"] => put(Self::Register),
            ["agent", "service", "deregister", id] => {
                put(Self::Deregister { id: (*id).to_owned() })
            }
            ["agent", "service", "maintenance", id] => {
                put(Self::Maintenance { id: (*id).to_owned() })
            }
            ["agent", "check", "register"] => put(Self::RegisterCheck),
            ["agent", "check", "deregister", id] => {
                put(Self::DeregisterCheck { id: (*id).to_owned() })
            }
            ["agent", "check", "pass", id] => put(report(id, Report::Pass)),
            ["agent", "check", "warn", id] => put(report(id, Report::Warn)),
            ["agent", "check", "fail", id] => put(report(id, Report::Fail)),
            ["agent", "check", "update", id] => put(report(id, Report::Update)),
            _ => {
                let agent = agent::Asked::at(segments).map(Self::Agent);
                let found = agent.or_else(|| reading::Asked::at(segments).map(Self::Catalog));
                found.map(|asked| (Method::GET, asked)).ok_or_else(|| unknown(segments))
            }
        }
    }

    /// What it is counted as.
    pub(super) const fn call(&self) -> FrontCall {
        match self {
            Self::Register | Self::RegisterCheck => FrontCall::Register,
            Self::Deregister { .. } => FrontCall::Deregister,
            Self::Maintenance { .. } | Self::DeregisterCheck { .. } => FrontCall::Status,
            Self::Report { .. } => FrontCall::Renew,
            Self::Agent(_) | Self::Catalog(_) => FrontCall::Read,
        }
    }
}

/// Why there is no call at a path.
fn unknown(segments: &[&str]) -> Refusal {
    let what = match segments {
        ["kv", ..] => "a key-value store",
        ["session" | "txn" | "event" | "query", ..] => "sessions, events and prepared queries",
        ["acl", ..] => {
            return Refusal::new(StatusCode::UNAUTHORIZED, "ACL support disabled");
        }
        [
            "connect" | "config" | "intentions" | "discovery-chain" | "peering"
            | "exported-services",
            ..,
        ] => "a service mesh",
        ["coordinate" | "operator" | "snapshot" | "partition" | "namespace", ..] => {
            "a cluster of Consul servers"
        }
        [
            "agent",
            "join" | "leave" | "force-leave" | "reload" | "maintenance" | "token" | "connect"
            | "monitor",
            ..,
        ] => "an agent that joins a cluster",
        ["catalog", "register" | "deregister"] => {
            let text = "register at /v1/agent/service/register; what an agent does not know of is \
                        not taken";
            return Refusal::elsewhere(text);
        }
        _ => return Refusal::missing("there is no such path in Consul's API"),
    };
    Refusal::elsewhere(format!("this front is not {what}"))
}

/// Answers a call.
pub(super) async fn answer(asked: Asked, call: &Call, body: &[u8]) -> Answer {
    match asked {
        Asked::Register => registering::register(call, body).await,
        Asked::Deregister { id } => registering::deregister(call, &id).await,
        Asked::Maintenance { id } => registering::maintain(call, &id).await,
        Asked::RegisterCheck => registering::register_check(call, body).await,
        Asked::DeregisterCheck { id } => registering::deregister_check(call, &id).await,
        Asked::Report { id, report } => registering::report(call, &id, report, body).await,
        Asked::Agent(asked) => agent::answer(asked, call),
        Asked::Catalog(asked) => reading::answer(asked, call).await,
    }
}
