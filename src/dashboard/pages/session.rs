//! `/ui/sessions/<id>`: one conversation as it was led, or its requests as a table.

use super::talk;
use crate::{
    dashboard::{
        chart, format,
        layout::{self, Frame},
        order::{self, Address, Column},
        route::{Route, link},
        view::{Session, SessionPage, SessionRequests},
    },
    record::{CacheMiss, MissCause, Record},
};
use maud::{Markup, html};
use std::collections::BTreeMap;

/// Tools that one row names.
const TOOLS_SHOWN: usize = 6;

/// What requests can be ordered by.
const REQUESTS: [Column<Record>; 10] = [
    Column::name("began", "Began", |a: &Record, b| {
        (a.started, a.id).cmp(&(b.started, b.id))
    }),
    Column::plain("Model", ""),
    Column::figure("input", "Input", |a: &Record, b| {
        a.usage.input_all().cmp(&b.usage.input_all())
    })
    .optional(),
    Column::figure("cached", "From cache", |a: &Record, b| {
        a.usage.cache_read.cmp(&b.usage.cache_read)
    })
    .optional(),
    Column::figure("output", "Output", |a: &Record, b| {
        a.usage.output.cmp(&b.usage.output)
    })
    .optional(),
    Column::plain("Time until first byte and end", "opt graph"),
    Column::figure("first", "First byte", |a: &Record, b| {
        a.timings.first_byte_us.cmp(&b.timings.first_byte_us)
    })
    .optional(),
    Column::figure("total", "Total", |a: &Record, b| {
        a.timings.total_us.cmp(&b.timings.total_us)
    })
    .optional(),
    Column::figure("cost", "Cost", |a: &Record, b| {
        a.cost.pico.cmp(&b.cost.pico)
    })
    .optional(),
    Column::plain("End", ""),
];

/// The page.
pub(in crate::dashboard) fn render(frame: &Frame<'_>, view: &SessionPage) -> Markup {
    let session = &view.session;
    let title = session.title.as_deref().map(str::trim);
    let title = title.filter(|title| !title.is_empty());
    let table = matches!(view.requests, SessionRequests::Table(_));
    let route = Route::Session(session.id);
    let view_word = if table { "requests" } else { "" };
    let more = |after| link(&route, &[("view", view_word), ("after", after)]);
    let address = Address {
        route: &route,
        pairs: vec![("view", view_word)],
        sort: &view.sort,
    };
    let live = link(&Route::Live, &[("session", &session.id.to_string())]);
    let empty = match &view.requests {
        SessionRequests::Table(records) => records.is_empty(),
        SessionRequests::Talk(turns) => turns.is_empty(),
    };
    html! {
        nav.trail aria-label="Trail" { a href=(Route::Logs.path()) { "Logs" } " / session" }
        h1.text {
            @match title { Some(title) => bdi { (format::clip(title, 240)) }, None => "Untitled session" }
        }
        // Only what is under way moves.
        @if session.in_flight > 0 {
            div data-live=(live) { (facts(frame, session)) }
            p.note { span.live-note data-live-note role="status" {} }
        } @else {
            (facts(frame, session))
        }
        @if !view.children.is_empty() {
            section {
                h2 { "Sub-agents with sessions of their own" }
                (layout::sessions("Sessions that this one started", &view.children, &view.whose(), frame.now))
            }
        }
        nav.tabs aria-label="View" {
            a href=(link(&route, &[])) aria-current=[(!table).then_some("true")] { "Conversation" }
            a href=(link(&route, &[("view", "requests")])) aria-current=[table.then_some("true")] { "Requests" }
        }
        @if empty {
            (layout::nothing("No requests are kept of this session."))
        } @else {
            @match &view.requests {
                SessionRequests::Table(records) => (requests(records, &address)),
                SessionRequests::Talk(turns) => (talk::render(frame, turns)),
            }
        }
        @if let Some(next) = &view.next {
            nav.paging aria-label="Paging" { a rel="next" href=(more(next)) { "Later requests" } }
        }
    }
}

/// What the session is and how much it used so far.
pub(in crate::dashboard) fn facts(frame: &Frame<'_>, session: &Session) -> Markup {
    let totals = &session.totals;
    let lasted = session.last.0.saturating_sub(session.started.0);
    html! {
        dl.facts {
            div { dt { "User" } dd { bdi { (format::shown(&session.login)) } } }
            div { dt { "Client" } dd { bdi { (format::clip(&session.client, 60)) } } }
            div { dt { "Models" } dd { bdi { (format::clip(&session.models.join(", "), 200)) } } }
            div { dt { "Began" } dd { (format::time(session.started)) } }
            div {
                dt { "Lasted" }
                dd {
                    (format::duration(lasted.saturating_mul(1_000)))
                    @if session.in_flight > 0 { " " span.state.live { "active" } }
                    @else { span.muted { ", last " (layout::moment(session.last, frame.now)) } }
                }
            }
            div { dt { "Requests" } dd { (format::count(totals.requests))
                @if totals.failed > 0 { " " span.bad { (format::count(totals.failed)) " failed" } } } }
            div { dt { "Input" } dd { (layout::tokens(totals.usage.input_all()))
                span.muted { ", " (layout::tokens(totals.usage.cache_read)) " from cache" } } }
            div { dt { "Output" } dd { (layout::tokens(totals.usage.output)) (unstated(session)) } }
            div { dt { "Tool calls" } dd { (format::count(session.tools)) } }
            div { dt { "Cost" } dd { (layout::cost(totals)) } }
            @if session.cache_misses > 0 {
                div { dt { "Cache missed" } dd {
                    (format::plural(session.cache_misses, "request", "requests"))
                    span.muted { ", " (layout::tokens(session.cache_missed_tokens)) " read anew" }
                } }
            }
            @if let Some(workspace) = &session.workspace {
                div.wide { dt { "Directory" } dd { bdi { (format::clip(workspace, 120)) } } }
            }
            @if let Some(agent) = &session.agent {
                div { dt { "Agent" } dd { bdi { (format::clip(agent, 60)) } } }
            }
            @if let Some(parent) = session.parent {
                div.wide { dt { "Started by" } dd { a.id href=(Route::Session(parent).path()) { (parent) } } }
            }
            div.wide { dt { "Id" } dd.id { (session.id) } }
        }
    }
}

/// Output that no provider has stated: of what runs, so far; of what broke off, for good.
fn unstated(session: &Session) -> Markup {
    let about = session.totals.estimated.output;
    html! {
        @if about > 0 {
            span.muted {
                ", about " (layout::tokens(about))
                @if session.in_flight > 0 { " more so far" } @else { " more, by the bytes that passed" }
            }
        }
    }
}

fn requests(records: &[Record], address: &Address<'_>) -> Markup {
    let slowest = records.iter().map(|record| record.timings.total_us).max();
    let slowest = slowest.unwrap_or_default();
    layout::table(
        "Requests of this session",
        &order::heads("requests", &REQUESTS, address),
        &html! {
            @for record in order::rows("requests", &REQUESTS, address, records) {
                @let usage = &record.usage;
                tr {
                    td.when {
                        a href=(Route::Request(record.id).path()) {
                            time datetime=(format::iso(record.started)) title=(format::time(record.started)) {
                                (format::clock(record.started))
                            }
                        }
                    }
                    td.main {
                        (layout::model(record))
                        p.sub.only-narrow {
                            (layout::tokens(usage.input_all())) " in · " (layout::tokens(usage.output)) " out"
                            @if record.timings.total_us > 0 { " · " (format::duration(record.timings.total_us)) }
                        }
                        p.sub {
                            @if let Some(agent) = &record.agent { bdi { "agent " (format::clip(agent, 40)) } " · " }
                            (tools(record))
                            @if let Some(miss) = &record.cache_miss { " " (cache_miss(miss)) }
                        }
                    }
                    td.num.opt { (layout::tokens(usage.input_all())) }
                    td.num.opt { (layout::tokens(usage.cache_read)) }
                    td.num.opt { (layout::tokens(usage.output)) }
                    td.opt.graph { (lane(record, slowest)) }
                    td.num.opt {
                        @if record.timings.first_byte_us > 0 { (format::duration(record.timings.first_byte_us)) }
                    }
                    td.num.opt { @if record.timings.total_us > 0 { (format::duration(record.timings.total_us)) } }
                    td.num.opt { (layout::cost(&crate::dashboard::view::Totals::of(record))) }
                    td { (layout::end(record)) p.sub { (layout::failure(record)) } }
                }
            }
        },
    )
}

/// Which cache was missed, and what in the prompt was not as it was.
pub(super) fn cache_miss(miss: &CacheMiss) -> Markup {
    let missed = miss.expected_tokens.saturating_sub(miss.read_tokens);
    let why = match miss.cause {
        MissCause::Unknown => "the prompt was the same",
        MissCause::Model => "another model",
        MissCause::Tools => "the tools changed",
        MissCause::System => "the system prompt changed",
        MissCause::Message => "the history changed",
        MissCause::Expired => "it was too late",
    };
    html! {
        span.bad { "cache missed" } ": " (layout::tokens(missed)) " tokens, " (why)
        @if let Some(message) = miss.message { " at message " (message) }
    }
}

/// The tools that the model called, each with how often.
fn tools(record: &Record) -> Markup {
    let mut calls: BTreeMap<&str, u64> = BTreeMap::new();
    for call in record
        .tools
        .iter()
        .filter(|call| call.result_error.is_none())
    {
        *calls.entry(&call.name).or_default() += 1;
    }
    let errors = record
        .tools
        .iter()
        .filter(|call| call.result_error == Some(true));
    let errors = errors.count() as u64;
    html! {
        @for (at, (name, count)) in calls.iter().take(TOOLS_SHOWN).enumerate() {
            @if at > 0 { ", " }
            bdi.tool { (format::clip(name, 40)) }
            @if *count > 1 { " ×" (count) }
        }
        @if calls.len() > TOOLS_SHOWN { " and " (calls.len() - TOOLS_SHOWN) " more" }
        @if errors > 0 {
            @if !calls.is_empty() { " · " }
            span.bad { (format::plural(errors, "tool error", "tool errors")) }
        }
    }
}

/// How long a request took beside the slowest one: until the first byte, and until the end.
fn lane(record: &Record, slowest: u64) -> Markup {
    let wait = chart::share(record.timings.first_byte_us, slowest, 1_000);
    let all = chart::share(record.timings.total_us, slowest, 1_000);
    html! {
        svg.meter viewBox="0 0 1000 10" preserveAspectRatio="none" aria-hidden="true" {
            rect.track x="0" y="0" width="1000" height="10" {}
            rect.stream x="0" y="0" width=(all) height="10" {}
            rect.wait x="0" y="0" width=(wait.min(all)) height="10" {}
        }
    }
}
