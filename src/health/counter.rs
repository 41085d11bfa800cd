//! From outcomes to a verdict: so many failures in a row take an instance
//! out, so many passes in a row bring it back.
//!
//! Pure. The verdict equals that of a scan over the whole history for the
//! latest run that was long enough, where the first pass ever counts as long
//! enough (the property test holds it to that).

use crate::model::Verdict;

/// Counts the outcomes of one instance.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Counter {
    verdict: Verdict,
    in_a_row: u32,
    last_passed: Option<bool>,
    ever_passed: bool,
}

impl Counter {
    /// One that goes on where another process stopped counting.
    pub(super) const fn resume(
        verdict: Verdict,
        in_a_row: u32,
        last_passed: bool,
        ever_passed: bool,
    ) -> Self {
        Self { verdict, in_a_row, last_passed: Some(last_passed), ever_passed }
    }

    /// The verdict so far.
    pub(super) const fn verdict(&self) -> Verdict {
        self.verdict
    }

    /// How many of the latest outcomes were the same.
    pub(super) const fn in_a_row(&self) -> u32 {
        self.in_a_row
    }

    /// Whether any outcome was a pass.
    pub(super) const fn ever_passed(&self) -> bool {
        self.ever_passed
    }

    /// Takes in that the instance fails, whatever probes have found: as many
    /// passes as configured bring it back.
    pub(super) const fn fail(&mut self) {
        (self.verdict, self.in_a_row, self.last_passed) = (Verdict::Failing, 1, Some(false));
    }

    /// Takes in one outcome and says whether the verdict changed. An instance
    /// that never passed has nothing to recover from: one pass is enough.
    pub(super) fn record(
        &mut self,
        passed: bool,
        healthy_after: u32,
        unhealthy_after: u32,
    ) -> bool {
        self.in_a_row =
            if self.last_passed == Some(passed) { self.in_a_row.saturating_add(1) } else { 1 };
        self.last_passed = Some(passed);
        let before = self.verdict;
        if passed {
            if !self.ever_passed || self.in_a_row >= healthy_after {
                self.verdict = Verdict::Passing;
            }
            self.ever_passed = true;
        } else if self.in_a_row >= unhealthy_after {
            self.verdict = Verdict::Failing;
        }
        self.verdict != before
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The latest run that was long enough, found by looking at all of them.
    fn naive(history: &[bool], healthy_after: usize, unhealthy_after: usize) -> Verdict {
        let first_pass = history.iter().position(|passed| *passed);
        let run_ending_at = |end: usize| {
            history[..=end].iter().rev().take_while(|passed| **passed == history[end]).count()
        };
        let decided = (0..history.len()).rev().find(|&at| {
            let needed = if history[at] { healthy_after } else { unhealthy_after };
            run_ending_at(at) >= needed || first_pass == Some(at)
        });
        match decided.map(|at| history[at]) {
            None => Verdict::Unknown,
            Some(true) => Verdict::Passing,
            Some(false) => Verdict::Failing,
        }
    }

    proptest! {
        #[test]
        fn equals_a_scan_of_the_history(
            history in prop::collection::vec(any::<bool>(), 0..60),
            healthy_after in 1_u32..5,
            unhealthy_after in 1_u32..5,
        ) {
            let mut counter = Counter::default();
            for length in 0..history.len() {
                let before = counter.verdict();
                let changed = counter.record(history[length], healthy_after, unhealthy_after);
                let expected =
                    naive(&history[..=length], healthy_after as usize, unhealthy_after as usize);
                prop_assert_eq!(counter.verdict(), expected);
                prop_assert_eq!(changed, before != expected);
            }
        }
    }

    fn after(outcomes: &[bool], healthy_after: u32, unhealthy_after: u32) -> (Verdict, u32) {
        let mut counter = Counter::default();
        for passed in outcomes {
            counter.record(*passed, healthy_after, unhealthy_after);
        }
        (counter.verdict(), counter.in_a_row())
    }

    #[test]
    fn a_new_instance_needs_one_pass_and_a_failed_one_as_many_as_configured() {
        assert_eq!(after(&[], 3, 2), (Verdict::Unknown, 0));
        assert_eq!(after(&[true], 3, 2), (Verdict::Passing, 1));
        assert_eq!(after(&[false], 3, 2), (Verdict::Unknown, 1));
        assert_eq!(after(&[false, false], 3, 2), (Verdict::Failing, 2));
        assert_eq!(after(&[false, false, true], 3, 2), (Verdict::Passing, 1));
        assert_eq!(after(&[true, false, false, true, true], 3, 2), (Verdict::Failing, 2));
        assert_eq!(after(&[true, false, false, true, true, true], 3, 2), (Verdict::Passing, 3));
    }

    #[test]
    fn who_is_said_to_fail_comes_back_as_any_other() {
        let mut counter = Counter::default();
        counter.record(true, 2, 3);
        counter.fail();
        assert_eq!((counter.verdict(), counter.in_a_row()), (Verdict::Failing, 1));
        assert!(!counter.record(true, 2, 3));
        assert!(counter.record(true, 2, 3));
    }

    #[test]
    fn one_failure_between_passes_takes_nobody_out() {
        assert_eq!(after(&[true, false, true, false, true], 3, 2), (Verdict::Passing, 1));
    }
}
