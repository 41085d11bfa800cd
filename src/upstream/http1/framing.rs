//! Where the body of an answer ends (RFC 9112 section 6), and whether its
//! connection is of use afterwards. Pure.
//!
//! What two readers could take for two lengths is refused, whatever the RFC
//! lets one of them do.

use std::time::Duration;

use http::{
    HeaderName, HeaderValue, StatusCode, Version,
    header::{CONNECTION, CONTENT_LENGTH, TRANSFER_ENCODING},
};

use super::Malformed;
use crate::upstream::keep_alive::announced;

/// Where a body ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Framing {
    /// There is none.
    None,
    /// After so many bytes.
    Length(u64),
    /// With the last chunk.
    Chunked,
    /// With the connection.
    UntilEnd,
}

/// What the fields of a head say about its framing.
#[derive(Debug, Default)]
pub(super) struct FramingFields {
    length: Option<u64>,
    chunked: bool,
    close: bool,
    keep_alive: bool,
    /// How long the instance keeps the connection, if it says so.
    pub(super) announced: Option<Duration>,
}

impl FramingFields {
    /// Looks at a field.
    pub(super) fn see(&mut self, name: &HeaderName, value: &HeaderValue) -> Result<(), Malformed> {
        if *name == CONTENT_LENGTH {
            let length = length(value.as_bytes()).ok_or(Malformed::LengthUnclear)?;
            if self.length.replace(length).is_some() {
                return Err(Malformed::LengthUnclear);
            }
        } else if *name == TRANSFER_ENCODING {
            // A coding that is not known cannot be undone, and one said twice
            // is not known to be one.
            if self.chunked || !value.as_bytes().trim_ascii().eq_ignore_ascii_case(b"chunked") {
                return Err(Malformed::LengthUnclear);
            }
            self.chunked = true;
        } else if *name == CONNECTION {
            for token in value.as_bytes().split(|byte| *byte == b',') {
                let token = token.trim_ascii();
                self.close |= token.eq_ignore_ascii_case(b"close");
                self.keep_alive |= token.eq_ignore_ascii_case(b"keep-alive");
            }
        } else if name.as_str() == "keep-alive" {
            self.announced = announced(value);
        }
        Ok(())
    }

    /// Where the body ends, and whether another request may follow it.
    pub(super) fn framing(
        &self,
        version: Version,
        status: StatusCode,
        to_head: bool,
    ) -> Result<(Framing, bool), Malformed> {
        let old = version == Version::HTTP_10;
        if self.chunked && (self.length.is_some() || old) {
            return Err(Malformed::LengthUnclear);
        }
        let mut persists = !self.close && (!old || self.keep_alive);
        let framing = if status.is_informational() {
            // RFC 9110 section 8.6 and RFC 9112 section 6.1: neither may be
            // there, and what follows is the next head, or else a body.
            if self.chunked || self.length.is_some() {
                return Err(Malformed::LengthUnclear);
            }
            Framing::None
        } else if status == StatusCode::NO_CONTENT {
            // Whoever announces a body may as well send it.
            persists &= !self.chunked && self.length.is_none_or(|length| length == 0);
            Framing::None
        } else if to_head || status == StatusCode::NOT_MODIFIED {
            Framing::None
        } else if self.chunked {
            Framing::Chunked
        } else {
            match self.length {
                Some(0) => Framing::None,
                Some(length) => Framing::Length(length),
                None => {
                    persists = false;
                    Framing::UntilEnd
                }
            }
        };
        Ok((framing, persists))
    }
}

/// A `Content-Length` (RFC 9110 section 8.6): nothing but digits.
fn length(value: &[u8]) -> Option<u64> {
    if value.is_empty() {
        return None;
    }
    value.iter().try_fold(0_u64, |length, byte| {
        let digit = byte.is_ascii_digit().then(|| u64::from(byte - b'0'))?;
        length.checked_mul(10)?.checked_add(digit)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(
        status: u16,
        version: Version,
        to_head: bool,
        fields: &[(&'static str, &'static str)],
    ) -> Result<(Framing, bool), Malformed> {
        let mut seen = FramingFields::default();
        for (name, value) in fields {
            let name = name.parse().expect("a name");
            seen.see(&name, &HeaderValue::from_static(value))?;
        }
        seen.framing(version, StatusCode::from_u16(status).expect("a status"), to_head)
    }

    fn plain(fields: &[(&'static str, &'static str)]) -> Result<(Framing, bool), Malformed> {
        read(200, Version::HTTP_11, false, fields)
    }

    #[test]
    fn b3_what_can_be_read_in_two_ways_is_refused() {
        for fields in [
            &[("content-length", "1"), ("transfer-encoding", "chunked")][..],
            &[("transfer-encoding", "chunked"), ("content-length", "1")],
            &[("content-length", "1"), ("content-length", "1")],
            &[("content-length", "1"), ("content-length", "2")],
            &[("content-length", "1, 1")],
            &[("content-length", "+1")],
            &[("content-length", "-1")],
            &[("content-length", "0x1")],
            &[("content-length", "1 ")],
            &[("content-length", "")],
            &[("content-length", "18446744073709551616")],
            &[("transfer-encoding", "gzip, chunked")],
            &[("transfer-encoding", "chunked, chunked")],
            &[("transfer-encoding", "chunked"), ("transfer-encoding", "chunked")],
            &[("transfer-encoding", "identity")],
            &[("transfer-encoding", "gzip")],
            &[("transfer-encoding", "")],
            &[("transfer-encoding", ", chunked")],
            &[("transfer-encoding", "chunked;q=1")],
            &[("transfer-encoding", "xchunked")],
        ] {
            assert_eq!(plain(fields), Err(Malformed::LengthUnclear), "{fields:?}");
            let to_head = read(200, Version::HTTP_11, true, fields);
            assert_eq!(to_head, Err(Malformed::LengthUnclear), "{fields:?}");
        }
        let old = read(200, Version::HTTP_10, false, &[("transfer-encoding", "chunked")]);
        assert_eq!(old, Err(Malformed::LengthUnclear));
    }

    #[test]
    fn b3_what_is_clear_is_read() {
        assert_eq!(plain(&[]), Ok((Framing::UntilEnd, false)));
        assert_eq!(plain(&[("content-length", "0")]), Ok((Framing::None, true)));
        assert_eq!(plain(&[("content-length", "10")]), Ok((Framing::Length(10), true)));
        assert_eq!(plain(&[("content-length", "010")]), Ok((Framing::Length(10), true)));
        let most = plain(&[("content-length", "18446744073709551615")]);
        assert_eq!(most, Ok((Framing::Length(u64::MAX), true)));
        assert_eq!(plain(&[("transfer-encoding", "Chunked")]), Ok((Framing::Chunked, true)));
    }

    #[test]
    fn b1_some_answers_have_no_body_whatever_they_say() {
        let long = [("content-length", "5")];
        let chunked = [("transfer-encoding", "chunked")];
        for (status, to_head) in [(200, true), (404, true), (304, false)] {
            for fields in [&long[..], &chunked, &[]] {
                let seen = read(status, Version::HTTP_11, to_head, fields);
                assert_eq!(seen, Ok((Framing::None, true)), "{status} {fields:?}");
            }
        }
        let empty = |fields| read(204, Version::HTTP_11, false, fields);
        assert_eq!(empty(&[]), Ok((Framing::None, true)));
        assert_eq!(empty(&[("content-length", "0")]), Ok((Framing::None, true)));
        assert_eq!(empty(&long), Ok((Framing::None, false)));
        assert_eq!(empty(&chunked), Ok((Framing::None, false)));
        for status in [100, 101, 103] {
            let interim = |fields| read(status, Version::HTTP_11, false, fields);
            assert_eq!(interim(&[]), Ok((Framing::None, true)));
            assert_eq!(interim(&long), Err(Malformed::LengthUnclear));
            assert_eq!(interim(&chunked), Err(Malformed::LengthUnclear));
        }
    }

    #[test]
    fn a_connection_persists_if_both_versions_agree_that_it_does() {
        let keeps = |version, connection: &'static str| {
            let fields = [("content-length", "1"), ("connection", connection)];
            read(200, version, false, &fields).expect("clear").1
        };
        assert!(keeps(Version::HTTP_11, "x-other"));
        assert!(!keeps(Version::HTTP_11, "close"));
        assert!(!keeps(Version::HTTP_11, "x-other , Close"));
        assert!(!keeps(Version::HTTP_11, "keep-alive, close"));
        assert!(!keeps(Version::HTTP_10, "x-other"));
        assert!(keeps(Version::HTTP_10, "Keep-Alive"));
    }
}
