//! Stopping in order: tracked tasks, and a drain that has a deadline.
//!
//! Owns: [`Tasks`], the only way to start a task, so that shutdown can wait for it.
//! Must not know: what the tasks do.

use std::time::Duration;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

/// Starts tasks and waits for them.
#[derive(Clone, Debug, Default)]
pub struct Tasks {
    tracker: TaskTracker,
    /// Cancelled when the drain begins: no new work.
    pub draining: CancellationToken,
    /// Cancelled when the drain's deadline has passed: end now.
    pub ended: CancellationToken,
}

impl Tasks {
    /// Starts a task that shutdown waits for.
    #[expect(clippy::disallowed_methods, reason = "this is the tracked spawner")]
    pub fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        drop(tokio::spawn(self.tracker.track_future(task)));
    }

    /// Begins the drain, waits at most `deadline` for tasks to leave, then ends the rest.
    ///
    /// Returns whether all left by themselves.
    pub async fn drain(&self, deadline: Duration) -> bool {
        self.draining.cancel();
        self.tracker.close();
        let clean = tokio::time::timeout(deadline, self.tracker.wait())
            .await
            .is_ok();
        self.ended.cancel();
        clean
    }

    /// Waits for what `ended` has told to leave, at most `deadline`.
    pub async fn settle(&self, deadline: Duration) -> bool {
        tokio::time::timeout(deadline, self.tracker.wait())
            .await
            .is_ok()
    }
}
