//! gRPC-Web, which browsers speak: a call of gRPC whose trailers are the last
//! message of the body, and whose body may be text (the protocol of gRPC-Web in
//! the repository of gRPC).
//!
//! Bodies are translated as they pass, chunk by chunk; messages are neither
//! read nor gathered.

use base64::{Engine, prelude::BASE64_STANDARD};
use bytes::{BufMut, Bytes, BytesMut};
use http::{
    HeaderMap, HeaderValue, Request,
    header::{ACCEPT, CONTENT_LENGTH, CONTENT_TYPE, TE},
};

const BINARY: &str = "application/grpc-web";
const TEXT: &str = "application/grpc-web-text";

/// Marks the message that holds the trailers.
const TRAILERS: u8 = 0x80;

/// A call as a browser makes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct WebCall {
    /// Whether its bodies are text (base64).
    text: bool,
}

impl WebCall {
    /// What `headers` ask for, if it is such a call.
    pub(super) fn asked_by(headers: &HeaderMap) -> Option<Self> {
        let kind = headers.get(CONTENT_TYPE)?.to_str().ok()?;
        let is = |kind: &str, name| {
            let rest = kind.strip_prefix(name);
            rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(['+', ';']))
        };
        match (is(kind, BINARY), is(kind, TEXT)) {
            (true, _) => Some(Self { text: false }),
            (_, true) => Some(Self { text: true }),
            _ => None,
        }
    }

    /// Makes `request` a call of gRPC.
    pub(super) fn translate<B>(self, request: &mut Request<B>) {
        let headers = request.headers_mut();
        let (name, plain) = (if self.text { TEXT } else { BINARY }, "application/grpc");
        rename(headers, name, plain);
        headers.insert(TE, HeaderValue::from_static("trailers"));
        // It asks for what the translation makes.
        headers.remove(ACCEPT);
        if self.text {
            headers.remove(CONTENT_LENGTH);
        }
    }

    /// What undoes the text of the request, if it is text.
    pub(super) fn decoder(self) -> Option<Decoder> {
        self.text.then(Decoder::default)
    }

    /// Makes the head of an answer what the browser expects. False if it is
    /// none of gRPC, and passes as it is.
    pub(super) fn answer(self, headers: &mut HeaderMap) -> bool {
        let kind = headers.get(CONTENT_TYPE).map(HeaderValue::as_bytes);
        let is_grpc = kind.and_then(|kind| kind.strip_prefix(b"application/grpc"));
        if !is_grpc.is_some_and(|rest| matches!(rest.first(), None | Some(b'+' | b';'))) {
            return false;
        }
        rename(headers, "application/grpc", if self.text { TEXT } else { BINARY });
        headers.remove(CONTENT_LENGTH);
        true
    }

    /// A piece of the body of an answer.
    pub(super) fn data(self, data: Bytes) -> Bytes {
        // Each piece is padded by itself, as the protocol allows: what has come
        // is of use at once.
        if self.text { BASE64_STANDARD.encode(data).into() } else { data }
    }

    /// `trailers` as the last message of the body.
    pub(super) fn trailers(self, trailers: &HeaderMap) -> Bytes {
        let mut block = BytesMut::new();
        for (name, value) in trailers {
            block.put_slice(name.as_str().as_bytes());
            block.put_slice(b": ");
            block.put_slice(value.as_bytes());
            block.put_slice(b"\r\n");
        }
        let mut message = BytesMut::with_capacity(5 + block.len());
        message.put_u8(TRAILERS);
        message.put_u32(u32::try_from(block.len()).unwrap_or(u32::MAX));
        message.put(block);
        self.data(message.freeze())
    }
}

/// Replaces the beginning of the type of a body, and keeps the rest of it.
fn rename(headers: &mut HeaderMap, from: &str, to: &str) {
    let Some(kind) = headers.get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok()) else { return };
    let Some(rest) = kind.strip_prefix(from) else { return };
    if let Ok(kind) = HeaderValue::try_from(format!("{to}{rest}")) {
        headers.insert(CONTENT_TYPE, kind);
    }
}

/// Undoes base64 that comes in pieces, each of which may be padded.
#[derive(Debug, Default)]
pub(super) struct Decoder {
    /// Letters that are not a group yet.
    left: BytesMut,
}

/// What came is not base64.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct NoText;

impl Decoder {
    /// What `text` adds. Empty as long as no group of letters is complete.
    pub(super) fn push(&mut self, text: &[u8]) -> Result<Bytes, NoText> {
        self.left.extend_from_slice(text);
        let whole = self.left.len() / 4 * 4;
        let groups = self.left.split_to(whole);
        let mut decoded = Vec::with_capacity(whole / 4 * 3);
        let mut rest = &groups[..];
        while !rest.is_empty() {
            // Up to the padding, which ends a piece.
            let end =
                rest.iter().position(|byte| *byte == b'=').map_or(rest.len(), |at| at / 4 * 4 + 4);
            let (piece, behind) = rest.split_at(end);
            BASE64_STANDARD.decode_vec(piece, &mut decoded).map_err(|_| NoText)?;
            rest = behind;
        }
        Ok(decoded.into())
    }

    /// Whether nothing is left that is half a group.
    pub(super) fn is_whole(&self) -> bool {
        self.left.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn call(kind: &'static str) -> Option<WebCall> {
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
        WebCall::asked_by(&headers)
    }

    #[test]
    fn a_call_is_known_by_its_type() {
        for kind in ["application/grpc-web", "application/grpc-web+proto"] {
            assert_eq!(call(kind), Some(WebCall { text: false }), "{kind}");
        }
        for kind in ["application/grpc-web-text", "application/grpc-web-text+proto; x=y"] {
            assert_eq!(call(kind), Some(WebCall { text: true }), "{kind}");
        }
        for kind in ["application/grpc", "application/grpc-webx", "application/grpc-web-textual"] {
            assert_eq!(call(kind), None, "{kind}");
        }
    }

    #[test]
    fn trailers_are_the_last_message() {
        let mut trailers = HeaderMap::new();
        trailers.insert("grpc-status", HeaderValue::from_static("0"));
        let call = WebCall { text: false };
        assert_eq!(&*call.trailers(&trailers), b"\x80\0\0\0\x10grpc-status: 0\r\n");
        let text = WebCall { text: true }.trailers(&trailers);
        assert_eq!(BASE64_STANDARD.decode(text).expect("text"), call.trailers(&trailers));
    }

    #[test]
    fn only_answers_of_grpc_are_translated() {
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/grpc+proto"));
        assert!(WebCall { text: true }.answer(&mut headers));
        assert_eq!(headers[CONTENT_TYPE], "application/grpc-web-text+proto");
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/html"));
        assert!(!WebCall { text: true }.answer(&mut headers));
        assert_eq!(headers[CONTENT_TYPE], "text/html");
    }

    proptest! {
        #[test]
        fn text_is_undone_however_it_is_split(
            pieces in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..40), 0..6),
            cuts in prop::collection::vec(1..9_usize, 1..30),
        ) {
            let text: String = pieces.iter().map(|piece| BASE64_STANDARD.encode(piece)).collect();
            let mut decoder = Decoder::default();
            let (mut decoded, mut rest) = (Vec::new(), text.as_bytes());
            for cut in cuts.iter().cycle() {
                if rest.is_empty() {
                    break;
                }
                let (now, later) = rest.split_at((*cut).min(rest.len()));
                decoded.extend_from_slice(&decoder.push(now).expect("text"));
                rest = later;
            }
            prop_assert!(decoder.is_whole());
            prop_assert_eq!(decoded, pieces.concat());
        }

        #[test]
        fn no_bytes_break_it(bytes in prop::collection::vec(any::<u8>(), 0..60)) {
            let mut decoder = Decoder::default();
            let _ = decoder.push(&bytes);
        }
    }
}
