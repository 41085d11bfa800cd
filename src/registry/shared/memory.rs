//! What the registry held when it was last heard, on disk: so that a restart
//! while etcd is away still routes. It has the form of an export.

use std::{io, path::Path, sync::Arc, time::Duration};

use tokio::time::sleep;

use super::Inner;
use crate::registry::{Export, OpenError, Registration, store::Contents, write_whole};

/// In `data_dir`.
const FILE: &str = "shared-registry.jsonl";

/// It is written at most so often.
const PAUSE: Duration = Duration::from_secs(5);

/// What was last known; nothing if there was nothing. What is damaged is not
/// believed, and said.
pub(super) async fn read(data_dir: &Path) -> Result<Vec<Registration>, OpenError> {
    let path = data_dir.join(FILE);
    let shown = path.clone();
    let read = tokio::task::spawn_blocking(move || match std::fs::read(&path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        read => read.map(Some),
    });
    let read = read.await.map_err(|error| OpenError::Thread(error.into()))?;
    let file = |source| OpenError::File { doing: "read", path: shown.clone(), source };
    let Some(text) = read.map_err(file)? else { return Ok(Vec::new()) };
    match Export::parse(&text) {
        Ok(export) => Ok(export.registrations().to_vec()),
        Err(error) => {
            let path = shown.display();
            tracing::warn!(%path, %error, "what was last known of the registry cannot be used");
            Ok(Vec::new())
        }
    }
}

/// Writes whenever something was heard.
pub(super) async fn run(inner: Arc<Inner>) {
    let mut heard = inner.heard.subscribe();
    while heard.changed().await.is_ok() {
        sleep(PAUSE).await;
        heard.mark_unchanged();
        write(&inner).await;
    }
}

/// Writes what is known, unless nothing was ever read.
pub(super) async fn write(inner: &Inner) {
    if !inner.state.borrow().listed {
        return;
    }
    let mut registrations = inner.announced().mirror.registrations();
    registrations.sort_by_key(|it| it.instance.key());
    let last_generation = registrations.iter().map(|it| it.generation).max().unwrap_or(0);
    let contents = Contents { registrations, last_generation, commits: 0 };
    let folder = inner.data_dir.clone();
    let written = tokio::task::spawn_blocking(move || {
        std::fs::create_dir_all(&folder)?;
        write_whole(&folder.join(FILE), Export::of(contents).to_text().as_bytes())
    });
    if let Ok(Err(error)) = written.await {
        tracing::warn!(%error, "what is known of the registry cannot be written to disk");
    }
}
