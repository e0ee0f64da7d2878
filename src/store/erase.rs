//! Erasing a person: records without texts or names, counters under nobody's name.
//!
//! Owns: what of a record is personal, and the steps that take it out of `aperture.redb`; what there is of a person before.
//! In: the stable key of a user. Out: how much was changed. Their captures are removed before this begins, so that a crash
//! in the middle leaves work to repeat, never a body that nothing leads to. The file is renewed last: redb leaves deleted bytes in it.
//! Must not know: threads, captures.

use super::apply::{Batch, Encoded};
use super::codec::{decode, encode};
use super::event::Erased;
use super::file::{File, ReadError};
use super::query::{hours_of_user, requests_of};
use super::schema::{self, Facet};
use super::snapshot::renew;
use super::usage::{Counters, ToolCounters, part};
use super::{AuditEntry, ConfigVersion, Store, User, postings};
use crate::record::{End, Record, RequestId, Who};
use redb::{ReadableTable, TableDefinition, WriteTransaction};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use std::collections::BTreeSet;

/// The key under which erased data counts. Keys of people and tags have a prefix, so it is nobody's.
pub const ERASED: &str = "erased";

/// Rows that one small transaction changes.
const STEP: usize = 256;

/// What is kept of one person.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Personal {
    /// Requests that have ended.
    pub records: u64,
    /// Requests under way.
    pub in_flight: u64,
    /// Requests with bodies.
    pub captures: u64,
    /// Conversations.
    pub sessions: u64,
    /// Objects stored at providers.
    pub owned: u64,
    /// Audit entries and versions of the configuration that name them.
    pub audit: u64,
}

/// Where an erasure stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Records,
    Counters,
    Audit,
    History,
    Renew,
}

/// The erasure of one person.
#[derive(Debug)]
pub(super) struct Erasing {
    user: String,
    logins: Vec<String>,
    phase: Phase,
    /// Rows of this phase up to here are done.
    after: u128,
    pub(super) done: Erased,
}

/// What may be kept of an erased person's request.
fn anonymous(record: &Record) -> Record {
    Record {
        who: Who {
            user: ERASED.into(),
            ..Who::default()
        },
        grant: None,
        path: String::new(),
        provider_request_id: None,
        session: None,
        parent_session: None,
        agent: None,
        title: None,
        tools: Vec::new(),
        workspace: None,
        anchors: Vec::new(),
        // A name that no provider has is whatever the person typed.
        model_asked: record
            .model_asked
            .clone()
            .filter(|_| record.model.is_some()),
        ..record.clone()
    }
}

/// Whether a text is, or names, this person; then the name gives way to nobody's.
fn forget(user: &str, logins: &[String], text: &mut String) -> bool {
    let mut changed = false;
    for name in logins.iter().map(String::as_str).chain([user]) {
        if name.is_empty() || !text.contains(name) {
            continue;
        }
        let without = replace_word(text, name);
        changed |= without != *text;
        *text = without;
    }
    changed
}

/// The same for an audit entry. A login may have passed to somebody else: with another key it is theirs.
fn forget_entry(user: &str, logins: &[String], entry: &mut AuditEntry) -> bool {
    let own = entry.who == user;
    if own {
        ERASED.clone_into(&mut entry.who);
        entry.login.clear();
    }
    let subject = forget(user, logins, &mut entry.subject);
    forget(user, logins, &mut entry.detail) || subject || own
}

/// The same for who saved a version of the configuration, not for its text.
fn forget_author(user: &str, logins: &[String], version: &mut ConfigVersion) -> bool {
    let own = version.who == user;
    if own {
        ERASED.clone_into(&mut version.who);
        version.login.clear();
    }
    forget(user, logins, &mut version.summary) || own
}

/// Replaces a name where it stands alone: `user:1` is no part of `user:12`, nor `ann@x.org` of `joann@x.org`.
fn replace_word(text: &str, name: &str) -> String {
    let part_of_name = |c: char| c.is_alphanumeric() || "@.:-_+".contains(c);
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find(name) {
        let (before, after) = (&rest[..at], &rest[at + name.len()..]);
        let alone = !before.chars().next_back().is_some_and(part_of_name)
            && !after.chars().next().is_some_and(part_of_name);
        out.push_str(before);
        out.push_str(if alone { ERASED } else { name });
        rest = after;
    }
    out.push_str(rest);
    out
}

/// Changes the next rows of a table of entries. Returns where to go on, and how many were changed.
fn rename<K, T>(
    write: &WriteTransaction,
    table: TableDefinition<'static, K, &'static [u8]>,
    from: K,
    change: impl Fn(&mut T) -> bool,
    place: impl Fn(K) -> u128,
) -> Result<(Option<u128>, u64), redb::Error>
where
    K: redb::Key + Copy + for<'a> redb::Value<SelfType<'a> = K> + 'static,
    T: Serialize + DeserializeOwned,
{
    let mut table = write.open_table(table)?;
    let mut changed = Vec::new();
    let mut last = None;
    for row in table.range(from..)?.take(STEP) {
        let (key, bytes) = row?;
        last = Some(place(key.value()));
        let Ok(mut entry) = decode::<T>("audit", bytes.value()) else {
            continue;
        };
        if change(&mut entry) {
            changed.push((key.value(), encode(&entry)));
        }
    }
    for (key, bytes) in &changed {
        table.insert(*key, bytes.as_slice())?;
    }
    Ok((last, changed.len() as u64))
}

impl Store {
    /// Whom a text means: the stable key of a user or tag set, or a login, which several may have had in turn.
    pub fn users_called(&self, name: &str) -> Result<Vec<User>, ReadError> {
        let users = self.users()?;
        let by_key: Vec<_> = users
            .iter()
            .filter(|user| user.user == name)
            .cloned()
            .collect();
        if by_key.is_empty() {
            return Ok(users
                .into_iter()
                .filter(|user| user.login == name)
                .collect());
        }
        Ok(by_key)
    }

    /// The logins under which a person's requests came, and the one that is known last.
    pub fn logins(&self, user: &str) -> Result<Vec<String>, ReadError> {
        let ids = requests_of(&self.files, user)?;
        let mut logins: BTreeSet<String> = self
            .users_called(user)?
            .into_iter()
            .map(|user| user.login)
            .collect();
        self.files.main.read(|read| {
            let requests = read.open_table(schema::REQUESTS)?;
            for id in ids {
                if let Some(row) = requests.get(id.0)?
                    && let Ok(record) = decode::<Record>("requests", row.value())
                {
                    logins.insert(record.who.login);
                }
            }
            Ok(())
        })?;
        logins.remove("");
        Ok(logins.into_iter().collect())
    }

    /// What is kept of a person. Looks at each of their requests.
    pub fn personal(&self, user: &str, logins: &[String]) -> Result<Personal, ReadError> {
        let ids = requests_of(&self.files, user)?;
        let mut found = Personal::default();
        self.files.main.read(|read| {
            let requests = read.open_table(schema::REQUESTS)?;
            for id in &ids {
                let Some(row) = requests.get(id.0)? else {
                    continue;
                };
                let record: Record = decode("requests", row.value())?;
                let count = if record.end == End::InFlight {
                    &mut found.in_flight
                } else {
                    &mut found.records
                };
                *count += 1;
            }
            let user = part(user);
            let recent = read.open_table(schema::SESSIONS_RECENT)?;
            found.sessions = recent.range((user, 0)..=(user, u128::MAX))?.count() as u64;
            for row in read.open_table(schema::OWNED)?.iter()? {
                found.owned += u64::from(row?.1.value().0 == user);
            }
            for row in read.open_table(schema::AUDIT)?.iter()? {
                let mut entry: AuditEntry = decode("audit", row?.1.value())?;
                found.audit += u64::from(forget_entry(user, logins, &mut entry));
            }
            for row in read.open_table(schema::CONFIG_HISTORY)?.iter()? {
                let mut version: ConfigVersion = decode("config_history", row?.1.value())?;
                found.audit += u64::from(forget_author(user, logins, &mut version));
            }
            Ok(())
        })?;
        self.files.captures.read(|read| {
            let captures = read.open_table(schema::CAPTURES)?;
            for id in &ids {
                found.captures += u64::from(captures.get(id.0)?.is_some());
            }
            Ok(())
        })?;
        Ok(found)
    }
}

impl Erasing {
    pub(super) fn new(user: String, logins: Vec<String>) -> Self {
        Self {
            user,
            logins,
            phase: Phase::Records,
            after: 0,
            done: Erased::default(),
        }
    }

    /// One small transaction; true when nothing is left to do.
    pub(super) fn step(&mut self, file: &File) -> Result<bool, redb::Error> {
        match self.phase {
            Phase::Records => {
                let (after, count, in_flight) = file.write(|write| self.records(write))?;
                self.done.records += count;
                self.done.in_flight += in_flight;
                self.advance(after, Phase::Counters);
            }
            Phase::Counters => {
                let moved = file.write(|write| {
                    let moved = self.usage(write)? + self.tools(write)?;
                    if moved == 0 {
                        self.totals(write)?;
                        self.keys(write)?;
                    }
                    Ok(moved)
                })?;
                if moved == 0 {
                    self.advance(None, Phase::Audit);
                }
            }
            Phase::Audit => {
                let (after, count) = file.write(|write| {
                    let from = self.after.saturating_add(1);
                    let entry =
                        |entry: &mut AuditEntry| forget_entry(&self.user, &self.logins, entry);
                    rename(write, schema::AUDIT, from, entry, |key| key)
                })?;
                self.done.audit += count;
                self.advance(after, Phase::History);
            }
            Phase::History => {
                let (after, count) = file.write(|write| {
                    let from = u64::try_from(self.after)
                        .unwrap_or(u64::MAX)
                        .saturating_add(1);
                    let version = |version: &mut ConfigVersion| {
                        forget_author(&self.user, &self.logins, version)
                    };
                    rename(write, schema::CONFIG_HISTORY, from, version, u128::from)
                })?;
                self.done.audit += count;
                self.advance(after, Phase::Renew);
            }
            Phase::Renew => {
                renew(file).map_err(|error| redb::Error::Io(std::io::Error::other(error)))?;
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// On to the rows after that one, or to the next phase.
    fn advance(&mut self, after: Option<u128>, next: Phase) {
        self.after = after.unwrap_or_default();
        if after.is_none() {
            self.phase = next;
        }
    }

    /// Lets go of the user's own key, and of what it owns at providers.
    fn keys(&self, write: &WriteTransaction) -> Result<(), redb::Error> {
        write.open_table(schema::USERS)?.remove(part(&self.user))?;
        let mut owned = write.open_table(schema::OWNED)?;
        owned.retain(|_, (owner, _)| owner != self.user)?;
        Ok(())
    }

    /// Makes the next records anonymous. Returns where to go on, how many were changed, and how many are under way.
    fn records(&self, write: &WriteTransaction) -> Result<(Option<u128>, u64, u64), redb::Error> {
        let user = part(&self.user);
        let ids = {
            let table = write.open_table(schema::POSTINGS)?;
            let least = self.after.saturating_add(1);
            postings::oldest(&table, Facet::User, user, least, STEP)?
        };
        let Some(&last) = ids.last() else {
            return Ok((None, 0, 0));
        };
        let mut batch = Batch::open(write)?;
        let (mut count, mut in_flight) = (0, 0);
        for id in ids {
            let Some(record) = batch.stored(RequestId(id))? else {
                continue;
            };
            if record.end == End::InFlight {
                in_flight += 1;
                continue;
            }
            let new = anonymous(&record);
            batch.replace(Some(&record), Some(&Encoded::new(&new)))?;
            if let Some(session) = record.session {
                batch.forget_title(session)?;
            }
            count += 1;
        }
        batch.finish(write)?;
        Ok((Some(last), count, in_flight))
    }

    /// Moves hourly counters; returns how many rows.
    fn usage(&self, write: &WriteTransaction) -> Result<usize, redb::Error> {
        let mut hourly = write.open_table(schema::USAGE_HOURLY)?;
        let mut rows = Vec::new();
        hours_of_user(
            &hourly,
            0..=u32::MAX,
            part(&self.user),
            STEP,
            |key, counters| {
                rows.push((key, counters));
            },
        )?;
        for (key, counters) in &rows {
            hourly.remove(key.hourly_parts())?;
            let mut to = key.clone();
            ERASED.clone_into(&mut to.user);
            let mut sum = hourly
                .get(to.hourly_parts())?
                .map_or_else(Counters::default, |row| Counters::from_row(row.value()));
            sum.add(counters);
            hourly.insert(to.hourly_parts(), sum.to_row().as_slice())?;
        }
        Ok(rows.len())
    }

    /// Moves hourly counters of tools; returns how many rows.
    fn tools(&self, write: &WriteTransaction) -> Result<usize, redb::Error> {
        let mut hourly = write.open_table(schema::TOOLS_HOURLY)?;
        let user = part(&self.user);
        let mut rows = Vec::new();
        for row in hourly.iter()? {
            let (key, value) = row?;
            let (hour, owner, tool) = key.value();
            if owner == user {
                rows.push((hour, tool.to_owned(), ToolCounters::from_row(value.value())));
                if rows.len() == STEP {
                    break;
                }
            }
        }
        for (hour, tool, counters) in &rows {
            hourly.remove((*hour, user, tool.as_str()))?;
            let to = (*hour, ERASED, tool.as_str());
            let mut sum = hourly.get(to)?.map_or_else(ToolCounters::default, |row| {
                ToolCounters::from_row(row.value())
            });
            sum.add(counters);
            hourly.insert(to, sum.to_row().as_slice())?;
        }
        Ok(rows.len())
    }

    fn totals(&self, write: &WriteTransaction) -> Result<(), redb::Error> {
        let mut totals = write.open_table(schema::USAGE_TOTALS)?;
        let user = part(&self.user);
        let mut rows = Vec::new();
        for row in totals.range((user, "", "", "", "", "", "", "")..)? {
            let (key, value) = row?;
            let parts = key.value();
            if parts.0 != user {
                break;
            }
            rows.push((
                super::UsageKey::from_parts(0, parts),
                Counters::from_row(value.value()),
            ));
        }
        for (mut key, counters) in rows {
            totals.remove(key.parts())?;
            ERASED.clone_into(&mut key.user);
            let mut sum = totals
                .get(key.parts())?
                .map_or_else(Counters::default, |row| Counters::from_row(row.value()));
            sum.add(&counters);
            totals.insert(key.parts(), sum.to_row().as_slice())?;
        }
        Ok(())
    }
}
