//! Waiting for an instance when there is none to ask, as while the only one
//! restarts.
//!
//! Whoever waits is woken by every new table and looks again. The body of the
//! request is not read meanwhile, and a client that leaves gives its place to
//! the next.

use std::time::{Duration, Instant};

use super::{Proxy, record::Record};
use crate::{
    balance::Place,
    model::{EndpointId, InFlight, Reason, ServicePolicy},
    routing::Route,
    telemetry::RetryCause,
};

/// The patience of one request. It is one for all of its waits together.
#[derive(Debug, Default)]
pub(super) struct Holder {
    since: Option<Instant>,
    place: Option<Place>,
    /// How often an instance that had the request was asked again.
    again: u32,
}

/// How often an instance is asked again that had the request and failed.
const MOST_AGAIN: u32 = 2;

/// How long it is left alone before the last time: one that is dying may have
/// taken a connection that it never looked at.
const PAUSE: Duration = Duration::from_millis(100);

impl Holder {
    /// Waits for the next table. False if the service holds no requests, or
    /// as many as it may, or this one has waited for long enough.
    pub(super) async fn wait(
        &mut self,
        proxy: &Proxy,
        policy: &ServicePolicy,
        record: &Record,
    ) -> bool {
        if policy.hold.is_zero() {
            return false;
        }
        if self.place.is_none() {
            self.place = record.service.as_ref().and_then(|service| service.holders.join());
        }
        let waited = self.since.get_or_insert_with(Instant::now).elapsed();
        let left = policy.hold.saturating_sub(waited);
        if self.place.is_none() || left == Duration::ZERO {
            return false;
        }
        record.deadline.set(left);
        let woken = record.deadline.limit(proxy.tables.changed()).await.is_ok();
        record.deadline.clear();
        woken
    }

    /// Waits for an instance after the one in `record` failed, for `cause` and
    /// `reason`, and none is left to try. If it got no byte of the request, the
    /// next table tells whom to ask. If it did, and the request may be sent
    /// again, it is asked at once, within the budget: if it has died it refuses
    /// now, and if it fails again and again it is not that nobody is there. The
    /// last of the attempts at others is the last.
    pub(super) async fn another(
        &mut self,
        proxy: &Proxy,
        (route, policy, is_last): (&Route, &ServicePolicy, bool),
        tried: &mut Vec<EndpointId>,
        (cause, reason): (RetryCause, Option<Reason>),
        record: &mut Record,
    ) -> Option<InFlight> {
        let unsent = matches!(cause, RetryCause::Connect | RetryCause::Unsent);
        let may_ask = cause == RetryCause::Reset && self.again < MOST_AGAIN && !is_last;
        let wanted = !policy.hold.is_zero() && policy.retry.attempts > 0;
        if !wanted || record.retry_refused || !(unsent || may_ask) {
            return None;
        }
        let service = record.service.clone()?;
        if !unsent && !super::send::afford(proxy, &service, &policy.retry, record) {
            return None;
        }
        // It is not on the instance any more, which may be leaving.
        if let Some(failed) = record.give_place_up() {
            failed.record_failure(reason == Some(Reason::ConnectRefused));
        }
        tried.clear();
        if !unsent {
            self.again += 1;
            if self.again == MOST_AGAIN {
                record.deadline.set(PAUSE);
                let _ = record.deadline.limit(proxy.tables.changed()).await;
                record.deadline.clear();
            }
            // It may be out of the table by now: then the next one is waited for.
            if let Some(again) = super::send::pick(proxy, route, tried, |_| true) {
                return Some(again);
            }
        }
        while self.wait(proxy, policy, record).await {
            if let Some(other) = super::send::pick(proxy, route, tried, |_| true) {
                return Some(other);
            }
        }
        None
    }
}
