//! The parts of view models that take several questions to the store. All block on the disk.
//!
//! In: a scope and a period. Out: rows, sessions and records that belong to the scope. Must not know: pages.

use super::{REQUESTS_SHOWN, Scope};
use crate::{
    dashboard::{
        sums::{Logins, Row},
        view::{Period, Session, SessionTools, Totals},
    },
    record::{CostState, End, Record, RequestId, Timestamp},
    store::{self, Counters, ReadError, StatusClass, Store, UsageKey},
};
use std::collections::{BTreeMap, HashMap};

const MINUTE: u64 = 60_000;
/// A session without requests under way counts as active for so long.
const ACTIVE: u64 = 15 * MINUTE;
/// Active sessions are sought among those with a request that began within this time.
const ACTIVE_SEARCH: u64 = 6 * 60 * MINUTE;
const ACTIVE_SEARCHED: usize = 200;
const ACTIVE_SHOWN: usize = 20;
const FAILURES_SHOWN: usize = 8;
const TOOL_SESSIONS_SEARCHED: usize = 60;
const TOOL_SESSIONS_SHOWN: usize = 8;

/// Stable keys and the logins that they had last.
pub(super) fn logins(store: &Store) -> Result<Logins, ReadError> {
    let users = store.users()?.into_iter();
    Ok(users.map(|user| (user.user, user.login)).collect())
}

/// The stable key behind a login: of several, the one that was here last.
pub(super) fn key_of(store: &Store, login: &str) -> Result<Option<String>, ReadError> {
    let users = store.users()?.into_iter();
    let named = users.filter(|user| user.login == login);
    Ok(named.max_by_key(|user| user.last).map(|user| user.user))
}

pub(super) fn usage(
    store: &Store,
    scope: &Scope,
    period: Period,
    now: Timestamp,
) -> Result<Vec<Row>, ReadError> {
    let rows = store.usage(period.first_hour(now), now.hour(), scope.user())?;
    Ok(rows.into_iter().map(row).collect())
}

fn row((key, counters): (UsageKey, Counters)) -> Row {
    let bad_end = matches!(
        key.end,
        End::Refused | End::UpstreamError | End::Timeout | End::Interrupted
    );
    let bad_class = matches!(
        key.class,
        StatusClass::ClientError | StatusClass::ServerError
    );
    let when = |yes: bool| if yes { counters.requests } else { 0 };
    Row {
        hour: key.hour,
        totals: Totals {
            requests: counters.requests,
            failed: when(bad_end || bad_class),
            usage: counters.usage,
            cost: counters.cost_pico,
            unpriced: when(key.cost == CostState::Unpriced),
            estimated: counters.estimated,
        },
        user: key.user,
        provider: key.provider,
        model: key.model,
    }
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
    now: Timestamp,
) -> Result<Vec<Session>, ReadError> {
    let filter = store::Filter {
        from: Some(Timestamp(now.0.saturating_sub(ACTIVE_SEARCH))),
        ..scope.filter()
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
    period: Period,
    now: Timestamp,
) -> Result<Vec<Record>, ReadError> {
    let from = period.starts(now).first().copied();
    let ends = [
        End::Refused,
        End::UpstreamError,
        End::Timeout,
        End::Interrupted,
    ];
    let classes = [StatusClass::ClientError, StatusClass::ServerError];
    let base = || store::Filter {
        from,
        ..scope.filter()
    };
    let by_end = ends.map(|end| store::Filter {
        end: Some(end),
        ..base()
    });
    let by_class = classes.map(|class| store::Filter {
        class: Some(class),
        ..base()
    });
    let mut found: BTreeMap<RequestId, Record> = BTreeMap::new();
    for filter in by_end.iter().chain(&by_class) {
        let page = store.requests(filter, None, FAILURES_SHOWN)?;
        let failed = page.items.into_iter().filter(store::failed);
        let failed = failed.filter(|record| scope.holds(&record.who.user));
        found.extend(failed.map(|record| (record.id, record)));
    }
    Ok(found.into_values().rev().take(FAILURES_SHOWN).collect())
}

/// Late sessions that called tools, each with its calls by tool.
pub(super) fn tool_sessions(
    store: &Store,
    scope: &Scope,
    period: Period,
    now: Timestamp,
) -> Result<Vec<SessionTools>, ReadError> {
    let filter = store::Filter {
        from: period.starts(now).first().copied(),
        ..scope.filter()
    };
    let late = store.sessions(&filter, None, TOOL_SESSIONS_SEARCHED)?;
    let with_tools = mine(scope, late.items).filter(|session| session.tools > 0);
    let mut shown = Vec::new();
    for found in with_tools.take(TOOL_SESSIONS_SHOWN) {
        let records = store.session_requests(found.id, None, REQUESTS_SHOWN)?;
        let mut calls: HashMap<String, u64> = HashMap::new();
        for record in records.items {
            if scope.holds(&record.who.user) {
                let made = record.tools.into_iter();
                for call in made.filter(|call| call.result_error.is_none()) {
                    *calls.entry(call.name).or_default() += 1;
                }
            }
        }
        let mut calls: Vec<(String, u64)> = calls.into_iter().collect();
        calls.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
        calls.truncate(12);
        shown.push((session(found), calls));
    }
    Ok(shown)
}
