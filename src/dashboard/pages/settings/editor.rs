//! `/ui/settings/`: the document as text, with numbered lines and what is wrong with them.
//!
//! The text is as high as it is long, so that its lines stay beside their numbers without a script; the numbers are the places
//! that problems lead to.

use super::{carried, heading, notice, problems, sentence};
use crate::{
    dashboard::{
        format,
        layout::{self, Frame},
        route::Route,
        settings::view::Editing,
    },
    editor::{Document, Review},
};
use maud::{Markup, html};
use std::collections::BTreeMap;

/// Lines with characters that deceive which are named.
const NAMED: usize = 5;

/// The page.
pub(in crate::dashboard) fn render(frame: &Frame<'_>, page: &Editing<'_>) -> Markup {
    let Editing {
        document,
        draft,
        review,
        ..
    } = *page;
    let lines = draft.text.split('\n').count();
    let summary = problems::summary(review);
    html! {
        (heading("Settings", &Route::Settings))
        (notice(page.notice.as_ref()))
        (state(document))
        form #settings-form.editing method="post" action=(Route::Settings.path()) data-check=(Route::Check.path()) {
            (carried(draft, &page.token))
            section.side aria-label="Problems" {
                h2 { "Problems" span #settings-summary.live-note role="status" aria-live="polite" { (summary) } }
                (problems::part(review, (0, 0)))
                (deceiving(&draft.text))
            }
            div.sheet {
                div.paper {
                    div #settings-gutter.gutter aria-hidden="true" { (gutter(lines, review)) }
                    textarea #settings-text name="text" rows=(lines + 1) spellcheck="false" autocomplete="off"
                        autocapitalize="off" wrap="off" aria-label="Configuration document" aria-describedby="settings-keys settings-summary" {
                        "\n" (draft.text)
                    }
                }
                div.bar {
                    button #settings-review.primary type="submit" name="do" value="review" { "Review changes" }
                    span #settings-changed.counts {}
                    a #settings-jump.only-narrow href="#settings-problems" { (summary) }
                    span #settings-keys.note {
                        "Tab indents while you type; Esc, then Tab, leaves. "
                        kbd { "Ctrl" } " " kbd { "Enter" } " reviews."
                    }
                }
            }
        }
        @if !draft.kept.is_empty() {
            section {
                h2 { "Your earlier text" }
                p.note { "Set aside when you began again with the newer document. It is kept until you leave." }
                (layout::copyable("settings-kept", &draft.kept))
            }
        }
        (facts(frame, document))
    }
}

/// Whether the file can be saved here, and is what is in force.
fn state(document: &Document) -> Markup {
    html! {
        @if let Some(why) = &document.unwritable {
            p #settings-readonly.banner.warn role="note" {
                strong { "It can't be saved here. " }
                (format::shown(&sentence(&why.to_string()))) " " (sentence(why.advice()))
                " A text can still be tried below: it is checked as you type, and the review shows what to take over."
            }
        }
        @if !document.exists {
            p.banner.warn role="note" {
                strong { "There is no file. " }
                "The last good document stays in force. Saving a text here makes the file again."
            }
        } @else if !document.in_force {
            p #settings-not-in-force.banner.bad role="note" {
                strong { "This text is not in force. " }
                @match &document.failure {
                    Some(reason) => {
                        "The last good one is. " span.reason { (format::clip(reason, 300)) } " Correct it here or in the file, or "
                        a href=(Route::History.path()) { "put an earlier version back" } "."
                    }
                    None => "The gateway is about to take it over: reload in a second.",
                }
            }
        }
    }
}

/// The numbers, marked where something is wrong.
fn gutter(lines: usize, review: &Review) -> Markup {
    let mut marks: BTreeMap<usize, (&str, String)> = BTreeMap::new();
    for problem in &review.problems {
        let weight = problems::weight(problem);
        let mark = marks
            .entry(problem.finding.line.min(lines))
            .or_insert((weight, String::new()));
        if weight == "bad" {
            mark.0 = weight;
        }
        if !mark.1.is_empty() {
            mark.1.push('\n');
        }
        mark.1
            .push_str(&format::clip(&problem.finding.message, 200));
    }
    html! {
        @for line in 1..=lines {
            @match marks.get(&line) {
                Some((weight, text)) => span id={ "L" (line) } class=(weight) title=(text) { (line) },
                None => span id={ "L" (line) } { (line) },
            }
        }
    }
}

/// Says where a text holds what a reader would not see.
fn deceiving(text: &str) -> Markup {
    let hides = |line: &str| matches!(format::shown(line), std::borrow::Cow::Owned(_));
    let found = text.lines().enumerate().filter(|(_, line)| hides(line));
    let lines: Vec<usize> = found.map(|(at, _)| at + 1).take(NAMED + 1).collect();
    html! {
        @if !lines.is_empty() {
            p.mark {
                "Characters that hide or reorder text are in line"
                @for (at, line) in lines.iter().take(NAMED).enumerate() {
                    @if at > 0 { "," } " " a href={ "#L" (line) } { (line) }
                }
                @if lines.len() > NAMED { " and more" }
                ". The review shows them."
            }
        }
    }
}

fn facts(frame: &Frame<'_>, document: &Document) -> Markup {
    let config = &frame.state.config;
    html! {
        dl.facts.low {
            div.wide { dt { "File" } dd.id { (format::shown(&document.file.to_string_lossy())) } }
            div { dt { "Version" } dd.id title=(document.etag) { (&document.etag.as_str()[..12]) } }
            div { dt { "Written" } dd { @match document.modified { Some(at) => (layout::moment(at, frame.now)), None => "never" } } }
            div { dt { "In force" } dd { (config.providers.len()) " providers, " (config.grants.len()) " grants" } }
            div { dt { "Store" } dd { @if frame.state.store_degraded { span.bad { "can't write" } } @else { "writing" } } }
            div {
                dt { "Node key" }
                dd {
                    @match frame.state.key_expiry {
                        Some(at) => { "expires " time datetime=(format::iso(at)) { (format::time(at)) } }
                        None => "does not expire",
                    }
                }
            }
        }
    }
}
