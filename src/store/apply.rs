//! What one change of a record does to the tables of `aperture.redb`, inside an open transaction.
//!
//! Owns: [`Batch`], the only code that writes requests, postings, sessions and counters. Every change is the difference
//! between the stored record and the new one, so a batch that is applied twice (a commit whose fate was unknown) counts
//! once. Counters and summaries are gathered in memory and written once for each key.
//! In: records with their bytes, encoded before the transaction opened. Must not know: threads, queues, files.

use super::codec::{decode, encode};
use super::postings::Changes;
use super::schema::{self, Facet};
use super::summary::{Session, User};
use super::usage::{Counters, StatusClass, ToolCounters, ToolKey, UsageKey, part};
use super::words;
use crate::record::{End, Record, RequestId, SessionId, Timestamp};
use redb::{ReadableTable, Table, WriteTransaction};
use std::collections::{BTreeMap, BTreeSet, HashMap};

/// A record and its bytes, ready for the table.
#[derive(Clone, Debug)]
pub(super) struct Encoded<'a> {
    pub(super) record: &'a Record,
    pub(super) bytes: Vec<u8>,
}

impl<'a> Encoded<'a> {
    pub(super) fn new(record: &'a Record) -> Self {
        let bytes = encode(record);
        Self { record, bytes }
    }
}

/// A summary as it was and as it becomes.
struct Running {
    before: Option<Session>,
    now: Option<Session>,
    /// The newest request went away: look for the one before it.
    newest_gone: bool,
}

/// The tables of one transaction, and the sums of one batch.
pub(super) struct Batch<'t> {
    requests: Table<'t, u128, &'static [u8]>,
    sessions: Table<'t, u128, &'static [u8]>,
    session_requests: Table<'t, (u128, u128), ()>,
    sessions_recent: Table<'t, (&'static str, u128), u128>,
    session_children: Table<'t, (u128, u128), ()>,
    users: Table<'t, &'static str, &'static [u8]>,
    meta: Table<'t, &'static str, &'static str>,
    postings: Changes,
    /// Boxed: each batch begins with an empty table, which grows while it is filled.
    running: HashMap<SessionId, Box<Running>>,
    usage: BTreeMap<UsageKey, Counters>,
    tools: BTreeMap<ToolKey, ToolCounters>,
    seen: BTreeMap<String, User>,
    /// Bytes of records that this batch adds (or, negative, takes).
    record_bytes: i64,
}

/// Where a record is posted.
fn postings(record: &Record) -> BTreeSet<(Facet, String)> {
    let mut found: BTreeSet<_> = words::of_record(record)
        .into_iter()
        .map(|word| (Facet::Text, word))
        .collect();
    let mut post = |facet, value: &str| {
        if !value.is_empty() {
            found.insert((facet, part(value).to_owned()));
        }
    };
    post(Facet::User, &record.who.user);
    post(Facet::Provider, record.provider.as_deref().unwrap_or(""));
    post(Facet::Model, record.model.as_deref().unwrap_or(""));
    post(Facet::Client, &record.client.name);
    post(Facet::Class, StatusClass::of(record.status).as_str());
    post(Facet::End, record.end.as_str());
    found
}

impl<'t> Batch<'t> {
    pub(super) fn open(write: &'t WriteTransaction) -> Result<Self, redb::Error> {
        Ok(Self {
            requests: write.open_table(schema::REQUESTS)?,
            sessions: write.open_table(schema::SESSIONS)?,
            session_requests: write.open_table(schema::SESSION_REQUESTS)?,
            sessions_recent: write.open_table(schema::SESSIONS_RECENT)?,
            session_children: write.open_table(schema::SESSION_CHILDREN)?,
            users: write.open_table(schema::USERS)?,
            meta: write.open_table(schema::META)?,
            postings: Changes::default(),
            running: HashMap::new(),
            usage: BTreeMap::new(),
            tools: BTreeMap::new(),
            seen: BTreeMap::new(),
            record_bytes: 0,
        })
    }

    /// The stored record. One that can't be read counts as absent: it is replaced by what comes.
    pub(super) fn stored(&self, id: RequestId) -> Result<Option<Record>, redb::Error> {
        let row = self.requests.get(id.0)?;
        Ok(row.and_then(|row| decode("requests", row.value()).ok()))
    }

    /// Writes a started, checkpointed or finished record. A finished one is never changed by a later event.
    pub(super) fn put(&mut self, new: &Encoded<'_>) -> Result<(), redb::Error> {
        let old = self.stored(new.record.id)?;
        if old.as_ref().is_some_and(|old| old.end != End::InFlight) {
            return Ok(());
        }
        self.replace(old.as_ref(), Some(new))?;
        if new.record.end != End::InFlight {
            self.count(new.record);
        }
        Ok(())
    }

    /// Notes on a stored record that its bodies were lost after all.
    pub(super) fn capture_lost(&mut self, id: RequestId, why: &str) -> Result<(), redb::Error> {
        let Some(old) = self.stored(id)? else {
            return Ok(());
        };
        let mut new = old.clone();
        new.capture_lost.get_or_insert_with(|| why.to_owned());
        self.replace(Some(&old), Some(&Encoded::new(&new)))
    }

    /// Takes a record out of the tables, not out of the counters.
    pub(super) fn remove(&mut self, old: &Record) -> Result<(), redb::Error> {
        self.replace(Some(old), None)
    }

    /// The difference between two states of one record, in every table but the counters.
    pub(super) fn replace(
        &mut self,
        old: Option<&Record>,
        new: Option<&Encoded<'_>>,
    ) -> Result<(), redb::Error> {
        let Some(id) = old.map(|old| old.id).or(new.map(|new| new.record.id)) else {
            return Ok(());
        };
        let replaced = match new {
            Some(new) => {
                self.record_bytes += length(&new.bytes);
                self.requests.insert(id.0, new.bytes.as_slice())?
            }
            None => self.requests.remove(id.0)?,
        };
        self.record_bytes -= replaced.map_or(0, |row| length(row.value()));
        let new = new.map(|new| new.record);
        self.replace_postings(id, old, new);
        let (from, to) = (
            old.and_then(|old| old.session),
            new.and_then(|new| new.session),
        );
        if from != to {
            if let Some(from) = from {
                self.session_requests.remove((from.0, id.0))?;
            }
            if let Some(to) = to {
                self.session_requests.insert((to.0, id.0), ())?;
            }
        }
        if let Some((session, old)) = from.zip(old) {
            let running = self.running(session)?;
            if let Some(now) = &mut running.now {
                now.subtract(old);
                running.newest_gone |= now.newest == id && from != to;
            }
        }
        if let Some((session, new)) = to.zip(new) {
            let running = self.running(session)?;
            running
                .now
                .get_or_insert_with(|| Session::empty(session, new))
                .add(new);
        }
        if let Some(new) = new {
            self.see(new);
        }
        Ok(())
    }

    fn replace_postings(&mut self, id: RequestId, old: Option<&Record>, new: Option<&Record>) {
        let mut before = old.map(postings).unwrap_or_default();
        for posting in new.map(postings).unwrap_or_default() {
            if !before.remove(&posting) {
                let (facet, value) = posting;
                self.postings.add(facet, value, id.0);
            }
        }
        for (facet, value) in before {
            self.postings.take(facet, value, id.0);
        }
    }

    fn running(&mut self, id: SessionId) -> Result<&mut Running, redb::Error> {
        if !self.running.contains_key(&id) {
            let row = self.sessions.get(id.0)?;
            let before: Option<Session> = row.and_then(|row| decode("sessions", row.value()).ok());
            let now = before.clone();
            let running = Running {
                before,
                now,
                newest_gone: false,
            };
            self.running.insert(id, Box::new(running));
        }
        Ok(self
            .running
            .get_mut(&id)
            .expect("invariant: inserted above"))
    }

    /// Forgets the title of a session that keeps some of its requests.
    pub(super) fn forget_title(&mut self, id: SessionId) -> Result<(), redb::Error> {
        if let Some(now) = &mut self.running(id)?.now {
            now.title = None;
            now.titled_by = None;
        }
        Ok(())
    }

    fn see(&mut self, record: &Record) {
        let hour = Timestamp(u64::from(record.started.hour()) * 3_600_000);
        let user = self
            .seen
            .entry(part(&record.who.user).to_owned())
            .or_insert_with(|| User {
                user: record.who.user.clone(),
                login: record.who.login.clone(),
                first: record.started,
                last: hour,
            });
        if hour >= user.last {
            user.last = hour;
            user.login.clone_from(&record.who.login);
        }
        user.first = user.first.min(record.started);
    }

    /// Adds a finished record to the counters.
    pub(super) fn count(&mut self, record: &Record) {
        self.usage
            .entry(UsageKey::of(record))
            .or_default()
            .add(&Counters::of(record));
        for (key, counters) in ToolCounters::of(record) {
            self.tools.entry(key).or_default().add(&counters);
        }
    }

    /// Sets a name in `meta`.
    pub(super) fn set_meta(&mut self, name: &str, text: &str) -> Result<(), redb::Error> {
        self.meta.insert(name, text)?;
        Ok(())
    }

    /// Writes what was gathered. `write` is the transaction of [`Batch::open`].
    pub(super) fn finish(mut self, write: &WriteTransaction) -> Result<(), redb::Error> {
        self.write_sessions()?;
        self.write_users()?;
        self.postings.apply(write)?;
        if self.record_bytes != 0 {
            let stored = self.meta.get("record_bytes")?;
            let bytes: i64 = stored
                .and_then(|text| text.value().parse().ok())
                .unwrap_or(0);
            let sum = (bytes + self.record_bytes).max(0).to_string();
            self.meta.insert("record_bytes", sum.as_str())?;
        }
        if !self.usage.is_empty() {
            let mut hourly = write.open_table(schema::USAGE_HOURLY)?;
            let mut totals = write.open_table(schema::USAGE_TOTALS)?;
            let mut sums: BTreeMap<UsageKey, Counters> = BTreeMap::new();
            for (key, counters) in &self.usage {
                let parts = key.hourly_parts();
                let mut row = hourly
                    .get(parts)?
                    .map_or_else(Counters::default, |row| Counters::from_row(row.value()));
                row.add(counters);
                hourly.insert(parts, row.to_row().as_slice())?;
                let mut ever = key.clone();
                ever.hour = 0;
                sums.entry(ever).or_default().add(counters);
            }
            for (key, counters) in &sums {
                let mut row = totals
                    .get(key.parts())?
                    .map_or_else(Counters::default, |row| Counters::from_row(row.value()));
                row.add(counters);
                totals.insert(key.parts(), row.to_row().as_slice())?;
            }
        }
        if !self.tools.is_empty() {
            let mut hourly = write.open_table(schema::TOOLS_HOURLY)?;
            for (key, counters) in &self.tools {
                let called = key.called();
                let parts = (key.hour, key.user.as_str(), called.as_str());
                let mut row = hourly
                    .get(parts)?
                    .map_or_else(ToolCounters::default, |row| {
                        ToolCounters::from_row(row.value())
                    });
                row.add(counters);
                hourly.insert(parts, row.to_row().as_slice())?;
            }
        }
        Ok(())
    }

    fn write_sessions(&mut self) -> Result<(), redb::Error> {
        let place = |session: &Session| (part(&session.user).to_owned(), session.newest.0);
        let mut moved = Vec::new();
        for (id, running) in std::mem::take(&mut self.running) {
            let mut now = running.now.filter(|now| now.requests > 0);
            if running.newest_gone
                && let Some(now) = &mut now
            {
                let range = (id.0, 0)..=(id.0, u128::MAX);
                if let Some(last) = self.session_requests.range(range)?.next_back() {
                    now.newest = RequestId(last?.0.value().1);
                }
            }
            match &now {
                Some(now) => self.sessions.insert(id.0, encode(now).as_slice())?,
                None => self.sessions.remove(id.0)?,
            };
            let parent = |session: &Option<Session>| session.as_ref().and_then(|one| one.parent);
            let (old, new) = (parent(&running.before), parent(&now));
            if old != new {
                if let Some(old) = old {
                    self.session_children.remove((old.0, id.0))?;
                }
                if let Some(new) = new {
                    self.session_children.insert((new.0, id.0), ())?;
                }
            }
            let (from, to) = (running.before.as_ref().map(place), now.as_ref().map(place));
            if from != to {
                moved.push((id, from, to));
            }
        }
        // All old places first: a request that changed its session gives its place to the other one.
        for (user, newest) in moved.iter().filter_map(|(_, from, _)| from.as_ref()) {
            self.sessions_recent.remove(("", *newest))?;
            self.sessions_recent.remove((user.as_str(), *newest))?;
        }
        for (id, _, to) in &moved {
            if let Some((user, newest)) = to {
                self.sessions_recent.insert(("", *newest), id.0)?;
                self.sessions_recent
                    .insert((user.as_str(), *newest), id.0)?;
            }
        }
        Ok(())
    }

    fn write_users(&mut self) -> Result<(), redb::Error> {
        for (key, seen) in std::mem::take(&mut self.seen) {
            let before: Option<User> = {
                let row = self.users.get(key.as_str())?;
                row.and_then(|row| decode("users", row.value()).ok())
            };
            let now = match &before {
                Some(before) => User {
                    first: before.first.min(seen.first),
                    last: before.last.max(seen.last),
                    login: if seen.last >= before.last {
                        seen.login
                    } else {
                        before.login.clone()
                    },
                    user: seen.user,
                },
                None => seen,
            };
            if before.as_ref() != Some(&now) {
                self.users.insert(key.as_str(), encode(&now).as_slice())?;
            }
        }
        Ok(())
    }
}

fn length(bytes: &[u8]) -> i64 {
    i64::try_from(bytes.len()).unwrap_or(i64::MAX)
}
