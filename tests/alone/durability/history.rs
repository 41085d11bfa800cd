//! What was asked for and what was acknowledged, by several clients at once,
//! and what may therefore be found afterwards.

use std::{
    collections::BTreeMap,
    sync::{
        Mutex,
        atomic::{AtomicU64, Ordering},
    },
};

/// What is registered under an id: a port, or nothing.
pub(super) type Found = Option<u16>;

/// Operations by id.
#[derive(Debug, Default)]
pub(super) struct History {
    clock: AtomicU64,
    operations: Mutex<BTreeMap<String, Vec<Operation>>>,
}

#[derive(Clone, Copy, Debug)]
struct Operation {
    result: Found,
    asked: u64,
    /// None while nobody said that it is done; it may be all the same, at any
    /// later time.
    acknowledged: Option<u64>,
}

impl History {
    /// Notes that `id` is asked to become `result`; the answer is for
    /// [`Self::acknowledge`].
    pub(super) fn ask(&self, id: &str, result: Found) -> usize {
        let asked = self.clock.fetch_add(1, Ordering::SeqCst);
        let mut operations = self.operations.lock().expect("no panic");
        let all = operations.entry(id.to_owned()).or_default();
        all.push(Operation { result, asked, acknowledged: None });
        all.len() - 1
    }

    pub(super) fn acknowledge(&self, id: &str, number: usize) {
        let now = self.clock.fetch_add(1, Ordering::SeqCst);
        let mut operations = self.operations.lock().expect("no panic");
        operations.get_mut(id).expect("was asked for")[number].acknowledged = Some(now);
    }

    pub(super) fn acknowledged(&self) -> usize {
        let operations = self.operations.lock().expect("no panic");
        operations.values().flatten().filter(|it| it.acknowledged.is_some()).count()
    }

    /// Checks what was found against what may be: the result of an operation
    /// that no acknowledged one followed. From then on what was found is what
    /// there is.
    #[track_caller]
    pub(super) fn check(&mut self, found: &BTreeMap<String, u16>) {
        let operations = self.operations.get_mut().expect("no panic");
        for id in found.keys() {
            assert!(operations.contains_key(id), "nobody asked for {id}");
        }
        for (id, all) in operations {
            let found = found.get(id).copied();
            let fine = possible(all).contains(&found);
            assert!(fine, "{id} is {found:?} after {:?}", &all[all.len().saturating_sub(12)..]);
            *all = vec![Operation { result: found, asked: 0, acknowledged: Some(0) }];
        }
    }
}

fn possible(all: &[Operation]) -> Vec<Found> {
    let before = Operation { result: None, asked: 0, acknowledged: Some(0) };
    let candidates = [before].into_iter().chain(all.iter().copied());
    let is_last = |it: &Operation| {
        let followed = |by: &Operation| {
            by.acknowledged.is_some() && it.acknowledged.is_some_and(|end| by.asked > end)
        };
        !all.iter().any(followed)
    };
    // What was there before is so only until something was done.
    let candidates = candidates.enumerate().filter(|(number, it)| match number {
        0 => !all.iter().any(|it| it.acknowledged.is_some()),
        _ => is_last(it),
    });
    candidates.map(|(_, it)| it.result).collect()
}

#[test]
fn the_checker_tells_what_may_be_from_what_may_not() {
    let op = |result, asked, acknowledged| Operation { result, asked, acknowledged };
    assert_eq!(possible(&[]), [None]);
    // Not acknowledged: done or not.
    assert_eq!(possible(&[op(Some(1), 1, None)]), [None, Some(1)]);
    // One after the other.
    assert_eq!(possible(&[op(Some(1), 1, Some(2)), op(Some(2), 3, Some(4))]), [Some(2)]);
    // At the same time: either may have been the last.
    assert_eq!(possible(&[op(Some(1), 1, Some(3)), op(None, 2, Some(4))]), [Some(1), None]);
    // The one without an answer may come later than all others.
    let late = [op(Some(1), 1, None), op(Some(2), 2, Some(3))];
    assert_eq!(possible(&late), [Some(1), Some(2)]);
}
