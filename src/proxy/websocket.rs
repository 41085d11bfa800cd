//! The handshake of WebSocket in HTTP/1.1 (RFC 6455 section 4), made for a
//! client of HTTP/2, which has none.

use http::{HeaderMap, HeaderValue, header::SEC_WEBSOCKET_ACCEPT};
use sha1::{Digest, Sha1};

/// RFC 6455 section 1.3.
const GUID: &[u8] = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// The key that was made up for a client that sent none.
#[derive(Clone, Debug)]
pub(super) struct Asked(pub(super) HeaderValue);

impl Asked {
    /// Whether `headers` answer this key.
    pub(super) fn is_answered(&self, headers: &HeaderMap) -> bool {
        let expected = accept(self.0.as_bytes());
        let mut answers = headers.get_all(SEC_WEBSOCKET_ACCEPT).iter();
        answers.next().is_some_and(|answer| answer.as_bytes() == expected.as_bytes())
            && answers.next().is_none()
    }
}

/// A key, made at random. Nothing depends on nobody guessing it: it shows that
/// the other side speaks WebSocket.
pub(super) fn key() -> HeaderValue {
    let key = base64(&fastrand::u128(..).to_be_bytes());
    HeaderValue::try_from(key).unwrap_or_else(|_| HeaderValue::from_static(""))
}

fn accept(key: &[u8]) -> String {
    base64(&Sha1::new().chain_update(key).chain_update(GUID).finalize())
}

/// RFC 4648 section 4.
fn base64(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for chunk in bytes.chunks(3) {
        let mut word = [0; 4];
        word[1..=chunk.len()].copy_from_slice(chunk);
        let word = u32::from_be_bytes(word);
        for place in 0..4 {
            let letter = ALPHABET[(word >> (18 - 6 * place)) as usize & 63];
            text.push(if place <= chunk.len() { letter as char } else { '=' });
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_example_of_the_rfc_is_answered() {
        let asked = Asked(HeaderValue::from_static("dGhlIHNhbXBsZSBub25jZQ=="));
        let mut headers = HeaderMap::new();
        assert!(!asked.is_answered(&headers));
        headers
            .insert(SEC_WEBSOCKET_ACCEPT, HeaderValue::from_static("s3pPLMBiTxaQ9kYGzzhZRbK+xOo="));
        assert!(asked.is_answered(&headers));
        assert!(!Asked(key()).is_answered(&headers));
    }

    #[test]
    fn base64_is_padded() {
        for (bytes, text) in
            [("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foob", "Zm9vYg==")]
        {
            assert_eq!(base64(bytes.as_bytes()), text);
        }
        assert_eq!(key().len(), 24);
    }
}
