//! What stands against a text: as a list that leads to its lines, made anew while somebody types.
//!
//! Must not know: how it was found.

use crate::{
    config::Class,
    dashboard::format,
    editor::{Kind, Problem, Review},
};
use maud::{Markup, html};

/// Problems that are listed.
const LISTED: usize = 200;

/// The list, with what the script reads from it: the summary to say, and each problem's line and weight.
pub(in crate::dashboard) fn part(review: &Review, changed: (usize, usize)) -> Markup {
    listed(review, changed, true)
}

/// The same beside no text.
pub(super) fn alone(review: &Review) -> Markup {
    listed(review, (0, 0), false)
}

fn listed(review: &Review, (come, gone): (usize, usize), linked: bool) -> Markup {
    let changed = match (come, gone) {
        (0, 0) => String::new(),
        _ => format!("+{come} −{gone}"),
    };
    html! {
        div #settings-problems data-summary=(summary(review)) data-changed=(changed) {
            @if review.problems.is_empty() {
                p.nothing { "Nothing is wrong with it." }
            } @else {
                ol.problems {
                    @for problem in review.problems.iter().take(LISTED) { (item(problem, linked)) }
                }
                @if review.problems.len() > LISTED {
                    p.note { (review.problems.len() - LISTED) " more are not listed." }
                }
            }
        }
    }
}

/// `2 mistakes, 1 warning`
pub(super) fn summary(review: &Review) -> String {
    let blocking = review
        .problems
        .iter()
        .filter(|problem| problem.blocks)
        .count();
    let warnings = review.problems.len() - blocking;
    let mistakes = format::plural(blocking as u64, "mistake", "mistakes");
    let warned = format::plural(warnings as u64, "warning", "warnings");
    match (blocking, warnings) {
        (0, 0) => "No mistakes".to_owned(),
        (_, 0) => mistakes,
        (0, _) => warned,
        _ => format!("{mistakes}, {warned}"),
    }
}

fn item(problem: &Problem, linked: bool) -> Markup {
    let finding = &problem.finding;
    let word = match (problem.kind, problem.blocks) {
        (Kind::LockOut, _) => "lock-out",
        (Kind::Secret, _) => "secret needed",
        (Kind::Document, true) => "mistake",
        (Kind::Document, false) if finding.class == Class::Advice => "advice",
        (Kind::Document, false) => "warning",
    };
    html! {
        li data-line=(finding.line) data-column=(finding.column) data-weight=(weight(problem)) {
            @if linked { a href={ "#L" (finding.line) } { "Line " (finding.line) } } @else { span.muted { "Line " (finding.line) } }
            " " span.state.bad[problem.blocks].half[!problem.blocks] { (word) }
            p { (format::clip(&finding.message, 300)) }
            @if let Some(hint) = &finding.hint { p.sub { (format::clip(hint, 300)) } }
            @if !finding.path.is_empty() { p.sub.id { (format::clip(&finding.path, 80)) } }
        }
    }
}

/// How a problem marks its line.
pub(super) const fn weight(problem: &Problem) -> &'static str {
    if problem.blocks { "bad" } else { "half" }
}
