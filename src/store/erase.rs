//! Erasing a person: records without texts or names, counters under nobody's name.
//!
//! Owns: what of a record is personal, and the steps that take it out of `aperture.redb`. In: the stable key of a user.
//! Out: how much was changed. Their captures are removed before this begins, so that a crash in the middle leaves work to
//! repeat, never a body that nothing leads to. Must not know: threads, captures.

use super::apply::{Batch, Encoded};
use super::file::File;
use super::query::hours_of_user;
use super::schema::{self, Facet};
use super::usage::{Counters, ToolCounters, part};
use super::writer::Erased;
use crate::record::{End, Record, RequestId, Who};
use redb::{ReadableTable, WriteTransaction};

/// The key under which erased data counts. Keys of people and tags have a prefix, so it is nobody's.
pub const ERASED: &str = "erased";

/// Rows that one small transaction changes.
const STEP: usize = 256;

/// The erasure of one person.
#[derive(Debug)]
pub(super) struct Erasing {
    user: String,
    /// Records up to here are done.
    after: u128,
    records_done: bool,
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
        anchors: Vec::new(),
        ..record.clone()
    }
}

impl Erasing {
    pub(super) fn new(user: String) -> Self {
        Self {
            user,
            after: 0,
            records_done: false,
            done: Erased::default(),
        }
    }

    /// One small transaction; true when nothing is left to do.
    pub(super) fn step(&mut self, file: &File) -> Result<bool, redb::Error> {
        if !self.records_done {
            let (after, count, in_flight) = file.write(|write| self.records(write))?;
            self.done.records += count;
            self.done.in_flight += in_flight;
            match after {
                Some(after) => self.after = after,
                None => self.records_done = true,
            }
            return Ok(false);
        }
        file.write(|write| {
            if self.usage(write)? + self.tools(write)? > 0 {
                return Ok(false);
            }
            self.totals(write)?;
            write.open_table(schema::USERS)?.remove(part(&self.user))?;
            let mut owned = write.open_table(schema::OWNED)?;
            owned.retain(|_, (owner, _)| owner != self.user)?;
            Ok(true)
        })
    }

    /// Makes the next records anonymous. Returns where to go on, how many were changed, and how many are under way.
    fn records(&self, write: &WriteTransaction) -> Result<(Option<u128>, u64, u64), redb::Error> {
        let user = part(&self.user);
        let ids: Vec<u128> = {
            let postings = write.open_table(schema::REQUESTS_BY)?;
            let facet = Facet::User as u8;
            let first = (facet, user, self.after.saturating_add(1));
            let rows = postings.range(first..=(facet, user, u128::MAX))?;
            rows.take(STEP)
                .map(|row| Ok(row?.0.value().2))
                .collect::<Result<_, redb::StorageError>>()?
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
            let new = Encoded::new(anonymous(&record));
            batch.replace(Some(&record), Some(&new))?;
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
