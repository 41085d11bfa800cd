//! When snapshots are made, which are kept, and that they are whole.

use std::path::Path;

use tempfile::TempDir;

use super::*;
use crate::registry::{
    Caller, Opened, Registry, RegistrySettings,
    tests::{instance, key},
};

fn settings(folder: &TempDir, kept: u32) -> RegistrySettings {
    let data_dir = folder.path().to_owned();
    RegistrySettings { data_dir, snapshots_kept: kept, ..Default::default() }
}

async fn register(registry: &Registry, id: usize) {
    let mut instance = instance(&format!("orders/{id}"), "10.0.0.1:80");
    instance.ttl = None;
    registry.register(instance, Caller::Admin(None)).await.expect("registered");
}

fn held(data_dir: &Path) -> Vec<usize> {
    let all = list(data_dir).expect("readable").into_iter();
    all.map(|(_, path)| read(&path).expect("whole").registrations().len()).collect()
}

/// Time is paused: it runs on while nothing is to be done.
async fn until_taken(registry: &Registry, count: u64) {
    while registry.store_report().snapshots.taken < count {
        sleep(Duration::from_secs(1)).await;
    }
}

#[tokio::test]
async fn one_is_made_soon_after_a_change_and_then_at_most_every_so_often() {
    let folder = tempfile::tempdir().expect("a folder");
    let opened = Registry::open(&settings(&folder, 3)).await.expect("opens");
    let Opened { registry, events: _events, .. } = opened;
    tokio::time::pause();
    sleep(Duration::from_secs(3600)).await;
    assert_eq!(held(folder.path()), [0; 0], "nothing has changed");
    let register = async |id| {
        // Paused time would run on while the writer works.
        tokio::time::resume();
        register(&registry, id).await;
        tokio::time::pause();
    };
    register(0).await;
    let changed = Instant::now();
    until_taken(&registry, 1).await;
    assert!(changed.elapsed() < Duration::from_secs(60), "{:?}", changed.elapsed());
    register(1).await;
    sleep(Duration::from_secs(800)).await;
    assert_eq!(registry.store_report().snapshots.taken, 1, "not yet");
    until_taken(&registry, 2).await;
    sleep(Duration::from_secs(3600)).await;
    assert_eq!(held(folder.path()), [1, 2], "and none without a change");
    assert_eq!(registry.store_report().snapshots.newest.map(|(_, held)| held), Some(2));
}

#[tokio::test]
async fn one_is_made_at_the_end_and_the_last_few_are_kept() {
    let folder = tempfile::tempdir().expect("a folder");
    for n in 0..6 {
        let opened = Registry::open(&settings(&folder, 3)).await.expect("opens");
        let Opened { registry, events: _events, .. } = opened;
        register(&registry, n).await;
        registry.close().await;
    }
    assert_eq!(held(folder.path()), [4, 5, 6]);
    let names: Vec<_> = list(folder.path()).expect("readable").iter().map(|it| it.0).collect();
    assert_eq!(names, [4, 5, 6]);
    let opened = Registry::open(&settings(&folder, 3)).await.expect("opens");
    assert_eq!(opened.registry.store_report().snapshots.newest.map(|(_, held)| held), Some(6));
    opened.registry.close().await;
    assert_eq!(held(folder.path()), [4, 5, 6], "nothing has changed");
}

#[tokio::test]
async fn none_is_made_if_none_is_kept() {
    let folder = tempfile::tempdir().expect("a folder");
    let opened = Registry::open(&settings(&folder, 0)).await.expect("opens");
    register(&opened.registry, 0).await;
    opened.registry.close().await;
    assert!(!folder.path().join(FOLDER).exists());
}

#[tokio::test]
async fn one_that_cannot_be_written_costs_no_older_one_and_is_told() {
    let folder = tempfile::tempdir().expect("a folder");
    let opened = Registry::open(&settings(&folder, 1)).await.expect("opens");
    let Opened { registry, events: _events, .. } = opened;
    register(&registry, 0).await;
    registry.embedded().shared_snapshots().take(1);
    assert_eq!(held(folder.path()), [1]);
    // In the way of the file that is written before it gets its name.
    let blocked = folder.path().join("snapshots/00000002.jsonl.new");
    std::fs::create_dir(&blocked).expect("made");
    register(&registry, 1).await;
    registry.embedded().shared_snapshots().take(2);
    let report = registry.store_report().snapshots;
    assert_eq!((report.taken, report.failed), (1, 1));
    assert!(report.failure.expect("why").contains("cannot write"));
    assert_eq!(held(folder.path()), [1]);
    std::fs::remove_dir(&blocked).expect("removed");
    registry.embedded().shared_snapshots().take(2);
    assert_eq!(registry.store_report().snapshots.failure, None);
    assert_eq!(held(folder.path()), [2]);
    assert_eq!(
        registry.deregister(&key("orders/0"), None, &Caller::Admin(None)).await,
        Ok(Some(1))
    );
}
