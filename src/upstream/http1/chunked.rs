//! Chunks as they come (RFC 9112 section 7.1). Pure.
//!
//! Extensions are dropped. Lines end with CR LF and with nothing else: a
//! reader that takes less for the end of a line sees other chunks.

use bytes::{Buf, Bytes, BytesMut};
use http::HeaderMap;

use super::{Malformed, head};

/// Bytes of all extensions of one body. They mean nothing to anybody here, and
/// without a bound they would be a body that never ends.
const MOST_EXTENSION: usize = 16 << 10;

/// The most bytes of trailers.
const LONGEST_TRAILERS: usize = 64 << 10;

/// A body that comes in chunks.
#[derive(Debug, Default)]
pub(super) struct Chunked {
    place: Place,
    /// Bytes of extensions so far.
    extension: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    /// In the size, of which so many digits were read.
    Size { size: u64, digits: u8 },
    /// In the whitespace behind the size, or in the extensions.
    Behind { size: u64, extension: bool },
    /// Before the LF of the line of the size.
    SizeEnd { size: u64 },
    /// Before so many bytes of data.
    Data { left: u64 },
    /// Before the CR LF behind the data.
    DataEnd,
    /// In the trailers, of which so many bytes were looked at.
    Trailers { seen: usize },
    /// Behind all of it.
    End,
}

impl Default for Place {
    fn default() -> Self {
        Self::Size { size: 0, digits: 0 }
    }
}

/// What was found next.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Found {
    /// A piece of a chunk.
    Data(Bytes),
    /// Trailers, and with them the end.
    Trailers(HeaderMap),
    /// The end.
    End,
    /// Nothing before more bytes come.
    Nothing,
}

impl Chunked {
    /// Whether the end was found.
    pub(super) fn is_ended(&self) -> bool {
        self.place == Place::End
    }

    /// Takes what is next out of `bytes`.
    pub(super) fn next(&mut self, bytes: &mut BytesMut) -> Result<Found, Malformed> {
        if let Some(trailers) = self.skip(bytes)? {
            return Ok(Found::Trailers(trailers));
        }
        match &mut self.place {
            Place::End => Ok(Found::End),
            Place::Data { left } if !bytes.is_empty() => {
                let length =
                    usize::try_from(*left).map_or(bytes.len(), |left| left.min(bytes.len()));
                *left -= length as u64;
                if *left == 0 {
                    self.place = Place::DataEnd;
                }
                Ok(Found::Data(bytes.split_to(length).freeze()))
            }
            _ => Ok(Found::Nothing),
        }
    }

    /// Goes over what is no data, as far as it is there: with the last bytes
    /// of a body its end is known too. Answers with the trailers if there are
    /// some.
    pub(super) fn skip(&mut self, bytes: &mut BytesMut) -> Result<Option<HeaderMap>, Malformed> {
        loop {
            match self.place {
                Place::Data { .. } | Place::End => return Ok(None),
                Place::Trailers { mut seen } => {
                    if bytes.starts_with(b"\r\n") {
                        bytes.advance(2);
                        self.place = Place::End;
                        return Ok(None);
                    }
                    let end = head::end(bytes, &mut seen, Malformed::Trailers)?;
                    if end.unwrap_or(bytes.len()) > LONGEST_TRAILERS {
                        return Err(Malformed::Trailers);
                    }
                    let Some(end) = end else {
                        self.place = Place::Trailers { seen };
                        return Ok(None);
                    };
                    self.place = Place::End;
                    let section = bytes.split_to(end).freeze();
                    return head::parse_trailers(&section).map(Some);
                }
                Place::DataEnd => {
                    if bytes.len() < 2 {
                        let is_begun = bytes.first().is_none_or(|byte| *byte == b'\r');
                        return if is_begun { Ok(None) } else { Err(Malformed::Chunk) };
                    }
                    if !bytes.starts_with(b"\r\n") {
                        return Err(Malformed::Chunk);
                    }
                    bytes.advance(2);
                    self.place = Place::default();
                }
                Place::Size { .. } | Place::Behind { .. } | Place::SizeEnd { .. } => {
                    if !self.skip_size(bytes)? {
                        return Ok(None);
                    }
                }
            }
        }
    }

    /// Goes over the line of a size. False if its end is not there.
    fn skip_size(&mut self, bytes: &mut BytesMut) -> Result<bool, Malformed> {
        let mut read = 0;
        for byte in &**bytes {
            read += 1;
            self.place = match (self.place, *byte) {
                (Place::Size { size, digits }, byte) if byte.is_ascii_hexdigit() => {
                    // Sixteen are as many as there are in 64 bits.
                    if digits == 16 {
                        return Err(Malformed::Chunk);
                    }
                    let size = size << 4 | u64::from(digit(byte));
                    Place::Size { size, digits: digits + 1 }
                }
                (Place::Size { digits: 0, .. }, _) => return Err(Malformed::Chunk),
                (Place::Size { size, .. } | Place::Behind { size, .. }, b'\r') => {
                    Place::SizeEnd { size }
                }
                (Place::Size { size, .. }, b' ' | b'\t') => {
                    Place::Behind { size, extension: false }
                }
                (Place::Size { size, .. } | Place::Behind { size, .. }, b';') => {
                    Place::Behind { size, extension: true }
                }
                (place @ Place::Behind { extension, .. }, byte)
                    if matches!(byte, b' ' | b'\t') || (extension && is_text(byte)) =>
                {
                    place
                }
                (Place::SizeEnd { size: 0 }, b'\n') => Place::Trailers { seen: 0 },
                (Place::SizeEnd { size }, b'\n') => Place::Data { left: size },
                _ => return Err(Malformed::Chunk),
            };
            match self.place {
                Place::Behind { .. } => {
                    self.extension += 1;
                    if self.extension > MOST_EXTENSION {
                        return Err(Malformed::Chunk);
                    }
                }
                Place::Data { .. } | Place::Trailers { .. } => {
                    bytes.advance(read);
                    return Ok(true);
                }
                _ => {}
            }
        }
        bytes.advance(read);
        Ok(false)
    }
}

const fn digit(byte: u8) -> u8 {
    match byte {
        b'0'..=b'9' => byte - b'0',
        _ => (byte | 0x20) - b'a' + 10,
    }
}

/// Whether `byte` may stand in an extension.
const fn is_text(byte: u8) -> bool {
    byte >= 0x20 && byte != 0x7f
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Data, trailers, and what is left over.
    type Decoded = (Vec<u8>, Vec<String>, Vec<u8>);

    /// What is in `pieces`, if they have an end.
    fn decode(pieces: &[&[u8]]) -> Result<Option<Decoded>, Malformed> {
        let mut chunked = Chunked::default();
        let mut bytes = BytesMut::new();
        let mut data = Vec::new();
        let mut trailers = Vec::new();
        for piece in pieces {
            bytes.extend_from_slice(piece);
            loop {
                match chunked.next(&mut bytes)? {
                    Found::Data(piece) => data.extend_from_slice(&piece),
                    Found::Trailers(map) => {
                        let text = |(name, value): (&http::HeaderName, &http::HeaderValue)| {
                            format!("{name}={}", value.to_str().expect("text"))
                        };
                        trailers.extend(map.iter().map(text));
                    }
                    Found::End | Found::Nothing => break,
                }
            }
        }
        Ok(chunked.is_ended().then(|| (data, trailers, bytes.to_vec())))
    }

    #[test]
    fn chunks_are_joined() {
        for (text, data, trailers, left) in [
            ("0\r\n\r\n", "", &[][..], ""),
            ("3\r\none\r\n0\r\n\r\nnext", "one", &[], "next"),
            ("3\r\none\r\n0a\r\ntwotwotwot\r\n000\r\n\r\n", "onetwotwotwot", &[], ""),
            ("3;a=b;c=\"d\"\r\none\r\n3 ; e\r\ntwo\r\n0;f\r\n\r\n", "onetwo", &[], ""),
            ("3 \t\r\none\r\n0\r\n\r\n", "one", &[], ""),
            ("1\r\n\n\r\n0\r\nx-a: 1\r\nx-b: 2\r\n\r\n", "\n", &["x-a=1", "x-b=2"], ""),
        ] {
            let found = decode(&[text.as_bytes()]).expect("good").expect("an end");
            let trailers: Vec<_> = trailers.iter().map(|&text: &&str| text.to_owned()).collect();
            assert_eq!(found, (data.into(), trailers, left.into()), "{text:?}");
        }
    }

    #[test]
    fn f5_what_is_no_chunk_is_refused() {
        for text in [
            "\r\n",
            "x\r\n",
            "-1\r\n",
            "+1\r\n",
            " 1\r\n",
            "0x1\r\n",
            "1\n",
            "1\r\r\n",
            "1;a\n",
            "1;a\rb\r\n",
            "1;a\0\r\n",
            "1 a\r\n",
            "1\r\nab",
            "1\r\na\n",
            "1\r\na\r1",
            "10000000000000000\r\n",
            "00000000000000001\r\n",
            "0\r\na\r\n\r\n",
            "0\r\n\n",
            "0\r\na: 1\n\r\n",
            "0\r\na: 1\r\n b\r\n\r\n",
            "0\r\n a: 1\r\n\r\n",
            "0\r\na : 1\r\n\r\n",
        ] {
            assert!(decode(&[text.as_bytes()]).is_err(), "{text:?}");
        }
        for long in [
            format!("1;{}", "a".repeat(MOST_EXTENSION + 1)),
            format!("0\r\na: {}", "b".repeat(LONGEST_TRAILERS)),
            format!("0\r\n{}\r\n", "a: b\r\n".repeat(257)),
        ] {
            assert!(decode(&[long.as_bytes()]).is_err());
        }
    }

    #[test]
    fn what_may_become_a_chunk_is_waited_for() {
        for text in ["", "1", "1;a", "1\r", "1\r\n", "1\r\na", "1\r\na\r", "0\r\n", "0\r\n\r"] {
            assert_eq!(decode(&[text.as_bytes()]), Ok(None), "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn any_split_gives_the_same(text in "([0-3a;\r\n:x ]{0,24}|(2\r\nab\r\n){0,3}0\r\n(a: b\r\n){0,2}\r\nx)",
                                    cuts in proptest::collection::vec(0_usize..30, 0..4)) {
            let whole = decode(&[text.as_bytes()]);
            let mut cuts: Vec<_> = cuts.into_iter().map(|cut| cut.min(text.len())).collect();
            cuts.extend([0, text.len()]);
            cuts.sort_unstable();
            let pieces: Vec<_> = cuts.windows(2).map(|ends| &text.as_bytes()[ends[0]..ends[1]]).collect();
            prop_assert_eq!(decode(&pieces), whole.clone());
            let each: Vec<_> = text.as_bytes().chunks(1).collect();
            prop_assert_eq!(decode(&each), whole);
        }
    }
}
