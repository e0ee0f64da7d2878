//! Repricing: what stored requests would cost by other prices, and putting that down.
//!
//! Owns: the walk over records, in small steps, and how a changed price moves through the counters. In: a range and a
//! [`Pricer`]. Out: the difference, by provider and model. A step is one transaction: records, summaries and counters
//! change together, so that a walk that stops anywhere leaves sums that agree, and one that starts again does the rest.
//! Must not know: where prices come from.

use super::apply::{Batch, Encoded};
use super::codec::decode;
use super::file::{File, ReadError};
use super::schema;
use super::usage::{Counters, UsageKey, add, part};
use crate::record::{CostState, End, Record, RequestId, Timestamp};
use redb::{ReadableTable, WriteTransaction};
use serde::{Deserialize, Serialize};
use std::{collections::BTreeMap, fmt, sync::Arc};

/// Records that one transaction changes.
const CHANGES: usize = 256;
/// Records that one transaction looks at.
const STEP: usize = 4096;
/// Lines of a difference; further models count together.
const LINES: usize = 4096;

/// Which records are priced again.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RepriceScope {
    /// Begun at this time or later.
    pub since: Option<Timestamp>,
    /// Begun before this time.
    pub until: Option<Timestamp>,
    /// Of this model only, as configured.
    pub model: Option<String>,
    /// Of this provider only.
    pub provider: Option<String>,
}

impl RepriceScope {
    fn first(&self) -> u128 {
        self.since.map_or(0, |since| RequestId::at(since).0)
    }

    fn end(&self) -> u128 {
        self.until.map_or(u128::MAX, |until| RequestId::at(until).0)
    }

    /// Whether a record is meant; one that runs is priced when it ends, one without a provider has no price.
    fn holds(&self, record: &Record) -> bool {
        let is = |wanted: &Option<String>, value: &Option<String>| {
            wanted.is_none() || wanted.as_deref() == value.as_deref()
        };
        record.end != End::InFlight
            && record.provider.is_some()
            && is(&self.provider, &record.provider)
            && is(&self.model, &record.model)
    }
}

/// Puts the price of today on a record; false when there is nothing to price it by.
#[derive(Clone)]
pub struct Pricer(Arc<dyn Fn(&mut Record) -> bool + Send + Sync>);

impl Pricer {
    /// A pricer that does as the function does.
    pub fn new(price: impl Fn(&mut Record) -> bool + Send + Sync + 'static) -> Self {
        Self(Arc::new(price))
    }
}

impl fmt::Debug for Pricer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Pricer")
    }
}

/// The difference that other prices make.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Repriced {
    /// By provider and model, in that order.
    pub lines: Vec<RepricedLine>,
    /// Records that can't be read; they are left as they are.
    pub unreadable: u64,
}

/// The difference for one model of one provider.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RepricedLine {
    /// The provider's id; empty where lines were put together.
    pub provider: String,
    /// The model as configured.
    pub model: String,
    /// Requests.
    pub requests: u64,
    /// Of which so many get another price, or the version of another table.
    pub changed: u64,
    /// Of which so many are left as they are: their provider is not in the configuration.
    pub left: u64,
    /// Pico-dollars before.
    pub old_pico: u64,
    /// Pico-dollars after.
    pub new_pico: u64,
    /// Pico-dollars of estimates before, in no other sum.
    pub old_estimate_pico: u64,
    /// Pico-dollars of estimates after.
    pub new_estimate_pico: u64,
    /// Requests that had no price and get one.
    pub newly_priced: u64,
    /// Requests that had a price and lose it.
    pub newly_unpriced: u64,
}

/// Lines while they are added up.
#[derive(Debug, Default)]
struct Difference {
    lines: BTreeMap<(String, String), RepricedLine>,
    unreadable: u64,
}

impl Difference {
    fn note(&mut self, old: &Record, new: &Record, priced: bool) {
        let text = |text: &Option<String>| part(text.as_deref().unwrap_or_default()).to_owned();
        let mut key = (text(&old.provider), text(&old.model));
        if self.lines.len() >= LINES && !self.lines.contains_key(&key) {
            key = (String::new(), String::new());
        }
        let line = self.lines.entry(key).or_default();
        let estimate = |record: &Record| record.estimate.as_ref().map_or(0, |e| e.cost.pico);
        let turns = |from: CostState, to: CostState| {
            u64::from(old.cost.state == from && new.cost.state == to)
        };
        for (sum, more) in [
            (&mut line.requests, 1),
            (&mut line.changed, u64::from(old != new)),
            (&mut line.left, u64::from(!priced)),
            (&mut line.old_pico, old.cost.pico),
            (&mut line.new_pico, new.cost.pico),
            (&mut line.old_estimate_pico, estimate(old)),
            (&mut line.new_estimate_pico, estimate(new)),
            (
                &mut line.newly_priced,
                turns(CostState::Unpriced, CostState::Priced),
            ),
            (
                &mut line.newly_unpriced,
                turns(CostState::Priced, CostState::Unpriced),
            ),
        ] {
            add(sum, more);
        }
    }

    fn finish(self) -> Repriced {
        let lines = self
            .lines
            .into_iter()
            .map(|((provider, model), line)| RepricedLine {
                provider,
                model,
                ..line
            });
        Repriced {
            lines: lines.collect(),
            unreadable: self.unreadable,
        }
    }
}

/// One walk over the records.
#[derive(Debug)]
pub(super) struct Repricing {
    scope: RepriceScope,
    pricer: Pricer,
    /// The next id to look at.
    next: u128,
    difference: Difference,
}

/// What one step found.
struct Step {
    /// Where to go on; none at the end.
    next: Option<u128>,
    /// Before, after, and whether there was a price to go by.
    found: Vec<(Record, Record, bool)>,
    unreadable: u64,
}

impl Repricing {
    pub(super) fn new(scope: RepriceScope, pricer: Pricer) -> Self {
        Self {
            next: scope.first(),
            scope,
            pricer,
            difference: Difference::default(),
        }
    }

    /// The difference so far.
    pub(super) fn done(self) -> Repriced {
        self.difference.finish()
    }

    /// One small transaction that puts prices down; true when nothing is left to do.
    pub(super) fn step(&mut self, file: &File) -> Result<bool, redb::Error> {
        let step = file.write(|write| {
            let step = self.look(&write.open_table(schema::REQUESTS)?)?;
            let mut batch = Batch::open(write)?;
            let mut moves = Moves::default();
            for (old, new, _) in step.found.iter().filter(|(old, new, _)| old != new) {
                batch.replace(Some(old), Some(&Encoded::new(new)))?;
                moves.note(old, new);
            }
            batch.finish(write)?;
            moves.apply(write)?;
            Ok(step)
        })?;
        // Only what is committed counts.
        Ok(self.advance(&step))
    }

    /// One step that only looks; true at the end.
    fn preview(&mut self, file: &File) -> Result<bool, ReadError> {
        let step = file.read(|read| Ok(self.look(&read.open_table(schema::REQUESTS)?)?))?;
        Ok(self.advance(&step))
    }

    fn advance(&mut self, step: &Step) -> bool {
        for (old, new, priced) in &step.found {
            self.difference.note(old, new, *priced);
        }
        self.difference.unreadable += step.unreadable;
        match step.next {
            Some(next) => self.next = next,
            None => return true,
        }
        false
    }

    fn look(
        &self,
        requests: &impl ReadableTable<u128, &'static [u8]>,
    ) -> Result<Step, redb::StorageError> {
        let mut step = Step {
            next: None,
            found: Vec::new(),
            unreadable: 0,
        };
        let end = self.scope.end();
        if self.next >= end {
            return Ok(step);
        }
        let mut changes = 0;
        for (looked, row) in requests.range(self.next..end)?.enumerate() {
            let (id, row) = row?;
            if looked == STEP || changes == CHANGES {
                step.next = Some(id.value());
                break;
            }
            let Ok(old) = decode::<Record>("requests", row.value()) else {
                step.unreadable += 1;
                continue;
            };
            if !self.scope.holds(&old) {
                continue;
            }
            let mut new = old.clone();
            let priced = (self.pricer.0)(&mut new);
            if !priced {
                new = old.clone();
            }
            changes += usize::from(old != new);
            step.found.push((old, new, priced));
        }
        Ok(step)
    }
}

/// The difference that prices would make; nothing is written.
pub(super) fn preview(
    file: &File,
    scope: RepriceScope,
    pricer: Pricer,
) -> Result<Repriced, ReadError> {
    let mut walk = Repricing::new(scope, pricer);
    while !walk.preview(file)? {}
    Ok(walk.done())
}

/// What leaves one row of the counters and joins another; both may be the same.
#[derive(Default)]
struct Moves(BTreeMap<(UsageKey, UsageKey), (Counters, Counters)>);

impl Moves {
    fn note(&mut self, old: &Record, new: &Record) {
        let (less, more) = self
            .0
            .entry((UsageKey::of(old), UsageKey::of(new)))
            .or_default();
        less.add(&Counters::of(old));
        more.add(&Counters::of(new));
    }

    fn apply(self, write: &WriteTransaction) -> Result<(), redb::Error> {
        let mut hourly = write.open_table(schema::USAGE_HOURLY)?;
        let mut totals = write.open_table(schema::USAGE_TOTALS)?;
        for ((from, to), (less, more)) in &self.0 {
            let row = hourly.get(from.hourly_parts())?;
            let row = row.map(|row| Counters::from_row(row.value()));
            // Counters may be kept for a shorter time than records: an hour that is gone stays so.
            if let Some(mut row) = row {
                row.subtract(less);
                if row.requests == 0 {
                    hourly.remove(from.hourly_parts())?;
                } else {
                    hourly.insert(from.hourly_parts(), row.to_row().as_slice())?;
                }
                let row = hourly.get(to.hourly_parts())?;
                let mut row =
                    row.map_or_else(Counters::default, |row| Counters::from_row(row.value()));
                row.add(more);
                hourly.insert(to.hourly_parts(), row.to_row().as_slice())?;
            }
            let row = totals.get(from.parts())?;
            let mut row = row.map_or_else(Counters::default, |row| Counters::from_row(row.value()));
            row.subtract(less);
            if row.requests == 0 {
                totals.remove(from.parts())?;
            } else {
                totals.insert(from.parts(), row.to_row().as_slice())?;
            }
            let row = totals.get(to.parts())?;
            let mut row = row.map_or_else(Counters::default, |row| Counters::from_row(row.value()));
            row.add(more);
            totals.insert(to.parts(), row.to_row().as_slice())?;
        }
        Ok(())
    }
}
