//! The thread that writes `aperture.redb`: batches, retries, and maintenance in small steps between them.
//!
//! Owns: when a batch is committed, and what happens when the disk refuses. In: events from the queue. Out: commits.
//! While the disk refuses, a batch goes back to the front of the queue, where the oldest events make room for the newest.
//! Must not know: bodies, what a record means.

use super::apply::{Batch, Encoded};
use super::codec::encode;
use super::erase::Erasing;
use super::event::{Event, RecordJob, Reply, WriteError};
use super::prune::Pruning;
use super::queue::Phase;
use super::reprice::Repricing;
use super::retry::Guarded;
use super::schema;
use super::writer::Shared;
use super::{ConfigVersion, Files, file::File};
use crate::record::{End, RequestId, Timestamp};
use redb::{ReadableTable, WriteTransaction};
use std::collections::{HashMap, VecDeque};
use std::{sync::Arc, time::Duration};
use tokio::sync::oneshot;

/// How long a batch may gather events: half of what a commit costs is the same for one event and for a hundred. With the commit
/// itself it stays about 25 ms on a disk that keeps up.
const LINGER: Duration = Duration::from_millis(20);
/// Events of one batch.
const MOST: usize = 8192;
/// How often an idle store says that it lives, in milliseconds: bounds the window that recovery reports.
const HEARTBEAT: u64 = 10_000;
/// How often retention is enforced, in milliseconds.
const PRUNE: u64 = 60_000;
/// Versions of the configuration that are kept.
const VERSIONS: usize = 500;
/// Bytes of all of them together; the newest is kept whatever its size.
const VERSION_BYTES: usize = 16 << 20;
const IDLE: Duration = Duration::from_secs(1);

/// Maintenance under way: one step between two batches.
enum Work {
    Prune(Pruning, Option<Reply<super::Pruned>>),
    Erase(Erasing, Reply<super::Erased>),
    Reprice(Box<Repricing>, Reply<super::Repriced>),
}

impl Work {
    /// Does one small transaction; true when all is done.
    fn step(&mut self, file: &File) -> Result<bool, redb::Error> {
        match self {
            Self::Prune(pruning, _) => pruning.step(file),
            Self::Erase(erasing, _) => erasing.step(file),
            Self::Reprice(repricing, _) => repricing.step(file),
        }
    }

    fn answer(self, error: Option<WriteError>) {
        // Whoever asked may have stopped waiting.
        match self {
            Self::Prune(pruning, Some(reply)) => {
                let _ = reply.send(error.map_or(Ok(pruning.done), Err));
            }
            Self::Prune(_, None) => {}
            Self::Erase(erasing, reply) => {
                let _ = reply.send(error.map_or(Ok(erasing.done), Err));
            }
            Self::Reprice(repricing, reply) => {
                let _ = reply.send(error.map_or_else(|| Ok(repricing.done()), Err));
            }
        }
    }
}

/// Runs until the queue ends.
pub(super) fn run(shared: &Arc<Shared>, files: &Arc<Files>, ended: oneshot::Sender<()>) {
    let mut thread = Thread {
        shared,
        main: Guarded::new(&files.main, &shared.main),
        work: VecDeque::new(),
        last_commit: Timestamp::now(),
        last_prune: Timestamp::now(),
    };
    while thread.turn() {}
    if shared.main.failing.lock().is_none() {
        let clean = files.main.write(|write| {
            let mut batch = Batch::open(write)?;
            batch.set_meta("clean", "1")?;
            batch.set_meta("last_commit", &Timestamp::now().0.to_string())?;
            batch.finish(write)
        });
        if let Err(error) = clean {
            tracing::warn!(%error, "store.close.unclean");
        }
    }
    let (events, jobs) = shared.records.end();
    shared.lost(&events);
    for job in jobs {
        refuse(job, &WriteError::Closed);
    }
    let _ = ended.send(());
}

struct Thread<'a> {
    shared: &'a Shared,
    main: Guarded<'a>,
    work: VecDeque<Work>,
    last_commit: Timestamp,
    last_prune: Timestamp,
}

impl Thread<'_> {
    /// One batch and one step of maintenance; false when the end is reached.
    fn turn(&mut self) -> bool {
        let queue = &self.shared.records;
        let (idle, linger) = if self.work.is_empty() {
            (IDLE, LINGER)
        } else {
            (Duration::ZERO, Duration::ZERO)
        };
        let taken = queue.take(idle, linger, MOST);
        if taken.phase == Phase::Abandoned {
            self.shared.lost(&taken.items);
            taken
                .jobs
                .into_iter()
                .for_each(|job| refuse(job, &WriteError::Closed));
            return false;
        }
        let now = Timestamp::now();
        let quiet = taken.items.is_empty();
        if !quiet || now.0.abs_diff(self.last_commit.0) >= HEARTBEAT {
            match self
                .main
                .attempt(|file| commit(file, &taken.items, taken.all_until))
            {
                Ok(()) => {
                    queue.settle(taken.bytes);
                    self.last_commit = now;
                }
                Err(error) => {
                    queue.put_back(taken.items, Event::size);
                    taken.jobs.into_iter().for_each(|job| refuse(job, &error));
                    return self.main.recover(queue);
                }
            }
        }
        for job in taken.jobs {
            match job {
                RecordJob::Flush(reply) => {
                    let _ = reply.send(Ok(()));
                }
                RecordJob::Prune(now, reply) => {
                    self.start_pruning(now, Some(reply));
                }
                RecordJob::Erase {
                    user,
                    logins,
                    reply,
                } => {
                    let erasing = Erasing::new(user, logins);
                    self.work.push_back(Work::Erase(erasing, reply));
                }
                RecordJob::Reprice {
                    scope,
                    pricer,
                    reply,
                } => {
                    let repricing = Box::new(Repricing::new(scope, pricer));
                    self.work.push_back(Work::Reprice(repricing, reply));
                }
            }
        }
        if now.0.abs_diff(self.last_prune.0) >= PRUNE {
            self.last_prune = now;
            self.start_pruning(self.shared.age.now(), None);
        }
        if let Some(mut work) = self.work.pop_front() {
            match self.main.attempt(|file| work.step(file)) {
                Ok(true) => work.answer(None),
                Ok(false) => self.work.push_front(work),
                Err(error) => {
                    work.answer(Some(error));
                    return self.main.recover(queue);
                }
            }
        }
        let done = quiet && self.work.is_empty() && queue.load().0 == 0;
        taken.phase == Phase::Open || !done
    }

    fn start_pruning(&mut self, now: Timestamp, reply: Option<Reply<super::Pruned>>) {
        let retention = self.shared.retention.read().clone();
        self.work
            .push_back(Work::Prune(Pruning::new(now, retention), reply));
    }
}

fn refuse(job: RecordJob, error: &WriteError) {
    let error = error.clone();
    match job {
        RecordJob::Flush(reply) => drop(reply.send(Err(error))),
        RecordJob::Prune(_, reply) => drop(reply.send(Err(error))),
        RecordJob::Erase { reply, .. } => drop(reply.send(Err(error))),
        RecordJob::Reprice { reply, .. } => drop(reply.send(Err(error))),
    }
}

/// Encodes a batch, then writes it in one transaction, with the time until which everything that was queued is in the file. A
/// batch that leaves items behind does not move that time: recovery would report a window too small.
fn commit(file: &File, events: &[Event], all_until: Option<Timestamp>) -> Result<(), redb::Error> {
    let records = newest(events);
    file.write(|write| {
        let mut batch = Batch::open(write)?;
        for record in &records {
            batch.put(record)?;
        }
        for event in events {
            if let Event::CaptureLost(id, why) = event {
                batch.capture_lost(*id, why)?;
            }
        }
        if let Some(until) = all_until {
            batch.set_meta("last_commit", &until.0.to_string())?;
        }
        batch.finish(write)?;
        write_others(write, events)
    })
}

/// The last state of each request in the batch, encoded. A finished one is the last whatever follows.
fn newest(events: &[Event]) -> Vec<Encoded<'_>> {
    let mut places: HashMap<RequestId, usize> = HashMap::new();
    let mut records: Vec<&crate::record::Record> = Vec::new();
    for event in events {
        let (Event::Update(record) | Event::Finish(record)) = event else {
            continue;
        };
        match places.get(&record.id) {
            Some(&place) if records[place].end != End::InFlight => {}
            Some(&place) => records[place] = record,
            None => {
                places.insert(record.id, records.len());
                records.push(record);
            }
        }
    }
    // In the order of the keys: neighbours in the tables are written together.
    records.sort_unstable_by_key(|record| record.id);
    records.into_iter().map(Encoded::new).collect()
}

fn write_others(write: &WriteTransaction, events: &[Event]) -> Result<(), redb::Error> {
    for event in events {
        match event {
            Event::Audit(id, entry) => {
                let mut audit = write.open_table(schema::AUDIT)?;
                audit.insert(id.0, encode(entry.as_ref()).as_slice())?;
            }
            Event::Own {
                provider,
                upstream,
                user,
                at,
            } => {
                let mut owned = write.open_table(schema::OWNED)?;
                owned.insert(
                    (provider.as_str(), upstream.as_str()),
                    (user.as_str(), at.0),
                )?;
            }
            Event::Config(version) => write_version(write, version)?,
            Event::Update(_) | Event::Finish(_) | Event::CaptureLost(..) => {}
        }
    }
    Ok(())
}

/// Adds a version of the configuration, and lets the oldest go that are too many or too much.
fn write_version(write: &WriteTransaction, version: &ConfigVersion) -> Result<(), redb::Error> {
    let mut history = write.open_table(schema::CONFIG_HISTORY)?;
    let last = history
        .last()?
        .map(|(number, row)| (number.value(), row.value().to_vec()));
    let numbered = |number: u64| {
        encode(&ConfigVersion {
            version: number,
            ..version.clone()
        })
    };
    let number = match last {
        // A commit whose fate was unknown may have written it already.
        Some((number, row)) if row == numbered(number) => return Ok(()),
        Some((number, _)) => number + 1,
        None => 1,
    };
    history.insert(number, numbered(number).as_slice())?;
    let (mut count, mut bytes, mut first) = (0, 0, number);
    for row in history.iter()?.rev() {
        let (number, row) = row?;
        count += 1;
        bytes += row.value().len();
        if count > 1 && (count > VERSIONS || bytes > VERSION_BYTES) {
            break;
        }
        first = number.value();
    }
    history.retain_in(..first, |_, _| false)?;
    Ok(())
}
