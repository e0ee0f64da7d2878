//! The page before a save: what would change.

use super::{carried, difference, heading, hidden, problems, sentence};
use crate::dashboard::{format, layout, route::Route, settings::view::Editing};
use maud::{Markup, html};

/// The page. Nothing stands against the text.
pub(in crate::dashboard) fn render(page: &Editing<'_>) -> Markup {
    let Editing {
        document,
        draft,
        review,
        ..
    } = *page;
    html! {
        (heading("Review changes", &Route::Settings))
        p.prose.lead { "What saving would change in " span.id { (format::shown(&document.file.to_string_lossy())) } ". It is in force at once." }
        (difference::render("settings-diff", &document.text.replace("\r\n", "\n"), &draft.text))
        form #settings-save-form.bar method="post" action=(Route::Settings.path()) {
            (carried(draft, &page.token))
            (hidden("text", &draft.text))
            @if document.unwritable.is_none() {
                button #settings-save.primary type="submit" name="do" value="save" { "Save" }
            }
            button #settings-keep type="submit" name="do" value="edit" { "Keep editing" }
            a.clear href=(Route::Settings.path()) { "Discard" }
        }
        @if let Some(why) = &document.unwritable {
            section {
                h2 { "It can't be saved here" }
                p.prose { (format::shown(&sentence(&why.to_string()))) " " (sentence(why.advice())) " The whole text, to take over (secrets are not in it):" }
                (layout::copyable("settings-whole", &draft.text))
            }
        }
        @if !review.problems.is_empty() {
            section {
                h2 { "Worth knowing" span.live-note { (problems::summary(review)) } }
                (problems::alone(review))
            }
        }
    }
}
