//! Several keepers on one storage. The CA is out of reach: what would be
//! ordered fails.

use std::sync::Mutex;

use tempfile::TempDir;

use super::*;
use crate::{
    acme::{AcmeSettings, Wanted, record::tests::issued, storage::fake::Common},
    tls::{Proofs, inspect},
};

const NAME: &str = "a.example";

struct Proxy {
    keeper: Keeper,
    folder: TempDir,
    told: Mutex<Vec<String>>,
}

impl Proxy {
    /// One of those that share `common`, with `pem` on its disk.
    async fn of(common: &Common, own: &str, pem: Option<&str>) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        if let Some(pem) = pem {
            fs::write(Automatic::file(folder.path(), NAME), pem).expect("written");
        }
        let mut keeper = Keeper::new(Some(common.of(own)));
        let directory = Some("https://127.0.0.1:1/dir".to_owned());
        let settings = AcmeSettings { directory, accept_terms: true, ..Default::default() };
        let names = vec![NAME.to_owned()];
        let wanted = Wanted { settings, names, folder: folder.path().to_owned() };
        keeper.change(Some(wanted), SystemTime::now());
        let mut proxy = Self { keeper, folder, told: Mutex::default() };
        proxy.agree().await;
        proxy
    }

    async fn agree(&mut self) {
        self.keeper.agree(&|news| self.told.lock().expect("no panic").push(short(&news))).await;
    }

    async fn act(&mut self) {
        let tell = |news| self.told.lock().expect("no panic").push(short(&news));
        self.keeper.act(&Proofs::default(), &tell).await;
        self.agree().await;
    }

    fn pem(&self) -> Option<String> {
        fs::read_to_string(Automatic::file(self.folder.path(), NAME)).ok()
    }

    fn told(&self) -> Vec<String> {
        std::mem::take(&mut self.told.lock().expect("no panic"))
    }

    fn failures(&self) -> u32 {
        self.keeper.names[NAME].failures
    }

    fn is_due(&self) -> bool {
        let now = SystemTime::now();
        self.keeper.when(NAME, &self.keeper.names[NAME], now).is_some_and(|when| when <= now)
    }
}

fn short(news: &News) -> String {
    match news {
        News::TakenOver { name, by, .. } => format!("{name} of {by}"),
        News::Obtained { name, .. } => format!("{name} obtained"),
        News::Failed { name, .. } => format!("{name} failed"),
        News::Standings(_) => "standings".to_owned(),
    }
}

fn key(kind: &str) -> String {
    format!("127.0.0.1_1_dir/{kind}/{NAME}")
}

/// A certificate from so many days after now to so many.
fn days(from: i64, to: i64) -> String {
    issued(NAME, SystemTime::now(), from * 86_400, to * 86_400)
}

#[tokio::test]
async fn what_one_has_all_use_and_nobody_orders_anew() {
    let common = Common::default();
    // From the disk of one that was alone before.
    let (old, new) = (days(-20, 70), days(-10, 80));
    let mut one = Proxy::of(&common, "one", Some(&old)).await;
    let mut two = Proxy::of(&common, "two", Some(&new)).await;
    let mut three = Proxy::of(&common, "three", None).await;
    one.agree().await;
    two.agree().await;
    for (proxy, told) in
        [(&one, vec!["a.example of two"]), (&two, vec![]), (&three, vec!["a.example of two"])]
    {
        assert_eq!(proxy.pem().as_ref(), Some(&new));
        assert_eq!(proxy.told(), told);
        assert!(!proxy.is_due());
    }
    // Whoever comes with an older one does not put it there.
    let before = common.keys();
    let four = Proxy::of(&common, "four", Some(&old)).await;
    assert_eq!((four.pem(), common.keys()), (Some(new), before));
    let mode = fs::metadata(Automatic::file(three.folder.path(), NAME)).expect("a file");
    assert_eq!(std::os::unix::fs::PermissionsExt::mode(&mode.permissions()) & 0o777, 0o600);
    three.agree().await;
    assert!(three.told().is_empty());
}

#[tokio::test]
async fn what_cannot_be_used_leaves_what_is_in_use() {
    let common = Common::default();
    let mine = days(-10, 80);
    let mut one = Proxy::of(&common, "one", Some(&mine)).await;
    let other = issued("b.example", SystemTime::now(), 0, 9_000_000);
    for value in [b"{".to_vec(), Vec::new(), Offer::value("x", other).expect("JSON")] {
        common.put(&key("certificates"), &value);
        one.agree().await;
        assert_eq!(one.pem().as_ref(), Some(&mine));
        // What stands there is what can be used again.
        let mut late = Proxy::of(&common, "late", None).await;
        late.agree().await;
        assert_eq!(late.pem().as_ref(), Some(&mine));
    }
    // One that has run out is not worth showing to others.
    let common = Common::default();
    let gone = Proxy::of(&common, "one", Some(&days(-90, -1))).await;
    assert!(gone.is_due() && common.keys().is_empty());
}

#[tokio::test]
async fn a_file_that_cannot_be_written_is_tried_again() {
    let common = Common::default();
    let new = days(-10, 80);
    let mut one = Proxy::of(&common, "one", None).await;
    let file = Automatic::file(one.folder.path(), NAME);
    fs::create_dir(&file).expect("in its way");
    common.put(&key("certificates"), &Offer::value("two", new.clone()).expect("JSON"));
    one.agree().await;
    assert!(one.told().is_empty() && one.keeper.names[NAME].holds.is_none());
    fs::remove_dir(&file).expect("removed");
    one.agree().await;
    assert_eq!((one.pem(), one.told()), (Some(new), vec!["a.example of two".to_owned()]));
}

#[tokio::test]
async fn what_failed_for_one_is_not_tried_by_all() {
    let common = Common::default();
    let mut one = Proxy::of(&common, "one", None).await;
    let mut two = Proxy::of(&common, "two", None).await;
    assert!(one.is_due() && two.is_due());
    one.act().await;
    assert_eq!((one.failures(), one.told()), (1, vec!["a.example failed".to_owned()]));
    assert!(common.keys().contains(&key("failures")) && !common.keys().contains(&key("turns")));
    // Has not heard of it yet when it asks for its turn.
    two.act().await;
    assert_eq!((two.failures(), two.told()), (1, vec![]));
    assert!(!two.is_due() && two.keeper.names[NAME].error.is_some());
    // Also over a restart.
    let three = Proxy::of(&common, "three", None).await;
    assert!(!three.is_due());
    // A person who takes it away has it tried again.
    common.remove(&key("failures"));
    two.agree().await;
    assert!(two.is_due() && two.failures() == 0);
    // A certificate ends it for all.
    let other = Proxy::of(&common, "four", Some(&days(-10, 80))).await;
    one.agree().await;
    assert!(!one.is_due() && one.failures() == 0 && other.failures() == 0);
    assert!(!common.keys().contains(&key("failures")));
}

#[tokio::test]
async fn while_one_orders_the_others_wait() {
    let common = Common::default();
    let mut one = Proxy::of(&common, "one", None).await;
    let storage = common.of("two");
    let turn = storage.turn(&key("turns")).await.expect("reached").expect("free");
    assert!(!one.is_due());
    one.act().await;
    assert_eq!((one.failures(), one.told()), (0, vec![]));
    drop(turn);
    assert!(one.is_due());
}

#[tokio::test]
async fn without_the_storage_what_is_there_stays_and_only_what_runs_out_is_ordered() {
    let common = Common::default();
    let mut fine = Proxy::of(&common, "one", Some(&days(-70, 20))).await;
    assert!(fine.is_due(), "two thirds are over");
    common.lose(Some(Duration::from_secs(3600)));
    fine.agree().await;
    assert!(!fine.is_due());
    // What was heard before is still known.
    let mut other = Proxy::of(&common, "two", Some(&days(-85, 5))).await;
    assert_eq!((other.pem(), other.is_due()), (fine.pem(), false));
    let unknown = Common::default();
    unknown.lose(Some(Duration::from_secs(3600)));
    let mut last = Proxy::of(&unknown, "three", Some(&days(-85, 5))).await;
    let mut none = Proxy::of(&unknown, "four", None).await;
    assert!(last.is_due() && none.is_due());
    for proxy in [&mut last, &mut none] {
        proxy.act().await;
        assert_eq!(proxy.told(), ["a.example failed"]);
    }
    // It may only be a moment.
    unknown.lose(Some(Duration::from_secs(5)));
    let soon = Proxy::of(&unknown, "five", None).await;
    assert!(!soon.is_due());
    // What one has obtained meanwhile is put there when it is back.
    let new = days(0, 90);
    let file = Automatic::file(fine.folder.path(), NAME);
    fs::write(&file, &new).expect("written");
    let known = inspect(&file).expect("a certificate");
    fine.keeper.names.insert(NAME.to_owned(), Name::new(Some(known), None, SystemTime::now()));
    common.lose(None);
    fine.agree().await;
    other.told();
    other.agree().await;
    assert_eq!((other.pem(), other.told()), (Some(new), vec!["a.example of one".to_owned()]));
}
