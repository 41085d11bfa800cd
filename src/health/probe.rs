//! One probe: what it is pointed at, how it is run, and what came of it.
//!
//! A new kind of probe is a variant of [`Probe`], a file beside this one, and
//! an arm in [`run`].

use std::time::Duration;

use futures_util::future::{join, join_all};
use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use super::{
    dial::{Deadline, Dialer},
    failure::Failure,
    grpc,
    http::HttpProbe,
    tcp,
};
use crate::{
    model::{Address, AddressGuard, EndpointId, HealthCheck, Probe, Provenance, ServiceName},
    tls::Connector,
};

/// Bounds on what a check may ask for. Registrations carry checks, so neither
/// a busy loop nor an instant past the end of time may follow from one.
const INTERVAL: (Duration, Duration) = (Duration::from_millis(10), Duration::from_secs(86_400));

/// What is probed, and how.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// The endpoint the verdict is about.
    pub endpoint: EndpointId,
    /// The service it is of, with whose other endpoints it shares slots.
    pub service: ServiceName,
    /// Where it listens; [`HealthCheck::port`] overrides the port.
    pub address: Address,
    /// Who has named it, which decides what its address may be.
    pub provenance: Provenance,
    /// The probe, its times and thresholds.
    pub check: HealthCheck,
    /// How TLS is spoken there, if it is.
    pub tls: Option<Connector>,
}

impl Target {
    pub(super) fn port(&self) -> u16 {
        self.check.port.unwrap_or(self.address.port)
    }

    /// This one, asked as `check` says.
    fn asked(&self, check: &HealthCheck) -> Self {
        Self { check: check.clone(), ..self.clone() }
    }

    pub(super) fn interval(&self) -> Duration {
        self.check.interval.clamp(INTERVAL.0, INTERVAL.1)
    }
}

/// What one probe found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Outcome {
    /// Whether the instance answered as it should.
    pub passed: bool,
    /// Whether it failed because the connection was refused.
    pub refused: bool,
    /// What happened, for a person: `GET /healthz -> 503 "db pool exhausted"`.
    /// One line without control characters, whatever the instance sent.
    pub detail: String,
    /// How long it took.
    pub took: Duration,
}

/// What came of a probe.
#[derive(Debug)]
pub(super) enum Conclusion {
    /// Something is known about the instance.
    Known(Outcome),
    /// It failed for reasons of our own and says nothing.
    Ours(Failure),
}

/// Probes `target` once, within its timeout; where several probes are made,
/// all have to pass, and the first that does not says why.
pub(super) async fn run(dialer: &Dialer, target: &Target, guard: &AddressGuard) -> Conclusion {
    let others: Vec<Target> = target.check.beside.iter().map(|other| target.asked(other)).collect();
    let others = join_all(others.iter().map(|other| run_one(dialer, other, guard)));
    let (first, others) = join(run_one(dialer, target, guard), others).await;
    let passed = |one: &Conclusion| matches!(one, Conclusion::Known(outcome) if outcome.passed);
    if !passed(&first) {
        return first;
    }
    others.into_iter().find(|other| !passed(other)).unwrap_or(first)
}

async fn run_one(dialer: &Dialer, target: &Target, guard: &AddressGuard) -> Conclusion {
    let started = Instant::now();
    let within = target.check.timeout.min(INTERVAL.1);
    let deadline = Deadline { at: started + within, within };
    let result = match &target.check.probe {
        Probe::Http { path, host, expect_status, expect_body, request } => {
            let (host, expect_body) = (host.as_deref(), expect_body.as_deref());
            let request = request.as_deref();
            let probe = HttpProbe { path, host, expect_status, expect_body, request };
            probe.probe(dialer, target, guard, deadline).await
        }
        Probe::Tcp => tcp::probe(dialer, target, guard, deadline).await,
        Probe::Grpc { service } => grpc::probe(service, dialer, target, guard, deadline).await,
        // Never scheduled; if asked all the same, the answer is theirs.
        Probe::Ttl | Probe::None => Ok("not probed".to_owned()),
    };
    let took = started.elapsed();
    match result {
        Ok(detail) => Conclusion::Known(Outcome { passed: true, refused: false, detail, took }),
        Err(failure) if failure.is_ours() => Conclusion::Ours(failure),
        Err(failure) => Conclusion::Known(Outcome {
            passed: false,
            refused: failure.is_refused(),
            detail: failure.to_string(),
            took,
        }),
    }
}

#[cfg(test)]
mod tests;
