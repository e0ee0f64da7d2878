//! `/ui/settings/history/`: the versions of the document, and one of them.

use super::{difference, heading, maker, notice, sentence};
use crate::{
    dashboard::{
        form::TOKEN,
        format,
        layout::{self, Frame},
        route::{Route, link},
        settings::view::Past,
    },
    editor::{Document, Version},
};
use maud::{Markup, html};

/// The list.
pub(in crate::dashboard) fn render(
    frame: &Frame<'_>,
    versions: &[Version],
    more: bool,
    document: &Document,
) -> Markup {
    html! {
        (heading("History", &Route::History))
        @if versions.is_empty() {
            (layout::nothing("No version is kept yet. Each save, and each change of the file that comes into force, is a version."))
        } @else {
            div #settings-history {
                (layout::table(
                    "Versions",
                    &html! {
                        th.num scope="col" { "Version" }
                        th.most scope="col" { "What changed" }
                        th.opt scope="col" { "By" }
                        th.num.opt scope="col" { "Size" }
                        th.num scope="col" { "When" }
                    },
                    &html! { @for version in versions { (row(frame, version, document)) } },
                ))
            }
            @if more {
                @let last = versions.last().map_or_else(String::new, |version| version.number.to_string());
                p.paging { a rel="next" href=(link(&Route::History, &[("before", &last)])) { "Older versions" } }
            }
            p.note { "Secrets are not in the history: a version that is put back gets those of the document as it is now." }
        }
    }
}

fn row(frame: &Frame<'_>, version: &Version, document: &Document) -> Markup {
    let current = version.etag == document.etag.as_str();
    html! {
        tr {
            td.num { (version.number) }
            td.main {
                a.name href=(Route::Version(version.number).path()) { (format::clip(&version.summary, 160)) }
                @if current { " " span.role { "current" } }
                p.sub.only-narrow { (maker(version)) }
            }
            td.opt { (maker(version)) }
            td.num.opt { (format::bytes(version.bytes as u64)) }
            td.num.when { (layout::moment(version.at, frame.now)) }
        }
    }
}

/// One version.
pub(in crate::dashboard) fn version(frame: &Frame<'_>, page: &Past<'_>) -> Markup {
    let version = page.version;
    let route = Route::Version(version.number);
    let current = version.etag == page.document.etag.as_str();
    let now = page.document.text.replace("\r\n", "\n");
    let show = match page.show {
        "text" | "before" => page.show,
        // There is no difference of the current one to itself.
        _ if current => "before",
        _ => "",
    };
    html! {
        (heading(&format!("Version {}", version.number), &Route::History))
        (notice(page.notice.as_ref()))
        p.lead {
            (format::shown(&version.summary)) " · " (maker(version)) " · " (layout::moment(version.at, frame.now))
            @if current { " " span.role { "current" } }
        }
        nav.tabs aria-label="Compare" {
            @for (word, label) in [("", "Against the document now"), ("before", "What it changed"), ("text", "Its text")] {
                @if !(current && word.is_empty()) {
                    a href=(link(&route, &[("show", word)])) aria-current=[(word == show).then_some("true")] { (label) }
                }
            }
        }
        @match show {
            "text" => (layout::copyable("settings-version", page.text)),
            "before" => {
                @match &page.before {
                    Some((number, text)) => {
                        p.note { "From version " (number) " to this one." }
                        (difference::render("settings-diff", text, page.text))
                    }
                    None => (layout::copyable("settings-version", page.text)),
                }
            }
            _ => {
                p.note { "What putting it back would change in the document as it is now." }
                (difference::render("settings-diff", &now, page.text))
            }
        }
        @if !current {
            form #settings-revert-form.bar method="post" action=(route.path()) {
                input type="hidden" name=(TOKEN) value=(page.token);
                input type="hidden" name="etag" value=(page.document.etag);
                @if show.is_empty() && page.document.unwritable.is_none() {
                    button #settings-revert.primary type="submit" name="do" value="revert" { "Put this version back" }
                }
                button type="submit" name="do" value="edit" { "Edit its text" }
                @if !show.is_empty() {
                    a.clear href=(route.path()) { "To put it back, look at the difference first" }
                }
            }
            @if let Some(why) = &page.document.unwritable {
                p.note { "It can't be put back here. " (format::shown(&sentence(&why.to_string()))) " " (sentence(why.advice())) }
            }
        }
    }
}
