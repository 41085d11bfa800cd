//! In turn, by weight, evenly spread.
//!
//! The order is nginx's smooth weighted round robin, computed once for a table
//! (5:1:1 gives a a b a c a a, not a a a a a b c) and then walked by all
//! workers with one counter, so that the choice itself is an addition. Where
//! that would take long to compute, each target's turns are spread over the
//! round by themselves and then merged.

use std::sync::atomic::{AtomicU32, Ordering};

use super::Target;

/// Longer orders are approximated: a weight is then off by up to 1/4096 of the
/// whole.
const LONGEST: u32 = 4096;

/// Steps that computing nginx's order may take: one for each target and turn.
const MOST_STEPS: usize = 1 << 16;

/// The order in which targets take their turns.
#[derive(Debug)]
pub(super) struct Schedule(Box<[u32]>);

impl Schedule {
    pub(super) fn new(targets: &[Target]) -> Self {
        let weights: Vec<u32> = targets.iter().map(|target| u32::from(target.weight)).collect();
        let weights = reduced(&weights);
        let turns = weights.iter().sum::<u32>() as usize;
        Self(if turns * weights.len() > MOST_STEPS { merged(&weights) } else { smooth(&weights) })
    }

    /// `targets` are those it was made for, at least one.
    pub(super) fn pick<'a>(&self, targets: &'a [Target], turn: &AtomicU32) -> &'a Target {
        let turn = turn.fetch_add(1, Ordering::Relaxed) as usize;
        &targets[self.0[turn % self.0.len()] as usize]
    }
}

/// The same proportions in smaller numbers.
fn reduced(weights: &[u32]) -> Vec<u32> {
    let divisor = weights.iter().copied().fold(0, gcd).max(1);
    let sum = weights.iter().sum::<u32>() / divisor;
    if sum <= LONGEST.max(u32::try_from(weights.len()).unwrap_or(u32::MAX)) {
        return weights.iter().map(|weight| weight / divisor).collect();
    }
    let scale = |weight: &u32| {
        let exact = u64::from(*weight / divisor) * u64::from(LONGEST);
        u32::try_from(exact.div_ceil(u64::from(sum))).unwrap_or(LONGEST).max(1)
    };
    weights.iter().map(scale).collect()
}

const fn gcd(mut a: u32, mut b: u32) -> u32 {
    while b != 0 {
        (a, b) = (b, a % b);
    }
    a
}

fn smooth(weights: &[u32]) -> Box<[u32]> {
    if weights.iter().all(|weight| *weight == 1) {
        return (0..u32::try_from(weights.len()).unwrap_or(u32::MAX)).collect();
    }
    let sum: i64 = weights.iter().copied().map(i64::from).sum();
    let mut current = vec![0_i64; weights.len()];
    let turns = (0..sum).map(|_| {
        for (current, weight) in current.iter_mut().zip(weights) {
            *current += i64::from(*weight);
        }
        // The first of equals, as in nginx.
        let best = (0..current.len()).rev().max_by_key(|index| current[*index]).unwrap_or(0);
        current[best] -= sum;
        u32::try_from(best).unwrap_or(0)
    });
    turns.collect()
}

/// The turns of a target of weight 4 stand at 1/8, 3/8, 5/8 and 7/8 of the
/// round; of those that stand at the same place the first goes first.
fn merged(weights: &[u32]) -> Box<[u32]> {
    let mut turns: Vec<(u32, u32, u32)> = (0..)
        .zip(weights)
        .flat_map(|(index, weight)| (0..*weight).map(move |turn| (2 * turn + 1, *weight, index)))
        .collect();
    let place = |(at, weight, _): &(u32, u32, u32), other: &(u32, u32, u32)| {
        (u64::from(*at) * u64::from(other.1)).cmp(&(u64::from(other.0) * u64::from(*weight)))
    };
    turns.sort_by(place);
    turns.into_iter().map(|(.., index)| index).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn turns_are_evenly_spread() {
        assert_eq!(*smooth(&[5, 1, 1]), [0, 0, 1, 0, 2, 0, 0]);
        assert_eq!(*smooth(&[1, 1, 1]), [0, 1, 2]);
        assert_eq!(*merged(&[5, 1, 1]), [0, 0, 0, 1, 2, 0, 0]);
        assert_eq!(*merged(&[2, 1]), [0, 1, 0]);
        assert_eq!(reduced(&[100, 300]), [1, 3]);
        assert_eq!(reduced(&[1000, 999, 1]).len(), 3);
    }

    proptest! {
        #[test]
        fn each_gets_its_share_of_every_round(weights in prop::collection::vec(1_u32..20, 1..8)) {
            for turns in [smooth(&weights), merged(&weights)] {
                for (index, weight) in weights.iter().enumerate() {
                    let taken = turns.iter().filter(|turn| **turn as usize == index).count();
                    prop_assert_eq!(taken, *weight as usize);
                }
            }
        }

        #[test]
        fn long_orders_are_approximated(weights in prop::collection::vec(1_u32..=1000, 2..60)) {
            let small = reduced(&weights);
            let (sum, small_sum) = (weights.iter().sum::<u32>(), small.iter().sum::<u32>());
            prop_assert!(small_sum <= LONGEST + 60);
            for (weight, small) in weights.iter().zip(&small) {
                let share = f64::from(*weight) / f64::from(sum);
                prop_assert!((share - f64::from(*small) / f64::from(small_sum)).abs() < 0.02);
            }
        }
    }
}
