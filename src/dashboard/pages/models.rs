//! `/ui/models/`: what the caller may use, where, and for how much.

use crate::dashboard::{
    format,
    layout::{self, Frame},
    view::{Model, Rates},
};
use maud::{Markup, html};

/// The page.
pub(in crate::dashboard) fn render(_frame: &Frame<'_>, models: &[Model]) -> Markup {
    html! {
        div.heading {
            h1 { "Models" }
            p.whose { "what you may use" }
        }
        @if models.is_empty() {
            (layout::nothing("No grant opens a model for you. Ask an admin of this gateway."))
        } @else {
            (table(models))
            p.note { "Prices are US dollars for a million tokens, from the built-in table; a provider's bill may differ." }
        }
    }
}

fn table(models: &[Model]) -> Markup {
    layout::table(
        "Models",
        &html! {
            th scope="col" { "Model" }
            th scope="col" { "Provider" }
            th.opt scope="col" { "Paths" }
            th.num scope="col" { "Input" }
            th.num.opt scope="col" { "Cached" }
            th.num.opt scope="col" { "Into cache" }
            th.num scope="col" { "Output" }
        },
        &html! {
            @for model in models {
                tr {
                    td.main {
                        span.id { bdi { (format::clip(&model.name, 100)) } }
                        @if model.shadowed {
                            p.sub { "only as " span.id { bdi { (format::clip(&model.provider, 60)) "/" (format::clip(&model.name, 100)) } } }
                        }
                    }
                    td {
                        bdi { (format::clip(&model.provider_name, 60)) }
                        @if !model.description.is_empty() { p.sub { bdi { (format::clip(&model.description, 120)) } } }
                    }
                    td.opt { @for path in &model.paths { span.id.line { (path) } } }
                    (rates(model.rates.as_ref()))
                }
            }
        },
    )
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
