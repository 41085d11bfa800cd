//! Broken files, thousands of them: none makes the checks panic, and each is
//! either good or has an error.

use proptest::prelude::*;

use super::{example::EXAMPLE, *};

fn check(text: &str) {
    match parse(text, "proxy.toml", &env) {
        Ok(loaded) => {
            assert_eq!(loaded.route_lines.len(), loaded.config.route.len());
            let _ = loaded.report().render(false);
        }
        Err(report) => {
            assert!(report.has_errors(), "{text}");
            let lines = u32::try_from(text.lines().count()).expect("short");
            for found in &report.diagnostics {
                assert!((1..=lines + 1).contains(&found.line) && found.column >= 1, "{found:?}");
            }
            assert!(report.render(false).contains("error"));
            let _ = report.github();
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_000))]

    #[test]
    fn a_file_that_was_cut_off_is_good_or_has_an_error(end in 0..EXAMPLE.len()) {
        check(&EXAMPLE[..diagnostic::floor(EXAMPLE, end)]);
    }
}

#[test]
fn deep_nesting_and_odd_line_ends_are_taken() {
    for deep in ["[", "{a=", "a."] {
        check(&format!("workers = {}", deep.repeat(50_000)));
        check(&format!("{}b = 1", deep.repeat(50_000)));
    }
    check(&EXAMPLE.replace('\n', "\r\n"));
    check(&format!("\u{feff}{EXAMPLE}"));
    let report = refused("\u{feff}# é\r\nx = 1\r\n");
    assert_eq!((report.diagnostics[0].line, report.diagnostics[0].column), (2, 1));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    #[test]
    fn a_file_with_a_piece_replaced_is_good_or_has_an_error(
        start in 0..EXAMPLE.len(),
        length in 0_usize..40,
        piece in r#"[\[\]{}"'=.,#$\\ \na-z0-9é-]{0,8}"#,
    ) {
        let start = diagnostic::floor(EXAMPLE, start);
        let end = diagnostic::floor(EXAMPLE, start + length).max(start);
        check(&format!("{}{piece}{}", &EXAMPLE[..start], &EXAMPLE[end..]));
    }

    #[test]
    fn any_text_is_good_or_has_an_error(text in r#"([\[\]{}"'=.,#$\\ \n]|route|service|a|é|"\$\{SECRET\}"|\t|\r\n){0,40}"#) {
        check(&text);
    }
}
