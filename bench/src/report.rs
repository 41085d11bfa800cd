//! Ratios of the same round, and how they spread.

use std::fmt::Write;

/// What one slice of one target came to.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Slice {
    /// Nanoseconds of processor time for each request.
    pub(crate) cost: f64,
    /// Cores that threads were busy on which are not in the cost.
    pub(crate) beside: f64,
    /// Requests answered a second.
    pub(crate) rate: f64,
    /// Microseconds.
    pub(crate) p50: u32,
    pub(crate) p99: u32,
}

/// Median and quartiles.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Spread {
    pub(crate) low: f64,
    pub(crate) median: f64,
    pub(crate) high: f64,
}

impl Spread {
    pub(crate) fn of(mut values: Vec<f64>) -> Self {
        values.sort_by(f64::total_cmp);
        let at = |share: f64| {
            let last = values.len().saturating_sub(1) as f64;
            values.get((last * share).round() as usize).copied().unwrap_or(f64::NAN)
        };
        Self { low: at(0.25), median: at(0.5), high: at(0.75) }
    }
}

/// The processor time of a request of the target `index`, as a ratio to that of
/// `baseline` in the same round.
pub(crate) fn ratio(rounds: &[Vec<Slice>], index: usize, baseline: usize) -> Spread {
    Spread::of(rounds.iter().map(|round| round[index].cost / round[baseline].cost).collect())
}

/// The rounds of one scenario: for each, a slice of each target.
pub(crate) fn table(
    scenario: &str,
    labels: &[String],
    rounds: &[Vec<Slice>],
    baseline: usize,
    thrown_away: usize,
) -> String {
    let mut text = String::new();
    let _ = writeln!(
        text,
        "\n## {scenario}: {} rounds\n\n| | CPU of {} | quartiles | µs each | requests/s | p50 µs | p99 µs |\n| --- | --- | --- | --- | --- | --- | --- |",
        rounds.len(),
        labels[baseline],
    );
    for (index, label) in labels.iter().enumerate() {
        let of = |pick: fn(&Slice) -> f64| {
            Spread::of(rounds.iter().map(|round| pick(&round[index])).collect()).median
        };
        let ratio = ratio(rounds, index, baseline);
        let _ = writeln!(
            text,
            "| {label} | {:.2} | {:.2}-{:.2} | {:.1} | {:.0} | {:.0} | {:.0} |",
            ratio.median,
            ratio.low,
            ratio.high,
            of(|slice| slice.cost) / 1000.0,
            of(|slice| slice.rate),
            of(|slice| slice.p50.into()),
            of(|slice| slice.p99.into()),
        );
    }
    let beside =
        |index: usize| Spread::of(rounds.iter().map(|round| round[index].beside).collect()).median;
    for (index, label) in labels.iter().enumerate().filter(|(index, _)| beside(*index) > 0.0005) {
        let _ = writeln!(text, "\n{label}: {:.3} cores beside that.", beside(index));
    }
    if thrown_away > 0 {
        let _ = writeln!(text, "\n{thrown_away} rounds were thrown away.");
    }
    text
}
