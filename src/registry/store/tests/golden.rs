//! A store and an export as this version writes them, kept as files: what is
//! on disks out there must go on being read, or be refused by its number.
//!
//! `UPDATE_GOLDEN=1` writes them; do so only together with a new format.

use super::*;
use crate::registry::export::Export;

const STORE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/registry-2.db");
const EXPORT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/registry-1.jsonl");

fn golden() -> Contents {
    let mut full = registration(instance("orders/a", "http://orders-a.test:8443"), 3);
    full.owner = Some("orders ☂".to_owned());
    full.draining = true;
    full.instance.zone = Some("eu-1".to_owned());
    full.instance.tags = vec!["blue".to_owned()];
    full.instance.metadata = [("k".to_owned(), "\0'\"\n".to_owned())].into();
    full.instance.health =
        serde_json::from_str(r#"{"path": "/healthz", "interval": "2s"}"#).expect("settings");
    let plain = registration(instance("payments/b", "[::1]:80"), 5);
    Contents { registrations: vec![full, plain], last_generation: 7, commits: 9 }
}

#[test]
fn a_store_of_this_format_is_read() {
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        let folder = folder();
        let locked = Folder::open(folder.path()).expect("a folder");
        let built = schema::build(&locked, FILE, &golden()).expect("built");
        fs::copy(built, STORE).expect("copied");
    }
    let folder = folder();
    fs::copy(STORE, folder.path().join(FILE)).expect("copied");
    assert_eq!(open(&folder).expect("opens").1, golden());
}

#[test]
fn an_export_of_this_format_is_read() {
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        fs::write(EXPORT, Export::of(golden()).to_text()).expect("written");
    }
    let text = fs::read(EXPORT).expect("readable");
    let export = Export::parse(&text).expect("an export");
    assert_eq!(export.contents, golden());
    assert_eq!(export.to_text().as_bytes(), text, "and written as it was");
}
