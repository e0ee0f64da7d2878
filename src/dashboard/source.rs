//! View models from the store, for one caller's scope.
//!
//! Owns: [`Scope`] (whose data may be read: it goes into every question) and [`Source`]. In: a scope and what a page
//! asks. Out: view models. Reads block on the disk, so they run on blocking threads.
//! Must not know: HTML.

use super::{
    layout::Frame,
    sums::{self, Logins, Row, ToolRow},
    view::{
        Adoption, Filter, Model, Overview, Period, Rates, Session, SessionPage, SessionTools,
        Sessions, Tools, Totals, Whose,
    },
};
use crate::{
    config::{Config, Provider, grant::Role},
    endpoint::Endpoint,
    identity::Caller,
    policy,
    record::{Capture, CostState, End, Record, RequestId, SessionId, Timestamp},
    store::{
        self, AuditAction, AuditEntry, Counters, ReadError, StatusClass, Store, UsageKey, Writer,
    },
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
const SESSIONS_SHOWN: usize = 50;
const REQUESTS_SHOWN: usize = 200;
const TOOL_SESSIONS_SEARCHED: usize = 60;
const TOOL_SESSIONS_SHOWN: usize = 8;

/// Why a page could not be read.
#[derive(Debug, thiserror::Error)]
pub(super) enum Error {
    #[error(transparent)]
    Read(#[from] ReadError),
    #[error("a read of the store was cut off")]
    Stopped,
}

/// Whose data a page may read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Scope {
    pub(super) whose: Whose,
    /// The stable key that everything must belong to; none = everyone's.
    user: Option<Arc<str>>,
}

impl Scope {
    /// What the caller's role opens.
    pub(super) fn of(frame: &Frame<'_>) -> Self {
        match frame.role {
            Role::Admin => Self {
                whose: Whose::Everyone,
                user: None,
            },
            Role::User => Self {
                whose: Whose::Own,
                user: Some(Arc::clone(&frame.caller.user)),
            },
        }
    }

    fn user(&self) -> Option<&str> {
        self.user.as_deref()
    }

    fn holds(&self, user: &str) -> bool {
        self.user().is_none_or(|own| own == user)
    }

    fn filter(&self) -> store::Filter {
        store::Filter {
            user: self.user().map(str::to_owned),
            ..store::Filter::default()
        }
    }
}

/// Asks the store what pages need.
#[derive(Clone, Debug)]
pub(super) struct Source {
    store: Store,
    writer: Writer,
}

impl Source {
    /// Reads from `store`; what must be seen by admins goes to the audit trail of `writer`.
    pub(super) const fn new(store: Store, writer: Writer) -> Self {
        Self { store, writer }
    }

    async fn read<T: Send + 'static>(
        &self,
        read: impl FnOnce(&Store) -> Result<T, ReadError> + Send + 'static,
    ) -> Result<T, Error> {
        let store = self.store.clone();
        let task = tokio::task::spawn_blocking(move || read(&store));
        Ok(task.await.map_err(|_| Error::Stopped)??)
    }

    /// The scope of one person, by login; of several who had it, the one who was here last.
    pub(super) async fn person(&self, login: &str) -> Result<Option<Scope>, Error> {
        let login = login.to_owned();
        self.read(move |store| {
            Ok(key_of(store, &login)?.map(|user| Scope {
                whose: Whose::Person(login),
                user: Some(user.into()),
            }))
        })
        .await
    }

    /// `/ui/`
    pub(super) async fn overview(
        &self,
        scope: &Scope,
        period: Period,
        now: Timestamp,
    ) -> Result<Overview, Error> {
        let scope = scope.clone();
        self.read(move |store| {
            let rows = usage(store, &scope, period, now)?;
            let people = if scope.whose.many() {
                sums::people(&rows, &logins(store)?)
            } else {
                Vec::new()
            };
            Ok(Overview {
                period,
                bars: sums::bars(&rows, period, now),
                models: sums::models(&rows),
                people,
                active: active(store, &scope, now)?,
                errors: failures(store, &scope, period, now)?,
                whose: scope.whose,
            })
        })
        .await
    }

    /// `/ui/logs/`; `models` are the ones to choose from.
    pub(super) async fn sessions(
        &self,
        scope: &Scope,
        filter: Filter,
        models: Vec<String>,
    ) -> Result<Sessions, Error> {
        let scope = scope.clone();
        self.read(move |store| {
            let mut page = store::Page {
                items: Vec::new(),
                next: None,
            };
            let mut asked = scope.filter();
            let mut nobody = false;
            if scope.whose.many() && !filter.user.is_empty() {
                asked.user = key_of(store, &filter.user)?;
                nobody = asked.user.is_none();
            }
            let set = |text: &str| Some(text.to_owned()).filter(|text| !text.is_empty());
            asked.model = set(&filter.model);
            asked.text = set(&filter.text);
            if !nobody {
                let cursor = filter.after.parse().ok();
                page = store.sessions(&asked, cursor, SESSIONS_SHOWN)?;
            }
            let users = if scope.whose.many() {
                let logins: BTreeSet<String> = logins(store)?.into_values().collect();
                logins.into_iter().collect()
            } else {
                Vec::new()
            };
            Ok(Sessions {
                rows: mine(&scope, page.items).map(session).collect(),
                next: page.next.map(|id| id.to_string()),
                whose: scope.whose,
                filter,
                users,
                models,
            })
        })
        .await
    }

    /// `/ui/sessions/<id>`; none when there is none in the scope.
    pub(super) async fn session(
        &self,
        scope: &Scope,
        id: SessionId,
        after: &str,
    ) -> Result<Option<SessionPage>, Error> {
        let scope = scope.clone();
        let cursor = after.parse().ok();
        self.read(move |store| {
            let Some(found) = store.session(id)?.filter(|found| scope.holds(&found.user)) else {
                return Ok(None);
            };
            let mut page = store.session_requests(id, cursor, REQUESTS_SHOWN)?;
            page.items.retain(|record| scope.holds(&record.who.user));
            Ok(Some(SessionPage {
                session: session(found),
                requests: page.items,
                next: page.next.map(|id| id.to_string()),
            }))
        })
        .await
    }

    /// One record; none when there is none in the scope.
    pub(super) async fn record(
        &self,
        scope: &Scope,
        id: RequestId,
    ) -> Result<Option<Record>, Error> {
        let record = self.read(move |store| store.request(id)).await?;
        Ok(record.filter(|record| scope.holds(&record.who.user)))
    }

    /// What was captured of a record that is in the caller's scope; another person's goes to the audit trail.
    pub(super) async fn capture(
        &self,
        caller: &Caller,
        record: &Record,
        now: Timestamp,
    ) -> Result<Option<Capture>, Error> {
        let id = record.id;
        let capture = self.read(move |store| store.capture(id)).await?;
        if capture.is_some() && *record.who.user != *caller.user {
            self.writer.audit(AuditEntry {
                at: now,
                who: caller.user.to_string(),
                login: caller.login.to_string(),
                action: AuditAction::ViewedCapture,
                subject: id.to_string(),
                detail: format!("of {}", record.who.login),
            });
        }
        Ok(capture)
    }

    /// `/ui/tool-use/`
    pub(super) async fn tools(
        &self,
        scope: &Scope,
        period: Period,
        now: Timestamp,
    ) -> Result<Tools, Error> {
        let scope = scope.clone();
        self.read(move |store| {
            let rows = store.tools(period.first_hour(now), now.hour(), scope.user())?;
            let rows: Vec<ToolRow> = rows
                .into_iter()
                .filter(|(_, counters)| counters.calls > 0)
                .map(|(key, counters)| ToolRow {
                    hour: key.hour,
                    user: key.user,
                    tool: key.tool,
                    calls: counters.calls,
                })
                .collect();
            let (bars, rows) = sums::tools(&rows, &logins(store)?, period, now);
            Ok(Tools {
                period,
                bars,
                rows,
                sessions: tool_sessions(store, &scope, period, now)?,
                whose: scope.whose,
            })
        })
        .await
    }

    /// `/ui/adoption/`
    pub(super) async fn adoption(
        &self,
        scope: &Scope,
        period: Period,
        now: Timestamp,
    ) -> Result<Adoption, Error> {
        let scope = scope.clone();
        self.read(move |store| {
            let rows = usage(store, &scope, period, now)?;
            let (bars, models, people) = sums::adoption(&rows, &logins(store)?, period, now);
            Ok(Adoption {
                whose: scope.whose,
                period,
                bars,
                models,
                people,
            })
        })
        .await
    }
}

/// Stable keys and the logins that they had last.
fn logins(store: &Store) -> Result<Logins, ReadError> {
    let users = store.users()?.into_iter();
    Ok(users.map(|user| (user.user, user.login)).collect())
}

/// The stable key behind a login: of several, the one that was here last.
fn key_of(store: &Store, login: &str) -> Result<Option<String>, ReadError> {
    let users = store.users()?.into_iter();
    let named = users.filter(|user| user.login == login);
    Ok(named.max_by_key(|user| user.last).map(|user| user.user))
}

fn usage(
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
        },
        user: key.user,
        provider: key.provider,
        model: key.model,
    }
}

fn session(found: store::Session) -> Session {
    let mut models: Vec<(String, u64)> = found.models.into_iter().collect();
    models.sort_by_key(|(_, requests)| std::cmp::Reverse(*requests));
    Session {
        id: found.id,
        parent: found.parent,
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
        },
        tools: found.tools,
        in_flight: found.in_flight,
        started: found.first,
        last: found.last,
    }
}

/// The sessions of the scope: the filter has asked for them by a key that may be cut, this compares all of it.
fn mine(scope: &Scope, found: Vec<store::Session>) -> impl Iterator<Item = store::Session> {
    found
        .into_iter()
        .filter(|session| scope.holds(&session.user))
}

fn active(store: &Store, scope: &Scope, now: Timestamp) -> Result<Vec<Session>, ReadError> {
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
fn failures(
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
fn tool_sessions(
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

/// What the caller may use: by the same decision that lets requests through.
pub(super) fn models(
    config: &Config,
    caller: &Arc<Caller>,
    rates: impl Fn(&Provider, &str) -> Option<Rates>,
) -> Vec<Model> {
    let visible = policy::visible_models(config, caller).into_iter();
    let models = visible.map(|visible| {
        let speaks = |endpoint: &Endpoint| visible.dialects.contains(&endpoint.dialect());
        let endpoints: Vec<Endpoint> = Endpoint::ALL.into_iter().filter(speaks).collect();
        let direct = endpoints.iter().any(|endpoint| {
            policy::decide(config, caller, &visible.model, *endpoint)
                .is_ok_and(|permit| permit.provider().id == visible.provider.id)
        });
        Model {
            name: visible.model.to_string(),
            provider: visible.provider.id.to_string(),
            provider_name: visible.provider.name.clone(),
            description: visible.provider.description.clone(),
            paths: endpoints.into_iter().map(Endpoint::path).collect(),
            rates: rates(&visible.provider, &visible.model),
            shadowed: !direct,
        }
    });
    models.collect()
}
