//! View models from the store, for one caller's scope.
//!
//! Owns: [`Scope`] (whose data may be read: it goes into every question) and [`Source`]. In: a scope and what a page
//! asks. Out: view models. Reads block on the disk, so they run on blocking threads.
//! Must not know: HTML.

mod read;

use super::{
    layout::Frame,
    sums, talk,
    view::{
        Access, Adoption, Audit, Choices, Model, Models, Overview, Period, Rates, Selection,
        Session, SessionPage, SessionRequests, Sessions, Tools, Totals, Whose, doer,
    },
};
use crate::{
    config::{Config, Provider, grant::Role},
    endpoint::Endpoint,
    identity::Caller,
    policy,
    record::{Capture, Record, RequestId, SessionId, Timestamp},
    store::{self, AuditAction, AuditEntry, ReadError, Store, Writer},
};
use read::{Called, Used, active, failures, health, logins, mine, session, tool_sessions};
use std::{
    collections::{BTreeSet, HashMap},
    sync::Arc,
};

const SESSIONS_SHOWN: usize = 50;
const REQUESTS_SHOWN: usize = 200;
/// Sub-agents and forks that one page of a session lists.
const CHILDREN_SHOWN: usize = 50;
/// Requests of one page of a conversation.
const TURNS_SHOWN: usize = 20;
const AUDIT_SHOWN: usize = 100;
/// Who did it when it was the command line.
const HOST: &str = "host";
/// Tools and MCP servers that a filter lists.
const OFFERED: usize = 200;

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

    /// A login that nobody has: no key is empty, so nothing is in it.
    fn nobody(login: &str) -> Self {
        Self {
            whose: Whose::Person(login.to_owned()),
            user: Some("".into()),
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
    ) -> Result<T, ReadError> {
        self.store.ask(read).await
    }

    /// The scope of one person, by login; of several who had it, the one who was here last.
    pub(in crate::dashboard) async fn person(
        &self,
        login: &str,
    ) -> Result<Option<Scope>, ReadError> {
        let login = login.to_owned();
        self.read(move |store| {
            Ok(store.key_of(&login)?.map(|user| Scope {
                whose: Whose::Person(login),
                user: Some(user.into()),
            }))
        })
        .await
    }

    /// The scope that an address narrows an admin's to; a user's stays as it is.
    pub(in crate::dashboard) async fn narrowed(
        &self,
        scope: Scope,
        selection: &Selection,
    ) -> Result<Scope, ReadError> {
        if scope.whose != Whose::Everyone || selection.user.is_empty() {
            return Ok(scope);
        }
        let person = self.person(&selection.user).await?;
        Ok(person.unwrap_or_else(|| Scope::nobody(&selection.user)))
    }

    /// `/ui/`
    pub(in crate::dashboard) async fn overview(
        &self,
        scope: &Scope,
        selection: Selection,
        mut choices: Choices,
        now: Timestamp,
    ) -> Result<Overview, ReadError> {
        let scope = scope.clone();
        self.read(move |store| {
            let (period, end) = (selection.period(), selection.end(now));
            let used = Used::read(store, &scope, &selection, period, end)?;
            let before = Timestamp(end.0.saturating_sub(period.length()));
            let before = Used::read(store, &scope, &selection, period, before)?;
            let logins = logins(store)?;
            let people = if scope.whose.many() {
                sums::people(&used.rows, &logins)
            } else {
                Vec::new()
            };
            offer(&mut choices, &used.clients, logins.into_values());
            Ok(Overview {
                bars: sums::bars(&used.rows, period, end),
                before: Totals::sum(before.rows.iter().map(|row| &row.totals)),
                models: sums::models(&used.rows),
                people,
                active: active(store, &scope, &selection, now)?,
                errors: failures(store, &scope, &selection, now)?,
                whose: scope.whose,
                selection,
                choices,
            })
        })
        .await
    }

    /// The sessions that are active now, for the live part of the overview.
    pub(in crate::dashboard) async fn active(
        &self,
        scope: &Scope,
        selection: Selection,
        now: Timestamp,
    ) -> Result<Vec<Session>, ReadError> {
        let scope = scope.clone();
        self.read(move |store| active(store, &scope, &selection, now))
            .await
    }

    /// `/ui/logs/`
    pub(in crate::dashboard) async fn sessions(
        &self,
        scope: &Scope,
        selection: Selection,
        mut choices: Choices,
        now: Timestamp,
    ) -> Result<Sessions, ReadError> {
        let scope = scope.clone();
        self.read(move |store| {
            let asked = read::filter(&scope, &selection, selection.period, now);
            let cursor = selection.after.parse().ok();
            let page = store.sessions(&asked, cursor, SESSIONS_SHOWN)?;
            let all = Selection::default();
            let used = Used::read(store, &scope, &all, Period::Week, now)?;
            offer(&mut choices, &used.clients, logins(store)?.into_values());
            Ok(Sessions {
                rows: mine(&scope, page.items).map(session).collect(),
                next: page.next.map(|id| id.to_string()),
                whose: scope.whose,
                selection,
                choices,
            })
        })
        .await
    }

    /// `/ui/sessions/<id>`, as a conversation or as a table; none when there is none in the scope.
    ///
    /// Texts of another person's session go to the audit trail.
    pub(in crate::dashboard) async fn session(
        &self,
        scope: &Scope,
        caller: &Caller,
        id: SessionId,
        after: &str,
        as_table: bool,
        now: Timestamp,
    ) -> Result<Option<SessionPage>, ReadError> {
        let scope = scope.clone();
        let cursor = after.parse().ok();
        let owner: Arc<str> = Arc::clone(&caller.user);
        let found = self.read(move |store| {
            let Some(found) = store.session(id)?.filter(|found| scope.holds(&found.user)) else {
                return Ok(None);
            };
            let shown = if as_table {
                REQUESTS_SHOWN
            } else {
                TURNS_SHOWN
            };
            let mut page = store.session_requests(id, cursor, shown)?;
            page.items.retain(|record| scope.holds(&record.who.user));
            let children = store.session_children(id, CHILDREN_SHOWN)?;
            let mut foreign = None;
            let requests = if as_table {
                SessionRequests::Table(page.items)
            } else {
                let mut captured = Vec::with_capacity(page.items.len());
                for record in page.items {
                    let capture = store.capture(record.id)?;
                    if capture.is_some() && record.who.user != *owner {
                        foreign = Some(record.who.login.clone());
                    }
                    captured.push((record, capture));
                }
                SessionRequests::Talk(talk::turns(captured))
            };
            let page = SessionPage {
                sort: String::new(),
                session: session(found),
                requests,
                children: mine(&scope, children).map(session).collect(),
                next: page.next.map(|id| id.to_string()),
            };
            Ok(Some((page, foreign)))
        });
        let Some((page, foreign)) = found.await? else {
            return Ok(None);
        };
        if let Some(login) = foreign {
            let (subject, detail) = (id.to_string(), format!("of {login}"));
            self.audit(caller, AuditAction::ViewedCapture, subject, detail, now);
        }
        Ok(Some(page))
    }

    /// One session's summary; none when there is none in the scope.
    pub(in crate::dashboard) async fn summary(
        &self,
        scope: &Scope,
        id: SessionId,
    ) -> Result<Option<Session>, ReadError> {
        let found = self.read(move |store| store.session(id)).await?;
        let found = found.filter(|found| scope.holds(&found.user));
        Ok(found.map(session))
    }

    /// Notes that somebody did what others must be able to see.
    pub(in crate::dashboard) fn audit(
        &self,
        caller: &Caller,
        action: AuditAction,
        subject: String,
        detail: String,
        now: Timestamp,
    ) {
        self.writer.audit(AuditEntry {
            at: now,
            who: caller.user.to_string(),
            login: caller.login.to_string(),
            action,
            subject,
            detail,
        });
    }

    /// One record; none when there is none in the scope.
    pub(in crate::dashboard) async fn record(
        &self,
        scope: &Scope,
        id: RequestId,
    ) -> Result<Option<Record>, ReadError> {
        let record = self.read(move |store| store.request(id)).await?;
        Ok(record.filter(|record| scope.holds(&record.who.user)))
    }

    /// What was captured of a record that is in the caller's scope; another person's goes to the audit trail.
    pub(in crate::dashboard) async fn capture(
        &self,
        caller: &Caller,
        record: &Record,
        now: Timestamp,
    ) -> Result<Option<Capture>, ReadError> {
        let id = record.id;
        let capture = self.read(move |store| store.capture(id)).await?;
        if capture.is_some() && *record.who.user != *caller.user {
            let (subject, detail) = (id.to_string(), format!("of {}", record.who.login));
            self.audit(caller, AuditAction::ViewedCapture, subject, detail, now);
        }
        Ok(capture)
    }

    /// `/ui/tool-use/`
    pub(in crate::dashboard) async fn tools(
        &self,
        scope: &Scope,
        selection: Selection,
        mut choices: Choices,
        now: Timestamp,
    ) -> Result<Tools, ReadError> {
        let scope = scope.clone();
        self.read(move |store| {
            let (period, end) = (selection.period(), selection.end(now));
            let called = Called::read(store, &scope, &selection, period, end)?;
            let logins = logins(store)?;
            let (bars, rows) = sums::tools(&called.rows, &logins, period, end);
            let sessions = tool_sessions(store, &scope, &selection, now)?;
            offer(&mut choices, &called.clients, logins.into_values());
            let tools = called.tools.iter().take(OFFERED);
            choices.tools = tools.map(ToString::to_string).collect();
            let servers = called.servers().into_iter().take(OFFERED);
            choices.servers = servers.map(str::to_owned).collect();
            Ok(Tools {
                bars,
                rows,
                sessions,
                whose: scope.whose,
                selection,
                choices,
            })
        })
        .await
    }

    /// `/ui/adoption/`
    pub(in crate::dashboard) async fn adoption(
        &self,
        scope: &Scope,
        selection: Selection,
        mut choices: Choices,
        now: Timestamp,
    ) -> Result<Adoption, ReadError> {
        let scope = scope.clone();
        self.read(move |store| {
            let (period, end) = (selection.period(), selection.end(now));
            let used = Used::read(store, &scope, &selection, period, end)?;
            let users = store.users()?.into_iter();
            let first: HashMap<String, Timestamp> =
                users.map(|user| (user.user, user.first)).collect();
            let logins = logins(store)?;
            let (bars, models, people) = sums::adoption(&used.rows, &logins, period, end);
            offer(&mut choices, &used.clients, logins.into_values());
            Ok(Adoption {
                whose: scope.whose,
                bars,
                weeks: sums::weeks(&used.rows, &first, period, end),
                models,
                people,
                popular: sums::popular(&used.rows),
                selection,
                choices,
            })
        })
        .await
    }

    /// `/ui/models/`: `rows` come from the configuration, how the providers did from the records.
    pub(in crate::dashboard) async fn models(
        &self,
        scope: &Scope,
        selection: Selection,
        mut choices: Choices,
        admin: bool,
        mut rows: Vec<Model>,
        now: Timestamp,
    ) -> Result<Models, ReadError> {
        let scope = scope.clone();
        self.read(move |store| {
            let (period, end) = (selection.period(), selection.end(now));
            let (health, clients) = health(store, &scope, &selection, period, end)?;
            offer(&mut choices, &clients, logins(store)?.into_values());
            let text = selection.text.to_lowercase();
            rows.retain(|row| {
                let names = [&row.name, &row.provider, &row.provider_name];
                let found = |name: &&String| name.to_lowercase().contains(&text);
                // Whoever asked, a model is what it is.
                selection.has_route(&row.name, &row.provider, &selection.client)
                    && names.iter().any(found)
            });
            Ok(Models {
                whose: scope.whose,
                selection,
                admin,
                rows,
                health,
                choices,
            })
        })
        .await
    }

    /// `/ui/audit/`
    pub(in crate::dashboard) async fn trail(
        &self,
        selection: Selection,
        mut choices: Choices,
        now: Timestamp,
    ) -> Result<Audit, ReadError> {
        self.read(move |store| {
            let end = selection.end(now);
            let from = selection
                .period
                .and_then(|period| period.starts(end).first().copied());
            let text = selection.text.to_lowercase();
            let matches = |entry: &AuditEntry| {
                let texts = [&entry.subject, &entry.detail, &entry.login, &entry.who];
                let found = |said: &&String| said.to_lowercase().contains(&text);
                let acts = |action| entry.action == action;
                (selection.user.is_empty() || doer(entry) == selection.user)
                    && selection.action.is_none_or(acts)
                    && (selection.until.is_empty() || entry.at <= end)
                    && (text.is_empty() || texts.iter().any(found))
            };
            let cursor: Option<RequestId> = selection.after.parse().ok();
            let page = store.audit_of(cursor, from, AUDIT_SHOWN, matches)?;
            offer(&mut choices, &BTreeSet::new(), logins(store)?.into_values());
            // The command line is somebody, too.
            choices.users.push(HOST.to_owned());
            Ok(Audit {
                rows: page.items,
                next: page.next.map(|id| id.to_string()),
                selection,
                choices,
            })
        })
        .await
    }

    /// Everybody's logins, in order.
    pub(in crate::dashboard) async fn logins(&self) -> Result<Vec<String>, ReadError> {
        self.read(|store| {
            let logins: BTreeSet<String> = logins(store)?.into_values().collect();
            Ok(logins.into_iter().collect())
        })
        .await
    }
}

/// Completes what a page can be narrowed to; only admins choose among people.
fn offer(
    choices: &mut Choices,
    clients: &BTreeSet<Arc<str>>,
    logins: impl Iterator<Item = String>,
) {
    if !choices.users.is_empty() {
        let logins: BTreeSet<String> = logins.collect();
        choices.users = logins.into_iter().collect();
    }
    choices.clients = clients.iter().map(ToString::to_string).collect();
}

/// What is configured, for an admin, or what the caller may use: by the decision that lets requests through.
pub(in crate::dashboard) fn models(
    config: &Config,
    caller: &Arc<Caller>,
    role: Role,
    rates: impl Fn(&Provider, &str) -> Option<Rates>,
) -> Vec<Model> {
    let mut rows: Vec<Model> = Vec::new();
    for visible in policy::visible_models(config, caller) {
        let mut row = model(&visible.provider, &visible.model, &rates);
        row.mine = true;
        row.shadowed = !endpoints(&visible.provider).any(|endpoint| {
            policy::decide(config, caller, &visible.model, endpoint)
                .is_ok_and(|permit| permit.provider().id == visible.provider.id)
        });
        rows.push(row);
    }
    if role == Role::Admin {
        for provider in config.providers.values() {
            for name in &provider.models {
                let known = |row: &Model| row.provider == *provider.id && row.name == **name;
                if !rows.iter().any(known) {
                    rows.push(model(provider, name, &rates));
                }
            }
        }
        for row in &mut rows {
            row.open_to = policy::open_to(config, &row.provider, &row.name);
        }
    }
    rows
}

fn endpoints(provider: &Provider) -> impl Iterator<Item = Endpoint> + '_ {
    let all = Endpoint::ALL.into_iter();
    all.filter(|endpoint| endpoint.served_by(&provider.dialects))
}

fn model(
    provider: &Arc<Provider>,
    name: &str,
    rates: &impl Fn(&Provider, &str) -> Option<Rates>,
) -> Model {
    Model {
        name: name.to_owned(),
        provider: provider.id.to_string(),
        provider_name: provider.name.clone(),
        description: provider.description.clone(),
        dialects: provider.dialects.clone(),
        paths: endpoints(provider).map(Endpoint::path).collect(),
        rates: rates(provider, name),
        shadowed: false,
        open_to: Vec::new(),
        mine: false,
    }
}

/// What somebody may do, and which grant says so: by the functions that decide requests.
pub(in crate::dashboard) fn access(
    config: &Config,
    who: &str,
    known: Option<Arc<Caller>>,
    model: &str,
    endpoint: &str,
) -> Access {
    let mut access = Access {
        who: who.to_owned(),
        model: model.to_owned(),
        endpoint: endpoint.to_owned(),
        known: known.is_some(),
        ..Access::default()
    };
    if who.is_empty() {
        return access;
    }
    let caller = known.unwrap_or_else(|| Arc::new(Caller::named(who)));
    access.role = policy::role(config, &caller).map(|(role, grant)| (role.as_str(), grant));
    for visible in policy::visible_models(config, &caller) {
        let name = format!("{}/{}", visible.provider.id, visible.model);
        let permit = endpoints(&visible.provider)
            .find_map(|endpoint| policy::decide(config, &caller, &name, endpoint).ok());
        if let Some(permit) = permit {
            access.models.push((name, permit.grant().to_owned()));
        }
    }
    if !model.is_empty() {
        let mut all = Endpoint::ALL.into_iter();
        let endpoint = all.find(|it| it.as_str() == endpoint).or_else(|| {
            // The first that would serve it, so that a question without an endpoint has a useful answer.
            let mut all = Endpoint::ALL.into_iter();
            all.find(|it| policy::decide(config, &caller, model, *it).is_ok())
        });
        let endpoint = endpoint.unwrap_or(Endpoint::AnthropicMessages);
        endpoint.as_str().clone_into(&mut access.endpoint);
        access.lines = policy::explain(config, &caller, model, endpoint);
    }
    access
}
