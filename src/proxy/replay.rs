//! Whether a request may be sent once more, and the copy that is sent then.
//!
//! Sent again is what was provably not processed, since no instance got a byte
//! of it; what is safe and has no body (RFC 9110 section 9.2.1); and what is
//! idempotent (section 9.2.2) if the owner of the service says so. A POST that
//! may have been processed has no copy here.

use std::{
    cell::{Cell, RefCell},
    rc::{Rc, Weak},
};

use bytes::Bytes;
use http::Method;
use http_body::Body;

use super::upload::RequestBody;
use crate::{model::RetryPolicy, telemetry::RetryCause, upstream::Outgoing};

/// What an instance may do with a request twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Nature {
    /// It changes nothing.
    Safe,
    /// The owner of the service lets it be processed twice.
    Idempotent,
    /// It is processed once at most.
    Once,
}

impl Nature {
    fn of(method: &Method, has_body: bool, policy: &RetryPolicy) -> Self {
        match *method {
            _ if policy.attempts == 0 => Self::Once,
            Method::GET | Method::HEAD | Method::OPTIONS if !has_body => Self::Safe,
            _ if policy.repeats(method) => Self::Idempotent,
            _ => Self::Once,
        }
    }

    /// Whether it may be sent again after `cause`.
    fn allows(self, cause: RetryCause, policy: &RetryPolicy) -> bool {
        match cause {
            RetryCause::Connect | RetryCause::Unsent => true,
            RetryCause::Stale | RetryCause::Reset | RetryCause::Status => self != Self::Once,
            RetryCause::Timeout => self == Self::Safe && policy.on_timeout,
        }
    }
}

/// Whether a request may be sent once more, and its body if so. Its head is
/// never given away.
pub(super) struct Replay {
    nature: Nature,
    copy: Option<Copy>,
}

/// The body of a request that may be sent twice.
struct Copy {
    /// None if it has none.
    kept: Option<Rc<Kept>>,
    /// Whether its length was unknown when it was sent first.
    chunked: bool,
}

/// A body to be sent once more.
pub(super) struct Again {
    pub(super) body: Outgoing<RequestBody>,
    /// All of it is here: no instance has to be asked whether it wants it.
    pub(super) is_copy: bool,
}

impl Replay {
    /// What a request with `body` may be put through under `policy`. The body
    /// is kept from here on, if it is short enough and of use.
    pub(super) fn of(method: &Method, body: &mut RequestBody, policy: &RetryPolicy) -> Self {
        let has_body = !body.is_end_stream();
        let nature = Nature::of(method, has_body, policy);
        let length = body.size_hint();
        if nature == Nature::Once || length.lower() > policy.buffer as u64 {
            return Self { nature, copy: None };
        }
        let kept = has_body.then(|| {
            let kept = Rc::new(Kept::new(policy.buffer));
            body.keep(Rc::downgrade(&kept));
            kept
        });
        Self { nature, copy: Some(Copy { kept, chunked: length.exact().is_none() }) }
    }

    /// What may be sent after `cause`, if anything: `unsent`, of which no byte
    /// was written, or else the copy.
    pub(super) fn after(
        &self,
        cause: RetryCause,
        unsent: Option<Outgoing<RequestBody>>,
        policy: &RetryPolicy,
    ) -> Option<Again> {
        if let Some(body) = unsent {
            return Some(Again { body, is_copy: false });
        }
        let copy = self.copy.as_ref().filter(|_| self.nature.allows(cause, policy))?;
        let body = match &copy.kept {
            Some(kept) => RequestBody::own(kept.whole()?, copy.chunked),
            None => RequestBody::empty(),
        };
        Some(Again { body: Outgoing::new(body), is_copy: true })
    }
}

/// The way from a body to what is kept of it; gone once the head of the answer
/// is there.
pub(super) type Keeping = Weak<Kept>;

/// What has passed of a body, copied: a few bytes that are held on to may
/// stand in a large buffer.
#[derive(Debug)]
pub(super) struct Kept {
    /// None once it was too much.
    bytes: RefCell<Option<Vec<u8>>>,
    complete: Cell<bool>,
    most: usize,
}

impl Kept {
    const fn new(most: usize) -> Self {
        Self { bytes: RefCell::new(Some(Vec::new())), complete: Cell::new(false), most }
    }

    /// Takes the next `chunk`.
    pub(super) fn push(&self, chunk: &[u8]) {
        let mut bytes = self.bytes.borrow_mut();
        match &mut *bytes {
            Some(kept) if chunk.len() <= self.most - kept.len() => kept.extend_from_slice(chunk),
            _ => *bytes = None,
        }
    }

    /// Gives up: the body holds more than bytes.
    pub(super) fn give_up(&self) {
        *self.bytes.borrow_mut() = None;
    }

    /// Notes that the last byte has passed.
    pub(super) fn complete(&self) {
        self.complete.set(true);
    }

    fn whole(&self) -> Option<Bytes> {
        let bytes = self.bytes.borrow();
        bytes.as_deref().filter(|_| self.complete.get()).map(Bytes::copy_from_slice)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::RetrySettings;

    const CAUSES: [RetryCause; 6] = [
        RetryCause::Connect,
        RetryCause::Unsent,
        RetryCause::Stale,
        RetryCause::Reset,
        RetryCause::Timeout,
        RetryCause::Status,
    ];

    fn policy(text: &str) -> RetryPolicy {
        let settings: RetrySettings = toml::from_str(text).expect("good settings");
        settings.resolve(&RetrySettings::default())
    }

    /// The causes after which a request that may have been processed is sent
    /// once more.
    fn causes(method: &str, has_body: bool, policy: &RetryPolicy) -> Vec<RetryCause> {
        let method = method.parse().expect("a method");
        let nature = Nature::of(&method, has_body, policy);
        let unsent = |cause: &&RetryCause| {
            !matches!(cause, RetryCause::Connect | RetryCause::Unsent)
                && nature.allows(**cause, policy)
        };
        CAUSES.iter().filter(unsent).copied().collect()
    }

    #[test]
    fn what_may_have_been_processed_is_sent_again_only_if_that_is_safe() {
        use RetryCause::{Reset, Stale, Status, Timeout};
        let all = "methods = ['PUT', 'DELETE']\non_timeout = true\non_status = [503]";
        for (text, safe, put, delete) in [
            ("", &[Stale, Reset, Status][..], &[][..], &[][..]),
            ("attempts = 0", &[], &[], &[]),
            (&format!("attempts = 0\n{all}"), &[], &[], &[]),
            ("methods = ['PUT']", &[Stale, Reset, Status], &[Stale, Reset, Status], &[]),
            ("methods = ['DELETE']", &[Stale, Reset, Status], &[], &[Stale, Reset, Status]),
            ("on_timeout = true", &[Stale, Reset, Timeout, Status], &[], &[]),
            (
                all,
                &[Stale, Reset, Timeout, Status],
                &[Stale, Reset, Status],
                &[Stale, Reset, Status],
            ),
        ] {
            let policy = policy(text);
            for method in ["GET", "HEAD", "OPTIONS"] {
                assert_eq!(causes(method, false, &policy), safe, "{method} {text:?}");
                assert_eq!(causes(method, true, &policy), [], "{method} {text:?}");
            }
            for has_body in [false, true] {
                assert_eq!(causes("PUT", has_body, &policy), put, "{text:?}");
                assert_eq!(causes("DELETE", has_body, &policy), delete, "{text:?}");
                for method in ["POST", "PATCH", "PROPFIND", "get", "put"] {
                    assert_eq!(causes(method, has_body, &policy), [], "{method} {text:?}");
                }
            }
        }
    }

    #[test]
    fn a_body_is_kept_whole_or_not_at_all() {
        let kept = Kept::new(5);
        kept.push(b"ab");
        assert_eq!(kept.whole(), None);
        kept.push(b"cde");
        kept.complete();
        assert_eq!(kept.whole().as_deref(), Some(&b"abcde"[..]));
        let too_long = Kept::new(5);
        too_long.push(b"abc");
        too_long.push(b"def");
        too_long.push(b"");
        too_long.complete();
        assert_eq!(too_long.whole(), None);
        let with_trailers = Kept::new(5);
        with_trailers.push(b"abc");
        with_trailers.give_up();
        with_trailers.complete();
        assert_eq!(with_trailers.whole(), None);
    }
}
