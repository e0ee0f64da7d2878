//! `/ui/models/`: what the caller may use, where, and for how much.

use crate::dashboard::{
    chart, format,
    layout::{self, Field, Frame},
    order::{self, Column},
    route::{Route, link},
    view::{Health, Model, Models, Rates, Whose},
};
use maud::{Markup, html};

/// Names that one cell lists.
const SOURCES_SHOWN: usize = 4;

/// What models can be ordered by.
const MODELS: [Column<Model>; 8] = [
    Column::name("name", "Model", |a: &Model, b| a.name.cmp(&b.name)),
    Column::name("provider", "Provider", |a: &Model, b| {
        a.provider_name.cmp(&b.provider_name)
    }),
    Column::plain("Formats", "opt"),
    Column::plain("Open to", "opt"),
    Column::figure("input", "Input", |a: &Model, b| {
        rate(a, |r| r.input).cmp(&rate(b, |r| r.input))
    }),
    Column::figure("cached", "Cached", |a: &Model, b| {
        rate(a, |r| r.cache_read).cmp(&rate(b, |r| r.cache_read))
    })
    .optional(),
    Column::figure("written", "Into cache", |a: &Model, b| {
        rate(a, |r| r.cache_write).cmp(&rate(b, |r| r.cache_write))
    })
    .optional(),
    Column::figure("output", "Output", |a: &Model, b| {
        rate(a, |r| r.output).cmp(&rate(b, |r| r.output))
    }),
];

/// What providers can be ordered by.
const PROVIDERS: [Column<Health>; 8] = [
    Column::name("name", "Provider", |a: &Health, b| {
        a.provider.cmp(&b.provider)
    }),
    Column::plain("State", ""),
    Column::figure("requests", "Requests", |a: &Health, b| {
        a.requests.cmp(&b.requests)
    }),
    Column::figure("failed", "Failed", |a: &Health, b| a.failed.cmp(&b.failed))
        .titled("It failed, broke off, or was too slow"),
    Column::figure("rejected", "Rejected", |a: &Health, b| {
        a.refused.cmp(&b.refused)
    })
    .optional()
    .titled("It answered 4xx"),
    Column::figure("first", "First byte", |a: &Health, b| {
        a.first_byte.below_us(50).cmp(&b.first_byte.below_us(50))
    })
    .titled("Half of the answers began within this time"),
    Column::figure("slowest", "95 %", |a: &Health, b| {
        a.first_byte.below_us(95).cmp(&b.first_byte.below_us(95))
    })
    .optional()
    .titled("19 of 20 answers began within this time"),
    Column::figure("whole", "Whole", |a: &Health, b| {
        a.total.below_us(50).cmp(&b.total.below_us(50))
    })
    .optional()
    .titled("Half of the answers ended within this time"),
];

/// One price of a model.
fn rate(model: &Model, of: fn(&Rates) -> Option<u64>) -> Option<u64> {
    model.rates.as_ref().and_then(of)
}

/// The page.
pub(in crate::dashboard) fn render(frame: &Frame<'_>, view: &Models) -> Markup {
    let selection = &view.selection;
    let unpriced = view
        .rows
        .iter()
        .filter(|model| model.rates.is_none())
        .count() as u64;
    let fields = [
        Field::Text("Name", "part of a model's or provider's name"),
        Field::Model,
        Field::Provider,
        Field::User,
        Field::Client,
    ];
    html! {
        div.heading {
            h1 { "Models" }
            p.whose { @if view.admin { "all that are configured" } @else { "what you may use" } }
        }
        details.narrow open[selection.narrows()] {
            summary { "Filter" }
            (layout::filters(&Route::Models, selection, &view.choices, &fields))
        }
        @if view.rows.is_empty() {
            @if selection.narrows() {
                p.nothing {
                    "No model is as the filter says. "
                    a href=(link(&Route::Models, &selection.times())) { "Without the filter" }
                }
            } @else if view.admin {
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
                p.whose {
                    @match &view.whose {
                        Whose::Own => "your requests",
                        Whose::Everyone => "everyone's requests",
                        Whose::Person(login) => { "requests of " bdi { (format::clip(login, 60)) } }
                    }
                }
                (layout::periods(selection, &Route::Models, frame.now))
            }
            @if !view.health.is_empty() {
                (health(view))
            } @else if selection.narrows() {
                (layout::nothing("No request that reached a provider in this period is as the filter says."))
            } @else {
                (layout::nothing("No request reached a provider in this period."))
            }
        }
    }
}

fn health(view: &Models) -> Markup {
    let address = view.selection.address(&Route::Models);
    let word = |health: &Health| match chart::share(health.failed, health.requests, 1_000) {
        0..10 => ("state good", "well"),
        10..100 => ("state half", "some failures"),
        _ => ("state bad", "failing"),
    };
    let within = |us: Option<u64>| html! { @match us { Some(us) => { "≤ " (format::duration(us)) }, None => "—" } };
    layout::table(
        "Providers and how they do",
        &order::heads("providers", &PROVIDERS, &address),
        &html! {
            @for row in order::rows("providers", &PROVIDERS, &address, &view.health) {
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
    let address = view.selection.address(&Route::Models);
    // Whom it is open to is for admins.
    let heads: Vec<Column<Model>> = MODELS
        .into_iter()
        .filter(|column| view.admin || column.label != "Open to")
        .collect();
    layout::table(
        "Models",
        &order::heads("models", &heads, &address),
        &html! {
            @for model in order::rows("models", &heads, &address, &view.rows) {
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
                    td.opt title=(model.paths.join("\n")) { @for dialect in &model.dialects { span.line { (dialect.as_str().replace('_', " ")) } } }
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
