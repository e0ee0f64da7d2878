//! `/ui/tool-use/`: which tools the models call, when, and in which sessions.

use crate::dashboard::{
    chart::{self, Column},
    format,
    layout::{self, Frame},
    route::Route,
    view::{Period, Tools},
};
use maud::{Markup, html};

/// Logins that one row names.
const USERS_SHOWN: usize = 3;

/// The page.
pub(in crate::dashboard) fn render(frame: &Frame<'_>, view: &Tools) -> Markup {
    let calls: u64 = view.rows.iter().map(|tool| tool.calls).sum();
    let largest = view.rows.iter().map(|tool| tool.calls).max();
    let largest = largest.unwrap_or_default();
    html! {
        (layout::heading("Tool use", &view.whose, Some((view.period, &Route::Tools))))
        div.charts.one { (histogram(view, calls)) }
        section {
            h2 { "Tools" }
            @if view.rows.is_empty() {
                (layout::nothing("No tool was called in this period."))
            } @else {
                (layout::table(
                    "Tools by calls",
                    &html! {
                        th scope="col" { "Tool" }
                        th.num scope="col" { "Calls" }
                        th.num scope="col" { "Share" }
                        th.opt scope="col" { span.quiet { "Beside the most used" } }
                        @if view.whose.many() { th.opt scope="col" { "People" } }
                    },
                    &html! {
                        @for tool in &view.rows {
                            tr {
                                td.main { bdi.tool { (format::clip(&tool.name, 80)) } }
                                td.num { (format::count(tool.calls)) }
                                td.num { (chart::share(tool.calls, calls, 100)) " %" }
                                td.opt.graph { (chart::meter(tool.calls, largest)) }
                                @if view.whose.many() { td.opt { (people(&tool.users)) } }
                            }
                        }
                    },
                ))
            }
        }
        section {
            h2 { "By session" }
            @if view.sessions.is_empty() {
                (layout::nothing("No recent session called a tool."))
            } @else {
                (sessions(frame, view))
            }
        }
    }
}

fn people(users: &[String]) -> Markup {
    html! {
        @for (at, user) in users.iter().take(USERS_SHOWN).enumerate() {
            @if at > 0 { ", " }
            bdi { (format::clip(user, 40)) }
        }
        @if users.len() > USERS_SHOWN {
            span.muted { " and " (users.len() - USERS_SHOWN) " more" }
        }
    }
}

fn histogram(view: &Tools, calls: u64) -> Markup {
    let hourly = view.period == Period::Day;
    let columns: Vec<Column> = view
        .bars
        .iter()
        .map(|(start, calls)| Column {
            start: *start,
            parts: vec![*calls],
            words: format!(
                "{}: {}",
                if hourly {
                    format::hour(*start)
                } else {
                    format::day(*start)
                },
                format::plural(*calls, "call", "calls")
            ),
        })
        .collect();
    let total = format::count(calls);
    chart::bars("Calls", &total, &["a"], &columns, hourly, format::short)
}

fn sessions(frame: &Frame<'_>, view: &Tools) -> Markup {
    layout::table(
        "Tools by session",
        &html! {
            th scope="col" { "Session" }
            @if view.whose.many() { th.opt scope="col" { "User" } }
            th scope="col" { "Tools" }
            th.num scope="col" { "Calls" }
            th.num.opt scope="col" { "Last" }
        },
        &html! {
            @for (session, tools) in &view.sessions {
                tr {
                    td.main {
                        (layout::session_link(session))
                        @if view.whose.many() { p.sub.only-narrow { bdi { (format::clip(&session.login, 60)) } } }
                    }
                    @if view.whose.many() { td.opt { bdi { (format::clip(&session.login, 60)) } } }
                    td.tools {
                        @for (at, (name, calls)) in tools.iter().enumerate() {
                            @if at > 0 { ", " }
                            bdi.tool { (format::clip(name, 40)) }
                            @if *calls > 1 { span.muted { " ×" (calls) } }
                        }
                    }
                    td.num { (format::count(session.tools)) }
                    td.num.opt.when { (layout::moment(session.last, frame.now)) }
                }
            }
        },
    )
}
