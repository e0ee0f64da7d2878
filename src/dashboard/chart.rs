//! Bars as SVG, with the same figures as a table for those who can't see them.
//!
//! In: labelled values. Out: markup without styles of its own. Must not know: what the values mean.

use super::format;
use crate::record::Timestamp;
use maud::{Markup, html};

/// Height of the drawing, in its own units; the width is one hundred units a bar.
const HEIGHT: u64 = 1_000;

/// One bar: when it begins, its parts from the bottom up, and what it says in words.
pub(super) struct Column {
    pub(super) start: Timestamp,
    pub(super) parts: Vec<u64>,
    pub(super) words: String,
}

/// A chart: a title with its total, the bars over a scale of round values, and the times below.
///
/// `classes` names the parts from the bottom up; `write` writes the values of the scale.
pub(super) fn bars(
    title: &str,
    total: &str,
    classes: &[&str],
    columns: &[Column],
    hourly: bool,
    write: impl Fn(u64) -> String,
) -> Markup {
    let heights = columns.iter().map(|c| sum(&c.parts));
    let highest = heights.max().unwrap_or_default();
    let top = round(highest);
    let label = |at| {
        if hourly {
            format::hour(at)
        } else {
            format::day(at)
        }
    };
    let width = columns.len() * 100;
    html! {
        figure.chart {
            figcaption { span.title { (title) } span.peak { (total) } }
            div.plot {
                @if highest > 0 {
                    div.scale aria-hidden="true" { span { (bare(&write(top))) } span { (bare(&write(top / 2))) } span { "0" } }
                }
                svg viewBox={ "0 0 " (width) " " (HEIGHT) } preserveAspectRatio="none" role="img"
                    aria-label={ (title) ": " (total) } {
                    @for y in [0, HEIGHT / 2] { rect.grid x="0" y=(y) width=(width) height="4" {} }
                    @for (at, column) in columns.iter().enumerate() {
                        g {
                            title { (column.words) }
                            rect.hit x=(at * 100) y="0" width="100" height=(HEIGHT) {}
                            @for (class, y, height) in stack(&column.parts, classes, top) {
                                rect class=(class) x=(at * 100 + 12) y=(y) width="76" height=(height) {}
                            }
                        }
                    }
                }
            }
            @if let (Some(first), Some(last)) = (columns.first(), columns.last()) {
                div.axis aria-hidden="true" {
                    span { (label(first.start)) }
                    @if columns.len() > 4 { span { (label(columns[columns.len() / 2].start)) } }
                    span { (label(last.start)) }
                }
            }
        }
    }
}

/// A round value without the zeros behind its point: `50.0M` is `50M`.
fn bare(value: &str) -> String {
    let Some((whole, rest)) = value.split_once('.') else {
        return value.to_owned();
    };
    let digits = rest.find(|c: char| !c.is_ascii_digit());
    let (digits, unit) = rest.split_at(digits.unwrap_or(rest.len()));
    match digits.trim_end_matches('0') {
        "" => format!("{whole}{unit}"),
        digits => format!("{whole}.{digits}{unit}"),
    }
}

/// The same figures as a table: what each bar says in words.
pub(super) fn as_table(hourly: bool, columns: &[Column]) -> Markup {
    let unit = if hourly { "hour" } else { "day" };
    html! {
        details.history {
            summary { "By " (unit) ", as a list" }
            ul.words { @for column in columns.iter().rev().filter(|c| sum(&c.parts) > 0) { li { (column.words) } } }
        }
    }
}

/// The least round value that is not below: one, two or five with zeros, and even where it is halved.
fn round(highest: u64) -> u64 {
    let mut unit = 1_u64;
    loop {
        for step in [2, 4, 6, 10, 15] {
            let top = unit.saturating_mul(step);
            if top >= highest {
                return top;
            }
        }
        match unit.checked_mul(10) {
            Some(next) => unit = next,
            None => return u64::MAX,
        }
    }
}

fn sum(parts: &[u64]) -> u64 {
    parts.iter().fold(0, |sum, part| sum.saturating_add(*part))
}

/// The rectangles of one bar: class, top and height. What is not zero is at least visible.
fn stack<'a>(parts: &[u64], classes: &[&'a str], highest: u64) -> Vec<(&'a str, u64, u64)> {
    let mut heights: Vec<u64> = parts
        .iter()
        .map(|part| match part {
            0 => 0,
            part => share(*part, highest, HEIGHT).max(8),
        })
        .collect();
    // Making small parts visible must not push the bar out of the drawing: the largest gives way.
    let excess = heights.iter().sum::<u64>().saturating_sub(HEIGHT);
    if let Some(largest) = heights.iter_mut().max() {
        *largest = largest.saturating_sub(excess);
    }
    let mut top = HEIGHT;
    let mut out = Vec::with_capacity(parts.len());
    for (height, class) in heights.into_iter().zip(classes) {
        let height = height.min(top);
        if height > 0 {
            top -= height;
            out.push((*class, top, height));
        }
    }
    out
}

/// `part` of `whole`, out of `scale`.
pub(super) fn share(part: u64, whole: u64, scale: u64) -> u64 {
    let scaled = u128::from(part) * u128::from(scale) / u128::from(whole.max(1));
    u64::try_from(scaled).unwrap_or(scale).min(scale)
}

/// A thin bar in a table cell: how much of the largest row this one is.
pub(super) fn meter(part: u64, largest: u64) -> Markup {
    html! {
        svg.meter viewBox="0 0 1000 10" preserveAspectRatio="none" aria-hidden="true" {
            rect.track x="0" y="0" width="1000" height="10" {}
            @if part > 0 {
                rect.fill x="0" y="0" width=(share(part, largest, 1_000).max(8)) height="10" {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bars_stay_within_the_drawing() {
        for parts in [
            [0, 0, 0],
            [1, 1, u64::MAX / 4],
            [5, 0, 5],
            [u64::MAX, 1, 1],
            [u64::MAX, u64::MAX, 0],
        ] {
            let highest = sum(&parts);
            for (_, top, height) in stack(&parts, &["a", "b", "c"], highest) {
                assert!(height > 0 && top + height <= HEIGHT, "{parts:?}");
            }
        }
        for (highest, top) in [(0, 2), (3, 4), (7, 10), (11, 15), (16, 20), (1_001, 1_500)] {
            assert_eq!(round(highest), top);
        }
        assert_eq!(round(u64::MAX), u64::MAX);
        for (value, expected) in [
            ("1.00k", "1k"),
            ("2.50M", "2.5M"),
            ("$0.050", "$0.05"),
            ("750", "750"),
        ] {
            assert_eq!(bare(value), expected);
        }
        assert_eq!(share(1, 2, 1_000), 500);
        assert_eq!(share(7, 0, 1_000), 1_000);
    }

    #[test]
    fn a_chart_says_its_figures_in_words() {
        let column = Column {
            start: Timestamp(0),
            parts: vec![3],
            words: "1 Jan: 3 <requests>".into(),
        };
        let svg = bars("Requests", "3", &["a"], &[column], false, format::count).into_string();
        assert!(svg.contains("<title>1 Jan: 3 &lt;requests&gt;</title>"));
        assert!(
            !svg.contains("style="),
            "styles in markup are refused by the policy"
        );
    }
}
