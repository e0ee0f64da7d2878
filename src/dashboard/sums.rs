//! Hourly counters added up for the pages: by bar, by model, by person.
//!
//! In: rows of counters and the logins of their users. Out: parts of view models, in the order that pages show.
//! Must not know: the store, HTML.

use super::view::{Bar, Part, Period, Person, Popular, Tool, Totals, Week};
use crate::{
    record::{End, Timestamp},
    store::StatusClass,
};
use std::{
    cmp::Reverse,
    collections::{BTreeMap, BTreeSet, HashMap, HashSet},
    sync::Arc,
};

/// Models that have a column of their own on the adoption page.
const COLUMNS: usize = 5;
/// Parts that one table lists; the rest is added up in one more.
const PARTS: usize = 12;
/// Tools that one table lists.
const ROWS: usize = 200;
/// People that one file lists.
const PEOPLE: usize = 10_000;

/// What one user did in one hour, by provider and model.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Row {
    pub(super) hour: u32,
    /// The stable key.
    pub(super) user: Arc<str>,
    pub(super) provider: Arc<str>,
    pub(super) model: Arc<str>,
    pub(super) client: Arc<str>,
    pub(super) class: StatusClass,
    pub(super) end: End,
    pub(super) totals: Totals,
}

/// Calls of one tool by one user in one hour.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ToolRow {
    pub(super) hour: u32,
    /// The stable key.
    pub(super) user: Arc<str>,
    pub(super) tool: Arc<str>,
    pub(super) calls: u64,
    pub(super) errors: u64,
    /// Results of which the duration is known, and their durations in milliseconds.
    pub(super) timed: u64,
    pub(super) duration_ms: u64,
}

/// One copy of each text of many rows.
#[derive(Debug, Default)]
pub(super) struct Texts {
    known: HashSet<Arc<str>>,
    /// Rows are in the order of their keys, so a text is often the one of the row before.
    last: Option<Arc<str>>,
}

impl Texts {
    /// The copy of a text.
    pub(super) fn get(&mut self, text: &str) -> Arc<str> {
        if let Some(last) = self.last.as_ref().filter(|last| ***last == *text) {
            return Arc::clone(last);
        }
        let copy = self.known.get(text).cloned().unwrap_or_else(|| {
            let copy: Arc<str> = text.into();
            self.known.insert(Arc::clone(&copy));
            copy
        });
        self.last = Some(Arc::clone(&copy));
        copy
    }

    /// All of them but the empty one, in order.
    pub(super) fn names(self) -> BTreeSet<Arc<str>> {
        let all = self.known.into_iter();
        all.filter(|text| !text.is_empty()).collect()
    }
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
        let key = (&*row.model, &*row.provider);
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
        let column = columns.iter().position(|(model, _)| *model == &*row.model);
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
    people.truncate(PEOPLE);
    let columns = columns.into_iter().map(|(model, _)| model.to_owned());
    (active, columns.collect(), people)
}

/// Models and clients, by how many people use them.
pub(super) fn popular(rows: &[Row]) -> Popular {
    type Users<'a> = BTreeMap<&'a str, (HashSet<&'a str>, Totals)>;
    fn ordered(sums: Users<'_>) -> Vec<(String, u64, Totals)> {
        let mut all: Vec<(String, u64, Totals)> = sums
            .into_iter()
            .filter(|(name, _)| !name.is_empty())
            .map(|(name, (users, totals))| (name.to_owned(), users.len() as u64, totals))
            .collect();
        all.sort_by_key(|(_, people, totals)| Reverse((*people, totals.requests)));
        all.truncate(PARTS);
        all
    }
    let (mut models, mut clients) = (Users::new(), Users::new());
    for row in rows {
        for (sums, name) in [(&mut models, &row.model), (&mut clients, &row.client)] {
            let (users, totals) = sums.entry(name).or_default();
            users.insert(&row.user);
            totals.add(&row.totals);
        }
    }
    Popular {
        models: ordered(models),
        clients: ordered(clients),
    }
}

/// Who came, stayed and came back, week by week; `first` tells when somebody's first request ever began.
pub(super) fn weeks(
    rows: &[Row],
    first: &HashMap<String, Timestamp>,
    period: Period,
    end: Timestamp,
) -> Vec<Week> {
    const HOURS: u32 = 7 * 24;
    // 1970 began on a Thursday: Monday's hours are three days on.
    let week_of = |hour: u32| (hour + 3 * 24) / HOURS;
    let begins =
        |week: u32| Timestamp(u64::from((week * HOURS).saturating_sub(3 * 24)) * 3_600_000);
    let mut active: BTreeMap<u32, HashSet<&str>> = BTreeMap::new();
    for row in rows
        .iter()
        .filter(|row| period.bar(row.hour, end).is_some())
    {
        active
            .entry(week_of(row.hour))
            .or_default()
            .insert(&row.user);
    }
    let (opening, closing) = (week_of(period.first_hour(end)), week_of(end.hour()));
    let nobody = HashSet::new();
    let weeks = (opening..=closing).map(|week| {
        let people = active.get(&week).unwrap_or(&nobody);
        let before = week.checked_sub(1).and_then(|week| active.get(&week));
        let before = before.unwrap_or(&nobody);
        let is_new = |user: &&&str| {
            first
                .get(**user)
                .is_some_and(|at| week_of(at.hour()) == week)
        };
        Week {
            start: begins(week),
            active: people.len() as u64,
            new: people.iter().filter(is_new).count() as u64,
            kept: people.intersection(before).count() as u64,
            partial: week == opening || week == closing,
        }
    });
    weeks.collect()
}

/// Calls and errors by bar, and by tool with who called it, most calls first.
pub(super) fn tools(
    rows: &[ToolRow],
    logins: &Logins,
    period: Period,
    now: Timestamp,
) -> (Vec<(Timestamp, [u64; 2])>, Vec<Tool>) {
    let starts = period.starts(now).into_iter();
    let mut bars: Vec<(Timestamp, [u64; 2])> = starts.map(|at| (at, [0; 2])).collect();
    // Calls, errors, timed results and their time; and calls by user.
    let mut sums: BTreeMap<&str, ([u64; 4], BTreeMap<&str, u64>)> = BTreeMap::new();
    for row in rows {
        if let Some((_, bar)) = period.bar(row.hour, now).and_then(|at| bars.get_mut(at)) {
            bar[0] = bar[0].saturating_add(row.calls);
            bar[1] = bar[1].saturating_add(row.errors);
            let (all, users) = sums.entry(&row.tool).or_default();
            let more = [row.calls, row.errors, row.timed, row.duration_ms];
            for (sum, more) in all.iter_mut().zip(more) {
                *sum = sum.saturating_add(more);
            }
            if row.calls > 0 {
                *users.entry(&row.user).or_default() += row.calls;
            }
        }
    }
    let mut tools: Vec<Tool> = sums
        .into_iter()
        .map(|(name, ([calls, errors, timed, duration_ms], users))| {
            let mut users: Vec<_> = users.into_iter().collect();
            users.sort_by_key(|(_, calls)| Reverse(*calls));
            Tool {
                name: name.to_owned(),
                calls,
                errors,
                took: duration_ms.checked_div(timed).map(|mean| (mean, timed)),
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
            client: "c".into(),
            class: StatusClass::Success,
            end: End::Complete,
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
        assert_eq!(columns, ["m8", "m7", "m6", "m5", "m4"]);
        assert_eq!(people[0].login, "alice");
        assert_eq!(people[0].tokens, [8, 7, 6, 5, 4, 6]);
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
            errors: u64::from(calls == 3),
            timed: calls,
            duration_ms: calls * 20,
        };
        let rows = [
            tool("a", "Read", 2),
            tool("b", "Bash", 4),
            tool("b", "Read", 3),
        ];
        let (bars, tools) = tools(&rows, &Logins::new(), Period::Week, NOW);
        assert_eq!(bars.last().unwrap().1, [9, 1]);
        assert_eq!((tools[0].errors, tools[0].took), (1, Some((20, 5))));
        assert_eq!((tools[0].name.as_str(), tools[0].calls), ("Read", 5));
        assert_eq!(tools[0].users, ["b", "a"]);
    }

    #[test]
    fn weeks_tell_who_is_new_and_who_stayed() {
        let rows = [
            row(24 * 16, "a", "m", 1),
            row(24 * 9, "a", "m", 1),
            row(24 * 9, "b", "m", 1),
            row(24 * 2, "b", "m", 1),
        ];
        let first = HashMap::from([
            ("a".to_owned(), Timestamp(NOW.0 - 60 * 86_400_000)),
            ("b".to_owned(), Timestamp(NOW.0 - 9 * 86_400_000)),
        ]);
        let weeks = weeks(&rows, &first, Period::Month, NOW);
        let busy: Vec<_> = weeks.iter().filter(|week| week.active > 0).collect();
        let figures: Vec<_> = busy.iter().map(|w| (w.active, w.new, w.kept)).collect();
        assert_eq!(figures, [(1, 0, 0), (2, 1, 1), (1, 0, 1)]);
        assert!(weeks[0].partial && weeks.last().unwrap().partial);
        assert!(
            weeks
                .iter()
                .all(|week| (week.start.0 / 86_400_000 + 3) % 7 == 0),
            "Mondays"
        );
    }

    #[test]
    fn what_is_popular_is_counted_in_people() {
        let rows = [
            row(0, "a", "m1", 9),
            row(1, "a", "m1", 9),
            row(0, "a", "m2", 1),
            row(0, "b", "m2", 1),
        ];
        let popular = popular(&rows);
        let people: Vec<_> = popular
            .models
            .iter()
            .map(|(name, n, _)| (name.as_str(), *n))
            .collect();
        assert_eq!(people, [("m2", 2), ("m1", 1)]);
        assert_eq!(popular.clients[0].1, 2);
    }
}
