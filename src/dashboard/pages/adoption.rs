//! `/ui/adoption/`: who uses which models how much, and how many people are active.

use crate::dashboard::{
    chart::{self, Column},
    format,
    layout::{self, Frame},
    route::Route,
    view::{Adoption, Period, Totals, Whose},
};
use maud::{Markup, html};

/// Shades of the cells, from none to the most.
const SHADES: [&str; 5] = ["num h1", "num h2", "num h3", "num h4", "num h5"];

/// The page.
pub(in crate::dashboard) fn render(_frame: &Frame<'_>, view: &Adoption) -> Markup {
    let total = Totals::sum(view.people.iter().map(|person| &person.totals));
    let tokens = total.usage.total();
    html! {
        (layout::heading("Adoption", &view.whose, Some((view.period, &Route::Adoption))))
        @if view.whose == Whose::Everyone {
            dl.figures {
                div {
                    dt { "People" }
                    dd { (format::count(view.people.len() as u64)) }
                    dd.note { "in " (view.period.label()) }
                }
                div {
                    dt { "Tokens a person" }
                    dd { (layout::tokens(tokens / (view.people.len() as u64).max(1))) }
                    dd.note { "on average" }
                }
                div {
                    dt { "Heaviest user" }
                    dd { (chart::share(heaviest(view), tokens, 100)) " %" }
                    dd.note { "of all tokens" }
                }
                div {
                    dt { "Cost" }
                    dd { (format::dollars(total.cost)) }
                    dd.note { @if total.unpriced > 0 { span.unpriced { (format::count(total.unpriced)) " unpriced" } } @else { "estimated" } }
                }
            }
            div.charts.one { (active(view)) }
        }
        section {
            h2 { @if view.whose.many() { "Tokens by person and model" } @else { "Tokens by model" } }
            @if view.people.is_empty() {
                (layout::nothing("Nobody used the gateway in this period."))
            } @else {
                (matrix(view))
            }
        }
    }
}

fn heaviest(view: &Adoption) -> u64 {
    let tokens = view.people.iter().map(|person| person.totals.usage.total());
    tokens.max().unwrap_or_default()
}

fn active(view: &Adoption) -> Markup {
    let hourly = view.period == Period::Day;
    let columns: Vec<Column> = view
        .bars
        .iter()
        .map(|(start, people)| Column {
            start: *start,
            parts: vec![*people],
            words: format!(
                "{}: {}",
                if hourly {
                    format::hour(*start)
                } else {
                    format::day(*start)
                },
                format::plural(*people, "person", "people")
            ),
        })
        .collect();
    let most = view.bars.iter().map(|(_, people)| *people).max();
    let total = format!("at most {} at a time", most.unwrap_or_default());
    chart::bars(
        "Active people",
        &total,
        &["a"],
        &columns,
        hourly,
        format::count,
    )
}

fn matrix(view: &Adoption) -> Markup {
    let others = view
        .people
        .iter()
        .any(|p| p.tokens.last().is_some_and(|n| *n > 0));
    let columns = view.models.len() + usize::from(others);
    let highest = view.people.iter().flat_map(|p| &p.tokens).max();
    let highest = highest.copied().unwrap_or_default();
    let unit = if view.period == Period::Day {
        "hours"
    } else {
        "days"
    };
    layout::table(
        "Tokens by person and model",
        &html! {
            th scope="col" { "Login" }
            @for model in &view.models { th.num scope="col" { bdi { (format::clip(model, 40)) } } }
            @if others { th.num scope="col" { "Others" } }
            th.num.sum scope="col" { "Tokens" }
            th.num scope="col" { "Requests" }
            th.num scope="col" { "Cost" }
            th.num.opt scope="col" { "Active " (unit) }
        },
        &html! {
            @for person in &view.people {
                tr {
                    th.main scope="row" {
                        @if view.whose.many() {
                            a.name href=(Route::Person(person.login.clone()).path()) { bdi { (format::clip(&person.login, 60)) } }
                        } @else {
                            bdi { (format::clip(&person.login, 60)) }
                        }
                    }
                    @for tokens in person.tokens.iter().take(columns) {
                        td class=(shade(*tokens, highest)) { @if *tokens > 0 { (layout::tokens(*tokens)) } }
                    }
                    td.num.sum { strong { (layout::tokens(person.totals.usage.total())) } }
                    td.num { (format::count(person.totals.requests)) }
                    td.num { (layout::cost(&person.totals)) }
                    td.num.opt { (person.active_bars) }
                }
            }
        },
    )
}

fn shade(tokens: u64, highest: u64) -> &'static str {
    if tokens == 0 {
        return "num";
    }
    let step = chart::share(tokens, highest, SHADES.len() as u64 - 1);
    SHADES[usize::try_from(step).unwrap_or_default()]
}
