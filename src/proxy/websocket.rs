//! The handshake of WebSocket in HTTP/1.1 (RFC 6455 section 4), made for a
//! client of HTTP/2, which has none.

use http::{HeaderMap, HeaderValue, header::SEC_WEBSOCKET_ACCEPT};

use crate::upstream::websocket;

/// The key that was made up for a client that sent none.
#[derive(Clone, Debug)]
pub(super) struct Asked(pub(super) HeaderValue);

impl Asked {
    /// Whether `headers` answer this key.
    pub(super) fn is_answered(&self, headers: &HeaderMap) -> bool {
        let expected = websocket::accept(self.0.as_bytes());
        let mut answers = headers.get_all(SEC_WEBSOCKET_ACCEPT).iter();
        answers.next().is_some_and(|answer| answer.as_bytes() == expected.as_bytes())
            && answers.next().is_none()
    }
}

/// A key, made at random. Nothing depends on nobody guessing it: it shows that
/// the other side speaks WebSocket.
pub(super) fn key() -> HeaderValue {
    let key = websocket::base64(&fastrand::u128(..).to_be_bytes());
    HeaderValue::try_from(key).unwrap_or_else(|_| HeaderValue::from_static(""))
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
}
