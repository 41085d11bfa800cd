//! What is written is read back, and nothing else is read.

use super::*;
use crate::registry::tests::{instance, registration};

fn export() -> Export {
    let mut registrations: Vec<_> =
        (1..=5).map(|n| registration(instance(&format!("orders/{n}"), "10.0.0.1:80"), n)).collect();
    registrations[1].draining = true;
    registrations[2].owner = Some("it's \"quoted\"\n☂".to_owned());
    Export::of(Contents { registrations, last_generation: 9, commits: 12 })
}

fn refusal(text: &str) -> String {
    Export::parse(text.as_bytes()).expect_err("must not be read").to_string()
}

#[test]
fn what_is_written_is_read_back() {
    for export in [export(), Export::of(Contents::default())] {
        let text = export.to_text();
        assert_eq!(Export::parse(text.as_bytes()).expect("an export"), export);
        let (taken, commits, instances) = glance(&text).expect("an export");
        assert_eq!((taken, commits), (export.taken, export.contents.commits));
        assert_eq!(instances as usize, export.registrations().len());
    }
}

#[test]
fn a_cut_or_changed_text_is_refused() {
    let text = export().to_text();
    let bytes = text.as_bytes();
    for end in 0..bytes.len() {
        assert!(Export::parse(&bytes[..end]).is_err(), "cut at {end}");
    }
    let head = text.find('\n').expect("a line") + 1;
    for byte in head..bytes.len() {
        let mut changed = bytes.to_vec();
        changed[byte] ^= 1 << fastrand::u32(..8);
        assert!(Export::parse(&changed).is_err(), "changed at {byte}");
    }
}

#[test]
fn the_line_that_is_wrong_is_named() {
    let text = export().to_text();
    let lines: Vec<_> = text.lines().collect();
    let with = |number: usize, line: &str| {
        let mut lines = lines.clone();
        lines[number - 1] = line;
        lines.join("\n") + "\n"
    };
    assert!(refusal(&with(3, "{}")).starts_with("line 3: missing field `generation`"));
    assert!(refusal(&with(4, "nonsense")).starts_with("line 4: expected ident, at column 2"));
    let bad = lines[1].replace("10.0.0.1:80", "nowhere");
    assert!(refusal(&with(2, &bad)).starts_with("line 2: "), "{}", refusal(&with(2, &bad)));
    assert_eq!(refusal(&with(6, lines[3])), "line 6: orders/3 is on line 4 already");
    let twice = lines[5].replace("\"generation\":5", "\"generation\":1");
    assert_eq!(refusal(&with(6, &twice)), "line 6: generation 1 is on line 2 already");
    let never = lines[5].replace("\"generation\":5", "\"generation\":10");
    assert_eq!(refusal(&with(6, &never)), "line 6: generation 10 was never given");
    let unknown = lines[5].replace("\"generation\"", "\"drainning\":true,\"generation\"");
    assert!(refusal(&with(6, &unknown)).starts_with("line 6: unknown field `drainning`"));
    assert!(refusal(&lines[..4].join("\n")).contains("promises 5 instances, and 3 follow"));
    assert!(refusal(&with(2, &lines[1].replace("10.0.0.1", "10.0.0.2"))).contains("checksum"));
}

#[test]
fn another_format_and_another_file_are_refused() {
    let newer = r#"{"portolan_registry":2,"anything":true}"#;
    assert_eq!(refusal(newer), "line 1: it has format 2 and this version knows 1");
    assert!(refusal("{\"name\":\"x\"}\n").contains("not the header of an export"));
    assert!(refusal("").starts_with("line 1: "));
    assert_eq!(
        Export::parse(b"{\"portolan_registry\":1}\n\xff").expect_err("not text").to_string(),
        "line 2: it is not UTF-8"
    );
}

#[test]
fn what_a_person_leaves_out_of_the_header_is_not_checked() {
    let text = export().to_text();
    let (_, body) = text.split_once('\n').expect("a header");
    let read = Export::parse(format!("{{\"portolan_registry\":1}}\n{body}").as_bytes());
    let read = read.expect("an export");
    assert_eq!(read.registrations(), export().registrations());
    assert_eq!(read.last_generation(), 5);
}
