//! Hourly counters added up for the pages: by bar, by model, by person.
//!
//! In: rows of counters and the logins of their users. Out: parts of view models, in the order that pages show.
//! Must not know: the store, HTML.

use super::view::{Bar, Part, Period, Person, Tool, Totals};
use crate::record::Timestamp;
use std::{
    cmp::Reverse,
    collections::{BTreeMap, BTreeSet, HashMap},
};

/// Models that have a column of their own on the adoption page.
const COLUMNS: usize = 6;
/// Parts that one table lists; the rest is added up in one more.
const PARTS: usize = 12;
/// People and tools that one table lists.
const ROWS: usize = 200;

/// What one user did in one hour, by provider and model.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Row {
    pub(super) hour: u32,
    /// The stable key.
    pub(super) user: String,
    pub(super) provider: String,
    pub(super) model: String,
    pub(super) totals: Totals,
}

/// Calls of one tool by one user in one hour.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ToolRow {
    pub(super) hour: u32,
    /// The stable key.
    pub(super) user: String,
    pub(super) tool: String,
    pub(super) calls: u64,
}

/// Stable key → login, as last seen.
pub(super) type Logins = HashMap<String, String>;

fn login(logins: &Logins, user: &str) -> String {
    logins.get(user).map_or(user, String::as_str).to_owned()
}

/// The sum of each bar of the period.
pub(super) fn bars(rows: &[Row], period: Period, now: Timestamp) -> Vec<Bar> {
    let mut bars: Vec<Bar> = period
        .starts(now)
        .into_iter()
        .map(|start| Bar {
            start,
            totals: Totals::default(),
        })
        .collect();
    for row in rows {
        if let Some(bar) = period.bar(row.hour, now).and_then(|at| bars.get_mut(at)) {
            bar.totals.add(&row.totals);
        }
    }
    bars
}

/// The sum of each model at each provider, most tokens first.
pub(super) fn models(rows: &[Row]) -> Vec<Part> {
    let mut sums: BTreeMap<(&str, &str), Totals> = BTreeMap::new();
    for row in rows {
        let key = (row.model.as_str(), row.provider.as_str());
        sums.entry(key).or_default().add(&row.totals);
    }
    let parts = sums.into_iter().map(|((model, provider), totals)| Part {
        name: model.to_owned(),
        of: provider.to_owned(),
        totals,
    });
    folded(ordered(parts.collect()), "models")
}

/// The sum of each person, most tokens first.
pub(super) fn people(rows: &[Row], logins: &Logins) -> Vec<Part> {
    let mut sums: BTreeMap<&str, Totals> = BTreeMap::new();
    for row in rows {
        sums.entry(&row.user).or_default().add(&row.totals);
    }
    let parts = sums.into_iter().map(|(user, totals)| Part {
        name: login(logins, user),
        of: String::new(),
        totals,
    });
    folded(ordered(parts.collect()), "people")
}

/// The first parts, and the sum of the others.
fn folded(mut parts: Vec<Part>, noun: &str) -> Vec<Part> {
    if parts.len() > PARTS + 1 {
        let others = parts.split_off(PARTS);
        parts.push(Part {
            name: String::new(),
            of: format!("{} other {noun}", others.len()),
            totals: Totals::sum(others.iter().map(|part| &part.totals)),
        });
    }
    parts
}

fn ordered(mut parts: Vec<Part>) -> Vec<Part> {
    parts.sort_by_key(|part| Reverse((part.totals.usage.total(), part.totals.requests)));
    parts
}

/// People and their tokens by model: bars of active people, the columns, the rows.
pub(super) fn adoption(
    rows: &[Row],
    logins: &Logins,
    period: Period,
    now: Timestamp,
) -> (Vec<(Timestamp, u64)>, Vec<String>, Vec<Person>) {
    let mut by_model: BTreeMap<&str, u64> = BTreeMap::new();
    for row in rows {
        let tokens = by_model.entry(&row.model).or_default();
        *tokens = tokens.saturating_add(row.totals.usage.total());
    }
    let mut columns: Vec<(&str, u64)> = by_model.into_iter().filter(|(_, n)| *n > 0).collect();
    columns.sort_by_key(|(_, tokens)| Reverse(*tokens));
    columns.truncate(COLUMNS);

    let mut people: BTreeMap<&str, (Person, BTreeSet<usize>)> = BTreeMap::new();
    for row in rows {
        let Some(bar) = period.bar(row.hour, now) else {
            continue;
        };
        let (person, bars) = people.entry(&row.user).or_insert_with(|| {
            let person = Person {
                login: login(logins, &row.user),
                totals: Totals::default(),
                tokens: vec![0; columns.len() + 1],
                active_bars: 0,
            };
            (person, BTreeSet::new())
        });
        person.totals.add(&row.totals);
        let column = columns.iter().position(|(model, _)| *model == row.model);
        let tokens = &mut person.tokens[column.unwrap_or(columns.len())];
        *tokens = tokens.saturating_add(row.totals.usage.total());
        bars.insert(bar);
    }
    let mut active: Vec<(Timestamp, u64)> =
        period.starts(now).into_iter().map(|at| (at, 0)).collect();
    for bar in people.values().flat_map(|(_, bars)| bars) {
        if let Some((_, people)) = active.get_mut(*bar) {
            *people += 1;
        }
    }
    let mut people: Vec<Person> = people
        .into_values()
        .map(|(person, bars)| Person {
            active_bars: bars.len(),
            ..person
        })
        .collect();
    people.sort_by_key(|p| Reverse((p.totals.usage.total(), p.totals.requests)));
    people.truncate(ROWS);
    let columns = columns.into_iter().map(|(model, _)| model.to_owned());
    (active, columns.collect(), people)
}

/// Calls by bar, and by tool with who called it, most calls first.
pub(super) fn tools(
    rows: &[ToolRow],
    logins: &Logins,
    period: Period,
    now: Timestamp,
) -> (Vec<(Timestamp, u64)>, Vec<Tool>) {
    let mut bars: Vec<(Timestamp, u64)> =
        period.starts(now).into_iter().map(|at| (at, 0)).collect();
    let mut sums: BTreeMap<&str, (u64, BTreeMap<&str, u64>)> = BTreeMap::new();
    for row in rows {
        if let Some((_, calls)) = period.bar(row.hour, now).and_then(|at| bars.get_mut(at)) {
            *calls += row.calls;
            let (all, users) = sums.entry(&row.tool).or_default();
            *all += row.calls;
            *users.entry(&row.user).or_default() += row.calls;
        }
    }
    let mut tools: Vec<Tool> = sums
        .into_iter()
        .map(|(name, (calls, users))| {
            let mut users: Vec<_> = users.into_iter().collect();
            users.sort_by_key(|(_, calls)| Reverse(*calls));
            Tool {
                name: name.to_owned(),
                calls,
                users: users.into_iter().map(|(u, _)| login(logins, u)).collect(),
            }
        })
        .collect();
    tools.sort_by_key(|tool| Reverse(tool.calls));
    tools.truncate(ROWS);
    (bars, tools)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::Usage;

    const NOW: Timestamp = Timestamp(1_800_000_000_000);

    fn row(hours_ago: u32, user: &str, model: &str, tokens: u64) -> Row {
        Row {
            hour: NOW.hour() - hours_ago,
            user: user.into(),
            provider: "p".into(),
            model: model.into(),
            totals: Totals {
                requests: 1,
                usage: Usage {
                    input: tokens,
                    ..Usage::default()
                },
                ..Totals::default()
            },
        }
    }

    #[test]
    fn every_row_of_the_period_falls_into_one_bar() {
        for period in Period::ALL {
            let hours = period.first_hour(NOW)..=NOW.hour();
            let rows: Vec<Row> = hours
                .map(|hour| row(NOW.hour() - hour, "u", "m", 1))
                .collect();
            let bars = bars(&rows, period, NOW);
            assert_eq!(bars.len(), period.bars());
            let sum = Totals::sum(bars.iter().map(|bar| &bar.totals));
            assert_eq!(sum.requests, rows.len() as u64);
            assert!(bars.iter().all(|bar| bar.totals.requests > 0), "{period:?}");
            let early = row(NOW.hour() - period.first_hour(NOW) + 1, "u", "m", 1);
            assert_eq!(period.bar(early.hour, NOW), None);
        }
    }

    #[test]
    fn models_beyond_the_columns_are_added_up() {
        let rows: Vec<Row> = (0..9)
            .flat_map(|n| {
                let model = format!("m{n}");
                [row(0, "a", &model, n), row(1, "b", &model, 1)]
            })
            .collect();
        let logins = Logins::from([("a".into(), "alice".into())]);
        let (active, columns, people) = adoption(&rows, &logins, Period::Day, NOW);
        assert_eq!(columns, ["m8", "m7", "m6", "m5", "m4", "m3"]);
        assert_eq!(people[0].login, "alice");
        assert_eq!(people[0].tokens, [8, 7, 6, 5, 4, 3, 3]);
        assert_eq!(
            people[1].login, "b",
            "the key stands in for an unknown login"
        );
        assert_eq!(active[23].1, 1);
        assert_eq!(active[22].1, 1);
        assert_eq!(models(&rows)[0].name, "m8");
        assert_eq!(super::people(&rows, &logins)[0].name, "alice");
    }

    #[test]
    fn tools_are_ordered_by_calls() {
        let tool = |user: &str, tool: &str, calls| ToolRow {
            hour: NOW.hour(),
            user: user.into(),
            tool: tool.into(),
            calls,
        };
        let rows = [
            tool("a", "Read", 2),
            tool("b", "Bash", 4),
            tool("b", "Read", 3),
        ];
        let (bars, tools) = tools(&rows, &Logins::new(), Period::Week, NOW);
        assert_eq!(bars.last().unwrap().1, 9);
        assert_eq!((tools[0].name.as_str(), tools[0].calls), ("Read", 5));
        assert_eq!(tools[0].users, ["b", "a"]);
    }
}
