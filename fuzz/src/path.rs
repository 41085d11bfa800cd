//! One spelling for each path, the same one that a naive reader comes to, and
//! nothing in it that another reader takes for a separator.

use std::borrow::Cow;

use portolan::routing::path::canonical;

/// Holds the canonical form of a path against a slower way to it.
pub fn check(data: &[u8]) {
    let Ok(path) = std::str::from_utf8(data) else { return };
    let plain = decoded(path).filter(|_| path.starts_with('/'));
    let plain = plain.filter(|_| !path.bytes().any(|byte| byte == b'\\' || is_control(byte)));
    match (canonical(path), plain) {
        (Err(_), None) => {}
        (Ok(found), Some(plain)) => {
            assert_eq!(canonical(&found), Ok(Cow::Borrowed(&*found)), "a fixed point");
            // No slash is encoded, so whoever decodes first finds the same.
            assert_eq!(decoded(&found), Some(without_dots(&plain)), "{path:?} is {found:?}");
            for segment in found.split('/') {
                let segment = decoded(segment);
                assert!(segment.is_some_and(|it| it != b"." && it != b".."), "{found:?}");
            }
        }
        (found, plain) => panic!("{path:?}: {found:?}, and by the naive way {plain:?}"),
    }
}

/// The bytes behind the encoding; none if they could be a separator or a
/// control character, or if it is no encoding.
fn decoded(path: &str) -> Option<Vec<u8>> {
    let mut bytes = path.bytes();
    let mut plain = Vec::new();
    while let Some(byte) = bytes.next() {
        if byte != b'%' {
            plain.push(byte);
            continue;
        }
        let mut digit = || char::from(bytes.next()?).to_digit(16);
        let byte = (digit()? * 16 + digit()?) as u8;
        if matches!(byte, b'/' | b'\\' | 0..=0x1f | 0x7f) {
            return None;
        }
        plain.push(byte);
    }
    Some(plain)
}

fn is_control(byte: u8) -> bool {
    byte <= b' ' || byte == 0x7f
}

/// The algorithm of RFC 3986 section 5.2.4, letter by letter.
fn without_dots(path: &[u8]) -> Vec<u8> {
    let mut input = path.to_vec();
    let mut output: Vec<u8> = Vec::new();
    let pop = |output: &mut Vec<u8>| {
        output.truncate(output.iter().rposition(|byte| *byte == b'/').unwrap_or(0));
    };
    while !input.is_empty() {
        if input.starts_with(b"/./") {
            input.drain(..2);
        } else if input == b"/." {
            input.truncate(1);
        } else if input.starts_with(b"/../") {
            input.drain(..3);
            pop(&mut output);
        } else if input == b"/.." {
            input.truncate(1);
            pop(&mut output);
        } else {
            let next = input[1..].iter().position(|byte| *byte == b'/');
            output.extend(input.drain(..next.map_or(input.len(), |at| at + 1)));
        }
    }
    output
}
