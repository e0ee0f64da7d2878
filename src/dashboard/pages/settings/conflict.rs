//! The document has changed while somebody edited it: both changes, and the ways on.

use super::{carried, difference, heading, hidden, maker};
use crate::dashboard::{
    format,
    layout::{self, Frame},
    route::Route,
    settings::view::{Conflict, Draft},
};
use maud::{Markup, html};

/// The page.
pub(in crate::dashboard) fn render(frame: &Frame<'_>, page: &Conflict<'_>) -> Markup {
    let Conflict { current, draft, .. } = page;
    let theirs = current.text.replace("\r\n", "\n");
    html! {
        (heading("The document has changed meanwhile", &Route::Settings))
        p #settings-conflict.banner.warn role="alert" {
            strong { "Nothing was saved, and nothing that you typed is lost. " }
            @match &page.theirs {
                Some(version) => {
                    "Since you opened it, it was changed (" (maker(version)) ", " (layout::moment(version.at, frame.now)) "): "
                    (format::clip(&version.summary, 200)) "."
                }
                None => "Since you opened it, the file was changed.",
            }
        }
        div.choices {
            @if let Some(merged) = &page.merged {
                (choice(page, merged, "", "settings-merge", ("review", "Review both together"), &html! {
                    h2 { "Take both" }
                    p { "Your change and theirs are in different places, so they fit together." }
                }))
            }
            (choice(page, &theirs, &draft.text, "settings-theirs", ("edit", "Edit theirs"), &html! {
                h2 { "Begin with theirs" }
                p { "The editor opens with the document as it is now. Your text stays below it, to copy from." }
            }))
            (choice(page, &draft.text, "", "settings-mine", ("edit", "Keep editing mine"), &html! {
                h2 { "Keep yours" }
                p { "Your text, in the place of theirs. The review then shows what of theirs it would take back." }
            }))
        }
        @if draft.base.is_empty() {
            section { h2 { "From theirs to yours" } (difference::render("settings-diff", &theirs, &draft.text)) }
        } @else {
            div.columns {
                section { h2 { "What they changed" } (difference::render("settings-diff-theirs", &draft.base, &theirs)) }
                section { h2 { "What you changed" } (difference::render("settings-diff-mine", &draft.base, &draft.text)) }
            }
        }
    }
}

/// One way on: a text that is edited from the document as it is now.
fn choice(
    page: &Conflict<'_>,
    text: &str,
    kept: &str,
    id: &str,
    (action, label): (&str, &str),
    words: &Markup,
) -> Markup {
    let draft = Draft {
        kept: if kept.is_empty() {
            page.draft.kept.clone()
        } else {
            kept.to_owned()
        },
        ..Draft::with(page.current, text.to_owned())
    };
    html! {
        form.choice id=(id) method="post" action=(Route::Settings.path()) {
            (carried(&draft, &page.token))
            (hidden("text", &draft.text))
            (words)
            button type="submit" name="do" value=(action) { (label) }
        }
    }
}
