//! `/ui/tool-use/`: which tools the models call, when, and in which sessions.

use crate::dashboard::{
    chart::{self, Column},
    format,
    layout::{self, Field, Frame},
    order::{self, Column as Head},
    route::{Route, link},
    view::{Period, Selection, Tool, Tools, server_of},
};
use maud::{Markup, html};
use std::collections::BTreeMap;

/// Logins that one row names on hover.
const USERS_SHOWN: usize = 12;

/// What tools can be ordered by.
const TOOLS: &[Head<Tool>] = &[
    Head::name("name", "Tool", |a: &Tool, b| a.name.cmp(&b.name)),
    Head::figure("calls", "Calls", |a: &Tool, b| a.calls.cmp(&b.calls)),
    Head::figure("share", "Share", |a: &Tool, b| a.calls.cmp(&b.calls)).optional(),
    Head::plain("Beside the most used", "opt graph"),
    Head::figure("errors", "Errors", |a: &Tool, b| a.errors.cmp(&b.errors)),
    Head::figure("took", "Took", |a: &Tool, b| {
        a.took.map(|it| it.0).cmp(&b.took.map(|it| it.0))
    })
    .titled(
        "From the end of the answer that calls to the request that brings the result; on average",
    ),
    Head::name("people", "People", |a: &Tool, b| {
        b.users.len().cmp(&a.users.len())
    })
    .optional(),
];

/// The page.
pub(in crate::dashboard) fn render(frame: &Frame<'_>, view: &Tools) -> Markup {
    let calls: u64 = view.rows.iter().map(|tool| tool.calls).sum();
    let errors: u64 = view.rows.iter().map(|tool| tool.errors).sum();
    let selection = &view.selection;
    let servers = servers(&view.rows);
    let fields = [
        Field::User,
        Field::Tool,
        Field::Server,
        Field::Model,
        Field::Provider,
        Field::Client,
    ];
    html! {
        (layout::heading("Tool use", &view.whose, Some((selection, &Route::Tools)), frame.now))
        details.narrow open[selection.narrows()] {
            summary { "Filter" }
            (layout::filters(&Route::Tools, selection, &view.choices, &fields))
        }
        @if view.rows.is_empty() {
            p.nothing {
                @if selection.narrows() {
                    "No call in this period is as the filter says. "
                    a href=(link(&Route::Tools, &selection.times())) { "Without the filter" }
                } @else {
                    "No tool was called in this period. Calls appear here when a model asks for one: agents do so by themselves."
                }
            }
        } @else {
            div.columns {
                div.charts.one { (histogram(view, calls, errors)) }
                @if !servers.is_empty() { section.flush { h2 { "MCP servers" } (mcp(&servers, selection)) } }
            }
            section { h2 { "Tools" } (tools(view, calls)) }
        }
        section {
            h2 { "By session" }
            @if view.sessions.is_empty() {
                (layout::nothing(if selection.narrows() {
                    "No recent session has calls that are as the filter says."
                } else {
                    "No recent session called a tool."
                }))
            } @else {
                (sessions(frame, view))
            }
        }
    }
}

fn tools(view: &Tools, calls: u64) -> Markup {
    let largest = view.rows.iter().map(|tool| tool.calls).max();
    let largest = largest.unwrap_or_default();
    let heads = if view.whose.many() {
        TOOLS
    } else {
        &TOOLS[..TOOLS.len() - 1]
    };
    let address = view.selection.address(&Route::Tools);
    html! {
        (layout::table(
            "Tools by calls",
            &order::heads("tools", heads, &address),
            &html! {
                @for tool in order::rows("tools", heads, &address, &view.rows) {
                    tr {
                        td.main { (narrowing(&view.selection, "tool", &tool.name)) }
                        td.num { (format::count(tool.calls)) }
                        td.num.opt { (chart::share(tool.calls, calls, 100)) " %" }
                        td.opt.graph { (chart::meter(tool.calls, largest)) }
                        td.num { (failing(tool.errors, tool.calls)) }
                        td.num {
                            @if let Some((took, of)) = tool.took {
                                span title={ "on average over " (format::plural(of, "result", "results")) } {
                                    (format::duration(took.saturating_mul(1_000)))
                                }
                            }
                        }
                        @if view.whose.many() { td.opt { (people(&tool.users)) } }
                    }
                }
            },
        ))
        p.note { "A tool takes from the end of the answer that calls it to the request that brings its result: the time for which a person was asked counts, too." }
    }
}

/// Errors, and their share of the calls.
fn failing(errors: u64, calls: u64) -> Markup {
    html! {
        @if errors > 0 {
            span.bad { (format::count(errors)) }
            @if calls >= errors { span.muted { " · " (chart::share(errors, calls, 100)) " %" } }
        }
    }
}

/// Calls, errors and tools of each MCP server.
fn servers(tools: &[Tool]) -> BTreeMap<&str, (u64, u64, u64)> {
    let mut servers: BTreeMap<&str, (u64, u64, u64)> = BTreeMap::new();
    for tool in tools {
        if let Some(server) = server_of(&tool.name) {
            let (calls, errors, count) = servers.entry(server).or_default();
            *calls += tool.calls;
            *errors += tool.errors;
            *count += 1;
        }
    }
    servers
}

/// A name that leads to the page of it alone.
fn narrowing(selection: &Selection, field: &'static str, name: &str) -> Markup {
    html! {
        a.name href=(link(&Route::Tools, &selection.with(field, name))) { bdi.tool { (format::clip(name, 80)) } }
    }
}

fn mcp(servers: &BTreeMap<&str, (u64, u64, u64)>, selection: &Selection) -> Markup {
    layout::table(
        "MCP servers",
        &html! {
            th scope="col" { "Server" }
            th.num scope="col" { "Tools" }
            th.num scope="col" { "Calls" }
            th.num scope="col" { "Errors" }
        },
        &html! {
            @for (server, (calls, errors, tools)) in servers {
                tr {
                    td.main { (narrowing(selection, "server", server)) }
                    td.num { (format::count(*tools)) }
                    td.num { (format::count(*calls)) }
                    td.num { (failing(*errors, *calls)) }
                }
            }
        },
    )
}

/// How many people, and who they are.
fn people(users: &[String]) -> Markup {
    let mut names: Vec<String> = users
        .iter()
        .take(USERS_SHOWN)
        .map(|user| format::clip(user, 40))
        .collect();
    if users.len() > USERS_SHOWN {
        names.push(format!("and {} more", users.len() - USERS_SHOWN));
    }
    html! {
        @match users {
            [one] => bdi { (format::clip(one, 40)) },
            _ => span title=(names.join(", ")) { (format::plural(users.len() as u64, "person", "people")) },
        }
    }
}

fn histogram(view: &Tools, calls: u64, errors: u64) -> Markup {
    let hourly = view.selection.period() == Period::Day;
    let columns: Vec<Column> = view
        .bars
        .iter()
        .map(|(start, [calls, errors])| Column {
            start: *start,
            parts: vec![calls.saturating_sub(*errors), *errors],
            words: format!(
                "{}: {}, {}",
                if hourly {
                    format::hour(*start)
                } else {
                    format::day(*start)
                },
                format::plural(*calls, "call", "calls"),
                format::plural(*errors, "error", "errors")
            ),
        })
        .collect();
    let total = format!(
        "{}, {}",
        format::plural(calls, "call", "calls"),
        format::plural(errors, "error", "errors")
    );
    html! {
        div {
            (chart::bars("Calls", &total, &["a", "bad"], &columns, hourly, format::short))
            (chart::as_table(hourly, &columns))
        }
    }
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
