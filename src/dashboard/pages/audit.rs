//! `/ui/audit/`: who looked at whose captures, exported, erased, and changed the configuration.

use crate::{
    dashboard::{
        format,
        layout::{self, Field, Frame},
        order::{self, Column},
        route::{Route, link},
        view::{Audit, doer, done},
    },
    store::AuditEntry,
};
use maud::{Markup, html};

/// What entries can be ordered by, on their page.
const ENTRIES: [Column<AuditEntry>; 5] = [
    Column::time("when", "When", |a: &AuditEntry, b| a.at.cmp(&b.at)),
    Column::name("who", "Who", |a: &AuditEntry, b| doer(a).cmp(doer(b))).optional(),
    Column::name("what", "What", |a: &AuditEntry, b| {
        done(a.action).cmp(done(b.action))
    }),
    Column::name("subject", "Of what", |a: &AuditEntry, b| {
        a.subject.cmp(&b.subject)
    })
    .optional(),
    Column::plain("More", "opt"),
];

/// The page.
pub(in crate::dashboard) fn render(frame: &Frame<'_>, view: &Audit) -> Markup {
    let selection = &view.selection;
    let narrowed = selection.narrows() || selection.period.is_some() || !selection.until.is_empty();
    let address = selection.address(&Route::Audit);
    let at = |after: &str| {
        let mut pairs = selection.pairs().to_vec();
        pairs.push(("after", after));
        link(&Route::Audit, &pairs)
    };
    let fields = [
        Field::Text("Text or id", "a login, an id, what changed"),
        Field::Time,
        Field::User,
        Field::Action,
    ];
    html! {
        div.heading { h1 { "Audit" } p.whose { "who looked at whose texts, exported, erased, and changed the configuration" } }
        (layout::filters(&Route::Audit, selection, &view.choices, &fields))
        @if !view.rows.is_empty() {
            (layout::table(
                "Audit trail",
                &order::heads("audit", &ENTRIES, &address),
                &html! { @for entry in order::rows("audit", &ENTRIES, &address, &view.rows) { (row(frame, entry)) } },
            ))
        } @else if view.next.is_some() {
            (layout::nothing("Nothing among the newer entries; the search goes on under “Older”."))
        } @else if !selection.after.is_empty() {
            (layout::nothing("No older entries."))
        } @else if narrowed {
            p.nothing {
                "No entry is as the filter says. "
                a href=(Route::Audit.path()) { "Without filters" }
            }
        } @else {
            (layout::nothing("Nothing yet. An entry is written when an admin opens another person's texts, and for every export, erasure and change of the configuration."))
        }
        nav.paging aria-label="Paging" {
            @if !selection.after.is_empty() { a href=(at("")) { "Newest" } }
            @if let Some(next) = &view.next { a rel="next" href=(at(next)) { "Older" } }
        }
    }
}

fn row(frame: &Frame<'_>, entry: &AuditEntry) -> Markup {
    html! {
        tr {
            td.when { (layout::moment(entry.at, frame.now)) }
            td.opt { bdi title=(format::clip(&entry.who, 80)) { (format::clip(doer(entry), 60)) } }
            td.main {
                (done(entry.action))
                p.sub.only-narrow {
                    bdi { (format::clip(doer(entry), 60)) } " · " (subject(&entry.subject)) " " (format::clip(&entry.detail, 120))
                }
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
