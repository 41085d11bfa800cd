//! Keeps a certificate for each name: orders it, renews it in time, and waits
//! ever longer after failures.
//!
//! One order is under way at a time, of all proxies that share their names
//! (`sharing.rs`). Whatever fails, the certificate that is there stays; what has
//! failed, and until when to wait, is on disk, so that a
//! proxy that is started over and over does not ask over and over.

use std::{
    collections::BTreeMap,
    path::PathBuf,
    sync::Arc,
    time::{Duration, SystemTime},
};

use instant_acme::{Account, CertificateIdentifier};
use tokio::{sync::watch, time};

use super::{
    AcmeSettings, News, Standing, Storage, Turn,
    account::{self, Opened},
    name::{Name, Record},
    order,
    problem::Problem,
    record::Keys,
    sharing::{Heard, Permit},
    showing::{self, Stage},
};
use crate::tls::{Automatic, Proofs, examine, inspect};

/// What is to be kept.
#[derive(Clone, Debug)]
pub struct Wanted {
    /// From whom, and how.
    pub settings: AcmeSettings,
    /// Names; each gets a certificate of its own.
    pub names: Vec<String>,
    /// Where: account, certificates, and what failed.
    pub folder: PathBuf,
}

/// The longest time from the first word of an order to the certificate.
const ORDER: Duration = Duration::from_secs(600);

/// The longest sleep: clocks may be set meanwhile.
const SLEEP: Duration = Duration::from_secs(60);

/// Between two questions about renewal at least and at most (RFC 9773 section
/// 4.3.3), and after one that was not answered.
const ASK: (Duration, Duration) = (Duration::from_secs(60), Duration::from_secs(86_400));
const UNANSWERED: Duration = Duration::from_secs(6 * 3600);

/// Keeps what is `wanted` until its sender is gone, with the others that share
/// `storage`, if there are such. Being dropped breaks off the order under way,
/// which is begun anew the next time.
pub async fn keep(
    wanted: watch::Receiver<Option<Wanted>>,
    proofs: Proofs,
    storage: Option<Arc<dyn Storage>>,
    tell: impl Fn(News),
) {
    let shown = showing::run(storage.clone(), proofs.clone());
    tokio::select! {
        () = shown => {}
        () = certificates(wanted, proofs, storage, tell) => {}
    }
}

async fn certificates(
    mut wanted: watch::Receiver<Option<Wanted>>,
    proofs: Proofs,
    storage: Option<Arc<dyn Storage>>,
    tell: impl Fn(News),
) {
    let mut changes = storage.as_ref().map(|storage| storage.changes());
    let mut keeper = Keeper::new(storage);
    wanted.mark_changed();
    loop {
        // What has begun is ended: an order that is broken off counts with the
        // CA all the same.
        tokio::select! {
            changed = wanted.changed() => {
                if changed.is_err() {
                    return;
                }
                let now_wanted = wanted.borrow_and_update().clone();
                keeper.change(now_wanted, SystemTime::now());
            }
            () = changed(&mut changes) => {}
            () = time::sleep(keeper.idle(SystemTime::now())) => {
                keeper.act(&proofs, &tell).await;
            }
        }
        keeper.agree(&tell).await;
        tell(News::Standings(keeper.standings()));
    }
}

/// Waits until something is heard of the others.
async fn changed(changes: &mut Option<watch::Receiver<()>>) {
    let changed = match changes {
        Some(changes) => changes.changed().await.is_ok(),
        None => false,
    };
    if !changed {
        std::future::pending::<()>().await;
    }
}

pub(super) struct Keeper {
    pub(super) wanted: Option<Wanted>,
    account: Option<Opened>,
    /// Whether the CA says when to renew, as far as is known.
    renewal_told: bool,
    pub(super) names: BTreeMap<String, Name>,
    /// What it has in common with others.
    pub(super) storage: Option<Arc<dyn Storage>>,
    pub(super) heard: BTreeMap<String, Heard>,
}

impl Keeper {
    pub(super) fn new(storage: Option<Arc<dyn Storage>>) -> Self {
        let (names, heard) = (BTreeMap::new(), BTreeMap::new());
        Self { wanted: None, account: None, renewal_told: true, names, storage, heard }
    }

    /// Takes over what is wanted from now on. Names that fail are tried at
    /// once, since whoever changed something may have mended them.
    pub(super) fn change(&mut self, wanted: Option<Wanted>, now: SystemTime) {
        let Some(wanted) = wanted else {
            (self.wanted, self.account) = (None, None);
            self.names.clear();
            self.heard.clear();
            return;
        };
        let same = self.wanted.as_ref().is_some_and(|before| {
            before.settings == wanted.settings && before.folder == wanted.folder
        });
        if !same {
            (self.account, self.renewal_told) = (None, true);
            self.names.clear();
            self.heard.clear();
        }
        let first = self.wanted.is_none();
        self.names.retain(|name, _| wanted.names.contains(name));
        self.heard.retain(|name, _| wanted.names.contains(name));
        let mut records = Record::read(&wanted.folder);
        for name in &wanted.names {
            let known = self.names.entry(name.clone()).or_insert_with(|| {
                let file = Automatic::file(&wanted.folder, name);
                Name::new(inspect(&file).ok(), records.remove(name), now)
            });
            if !first {
                known.try_at_once(now);
            }
        }
        self.wanted = Some(wanted);
    }

    fn standings(&self) -> Vec<Standing> {
        let standing = |(name, known): (&String, &Name)| Standing {
            name: name.clone(),
            not_after: known.holds.map(|(_, not_after)| not_after),
            next: known.next,
            failures: known.failures,
            error: known.error.clone(),
        };
        self.names.iter().map(standing).collect()
    }

    /// How long there is nothing to do.
    pub(super) fn idle(&self, now: SystemTime) -> Duration {
        let asks = !self.is_cut_off();
        let due = |(name, known): (&String, &Name)| {
            let order = self.when(name, known, now);
            order.into_iter().chain(known.ask.filter(|_| asks)).min()
        };
        let due = self.names.iter().filter_map(due).min();
        due.map_or(SLEEP, |due| due.duration_since(now).unwrap_or_default().min(SLEEP))
    }

    /// Does what is due, if anything is: one order, or one question.
    pub(super) async fn act(&mut self, proofs: &Proofs, tell: &impl Fn(News)) {
        let now = SystemTime::now();
        let due = |time: SystemTime| time <= now;
        let Some(wanted) = self.wanted.clone() else { return };
        let by_order = self.names.iter().filter_map(|(name, known)| {
            self.when(name, known, now).filter(|when| due(*when)).map(|when| (when, name))
        });
        if let Some((_, name)) = by_order.min() {
            let name = name.clone();
            if let Permit::Order(turn) = self.permit(&name, tell).await {
                self.renew(&wanted, &name, proofs, turn.as_deref(), tell).await;
                self.tell_others(&name).await;
            }
            return;
        }
        let asks = !self.is_cut_off();
        let by_question = self.names.iter().filter(|(_, known)| asks && known.ask.is_some_and(due));
        if let Some(name) = by_question.map(|(name, _)| name.clone()).next() {
            self.ask(&wanted, &name).await;
        }
    }

    /// Orders a certificate for `name`, and takes note of how that went.
    async fn renew(
        &mut self,
        wanted: &Wanted,
        name: &str,
        proofs: &Proofs,
        turn: Option<&dyn Turn>,
        tell: &impl Fn(News),
    ) {
        let storage = self.storage.clone();
        let shared = storage.as_deref().zip(turn);
        let shared = shared.map(|(all, turn)| (all, turn, Keys::new(&wanted.settings)));
        let order = self.order(wanted, name, Stage { proofs, shared });
        let outcome = time::timeout(ORDER, order).await;
        let outcome = outcome.unwrap_or(Err(Problem::TooLong(ORDER)));
        let now = SystemTime::now();
        let Some(known) = self.names.get_mut(name) else { return };
        match outcome {
            Ok((facts, leaf)) => {
                let not_after = facts.not_after;
                *known = Name::new(Some((facts, leaf)), None, now);
                tell(News::Obtained { name: name.to_owned(), not_after });
            }
            Err(problem) => {
                if problem.is_about_account() {
                    let shared =
                        self.storage.as_deref().map(|it| (it, Keys::new(&wanted.settings)));
                    if let Some(opened) = self.account.take() {
                        account::forget(&wanted.folder, shared, &opened).await;
                    }
                }
                known.failed(&problem, wanted.settings.retry.into(), now);
                tell(News::Failed { name: name.to_owned(), error: problem.to_string() });
            }
        }
        self.keep_record();
    }

    /// Keeps on disk what has failed.
    pub(super) fn keep_record(&self) {
        let Some(wanted) = &self.wanted else { return };
        if let Err(problem) = Record::write(&wanted.folder, &self.names) {
            tracing::warn!("what failed with the CA cannot be kept: {problem}");
        }
    }

    async fn order(
        &mut self,
        wanted: &Wanted,
        name: &str,
        stage: Stage<'_>,
    ) -> Result<super::name::Certificate, Problem> {
        let Wanted { settings, folder, .. } = wanted;
        let account = self.account(wanted).await?;
        let known = self.names.get(name);
        let failures = known.map_or(0, |known| known.failures) as usize;
        let challenge = settings.challenges[failures % settings.challenges.len().max(1)];
        // A CA that says no to being told what is replaced is not told again.
        let replaced = known.and_then(|known| known.id.clone());
        let replaced = replaced.filter(|_| self.renewal_told && failures == 0);
        let pem = order::order(&account, settings, name, challenge, replaced, &stage).await?;
        let file = Automatic::file(folder, name);
        // Looked at before it takes the place of the one that is in use.
        let certificate = examine(&file, pem.as_bytes())?;
        account::write(&file, pem.as_bytes())?;
        Ok(certificate)
    }

    /// Asks the CA when to renew the certificate for `name` (RFC 9773).
    async fn ask(&mut self, wanted: &Wanted, name: &str) {
        let answer = time::timeout(SLEEP, self.question(wanted, name)).await;
        let now = SystemTime::now();
        let Some(known) = self.names.get_mut(name) else { return };
        match answer {
            Ok(Ok(Some((window, again)))) => {
                known.suggested(window, fastrand::f64());
                known.ask = Some(now + again.clamp(ASK.0, ASK.1));
            }
            Ok(Ok(None) | Err(Problem::Ca(instant_acme::Error::Unsupported(_)))) => {
                self.renewal_told = false;
                known.ask = None;
            }
            Ok(Err(problem)) => {
                tracing::debug!("{name}: the CA does not say when to renew: {problem}");
                known.ask = Some(now + UNANSWERED);
            }
            Err(_) => known.ask = Some(now + UNANSWERED),
        }
    }

    async fn question(
        &mut self,
        wanted: &Wanted,
        name: &str,
    ) -> Result<Option<(instant_acme::SuggestedWindow, Duration)>, Problem> {
        let id: Option<CertificateIdentifier<'static>> =
            self.names.get(name).and_then(|known| known.id.clone());
        let Some(id) = id else { return Ok(None) };
        let (info, again) = self.account(wanted).await?.renewal_info(&id).await?;
        Ok(Some((info.suggested_window, again)))
    }

    async fn account(&mut self, wanted: &Wanted) -> Result<Account, Problem> {
        let shared = self.storage.as_deref().map(|it| (it, Keys::new(&wanted.settings)));
        if let Some(opened) = self.account.as_ref().filter(|it| it.is_current(shared.as_ref())) {
            return Ok(opened.account.clone());
        }
        let opened = account::open(&wanted.settings, &wanted.folder, shared).await?;
        let account = opened.account.clone();
        self.account = Some(opened);
        Ok(account)
    }
}
