//! The run as one picture: a row for each scenario, a dot for each target at
//! its ratio to the baseline, with a line from quartile to quartile.

use std::fmt::Write;

use crate::report::Spread;

/// A scenario, and the ratio of each target by its label.
pub(crate) struct Row {
    pub(crate) scenario: String,
    pub(crate) ratios: Vec<(String, Spread)>,
}

const LEFT: f64 = 170.0;
const WIDTH: f64 = 640.0;
const TOP: f64 = 64.0;
const STEP: f64 = 26.0;

/// The ratios at the ends, and those that are marked between.
const ENDS: (f64, f64) = (0.125, 8.0);
const MARKS: [f64; 7] = [0.125, 0.25, 0.5, 1.0, 2.0, 4.0, 8.0];

/// Readable on white and on black.
const COLOURS: [&str; 8] =
    ["#0072b2", "#e69f00", "#cc79a7", "#009e73", "#d55e00", "#56b4e9", "#b8a900", "#888888"];

fn place(ratio: f64) -> f64 {
    let (low, high) = ENDS;
    LEFT + WIDTH * (ratio.clamp(low, high) / low).ln() / (high / low).ln()
}

fn text(out: &mut String, x: f64, y: f64, anchor: &str, words: &str) {
    let words = words.replace('&', "&amp;").replace('<', "&lt;");
    let _ = writeln!(out, r#"<text x="{x:.0}" y="{y:.0}" text-anchor="{anchor}">{words}</text>"#);
}

/// The picture of `rows`, ratios to `baseline`, with `note` below its title.
pub(crate) fn svg(rows: &[Row], baseline: &str, note: &str) -> String {
    let mut labels: Vec<&str> = Vec::new();
    for (label, _) in rows.iter().flat_map(|row| &row.ratios) {
        if !labels.contains(&label.as_str()) {
            labels.push(label);
        }
    }
    let colour = |label: &str| {
        let index = labels.iter().position(|each| *each == label).unwrap_or_default();
        COLOURS[index % COLOURS.len()]
    };
    let bottom = TOP + STEP * rows.len() as f64;
    let (width, height) = (LEFT + WIDTH + 30.0, bottom + 60.0);
    let mut out = format!(
        r##"<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:.0} {height:.0}" font-family="sans-serif" font-size="12" fill="#777">
<title>Processor time of a request, as a ratio to {baseline}</title>
"##
    );
    text(
        &mut out,
        10.0,
        20.0,
        "start",
        &format!("CPU of a request ÷ that of {baseline}; less is better"),
    );
    text(&mut out, 10.0, 38.0, "start", note);
    for mark in MARKS {
        let x = place(mark);
        let stroke = if (mark - 1.0).abs() < f64::EPSILON { 1.5 } else { 0.5 };
        let _ = writeln!(
            out,
            r##"<line x1="{x:.1}" x2="{x:.1}" y1="{TOP:.0}" y2="{bottom:.0}" stroke="#999" stroke-width="{stroke}"/>"##
        );
        text(&mut out, x, bottom + 16.0, "middle", &mark.to_string());
    }
    for (index, row) in rows.iter().enumerate() {
        let y = TOP + STEP * (index as f64 + 0.5);
        text(&mut out, LEFT - 10.0, y + 4.0, "end", &row.scenario);
        for (label, ratio) in &row.ratios {
            let (low, high) = (place(ratio.low), place(ratio.high));
            let (at, colour) = (place(ratio.median), colour(label));
            let _ = writeln!(
                out,
                r#"<g stroke="{colour}" fill="{colour}"><title>{label}: {:.2} ({:.2} to {:.2})</title><line x1="{low:.1}" x2="{high:.1}" y1="{y:.1}" y2="{y:.1}" stroke-width="2"/><circle cx="{at:.1}" cy="{y:.1}" r="4"/></g>"#,
                ratio.median, ratio.low, ratio.high
            );
        }
    }
    let mut x = LEFT;
    for label in &labels {
        let y = bottom + 40.0;
        let _ = writeln!(
            out,
            r#"<circle cx="{x:.0}" cy="{:.0}" r="4" fill="{}"/>"#,
            y - 4.0,
            colour(label)
        );
        text(&mut out, x + 8.0, y, "start", label);
        x += 30.0 + 7.0 * label.len() as f64;
    }
    out + "</svg>\n"
}
