//! `/ui/logs/`: the sessions, newest first, narrowed by what the address says.

use crate::dashboard::{
    layout::{self, Field, Frame},
    route::{Route, link},
    view::Sessions,
};
use maud::{Markup, html};

/// The page.
pub(in crate::dashboard) fn render(frame: &Frame<'_>, view: &Sessions) -> Markup {
    let selection = &view.selection;
    let narrowed = selection.narrows() || selection.period.is_some() || !selection.until.is_empty();
    let at = |after: &str| {
        let mut pairs = selection.pairs().to_vec();
        pairs.push(("after", after));
        link(&Route::Logs, &pairs)
    };
    let fields = [
        Field::Text("Text or id", "words of a title, a tool, an id"),
        Field::Time,
        Field::User,
        Field::Model,
        Field::Provider,
        Field::Client,
        Field::Status,
    ];
    html! {
        (layout::heading("Logs", &view.whose, None, frame.now))
        (layout::filters(&Route::Logs, selection, &view.choices, &fields))
        @if view.rows.is_empty() {
            @if view.next.is_some() {
                (layout::nothing("Nothing among the newer requests; the search goes on under “Older”."))
            } @else if !selection.after.is_empty() {
                (layout::nothing("No older sessions."))
            } @else if narrowed {
                p.nothing {
                    "No session matches. The search knows the words of titles, models, tools and ids, not all that was said. "
                    a href=(Route::Logs.path()) { "Without filters" }
                }
            } @else {
                p.nothing {
                    "No sessions yet. They appear here as soon as a client sends its first request: "
                    a href=(Route::Connect.path()) { "connect one" } "."
                }
            }
        } @else {
            (layout::sessions("Sessions", &view.rows, &view.whose, frame.now))
        }
        nav.paging aria-label="Paging" {
            @if !selection.after.is_empty() { a href=(at("")) { "Newest" } }
            @if let Some(next) = &view.next { a rel="next" href=(at(next)) { "Older" } }
        }
    }
}
