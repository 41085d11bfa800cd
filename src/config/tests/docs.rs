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

/// What stands between `begin` and the end of a block, as often as it does.
fn blocks<'t>(text: &'t str, begin: &str) -> Vec<&'t str> {
    let blocks = text.split(begin).skip(1);
    blocks.map(|rest| rest.split("```").next().unwrap_or(rest)).collect()
}

#[test]
fn what_how_tos_say_of_sources_is_good() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/how-to");
    let mut kinds = std::collections::BTreeSet::new();
    for page in ["sources.md", "etcd.md", "zookeeper.md", "several-proxies.md"] {
        let text = std::fs::read_to_string(folder.join(page)).expect("a page");
        for block in blocks(&text, "```toml\n") {
            // Secrets are not there.
            let block = block.replace("${file:/run/secrets/", "${SECRET:-");
            let loaded = crate::config::parse(&block, page, &super::env);
            let loaded = loaded.unwrap_or_else(|report| panic!("{page}: {}", report.render(false)));
            kinds.extend(loaded.config.source.iter().map(|source| source.kind.word()));
        }
    }
    let all = ["consul", "dns", "docker", "etcd", "eureka", "file", "http", "zookeeper"];
    assert_eq!(kinds.into_iter().collect::<Vec<_>>(), all);
}

#[test]
fn the_lists_that_how_tos_show_are_lists() {
    let page = include_str!("../../../docs/how-to/sources.md");
    let lists = blocks(page, "```json\n");
    assert!(!lists.is_empty());
    for list in lists {
        assert!(serde_json::from_str::<serde_json::Value>(list).is_ok(), "{list}");
    }
}
