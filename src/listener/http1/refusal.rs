//! A request that is refused before anybody has parsed it as a whole.

use http::{
    HeaderName, HeaderValue, Method, Request, Uri, Version,
    header::{ACCEPT, CONTENT_TYPE, HOST, REFERER, USER_AGENT},
};
use percent_encoding::{AsciiSet, CONTROLS, percent_encode};

use super::head::{Breach, split_field};
use crate::model::Reason;

/// A request that is refused by its bytes.
#[derive(Debug)]
pub struct Refusal {
    /// Why, in a word.
    pub reason: Reason,
    /// For a person.
    pub detail: &'static str,
    /// What could be read of it, for a log and to find the form of the answer.
    /// Nothing of it may be forwarded.
    pub request: Request<()>,
}

/// What is shown of a target at most.
const SHOWN: usize = 1024;

/// What a target in a log has encoded.
const UNPRINTABLE: &AsciiSet =
    &CONTROLS.add(b' ').add(b'"').add(b'#').add(b'<').add(b'>').add(b'`').add(b'{').add(b'}');

/// The fields that somebody may want to see.
const KEPT: [HeaderName; 5] = [ACCEPT, CONTENT_TYPE, HOST, REFERER, USER_AGENT];

impl Refusal {
    /// Refuses the head that begins with `bytes`.
    #[cold]
    pub(super) fn new(breach: Breach, bytes: &[u8]) -> Self {
        let Breach { reason, detail } = breach;
        Self { reason, detail, request: read(bytes) }
    }

    /// A head that is answered as this one is to be: hyper is given it in its
    /// place, so that the answer is sent as any other is.
    pub(super) fn stand_in(&self) -> &'static [u8] {
        match (self.request.method() == Method::HEAD, self.request.version()) {
            (false, Version::HTTP_10) => b"GET / HTTP/1.0\r\n\r\n",
            (true, Version::HTTP_10) => b"HEAD / HTTP/1.0\r\n\r\n",
            (false, _) => b"GET / HTTP/1.1\r\n\r\n",
            (true, _) => b"HEAD / HTTP/1.1\r\n\r\n",
        }
    }
}

/// Reads what can be read of a head, whatever it is.
fn read(bytes: &[u8]) -> Request<()> {
    let mut request = Request::new(());
    let mut lines = bytes.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii_end);
    let mut words = lines.next().unwrap_or_default().split(|byte| *byte == b' ');
    // "-" is a method too, and nobody's.
    let method = words.next().and_then(|word| Method::from_bytes(word).ok());
    *request.method_mut() = method.or_else(|| Method::from_bytes(b"-").ok()).unwrap_or_default();
    *request.uri_mut() = shown(words.next().unwrap_or_default());
    if words.next() == Some(b"HTTP/1.0") {
        *request.version_mut() = Version::HTTP_10;
    }
    for line in lines.take_while(|line| !line.is_empty()) {
        let Ok((name, value)) = split_field(line) else { continue };
        let kept = KEPT.iter().find(|kept| name.eq_ignore_ascii_case(kept.as_str().as_bytes()));
        if let (Some(name), Ok(value)) = (kept, HeaderValue::from_bytes(value.trim_ascii())) {
            request.headers_mut().entry(name).or_insert(value);
        }
    }
    request
}

/// A target as a log can show it.
fn shown(target: &[u8]) -> Uri {
    let target = &target[..target.len().min(SHOWN)];
    let text = percent_encode(target, UNPRINTABLE).to_string();
    text.parse().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(head: &[u8]) -> Request<()> {
        let breach = Breach { reason: Reason::RequestInvalid, detail: "" };
        Refusal::new(breach, head).request
    }

    #[test]
    fn what_can_be_read_is_kept() {
        let request = refused(
            b"POST /a#b HTTP/1.0\r\nHost: shop\r\nx: y\r\nUser-Agent:  me \r\nbad line\r\nhost: 2",
        );
        assert_eq!((request.method(), request.uri().path()), (&Method::POST, "/a%23b"));
        assert_eq!(request.version(), Version::HTTP_10);
        assert_eq!(request.headers()["host"], "shop");
        assert_eq!(request.headers()["user-agent"], "me");
        assert_eq!(request.headers().len(), 2);
    }

    #[test]
    fn nothing_is_too_strange_to_be_shown() {
        for bytes in [&b""[..], b"\x16\x03\x01\x02\0\x01\0\x01", b"GET", b"\r", b"GET \xff\xfe x"] {
            let request = refused(bytes);
            assert!(request.headers().is_empty());
        }
        assert_eq!(refused(b"\x16\x03\x01").method().as_str(), "-");
        let long = format!("GET /{} HTTP/1.1\r\n", "a".repeat(5000));
        assert_eq!(refused(long.as_bytes()).uri().path().len(), SHOWN);
    }
}
