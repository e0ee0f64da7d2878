//! `/aperture/usage` and `/aperture/tools`: what was used, added up as the caller asks.
//!
//! In: a period, what to group by, what to narrow to. Out: sums, from the hourly counters that the pages add up, so that both
//! say the same. Bounded by the hours of a period and by the groups of an answer. Must not know: single requests.

use super::{
    Asked, answer,
    list::{self, Cell, Dollars, FORMAT, NARROWING, PERIOD, join, or_csv},
    problem::Problem,
    scope::{Scope, read},
    table::{Access, Answer, Kind, Operation, Parameter, Place, schema},
};
use crate::{
    record::{CostState, Timestamp, Usage},
    store::{Counters, Estimated, ReadError, Store, ToolCounters, ToolRow, UsageRow},
};
use bytes::Bytes;
use futures_util::FutureExt as _;
use http::{Method, Response, StatusCode};
use schemars::JsonSchema;
use serde::Serialize;
use std::collections::{BTreeMap, HashMap};

const HOUR: u64 = 3_600_000;
const DAY: u64 = 24 * HOUR;
/// The period when none is named.
const USUAL: u64 = 7 * DAY;
/// Groups of one answer.
const ROWS: usize = 10_000;

/// What usage can be grouped by. The order of the words is that of the columns.
const GROUPS: &[&str] = &[
    "day",
    "hour",
    "user",
    "provider",
    "model",
    "client",
    "endpoint",
    "status_class",
    "end",
    "cost_state",
];

/// What tool calls can be grouped by.
const TOOL_GROUPS: &[&str] = &["day", "hour", "user", "provider", "model", "client", "tool"];

/// Which tool.
const TOOL: Parameter = Parameter {
    name: "tool",
    place: Place::Query,
    kind: Kind::Text,
    description: "A tool's name.",
};

const fn group_by(words: &'static [&'static str]) -> Parameter {
    Parameter {
        name: "group_by",
        place: Place::Query,
        kind: Kind::SomeOf(words),
        description: "What rows differ in; without it there is one row, the sum of all.",
    }
}

/// What tool calls are told apart by: user, provider, model and client.
const TOLD_APART: [Parameter; 4] = [NARROWING[0], NARROWING[1], NARROWING[2], NARROWING[3]];

/// The rows of this file.
pub(super) static OPERATIONS: &[Operation] = &[
    Operation {
        id: "usage",
        method: Method::GET,
        path: "/aperture/usage",
        tag: "Usage",
        access: Access::Everybody,
        summary: "Requests, tokens and cost, added up",
        description: "Finished requests, by the hour in which they began: the figures of the pages. A period is of whole hours (UTC), the \
                      last 7 days unless `from` and `to` say otherwise, and 400 days at most.",
        parameters: &join::<10>(&[&PERIOD, &[group_by(GROUPS)], &NARROWING, &FORMAT]),
        takes: None,
        answers: &[Answer {
            status: 200,
            description: "The sums.",
            forms: &const { or_csv(schema::<UsageAnswer>()) },
            head: &[],
        }],
        handle: |asked| usage(asked).boxed(),
    },
    Operation {
        id: "tools",
        method: Method::GET,
        path: "/aperture/tools",
        tag: "Usage",
        access: Access::Everybody,
        summary: "Tool calls, added up",
        description: "Calls that models made, and the results that clients sent back, by the hour in which the request began. A period is \
                      of whole hours (UTC), the last 7 days unless `from` and `to` say otherwise, and 400 days at most. What gateways \
                      before this one counted has no provider, model and client.",
        parameters: &join::<9>(&[
            &PERIOD,
            &[group_by(TOOL_GROUPS), TOOL],
            &TOLD_APART,
            &FORMAT,
        ]),
        takes: None,
        answers: &[Answer {
            status: 200,
            description: "The sums.",
            forms: &const { or_csv(schema::<ToolsAnswer>()) },
            head: &[],
        }],
        handle: |asked| tools(asked).boxed(),
    },
];

/// Usage of a period.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "Usages")]
struct UsageAnswer {
    #[serde(flatten)]
    period: Period,
    /// What rows differ in.
    group_by: Vec<&'static str>,
    /// One for each group, in the order of what they are grouped by.
    rows: Vec<UsageGroup>,
    /// The sum of all rows.
    total: Sums,
}

/// Tool calls of a period.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "Tools")]
struct ToolsAnswer {
    #[serde(flatten)]
    period: Period,
    /// What rows differ in.
    group_by: Vec<&'static str>,
    /// One for each group, in the order of what they are grouped by.
    rows: Vec<ToolGroup>,
    /// The sum of all rows.
    total: ToolSums,
}

/// The period that was added up: whole hours.
#[derive(Clone, Copy, Debug, Serialize, JsonSchema)]
struct Period {
    /// When it begins, in milliseconds since 1970.
    from_ms: u64,
    /// When it ends: the first moment that is not in it.
    to_ms: u64,
}

/// What a row is about: what was asked for with `group_by`, and nothing else.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, JsonSchema)]
struct Key {
    /// When the day began, in milliseconds since 1970.
    #[serde(skip_serializing_if = "Option::is_none")]
    day_ms: Option<u64>,
    /// When the hour began, in milliseconds since 1970.
    #[serde(skip_serializing_if = "Option::is_none")]
    hour_ms: Option<u64>,
    /// The stable key of the caller.
    #[serde(skip_serializing_if = "Option::is_none")]
    user: Option<String>,
    /// The login name that this user had last.
    #[serde(skip_serializing_if = "Option::is_none")]
    login: Option<String>,
    /// The provider's id; empty when none was found.
    #[serde(skip_serializing_if = "Option::is_none")]
    provider: Option<String>,
    /// The model as configured; empty when none was found.
    #[serde(skip_serializing_if = "Option::is_none")]
    model: Option<String>,
    /// The client's short name.
    #[serde(skip_serializing_if = "Option::is_none")]
    client: Option<String>,
    /// The route.
    #[serde(skip_serializing_if = "Option::is_none")]
    endpoint: Option<String>,
    /// The class of the status: `2xx` and so on, `none` before there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    status_class: Option<&'static str>,
    /// How requests ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    end: Option<&'static str>,
    /// Whether a price was known.
    #[serde(skip_serializing_if = "Option::is_none")]
    cost_state: Option<&'static str>,
    /// The tool.
    #[serde(skip_serializing_if = "Option::is_none")]
    tool: Option<String>,
}

/// One row of usage.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "UsageRow")]
struct UsageGroup {
    #[serde(flatten)]
    key: Key,
    #[serde(flatten)]
    sums: Sums,
}

/// One row of tool calls.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "ToolRow")]
struct ToolGroup {
    #[serde(flatten)]
    key: Key,
    #[serde(flatten)]
    sums: ToolSums,
}

/// Sums over finished requests.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, JsonSchema)]
struct Sums {
    /// Requests.
    requests: u64,
    /// Those that failed or were refused.
    errors: u64,
    /// Those with tokens but without a known price: `cost_pico` has nothing of them.
    unpriced: u64,
    /// Tokens, and what the providers' own tools did.
    usage: Usage,
    /// Pico-dollars (10⁻¹² USD).
    cost_pico: u64,
    /// The same in dollars, with all digits.
    cost_usd: Dollars,
    /// What figures left out of streams that were cut, in none of the other sums.
    estimated: Estimated,
    /// Bytes of request bodies.
    request_bytes: u64,
    /// Bytes of response bodies.
    response_bytes: u64,
}

/// Sums over tool calls.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, JsonSchema)]
struct ToolSums {
    /// Calls that models made.
    calls: u64,
    /// Results that reported an error.
    errors: u64,
    /// Bytes of arguments.
    argument_bytes: u64,
    /// Results.
    results: u64,
    /// Bytes of results.
    result_bytes: u64,
    /// Results of which the duration is known.
    timed: u64,
    /// Their durations, all together, in milliseconds.
    duration_ms: u64,
}

/// What is wanted, apart from whose it is.
struct Wanted {
    /// The first and the last hour, since 1970.
    hours: (u32, u32),
    groups: Vec<&'static str>,
}

async fn usage(asked: &Asked<'_>) -> Result<Response<Bytes>, Problem> {
    let scope = Scope::narrowed(asked).await?;
    let wanted = Wanted::of(asked, GROUPS)?;
    let text = |name| asked.values.text(name).map(str::to_owned);
    let (provider, model, client) = (text("provider"), text("model"), text("client"));
    let (class, end) = (list::class(asked), list::end(asked));
    let selected = move |row: &UsageRow<'_>| {
        let is = |wanted: &Option<String>, found: &str| {
            wanted.as_deref().is_none_or(|wanted| wanted == found)
        };
        is(&provider, row.provider)
            && is(&model, row.model)
            && is(&client, row.client)
            && class.is_none_or(|class| class == row.class)
            && end.is_none_or(|end| end == row.end)
    };
    let (hours, groups) = (wanted.hours, wanted.groups.clone());
    let user = scope.user().map(str::to_owned);
    let found = read(asked, move |store| {
        let mut sums = Groups::<Sums>::default();
        store.fold_usage(hours.0, hours.1, user.as_deref(), |row, counters| {
            if selected(row) {
                sums.add(Key::of_usage(&groups, row), |sum| sum.add(row, counters));
            }
        })?;
        sums.finish(store)
    });
    let (rows, total) = found.await?.ok_or_else(|| too_many(asked))?;
    if list::wants_csv(asked) {
        scope.exported(asked, "usage");
        let mut out = wanted.head(&Sums::COLUMNS);
        for (key, sums) in &rows {
            let cost = sums.cost_usd.to_string();
            let cells = key.cells(&wanted.groups);
            list::line(&mut out, cells.into_iter().chain(sums.cells(&cost)));
        }
        return Ok(list::csv("usage", out));
    }
    let rows = rows.into_iter().map(|(key, sums)| UsageGroup { key, sums });
    let told = UsageAnswer {
        period: wanted.period(),
        group_by: wanted.groups,
        rows: rows.collect(),
        total,
    };
    Ok(answer::json(StatusCode::OK, &told))
}

async fn tools(asked: &Asked<'_>) -> Result<Response<Bytes>, Problem> {
    let scope = Scope::narrowed(asked).await?;
    let wanted = Wanted::of(asked, TOOL_GROUPS)?;
    let text = |name| asked.values.text(name).map(str::to_owned);
    let (tool, model) = (text("tool"), text("model"));
    let (provider, client) = (text("provider"), text("client"));
    let selected = move |row: &ToolRow<'_>| {
        let is = |wanted: &Option<String>, found: &str| {
            wanted.as_deref().is_none_or(|wanted| wanted == found)
        };
        is(&tool, row.tool)
            && is(&model, row.model)
            && is(&provider, row.provider)
            && is(&client, row.client)
    };
    let (hours, groups) = (wanted.hours, wanted.groups.clone());
    let user = scope.user().map(str::to_owned);
    let found = read(asked, move |store| {
        let mut sums = Groups::<ToolSums>::default();
        store.fold_tools(hours.0, hours.1, user.as_deref(), |row, counters| {
            if selected(row) {
                sums.add(Key::of_tool(&groups, row), |sum| sum.add(counters));
            }
        })?;
        sums.finish(store)
    });
    let (rows, total) = found.await?.ok_or_else(|| too_many(asked))?;
    if list::wants_csv(asked) {
        scope.exported(asked, "tools");
        let mut out = wanted.head(&ToolSums::COLUMNS);
        for (key, sums) in &rows {
            let cells = key.cells(&wanted.groups);
            list::line(&mut out, cells.into_iter().chain(sums.cells()));
        }
        return Ok(list::csv("tools", out));
    }
    let rows = rows.into_iter().map(|(key, sums)| ToolGroup { key, sums });
    let told = ToolsAnswer {
        period: wanted.period(),
        group_by: wanted.groups,
        rows: rows.collect(),
        total,
    };
    Ok(answer::json(StatusCode::OK, &told))
}

/// The answer to what would have more rows than one answer holds.
fn too_many(asked: &Asked<'_>) -> Problem {
    let detail = format!("this has more than {ROWS} rows: name a shorter period, or group by less");
    let sent = asked.values.text("group_by").unwrap_or_default();
    Problem::new(StatusCode::BAD_REQUEST, detail).with(
        "query.group_by",
        "makes too many rows",
        sent,
    )
}

// === impl Wanted ===

impl Wanted {
    fn of(asked: &Asked<'_>, words: &[&'static str]) -> Result<Self, Problem> {
        let to = asked.values.time("to").unwrap_or(asked.now);
        let usual = Timestamp(to.0.saturating_sub(USUAL));
        let from = asked.values.time("from").unwrap_or(usual);
        list::within(asked, from, to)?;
        let named = asked.values.text("group_by").unwrap_or_default();
        let named: Vec<&str> = named.split(',').collect();
        let groups = words.iter().copied().filter(|word| named.contains(word));
        Ok(Self {
            hours: (from.hour(), Timestamp(to.0 - 1).hour()),
            groups: groups.collect(),
        })
    }

    fn period(&self) -> Period {
        let (first, last) = self.hours;
        Period {
            from_ms: u64::from(first) * HOUR,
            to_ms: (u64::from(last) + 1) * HOUR,
        }
    }

    /// The head line of a table.
    fn head(&self, sums: &[&'static str]) -> String {
        let keys = self.groups.iter().flat_map(|group| columns(group));
        let mut out = String::new();
        list::line(&mut out, keys.chain(sums).map(|name| Cell::Text(name)));
        out
    }
}

/// The columns of one group.
fn columns(group: &str) -> &'static [&'static str] {
    match group {
        "day" => &["day_ms"],
        "hour" => &["hour_ms"],
        "user" => &["user", "login"],
        "provider" => &["provider"],
        "model" => &["model"],
        "client" => &["client"],
        "endpoint" => &["endpoint"],
        "status_class" => &["status_class"],
        "end" => &["end"],
        "cost_state" => &["cost_state"],
        _ => &["tool"],
    }
}

// === impl Key ===

impl Key {
    fn of_usage(groups: &[&'static str], row: &UsageRow<'_>) -> Self {
        let mut key = Self::default();
        for group in groups {
            match *group {
                "provider" => key.provider = Some(row.provider.to_owned()),
                "model" => key.model = Some(row.model.to_owned()),
                "client" => key.client = Some(row.client.to_owned()),
                "endpoint" => key.endpoint = Some(row.endpoint.to_owned()),
                "status_class" => key.status_class = Some(row.class.as_str()),
                "end" => key.end = Some(row.end.as_str()),
                "cost_state" => key.cost_state = Some(row.cost.as_str()),
                other => key.when_or_who(other, row.hour, row.user),
            }
        }
        key
    }

    fn of_tool(groups: &[&'static str], row: &ToolRow<'_>) -> Self {
        let mut key = Self::default();
        for group in groups {
            match *group {
                "provider" => key.provider = Some(row.provider.to_owned()),
                "model" => key.model = Some(row.model.to_owned()),
                "client" => key.client = Some(row.client.to_owned()),
                "tool" => key.tool = Some(row.tool.to_owned()),
                other => key.when_or_who(other, row.hour, row.user),
            }
        }
        key
    }

    fn when_or_who(&mut self, group: &str, hour: u32, user: &str) {
        match group {
            "day" => self.day_ms = Some(u64::from(hour / 24) * DAY),
            "hour" => self.hour_ms = Some(u64::from(hour) * HOUR),
            _ => self.user = Some(user.to_owned()),
        }
    }

    /// The cells of a table's line.
    fn cells(&self, groups: &[&'static str]) -> Vec<Cell<'_>> {
        let names = groups.iter().flat_map(|group| columns(group));
        let cells = names.map(|name| {
            let text = match *name {
                "day_ms" => return Cell::Number(self.day_ms.unwrap_or_default()),
                "hour_ms" => return Cell::Number(self.hour_ms.unwrap_or_default()),
                "status_class" => self.status_class,
                "end" => self.end,
                "cost_state" => self.cost_state,
                "user" => self.user.as_deref(),
                "login" => self.login.as_deref(),
                "provider" => self.provider.as_deref(),
                "model" => self.model.as_deref(),
                "client" => self.client.as_deref(),
                "endpoint" => self.endpoint.as_deref(),
                _ => self.tool.as_deref(),
            };
            Cell::Text(text.unwrap_or_default())
        });
        cells.collect()
    }
}

/// Sums by key, as they grow.
#[derive(Debug, Default)]
struct Groups<S> {
    rows: BTreeMap<Key, S>,
    total: S,
    /// There are more than one answer holds.
    full: bool,
}

/// Rows and their sum; none when there are too many.
type Finished<S> = Option<(Vec<(Key, S)>, S)>;

impl<S: Default> Groups<S> {
    fn add(&mut self, key: Key, add: impl Fn(&mut S)) {
        add(&mut self.total);
        if self.rows.len() >= ROWS && !self.rows.contains_key(&key) {
            self.full = true;
        } else {
            add(self.rows.entry(key).or_default());
        }
    }

    /// With the logins of users.
    fn finish(self, store: &Store) -> Result<Finished<S>, ReadError> {
        if self.full {
            return Ok(None);
        }
        let by_user = self.rows.keys().any(|key| key.user.is_some());
        let users = if by_user { store.users()? } else { Vec::new() };
        let logins: HashMap<String, String> = users
            .into_iter()
            .map(|user| (user.user, user.login))
            .collect();
        let rows = self.rows.into_iter().map(|(mut key, sums)| {
            // The key stands in for a login that is not known any more.
            key.login = key
                .user
                .as_ref()
                .map(|user| logins.get(user).unwrap_or(user).clone());
            (key, sums)
        });
        Ok(Some((rows.collect(), self.total)))
    }
}

// === impl Sums ===

impl Sums {
    const COLUMNS: [&'static str; 27] = [
        "requests",
        "errors",
        "unpriced",
        "input",
        "cache_read",
        "cache_write",
        "cache_write_1h",
        "output",
        "reasoning",
        "web_searches",
        "audio_input",
        "image_input",
        "cached_audio",
        "cached_image",
        "audio_output",
        "image_output",
        "web_fetches",
        "file_searches",
        "server_tools",
        "cost_pico",
        "cost_usd",
        "estimated_requests",
        "estimated_input",
        "estimated_output",
        "estimated_cost_pico",
        "request_bytes",
        "response_bytes",
    ];

    fn add(&mut self, row: &UsageRow<'_>, counters: &Counters) {
        let when = |yes: bool| if yes { counters.requests } else { 0 };
        let cost = &mut self.cost_pico;
        *cost = cost.saturating_add(counters.cost_pico);
        self.cost_usd = Dollars(*cost);
        for (sum, more) in [
            (&mut self.requests, counters.requests),
            (&mut self.errors, when(row.failed())),
            (&mut self.unpriced, when(row.cost == CostState::Unpriced)),
            (&mut self.request_bytes, counters.request_bytes),
            (&mut self.response_bytes, counters.response_bytes),
        ] {
            *sum = sum.saturating_add(more);
        }
        for (sum, more) in self
            .usage
            .kinds_mut()
            .into_iter()
            .zip(counters.usage.kinds())
        {
            *sum = sum.saturating_add(more);
        }
        self.estimated.add(&counters.estimated);
    }

    fn cells<'a>(&self, cost: &'a str) -> Vec<Cell<'a>> {
        let Self { estimated, .. } = self;
        let first = [self.requests, self.errors, self.unpriced];
        let figures = first
            .into_iter()
            .chain(self.usage.kinds())
            .chain([self.cost_pico]);
        let last = [
            estimated.requests,
            estimated.input,
            estimated.output,
            estimated.cost_pico,
            self.request_bytes,
            self.response_bytes,
        ];
        let mut cells: Vec<Cell<'a>> = figures.map(Cell::Number).collect();
        cells.push(Cell::Text(cost));
        cells.extend(last.map(Cell::Number));
        cells
    }
}

// === impl ToolSums ===

impl ToolSums {
    const COLUMNS: [&'static str; 7] = [
        "calls",
        "errors",
        "argument_bytes",
        "results",
        "result_bytes",
        "timed",
        "duration_ms",
    ];

    fn add(&mut self, counters: &ToolCounters) {
        for (sum, more) in [
            (&mut self.calls, counters.calls),
            (&mut self.errors, counters.errors),
            (&mut self.argument_bytes, counters.argument_bytes),
            (&mut self.results, counters.results),
            (&mut self.result_bytes, counters.result_bytes),
            (&mut self.timed, counters.timed),
            (&mut self.duration_ms, counters.duration_ms),
        ] {
            *sum = sum.saturating_add(more);
        }
    }

    fn cells(&self) -> [Cell<'static>; 7] {
        [
            self.calls,
            self.errors,
            self.argument_bytes,
            self.results,
            self.result_bytes,
            self.timed,
            self.duration_ms,
        ]
        .map(Cell::Number)
    }
}
