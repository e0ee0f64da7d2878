//! View models from the store, for one caller's scope.
//!
//! Owns: [`Scope`] (whose data may be read: it goes into every question) and [`Source`]. In: a scope and what a page
//! asks. Out: view models. Reads block on the disk, so they run on blocking threads.
//! Must not know: HTML.

mod read;

use super::{
    layout::Frame,
    sums::{self, ToolRow},
    view::{Adoption, Filter, Model, Overview, Period, Rates, SessionPage, Sessions, Tools, Whose},
};
use crate::{
    config::{Config, Provider, grant::Role},
    endpoint::Endpoint,
    identity::Caller,
    policy,
    record::{Capture, Record, RequestId, SessionId, Timestamp},
    store::{self, AuditAction, AuditEntry, ReadError, Store, Writer},
};
use read::{active, failures, key_of, logins, mine, session, tool_sessions, usage};
use std::{collections::BTreeSet, sync::Arc};

const SESSIONS_SHOWN: usize = 50;
const REQUESTS_SHOWN: usize = 200;
/// Sub-agents and forks that one page of a session lists.
const CHILDREN_SHOWN: usize = 50;

/// Why a page could not be read.
#[derive(Debug, thiserror::Error)]
pub(in crate::dashboard) enum Error {
    #[error(transparent)]
    Read(#[from] ReadError),
    #[error("a read of the store was cut off")]
    Stopped,
}

/// Whose data a page may read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::dashboard) struct Scope {
    pub(in crate::dashboard) whose: Whose,
    /// The stable key that everything must belong to; none = everyone's.
    user: Option<Arc<str>>,
}

impl Scope {
    /// What the caller's role opens.
    pub(in crate::dashboard) fn of(frame: &Frame<'_>) -> Self {
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
pub(in crate::dashboard) struct Source {
    store: Store,
    writer: Writer,
}

impl Source {
    /// Reads from `store`; what must be seen by admins goes to the audit trail of `writer`.
    pub(in crate::dashboard) const fn new(store: Store, writer: Writer) -> Self {
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
    pub(in crate::dashboard) async fn person(&self, login: &str) -> Result<Option<Scope>, Error> {
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
    pub(in crate::dashboard) async fn overview(
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
    pub(in crate::dashboard) async fn sessions(
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
    pub(in crate::dashboard) async fn session(
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
            let children = store.session_children(id, CHILDREN_SHOWN)?;
            Ok(Some(SessionPage {
                session: session(found),
                children: mine(&scope, children).map(session).collect(),
                requests: page.items,
                next: page.next.map(|id| id.to_string()),
            }))
        })
        .await
    }

    /// One record; none when there is none in the scope.
    pub(in crate::dashboard) async fn record(
        &self,
        scope: &Scope,
        id: RequestId,
    ) -> Result<Option<Record>, Error> {
        let record = self.read(move |store| store.request(id)).await?;
        Ok(record.filter(|record| scope.holds(&record.who.user)))
    }

    /// What was captured of a record that is in the caller's scope; another person's goes to the audit trail.
    pub(in crate::dashboard) async fn capture(
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
    pub(in crate::dashboard) async fn tools(
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
    pub(in crate::dashboard) async fn adoption(
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

/// What the caller may use: by the same decision that lets requests through.
pub(in crate::dashboard) fn models(
    config: &Config,
    caller: &Arc<Caller>,
    rates: impl Fn(&Provider, &str) -> Option<Rates>,
) -> Vec<Model> {
    let visible = policy::visible_models(config, caller).into_iter();
    let models = visible.map(|visible| {
        let main = visible
            .dialects
            .iter()
            .map(|dialect| dialect.main_endpoint());
        let endpoints: Vec<Endpoint> = main.collect();
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
