//! `${NAME}`, `${NAME:-value}` and `${file:PATH}` in text values.
//!
//! Works on single values after the file is parsed, so what is put in can
//! never add keys or sections. `$${` stands for `${`; any other `$` is itself.

use std::{borrow::Cow, fs::File, io::Read, ops::Range, path::Path};

/// The most bytes that `${file:PATH}` takes in.
const FILE_LIMIT: u64 = 64 << 10;

/// Why a reference could not be replaced. None of them holds a value.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum InterpolateError {
    #[error("the environment variable `{name}` is not set")]
    NoVariable { name: String },
    #[error("cannot read {path}: {why}")]
    NoFile { path: String, why: String },
    #[error("`${{` has no closing brace")]
    Unclosed,
    #[error("`{name}` is not the name of a variable")]
    BadName { name: String },
}

/// What references are replaced from.
pub(super) struct Surroundings<'a> {
    /// The environment.
    pub(super) env: &'a dyn Fn(&str) -> Option<String>,
    /// Where relative paths begin.
    pub(super) folder: &'a Path,
}

impl Surroundings<'_> {
    /// `text` with its references replaced; borrowed if there are none. An
    /// error comes with the place of the reference in `text`.
    pub(super) fn expand<'t>(
        &self,
        text: &'t str,
    ) -> Result<Cow<'t, str>, (InterpolateError, Range<usize>)> {
        let mut out = String::new();
        let mut done = 0;
        while let Some(found) = text[done..].find("${").map(|at| done + at) {
            if text[done..found].ends_with('$') {
                out.push_str(&text[done..found]);
                out.push('{');
                done = found + 2;
                continue;
            }
            let body = &text[found + 2..];
            let Some(length) = body.find('}') else {
                return Err((InterpolateError::Unclosed, found..text.len()));
            };
            let end = found + 2 + length + 1;
            out.push_str(&text[done..found]);
            match self.value(&body[..length]) {
                Ok(value) => out.push_str(&value),
                Err(error) => return Err((error, found..end)),
            }
            done = end;
        }
        if done == 0 {
            return Ok(Cow::Borrowed(text));
        }
        out.push_str(&text[done..]);
        Ok(Cow::Owned(out))
    }

    fn value(&self, reference: &str) -> Result<String, InterpolateError> {
        if let Some(path) = reference.strip_prefix("file:") {
            return self.read(path);
        }
        let (name, default) = match reference.split_once(":-") {
            Some((name, default)) => (name, Some(default)),
            None => (reference, None),
        };
        let valid = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
            && name.bytes().next().is_some_and(|first| !first.is_ascii_digit());
        if !valid {
            return Err(InterpolateError::BadName { name: name.to_owned() });
        }
        match ((self.env)(name), default) {
            // As in a shell, `:-` also stands in for an empty variable.
            (Some(value), default) if !value.is_empty() || default.is_none() => Ok(value),
            (_, Some(default)) => Ok(default.to_owned()),
            (_, None) => Err(InterpolateError::NoVariable { name: name.to_owned() }),
        }
    }

    fn read(&self, path: &str) -> Result<String, InterpolateError> {
        let refused = |why: String| InterpolateError::NoFile { path: format!("{path:?}"), why };
        let mut text = String::new();
        // A device or pipe might never end, or never begin.
        let file = self.folder.join(path);
        let metadata = file.metadata().map_err(|error| refused(error.to_string()))?;
        if !metadata.is_file() {
            return Err(refused("it is not a plain file".into()));
        }
        File::open(&file)
            .and_then(|file| file.take(FILE_LIMIT + 1).read_to_string(&mut text))
            .map_err(|error| refused(error.to_string()))?;
        if text.len() as u64 > FILE_LIMIT {
            return Err(refused("it has more than 64 KiB".into()));
        }
        let kept =
            text.strip_suffix('\n').map_or(&*text, |text| text.strip_suffix('\r').unwrap_or(text));
        text.truncate(kept.len());
        Ok(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn expand(text: &str) -> Result<String, InterpolateError> {
        let env = |name: &str| match name {
            "HOST" => Some("shop.example".to_owned()),
            "EMPTY" => Some(String::new()),
            _ => None,
        };
        let surroundings = Surroundings { env: &env, folder: Path::new("/nowhere") };
        surroundings.expand(text).map(Cow::into_owned).map_err(|(error, _)| error)
    }

    #[test]
    fn variables_defaults_and_escapes() {
        for (text, expected) in [
            ("plain", "plain"),
            ("${HOST}", "shop.example"),
            ("a ${HOST} b ${HOST}", "a shop.example b shop.example"),
            ("${NONE:-x.example}", "x.example"),
            ("${HOST:-x}", "shop.example"),
            ("${EMPTY:-x}", "x"),
            ("${EMPTY}", ""),
            ("${NONE:-}", ""),
            ("$${HOST}", "${HOST}"),
            ("a$${b}${HOST}", "a${b}shop.example"),
            ("$5 $HOST $", "$5 $HOST $"),
        ] {
            assert_eq!(expand(text).as_deref(), Ok(expected), "{text}");
        }
    }

    #[test]
    fn what_cannot_be_replaced_is_an_error() {
        use InterpolateError as E;
        assert!(matches!(expand("${NONE}"), Err(E::NoVariable { name }) if name == "NONE"));
        assert_eq!(expand("a ${HOST"), Err(E::Unclosed));
        for bad in ["${}", "${1A}", "${A B}", "${A-b}", "${env:A}"] {
            assert!(matches!(expand(bad), Err(E::BadName { .. })), "{bad}");
        }
        assert!(matches!(expand("${file:x}"), Err(E::NoFile { .. })));
        assert!(matches!(expand("${file:/dev/zero}"), Err(E::NoFile { .. })));
    }

    #[test]
    fn files_are_read_beside_the_config_less_the_last_line_break() {
        let folder = tempfile::tempdir().expect("a folder");
        for (content, expected) in [("a\n", "a"), ("a\r\n", "a"), ("a\n\n", "a\n"), ("a", "a")] {
            std::fs::write(folder.path().join("value"), content).expect("written");
            let surroundings = Surroundings { env: &|_| None, folder: folder.path() };
            assert_eq!(
                surroundings.expand("<${file:value}>").as_deref(),
                Ok(&*format!("<{expected}>"))
            );
        }
        std::fs::write(folder.path().join("big"), "x".repeat(70_000)).expect("written");
        let surroundings = Surroundings { env: &|_| None, folder: folder.path() };
        assert!(surroundings.expand("${file:big}").is_err());
    }
}
