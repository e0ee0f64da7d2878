//! Retention: what goes when, in small transactions. Captures go first, counters last.
//!
//! Owns: [`Retention`] and the steps for `aperture.redb`; `captures` has those of its file. In: the time and the settings.
//! Out: how much went. Must not know: threads.

use super::apply::Batch;
use super::codec::decode;
use super::file::File;
use super::schema;
use super::writer::Pruned;
use crate::record::{Record, RequestId, Timestamp};
use redb::{ReadableTable, WriteTransaction};
use std::time::Duration;

/// Rows that one small transaction removes.
const STEP: usize = 256;

/// How long things are kept; none = for ever.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Retention {
    /// Bodies; never longer than the records they belong to.
    pub captures: Option<Duration>,
    /// Bytes of all bodies together, compressed; the oldest go first.
    pub capture_bytes: u64,
    /// Records of requests and sessions.
    pub records: Option<Duration>,
    /// Bytes of all records together; the oldest go first.
    pub record_bytes: Option<u64>,
    /// Hourly counters; the totals since creation stay.
    pub counters: Option<Duration>,
    /// The audit trail.
    pub audit: Option<Duration>,
}

impl Default for Retention {
    fn default() -> Self {
        Self {
            captures: None,
            capture_bytes: 10 << 30,
            records: None,
            record_bytes: None,
            counters: None,
            audit: None,
        }
    }
}

/// The time `age` before `now`; without an age, the beginning of time.
fn before(now: Timestamp, age: Option<Duration>) -> Timestamp {
    let age = age.map(|age| u64::try_from(age.as_millis()).unwrap_or(u64::MAX));
    Timestamp(age.map_or(0, |age| now.0.saturating_sub(age)))
}

impl Retention {
    /// Captures of requests before this one are too old.
    pub(super) fn captures_before(&self, now: Timestamp) -> RequestId {
        RequestId::at(before(now, self.captures).max(before(now, self.records)))
    }
}

/// One round of pruning `aperture.redb`.
#[derive(Debug)]
pub(super) struct Pruning {
    now: Timestamp,
    retention: Retention,
    pub(super) done: Pruned,
}

impl Pruning {
    pub(super) const fn new(now: Timestamp, retention: Retention) -> Self {
        Self {
            now,
            retention,
            done: Pruned {
                captures: 0,
                records: 0,
                counters: 0,
                audit: 0,
            },
        }
    }

    /// One small transaction; true when nothing is left to do.
    pub(super) fn step(&mut self, file: &File) -> Result<bool, redb::Error> {
        let Retention {
            records,
            record_bytes,
            counters,
            audit,
            ..
        } = self.retention;
        if records.is_none() && record_bytes.is_none() && counters.is_none() && audit.is_none() {
            return Ok(true);
        }
        let (removed, rows, entries) = file.write(|write| {
            let removed = self.records(write)?;
            // Counters last: only when no record is waiting to go.
            let rows = if removed < STEP {
                self.counters(write)?
            } else {
                0
            };
            Ok((removed, rows, self.audit(write)?))
        })?;
        self.done.records += removed as u64;
        self.done.counters += rows as u64;
        self.done.audit += entries as u64;
        Ok(removed < STEP && rows < STEP && entries < STEP)
    }

    fn records(&self, write: &WriteTransaction) -> Result<usize, redb::Error> {
        let cutoff = RequestId::at(before(self.now, self.retention.records)).0;
        let mut excess = self.excess(write)?;
        let mut old: Vec<(u128, Option<Record>)> = Vec::new();
        {
            let requests = write.open_table(schema::REQUESTS)?;
            for row in requests.iter()?.take(STEP) {
                let (id, bytes) = row?;
                if id.value() >= cutoff && excess <= 0 {
                    break;
                }
                excess -= i64::try_from(bytes.value().len()).unwrap_or(i64::MAX);
                old.push((id.value(), decode("requests", bytes.value()).ok()));
            }
        }
        if old.is_empty() {
            return Ok(0);
        }
        let mut batch = Batch::open(write)?;
        let mut damaged = Vec::new();
        for (id, record) in &old {
            match record {
                Some(record) => batch.remove(record)?,
                None => damaged.push(*id),
            }
        }
        batch.finish(write)?;
        let mut requests = write.open_table(schema::REQUESTS)?;
        for id in damaged {
            requests.remove(id)?;
        }
        Ok(old.len())
    }

    /// Bytes of records above the cap.
    fn excess(&self, write: &WriteTransaction) -> Result<i64, redb::Error> {
        let Some(cap) = self.retention.record_bytes else {
            return Ok(0);
        };
        let meta = write.open_table(schema::META)?;
        let bytes = meta.get("record_bytes")?;
        let bytes: i64 = bytes
            .and_then(|text| text.value().parse().ok())
            .unwrap_or(0);
        Ok(bytes - i64::try_from(cap).unwrap_or(i64::MAX))
    }

    fn counters(&self, write: &WriteTransaction) -> Result<usize, redb::Error> {
        if self.retention.counters.is_none() {
            return Ok(0);
        }
        let cutoff = before(self.now, self.retention.counters);
        let hour = cutoff.hour();
        let mut usage = write.open_table(schema::USAGE_HOURLY)?;
        let end = (hour, "", "", "", "", "", "", "", "");
        let mut removed = 0;
        for row in usage.extract_from_if(..end, |_, _| true)?.take(STEP) {
            row?;
            removed += 1;
        }
        let mut tools = write.open_table(schema::TOOLS_HOURLY)?;
        let left = STEP - removed;
        for row in tools
            .extract_from_if(..(hour, "", ""), |_, _| true)?
            .take(left)
        {
            row?;
            removed += 1;
        }
        // Who has neither records nor counters left is forgotten.
        let mut users = write.open_table(schema::USERS)?;
        users.retain(|_, row| {
            decode::<super::User>("users", row).is_ok_and(|user| user.last >= cutoff)
        })?;
        Ok(removed)
    }

    fn audit(&self, write: &WriteTransaction) -> Result<usize, redb::Error> {
        if self.retention.audit.is_none() {
            return Ok(0);
        }
        let cutoff = RequestId::at(before(self.now, self.retention.audit)).0;
        let mut audit = write.open_table(schema::AUDIT)?;
        let mut removed = 0;
        for row in audit.extract_from_if(..cutoff, |_, _| true)?.take(STEP) {
            row?;
            removed += 1;
        }
        Ok(removed)
    }
}
