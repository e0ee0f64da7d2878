//! `/ui/` and `/ui/dashboard/<login>`: how much, by when, by model and by person; what is active; what failed.

use crate::dashboard::{
    chart::{self, Column},
    format,
    layout::{self, Field, Frame},
    order::{self, Address, Column as Head},
    route::{Route, link},
    view::{Bar, Overview, Part, Period, Selection, Session, Totals, Whose},
};
use maud::{Markup, html};

/// What models and people can be ordered by, after their name.
const PARTS: [Head<Part>; 3] = [
    Head::figure("requests", "Requests", |a: &Part, b| {
        a.totals.requests.cmp(&b.totals.requests)
    }),
    Head::figure("tokens", "Tokens", |a: &Part, b| {
        a.totals.usage.total().cmp(&b.totals.usage.total())
    }),
    Head::figure("cost", "Cost", |a: &Part, b| {
        a.totals.cost.cmp(&b.totals.cost)
    }),
];

/// The page.
pub(in crate::dashboard) fn render(frame: &Frame<'_>, view: &Overview) -> Markup {
    let total = Totals::sum(view.bars.iter().map(|bar| &bar.totals));
    let route = match &view.whose {
        Whose::Own | Whose::Everyone => Route::Overview,
        Whose::Person(login) => Route::Person(login.clone()),
    };
    let fields = [
        Field::User,
        Field::Model,
        Field::Provider,
        Field::Client,
        Field::Status,
    ];
    let selection = &view.selection;
    let address = selection.address(&route);
    // One person's page is the filter by that person, so that another one can be chosen from it.
    let narrowed = match &view.whose {
        Whose::Own | Whose::Everyone => selection.clone(),
        Whose::Person(login) => Selection {
            user: login.clone(),
            ..selection.clone()
        },
    };
    // What is active is so now, whatever the period.
    let present = Selection {
        period: None,
        until: String::new(),
        sort: String::new(),
        ..narrowed.clone()
    };
    let live = link(&Route::Live, &present.pairs());
    html! {
        (layout::heading("Overview", &view.whose, Some((selection, &route)), frame.now))
        details.narrow open[selection.narrows()] {
            summary { "Filter" }
            (layout::filters(&Route::Overview, &narrowed, &view.choices, &fields))
        }
        @if view.whose == Whose::Everyone {
            p.aside { a href=(Route::Person(frame.caller.login.to_string()).path()) { "Only your own" } }
        }
        (figures(&total, view))
        @if total.requests == 0 {
            p.prose {
                @if selection.narrows() {
                    "Nothing in this period is as the filter says. "
                    a href=(link(&route, &selection.times())) { "Without the filter" }
                } @else {
                    "No request has ended in this period. "
                    a href=(Route::Connect.path()) { "Connect" } " shows how to point a client at this gateway, and "
                    a href=(Route::Models.path()) { "Models" } " what you may use."
                }
            }
        } @else {
            (charts(&total, view))
            (history(view))
        }
        section.live {
            h2 { "Active sessions" span.live-note data-live-note role="status" {} }
            div data-live=(live) { (active(frame, &view.active, &view.whose)) }
        }
        div.columns {
            section { h2 { "Models" } (parts("Tokens and cost by model", "Model", &view.models, &address)) }
            @if view.whose.many() {
                section { h2 { "People" } (parts("Tokens and cost by person", "Login", &view.people, &address)) }
            }
        }
        section { h2 { "Latest failures" } (errors(frame, view)) }
    }
}

/// The sessions that are active, which grow while one looks.
pub(in crate::dashboard) fn active(
    frame: &Frame<'_>,
    sessions: &[Session],
    whose: &Whose,
) -> Markup {
    html! {
        @if sessions.is_empty() {
            (layout::nothing("No session was active in the last 15 minutes."))
        } @else {
            (layout::sessions("Active sessions", sessions, whose, frame.now))
        }
    }
}

fn figures(total: &Totals, view: &Overview) -> Markup {
    let (usage, before) = (&total.usage, &view.before);
    let cached = chart::share(usage.cache_read, usage.input_all(), 100);
    html! {
        dl.figures {
            div {
                dt { "Requests" }
                dd { (format::count(total.requests)) (layout::change(total.requests, before.requests)) }
                dd.note {
                    @if total.failed > 0 { span.bad { (format::count(total.failed)) " failed" } }
                    @else if total.requests > 0 { "none failed" }
                }
            }
            div {
                dt { "Input tokens" }
                dd { (layout::tokens(usage.input_all())) (layout::change(usage.input_all(), before.usage.input_all())) }
                dd.note { @if usage.input_all() > 0 { (cached) " % from cache" } }
            }
            div {
                dt { "Output tokens" }
                dd { (layout::tokens(usage.output)) (layout::change(usage.output, before.usage.output)) }
                dd.note { @if usage.reasoning > 0 { (format::short(usage.reasoning)) " on reasoning" } }
            }
            div {
                dt { "Cost" }
                dd { (format::dollars(total.cost)) (layout::change(total.cost, before.cost)) }
                dd.note {
                    @if total.unpriced > 0 {
                        span.unpriced { (format::plural(total.unpriced, "request", "requests")) " unpriced" }
                    } @else if total.requests > 0 { "estimated" }
                }
            }
            div {
                dt { "Active sessions" }
                dd { (format::count(view.active.len() as u64)) }
                dd.note {
                    @let running: u64 = view.active.iter().map(|session| session.in_flight).sum();
                    @if running > 0 { (format::plural(running, "request", "requests")) " in flight" }
                }
            }
        }
    }
}

/// When a bar is, in words.
fn when(bar: &Bar, period: Period) -> String {
    match period {
        Period::Day => format!("{}, {}", format::day(bar.start), format::hour(bar.start)),
        Period::Week | Period::Month | Period::Quarter => format::day(bar.start),
    }
}

fn charts(total: &Totals, view: &Overview) -> Markup {
    let columns = |parts: fn(&Totals) -> Vec<u64>, words: fn(&Totals) -> String| {
        let column = |bar: &Bar| Column {
            start: bar.start,
            parts: parts(&bar.totals),
            words: format!(
                "{}: {}",
                when(bar, view.selection.period()),
                words(&bar.totals)
            ),
        };
        view.bars.iter().map(column).collect::<Vec<_>>()
    };
    let hourly = view.selection.period() == Period::Day;
    let requests = columns(
        |t| vec![t.requests.saturating_sub(t.failed), t.failed],
        |t| {
            let requests = format::plural(t.requests, "request", "requests");
            match t.failed {
                0 => requests,
                failed => format!("{requests}, {failed} failed"),
            }
        },
    );
    let tokens = columns(
        |t| {
            let usage = &t.usage;
            vec![usage.cache_read, t.fresh(), usage.output]
        },
        |t| {
            let usage = &t.usage;
            format!(
                "{} from cache, {} other input, {} output",
                format::count(usage.cache_read),
                format::count(t.fresh()),
                format::count(usage.output)
            )
        },
    );
    let cost = columns(|t| vec![t.cost], |t| format::dollars(t.cost));
    html! {
        div.charts {
            div {
                (chart::bars("Requests", &format::count(total.requests), &["a", "bad"], &requests, hourly, format::short))
            }
            div {
                (chart::bars("Tokens", &format::short(total.usage.total()), &["c", "b", "a"], &tokens, hourly, format::short))
                p.legend aria-hidden="true" {
                    span.c { "cache" } span.b { "other input" } span.a { "output" }
                }
            }
            div {
                (chart::bars("Cost", &format::dollars(total.cost), &["a"], &cost, hourly, format::dollars))
            }
        }
    }
}

/// The charts' figures as a table.
fn history(view: &Overview) -> Markup {
    html! {
        details.history {
            summary { @if view.selection.period() == Period::Day { "By hour, as a table" } @else { "By day, as a table" } }
            (layout::table(
                "Use over time",
                &html! {
                    th scope="col" { @if view.selection.period() == Period::Day { "Hour" } @else { "Day" } }
                    th.num scope="col" { "Requests" }
                    th.num scope="col" { "Failed" }
                    th.num scope="col" { "From cache" }
                    th.num scope="col" { "Other input" }
                    th.num scope="col" { "Output" }
                    th.num scope="col" { "Cost" }
                },
                &html! {
                    @for bar in view.bars.iter().rev().filter(|bar| bar.totals.requests > 0) {
                        @let usage = &bar.totals.usage;
                        tr {
                            th scope="row" { (when(bar, view.selection.period())) }
                            td.num { (format::count(bar.totals.requests)) }
                            td.num { (format::count(bar.totals.failed)) }
                            td.num { (format::count(usage.cache_read)) }
                            td.num { (format::count(bar.totals.fresh())) }
                            td.num { (format::count(usage.output)) }
                            td.num { (layout::cost(&bar.totals)) }
                        }
                    }
                },
            ))
        }
    }
}

fn parts(name: &str, column: &'static str, parts: &[Part], address: &Address<'_>) -> Markup {
    if parts.is_empty() {
        return layout::nothing("Nothing in this period.");
    }
    let named = parts.iter().filter(|part| !part.name.is_empty());
    let largest = named.map(|part| part.totals.usage.total()).max();
    let largest = largest.unwrap_or_default();
    let table = column.to_ascii_lowercase();
    let mut heads = vec![Head::name("name", column, |a: &Part, b| {
        (&a.name, &a.of).cmp(&(&b.name, &b.of))
    })];
    heads.extend(PARTS);
    layout::table(
        name,
        &order::heads(&table, &heads, address),
        &html! {
            @for part in order::rows(&table, &heads, address, parts) {
                tr {
                    td.main {
                        @if column == "Login" && !part.name.is_empty() {
                            a.name href=(Route::Person(part.name.clone()).path()) { bdi { (format::clip(&part.name, 60)) } }
                        } @else if part.name.is_empty() && part.of.is_empty() {
                            span.muted { "no model" }
                        } @else {
                            bdi { (format::clip(&part.name, 60)) }
                        }
                        @if !part.of.is_empty() { " " bdi.muted { (format::clip(&part.of, 40)) } }
                        @if !part.name.is_empty() { (chart::meter(part.totals.usage.total(), largest)) }
                    }
                    td.num { (format::count(part.totals.requests)) }
                    td.num { (layout::tokens(part.totals.usage.total())) }
                    td.num { (layout::cost(&part.totals)) }
                }
            }
        },
    )
}

fn errors(frame: &Frame<'_>, view: &Overview) -> Markup {
    if view.errors.is_empty() {
        return layout::nothing("None among the latest requests.");
    }
    layout::table(
        "Latest failures",
        &html! {
            th scope="col" { "When" }
            @if view.whose.many() { th.opt scope="col" { "User" } }
            th scope="col" { "Model" }
            th scope="col" { "End" }
            th.opt scope="col" { "Reason" }
        },
        &html! {
            @for record in &view.errors {
                tr {
                    td.when { a href=(Route::Request(record.id).path()) { (layout::moment(record.started, frame.now)) } }
                    @if view.whose.many() { td.opt { bdi { (format::clip(&record.who.login, 60)) } } }
                    td {
                        (layout::model(record))
                        @if view.whose.many() { p.sub.only-narrow { bdi { (format::clip(&record.who.login, 60)) } } }
                    }
                    td { (layout::end(record)) }
                    td.opt.muted { (layout::failure(record)) }
                }
            }
        },
    )
}
