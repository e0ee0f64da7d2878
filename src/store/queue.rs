//! A queue that is bounded by bytes, between callers that must not wait and one thread that may.
//!
//! Owns: the order of items, the count of bytes, and the wake-ups. In: items with their size. Out: batches.
//! An item that was taken counts as queued until it is settled, so a batch that is being written (again and again, while
//! the disk is full) is part of the bound. Must not know: what the items are, disks.

use crate::record::Timestamp;
use parking_lot::{Condvar, Mutex};
use std::{collections::VecDeque, time::Duration};

#[derive(Debug)]
pub(super) struct Queue<T, J> {
    state: Mutex<State<T, J>>,
    wake: Condvar,
    /// Bytes beyond which the queue is full.
    limit: usize,
}

#[derive(Debug)]
struct State<T, J> {
    items: VecDeque<(T, usize)>,
    jobs: Vec<J>,
    /// Bytes of queued, taken and reserved items.
    bytes: usize,
    phase: Phase,
}

/// How far the end is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Phase {
    /// Open.
    Open,
    /// Write what is queued, then end.
    Closing,
    /// End now.
    Abandoned,
    /// The thread has ended: nothing is taken any more.
    Ended,
}

/// What the thread is to do next.
#[derive(Debug)]
pub(super) struct Taken<T, J> {
    pub(super) items: Vec<T>,
    pub(super) bytes: usize,
    /// To be done after the items; only given when no item is left behind.
    pub(super) jobs: Vec<J>,
    pub(super) phase: Phase,
    /// When it was taken, if no item was left behind: what was queued before is in this batch or an earlier one.
    pub(super) all_until: Option<Timestamp>,
}

impl<T, J> Queue<T, J> {
    pub(super) fn new(limit: usize) -> Self {
        Self {
            state: Mutex::new(State {
                items: VecDeque::new(),
                jobs: Vec::new(),
                bytes: 0,
                phase: Phase::Open,
            }),
            wake: Condvar::new(),
            limit,
        }
    }

    /// Counts bytes in before the item comes; false when they don't fit.
    pub(super) fn reserve(&self, bytes: usize) -> bool {
        let mut state = self.state.lock();
        // A single item larger than the bound may pass when it is alone.
        let fits = state.bytes == 0 || state.bytes.saturating_add(bytes) <= self.limit;
        if !fits || state.phase != Phase::Open {
            return false;
        }
        state.bytes += bytes;
        true
    }

    /// Queues an item whose bytes are reserved; false when the thread has ended meanwhile.
    pub(super) fn push_reserved(&self, item: T, bytes: usize) -> bool {
        let mut state = self.state.lock();
        if state.phase == Phase::Ended {
            return false;
        }
        let was_empty = state.items.is_empty();
        state.items.push_back((item, bytes));
        drop(state);
        // A thread that lets more arrive is not to be woken by each of them.
        if was_empty {
            self.wake.notify_one();
        }
        true
    }

    /// Queues an item whatever its size; returns the oldest items that had to go for it.
    pub(super) fn push(&self, item: T, bytes: usize) -> Vec<T> {
        let mut state = self.state.lock();
        if state.phase == Phase::Ended {
            return vec![item];
        }
        let was_empty = state.items.is_empty();
        state.items.push_back((item, bytes));
        state.bytes += bytes;
        let mut gone = Vec::new();
        while state.bytes > self.limit && state.items.len() > 1 {
            if let Some((item, bytes)) = state.items.pop_front() {
                state.bytes -= bytes;
                gone.push(item);
            }
        }
        drop(state);
        if was_empty {
            self.wake.notify_one();
        }
        gone
    }

    /// Queues something to be done after all that is queued now; gives it back when the thread has ended.
    pub(super) fn push_job(&self, job: J) -> Result<(), J> {
        let mut state = self.state.lock();
        if state.phase == Phase::Ended {
            return Err(job);
        }
        state.jobs.push(job);
        drop(state);
        self.wake.notify_one();
        Ok(())
    }

    /// Moves towards the end, never back.
    pub(super) fn advance(&self, phase: Phase) {
        let mut state = self.state.lock();
        state.phase = state.phase.max(phase);
        drop(state);
        self.wake.notify_all();
    }

    /// Waits for work at most `idle`, lets more arrive for `linger`, and takes at most `most` items.
    pub(super) fn take(&self, idle: Duration, linger: Duration, most: usize) -> Taken<T, J> {
        let mut state = self.state.lock();
        if state.items.is_empty() && state.jobs.is_empty() && state.phase == Phase::Open {
            self.wake.wait_for(&mut state, idle);
        }
        if !state.items.is_empty()
            && state.items.len() < most
            && state.jobs.is_empty()
            && state.phase == Phase::Open
        {
            // A job or the end wakes this; further items only make the batch larger.
            self.wake.wait_while_for(
                &mut state,
                |state| {
                    state.jobs.is_empty() && state.phase == Phase::Open && state.items.len() < most
                },
                linger,
            );
        }
        let count = state.items.len().min(most);
        let mut bytes = 0;
        let items = state
            .items
            .drain(..count)
            .map(|(item, size)| {
                bytes += size;
                item
            })
            .collect();
        let jobs = if state.items.is_empty() {
            std::mem::take(&mut state.jobs)
        } else {
            Vec::new()
        };
        Taken {
            items,
            bytes,
            jobs,
            phase: state.phase,
            // Under the lock: nothing can be queued between the batch and its time.
            all_until: state.items.is_empty().then(Timestamp::now),
        }
    }

    /// Puts a batch back that could not be written: its items are the oldest again.
    pub(super) fn put_back(&self, items: Vec<T>, size: impl Fn(&T) -> usize) {
        let mut state = self.state.lock();
        for item in items.into_iter().rev() {
            let bytes = size(&item);
            state.items.push_front((item, bytes));
        }
    }

    /// The taken bytes are written, or given up.
    pub(super) fn settle(&self, bytes: usize) {
        let mut state = self.state.lock();
        state.bytes = state.bytes.saturating_sub(bytes);
    }

    /// Waits, but not when the end comes nearer meanwhile. Returns the phase.
    pub(super) fn pause(&self, time: Duration) -> Phase {
        let mut state = self.state.lock();
        let before = state.phase;
        self.wake
            .wait_while_for(&mut state, |state| state.phase == before, time);
        state.phase
    }

    /// Ends the queue and returns what is left in it.
    pub(super) fn end(&self) -> (Vec<T>, Vec<J>) {
        let mut state = self.state.lock();
        state.phase = Phase::Ended;
        state.bytes = 0;
        let items = state.items.drain(..).map(|(item, _)| item).collect();
        (items, std::mem::take(&mut state.jobs))
    }

    /// Queued items and bytes.
    pub(super) fn load(&self) -> (usize, usize) {
        let state = self.state.lock();
        (state.items.len(), state.bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::{Duration, Queue, Timestamp};

    #[test]
    fn only_a_batch_that_leaves_nothing_behind_says_until_when_all_is_in_it() {
        let queue: Queue<u32, ()> = Queue::new(100);
        let before = Timestamp::now();
        for item in 0..3 {
            assert!(queue.push(item, 1).is_empty());
        }
        let take = |most| queue.take(Duration::ZERO, Duration::ZERO, most);
        let taken = take(2);
        assert_eq!((taken.items, taken.all_until), (vec![0, 1], None));
        let taken = take(2);
        assert_eq!(taken.items, [2]);
        assert!(taken.all_until.is_some_and(|until| until >= before));
    }
}
