//! Whether the head of a request is one that no two parsers can read in two
//! ways, and where the message ends that it begins.
//!
//! One pass over the bytes, line by line, as they come: a line that was looked
//! at is not looked at again, whatever the pieces it came in. What is let
//! through is a subset of what hyper takes, which a property test holds the
//! two to: hyper never has a reason to refuse a head by itself.

use http::{Uri, Version};
use memchr::memchr;

use crate::model::Reason;

/// The longest name of a field.
const LONGEST_NAME: usize = 1024;

/// The longest target that hyper can hold.
const LONGEST_TARGET: usize = 65_534;

/// The most fields that are held, whatever the settings say.
const MOST_FIELDS: u32 = 16_384;

/// More digits than any length has.
const LONGEST_LENGTH: usize = 19;

/// What a head may come to.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    /// Bytes of it, the empty line included.
    pub(super) head: usize,
    /// Bytes of the target.
    pub(super) target: usize,
    /// Fields.
    pub(super) fields: u32,
}

impl Limits {
    /// Those of a listener, as far as hyper can follow.
    pub(super) fn new(head: usize, target: usize, fields: u32) -> Self {
        Self { head, target: target.min(LONGEST_TARGET), fields: fields.min(MOST_FIELDS) }
    }
}

/// A rule that a head breaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Breach {
    /// In a word.
    pub(super) reason: Reason,
    /// For a person.
    pub(super) detail: &'static str,
}

const fn breach(reason: Reason, detail: &'static str) -> Breach {
    Breach { reason, detail }
}

const fn invalid(detail: &'static str) -> Breach {
    breach(Reason::RequestInvalid, detail)
}

/// What follows a head (RFC 9112 section 6.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Framing {
    /// The next head.
    Nothing,
    /// So many bytes, at least one.
    Length(u64),
    /// Chunks.
    Chunked,
}

/// How far a head has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Progress {
    /// It goes on.
    Partial,
    /// It is complete, and there is nothing to say against it.
    Complete {
        /// Its bytes, the empty line included.
        length: usize,
        /// What follows it.
        framing: Framing,
    },
    /// It breaks a rule.
    Refused(Breach),
}

/// One head, as far as it has come.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct HeadScan {
    /// Where the line begins that has not ended yet.
    line: usize,
    /// Up to where there is no end of it.
    searched: usize,
    fields: u32,
    version: Option<Version>,
    length: Option<u64>,
    chunked: bool,
}

impl HeadScan {
    /// Looks at `bytes`, all that there is of the head and of what follows it;
    /// what was there the last time is the same.
    pub(super) fn scan(&mut self, bytes: &[u8], limits: &Limits) -> Progress {
        match self.next_lines(bytes, limits) {
            Ok(progress) => progress,
            Err(breach) => Progress::Refused(breach),
        }
    }

    fn next_lines(&mut self, bytes: &[u8], limits: &Limits) -> Result<Progress, Breach> {
        match bytes {
            // An empty line before a head is for somebody else to remove.
            [] | [b'\r'] | [b'\r', b'\n', ..] => return Ok(Progress::Partial),
            // A TLS client would wait for ever for what it began.
            [first, ..] if !TOKEN[usize::from(*first)] => {
                return Err(invalid("the request does not begin with a method"));
            }
            _ => {}
        }
        while let Some(found) = memchr(b'\n', &bytes[self.searched..]) {
            let end = self.searched + found;
            if end >= limits.head {
                return Err(self.too_large());
            }
            let Some(line) = bytes[self.line..end].strip_suffix(b"\r") else {
                return Err(invalid("a line of the head does not end with CR LF"));
            };
            self.line = end + 1;
            self.searched = end + 1;
            if line.is_empty() {
                return Ok(Progress::Complete { length: end + 1, framing: self.framing() });
            }
            match self.version {
                None => self.version = Some(request_line(line, limits)?),
                Some(version) => self.field(line, version, limits)?,
            }
        }
        self.searched = bytes.len();
        if bytes.len() >= limits.head {
            return Err(self.too_large());
        }
        Ok(Progress::Partial)
    }

    /// RFC 9112 section 3, RFC 6585 section 5.
    const fn too_large(&self) -> Breach {
        match self.version {
            None => breach(Reason::TargetTooLong, "the request line is too long"),
            Some(_) => breach(Reason::HeadTooLarge, "the head of the request is too large"),
        }
    }

    const fn framing(&self) -> Framing {
        match self.length {
            _ if self.chunked => Framing::Chunked,
            None | Some(0) => Framing::Nothing,
            Some(length) => Framing::Length(length),
        }
    }

    fn field(&mut self, line: &[u8], version: Version, limits: &Limits) -> Result<(), Breach> {
        self.fields += 1;
        if self.fields > limits.fields {
            return Err(breach(Reason::HeadTooLarge, "the request has too many fields"));
        }
        let (name, value) = split_field(line).map_err(invalid)?;
        if name.len() > LONGEST_NAME {
            return Err(breach(Reason::HeadTooLarge, "the name of a field is too long"));
        }
        match name.len() {
            14 if name.eq_ignore_ascii_case(b"content-length") => self.content_length(value),
            17 if name.eq_ignore_ascii_case(b"transfer-encoding") => {
                self.transfer_encoding(value, version)
            }
            _ => Ok(()),
        }
    }

    /// RFC 9110 section 8.6. Equal ones are refused too: not everybody joins
    /// them (RFC 9112 section 6.3).
    fn content_length(&mut self, value: &[u8]) -> Result<(), Breach> {
        if self.length.is_some() {
            return Err(invalid("more than one Content-Length"));
        }
        if self.chunked {
            return Err(invalid("both Content-Length and Transfer-Encoding"));
        }
        let value = value.trim_ascii();
        let digits = (1..=LONGEST_LENGTH).contains(&value.len());
        let length = (digits && value.iter().all(u8::is_ascii_digit))
            .then(|| std::str::from_utf8(value).ok()?.parse().ok())
            .flatten()
            .filter(|length| *length <= i64::MAX.cast_unsigned());
        self.length = Some(length.ok_or(invalid("Content-Length is not one number"))?);
        Ok(())
    }

    /// RFC 9112 section 6.1.
    fn transfer_encoding(&mut self, value: &[u8], version: Version) -> Result<(), Breach> {
        if version == Version::HTTP_10 {
            return Err(invalid("Transfer-Encoding in a request of HTTP/1.0"));
        }
        if self.chunked {
            return Err(invalid("more than one Transfer-Encoding"));
        }
        if self.length.is_some() {
            return Err(invalid("both Content-Length and Transfer-Encoding"));
        }
        if !value.trim_ascii().eq_ignore_ascii_case(b"chunked") {
            return Err(not_chunked(value));
        }
        self.chunked = true;
        Ok(())
    }
}

/// Why a `Transfer-Encoding` other than `chunked` is refused: it cannot be
/// read, or it can and is not understood.
#[cold]
fn not_chunked(value: &[u8]) -> Breach {
    let codings = || value.split(|byte| *byte == b',').map(<[u8]>::trim_ascii);
    let is_token = |coding: &[u8]| !coding.is_empty() && token_length(coding) == coding.len();
    if !codings().all(is_token) {
        return invalid("Transfer-Encoding is not a list of codings");
    }
    if codings().all(|coding| coding.eq_ignore_ascii_case(b"chunked")) {
        return invalid("chunked more than once");
    }
    breach(Reason::CodingRefused, "the only transfer coding understood is chunked")
}

/// Reads `GET /path HTTP/1.1` (RFC 9112 section 3).
fn request_line(line: &[u8], limits: &Limits) -> Result<Version, Breach> {
    let method = token_length(line);
    let Some(rest) = line[method..].strip_prefix(b" ") else {
        return Err(invalid("the method is not a token with a space behind it"));
    };
    let Some(target) = memchr(b' ', rest) else {
        return Err(invalid("the request line has no version"));
    };
    let (target, version) = (&rest[..target], &rest[target + 1..]);
    if target.len() > limits.target {
        return Err(breach(Reason::TargetTooLong, "the request target is too long"));
    }
    check_target(target)?;
    match version {
        b"HTTP/1.1" => Ok(Version::HTTP_11),
        b"HTTP/1.0" => Ok(Version::HTTP_10),
        [b'H', b'T', b'T', b'P', b'/', major, b'.', minor]
            if major.is_ascii_digit() && minor.is_ascii_digit() =>
        {
            Err(breach(Reason::VersionRefused, "the versions spoken here are HTTP/1.0 and 1.1"))
        }
        _ => Err(invalid("the request line does not end with a version of HTTP")),
    }
}

/// RFC 9112 section 3.2. Whether a form fits its method is told where h2 is
/// told it too.
fn check_target(target: &[u8]) -> Result<(), Breach> {
    let bad = "the target has a character that has to be percent-encoded";
    let path = memchr(b'?', target).unwrap_or(target.len());
    let holds =
        |class: u8, part: &[u8]| part.iter().all(|byte| TARGET[usize::from(*byte)] & class != 0);
    if !holds(IN_PATH, &target[..path]) || !holds(IN_QUERY, &target[path..]) {
        return Err(invalid(if target.contains(&b'#') {
            "the target has a fragment"
        } else {
            bad
        }));
    }
    match target {
        [b'/', ..] | b"*" => Ok(()),
        // Seldom, and told by the parser that hyper asks.
        [first, ..] if first.is_ascii_alphanumeric() || *first == b'[' => {
            Uri::try_from(target).map(drop).map_err(|_| invalid("the target is not a URI"))
        }
        _ => Err(invalid("the target does not begin with '/'")),
    }
}

/// Splits a line into the name and the value of a field (RFC 9112 section 5).
///
/// # Errors
///
/// Says what is wrong with it.
pub(super) fn split_field(line: &[u8]) -> Result<(&[u8], &[u8]), &'static str> {
    let name = token_length(line);
    if line.get(name) != Some(&b':') || name == 0 {
        return Err(match line {
            [b' ' | b'\t', ..] => "a line of the head is folded, or has a space before it",
            _ => "the name of a field is not a token with a colon behind it",
        });
    }
    let (name, value) = (&line[..name], &line[name + 1..]);
    if has_control(value) {
        return Err("the value of a field has a control character");
    }
    Ok((name, value))
}

/// Whether a byte is there that a value of a field cannot have (RFC 9110
/// section 5.5). Without a way out, so that many bytes are looked at at once.
fn has_control(value: &[u8]) -> bool {
    value.iter().fold(false, |found, byte| found | is_control(*byte))
}

/// Whether `byte` cannot be part of the value of a field.
pub(super) const fn is_control(byte: u8) -> bool {
    (byte < b' ') & (byte != b'\t') | (byte == 0x7f)
}

/// Whether `byte` can be part of a token (RFC 9110 section 5.6.2).
pub(super) const fn is_token(byte: u8) -> bool {
    TOKEN[byte as usize]
}

fn token_length(bytes: &[u8]) -> usize {
    bytes.iter().position(|byte| !is_token(*byte)).unwrap_or(bytes.len())
}

const TOKEN: [bool; 256] = {
    let mut table = [false; 256];
    let mut byte = 0;
    while byte < 128 {
        table[byte] = (byte as u8).is_ascii_alphanumeric();
        byte += 1;
    }
    let others = b"!#$%&'*+-.^_`|~";
    let mut index = 0;
    while index < others.len() {
        table[others[index] as usize] = true;
        index += 1;
    }
    table
};

const IN_PATH: u8 = 1;
const IN_QUERY: u8 = 2;

/// What a target may hold: what is printable, but for what browsers encode as
/// well.
const TARGET: [u8; 256] = {
    let mut table = [0; 256];
    let mut byte = b'!';
    while byte <= b'~' {
        table[byte as usize] = match byte {
            b'"' | b'#' | b'<' | b'>' => 0,
            b'`' | b'{' | b'}' => IN_QUERY,
            _ => IN_PATH | IN_QUERY,
        };
        byte += 1;
    }
    table
};

#[cfg(test)]
mod tests;
