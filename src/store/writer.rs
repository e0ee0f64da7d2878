//! The writing side of the store: a handle that never waits, and what it can be asked to do.
//!
//! Owns: [`Writer`], its statistics, and the rule of what is lost first when memory runs short: bodies, then the oldest
//! events. In: records, bodies, audit entries. Out: nothing but numbers; the threads of `records` and `bodies` write.
//! Must not know: tables, redb.

use super::age::Age;
use super::event::{Body, BodyJob, Erased, Event, Pruned, RecordJob, Reply, WriteError};
use super::queue::{Phase, Queue};
use super::{AuditEntry, ConfigVersion, Pricer, RepriceScope, Repriced, Retention};
use crate::record::{Capture, CaptureMode, Record, RequestId, Timestamp};
use parking_lot::{Mutex, RwLock};
use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering::Relaxed},
};
use std::time::Duration;
use tokio::sync::{OwnedMutexGuard, oneshot};

/// The health of one file.
#[derive(Debug, Default)]
pub(super) struct Health {
    pub(super) commits: AtomicU64,
    pub(super) last_commit: AtomicU64,
    pub(super) failing: Mutex<Option<String>>,
    pub(super) last_error: Mutex<Option<String>>,
}

impl Health {
    pub(super) fn committed(&self) {
        self.commits.fetch_add(1, Relaxed);
        self.last_commit.store(Timestamp::now().0, Relaxed);
        *self.failing.lock() = None;
    }

    /// Notes a failure; true when it is the first since the last commit.
    pub(super) fn failed(&self, why: &str) -> bool {
        *self.last_error.lock() = Some(why.to_owned());
        self.failing.lock().replace(why.to_owned()).is_none()
    }
}

/// What the handles and both threads share.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) records: Queue<Event, RecordJob>,
    pub(super) bodies: Queue<Body, BodyJob>,
    pub(super) retention: RwLock<Retention>,
    pub(super) main: Health,
    pub(super) captures: Health,
    pub(super) lost_bodies: AtomicU64,
    pub(super) lost_records: AtomicU64,
    pub(super) lost_updates: AtomicU64,
    pub(super) live_bytes: AtomicU64,
    pub(super) age: Age,
}

impl Shared {
    /// Counts what the queue had to let go of.
    pub(super) fn lost(&self, events: &[Event]) {
        for event in events {
            match event {
                // A later event of the same request carries all that this one did.
                Event::Update(_) | Event::CaptureLost(..) => &self.lost_updates,
                Event::Finish(_) | Event::Audit(..) | Event::Own { .. } | Event::Config(_) => {
                    &self.lost_records
                }
            }
            .fetch_add(1, Relaxed);
        }
    }

    pub(super) fn push(&self, event: Event) {
        let size = event.size();
        let gone = self.records.push(event, size);
        if !gone.is_empty() {
            self.lost(&gone);
            tracing::warn!(
                events = gone.len(),
                "store.queue.lost: memory for events ran out"
            );
        }
    }
}

/// The state of the store in numbers: for `/metrics`, `doctor` and the dashboard.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Events queued.
    pub queued: u64,
    /// Bytes of queued events.
    pub queue_bytes: u64,
    /// Bytes of queued bodies.
    pub body_queue_bytes: u64,
    /// Requests whose bodies were dropped.
    pub lost_bodies: u64,
    /// Finished records, audit entries and the like that were dropped.
    pub lost_records: u64,
    /// Starts and checkpoints that were dropped; a later event of the request carries the same.
    pub lost_updates: u64,
    /// Commits of both files.
    pub commits: u64,
    /// When records were last committed.
    pub last_commit: Option<Timestamp>,
    /// The newest error, also when it has passed.
    pub last_error: Option<String>,
    /// Why the store can't write at the moment.
    pub degraded: Option<String>,
    /// Bytes of `aperture.redb`.
    pub main_file_bytes: u64,
    /// Bytes of `captures.redb`.
    pub capture_file_bytes: u64,
    /// Bytes of captures that are alive: what the byte cap is about.
    pub capture_live_bytes: u64,
}

/// Ends the threads when the last handle goes.
#[derive(Debug)]
struct Last(Arc<Shared>);

impl Drop for Last {
    fn drop(&mut self) {
        self.0.bodies.advance(Phase::Closing);
        self.0.records.advance(Phase::Closing);
    }
}

/// Hands records to the store; never waits, cheap to clone.
#[derive(Clone, Debug)]
pub struct Writer {
    last: Arc<Last>,
    files: Arc<super::Files>,
    ended: Arc<Mutex<Option<Threads>>>,
    /// Held by a backup or an erasure.
    alone: Arc<tokio::sync::Mutex<()>>,
}

/// Tells when each thread has ended.
#[derive(Debug)]
pub(super) struct Threads {
    pub(super) records: oneshot::Receiver<()>,
    pub(super) bodies: oneshot::Receiver<()>,
}

/// Takes everything out of a record that its capture mode does not allow.
fn allowed(mut record: Record) -> Record {
    if record.capture == CaptureMode::None {
        record.title = None;
        record.path.clear();
        record.tools.clear();
    }
    record
}

impl Writer {
    pub(super) fn new(shared: Arc<Shared>, files: Arc<super::Files>, threads: Threads) -> Self {
        Self {
            last: Arc::new(Last(shared)),
            files,
            ended: Arc::new(Mutex::new(Some(threads))),
            alone: Arc::default(),
        }
    }

    fn shared(&self) -> &Shared {
        &self.last.0
    }

    /// A request began.
    pub fn start(&self, record: &Record) {
        self.update(record);
    }

    /// A request goes on: its figures so far. For long streams, every two seconds or so.
    pub fn checkpoint(&self, record: &Record) {
        self.update(record);
    }

    fn update(&self, record: &Record) {
        self.shared()
            .push(Event::Update(Box::new(allowed(record.clone()))));
    }

    /// A request ended; with its bodies, where they may be kept.
    ///
    /// When the queue has no room for the bodies they are dropped and the record says so; the record itself is not.
    pub fn finish(&self, record: Record, capture: Option<Capture>) {
        let mut record = allowed(record);
        let capture = capture.filter(|_| record.capture == CaptureMode::Full);
        let body = capture.map(|capture| Body {
            id: record.id,
            capture,
        });
        let size = body.as_ref().map_or(0, Body::size);
        let body = match body {
            Some(_) if !self.shared().bodies.reserve(size) => {
                self.shared().lost_bodies.fetch_add(1, Relaxed);
                record.capture_lost.get_or_insert_with(|| QUEUE_FULL.into());
                None
            }
            body => body,
        };
        let id = record.id;
        self.shared().push(Event::Finish(Box::new(record)));
        if let Some(body) = body
            && !self.shared().bodies.push_reserved(body, size)
        {
            self.shared().lost_body(id);
        }
    }

    /// Somebody did something that admins must be able to see.
    pub fn audit(&self, entry: AuditEntry) {
        self.shared()
            .push(Event::Audit(RequestId::new(), Box::new(entry)));
    }

    /// The upstream object `upstream` of `provider` belongs to `user`.
    pub fn own(&self, provider: &str, upstream: &str, user: &str) {
        self.shared().push(Event::Own {
            provider: provider.to_owned(),
            upstream: upstream.to_owned(),
            user: user.to_owned(),
            at: Timestamp::now(),
        });
    }

    /// The configuration changed; its text has the secrets taken out. It gets the next number.
    pub fn config_version(&self, version: ConfigVersion) {
        self.shared().push(Event::Config(Box::new(version)));
    }

    /// How long things are kept, from now on.
    pub fn set_retention(&self, retention: Retention) {
        *self.shared().retention.write() = retention;
    }

    /// Waits until everything handed over so far is on disk.
    ///
    /// Cancel safe: nothing is lost when the caller stops waiting.
    pub async fn flush(&self) -> Result<(), WriteError> {
        // Bodies first: what happens to them is noted in records.
        self.ask_bodies(BodyJob::Flush).await?;
        self.ask_records(RecordJob::Flush).await
    }

    /// The same for all but bodies.
    pub async fn flush_records(&self) -> Result<(), WriteError> {
        self.ask_records(RecordJob::Flush).await
    }

    /// Removes what is too old or too much by now, without waiting for the store to do so: once a minute.
    pub async fn prune_now(&self) -> Result<Pruned, WriteError> {
        self.prune(self.shared().age.now()).await
    }

    /// Removes what is too old or too much at `now`.
    pub async fn prune(&self, now: Timestamp) -> Result<Pruned, WriteError> {
        let captures = self.ask_bodies(|reply| BodyJob::Prune(now, reply)).await?;
        let pruned = self
            .ask_records(|reply| RecordJob::Prune(now, reply))
            .await?;
        Ok(Pruned { captures, ..pruned })
    }

    /// Removes a person's captures and texts and makes their records, counters and audit entries anonymous, in small steps
    /// between batches. Then each file is renewed, during which what comes waits in its queue. Audited, under nobody's name.
    pub async fn erase_user(
        &self,
        user: &str,
        logins: &[String],
        by: AuditEntry,
    ) -> Result<Erased, WriteError> {
        let _alone = self.alone("a backup is being made, or somebody else's data erased")?;
        self.audit(by);
        // Bodies that still wait in memory are on disk, and found, after this.
        self.flush().await?;
        let (files, owner) = (Arc::clone(&self.files), user.to_owned());
        let ids = tokio::task::spawn_blocking(move || super::query::requests_of(&files, &owner))
            .await
            .map_err(|_| WriteError::Closed)?
            .map_err(|error| WriteError::Disk(error.to_string()))?;
        // Captures first: after a crash in between, the records still lead to what is left.
        let captures = self.ask_bodies(|reply| BodyJob::Remove(ids, reply)).await?;
        self.ask_bodies(BodyJob::Renew).await?;
        let erased = self
            .ask_records(|reply| RecordJob::Erase {
                user: user.to_owned(),
                logins: logins.to_vec(),
                reply,
            })
            .await?;
        Ok(Erased { captures, ..erased })
    }

    /// Both files, for a copy of them.
    pub(super) fn files(&self) -> Arc<super::Files> {
        Arc::clone(&self.files)
    }

    /// The right to do what nothing else may be done beside: a copy would bring back what is being erased.
    pub(super) fn alone(&self, why: &'static str) -> Result<OwnedMutexGuard<()>, WriteError> {
        let alone = Arc::clone(&self.alone).try_lock_owned();
        alone.map_err(|_| WriteError::Busy(why))
    }

    /// Puts other prices on finished records, and moves the sums with them, in small steps between what is queued.
    pub async fn reprice(
        &self,
        scope: RepriceScope,
        pricer: Pricer,
    ) -> Result<Repriced, WriteError> {
        self.ask_records(|reply| RecordJob::Reprice {
            scope,
            pricer,
            reply,
        })
        .await
    }

    async fn ask_records<T>(
        &self,
        job: impl FnOnce(Reply<T>) -> RecordJob,
    ) -> Result<T, WriteError> {
        let (reply, answer) = oneshot::channel();
        let pushed = self.shared().records.push_job(job(reply));
        pushed.map_err(|_| WriteError::Closed)?;
        answer.await.unwrap_or(Err(WriteError::Closed))
    }

    async fn ask_bodies<T>(&self, job: impl FnOnce(Reply<T>) -> BodyJob) -> Result<T, WriteError> {
        let (reply, answer) = oneshot::channel();
        let pushed = self.shared().bodies.push_job(job(reply));
        pushed.map_err(|_| WriteError::Closed)?;
        answer.await.unwrap_or(Err(WriteError::Closed))
    }

    /// Writes what is queued, at most until the deadline, then shuts both files. Returns the last statistics: what could
    /// not be written is counted there as lost. Later calls only return them.
    pub async fn close(&self, deadline: Duration) -> Stats {
        let Some(threads) = self.ended.lock().take() else {
            return self.stats();
        };
        // Bodies first: what is lost of them is noted in records.
        self.shared().bodies.advance(Phase::Closing);
        let mut drained = std::pin::pin!(async {
            let _ = threads.bodies.await;
            self.shared().records.advance(Phase::Closing);
            let _ = threads.records.await;
        });
        if tokio::time::timeout(deadline, &mut drained).await.is_err() {
            self.shared().bodies.advance(Phase::Abandoned);
            self.shared().records.advance(Phase::Abandoned);
            // A thread inside a disk call that hangs is left behind; what it holds counts as lost.
            let grace = Duration::from_secs(1);
            if tokio::time::timeout(grace, drained).await.is_err() {
                self.shared().give_up();
                return self.stats();
            }
        }
        let stats = self.stats();
        self.files.captures.close();
        self.files.main.close();
        stats
    }

    /// The state of the store in numbers.
    pub fn stats(&self) -> Stats {
        self.shared().stats(&self.files)
    }
}

/// Why a record has no capture: the bodies found no room.
const QUEUE_FULL: &str = "queue_full";
/// Why a record has no capture: the disk did not take it before the end.
const DISK: &str = "disk";

impl Shared {
    /// Counts bodies that the disk did not take, and has their record say so.
    pub(super) fn lost_body(&self, id: RequestId) {
        self.lost_bodies.fetch_add(1, Relaxed);
        self.push(Event::CaptureLost(id, DISK));
    }

    /// Ends both queues and counts what is left in them as lost.
    pub(super) fn give_up(&self) {
        let (bodies, _) = self.bodies.end();
        self.lost_bodies.fetch_add(bodies.len() as u64, Relaxed);
        let (events, _) = self.records.end();
        self.lost(&events);
    }

    fn stats(&self, files: &super::Files) -> Stats {
        let (queued, queue_bytes) = self.records.load();
        let (_, body_queue_bytes) = self.bodies.load();
        let last_commit = self.main.last_commit.load(Relaxed);
        let either = |of: fn(&Health) -> &Mutex<Option<String>>| {
            let main = of(&self.main).lock().clone();
            main.or_else(|| of(&self.captures).lock().clone())
        };
        Stats {
            queued: queued as u64,
            queue_bytes: queue_bytes as u64,
            body_queue_bytes: body_queue_bytes as u64,
            lost_bodies: self.lost_bodies.load(Relaxed),
            lost_records: self.lost_records.load(Relaxed),
            lost_updates: self.lost_updates.load(Relaxed),
            commits: self.main.commits.load(Relaxed) + self.captures.commits.load(Relaxed),
            last_commit: (last_commit > 0).then_some(Timestamp(last_commit)),
            last_error: either(|health| &health.last_error),
            degraded: either(|health| &health.failing),
            main_file_bytes: files.main.size(),
            capture_file_bytes: files.captures.size(),
            capture_live_bytes: self.live_bytes.load(Relaxed),
        }
    }
}
