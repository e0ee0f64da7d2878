//! `/ui/audit/`: who looked at whose captures, exported, erased, and changed the configuration.

use crate::{
    dashboard::{
        format,
        layout::{self, Frame},
        route::{Route, link},
        view::Audit,
    },
    store::{AuditAction, AuditEntry},
};
use maud::{Markup, html};

/// The page.
pub(in crate::dashboard) fn render(frame: &Frame<'_>, view: &Audit) -> Markup {
    html! {
        div.heading { h1 { "Audit" } p.whose { "who looked at whose texts, exported, erased, and changed the configuration" } }
        @if view.rows.is_empty() {
            (layout::nothing("Nothing yet. An entry is written when an admin opens another person's texts, and for every export, erasure and change of the configuration."))
        } @else {
            (layout::table(
                "Audit trail",
                &html! {
                    th scope="col" { "When" }
                    th scope="col" { "Who" }
                    th scope="col" { "What" }
                    th.opt scope="col" { "Of what" }
                    th.opt scope="col" { "More" }
                },
                &html! { @for entry in &view.rows { (row(frame, entry)) } },
            ))
        }
        nav.paging aria-label="Paging" {
            @if view.later { a href=(Route::Audit.path()) { "Newest" } }
            @if let Some(next) = &view.next { a rel="next" href=(link(&Route::Audit, &[("after", next)])) { "Older" } }
        }
    }
}

fn row(frame: &Frame<'_>, entry: &AuditEntry) -> Markup {
    let what = match entry.action {
        AuditAction::ViewedCapture => "opened texts",
        AuditAction::Exported => "exported",
        AuditAction::Erased => "erased",
        AuditAction::Repriced => "put other prices on requests",
        AuditAction::ConfigChanged => "changed the configuration",
    };
    let who = if entry.login.is_empty() {
        &entry.who
    } else {
        &entry.login
    };
    html! {
        tr {
            td.when { (layout::moment(entry.at, frame.now)) }
            td.main { bdi title=(format::clip(&entry.who, 80)) { (format::clip(who, 60)) } }
            td {
                (what)
                p.sub.only-narrow { (subject(&entry.subject)) " " (format::clip(&entry.detail, 120)) }
            }
            td.opt.id { (subject(&entry.subject)) }
            td.opt.muted { (format::clip(&entry.detail, 200)) }
        }
    }
}

/// A request or session as a link, anything else as it is.
fn subject(subject: &str) -> Markup {
    let request = subject.parse().map(Route::Request).ok();
    let route = request.or_else(|| subject.parse().map(Route::Session).ok());
    html! {
        @match route {
            Some(route) => a href=(route.path()) { (format::clip(subject, 14)) },
            None => bdi { (format::clip(subject, 80)) },
        }
    }
}
