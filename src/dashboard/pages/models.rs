//! `/ui/models/`: what the caller may use, where, and for how much.

use crate::dashboard::{
    chart, format,
    layout::{self, Frame},
    route::{Route, link},
    view::{Health, Model, Models, Period, Rates},
};
use maud::{Markup, html};

/// Names that one cell lists.
const SOURCES_SHOWN: usize = 4;

/// The page.
pub(in crate::dashboard) fn render(_frame: &Frame<'_>, view: &Models) -> Markup {
    let unpriced = view
        .rows
        .iter()
        .filter(|model| model.rates.is_none())
        .count() as u64;
    html! {
        div.heading {
            h1 { "Models" }
            p.whose { @if view.admin { "all that are configured" } @else { "what you may use" } }
        }
        @if view.rows.is_empty() {
            @if view.admin {
                p.nothing { "No provider with models is configured yet. " a href=(Route::Settings.path()) { "Settings" } " is the place to add one." }
            } @else {
                (layout::nothing("No grant opens a model for you. Ask an admin of this gateway."))
            }
        } @else {
            @if unpriced > 0 && view.admin {
                p.banner.warn role="note" {
                    strong { (format::plural(unpriced, "model has", "models have")) " no known price. " }
                    "Their requests count as unpriced, never as free. " code { "cost_basis" } " or " code { "model_cost_map" }
                    " of the provider names the price to use."
                }
            }
            (table(view))
            p.note { "Prices are US dollars for a million tokens, from the built-in table; a provider's bill may differ." }
        }
        section {
            div.heading.low {
                h2 { "How the providers do" }
                p.whose { @if view.admin { "everyone's requests" } @else { "your requests" } }
                nav.periods aria-label="Period" {
                    @for choice in Period::ALL {
                        a href=(link(&Route::Models, &[("period", choice.as_str())]))
                            aria-current=[(choice == view.period).then_some("true")] { (choice.label()) }
                    }
                }
            }
            @if view.health.is_empty() {
                (layout::nothing("No request reached a provider in this period."))
            } @else {
                (health(&view.health))
            }
        }
    }
}

fn health(rows: &[Health]) -> Markup {
    let word = |health: &Health| match chart::share(health.failed, health.requests, 1_000) {
        0..10 => ("state good", "well"),
        10..100 => ("state half", "some failures"),
        _ => ("state bad", "failing"),
    };
    let within = |us: Option<u64>| html! { @match us { Some(us) => { "≤ " (format::duration(us)) }, None => "—" } };
    layout::table(
        "Providers and how they do",
        &html! {
            th scope="col" { "Provider" }
            th scope="col" { "State" }
            th.num scope="col" { "Requests" }
            th.num scope="col" title="It failed, broke off, or was too slow" { "Failed" }
            th.num.opt scope="col" title="It answered 4xx" { "Rejected" }
            th.num scope="col" title="Half of the answers began within this time" { "First byte" }
            th.num.opt scope="col" title="19 of 20 answers began within this time" { "95 %" }
            th.num.opt scope="col" title="Half of the answers ended within this time" { "Whole" }
        },
        &html! {
            @for row in rows {
                @let (class, state) = word(row);
                tr {
                    td.main { bdi { (format::clip(&row.provider, 60)) } }
                    td { span class=(class) { (state) } }
                    td.num { (format::count(row.requests)) }
                    td.num { @if row.failed > 0 { span.bad { (format::count(row.failed)) } " " span.muted { (permille(row.failed, row.requests)) } } }
                    td.num.opt { @if row.refused > 0 { (format::count(row.refused)) } }
                    td.num { (within(row.first_byte.below_us(50))) }
                    td.num.opt { (within(row.first_byte.below_us(95))) }
                    td.num.opt { (within(row.total.below_us(50))) }
                }
            }
        },
    )
}

/// A share in percent with one decimal place.
fn permille(part: u64, whole: u64) -> String {
    let share = chart::share(part, whole, 1_000);
    format!("{}.{} %", share / 10, share % 10)
}

fn table(view: &Models) -> Markup {
    layout::table(
        "Models",
        &html! {
            th scope="col" { "Model" }
            th scope="col" { "Provider" }
            th.opt scope="col" { "Formats" }
            @if view.admin { th.opt scope="col" { "Open to" } }
            th.num scope="col" { "Input" }
            th.num.opt scope="col" { "Cached" }
            th.num.opt scope="col" { "Into cache" }
            th.num scope="col" { "Output" }
        },
        &html! {
            @for model in &view.rows {
                tr {
                    td.main {
                        span.id { bdi { (format::clip(&model.name, 100)) } }
                        @if model.shadowed {
                            p.sub { "only as " span.id { bdi { (format::clip(&model.provider, 60)) "/" (format::clip(&model.name, 100)) } } }
                        }
                        @if !model.mine { p.sub { "not granted to you" } }
                    }
                    td {
                        bdi { (format::clip(&model.provider_name, 60)) }
                        @if !model.description.is_empty() { p.sub { bdi { (format::clip(&model.description, 120)) } } }
                    }
                    td.opt title=(model.paths.join("\n")) { @for format in &model.formats { span.line { (format.replace('_', " ")) } } }
                    @if view.admin { td.opt { (open_to(model)) } }
                    (rates(model.rates.as_ref()))
                }
            }
        },
    )
}

fn open_to(model: &Model) -> Markup {
    html! {
        @if model.open_to.is_empty() { span.muted { "no grant of the document" } }
        @for (at, who) in model.open_to.iter().take(SOURCES_SHOWN).enumerate() {
            @if at > 0 { ", " }
            @if who == "*" { "everyone" } @else { bdi { (format::clip(who, 60)) } }
        }
        @if model.open_to.len() > SOURCES_SHOWN { span.muted { " and " (model.open_to.len() - SOURCES_SHOWN) " more" } }
    }
}

fn rates(rates: Option<&Rates>) -> Markup {
    let rate =
        |value: Option<u64>| html! { @if let Some(value) = value { (format::price(value)) } };
    html! {
        @match rates {
            Some(rates) => {
                td.num { (rate(rates.input)) }
                td.num.opt { (rate(rates.cache_read)) }
                td.num.opt { (rate(rates.cache_write)) }
                td.num { (rate(rates.output)) }
            }
            None => {
                td.num { span.unpriced { "unpriced" } }
                td.num.opt {}
                td.num.opt {}
                td.num {}
            }
        }
    }
}
