//! The reading side of the store: each call opens one transaction, copies what it needs out, and closes it.
//!
//! Owns: [`Store`]'s questions. In: filters, ids, ranges of hours. Out: owned values. Calls block on the disk, so async
//! code calls them from a blocking thread; none is held across an await.
//! Must not know: pages, HTTP, who may see what (the caller puts the user into the filter).

use super::codec::decode;
use super::file::ReadError;
use super::filter::{Conditions, Filter, Found, Indexes, Page, STEPS, Walk};
use super::reprice::{Pricer, RepriceScope, Repriced};
use super::schema::{self, Facet, HourlyParts};
use super::summary::{Session, User};
use super::usage::{
    Counters, Estimated, ToolCounters, ToolKey, ToolRow, UsageKey, UsageRow, add, add_usage, part,
};
use super::{AuditEntry, ConfigVersion, Files, Store, captures, postings};
use crate::record::{Capture, CostState, Record, RequestId, SessionId, Timestamp, Usage};
use redb::{ReadableTable, ReadableTableMetadata};
use std::ops::RangeInclusive;

/// Everything since the store was created.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// Finished requests.
    pub requests: u64,
    /// Tokens by kind.
    pub usage: Usage,
    /// Pico-dollars of the priced ones.
    pub cost_pico: u64,
    /// What figures left out, in none of the other sums.
    pub estimated: Estimated,
    /// Finished requests with tokens but without a known price.
    pub unpriced: u64,
    /// Sessions that are kept.
    pub sessions: u64,
    /// Records that are kept, those under way included.
    pub records: u64,
    /// Users who are known.
    pub users: u64,
}

/// What the session index needs of one request after a restart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Anchored {
    /// The stable key of the caller.
    pub user: String,
    /// The hashes.
    pub anchors: Vec<u64>,
    /// Ids of the tool calls in the reply.
    pub calls: Vec<String>,
    /// The session that they name.
    pub session: SessionId,
    /// When the request began.
    pub started: Timestamp,
    /// When it ended.
    pub ended: Timestamp,
}

impl Store {
    /// The record of one request.
    pub fn request(&self, id: RequestId) -> Result<Option<Record>, ReadError> {
        self.files.main.read(|read| {
            let requests = read.open_table(schema::REQUESTS)?;
            let row = requests.get(id.0)?;
            row.map(|row| Ok(decode("requests", row.value())?))
                .transpose()
        })
    }

    /// Heads and bodies of one request, rebuilt: each body is one chunk.
    pub fn capture(&self, id: RequestId) -> Result<Option<Capture>, ReadError> {
        captures::read(&self.files.captures, id)
    }

    /// What other prices would change; nothing is written. Reads every record of the range: not for a page.
    pub fn reprice_preview(
        &self,
        scope: RepriceScope,
        pricer: Pricer,
    ) -> Result<Repriced, ReadError> {
        super::reprice::preview(&self.files.main, scope, pricer)
    }

    /// When the oldest request that is kept began.
    pub fn oldest(&self) -> Result<Option<Timestamp>, ReadError> {
        self.files.main.read(|read| {
            let requests = read.open_table(schema::REQUESTS)?;
            let first = requests.first()?;
            Ok(first.map(|(id, _)| RequestId(id.value()).time()))
        })
    }

    /// Requests that match, newest first, at most `limit`; `cursor` is the `next` of the page before.
    pub fn requests(
        &self,
        filter: &Filter,
        cursor: Option<RequestId>,
        limit: usize,
    ) -> Result<Page<Record>, ReadError> {
        self.requests_within(filter, cursor, limit, STEPS)
    }

    /// The same with at most `steps` index lookups.
    pub(super) fn requests_within(
        &self,
        filter: &Filter,
        cursor: Option<RequestId>,
        limit: usize,
        mut steps: u32,
    ) -> Result<Page<Record>, ReadError> {
        self.files.main.read(|read| {
            let indexes = Indexes::open(read)?;
            let requests = read.open_table(schema::REQUESTS)?;
            let conditions = Conditions::new(&indexes, filter)?;
            let mut walk = Walk::new(&indexes, conditions, cursor);
            let mut items = Vec::new();
            while items.len() < limit {
                match walk.next(&mut steps)? {
                    Found::Match(id) => {
                        if let Some(row) = requests.get(id.0)? {
                            items.push(decode("requests", row.value())?);
                        }
                    }
                    Found::End => return Ok(Page { items, next: None }),
                    Found::Tired(next) => {
                        let next = Some(next);
                        return Ok(Page { items, next });
                    }
                }
            }
            let next = walk.cursor();
            Ok(Page { items, next })
        })
    }

    /// Sessions with a request that matches, by their newest such request, newest first.
    pub fn sessions(
        &self,
        filter: &Filter,
        cursor: Option<RequestId>,
        limit: usize,
    ) -> Result<Page<Session>, ReadError> {
        let simple = Filter {
            user: None,
            from: None,
            ..filter.clone()
        } == Filter::default();
        if simple {
            return self.recent_sessions(filter, cursor, limit);
        }
        self.files.main.read(|read| {
            let indexes = Indexes::open(read)?;
            let requests = read.open_table(schema::REQUESTS)?;
            let sessions = read.open_table(schema::SESSIONS)?;
            let conditions = Conditions::new(&indexes, filter)?;
            let mut walk = Walk::new(&indexes, conditions.clone(), cursor);
            let (mut steps, mut items) = (STEPS, Vec::new());
            while items.len() < limit {
                let id = match walk.next(&mut steps)? {
                    Found::Match(id) => id,
                    Found::End => return Ok(Page { items, next: None }),
                    Found::Tired(next) => {
                        let next = Some(next);
                        return Ok(Page { items, next });
                    }
                };
                let Some(row) = requests.get(id.0)? else {
                    continue;
                };
                let record: Record = decode("requests", row.value())?;
                let Some(session) = record.session else {
                    continue;
                };
                // A session stands where its newest match is, and only there.
                let mut newest = Walk::new(&indexes, conditions.within(session), None);
                match newest.next(&mut steps)? {
                    Found::Match(newest) if newest == id => {}
                    Found::Match(_) | Found::End => continue,
                    Found::Tired(_) if cursor != Some(id) => {
                        let next = Some(id);
                        return Ok(Page { items, next });
                    }
                    // Not even all the steps of a page suffice: shown perhaps twice rather than never.
                    Found::Tired(_) => {}
                }
                if let Some(row) = sessions.get(session.0)? {
                    items.push(decode("sessions", row.value())?);
                }
            }
            let next = walk.cursor();
            Ok(Page { items, next })
        })
    }

    /// Sessions of one user or of all by their newest request.
    fn recent_sessions(
        &self,
        filter: &Filter,
        cursor: Option<RequestId>,
        limit: usize,
    ) -> Result<Page<Session>, ReadError> {
        self.files.main.read(|read| {
            let recent = read.open_table(schema::SESSIONS_RECENT)?;
            let sessions = read.open_table(schema::SESSIONS)?;
            let owner = part(filter.user.as_deref().unwrap_or(""));
            let least = filter.from.map_or(0, |from| RequestId::at(from).0);
            let most = cursor.map_or(u128::MAX, |cursor| cursor.0);
            let mut page = Page {
                items: Vec::new(),
                next: None,
            };
            if least > most {
                return Ok(page);
            }
            for row in recent.range((owner, least)..=(owner, most))?.rev() {
                let (key, session) = row?;
                if page.items.len() == limit {
                    page.next = Some(RequestId(key.value().1));
                    break;
                }
                if let Some(row) = sessions.get(session.value())? {
                    page.items.push(decode("sessions", row.value())?);
                }
            }
            Ok(page)
        })
    }

    /// The running summary of one session.
    pub fn session(&self, id: SessionId) -> Result<Option<Session>, ReadError> {
        self.files.main.read(|read| {
            let sessions = read.open_table(schema::SESSIONS)?;
            let row = sessions.get(id.0)?;
            row.map(|row| Ok(decode("sessions", row.value())?))
                .transpose()
        })
    }

    /// Requests of one session, oldest first, from `cursor` on, at most `limit`.
    pub fn session_requests(
        &self,
        id: SessionId,
        cursor: Option<RequestId>,
        limit: usize,
    ) -> Result<Page<Record>, ReadError> {
        self.files.main.read(|read| {
            let index = read.open_table(schema::SESSION_REQUESTS)?;
            let requests = read.open_table(schema::REQUESTS)?;
            let first = cursor.map_or(0, |cursor| cursor.0);
            let mut items = Vec::new();
            for row in index.range((id.0, first)..=(id.0, u128::MAX))? {
                let request = row?.0.value().1;
                if items.len() == limit {
                    let next = Some(RequestId(request));
                    return Ok(Page { items, next });
                }
                if let Some(row) = requests.get(request)? {
                    items.push(decode("requests", row.value())?);
                }
            }
            Ok(Page { items, next: None })
        })
    }

    /// Hourly counters of these hours, of one user or of all.
    pub fn usage(
        &self,
        from_hour: u32,
        to_hour: u32,
        user: Option<&str>,
    ) -> Result<Vec<(UsageKey, Counters)>, ReadError> {
        self.files.main.read(|read| {
            let hourly = read.open_table(schema::USAGE_HOURLY)?;
            let mut rows = Vec::new();
            if let Some(user) = user {
                let hours = from_hour..=to_hour;
                hours_of_user(&hourly, hours, part(user), usize::MAX, |key, counters| {
                    rows.push((key, counters));
                })?;
                return Ok(rows);
            }
            for row in hourly.range((from_hour, "", "", "", "", "", "", "", "")..)? {
                let (key, value) = row?;
                let parts = key.value();
                if parts.0 > to_hour {
                    break;
                }
                rows.push((
                    UsageKey::from_hourly(parts),
                    Counters::from_row(value.value()),
                ));
            }
            Ok(rows)
        })
    }

    /// Goes through the hourly counters of these hours, of one user or of all, without a copy of any key.
    ///
    /// What the pages of a long period add up: the rows of everybody are too many to be owned.
    pub fn fold_usage(
        &self,
        from_hour: u32,
        to_hour: u32,
        user: Option<&str>,
        mut each: impl FnMut(&UsageRow<'_>, &Counters),
    ) -> Result<(), ReadError> {
        self.files.main.read(|read| {
            let hourly = read.open_table(schema::USAGE_HOURLY)?;
            if let Some(user) = user {
                let hours = from_hour..=to_hour;
                hours_of_user(&hourly, hours, part(user), usize::MAX, |key, counters| {
                    each(&UsageRow::of(&key), &counters);
                })?;
                return Ok(());
            }
            for row in hourly.range((from_hour, "", "", "", "", "", "", "", "")..)? {
                let (key, value) = row?;
                let parts = key.value();
                if parts.0 > to_hour {
                    break;
                }
                each(
                    &UsageRow::from_hourly(parts),
                    &Counters::from_row(value.value()),
                );
            }
            Ok(())
        })
    }

    /// Goes through the hourly counters of tool calls in the same way.
    pub fn fold_tools(
        &self,
        from_hour: u32,
        to_hour: u32,
        user: Option<&str>,
        mut each: impl FnMut(&ToolRow<'_>, &ToolCounters),
    ) -> Result<(), ReadError> {
        self.files.main.read(|read| {
            let hourly = read.open_table(schema::TOOLS_HOURLY)?;
            let user = user.map(part);
            for row in hourly.range((from_hour, "", "")..)? {
                let (key, value) = row?;
                let parts = ToolRow::of(key.value());
                if parts.hour > to_hour {
                    break;
                }
                if user.is_none_or(|user| user == parts.user) {
                    each(&parts, &ToolCounters::from_row(value.value()));
                }
            }
            Ok(())
        })
    }

    /// Hourly counters of tool calls of these hours, of one user or of all.
    pub fn tools(
        &self,
        from_hour: u32,
        to_hour: u32,
        user: Option<&str>,
    ) -> Result<Vec<(ToolKey, ToolCounters)>, ReadError> {
        let mut rows = Vec::new();
        self.fold_tools(from_hour, to_hour, user, |row, counters| {
            rows.push((row.to_key(), *counters));
        })?;
        Ok(rows)
    }

    /// The running totals since the store was created, by full key (hour 0): what `/metrics` shows.
    pub fn counters(&self) -> Result<Vec<(UsageKey, Counters)>, ReadError> {
        self.files.main.read(|read| {
            let totals = read.open_table(schema::USAGE_TOTALS)?;
            totals
                .iter()?
                .map(|row| {
                    let (key, value) = row?;
                    Ok((
                        UsageKey::from_parts(0, key.value()),
                        Counters::from_row(value.value()),
                    ))
                })
                .collect()
        })
    }

    /// The sums of [`Store::counters`], and how much is kept.
    pub fn totals(&self) -> Result<Totals, ReadError> {
        let mut totals = self.files.main.read(|read| {
            Ok(Totals {
                sessions: read.open_table(schema::SESSIONS)?.len()?,
                records: read.open_table(schema::REQUESTS)?.len()?,
                users: read.open_table(schema::USERS)?.len()?,
                ..Totals::default()
            })
        })?;
        for (key, counters) in self.counters()? {
            add(&mut totals.requests, counters.requests);
            add_usage(&mut totals.usage, &counters.usage);
            add(&mut totals.cost_pico, counters.cost_pico);
            totals.estimated.add(&counters.estimated);
            if key.cost == CostState::Unpriced {
                add(&mut totals.unpriced, counters.requests);
            }
        }
        Ok(totals)
    }

    /// Everybody who has used the gateway, by stable key.
    pub fn users(&self) -> Result<Vec<User>, ReadError> {
        self.files.main.read(|read| {
            let users = read.open_table(schema::USERS)?;
            users
                .iter()?
                .map(|row| Ok(decode("users", row?.1.value())?))
                .collect()
        })
    }

    /// The stable key behind a login: of several, the one that was here last.
    pub fn key_of(&self, login: &str) -> Result<Option<String>, ReadError> {
        let users = self.users()?.into_iter();
        let named = users.filter(|user| user.login == login);
        Ok(named.max_by_key(|user| user.last).map(|user| user.user))
    }

    /// Whose an upstream object is.
    pub fn owner(&self, provider: &str, upstream: &str) -> Result<Option<String>, ReadError> {
        self.files.main.read(|read| {
            let owned = read.open_table(schema::OWNED)?;
            let row = owned.get((provider, upstream))?;
            Ok(row.map(|row| row.value().0.to_owned()))
        })
    }

    /// The audit trail, newest first, at most `limit`.
    pub fn audit(
        &self,
        cursor: Option<RequestId>,
        limit: usize,
    ) -> Result<Page<AuditEntry>, ReadError> {
        self.audit_of(cursor, None, limit, |_| true)
    }

    /// Those entries of the audit trail that match and were not written before `from`, newest first, at most `limit`. A search
    /// that finds little pauses: there may be fewer, even none, although `next` is set.
    pub fn audit_of(
        &self,
        cursor: Option<RequestId>,
        from: Option<Timestamp>,
        limit: usize,
        matches: impl Fn(&AuditEntry) -> bool,
    ) -> Result<Page<AuditEntry>, ReadError> {
        const SEARCHED: usize = 20_000;
        /// Entries of one moment may be written in any order.
        const MOMENT: u64 = 60_000;
        self.files.main.read(|read| {
            let audit = read.open_table(schema::AUDIT)?;
            let most = cursor.map_or(u128::MAX, |cursor| cursor.0);
            let mut items = Vec::new();
            for (searched, row) in audit.range(..=most)?.rev().enumerate() {
                let (id, entry) = row?;
                if items.len() == limit || searched == SEARCHED {
                    let next = Some(RequestId(id.value()));
                    return Ok(Page { items, next });
                }
                let entry: AuditEntry = decode("audit", entry.value())?;
                let at = entry.at;
                if from.is_some_and(|from| at.0.saturating_add(MOMENT) < from.0) {
                    break;
                }
                if from.is_none_or(|from| at >= from) && matches(&entry) {
                    items.push(entry);
                }
            }
            Ok(Page { items, next: None })
        })
    }

    /// The sessions that a session started, or that were forked from it, `limit` at most.
    pub fn session_children(&self, id: SessionId, limit: usize) -> Result<Vec<Session>, ReadError> {
        self.files.main.read(|read| {
            let children = match read.open_table(schema::SESSION_CHILDREN) {
                // A file that an older version wrote and nobody has opened for writing since.
                Err(redb::TableError::TableDoesNotExist(_)) => return Ok(Vec::new()),
                other => other?,
            };
            let sessions = read.open_table(schema::SESSIONS)?;
            let mut found = Vec::new();
            for row in children.range((id.0, 0)..=(id.0, u128::MAX))?.take(limit) {
                if let Some(row) = sessions.get(row?.0.value().1)? {
                    found.push(decode("sessions", row.value())?);
                }
            }
            Ok(found)
        })
    }

    /// Every version of the configuration, oldest first.
    pub fn config_history(&self) -> Result<Vec<ConfigVersion>, ReadError> {
        self.files.main.read(|read| {
            let history = read.open_table(schema::CONFIG_HISTORY)?;
            history
                .iter()?
                .map(|row| Ok(decode("config_history", row?.1.value())?))
                .collect()
        })
    }

    /// One version of the configuration; none when it has gone, or never was.
    pub fn config_version(&self, version: u64) -> Result<Option<ConfigVersion>, ReadError> {
        self.files.main.read(|read| {
            let history = read.open_table(schema::CONFIG_HISTORY)?;
            let row = history.get(version)?;
            Ok(row
                .map(|row| decode("config_history", row.value()))
                .transpose()?)
        })
    }

    /// What the session index is restored from: requests since then that named a session, oldest first.
    pub fn anchors(&self, since: Timestamp) -> Result<Vec<Anchored>, ReadError> {
        self.files.main.read(|read| {
            let requests = read.open_table(schema::REQUESTS)?;
            let mut found = Vec::new();
            for row in requests.range(RequestId::at(since).0..)? {
                let record: Record = decode("requests", row?.1.value())?;
                if let Some(session) = record.session
                    && !record.anchors.is_empty()
                {
                    let calls = record.tools.into_iter();
                    let calls =
                        calls.filter(|tool| tool.result_error.is_none() && !tool.call.is_empty());
                    found.push(Anchored {
                        user: record.who.user,
                        anchors: record.anchors,
                        calls: calls.map(|tool| tool.call).collect(),
                        session,
                        started: record.started,
                        ended: Timestamp(
                            (record.started.0).saturating_add(record.timings.total_us / 1000),
                        ),
                    });
                }
            }
            Ok(found)
        })
    }
}

/// The requests of one user that are not under way: whose captures an erasure removes.
pub(super) fn requests_of(files: &Files, user: &str) -> Result<Vec<RequestId>, ReadError> {
    files.main.read(|read| {
        let table = read.open_table(schema::POSTINGS)?;
        let ids = postings::oldest(&table, Facet::User, part(user), 0, usize::MAX)?;
        Ok(ids.into_iter().map(RequestId).collect())
    })
}

/// Calls `each` with the hourly rows of one user, at most `most`: a leap for each hour instead of everybody's rows.
pub(super) fn hours_of_user(
    hourly: &impl ReadableTable<HourlyParts<'static>, &'static [u8]>,
    hours: RangeInclusive<u32>,
    user: &str,
    most: usize,
    mut each: impl FnMut(UsageKey, Counters),
) -> Result<(), redb::StorageError> {
    let first = |hour, user| (hour, user, "", "", "", "", "", "", "");
    let (mut hour, last) = hours.into_inner();
    let mut count = 0;
    while hour <= last && count < most {
        let mut next = None;
        for row in hourly.range(first(hour, user)..)? {
            let (key, value) = row?;
            let parts = key.value();
            if parts.0 != hour || parts.1 != user {
                // The next hour that anybody has, or this one again for a later user of it.
                next = Some(parts.0.max(hour.saturating_add(1)));
                break;
            }
            each(
                UsageKey::from_hourly(parts),
                Counters::from_row(value.value()),
            );
            count += 1;
            if count == most {
                break;
            }
        }
        match next {
            Some(next) if next > hour => hour = next,
            _ => break,
        }
    }
    Ok(())
}
