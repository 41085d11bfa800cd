//! Agreeing with the other proxies: what one has obtained all use, what has
//! failed for one has failed for all, and one orders at a time.
//!
//! What is on disk is served, and is taken for what it is: a certificate that
//! was issued later than the one that is shared is put there, and a later one
//! that stands there becomes the file. What cannot be used changes nothing.

use std::{
    fs,
    sync::Arc,
    time::{Duration, SystemTime},
};

use super::{
    News, Storage, Turn, account,
    keeper::Keeper,
    name::{Name, Record},
    record::{Holds, Keys, Offer, is_later},
    schedule,
};
use crate::{
    registry::Swap,
    tls::{Automatic, examine},
};

/// How soon it is asked again for a turn that another has, or that could not be
/// asked for.
const AGAIN: Duration = Duration::from_secs(2);

/// What was last heard of a name from the others.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Heard {
    /// The version of the certificate that was judged, and what it holds; none
    /// if it cannot be used.
    certificate: i64,
    holds: Option<Holds>,
    /// The version of what is said of failures.
    failures: i64,
    /// Until when its turn is not asked for.
    pause: Option<SystemTime>,
}

/// Whether to order now.
pub(super) enum Permit {
    /// As the only one, if there are others.
    Order(Option<Box<dyn Turn>>),
    NotNow,
}

impl Keeper {
    fn shared(&self) -> Option<(Arc<dyn Storage>, Keys)> {
        let wanted = self.wanted.as_ref()?;
        Some((Arc::clone(self.storage.as_ref()?), Keys::new(&wanted.settings)))
    }

    /// Whether the others are out of reach.
    pub(super) fn is_cut_off(&self) -> bool {
        self.storage.as_ref().is_some_and(|storage| storage.lost().is_some())
    }

    /// When `name`, of which `known` is known, is ordered; none while another
    /// does.
    pub(super) fn when(&self, name: &str, known: &Name, now: SystemTime) -> Option<SystemTime> {
        let Some((storage, keys)) = self.shared() else { return Some(known.next) };
        if let Some(lost) = storage.lost() {
            return Some(alone(known, lost, now));
        }
        if storage.value(&keys.turn(name)).is_some() {
            return None;
        }
        let pause = self.heard.get(name).and_then(|heard| heard.pause);
        Some(known.next.max(pause.unwrap_or(known.next)))
    }

    /// Takes the turn of `name`, and takes over what others have done until
    /// then.
    pub(super) async fn permit(&mut self, name: &str, tell: &impl Fn(News)) -> Permit {
        let Some((storage, keys)) = self.shared() else { return Permit::Order(None) };
        let now = SystemTime::now();
        // It may have been lost since it was found due.
        if let Some(lost) = storage.lost() {
            let is_due = self.names.get(name).is_some_and(|known| alone(known, lost, now) <= now);
            if !is_due {
                return Permit::NotNow;
            }
            tracing::warn!("{name}: ordering without the other proxies, which cannot be asked");
            return Permit::Order(None);
        }
        let key = keys.turn(name);
        let turn = storage.turn(&key).await;
        let turn = turn.inspect_err(|error| tracing::warn!("{name}: no turn to order: {error}"));
        let Ok(Some(turn)) = turn else {
            let pause = Some(SystemTime::now() + AGAIN);
            self.heard.entry(name.to_owned()).or_default().pause = pause;
            return Permit::NotNow;
        };
        if self.agree_on(name, tell).await {
            self.keep_record();
        }
        let now = SystemTime::now();
        let is_due = self.names.get(name).is_some_and(|known| known.next <= now);
        if is_due { Permit::Order(Some(turn)) } else { Permit::NotNow }
    }

    /// Agrees with the others on all names.
    pub(super) async fn agree(&mut self, tell: &impl Fn(News)) {
        if self.storage.is_none() {
            return;
        }
        let names: Vec<_> = self.names.keys().cloned().collect();
        let mut failed = false;
        for name in names {
            failed |= self.agree_on(&name, tell).await;
        }
        if failed {
            self.keep_record();
        }
    }

    /// Agrees with the others on `name`. Whether they say something new of its
    /// failures.
    async fn agree_on(&mut self, name: &str, tell: &impl Fn(News)) -> bool {
        self.take_certificate(name, tell);
        let failed = self.take_failures(name);
        self.put_certificate(name).await;
        failed
    }

    /// Makes the certificate that is shared the one of this proxy, if it was
    /// issued later.
    fn take_certificate(&mut self, name: &str, tell: &impl Fn(News)) {
        let Some((storage, keys)) = self.shared() else { return };
        let theirs = storage.value(&keys.certificate(name));
        let version = theirs.as_ref().map_or(0, |theirs| theirs.version);
        let heard = self.heard.entry(name.to_owned()).or_default();
        let (Some(known), Some(wanted)) = (self.names.get_mut(name), &self.wanted) else { return };
        if version == heard.certificate {
            return;
        }
        (heard.certificate, heard.holds) = (version, None);
        let Some(theirs) = theirs else { return };
        let now = SystemTime::now();
        let file = Automatic::file(&wanted.folder, name);
        let offer = match Offer::read(&theirs.value, name, &file, now) {
            Ok(offer) => offer,
            Err(why) => {
                tracing::warn!("{name}: the certificate that proxies share is refused: {why}");
                return;
            }
        };
        let facts = &offer.certificate.0;
        heard.holds = Some((facts.not_before, facts.not_after));
        if !is_later(heard.holds, known.holds) {
            return;
        }
        let not_after = facts.not_after;
        if let Err(problem) = account::write(&file, offer.pem.as_bytes()) {
            // It is tried again with the next word of the others.
            heard.certificate = -1;
            tracing::error!("{name}: a certificate of {} cannot be kept: {problem}", offer.by);
            return;
        }
        *known = Name::new(Some(offer.certificate), None, now);
        tell(News::TakenOver { name: name.to_owned(), not_after, by: offer.by });
    }

    /// Takes over what others say of orders that failed. Whether that is
    /// something new.
    fn take_failures(&mut self, name: &str) -> bool {
        let Some((storage, keys)) = self.shared() else { return false };
        let theirs = storage.value(&keys.failures(name));
        let version = theirs.as_ref().map_or(0, |theirs| theirs.version);
        let heard = self.heard.entry(name.to_owned()).or_default();
        let Some(known) = self.names.get_mut(name) else { return false };
        if version == heard.failures {
            return false;
        }
        heard.failures = version;
        let now = SystemTime::now();
        match theirs.map(|theirs| serde_json::from_slice::<Record>(&theirs.value)) {
            Some(Ok(record)) => known.take(record, now),
            Some(Err(why)) => {
                tracing::warn!("{name}: what proxies share of failures is refused: {why}");
                return false;
            }
            None => known.forgive(now),
        }
        true
    }

    /// Has the others use the certificate of this proxy, if it was issued later
    /// than the one that is shared.
    async fn put_certificate(&mut self, name: &str) {
        let Some((storage, keys)) = self.shared() else { return };
        let heard = self.heard.get(name).copied().unwrap_or_default();
        let (Some(known), Some(wanted)) = (self.names.get(name), &self.wanted) else { return };
        let holds = known.holds.is_some_and(|(_, not_after)| not_after > SystemTime::now());
        if storage.lost().is_some() || !holds || !is_later(known.holds, heard.holds) {
            return;
        }
        let file = Automatic::file(&wanted.folder, name);
        let read = fs::read_to_string(&file).ok().filter(|pem| {
            let same = examine(&file, pem.as_bytes());
            same.is_ok_and(|(facts, _)| Some((facts.not_before, facts.not_after)) == known.holds)
        });
        let Some(value) = read.and_then(|pem| Offer::value(storage.own(), pem).ok()) else {
            return;
        };
        // What failed before does not count with it.
        let key = keys.failures(name);
        let failures = storage.value(&key).map_or(0, |it| it.version);
        let mut swaps = vec![Swap {
            key: keys.certificate(name),
            value: Some(value),
            of: heard.certificate.max(0),
        }];
        if failures != 0 {
            swaps.push(Swap { key, value: None, of: failures });
        }
        // If another was first, there will be word of it.
        if let Err(error) = storage.swap(swaps).await {
            tracing::warn!("{name}: the other proxies do not have the certificate yet: {error}");
        }
    }

    /// Tells the others how an order went, before the turn is over.
    pub(super) async fn tell_others(&mut self, name: &str) {
        let Some((storage, keys)) = self.shared() else { return };
        let Some(record) = self.names.get(name).map(Name::record) else { return };
        let Some(record) = record else {
            self.put_certificate(name).await;
            return;
        };
        let key = keys.failures(name);
        let of = storage.value(&key).map_or(0, |it| it.version);
        let Ok(value) = serde_json::to_vec(&record) else { return };
        if let Err(error) = storage.swap(vec![Swap { key, value: Some(value), of }]).await {
            tracing::warn!("{name}: the other proxies do not know what failed: {error}");
        }
    }
}

/// When a proxy that cannot ask the others, which were `lost` so long ago,
/// orders what is `known`.
fn alone(known: &Name, lost: Duration, now: SystemTime) -> SystemTime {
    let since = now.checked_sub(lost).unwrap_or(now);
    known.next.max(schedule::alone(known.holds, since))
}

#[cfg(test)]
mod tests;
