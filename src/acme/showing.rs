//! Showing proofs on all proxies that share a storage, whichever of them the CA
//! comes to.
//!
//! Every proxy shows what stands in the storage, of whatever directory and
//! whether it wants the name itself or not, and says when it does. Who orders
//! waits for that, but not for ever: a CA mostly looks at one of them only.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use tokio::time::{Instant, sleep, timeout_at};

use super::{
    Storage, Turn,
    record::{self, Keys, Shown},
};
use crate::tls::{Proof, Proofs};

/// How long is waited for the others to show a proof.
const PATIENCE: Duration = Duration::from_secs(10);

/// How soon another proxy is told again that a proof is up.
const AGAIN: Duration = Duration::from_millis(500);

/// Proofs of others that are shown at once.
const MOST: usize = 1000;

/// To whom the one who orders shows a proof: to the others too, where there
/// are such.
pub(super) struct Stage<'a> {
    pub(super) proofs: &'a Proofs,
    pub(super) shared: Option<(&'a dyn Storage, &'a dyn Turn, Keys)>,
}

impl Stage<'_> {
    /// Shows that `name` is ours, here and at all others that can be reached.
    pub(super) async fn put_up(&self, name: &str, shown: &Shown) -> Result<Proof, record::Refusal> {
        let up = shown.put_up(name, self.proofs)?;
        if let Some((storage, turn, keys)) = &self.shared {
            let value = serde_json::to_vec(shown)?;
            let key = keys.proof(name);
            match turn.put(&key, value).await {
                Ok(version) => all_show(*storage, &key, version).await,
                // It may be this one that the CA comes to.
                Err(error) => {
                    tracing::warn!(%error, "{name}: other proxies do not show the proof");
                }
            }
        }
        Ok(up)
    }
}

/// Waits until all others show what stands under `key`, for as long as is worth
/// it, and names those that do not.
async fn all_show(storage: &dyn Storage, key: &str, version: i64) {
    let mut changes = storage.changes();
    let deadline = Instant::now() + PATIENCE;
    loop {
        let left = storage.unconfirmed(key, version);
        if left.is_empty() {
            return;
        }
        // A proxy that goes meanwhile makes no change here.
        let next = deadline.min(Instant::now() + AGAIN);
        drop(timeout_at(next, changes.changed()).await);
        if Instant::now() >= deadline {
            let left = left.join(", ");
            tracing::warn!(
                "{key}: the proof may be asked of {left}, which does not say that it shows it"
            );
            return;
        }
    }
}

/// Shows what others want shown, for ever.
pub(super) async fn run(storage: Option<Arc<dyn Storage>>, proofs: Proofs) {
    let Some(storage) = storage else { return std::future::pending().await };
    let mut changes = storage.changes();
    let mut up: BTreeMap<String, Up> = BTreeMap::new();
    loop {
        changes.mark_unchanged();
        follow(&*storage, &proofs, &mut up);
        let mut told = true;
        for (key, it) in up.iter_mut().filter(|(_, it)| !it.told && it.proof.is_some()) {
            match storage.confirm(key, it.version).await {
                Ok(()) => it.told = true,
                Err(error) => {
                    tracing::debug!(%error, "that a proof is up was not told");
                    told = false;
                }
            }
        }
        tokio::select! {
            changed = changes.changed() => if changed.is_err() {
                return std::future::pending().await;
            },
            () = sleep(AGAIN), if !told => {}
        }
    }
}

/// A proof that stands in the storage.
struct Up {
    version: i64,
    /// None if it is refused.
    proof: Option<Proof>,
    told: bool,
}

/// Shows what stands in the storage now, and nothing else.
fn follow(storage: &dyn Storage, proofs: &Proofs, up: &mut BTreeMap<String, Up>) {
    let there: BTreeMap<_, _> =
        storage.values().into_iter().filter(|(key, _)| record::proved(key).is_some()).collect();
    up.retain(|key, it| there.get(key).is_some_and(|there| there.version == it.version));
    for (key, there) in there {
        let Some(name) = record::proved(&key).map(str::to_owned) else { continue };
        if up.len() >= MOST || up.contains_key(&key) {
            continue;
        }
        let shown = serde_json::from_slice::<Shown>(&there.value).map_err(Into::into);
        let proof = shown.and_then(|shown| shown.put_up(&name, proofs));
        let proof = proof.inspect_err(|why: &record::Refusal| {
            tracing::warn!("{key}: a proof is refused: {why}");
        });
        let it = Up { version: there.version, proof: proof.ok(), told: false };
        up.insert(key, it);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::acme::storage::fake::Common;

    const TEXT: &str = "/.well-known/acme-challenge/token";

    fn shown() -> Vec<u8> {
        serde_json::to_vec(&Shown::by_request("token", "token.thumb")).expect("JSON")
    }

    #[tokio::test(start_paused = true)]
    async fn a_proof_is_shown_by_all_before_the_ca_is_told() {
        let common = Common::default();
        let (one, two) = (common.of("one"), common.of("two"));
        let [here, there] = [Proofs::default(), Proofs::default()];
        let follows = tokio::spawn(run(Some(two), there.clone()));
        let keys = Keys::new(&crate::acme::AcmeSettings::default());
        let turn = one.turn(&keys.turn("a.example")).await.expect("reached").expect("free");
        let stage = Stage { proofs: &here, shared: Some((&*one, &*turn, keys)) };
        let begun = Instant::now();
        let wanted = Shown::by_request("token", "token.thumb");
        let up = stage.put_up("a.example", &wanted).await.expect("shown");
        assert!(begun.elapsed() < PATIENCE);
        assert!(here.text(TEXT).is_some() && there.text(TEXT).is_some());
        drop((up, turn));
        let mut changes = one.changes();
        while there.text(TEXT).is_some() {
            let _ = tokio::time::timeout(AGAIN, changes.changed()).await;
        }
        assert!(here.text(TEXT).is_none());
        // Another that does not answer is not waited for without end.
        follows.abort();
        let _ = follows.await;
        let keys = Keys::new(&crate::acme::AcmeSettings::default());
        let turn = one.turn(&keys.turn("a.example")).await.expect("reached").expect("free");
        let stage = Stage { proofs: &here, shared: Some((&*one, &*turn, keys)) };
        let begun = Instant::now();
        assert!(stage.put_up("a.example", &wanted).await.is_ok());
        assert!(begun.elapsed() >= PATIENCE);
    }

    #[tokio::test]
    async fn what_is_no_proof_is_not_shown_and_not_confirmed() {
        let common = Common::default();
        let one = common.of("one");
        let (proofs, mut up) = (Proofs::default(), BTreeMap::new());
        common.put("ca/proofs/a.example", b"{");
        common.put("ca/proofs/b.example", br#"{"http-01":{"token":"token","text":"other.thumb"}}"#);
        common.put("ca/certificates/c.example", &shown());
        follow(&*one, &proofs, &mut up);
        assert!(up.len() == 2 && up.values().all(|it| it.proof.is_none()));
        assert!(proofs.text(TEXT).is_none());
        // In the place of another.
        common.put("ca/proofs/a.example", &shown());
        follow(&*one, &proofs, &mut up);
        assert_eq!(proofs.text(TEXT).as_deref(), Some("token.thumb"));
        common.remove("ca/proofs/a.example");
        follow(&*one, &proofs, &mut up);
        assert!(proofs.text(TEXT).is_none());
    }
}
