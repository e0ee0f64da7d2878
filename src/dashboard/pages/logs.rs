//! `/ui/logs/`: the sessions, newest first, narrowed by person, model and text.

use crate::dashboard::{
    format,
    layout::{self, Frame},
    route::{Route, link},
    view::Sessions,
};
use maud::{Markup, html};

/// The page.
pub(in crate::dashboard) fn render(frame: &Frame<'_>, view: &Sessions) -> Markup {
    let filter = &view.filter;
    let narrowed = !(filter.text.is_empty() && filter.user.is_empty() && filter.model.is_empty());
    let at = |after: &str| {
        link(
            &Route::Logs,
            &[
                ("q", &filter.text),
                ("user", &filter.user),
                ("model", &filter.model),
                ("after", after),
            ],
        )
    };
    html! {
        (layout::heading("Logs", &view.whose, None))
        form.filter method="get" action=(Route::Logs.path()) role="search" {
            label {
                span { "Text or id" }
                input type="search" name="q" value=(format::shown(&filter.text)) placeholder="words of a title, a tool, an id";
            }
            @if view.whose.many() {
                label { span { "User" } (choice("user", &filter.user, &view.users)) }
            }
            label { span { "Model" } (choice("model", &filter.model, &view.models)) }
            button type="submit" { "Filter" }
            @if narrowed { a.clear href=(Route::Logs.path()) { "Clear" } }
        }
        @if view.rows.is_empty() {
            @if view.next.is_some() {
                (layout::nothing("Nothing among the newer requests; the search goes on under “Older”."))
            } @else if !filter.after.is_empty() {
                (layout::nothing("No older sessions."))
            } @else if narrowed {
                (layout::nothing("No session matches."))
            } @else {
                (layout::nothing("No sessions yet. They appear here as soon as a client sends its first request."))
            }
        } @else {
            (layout::sessions("Sessions", &view.rows, &view.whose, frame.now))
        }
        nav.paging aria-label="Paging" {
            @if !filter.after.is_empty() { a href=(at("")) { "Newest" } }
            @if let Some(next) = &view.next { a rel="next" href=(at(next)) { "Older" } }
        }
    }
}

/// A choice among known values; a value from elsewhere stays chosen.
fn choice(name: &str, chosen: &str, values: &[String]) -> Markup {
    let foreign = !chosen.is_empty() && !values.iter().any(|value| value == chosen);
    html! {
        select name=(name) {
            option value="" { "any" }
            @if foreign { option value=(chosen) selected { (format::clip(chosen, 60)) } }
            @for value in values {
                option value=(value) selected[value == chosen] { (format::clip(value, 60)) }
            }
        }
    }
}
