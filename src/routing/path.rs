//! One spelling for each path (RFC 3986 sections 5.2.4 and 6.2.2).
//!
//! Routes are matched on the canonical path and the same bytes are forwarded,
//! so that no instance can read a path in another way than it was routed. What
//! would still be ambiguous behind the proxy (an encoded slash, a backslash, a
//! control character) is refused.

use std::borrow::Cow;

/// Why a path was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PathError {
    /// Not origin-form (RFC 9112 section 3.2.1).
    #[error("a path begins with '/'")]
    NotAbsolute,
    /// `%` without two hexadecimal digits.
    #[error("'%' must be followed by two hexadecimal digits")]
    BadEncoding,
    /// `%2F`, `%5C` or `\`: a separator to some parsers and not to others.
    #[error("an encoded slash and a backslash are read differently by different servers")]
    AmbiguousSeparator,
    /// `%00` to `%1F` or `%7F`.
    #[error("a control character does not belong into a path")]
    ControlCharacter,
}

/// `path` in canonical form: unreserved characters decoded, other encodings in
/// upper case, dot segments removed. Borrowed, and found to be canonical in
/// one pass over its bytes, for the paths that clients send nearly always.
///
/// # Errors
///
/// See [`PathError`].
pub fn canonical(path: &str) -> Result<Cow<'_, str>, PathError> {
    let bytes = path.as_bytes();
    if bytes.first() != Some(&b'/') {
        return Err(PathError::NotAbsolute);
    }
    let mut previous = 0;
    for byte in bytes {
        match byte {
            b'%' => return rewrite(bytes).map(Cow::Owned),
            b'.' if previous == b'/' => return rewrite(bytes).map(Cow::Owned),
            b'\\' => return Err(PathError::AmbiguousSeparator),
            0..=0x20 | 0x7f => return Err(PathError::ControlCharacter),
            _ => {}
        }
        previous = *byte;
    }
    Ok(Cow::Borrowed(path))
}

fn rewrite(bytes: &[u8]) -> Result<String, PathError> {
    let decoded = normalise_encoding(bytes)?;
    let mut kept: Vec<&str> = Vec::new();
    let mut segments = decoded.split('/').skip(1).peekable();
    while let Some(segment) = segments.next() {
        let last = segments.peek().is_none();
        match segment {
            "." => {}
            ".." => {
                kept.pop();
            }
            _ => {
                kept.push(segment);
                continue;
            }
        }
        if last {
            kept.push("");
        }
    }
    Ok(format!("/{}", kept.join("/")))
}

fn normalise_encoding(bytes: &[u8]) -> Result<String, PathError> {
    let hex = |index: usize| {
        let digit = bytes.get(index).and_then(|byte| char::from(*byte).to_digit(16));
        digit.and_then(|digit| u8::try_from(digit).ok()).ok_or(PathError::BadEncoding)
    };
    let mut out = Vec::with_capacity(bytes.len());
    let mut index = 0;
    while let Some(byte) = bytes.get(index) {
        match byte {
            b'%' => {
                let decoded = hex(index + 1)? << 4 | hex(index + 2)?;
                match decoded {
                    b'/' | b'\\' => return Err(PathError::AmbiguousSeparator),
                    0..=0x1f | 0x7f => return Err(PathError::ControlCharacter),
                    b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                        out.push(decoded);
                    }
                    _ => out.extend_from_slice(format!("%{decoded:02X}").as_bytes()),
                }
                index += 3;
            }
            b'\\' => return Err(PathError::AmbiguousSeparator),
            0..=0x20 | 0x7f => return Err(PathError::ControlCharacter),
            _ => {
                out.push(*byte);
                index += 1;
            }
        }
    }
    // Only ASCII was decoded and the input was UTF-8, so the output is.
    Ok(String::from_utf8_lossy(&out).into_owned())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn one_spelling_for_each_path() {
        for (given, expected) in [
            ("/", "/"),
            ("/a/b", "/a/b"),
            ("/a/", "/a/"),
            ("/a/./b", "/a/b"),
            ("/a/../b", "/b"),
            ("/a/%2e%2E/b", "/b"),
            ("/..", "/"),
            ("/../../x", "/x"),
            ("/a/..", "/"),
            ("/a/b/.", "/a/b/"),
            ("/%7euser", "/~user"),
            ("/%41%c3%a9", "/A%C3%A9"),
            ("/a;b/..;/c", "/a;b/..;/c"),
            ("//a", "//a"),
            ("/.hidden/...", "/.hidden/..."),
            ("/a%20b", "/a%20b"),
        ] {
            assert_eq!(canonical(given).as_deref(), Ok(expected), "{given}");
        }
    }

    #[test]
    fn what_is_ambiguous_is_refused() {
        for (given, error) in [
            ("a", PathError::NotAbsolute),
            ("", PathError::NotAbsolute),
            ("/a%2fb", PathError::AmbiguousSeparator),
            ("/a%5Cb", PathError::AmbiguousSeparator),
            ("/a\\b", PathError::AmbiguousSeparator),
            ("/a%00", PathError::ControlCharacter),
            ("/a%0d%0ab", PathError::ControlCharacter),
            ("/a%", PathError::BadEncoding),
            ("/a%4", PathError::BadEncoding),
            ("/a%zz", PathError::BadEncoding),
            ("/./a%+1", PathError::BadEncoding),
        ] {
            assert_eq!(canonical(given), Err(error), "{given}");
        }
    }

    proptest! {
        #[test]
        fn canonical_is_a_fixed_point(path in "/[a-c./%2eE5F]{0,24}") {
            if let Ok(once) = canonical(&path) {
                let twice = canonical(&once);
                prop_assert_eq!(twice.as_deref(), Ok(&*once));
                prop_assert!(!once.split('/').any(|segment| segment == "." || segment == ".."));
            }
        }
    }
}
