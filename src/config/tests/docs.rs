//! The pages made from the program are those in the repository.
//! `UPDATE_DOCS=1 cargo test` writes them anew.

use std::path::Path;

fn hold(page: &str, made: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/reference").join(page);
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::write(&path, made).expect("the page can be written");
    }
    let kept = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(kept == made, "{page} is out of date; run `UPDATE_DOCS=1 cargo test --lib config::`");
}

#[test]
fn the_reference_is_up_to_date() {
    hold("config.md", &crate::config::reference());
}

#[test]
fn the_diagnostics_are_up_to_date() {
    hold("diagnostics.md", &crate::config::codes_page());
}
