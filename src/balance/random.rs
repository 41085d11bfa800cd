//! At random, by weight.

use super::Target;

/// Draws a target with a probability in proportion to its weight.
#[derive(Debug)]
pub(super) enum Draw {
    /// All weights are the same.
    Even,
    /// The running sums of the weights.
    Weighted(Box<[u32]>),
}

impl Draw {
    pub(super) fn new(targets: &[Target]) -> Self {
        if targets.windows(2).all(|pair| pair[0].weight == pair[1].weight) {
            return Self::Even;
        }
        let mut sum = 0;
        let sums = targets.iter().map(|target| {
            sum += u32::from(target.weight);
            sum
        });
        Self::Weighted(sums.collect())
    }

    /// `targets` are those it was made for, at least one.
    pub(super) fn pick<'a>(&self, targets: &'a [Target]) -> &'a Target {
        &targets[self.index(targets)]
    }

    /// The place of the drawn target.
    pub(super) fn index(&self, targets: &[Target]) -> usize {
        match self {
            Self::Even => fastrand::usize(..targets.len()),
            Self::Weighted(sums) => {
                let point = fastrand::u32(..sums[sums.len() - 1]);
                sums.partition_point(|sum| *sum <= point)
            }
        }
    }
}
