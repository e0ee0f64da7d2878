//! The thread that writes `captures.redb`, so that large bodies never delay a record.
//!
//! Owns: the batches of bodies, their retries, and the byte cap. In: bodies from the queue. Out: commits, and a note in the
//! record of every body that could not be kept. Must not know: the tables of `aperture.redb`.

use super::captures;
use super::codec::Packer;
use super::event::{Body, BodyJob, Reply, WriteError};
use super::queue::Phase;
use super::retry::Guarded;
use super::snapshot::renew;
use super::writer::Shared;
use super::{Files, Retention, file::File};
use crate::record::{Capture, RequestId, Timestamp};
use std::io;
use std::sync::{Arc, atomic::Ordering::Relaxed};
use std::time::Duration;
use tokio::sync::oneshot;

const IDLE: Duration = Duration::from_secs(1);
const LINGER: Duration = Duration::from_millis(25);
/// Captures of one batch; how many bytes they may have is the queue's limit.
const MOST: usize = 256;
/// Captures that one small transaction removes.
const STEP: usize = 64;
const PRUNE: u64 = 60_000;

/// Runs until the queue ends.
pub(super) fn run(shared: &Arc<Shared>, files: &Arc<Files>, ended: oneshot::Sender<()>) {
    let mut thread = Thread {
        shared,
        captures: Guarded::new(&files.captures, &shared.captures),
        packer: Packer::new(),
        last_prune: Timestamp::now(),
    };
    while thread.turn() {}
    let (bodies, jobs) = shared.bodies.end();
    for body in bodies {
        shared.lost_body(body.id);
    }
    for job in jobs {
        refuse(job, &WriteError::Closed);
    }
    let _ = ended.send(());
}

struct Thread<'a> {
    shared: &'a Shared,
    captures: Guarded<'a>,
    packer: Packer,
    last_prune: Timestamp,
}

impl Thread<'_> {
    /// One batch; false when the end is reached.
    fn turn(&mut self) -> bool {
        let queue = &self.shared.bodies;
        let taken = queue.take(IDLE, LINGER, MOST);
        if taken.phase == Phase::Abandoned {
            for body in &taken.items {
                self.shared.lost_body(body.id);
            }
            taken
                .jobs
                .into_iter()
                .for_each(|job| refuse(job, &WriteError::Closed));
            return false;
        }
        let quiet = taken.items.is_empty();
        if !quiet {
            let batch: Vec<(RequestId, Capture)> = taken
                .items
                .into_iter()
                .map(|body| (body.id, body.capture))
                .collect();
            if let Err(error) = self.store(&batch) {
                let back = batch
                    .into_iter()
                    .map(|(id, capture)| Body { id, capture })
                    .collect();
                queue.put_back(back, Body::size);
                taken.jobs.into_iter().for_each(|job| refuse(job, &error));
                return self.captures.recover(queue);
            }
            queue.settle(taken.bytes);
            let retention = self.shared.retention.read().clone();
            if self.shared.live_bytes.load(Relaxed) > retention.capture_bytes
                && self.prune(self.shared.age.now(), &retention).is_err()
            {
                return self.captures.recover(queue);
            }
        }
        let mut failed = false;
        for job in taken.jobs {
            failed |= match job {
                BodyJob::Flush(reply) => answer(reply, Ok(())),
                BodyJob::Prune(now, reply) => {
                    let retention = self.shared.retention.read().clone();
                    answer(reply, self.prune(now, &retention))
                }
                BodyJob::Remove(ids, reply) => {
                    let mut removed = 0;
                    let result = ids.chunks(STEP).try_for_each(|ids| {
                        removed += self.change(|file| captures::remove(file, ids))?;
                        Ok(())
                    });
                    answer(reply, result.map(|()| removed))
                }
                BodyJob::Renew(reply) => {
                    let renewed = self.captures.attempt(|file| {
                        renew(file).map_err(|error| redb::Error::Io(io::Error::other(error)))
                    });
                    answer(reply, renewed)
                }
            };
        }
        let now = Timestamp::now();
        if !failed && now.0.abs_diff(self.last_prune.0) >= PRUNE {
            self.last_prune = now;
            let retention = self.shared.retention.read().clone();
            failed = self.prune(self.shared.age.now(), &retention).is_err();
        }
        if failed {
            return self.captures.recover(queue);
        }
        taken.phase == Phase::Open || !quiet || queue.load().0 > 0
    }

    fn store(&mut self, batch: &[(RequestId, Capture)]) -> Result<(), WriteError> {
        let packer = &mut self.packer;
        let live = self.captures.attempt(|file| {
            let prepared =
                captures::prepare(file, packer, batch).map_err(super::ReadError::into_redb)?;
            captures::store(file, packer, &prepared)
        })?;
        self.shared.live_bytes.store(live, Relaxed);
        Ok(())
    }

    /// Removes what is too old or too much, in small transactions.
    fn prune(&mut self, now: Timestamp, retention: &Retention) -> Result<u64, WriteError> {
        let before = retention.captures_before(now);
        if before.0 == 0 && self.shared.live_bytes.load(Relaxed) <= retention.capture_bytes {
            return Ok(0);
        }
        let mut sum = 0;
        loop {
            let removed = self.change(|file| {
                let cap = retention.capture_bytes;
                captures::remove_oldest(file, before, cap, STEP as u64)
            })?;
            sum += removed;
            if removed < STEP as u64 {
                return Ok(sum);
            }
        }
    }

    /// Runs what changes the file and says (how many, live bytes).
    fn change(
        &mut self,
        write: impl FnOnce(&File) -> Result<(u64, u64), redb::Error>,
    ) -> Result<u64, WriteError> {
        let (count, live) = self.captures.attempt(write)?;
        self.shared.live_bytes.store(live, Relaxed);
        Ok(count)
    }
}

/// Answers, and says whether it failed. Whoever asked may have stopped waiting.
fn answer<T>(reply: Reply<T>, result: Result<T, WriteError>) -> bool {
    let failed = result.is_err();
    let _ = reply.send(result);
    failed
}

fn refuse(job: BodyJob, error: &WriteError) {
    let error = error.clone();
    match job {
        BodyJob::Flush(reply) | BodyJob::Renew(reply) => drop(reply.send(Err(error))),
        BodyJob::Prune(_, reply) | BodyJob::Remove(_, reply) => drop(reply.send(Err(error))),
    }
}
