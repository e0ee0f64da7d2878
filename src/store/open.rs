//! Opening the store: files for their owner alone, migration, recovery of what was under way, and the two threads.
//!
//! Owns: [`Store::open`] and what it reports. In: a directory. Out: a store to read, a writer, and what a crash may have
//! cost. Must not know: what a record means, beyond its end.

use super::age::Age;
use super::apply::{Batch, Encoded};
use super::ask::Turns;
use super::file::{self, File, OpenBackend, OpenError};
use super::prune::Retention;
use super::queue::Queue;
use super::schema::{self, Facet, FileName};
use super::writer::{Health, Shared, Threads, Writer};
use super::{Files, bodies, captures, postings, records};
use crate::record::{CostState, End, Record, RequestId, Timestamp, UsageState};
use parking_lot::RwLock;
use redb::ReadableTable;
use std::{fmt, path::Path, sync::Arc, thread};
use tokio::sync::oneshot;

/// How the store is opened.
#[derive(Clone)]
pub struct OpenOptions {
    /// Bytes of bodies that may wait for the disk; beyond them bodies are dropped and counted.
    pub body_queue_bytes: usize,
    /// Bytes of events that may wait for the disk; beyond them the oldest are dropped and counted.
    pub event_queue_bytes: usize,
    /// Bytes of pages kept in memory, of both files together.
    pub cache_bytes: usize,
    /// How long things are kept, at first.
    pub retention: Retention,
    /// The version of the price table, noted in the file.
    pub prices: String,
    /// Another place than the directory for the bytes of the files: for tests of faults.
    pub backend: Option<OpenBackend>,
}

impl Default for OpenOptions {
    fn default() -> Self {
        Self {
            body_queue_bytes: 64 << 20,
            event_queue_bytes: 64 << 20,
            cache_bytes: 64 << 20,
            retention: Retention::default(),
            prices: String::new(),
            backend: None,
        }
    }
}

impl fmt::Debug for OpenOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OpenOptions")
            .field("body_queue_bytes", &self.body_queue_bytes)
            .field("event_queue_bytes", &self.event_queue_bytes)
            .field("cache_bytes", &self.cache_bytes)
            .field("retention", &self.retention)
            .finish_non_exhaustive()
    }
}

/// What opening found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Recovered {
    /// Requests that were under way when the process ended.
    pub interrupted: u64,
    /// After an end without a close: from the last commit until now, what went to a provider or ended may be missing.
    pub window: Option<(Timestamp, Timestamp)>,
}

/// Reads what is kept; cheap to clone.
#[derive(Clone, Debug)]
pub struct Store {
    pub(super) files: Arc<Files>,
    pub(super) turns: Turns,
}

/// Requests that one transaction of the recovery changes.
const STEP: usize = 512;

impl Store {
    /// Opens, and creates or repairs where needed, the two files in a directory that only this process uses.
    pub fn open(
        directory: &Path,
        options: OpenOptions,
    ) -> Result<(Self, Writer, Recovered), OpenError> {
        if options.backend.is_none() {
            file::private_directory(directory).map_err(|source| OpenError::Io {
                path: directory.to_owned(),
                source,
            })?;
        }
        let open = |name, cache| File::open(name, directory, options.backend.clone(), cache);
        let (main, fresh) = open(FileName::Main, options.cache_bytes / 4 * 3)?;
        let (captured, _) = open(FileName::Captures, options.cache_bytes / 4)?;
        let now = Timestamp::now();
        let recovered = main.guarded(|| {
            recover(&main, fresh, &options.prices, now).map_err(|error| main.failed(error))
        })?;
        let live_bytes = captured.guarded(|| {
            captures::live_bytes(&captured).map_err(|error| captured.failed(error.into_redb()))
        })?;
        let files = Arc::new(Files {
            main,
            captures: captured,
        });
        let shared = Arc::new(Shared {
            records: Queue::new(options.event_queue_bytes),
            bodies: Queue::new(options.body_queue_bytes),
            retention: RwLock::new(options.retention),
            main: Health::default(),
            captures: Health::default(),
            lost_bodies: 0.into(),
            lost_records: 0.into(),
            lost_updates: 0.into(),
            live_bytes: live_bytes.into(),
            age: Age::begin(),
        });
        let threads = Threads {
            records: start("store-records", &shared, &files, records::run)?,
            bodies: start("store-bodies", &shared, &files, bodies::run)?,
        };
        let writer = Writer::new(shared, Arc::clone(&files), threads);
        let turns = Turns::new();
        Ok((Self { files, turns }, writer, recovered))
    }
}

fn start(
    name: &str,
    shared: &Arc<Shared>,
    files: &Arc<Files>,
    run: fn(&Arc<Shared>, &Arc<Files>, oneshot::Sender<()>),
) -> Result<oneshot::Receiver<()>, OpenError> {
    let (ended, end) = oneshot::channel();
    let (shared, files) = (Arc::clone(shared), Arc::clone(files));
    thread::Builder::new()
        .name(name.into())
        .spawn(move || run(&shared, &files, ended))
        .map_err(OpenError::Thread)?;
    Ok(end)
}

/// Marks what was under way as interrupted, and the file as in use.
fn recover(
    file: &File,
    fresh: bool,
    prices: &str,
    now: Timestamp,
) -> Result<Recovered, redb::Error> {
    let mut recovered = Recovered::default();
    let (clean, last_commit) = file.write(|write| {
        let mut meta = write.open_table(schema::META)?;
        let read = |name| -> Result<Option<u64>, redb::Error> {
            let text = meta.get(name)?;
            Ok(text.and_then(|text| text.value().parse().ok()))
        };
        let state = (read("clean")? == Some(1), read("last_commit")?);
        meta.insert("clean", "0")?;
        meta.insert("prices", prices)?;
        if fresh {
            meta.insert("created", now.0.to_string().as_str())?;
        }
        Ok(state)
    })?;
    if !fresh && !clean {
        // A clock that was set back meanwhile puts the last commit after now.
        let window = |last: Timestamp| (last.min(now), last.max(now));
        recovered.window = last_commit.map(Timestamp).map(window);
    }
    loop {
        let count = file.write(interrupt)?;
        recovered.interrupted += count as u64;
        if count < STEP {
            break;
        }
    }
    Ok(recovered)
}

/// Ends the next requests that are under way; returns how many there were.
fn interrupt(write: &redb::WriteTransaction) -> Result<usize, redb::Error> {
    let ids = {
        let table = write.open_table(schema::POSTINGS)?;
        postings::oldest(&table, Facet::End, End::InFlight.as_str(), 0, STEP)?
    };
    let mut batch = Batch::open(write)?;
    let mut lost = Vec::new();
    for &id in &ids {
        match batch.stored(RequestId(id))? {
            Some(record) => batch.put(&Encoded::new(&interrupted(record)))?,
            None => lost.push(id),
        }
    }
    batch.finish(write)?;
    // A posting without a record would be found again and again.
    let mut changes = postings::Changes::default();
    for id in lost {
        changes.take(Facet::End, End::InFlight.as_str().to_owned(), id);
    }
    changes.apply(write)?;
    Ok(ids.len())
}

fn interrupted(mut record: Record) -> Record {
    record.end = End::Interrupted;
    if record.usage.total() == 0 && record.estimate.is_some() {
        record.usage_state = UsageState::Estimated;
    }
    if record.usage.total() > 0 {
        record.usage_state = UsageState::Partial;
        if record.cost.state == CostState::None {
            record.cost.state = CostState::Unpriced;
        }
    }
    record
}
