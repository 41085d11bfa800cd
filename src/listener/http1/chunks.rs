//! Where a chunked body ends, and whether its framing can be read in one way
//! only (RFC 9112 section 7.1).
//!
//! hyper decodes the chunks; this only follows them, so that what comes behind
//! the last one is known to be a head. Every line ends with CR LF, a size is
//! hexadecimal digits and nothing else, and extensions and trailers are
//! bounded below what hyper bounds them to.

use super::head::{is_control, is_token};

/// Digits of a size.
const LONGEST_SIZE: u8 = 15;

/// Bytes of all extensions of a body.
const MOST_EXTENSIONS: u16 = 8192;

/// Bytes of all trailers of a body.
const MOST_TRAILERS: u16 = 8192;

/// Fields in the trailers of a body, if a head may have as many.
const MOST_FIELDS: u8 = 64;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Before the first digit of a size.
    Size,
    /// Behind a digit of it.
    Digits,
    /// White space behind it, where only an extension may follow.
    Space,
    Extension,
    /// Behind the CR of a line with a size.
    SizeEnd,
    Data,
    /// Behind the last byte of a chunk.
    DataCr,
    DataLf,
    /// Where a trailer begins, or the empty line.
    Trailer,
    Name,
    Value,
    ValueEnd,
    /// Behind the CR of the empty line.
    LastLf,
}

/// One chunked body, as far as it has come.
#[derive(Clone, Copy, Debug)]
pub(super) struct Chunks {
    state: State,
    /// What is left of the chunk.
    size: u64,
    digits: u8,
    extensions: u16,
    trailers: u16,
    /// Fields that may still come.
    fields: u8,
}

/// How many bytes belong to a body, and how it goes on behind them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Passed {
    /// The bytes.
    pub(super) length: usize,
    /// How it goes on.
    pub(super) then: Then,
}

/// How a body goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Then {
    /// With more bytes.
    More,
    /// Not at all.
    Over,
    /// It breaks a rule.
    Broken(&'static str),
}

impl Chunks {
    /// The body behind a head that may have so many fields.
    pub(super) fn new(fields: u32) -> Self {
        let fields = u8::try_from(fields).map_or(MOST_FIELDS, |fields| fields.min(MOST_FIELDS));
        Self { state: State::Size, size: 0, digits: 0, extensions: 0, trailers: 0, fields }
    }

    /// Follows the body through `bytes`, which come next.
    pub(super) fn pass(&mut self, bytes: &[u8]) -> Passed {
        let mut at = 0;
        while at < bytes.len() {
            if self.state == State::Data {
                let rest = bytes.len() - at;
                let taken = usize::try_from(self.size).map_or(rest, |size| size.min(rest));
                at += taken;
                self.size -= taken as u64;
                if self.size == 0 {
                    self.state = State::DataCr;
                }
                continue;
            }
            match self.step(bytes[at]) {
                Ok(false) => at += 1,
                Ok(true) => return Passed { length: at + 1, then: Then::Over },
                Err(detail) => return Passed { length: at, then: Then::Broken(detail) },
            }
        }
        Passed { length: at, then: Then::More }
    }

    /// Takes one byte that is not data, and says whether it is the last.
    fn step(&mut self, byte: u8) -> Result<bool, &'static str> {
        self.state = match (self.state, byte) {
            (State::Size | State::Digits, _) if byte.is_ascii_hexdigit() => self.digit(byte)?,
            (State::Digits, b'\r') => State::SizeEnd,
            (State::Digits | State::Space, b' ' | b'\t') => self.extension(State::Space)?,
            (State::Digits | State::Space, b';') => self.extension(State::Extension)?,
            (State::Size | State::Digits | State::Space, _) => {
                return Err("the size of a chunk is not a hexadecimal number");
            }
            (State::Extension, b'\r') => State::SizeEnd,
            (State::Extension, _) if !is_control(byte) => self.extension(State::Extension)?,
            (State::SizeEnd, b'\n') if self.size == 0 => State::Trailer,
            (State::SizeEnd, b'\n') => State::Data,
            (State::Extension | State::SizeEnd, _) => {
                return Err("the line with the size of a chunk does not end with CR LF");
            }
            (State::DataCr, b'\r') => State::DataLf,
            (State::DataLf, b'\n') => {
                self.digits = 0;
                State::Size
            }
            (State::DataCr | State::DataLf, _) => {
                return Err("a chunk is longer than it says");
            }
            (State::Trailer, b'\r') => State::LastLf,
            (State::LastLf, b'\n') => return Ok(true),
            (State::Trailer, _) if is_token(byte) => {
                self.fields = self.fields.checked_sub(1).ok_or("too many trailers")?;
                self.trailer(State::Name)?
            }
            (State::Name, _) if is_token(byte) => self.trailer(State::Name)?,
            (State::Name, b':') => self.trailer(State::Value)?,
            (State::Value, b'\r') => self.trailer(State::ValueEnd)?,
            (State::Value, _) if !is_control(byte) => self.trailer(State::Value)?,
            (State::ValueEnd, b'\n') => self.trailer(State::Trailer)?,
            _ => return Err("a trailer is not a field with CR LF behind it"),
        };
        Ok(false)
    }

    fn digit(&mut self, byte: u8) -> Result<State, &'static str> {
        self.digits += 1;
        if self.digits > LONGEST_SIZE {
            return Err("the size of a chunk is too large");
        }
        let digit = char::from(byte).to_digit(16).unwrap_or_default();
        self.size = self.size << 4 | u64::from(digit);
        Ok(State::Digits)
    }

    fn extension(&mut self, next: State) -> Result<State, &'static str> {
        self.extensions += 1;
        if self.extensions > MOST_EXTENSIONS {
            return Err("the chunk extensions are too long");
        }
        Ok(next)
    }

    fn trailer(&mut self, next: State) -> Result<State, &'static str> {
        self.trailers += 1;
        if self.trailers > MOST_TRAILERS {
            return Err("the trailers are too long");
        }
        Ok(next)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pass(body: &[u8]) -> Passed {
        Chunks::new(100).pass(body)
    }

    #[test]
    fn a_body_ends_behind_its_empty_line() {
        for body in [
            &b"0\r\n\r\n"[..],
            b"5\r\nhello\r\n0\r\n\r\n",
            b"00000a\r\n0123456789\r\n0\r\n\r\n",
            b"A;name=value;other=\"quoted\"\r\n0123456789\r\n0;x\r\n\r\n",
            b"1 ;x\r\na\r\n0\r\n\r\n",
            b"1\r\n\n\r\n0\r\nX-Sum: 1\r\nx-other:\r\n\r\n",
        ] {
            let mut longer = body.to_vec();
            longer.extend_from_slice(b"GET /");
            assert_eq!(pass(&longer), Passed { length: body.len(), then: Then::Over }, "{body:?}");
        }
    }

    #[test]
    fn f5_chunk_lines_are_read_in_one_way_only() {
        for (body, length) in [
            (&b"\r\n"[..], 0),
            (b";x\r\n", 0),
            (b" 5\r\n", 0),
            (b"+5\r\n", 0),
            (b"0x5\r\n", 1),
            (b"-1\r\n", 0),
            (b"5\nhello", 1),
            (b"5\rhello", 2),
            (b"5 \r\nhello", 2),
            (b"5 5\r\nhello", 2),
            (b"5\r\nhello\n", 8),
            (b"5\r\nhelloo\r\n", 8),
            (b"5\r\nhello\r\r\n", 9),
            (b"0\n\r\n", 1),
            (b"0\r\n\n", 3),
            (b"0\r\n\r\r", 4),
            (b"FFFFFFFFFFFFFFFF\r\n", 15),
            (b"0000000000000001\r\n", 15),
            (b"0\r\n x: 1\r\n\r\n", 3),
            (b"0\r\nx : 1\r\n\r\n", 4),
            (b"0\r\nx: 1\n\r\n", 7),
            (b"0\r\nx: \0\r\n\r\n", 6),
        ] {
            let passed = pass(body);
            assert!(matches!(passed.then, Then::Broken(_)), "{body:?}: {passed:?}");
            assert_eq!(passed.length, length, "{body:?}: {passed:?}");
        }
    }

    #[test]
    fn f6_chunk_extensions_are_text_and_bounded() {
        for ext in ["\0", "\n", "\x7f", "a\rb"] {
            let body = format!("1;{ext}\r\na\r\n0\r\n\r\n");
            assert!(matches!(pass(body.as_bytes()).then, Then::Broken(_)), "{ext:?}");
        }
        let chunk = format!("1;{}\r\na\r\n", "x".repeat(999));
        let body = |chunks: usize| format!("{}0\r\n\r\n", chunk.repeat(chunks));
        assert_eq!(pass(body(8).as_bytes()).then, Then::Over);
        assert!(matches!(pass(body(9).as_bytes()).then, Then::Broken(_)));
    }

    #[test]
    fn trailers_are_bounded() {
        let body = |fields: usize| format!("0\r\n{}\r\n", "a: b\r\n".repeat(fields));
        assert_eq!(pass(body(64).as_bytes()).then, Then::Over);
        assert!(matches!(pass(body(65).as_bytes()).then, Then::Broken(_)));
        let long = format!("0\r\na: {}\r\n\r\n", "b".repeat(9000));
        assert!(matches!(pass(long.as_bytes()).then, Then::Broken(_)));
    }
}
