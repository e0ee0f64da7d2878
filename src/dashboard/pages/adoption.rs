//! `/ui/adoption/`: who uses which models how much, and how many people are active.

use crate::dashboard::{
    chart::{self, Column},
    format,
    layout::{self, Field, Frame},
    order::{self, Address, Column as Head},
    route::{Route, link},
    view::{Adoption, Period, Person, Totals, Week, Whose},
};
use maud::{Markup, html};

/// Shades of the cells, from none to the most.
const SHADES: [&str; 5] = ["num h1", "num h2", "num h3", "num h4", "num h5"];
/// People that the page lists; the file has all.
const PEOPLE_SHOWN: usize = 100;

/// A model or client, its people, and its sums.
type Popularity = (String, u64, Totals);

/// What models and clients can be ordered by, after their name.
const POPULAR: [Head<Popularity>; 4] = [
    Head::figure("people", "People", |a: &Popularity, b| a.1.cmp(&b.1)),
    Head::figure("requests", "Requests", |a: &Popularity, b| {
        a.2.requests.cmp(&b.2.requests)
    }),
    Head::figure("tokens", "Tokens", |a: &Popularity, b| {
        a.2.usage.total().cmp(&b.2.usage.total())
    })
    .optional(),
    Head::figure("cost", "Cost", |a: &Popularity, b| a.2.cost.cmp(&b.2.cost)),
];

/// What people can be ordered by, after their login and the models.
const PEOPLE: [Head<Person>; 3] = [
    Head::figure("tokens", "Tokens", |a, b| tokens(a).cmp(&tokens(b))),
    Head::figure("requests", "Requests", |a, b| {
        a.totals.requests.cmp(&b.totals.requests)
    }),
    Head::figure("cost", "Cost", |a, b| a.totals.cost.cmp(&b.totals.cost)),
];

fn tokens(person: &Person) -> u64 {
    person.totals.usage.total()
}

/// The page.
pub(in crate::dashboard) fn render(frame: &Frame<'_>, view: &Adoption) -> Markup {
    let total = Totals::sum(view.people.iter().map(|person| &person.totals));
    let selection = &view.selection;
    let address = selection.address(&Route::Adoption);
    let fields = [
        Field::User,
        Field::Model,
        Field::Provider,
        Field::Client,
        Field::Status,
    ];
    html! {
        (layout::heading("Adoption", &view.whose, Some((selection, &Route::Adoption)), frame.now))
        details.narrow open[selection.narrows()] {
            summary { "Filter" }
            (layout::filters(&Route::Adoption, selection, &view.choices, &fields))
        }
        @if view.whose == Whose::Everyone {
            (figures(view, &total))
            @if !view.people.is_empty() {
                div.columns {
                    div {
                        div.charts.one { (active(view)) }
                        section { h2 { "Clients" } (popular("Client", &view.popular.clients, true, &address)) }
                    }
                    section.flush { h2 { "Retention" } (weeks(&view.weeks)) }
                }
                section { h2 { "Models" } (popular("Model", &view.popular.models, true, &address)) }
            }
        } @else if !view.people.is_empty() {
            div.columns {
                section { h2 { "Models" } (popular("Model", &view.popular.models, false, &address)) }
                section { h2 { "Clients" } (popular("Client", &view.popular.clients, false, &address)) }
            }
        }
        section {
            h2 { @if view.whose.many() { "Tokens by person and model" } @else { "Tokens by model" } }
            @if view.people.is_empty() {
                (layout::nothing("Nobody used the gateway in this period, as far as the filter goes."))
            } @else {
                div.matrix { (matrix(view)) }
                p.actions {
                    a href=(link(&Route::People, &selection.pairs())) download { "Download as CSV" }
                    @if view.people.len() > PEOPLE_SHOWN {
                        span.muted { "The table shows " (PEOPLE_SHOWN) " of " (format::plural(view.people.len() as u64, "person", "people")) "; the file has all." }
                    }
                }
            }
        }
    }
}

fn figures(view: &Adoption, total: &Totals) -> Markup {
    let tokens = total.usage.total();
    let people = view.people.len() as u64;
    html! {
        dl.figures {
            div {
                dt { "People" }
                dd { (format::count(people)) }
                dd.note { "in " (view.selection.period().label()) }
            }
            div {
                dt { "Tokens a person" }
                dd { (layout::tokens(tokens / people.max(1))) }
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
    }
}

/// Week by week: who was there, who was new, and how many of last week's came back.
fn weeks(weeks: &[Week]) -> Markup {
    let before = |at: usize| at.checked_sub(1).map(|before| weeks[before]);
    html! {
        @if weeks.len() < 3 {
            (layout::nothing("Choose 30 or 90 days to see who comes back from week to week."))
        } @else {
            (layout::table(
                "People by week",
                &html! {
                    th scope="col" { "Week of" }
                    th.num scope="col" { "Active" }
                    th.num scope="col" { "New" }
                    th.num scope="col" { "Stayed" }
                    th scope="col" { span.quiet { "Share of the week before" } }
                },
                &html! {
                    @for (at, week) in weeks.iter().enumerate().rev() {
                        @let before = before(at);
                        tr {
                            th scope="row" { (format::day(week.start)) @if week.partial { span.muted { " (part)" } } }
                            td.num { (format::count(week.active)) }
                            td.num { (format::count(week.new)) }
                            td.num {
                                @if let Some(before) = before.filter(|before| before.active > 0) {
                                    span title={ (format::count(week.kept)) " of " (format::count(before.active)) " of the week before" } {
                                        (chart::share(week.kept, before.active, 100)) " %"
                                    }
                                }
                            }
                            td.graph { @if let Some(before) = before { (chart::meter(week.kept, before.active)) } }
                        }
                    }
                },
            ))
        }
    }
}

fn popular(column: &'static str, rows: &[Popularity], many: bool, address: &Address<'_>) -> Markup {
    let table = column.to_ascii_lowercase();
    let mut heads = vec![Head::name("name", column, |a: &Popularity, b| {
        a.0.cmp(&b.0)
    })];
    heads.extend(POPULAR.into_iter().skip(usize::from(!many)));
    let most = rows
        .iter()
        .map(|(_, people, totals)| if many { *people } else { totals.requests });
    let most = most.max().unwrap_or_default();
    layout::table(
        &format!("{column}s by people"),
        &order::heads(&table, &heads, address),
        &html! {
            @for (name, people, totals) in order::rows(&table, &heads, address, rows) {
                tr {
                    td.main { bdi { (format::clip(name, 60)) } (chart::meter(if many { *people } else { totals.requests }, most)) }
                    @if many { td.num { (format::count(*people)) } }
                    td.num { (format::count(totals.requests)) }
                    td.num.opt { (layout::tokens(totals.usage.total())) }
                    td.num { (layout::cost(totals)) }
                }
            }
        },
    )
}

fn heaviest(view: &Adoption) -> u64 {
    let tokens = view.people.iter().map(|person| person.totals.usage.total());
    tokens.max().unwrap_or_default()
}

fn active(view: &Adoption) -> Markup {
    let hourly = view.selection.period() == Period::Day;
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
    html! {
        div {
            (chart::bars("Active people", &total, &["a"], &columns, hourly, format::count))
            (chart::as_table(hourly, &columns))
        }
    }
}

fn matrix(view: &Adoption) -> Markup {
    let address = view.selection.address(&Route::Adoption);
    let others = view
        .people
        .iter()
        .any(|p| p.tokens.last().is_some_and(|n| *n > 0));
    let columns = view.models.len() + usize::from(others);
    let highest = view.people.iter().flat_map(|p| &p.tokens).max();
    let highest = highest.copied().unwrap_or_default();
    let active = if view.selection.period() == Period::Day {
        "Active hours"
    } else {
        "Active days"
    };
    let mut heads = vec![Head::name("name", "Login", |a: &Person, b| {
        a.login.cmp(&b.login)
    })];
    heads.extend(view.models.iter().map(|model| Head {
        label: format::clip(model, 40).into(),
        ..Head::plain("", "num")
    }));
    if others {
        heads.push(Head::plain("Others", "num"));
    }
    heads.extend(PEOPLE);
    heads.push(
        Head::figure("active", active, |a: &Person, b| {
            a.active_bars.cmp(&b.active_bars)
        })
        .optional(),
    );
    let people = order::rows("people", &heads, &address, &view.people);
    layout::table(
        "Tokens by person and model",
        &order::heads("people", &heads, &address),
        &html! {
            @for person in people.iter().take(PEOPLE_SHOWN) {
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
