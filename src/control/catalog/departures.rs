//! Who has left, and what that cost: the effect of a deploy, to be read.
//!
//! Two lists of bounded length. One is shown. The other holds what whoever
//! asks late for the end of a drain is to be told, so it is longer, and has
//! those alone who left for good.

use std::{collections::VecDeque, fmt::Write, sync::Arc};

use tokio::time::Instant;

use super::leaving::Successor;
use crate::{
    control::happening::Happening,
    model::{Ended, Endpoint, InstanceKey, Provenance, ServiceName},
};

/// Departures that are shown.
const SHOWN: usize = 32;

/// Departures for good whose ends are told to who asks.
const REMEMBERED: usize = 1024;

/// An instance that has left.
#[derive(Clone, Debug)]
pub(in crate::control) struct Departure {
    /// Its counts are as good as final; see [`Endpoint::moved_in_vain`].
    pub(in crate::control) endpoint: Arc<Endpoint>,
    /// Why it left.
    pub(in crate::control) why: &'static str,
    /// Whether it left for good, and did not fall out of use by itself.
    pub(super) is_final: bool,
    /// How those had ended that did before it began to leave.
    pub(super) before: Ended,
    /// Who came in its place, if anybody did.
    pub(in crate::control) successor: Option<Successor>,
    /// When it had left.
    pub(in crate::control) at: Instant,
}

impl Departure {
    /// How those ended that did while it was leaving.
    pub(in crate::control) fn ended(&self) -> Ended {
        self.endpoint.ended().since(self.before)
    }

    /// What it cost, in one line: `orders-7 → orders-8: 18,204 requests,
    /// 3 retried, 0 lost`.
    pub(in crate::control) fn summary(&self) -> String {
        let Endpoint { instance, .. } = &*self.endpoint;
        let mut text = instance.id.to_string();
        // Writing to a String cannot fail.
        let _ = match &self.successor {
            Some((id, generation)) if *id == instance.id => {
                write!(text, " → generation {generation}")
            }
            Some((id, _)) => write!(text, " → {id}"),
            None => Ok(()),
        };
        let Ended { moved, lost, .. } = self.ended();
        let numbers = [self.endpoint.requests(), moved, lost].map(grouped);
        let [requests, moved, lost] = numbers;
        let _ = write!(text, ": {requests} requests, {moved} retried, {lost} lost");
        text
    }

    /// What is told of it. One that fell out of use and is removed later is
    /// told of twice, the second time in short.
    pub(super) fn happening(&self, is_told: bool) -> Happening {
        let InstanceKey { service, id } = &self.endpoint.instance;
        match (self.is_final, is_told) {
            (true, false) => Happening::new("drained", service, id, self.summary()),
            (true, true) => Happening::new("drained", service, id, "nothing was in flight"),
            (false, _) => {
                let detail = format!("{}; {}", self.summary(), self.why);
                Happening::new("left", service, id, detail)
            }
        }
    }
}

/// Those that have left.
#[derive(Debug, Default)]
pub(in crate::control) struct Departures {
    shown: VecDeque<Departure>,
    remembered: VecDeque<(Arc<Endpoint>, Ended)>,
}

impl Departures {
    /// Those to be shown, the last one first.
    pub(in crate::control) fn shown(&self) -> impl Iterator<Item = &Departure> {
        self.shown.iter().rev()
    }

    /// The same of one service.
    pub(in crate::control) fn of(&self, service: &ServiceName) -> impl Iterator<Item = &Departure> {
        self.shown().filter(move |departure| departure.endpoint.instance.service == *service)
    }

    /// How those ended that did while the instance registered as `key` was
    /// leaving, now that it has left: `generation`, or the last one. None if
    /// that is not known any more.
    pub(in crate::control) fn ended(
        &self,
        key: &InstanceKey,
        generation: Option<u64>,
    ) -> Option<Ended> {
        let wanted = |(endpoint, _): &&(Arc<Endpoint>, Ended)| {
            endpoint.instance == *key
                && generation.is_none_or(|wanted| wanted == endpoint.generation)
        };
        let (endpoint, before) = self.remembered.iter().rev().find(wanted)?;
        Some(endpoint.ended().since(*before))
    }

    /// How requests ended on each that has left for good, since it began to.
    pub(super) fn endings(&self) -> impl Iterator<Item = (&InstanceKey, u64, Ended)> {
        self.remembered.iter().map(|(endpoint, before)| {
            (&endpoint.instance, endpoint.generation, endpoint.ended().since(*before))
        })
    }

    pub(super) fn successors(&self) -> impl Iterator<Item = &Successor> {
        self.shown.iter().filter_map(|departure| departure.successor.as_ref())
    }

    /// Keeps `departure` to be shown. One that comes and goes is shown once.
    pub(super) fn show(&mut self, departure: Departure) {
        let id = departure.endpoint.id;
        self.shown.retain(|other| other.endpoint.id != id);
        if self.shown.len() == SHOWN {
            self.shown.pop_front();
        }
        self.shown.push_back(departure);
    }

    /// Keeps how `departure` ended.
    pub(super) fn remember(&mut self, departure: &Departure) {
        if departure.endpoint.provenance != Provenance::Registered {
            return;
        }
        if self.remembered.len() == REMEMBERED {
            self.remembered.pop_front();
        }
        self.remembered.push_back((Arc::clone(&departure.endpoint), departure.before));
    }
}

/// `18204` as `18,204`.
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_grouped() {
        for (number, text) in [(0, "0"), (999, "999"), (1000, "1,000"), (18_204, "18,204")] {
            assert_eq!(grouped(number), text);
        }
        assert_eq!(grouped(1_234_567), "1,234,567");
    }
}
