//! The parts of view models that take several questions to the store. All block on the disk.
//!
//! In: a scope and a period. Out: rows, sessions and records that belong to the scope. Must not know: pages.

use super::{REQUESTS_SHOWN, Scope};
use crate::{
    dashboard::{
        sums::{Logins, Row, Texts, ToolRow},
        view::{Health, Period, Selection, Session, SessionTools, Status, Totals, server_of},
    },
    record::{CostState, End, Record, RequestId, Timestamp},
    store::{self, Counters, ReadError, StatusClass, Store, UsageRow},
};
use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::Arc,
};

const MINUTE: u64 = 60_000;
/// A session without requests under way counts as active for so long.
const ACTIVE: u64 = 15 * MINUTE;
/// Active sessions are sought among those with a request that began within this time.
const ACTIVE_SEARCH: u64 = 6 * 60 * MINUTE;
const ACTIVE_SEARCHED: usize = 200;
const ACTIVE_SHOWN: usize = 20;
const FAILURES_SHOWN: usize = 8;
const TOOL_SESSIONS_SEARCHED: usize = 60;
/// Of those, sessions whose requests are read.
const TOOL_SESSIONS_READ: usize = 24;
const TOOL_SESSIONS_SHOWN: usize = 8;

/// Stable keys and the logins that they had last.
pub(super) fn logins(store: &Store) -> Result<Logins, ReadError> {
    let users = store.users()?.into_iter();
    Ok(users.map(|user| (user.user, user.login)).collect())
}

/// The counters of a period as rows, and the clients that have any.
#[derive(Debug, Default)]
pub(super) struct Used {
    pub(super) rows: Vec<Row>,
    /// Before the selection narrows them.
    pub(super) clients: BTreeSet<Arc<str>>,
}

impl Used {
    pub(super) fn read(
        store: &Store,
        scope: &Scope,
        selection: &Selection,
        period: Period,
        end: Timestamp,
    ) -> Result<Self, ReadError> {
        let mut used = Self::default();
        let mut texts = [(); 4].map(|()| Texts::default());
        let hours = (period.first_hour(end), end.hour());
        store.fold_usage(hours.0, hours.1, scope.user(), |row, counters| {
            let client = texts[3].get(row.client);
            if !used.clients.contains(&client) {
                used.clients.insert(Arc::clone(&client));
            }
            if !selected(selection, row) {
                return;
            }
            used.rows.push(Row {
                hour: row.hour,
                user: texts[0].get(row.user),
                provider: texts[1].get(row.provider),
                model: texts[2].get(row.model),
                client,
                class: row.class,
                end: row.end,
                totals: totals(row, counters),
            });
        })?;
        Ok(used)
    }
}

fn selected(selection: &Selection, row: &UsageRow<'_>) -> bool {
    selection.has_route(row.model, row.provider, row.client)
        && selection
            .status
            .is_none_or(|status| status.holds(row.class, row.end))
}

fn totals(row: &UsageRow<'_>, counters: &Counters) -> Totals {
    let when = |yes: bool| if yes { counters.requests } else { 0 };
    Totals {
        requests: counters.requests,
        failed: when(row.failed()),
        usage: counters.usage,
        cost: counters.cost_pico,
        unpriced: when(row.cost == CostState::Unpriced),
        estimated: counters.estimated,
    }
}

/// The tool calls of a period as rows, and the tools and clients that have any.
#[derive(Debug, Default)]
pub(super) struct Called {
    pub(super) rows: Vec<ToolRow>,
    /// Before the selection narrows them, as the clients are.
    pub(super) tools: BTreeSet<Arc<str>>,
    pub(super) clients: BTreeSet<Arc<str>>,
}

impl Called {
    pub(super) fn read(
        store: &Store,
        scope: &Scope,
        selection: &Selection,
        period: Period,
        end: Timestamp,
    ) -> Result<Self, ReadError> {
        let mut rows = Vec::new();
        let [mut users, mut tools, mut clients] = [(); 3].map(|()| Texts::default());
        let hours = (period.first_hour(end), end.hour());
        store.fold_tools(hours.0, hours.1, scope.user(), |row, counters| {
            if counters.calls == 0 && counters.errors == 0 {
                return;
            }
            let tool = tools.get(row.tool);
            clients.get(row.client);
            if selection.has_tool(row.tool)
                && selection.has_route(row.model, row.provider, row.client)
            {
                rows.push(ToolRow {
                    hour: row.hour,
                    user: users.get(row.user),
                    tool,
                    calls: counters.calls,
                    errors: counters.errors,
                    timed: counters.timed,
                    duration_ms: counters.duration_ms,
                });
            }
        })?;
        Ok(Self {
            rows,
            tools: tools.names(),
            clients: clients.names(),
        })
    }

    /// The MCP servers of the tools.
    pub(super) fn servers(&self) -> BTreeSet<&str> {
        let tools = self.tools.iter();
        tools.filter_map(|tool| server_of(tool)).collect()
    }
}

/// How each provider did, and the clients that asked any before the selection narrows them.
pub(super) fn health(
    store: &Store,
    scope: &Scope,
    selection: &Selection,
    period: Period,
    end: Timestamp,
) -> Result<(Vec<Health>, BTreeSet<Arc<str>>), ReadError> {
    let mut sums: BTreeMap<Arc<str>, (Health, Counters)> = BTreeMap::new();
    let [mut providers, mut clients] = [(); 2].map(|()| Texts::default());
    let hours = (period.first_hour(end), end.hour());
    store.fold_usage(hours.0, hours.1, scope.user(), |row, counters| {
        if row.provider.is_empty() || row.end == End::Refused {
            return;
        }
        clients.get(row.client);
        if !selected(selection, row) {
            return;
        }
        let (health, sum) = sums.entry(providers.get(row.provider)).or_default();
        let broke = matches!(row.end, End::UpstreamError | End::Timeout);
        if broke || row.class == StatusClass::ServerError {
            health.failed += counters.requests;
        } else if row.class == StatusClass::ClientError {
            health.refused += counters.requests;
        }
        sum.add(counters);
    })?;
    let health = sums.into_iter().map(|(provider, (health, sum))| Health {
        provider: provider.to_string(),
        requests: sum.requests,
        first_byte: sum.first_byte,
        total: sum.total,
        ..health
    });
    Ok((health.collect(), clients.names()))
}

/// A selection as the store's filter; without a period, of all times.
pub(super) fn filter(
    scope: &Scope,
    selection: &Selection,
    period: Option<Period>,
    now: Timestamp,
) -> store::Filter {
    let set = |text: &str| Some(text.to_owned()).filter(|text| !text.is_empty());
    let end = selection.end(now);
    let mut filter = store::Filter {
        model: set(&selection.model),
        provider: set(&selection.provider),
        client: set(&selection.client),
        text: set(&selection.text),
        from: period.and_then(|period| period.starts(end).first().copied()),
        to: set(&selection.until).map(|_| Timestamp(end.0 + 1)),
        ..scope.filter()
    };
    match selection.status {
        Some(Status::Class(class)) => filter.class = Some(class),
        Some(Status::End(end)) => filter.end = Some(end),
        None => {}
    }
    filter
}

pub(super) fn session(found: store::Session) -> Session {
    let mut models: Vec<(String, u64)> = found.models.into_iter().collect();
    models.sort_by_key(|(_, requests)| std::cmp::Reverse(*requests));
    Session {
        id: found.id,
        parent: found.parent,
        agent: found.agent,
        workspace: found.workspace,
        cache_misses: found.cache_misses,
        cache_missed_tokens: found.cache_missed_tokens,
        title: found.title,
        login: found.login,
        client: found.client,
        models: models.into_iter().map(|(model, _)| model).collect(),
        totals: Totals {
            requests: found.requests,
            failed: found.errors,
            usage: found.usage,
            cost: found.cost_pico,
            unpriced: found.unpriced,
            estimated: found.estimated,
        },
        tools: found.tools,
        in_flight: found.in_flight,
        started: found.first,
        last: found.last,
    }
}

/// The sessions of the scope: the filter has asked for them by a key that may be cut, this compares all of it.
pub(super) fn mine(
    scope: &Scope,
    found: Vec<store::Session>,
) -> impl Iterator<Item = store::Session> {
    found
        .into_iter()
        .filter(|session| scope.holds(&session.user))
}

pub(super) fn active(
    store: &Store,
    scope: &Scope,
    selection: &Selection,
    now: Timestamp,
) -> Result<Vec<Session>, ReadError> {
    let filter = store::Filter {
        from: Some(Timestamp(now.0.saturating_sub(ACTIVE_SEARCH))),
        to: None,
        ..filter(scope, selection, None, now)
    };
    let late = store.sessions(&filter, None, ACTIVE_SEARCHED)?.items;
    let since = now.0.saturating_sub(ACTIVE);
    let active =
        mine(scope, late).filter(|session| session.in_flight > 0 || session.last.0 >= since);
    Ok(active.take(ACTIVE_SHOWN).map(session).collect())
}

/// The latest failures: the newest of each index that only failures are in.
pub(super) fn failures(
    store: &Store,
    scope: &Scope,
    selection: &Selection,
    now: Timestamp,
) -> Result<Vec<Record>, ReadError> {
    let narrowed = filter(scope, selection, Some(selection.period()), now);
    let ends = [
        End::Refused,
        End::UpstreamError,
        End::Timeout,
        End::Interrupted,
    ];
    let classes = [StatusClass::ClientError, StatusClass::ServerError];
    let filters: Vec<store::Filter> = if selection.status.is_some() {
        vec![narrowed]
    } else {
        let by_end = ends.map(|end| store::Filter {
            end: Some(end),
            ..narrowed.clone()
        });
        let by_class = classes.map(|class| store::Filter {
            class: Some(class),
            ..narrowed.clone()
        });
        by_end.into_iter().chain(by_class).collect()
    };
    let mut found: BTreeMap<RequestId, Record> = BTreeMap::new();
    for filter in &filters {
        let page = store.requests(filter, None, FAILURES_SHOWN)?;
        let failed = page.items.into_iter().filter(store::failed);
        let failed = failed.filter(|record| scope.holds(&record.who.user));
        found.extend(failed.map(|record| (record.id, record)));
    }
    Ok(found.into_values().rev().take(FAILURES_SHOWN).collect())
}

/// Late sessions that called tools, each with its calls by tool; of those tools, models and clients that are selected.
pub(super) fn tool_sessions(
    store: &Store,
    scope: &Scope,
    selection: &Selection,
    now: Timestamp,
) -> Result<Vec<SessionTools>, ReadError> {
    // The words of a tool's name find sessions that may have called it; whether they did, their requests say.
    let words = [&*selection.text, &selection.tool, &selection.server].join(" ");
    let asked = store::Filter {
        text: Some(words).filter(|words| !words.trim().is_empty()),
        ..filter(scope, selection, Some(selection.period()), now)
    };
    let told_apart = [
        &selection.tool,
        &selection.server,
        &selection.model,
        &selection.provider,
        &selection.client,
    ];
    let narrowed = told_apart.iter().any(|wanted| !wanted.is_empty());
    let late = store.sessions(&asked, None, TOOL_SESSIONS_SEARCHED)?;
    let with_tools = mine(scope, late.items).filter(|session| session.tools > 0);
    let mut shown = Vec::new();
    for found in with_tools.take(TOOL_SESSIONS_READ) {
        if shown.len() == TOOL_SESSIONS_SHOWN {
            break;
        }
        let records = store.session_requests(found.id, None, REQUESTS_SHOWN)?;
        let mut calls: HashMap<String, u64> = HashMap::new();
        let counts = |record: &Record| {
            let model = record.model.as_deref().unwrap_or("");
            let provider = record.provider.as_deref().unwrap_or("");
            scope.holds(&record.who.user)
                && selection.has_route(model, provider, &record.client.name)
        };
        for record in records.items.into_iter().filter(counts) {
            let made = record.tools.into_iter();
            let made = made.filter(|call| call.result_error.is_none());
            for call in made.filter(|call| selection.has_tool(&call.name)) {
                *calls.entry(call.name).or_default() += 1;
            }
        }
        let mut found = session(found);
        if narrowed {
            found.tools = calls.values().sum();
            if calls.is_empty() {
                continue;
            }
        }
        let mut calls: Vec<(String, u64)> = calls.into_iter().collect();
        calls.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
        calls.truncate(12);
        shown.push((found, calls));
    }
    Ok(shown)
}
