//! Questions that wait for a change (`?index=&wait=`), and the indexes by which
//! clients tell one answer from the next.
//!
//! A question has the index of the moment at which its answer last became
//! another one, as far as anybody has asked. So a client waits until the answer
//! changes, and is not woken by what happens elsewhere. After a restart indexes
//! are higher than they were.

use std::{
    collections::{HashMap, hash_map::DefaultHasher},
    hash::{Hash, Hasher},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use axum::{
    Json,
    response::{IntoResponse, Response},
};
use serde_json::Value;
use tokio::{
    sync::{Semaphore, broadcast::error::RecvError},
    time::{Instant, sleep, timeout_at},
};

use crate::front::call::Call;

/// How long a question waits if it does not say, and at most.
const WAIT: Duration = Duration::from_secs(5 * 60);
const LONGEST: Duration = Duration::from_secs(10 * 60);

/// Questions that wait at once; each holds a connection. One more is answered
/// after a second.
const WAITING: usize = 512;
const CROWDED: Duration = Duration::from_secs(1);

/// Questions whose answers are told apart. With more, all begin anew.
const QUESTIONS: usize = 10_000;

/// After a change, for how long others are gathered.
const GATHER: Duration = Duration::from_millis(50);

/// When which answer last changed.
#[derive(Debug)]
pub(in crate::front) struct Answers {
    /// The index of the last change of any.
    last: u64,
    /// By question: what its answer comes to, and since which index.
    known: HashMap<String, (u64, u64)>,
    waiting: std::sync::Arc<Semaphore>,
}

impl Default for Answers {
    fn default() -> Self {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        // Higher than any before a restart, and exact in JavaScript.
        let last = now.as_secs().saturating_mul(1000).max(1);
        let waiting = Semaphore::new(WAITING).into();
        Self { last, known: HashMap::new(), waiting }
    }
}

impl Answers {
    /// The index of `answer` to `question`.
    fn index(&mut self, question: &str, answer: &Value) -> u64 {
        let mut hasher = DefaultHasher::new();
        answer.to_string().hash(&mut hasher);
        let sum = hasher.finish();
        match self.known.get(question) {
            Some((known, index)) if *known == sum => return *index,
            None if self.known.len() >= QUESTIONS => self.known.clear(),
            _ => {}
        }
        self.last += 1;
        self.known.insert(question.to_owned(), (sum, self.last));
        self.last
    }
}

/// Answers `question` with what `answer` comes to: at once, or when that is
/// not any more what the client has.
pub(super) async fn answer(call: &Call, question: &str, answer: impl Fn() -> Value) -> Response {
    // Before the first look, so that nothing is missed.
    let mut events = call.control().events();
    let has = call.param("index").and_then(|text| text.parse::<u64>().ok()).unwrap_or(0);
    let until = Instant::now() + patience(call.param("wait"));
    let waiting = std::sync::Arc::clone(&call.front.answers().waiting);
    let place = (has > 0).then(|| waiting.try_acquire());
    loop {
        let value = answer();
        let index = call.front.answers().index(question, &value);
        let is_news = has == 0 || index != has || Instant::now() >= until;
        if is_news || call.front.closing().is_cancelled() {
            return with_index(index, value);
        }
        if matches!(place, Some(Err(_))) {
            sleep(CROWDED).await;
            return with_index(index, answer());
        }
        tokio::select! {
            heard = timeout_at(until, events.recv()) => {
                if matches!(heard, Ok(Err(RecvError::Closed))) {
                    return with_index(index, value);
                }
                sleep(GATHER).await;
                // What was gathered is in the next look.
                events = events.resubscribe();
            }
            () = call.front.closing().cancelled() => {}
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

fn with_index(index: u64, value: Value) -> Response {
    let headers = [
        ("x-consul-index", index.to_string()),
        ("x-consul-knownleader", "true".to_owned()),
        ("x-consul-lastcontact", "0".to_owned()),
    ];
    (headers, Json(value)).into_response()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_index_changes_with_the_answer_and_with_nothing_else() {
        let mut answers = Answers::default();
        let first = answers.index("a", &json!([1]));
        assert!(first > 0);
        let other = answers.index("b", &json!([1]));
        assert!(other > first);
        assert_eq!(answers.index("a", &json!([1])), first);
        let changed = answers.index("a", &json!([1, 2]));
        assert!(changed > other);
        assert_eq!(answers.index("a", &json!([1, 2])), changed);
        assert!(answers.index("a", &json!([1])) > changed);
    }

    #[test]
    fn what_is_told_apart_is_bounded() {
        let mut answers = Answers::default();
        for number in 0..QUESTIONS + 5 {
            answers.index(&number.to_string(), &json!(1));
        }
        assert!(answers.known.len() <= QUESTIONS);
    }

    #[test]
    fn a_wait_is_bounded() {
        assert!(patience(Some("10s")) >= Duration::from_secs(10));
        assert!(patience(Some("10s")) <= Duration::from_millis(10_625));
        assert!(patience(Some("24h")) <= LONGEST + LONGEST / 16);
        assert!(patience(None) >= WAIT && patience(Some("x")) >= WAIT);
    }
}
