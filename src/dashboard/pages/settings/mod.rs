//! `/ui/settings/`: the document as text, its history, and the forms that edit it.
//!
//! Owns: what the pages of the settings share: heading, notices, the hidden fields of an edit. Their elements have stable ids, which
//! docs/dashboard.md lists. Must not know: how an edit is judged or saved.

pub(in crate::dashboard) mod conflict;
mod difference;
pub(in crate::dashboard) mod editor;
pub(in crate::dashboard) mod grant;
pub(in crate::dashboard) mod history;
pub(in crate::dashboard) mod problems;
pub(in crate::dashboard) mod provider;
pub(in crate::dashboard) mod review;

use crate::{
    dashboard::{
        form::TOKEN,
        format,
        route::Route,
        settings::{
            entry::Mistakes,
            view::{Draft, Notice},
        },
    },
    editor::{Origin, Version},
};
use maud::{Markup, html};

/// The heading, and the ways through the settings.
fn heading(title: &str, current: &Route) -> Markup {
    let ways = [
        (Route::Settings, "Document"),
        (Route::AddProvider, "Add provider"),
        (Route::AddGrant, "Add grant"),
        (Route::History, "History"),
    ];
    html! {
        div.heading { h1 { (title) } }
        nav.tabs.ways aria-label="Settings" {
            @for (route, label) in ways {
                a href=(route.path()) aria-current=[(route == *current).then_some("page")] { (label) }
            }
        }
    }
}

/// What is said above an edit.
fn notice(notice: Option<&Notice>) -> Markup {
    html! {
        @if let Some(notice) = notice {
            p #settings-notice.banner.bad[notice.against].good[!notice.against] role=(if notice.against { "alert" } else { "status" }) {
                strong { (format::shown(&notice.title)) } " " (format::shown(&notice.text))
            }
        }
    }
}

/// What an edit carries from page to page.
fn carried(draft: &Draft, token: &str) -> Markup {
    html! {
        input type="hidden" name=(TOKEN) value=(token);
        input type="hidden" name="etag" value=(draft.etag);
        (hidden("base", &draft.base))
        @if !draft.kept.is_empty() { (hidden("kept", &draft.kept)) }
    }
}

/// A text that goes back as it came. HTML takes the first line break away.
fn hidden(name: &str, text: &str) -> Markup {
    html! { textarea name=(name) hidden aria-hidden="true" tabindex="-1" { "\n" (text) } }
}

/// What is wrong with a field.
fn mistake(mistakes: &Mistakes, field: &str) -> Markup {
    let found = mistakes.iter().find(|(wrong, _)| *wrong == field);
    html! {
        @if let Some((_, text)) = found {
            span.mistake id={ "mistake-" (field) } { (format::shown(text)) }
        }
    }
}

/// For `aria-describedby` of a field that something is wrong with.
fn described(mistakes: &Mistakes, field: &str) -> Option<String> {
    let wrong = mistakes.iter().any(|(wrong, _)| *wrong == field);
    wrong.then(|| format!("mistake-{field}"))
}

/// Who made a version, or where it came from.
fn maker(version: &Version) -> Markup {
    html! {
        @match version.origin {
            Origin::Page => bdi { (format::clip(&version.author, 60)) },
            Origin::Api => { bdi { (format::clip(&version.author, 60)) } " " span.muted { "by the API" } }
            Origin::Disk | Origin::First => span.muted { "in the file" },
        }
    }
}

/// Begins with a capital, ends with a full stop.
fn sentence(text: &str) -> String {
    let mut letters = text.chars();
    let first = letters
        .next()
        .map(|letter| letter.to_uppercase().to_string());
    let end = if text.ends_with(['.', '?']) { "" } else { "." };
    format!("{}{}{end}", first.unwrap_or_default(), letters.as_str())
}
