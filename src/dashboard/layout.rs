//! What all pages share: the frame with its navigation and warnings, and the small parts of tables.
//!
//! In: a title and a body. Out: a whole document without scripts or inline styles. Must not know: the store.

use super::{
    State, assets, chart, format,
    route::{Route, link},
    view::{Choices, Period, Selection, Session, Status, Totals, Whose, done},
};
use crate::{
    config::grant::Role,
    identity::Caller,
    record::{End, Record, Timestamp},
    store::{AuditAction, failed},
};
use maud::{DOCTYPE, Markup, PreEscaped, html};
use std::sync::Arc;

/// Days before the node's key expires at which pages begin to say so.
const EXPIRY_NOTICE_DAYS: u64 = 7;
const DAY: u64 = 86_400_000;

/// What every page knows: who looks, as what, and how the gateway is doing.
#[derive(Clone, Copy, Debug)]
pub(super) struct Frame<'a> {
    pub(super) caller: &'a Arc<Caller>,
    pub(super) role: Role,
    pub(super) state: &'a State,
    pub(super) now: Timestamp,
    /// The name under which the caller reached the gateway.
    pub(super) host: &'a str,
    /// The address that goes with it: `http://ai`.
    pub(super) base: &'a str,
}

fn head(title: &str) -> Markup {
    html! {
        head {
            meta charset="utf-8";
            meta name="viewport" content="width=device-width, initial-scale=1";
            meta name="color-scheme" content="light dark";
            title { (title) " · aperture" }
            link rel="stylesheet" href=(assets::style_path());
            link rel="icon" type="image/svg+xml" href="/favicon.ico";
            script src=(assets::script_path()) defer {}
        }
    }
}

/// A whole document for somebody who has no role here, and so no pages to go to.
pub(super) fn bare(title: &str, body: &Markup) -> Markup {
    html! {
        (DOCTYPE)
        html lang="en" {
            (head(title))
            body {
                header.top { p.brand { (PreEscaped(assets::ICON)) "aperture" } }
                main #main { (body) }
            }
        }
    }
}

/// A whole document.
pub(super) fn page(frame: &Frame<'_>, title: &str, current: &Route, body: &Markup) -> Markup {
    html! {
        (DOCTYPE)
        html lang="en" {
            (head(title))
            body {
                a.skip href="#main" { "Skip to the content" }
                header.top {
                    a.brand href="/ui/" { (PreEscaped(assets::ICON)) "aperture" }
                    nav aria-label="Pages" { (navigation(frame.role, current)) }
                    p.who {
                        bdi { (format::shown(&frame.caller.login)) }
                        span.role { (frame.role.as_str()) }
                    }
                }
                (banners(frame))
                main #main { (body) }
                footer {
                    span { "aperture " (env!("CARGO_PKG_VERSION")) }
                    span { "Times are UTC; it is " time datetime=(format::iso(frame.now)) { (format::time(frame.now)) } "." }
                }
            }
        }
    }
}

fn navigation(role: Role, current: &Route) -> Markup {
    let mut pages = vec![
        (Route::Overview, "Overview"),
        (Route::Logs, "Logs"),
        (Route::Tools, "Tool use"),
        (Route::Adoption, "Adoption"),
        (Route::Models, "Models"),
        (Route::Connect, "Connect"),
    ];
    if role == Role::Admin {
        pages.push((Route::Access, "Access"));
        pages.push((Route::Audit, "Audit"));
        pages.push((Route::Settings, "Settings"));
    }
    // What is reached from a list belongs to the list.
    let current = match current {
        Route::Session(_) | Route::Request(_) => &Route::Logs,
        Route::Person(_) => &Route::Overview,
        settings if settings.of_settings() => &Route::Settings,
        other => other,
    };
    html! {
        ul {
            @for (route, label) in pages {
                li class=[route.admins_only().then_some("admin")] {
                    a href=(route.path()) aria-current=[(route == *current).then_some("page")] { (label) }
                }
            }
        }
    }
}

/// A notice of the node as a sentence of a banner.
fn sentence(text: &str) -> String {
    let text = format::clip(text, 500);
    let mut chars = text.chars();
    let first = chars.next().map(char::to_uppercase);
    first
        .into_iter()
        .flatten()
        .chain(chars)
        .chain(['.'])
        .collect()
}

fn banners(frame: &Frame<'_>) -> Markup {
    let state = frame.state;
    let key_left = state
        .key_expiry
        .map(|at| at.0.saturating_sub(frame.now.0))
        .filter(|left| *left <= EXPIRY_NOTICE_DAYS * DAY);
    html! {
        @if state.config.everyone_is_admin() {
            p.banner.warn role="note" {
                strong { "Everyone on this tailnet is an admin. " }
                "A grant gives " code { "\"*\"" } " the admin role, so anyone can read every conversation and change the "
                "configuration. "
                @if frame.role == Role::Admin {
                    a href=(Route::MakeAdmin.path()) { "Make me the only admin" } ": you see the change before it is saved."
                } @else {
                    "One of you should give the role to themself by login, and that grant the role " code { "user" } "."
                }
            }
        }
        @if frame.caller.dev {
            p.banner.warn role="note" {
                strong { "Development listener. " }
                "There is no tailnet here: whoever can reach this address counts as "
                bdi { (format::shown(&frame.caller.login)) } "."
            }
        }
        @if state.store_degraded {
            p.banner.bad role="note" {
                strong { "The store can't write. " }
                "Requests are still served. New records wait in memory, and the oldest are lost when it fills; what you "
                "see here may be incomplete. Look at free disk space first."
            }
        }
        @if let Some(left) = key_left {
            p.banner.warn role="note" {
                strong {
                    @if left == 0 { "The node's key has expired. " }
                    @else if left < DAY { "The node's key expires in less than a day. " }
                    @else { "The node's key expires in " (format::plural(left / DAY, "day", "days")) ". " }
                }
                "Then nobody reaches this gateway: an admin of the tailnet should renew the key or disable its expiry."
                @if frame.role == Role::Admin {
                    " " a href=(Route::NodeLogin.path()) { "Log in again" }
                }
            }
        }
        @if frame.role == Role::Admin {
            @for (what, remedy) in &state.node_concerns {
                p.banner.warn role="note" {
                    strong { (sentence(what)) " " }
                    (sentence(remedy))
                }
            }
        }
        @if let Some(reason) = &state.reload_failure {
            p.banner.bad role="note" {
                strong { "The configuration on disk was not taken. " }
                "The last good one stays in force."
                @if frame.role == Role::Admin {
                    " " span.reason { (format::clip(reason, 300)) } " "
                    a href=(Route::Settings.path()) { "Settings" }
                }
            }
        }
    }
}

/// A page's heading, with whose data it shows and the choice of period; every link keeps what else is selected.
pub(super) fn heading(
    title: &str,
    whose: &Whose,
    period: Option<(&Selection, &Route)>,
    now: Timestamp,
) -> Markup {
    html! {
        div.heading {
            h1 { (title) }
            p.whose {
                @match whose {
                    Whose::Own => "your own use",
                    Whose::Everyone => "everyone",
                    Whose::Person(login) => bdi { (format::shown(login)) },
                }
            }
            @if let Some((selection, route)) = period { (periods(selection, route, now)) }
        }
    }
}

/// The choice of period; every link keeps what else is selected.
pub(super) fn periods(selection: &Selection, route: &Route, now: Timestamp) -> Markup {
    let chosen = selection.period();
    let at = |period: Period, until: &str| {
        let mut pairs = selection.pairs();
        pairs[0].1 = period.as_str();
        pairs[1].1 = until;
        link(route, &pairs)
    };
    let end = selection.end(now);
    let day_of = |at: Timestamp| format::time(at)[..10].to_owned();
    let earlier = day_of(Timestamp(end.0.saturating_sub(chosen.length())));
    let later = Timestamp(end.0.saturating_add(chosen.length()));
    let later = if later < now {
        day_of(later)
    } else {
        String::new()
    };
    html! {
        nav.periods aria-label="Period" {
            @if !selection.until.is_empty() { span.until { "until " (format::day(end)) } }
            a.step href=(at(chosen, &earlier)) title={ "The " (chosen.label()) " before" } { "‹" span.quiet { "Earlier" } }
            @for choice in Period::ALL {
                a href=(at(choice, &selection.until)) aria-current=[(choice == chosen).then_some("true")] { (choice.label()) }
            }
            @if !selection.until.is_empty() {
                a.step href=(at(chosen, &later)) title={ "The " (chosen.label()) " after" } { "›" span.quiet { "Later" } }
                a href=(at(chosen, "")) { "now" }
            }
        }
    }
}

/// What a page is narrowed to, as a form whose fields are the address; open where something is narrowed.
pub(super) fn filters(
    route: &Route,
    selection: &Selection,
    choices: &Choices,
    fields: &[Field],
) -> Markup {
    let has = |field| fields.contains(&field);
    html! {
        form.filter method="get" action=(route.path()) role="search" {
            @for field in fields {
                @if let Field::Text(label, example) = *field {
                    label.wide {
                        span { (label) }
                        input type="search" name="q" value=(format::shown(&selection.text)) placeholder=(example);
                    }
                }
            }
            @if has(Field::Time) {
                label {
                    span { "Time" }
                    select name="period" {
                        option value="" { "any time" }
                        @for period in Period::ALL {
                            option value=(period.as_str()) selected[selection.period == Some(period)] { "last " (period.label()) }
                        }
                    }
                }
                label { span { "Until" } input type="date" name="until" value=(selection.until); }
            } @else {
                @if let Some(period) = selection.period { input type="hidden" name="period" value=(period.as_str()); }
                @if !selection.until.is_empty() { input type="hidden" name="until" value=(selection.until); }
            }
            @if has(Field::User) && !choices.users.is_empty() {
                label { span { "User" } (choice("user", &selection.user, &choices.users)) }
            }
            @if has(Field::Model) { label { span { "Model" } (choice("model", &selection.model, &choices.models)) } }
            @if has(Field::Provider) && choices.providers.len() > 1 {
                label { span { "Provider" } (choice("provider", &selection.provider, &choices.providers)) }
            }
            @if has(Field::Client) { label { span { "Client" } (choice("client", &selection.client, &choices.clients)) } }
            @if has(Field::Tool) { label { span { "Tool" } (choice("tool", &selection.tool, &choices.tools)) } }
            @if has(Field::Server) && !(choices.servers.is_empty() && selection.server.is_empty()) {
                label { span { "MCP server" } (choice("server", &selection.server, &choices.servers)) }
            }
            @if has(Field::Action) {
                label {
                    span { "What" }
                    select name="action" {
                        option value="" { "any" }
                        @for action in AuditAction::ALL {
                            option value=(action.as_str()) selected[selection.action == Some(action)] { (done(action)) }
                        }
                    }
                }
            }
            @if has(Field::Status) {
                label {
                    span { "Status" }
                    select name="status" {
                        option value="" { "any" }
                        @for (status, word, label) in Status::CHOICES {
                            option value=(word) selected[selection.status == Some(status)] { (label) }
                        }
                    }
                }
            }
            @if !selection.sort.is_empty() { input type="hidden" name="sort" value=(format::shown(&selection.sort)); }
            button type="submit" { "Filter" }
            @if selection.narrows() {
                a.clear href=(link(route, &selection.times())) { "Clear" }
            }
        }
    }
}

/// One field of [`filters`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Field {
    /// Free text: what it is called, and what may be written there.
    Text(&'static str, &'static str),
    Time,
    User,
    Model,
    Provider,
    Client,
    Status,
    Tool,
    Server,
    Action,
}

/// A choice among known values; a value from elsewhere stays chosen.
pub(super) fn choice(name: &str, chosen: &str, values: &[String]) -> Markup {
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

/// Markup without line breaks, as an event carries it; in text they are spaces, where a page may need them they are none.
pub(super) fn one_line(markup: &str) -> String {
    markup.replace(['\r', '\n'], " ")
}

/// A text to copy, with the button that does it where scripts run.
pub(super) fn copyable(id: &str, text: &str) -> Markup {
    html! {
        div.copyable {
            pre.body id=(id) tabindex="0" { (format::shown(text)) }
            button type="button" data-copy=(id) hidden { "Copy" }
        }
    }
}

/// How a figure changed against the period before: `+12 %`, in words for readers.
pub(super) fn change(now: u64, before: u64) -> Markup {
    let (more, less) = (now.saturating_sub(before), before.saturating_sub(now));
    let percent = |part: u64| {
        let share = u128::from(part) * 100 / u128::from(before.max(1));
        u64::try_from(share).unwrap_or(u64::MAX)
    };
    let (sign, percent) = if now >= before {
        ("+", percent(more))
    } else {
        ("−", percent(less))
    };
    html! {
        @if before > 0 {
            span.change title="against the period before" {
                @match percent {
                    0 => "as before",
                    n @ 1..1_000 => { (sign) (n) " %" },
                    n => { (sign) (format::count(n / 100 + 1)) "×" },
                }
            }
        }
    }
}

/// A table that scrolls by itself where the screen is narrow; `name` is for screen readers.
pub(super) fn table(name: &str, head: &Markup, rows: &Markup) -> Markup {
    html! {
        div.scroll role="region" aria-label=(name) tabindex="0" {
            table { caption.quiet { (name) } thead { tr { (head) } } tbody { (rows) } }
        }
    }
}

/// What stands where there is nothing to show.
pub(super) fn nothing(text: &str) -> Markup {
    html! { p.nothing { (text) } }
}

/// A count of tokens, short, with the exact figure on hover.
pub(super) fn tokens(n: u64) -> Markup {
    html! { span title=[(n >= 1_000).then(|| format::count(n))] { (format::short(n)) } }
}

/// Cost; at least that much when some requests have no price.
pub(super) fn cost(totals: &Totals) -> Markup {
    let unpriced = totals.unpriced;
    let why = || {
        let requests = format::plural(unpriced, "request has", "requests have");
        format!("{requests} no known price")
    };
    html! {
        @if unpriced == 0 {
            (format::dollars(totals.cost))
        } @else if totals.cost == 0 {
            span.unpriced title=(why()) { "unpriced" }
        } @else {
            span title=(why()) { span.unpriced { "≥" } " " (format::dollars(totals.cost)) }
        }
    }
}

/// A moment, as long ago as it is.
pub(super) fn moment(at: Timestamp, now: Timestamp) -> Markup {
    html! { time datetime=(format::iso(at)) title=(format::time(at)) { (format::ago(at, now)) } }
}

/// How a request ended, in a word and a colour.
pub(super) fn end(record: &Record) -> Markup {
    let class = match record.end {
        End::InFlight => "state live",
        _ if failed(record) => "state bad",
        End::ClientGone => "state half",
        _ => "state good",
    };
    let word = match record.end {
        End::InFlight => "in flight",
        End::Complete => "complete",
        End::Refused => "refused",
        End::UpstreamError => "upstream error",
        End::ClientGone => "client gone",
        End::Timeout => "timed out",
        End::Interrupted => "interrupted",
    };
    html! {
        span class=(class) {
            (word)
            @match record.status {
                Some(200) | None => {}
                Some(status) => { " " span.status { (status) } }
            }
        }
    }
}

/// Why a request failed, in the gateway's own word.
pub(super) fn failure(record: &Record) -> Markup {
    html! { @if let Some(reason) = &record.failure { (format::clip(reason, 80).replace('_', " ")) } }
}

/// The model of a record: as routed, else as asked.
pub(super) fn model(record: &Record) -> Markup {
    html! {
        @match (&record.model, &record.model_asked) {
            (Some(model), _) => bdi { (format::clip(model, 60)) },
            (None, Some(asked)) => bdi.muted { (format::clip(asked, 60)) },
            (None, None) => span.muted { "none" },
        }
    }
}

/// A session's title as a link.
pub(super) fn session_link(session: &Session) -> Markup {
    html! {
        a.name href=(Route::Session(session.id).path()) {
            @match session.title.as_deref().map(str::trim).filter(|title| !title.is_empty()) {
                Some(title) => bdi { (format::clip(title, 110)) },
                None => { "Session " span.id { (format::clip(&session.id.to_string(), 12)) } }
            }
        }
    }
}

/// Output of a session; of one that runs, with what its streams are believed to have brought so far.
fn output(session: &Session) -> Markup {
    let (stated, about) = (session.totals.usage.output, session.totals.estimated.output);
    html! {
        @if session.in_flight > 0 && about > 0 {
            span title="so far, by the bytes that passed" { "≈ " (tokens(stated.saturating_add(about))) }
        } @else {
            (tokens(stated))
        }
    }
}

/// A table of sessions.
pub(super) fn sessions(name: &str, rows: &[Session], whose: &Whose, now: Timestamp) -> Markup {
    let largest = rows.iter().map(|s| s.totals.usage.total()).max();
    let largest = largest.unwrap_or_default();
    table(
        name,
        &html! {
            th scope="col" { "Session" }
            @if whose.many() { th.opt scope="col" { "User" } }
            th.num scope="col" { "Requests" }
            th.num.opt scope="col" { "Input" }
            th.num.opt scope="col" { "Output" }
            th.opt scope="col" { span.quiet { "Share of tokens" } }
            th.num scope="col" { "Cost" }
            th.num.opt scope="col" { "Last" }
        },
        &html! {
            @for session in rows {
                @let lasted = session.last.0.saturating_sub(session.started.0);
                tr {
                    td.main {
                        (session_link(session))
                        p.sub {
                            @if session.in_flight > 0 { span.state.live { "active" } " · " }
                            @if whose.many() { span.only-narrow { bdi { (format::clip(&session.login, 60)) } " · " } }
                            bdi { (format::clip(&session.client, 40)) }
                            @if !session.models.is_empty() {
                                " · " bdi { (format::clip(&session.models.join(", "), 80)) }
                            }
                            @if lasted > 0 { " · " span title="from its first request to its last sign of life" { (format::duration(lasted.saturating_mul(1_000))) } }
                            span.only-narrow {
                                " · " (tokens(session.totals.usage.total())) " tokens · " (moment(session.last, now))
                            }
                            @if session.totals.failed > 0 {
                                " · " span.bad { (format::count(session.totals.failed)) " failed" }
                            }
                        }
                    }
                    @if whose.many() { td.opt { bdi { (format::clip(&session.login, 60)) } } }
                    td.num { (format::count(session.totals.requests)) }
                    td.num.opt { (tokens(session.totals.usage.input_all())) }
                    td.num.opt { (output(session)) }
                    td.opt.graph { (chart::meter(session.totals.usage.total(), largest)) }
                    td.num { (cost(&session.totals)) }
                    td.num.opt.when { (moment(session.last, now)) }
                }
            }
        },
    )
}
