//! Questions that wait for a change (`?index=&wait=`), and the indexes by which
//! clients tell one answer from the next.
//!
//! A question has the index of the moment at which its answer last became
//! another one, as far as anybody has asked. So a client waits until the answer
//! changes, and is not woken by what happens elsewhere. After a restart indexes
//! are higher than they were.
//!
//! Many wait for the same, and each event wakes all of them: what one has
//! worked out after an event is the answer for the others too, and what is long
//! to work out is worked out less often.

use std::{
    collections::{HashMap, hash_map::DefaultHasher},
    hash::{Hash, Hasher},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use axum::{
    body::Bytes,
    response::{IntoResponse, Response},
};
use http::{HeaderValue, header};
use serde_json::Value;
use tokio::{
    sync::{Semaphore, broadcast},
    time::{Instant, sleep, sleep_until, timeout_at},
};

use crate::{control::view::EventView, front::call::Call};

/// How long a question waits if it does not say, and at most.
const WAIT: Duration = Duration::from_secs(5 * 60);
const LONGEST: Duration = Duration::from_secs(10 * 60);

/// Questions that wait at once; each holds a connection. One more is answered
/// after a second.
const WAITING: usize = 512;
const CROWDED: Duration = Duration::from_secs(1);

/// Questions whose answers are told apart. With more, all begin anew.
const QUESTIONS: usize = 10_000;

/// After a change, for how long others are gathered; more if it takes long to
/// work out the answer, so that this is a small part of the time.
const GATHER: Duration = Duration::from_millis(50);
const PART: u32 = 10;
const LONGEST_GATHER: Duration = Duration::from_secs(2);

/// For how long an answer is sent again. What a process is handed by the one
/// before it comes without an event.
const FRESH: Duration = Duration::from_secs(1);

/// Bytes of answers that are kept for others who wait.
const KEPT: usize = 16 << 20;

/// What is asked.
#[derive(Debug)]
pub(super) struct Question {
    /// What its index is of.
    pub(super) about: String,
    /// What is left out of the answer, which changes no index.
    pub(super) filter: String,
    /// The service that it is about, if it is about one.
    pub(super) service: Option<String>,
}

/// What is answered.
#[derive(Debug)]
pub(super) struct Answer {
    /// What it comes to, to be told from another.
    pub(super) sum: u64,
    pub(super) value: Value,
}

/// What `value` comes to.
pub(super) fn sum(value: &impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    value.hash(&mut hasher);
    hasher.finish()
}

/// When which answer last changed.
#[derive(Debug)]
pub(in crate::front) struct Answers {
    /// The index of the last change of any.
    last: u64,
    /// By question: what its answer comes to, and since which index.
    known: HashMap<String, (u64, u64)>,
    /// By question and filter: the last answer.
    kept: HashMap<(String, String), Kept>,
    waiting: std::sync::Arc<Semaphore>,
}

/// An answer, as it is sent.
#[derive(Clone, Debug)]
struct Kept {
    /// The number of the last event before it was worked out.
    event: u64,
    at: Instant,
    index: u64,
    body: Bytes,
    /// How long that took.
    took: Duration,
}

impl Default for Answers {
    fn default() -> Self {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        // Higher than any before a restart, and exact in JavaScript.
        let last = now.as_secs().saturating_mul(1000).max(1);
        let waiting = Semaphore::new(WAITING).into();
        Self { last, known: HashMap::new(), kept: HashMap::new(), waiting }
    }
}

impl Answers {
    /// The index of the answer to `question` that comes to `sum`.
    fn index(&mut self, question: &str, sum: u64) -> u64 {
        match self.known.get(question) {
            Some((known, index)) if *known == sum => return *index,
            None if self.known.len() >= QUESTIONS => self.known.clear(),
            _ => {}
        }
        self.last += 1;
        self.known.insert(question.to_owned(), (sum, self.last));
        self.last
    }

    /// The last answer to `question`, if nothing has happened since; `event` is
    /// the number of the last event.
    fn kept(&self, question: &Question, event: u64, now: Instant) -> Option<Kept> {
        let name = (question.about.clone(), question.filter.clone());
        let kept = self.kept.get(&name)?;
        let is_new = now.duration_since(kept.at) < FRESH;
        (kept.event == event && is_new).then(|| kept.clone())
    }

    /// When to look at the answer to `question` again after an event: the same
    /// moment for all who wait for it, so that one look is for all of them.
    fn next_look(&self, question: &Question) -> Instant {
        let name = (question.about.clone(), question.filter.clone());
        let soon = Instant::now() + GATHER;
        let paced = |kept: &Kept| kept.at + (kept.took * PART).min(LONGEST_GATHER);
        self.kept.get(&name).map_or(soon, |kept| soon.max(paced(kept)))
    }

    fn keep(&mut self, question: &Question, kept: &Kept) {
        let name = (question.about.clone(), question.filter.clone());
        self.kept.remove(&name);
        let size: usize = self.kept.values().map(|kept| kept.body.len()).sum();
        if size + kept.body.len() > KEPT || self.kept.len() >= QUESTIONS {
            self.kept.clear();
        }
        self.kept.insert(name, kept.clone());
    }
}

/// Works out the answer, unless that was done just now and nothing has
/// happened since: what somebody changes has happened before they are told.
fn work_out(call: &Call, question: &Question, answer: &impl Fn() -> Answer) -> Kept {
    // Before the look, so that what happens meanwhile is looked at again.
    let (event, now) = (call.control().last_event(), Instant::now());
    if let Some(kept) = call.front.answers().kept(question, event, now) {
        return kept;
    }
    let Answer { sum, value } = answer();
    let body = Bytes::from(value.to_string());
    let mut answers = call.front.answers();
    let index = answers.index(&question.about, sum);
    let kept = Kept { event, at: now, index, body, took: now.elapsed() };
    answers.keep(question, &kept);
    kept
}

/// Answers `question` with what `answer` comes to: at once, or when that is
/// not any more what the client has.
pub(super) async fn answer(
    call: &Call,
    question: Question,
    answer: impl Fn() -> Answer,
) -> Response {
    // Before the first look, so that nothing is missed.
    let mut events = call.control().events();
    let has = call.param("index").and_then(|text| text.parse::<u64>().ok()).unwrap_or(0);
    let until = Instant::now() + patience(call.param("wait"));
    let waiting = std::sync::Arc::clone(&call.front.answers().waiting);
    let place = (has > 0).then(|| waiting.try_acquire());
    loop {
        let found = work_out(call, &question, &answer);
        let is_news = has == 0 || found.index != has || Instant::now() >= until;
        if is_news || call.front.closing().is_cancelled() {
            return with_index(found);
        }
        if matches!(place, Some(Err(_))) {
            sleep(CROWDED).await;
            return with_index(work_out(call, &question, &answer));
        }
        tokio::select! {
            heard = timeout_at(until, concerned(&mut events, &question)) => {
                match heard {
                    Ok(false) => return with_index(found),
                    Ok(true) => {
                        let next = call.front.answers().next_look(&question);
                        sleep_until(next.min(until)).await;
                    }
                    Err(_) => {}
                }
                // What was gathered is in the next look.
                events = events.resubscribe();
            }
            () = call.front.closing().cancelled() => {}
        }
    }
}

/// Waits for something that may change the answer to `question`. False if
/// nothing happens any more.
async fn concerned(events: &mut broadcast::Receiver<EventView>, question: &Question) -> bool {
    loop {
        let event = match events.recv().await {
            Ok(event) => event,
            Err(broadcast::error::RecvError::Lagged(_)) => return true,
            Err(broadcast::error::RecvError::Closed) => return false,
        };
        match (&question.service, &event.service) {
            (Some(about), Some(of)) if about != of => {}
            _ => return true,
        }
    }
}

/// How long to wait: as asked for, and up to a sixteenth more, so that clients
/// do not come back all at once.
fn patience(wait: Option<&str>) -> Duration {
    let wait = wait.and_then(super::duration::parse).filter(|wait| !wait.is_zero());
    let wait = wait.unwrap_or(WAIT).min(LONGEST);
    wait + wait.mul_f64(fastrand::f64() / 16.0)
}

fn with_index(found: Kept) -> Response {
    let headers = [
        ("x-consul-index", found.index.to_string()),
        ("x-consul-knownleader", "true".to_owned()),
        ("x-consul-lastcontact", "0".to_owned()),
    ];
    let json = (header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    (headers, [json], found.body).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_index_changes_with_the_answer_and_with_nothing_else() {
        let mut answers = Answers::default();
        let first = answers.index("a", sum(&[1]));
        assert!(first > 0);
        let other = answers.index("b", sum(&[1]));
        assert!(other > first);
        assert_eq!(answers.index("a", sum(&[1])), first);
        let changed = answers.index("a", sum(&[1, 2]));
        assert!(changed > other);
        assert_eq!(answers.index("a", sum(&[1, 2])), changed);
        assert!(answers.index("a", sum(&[1])) > changed);
    }

    #[test]
    fn what_is_told_apart_is_bounded() {
        let mut answers = Answers::default();
        for number in 0..QUESTIONS + 5 {
            answers.index(&number.to_string(), 1);
        }
        assert!(answers.known.len() <= QUESTIONS);
        let body = Bytes::from(vec![b' '; KEPT / 3]);
        let now = Instant::now();
        let kept = Kept { event: 1, at: now, index: 1, body, took: Duration::ZERO };
        for number in 0..10 {
            let about = number.to_string();
            let question = Question { about, filter: String::new(), service: None };
            answers.keep(&question, &kept);
            assert!(answers.kept.len() <= 3);
            assert!(answers.kept(&question, 1, now).is_some());
            assert!(answers.kept(&question, 2, now).is_none());
            assert!(answers.kept(&question, 1, now + FRESH).is_none());
        }
    }

    #[test]
    fn a_wait_is_bounded() {
        assert!(patience(Some("10s")) >= Duration::from_secs(10));
        assert!(patience(Some("10s")) <= Duration::from_millis(10_625));
        assert!(patience(Some("24h")) <= LONGEST + LONGEST / 16);
        assert!(patience(None) >= WAIT && patience(Some("x")) >= WAIT);
    }
}
