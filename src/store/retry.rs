//! One file as its thread writes it: every transaction guarded, every failure noted, waited out and tried again.
//!
//! Owns: what a failure means: it is said once in the log and always in the statistics, and the file is opened again,
//! because redb refuses everything after an I/O error. Must not know: what is written.

use super::file::File;
use super::queue::{Phase, Queue};
use super::writer::{Health, WriteError};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

const FIRST: Duration = Duration::from_millis(50);
const LONGEST: Duration = Duration::from_secs(5);

/// A file, its health, and how long to wait after the next failure.
#[derive(Debug)]
pub(super) struct Guarded<'a> {
    file: &'a File,
    health: &'a Health,
    backoff: Duration,
}

impl<'a> Guarded<'a> {
    pub(super) const fn new(file: &'a File, health: &'a Health) -> Self {
        Self {
            file,
            health,
            backoff: FIRST,
        }
    }

    /// Runs what writes the file; a panic inside redb (a damaged page) is a failure like others.
    pub(super) fn attempt<T>(
        &mut self,
        write: impl FnOnce(&File) -> Result<T, redb::Error>,
    ) -> Result<T, WriteError> {
        let why = match catch_unwind(AssertUnwindSafe(|| write(self.file))) {
            Ok(Ok(value)) => {
                self.health.committed();
                self.backoff = FIRST;
                return Ok(value);
            }
            Ok(Err(error)) => error.to_string(),
            Err(_) => "redb panicked".to_owned(),
        };
        if self.health.failed(&why) {
            tracing::error!(file = self.file.name().as_str(), error = %why, "store.write.failed");
        }
        Err(WriteError::Disk(why))
    }

    /// Waits, then opens the file again; false when the end came meanwhile.
    pub(super) fn recover<T, J>(&mut self, queue: &Queue<T, J>) -> bool {
        if queue.pause(self.backoff) >= Phase::Abandoned {
            return false;
        }
        self.backoff = (self.backoff * 2).min(LONGEST);
        if let Err(error) = self.file.reopen() {
            self.health.failed(&error.to_string());
        }
        true
    }
}
