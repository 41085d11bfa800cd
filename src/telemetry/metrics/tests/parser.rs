//! A strict reader of the Prometheus text format 0.0.4, for tests.
//!
//! It refuses what the format forbids and also what it merely advises against:
//! a metric without HELP or TYPE, or written in two places.

use std::collections::{BTreeMap, BTreeSet};

/// One metric with its series.
#[derive(Debug, Default)]
pub(super) struct Family {
    pub(super) help: String,
    pub(super) kind: String,
    pub(super) samples: Vec<Sample>,
}

/// One line.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Sample {
    pub(super) name: String,
    pub(super) labels: BTreeMap<String, String>,
    pub(super) value: f64,
}

/// Reads a whole page.
pub(super) fn parse(text: &str) -> Result<BTreeMap<String, Family>, String> {
    if !text.ends_with('\n') {
        return Err("the last line has no end".into());
    }
    let mut families: BTreeMap<String, Family> = BTreeMap::new();
    let mut current = String::new();
    let mut seen = BTreeSet::new();
    for line in text.lines() {
        if let Some(rest) = line.strip_prefix("# HELP ") {
            let (name, help) = rest.split_once(' ').ok_or_else(|| format!("no help: {line}"))?;
            check_name(name)?;
            current = name.to_owned();
            let family = Family { help: help.to_owned(), ..Family::default() };
            if families.insert(current.clone(), family).is_some() {
                return Err(format!("{name} stands in two places"));
            }
        } else if let Some(rest) = line.strip_prefix("# TYPE ") {
            let (name, kind) = rest.split_once(' ').ok_or_else(|| format!("no type: {line}"))?;
            let family = families.get_mut(name).filter(|_| name == current);
            let family = family.ok_or_else(|| format!("TYPE without HELP: {line}"))?;
            if !["counter", "gauge", "histogram"].contains(&kind) || !family.kind.is_empty() {
                return Err(format!("bad type: {line}"));
            }
            kind.clone_into(&mut family.kind);
        } else {
            let sample = parse_sample(line).map_err(|problem| format!("{problem}: {line}"))?;
            if !seen.insert((sample.name.clone(), sample.labels.clone())) {
                return Err(format!("the series occurs twice: {line}"));
            }
            let family = families.get_mut(&current).filter(|family| !family.kind.is_empty());
            let family = family.ok_or_else(|| format!("a sample without a type: {line}"))?;
            let suffix = sample.name.strip_prefix(&current);
            let belongs = match &*family.kind {
                "histogram" => matches!(suffix, Some("_bucket" | "_sum" | "_count")),
                _ => suffix == Some(""),
            };
            if !belongs {
                return Err(format!("a sample among those of {current}: {line}"));
            }
            family.samples.push(sample);
        }
    }
    families.iter().try_for_each(|(name, family)| check_family(name, family))?;
    Ok(families)
}

fn check_family(name: &str, family: &Family) -> Result<(), String> {
    match &*family.kind {
        "counter" if !name.ends_with("_total") => Err(format!("the counter {name} has no _total")),
        "counter" if family.samples.iter().any(|sample| sample.value < 0.0) => {
            Err(format!("the counter {name} is below zero"))
        }
        "histogram" => check_histogram(name, &family.samples),
        "gauge" if name.ends_with("_total") => Err(format!("the gauge {name} ends in _total")),
        "" => Err(format!("{name} has no type")),
        _ => Ok(()),
    }
}

fn check_histogram(name: &str, samples: &[Sample]) -> Result<(), String> {
    #[derive(Default)]
    struct Histogram {
        buckets: Vec<(f64, f64)>,
        sum: Option<f64>,
        count: Option<f64>,
    }
    let mut series: BTreeMap<_, Histogram> = BTreeMap::new();
    for sample in samples {
        let mut labels = sample.labels.clone();
        let bound = labels.remove("le");
        let entry = series.entry(labels).or_default();
        match (&sample.name[name.len()..], bound) {
            ("_bucket", Some(bound)) => {
                let bound = parse_value(&bound).ok_or_else(|| format!("{name}: le={bound:?}"))?;
                entry.buckets.push((bound, sample.value));
            }
            ("_sum", None) => entry.sum = Some(sample.value),
            ("_count", None) => entry.count = Some(sample.value),
            _ => return Err(format!("{name}: misplaced le: {sample:?}")),
        }
    }
    for (labels, Histogram { buckets, sum, count }) in series {
        let grows = buckets.is_sorted_by(|a, b| a.0 < b.0 && a.1 <= b.1);
        let last = buckets.last().copied();
        let complete = last.is_some_and(|(bound, value)| {
            bound == f64::INFINITY && Some(value) == count && sum.is_some()
        });
        if !grows || !complete {
            return Err(format!("{name}{labels:?} is not a histogram: {buckets:?}"));
        }
    }
    Ok(())
}

fn parse_sample(line: &str) -> Result<Sample, String> {
    let end = line.find(['{', ' ']).ok_or("no value")?;
    let (name, rest) = line.split_at(end);
    check_name(name)?;
    let (labels, value) = match rest.strip_prefix('{') {
        Some(rest) => parse_labels(rest)?,
        None => (BTreeMap::new(), rest),
    };
    let value = value.strip_prefix(' ').and_then(parse_value).ok_or("a bad value")?;
    Ok(Sample { name: name.into(), labels, value })
}

fn parse_labels(mut rest: &str) -> Result<(BTreeMap<String, String>, &str), String> {
    let mut labels = BTreeMap::new();
    loop {
        let (name, after) = rest.split_once("=\"").ok_or("a label without a value")?;
        if name.contains(':') {
            return Err(format!("a bad label name {name:?}"));
        }
        check_name(name)?;
        let mut value = String::new();
        let mut chars = after.chars();
        loop {
            match chars.next().ok_or("a label value without an end")? {
                '"' => break,
                '\\' => value.push(match chars.next() {
                    Some('n') => '\n',
                    Some(c @ ('\\' | '"')) => c,
                    other => return Err(format!("a bad escape {other:?}")),
                }),
                c => value.push(c),
            }
        }
        if labels.insert(name.to_owned(), value).is_some() {
            return Err(format!("the label {name} occurs twice"));
        }
        rest = chars.as_str();
        if let Some(value) = rest.strip_prefix('}') {
            return Ok((labels, value));
        }
        rest = rest.strip_prefix(',').ok_or("no comma between labels")?;
    }
}

fn parse_value(text: &str) -> Option<f64> {
    match text {
        "+Inf" => Some(f64::INFINITY),
        _ if text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'.' | b'e' | b'-')) => {
            text.parse().ok()
        }
        _ => None,
    }
}

fn check_name(name: &str) -> Result<(), String> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b':');
    if !name.is_empty() && name.bytes().all(plain) && !name.as_bytes()[0].is_ascii_digit() {
        return Ok(());
    }
    Err(format!("a bad name {name:?}"))
}

#[test]
fn bad_pages_are_refused() {
    let head = "# HELP a_total h\n# TYPE a_total counter\n";
    assert!(parse(&format!("{head}a_total{{x=\"\\\"\\\\\\n\",y=\"\"}} 1\n")).is_ok());
    for bad in [
        "a_total 1",
        "a_total 1\na_total 2\n",
        "b_total 1\n",
        "a_total -1\n",
        "a_total{x=\"\\t\"} 1\n",
        "a_total{x=\"a\"b\"} 1\n",
        "a_total{x=\"1\",x=\"2\"} 1\n",
        "a_total{x=\"1\" 1\n",
        "a_total\n",
        "a_total one\n",
        "# HELP a_total h\n",
    ] {
        assert!(parse(&format!("{head}{bad}")).is_err(), "{bad}");
    }
}
