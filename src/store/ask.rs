//! Questions from asynchronous code: on threads that may wait for the disk, few of them, and not for ever.
//!
//! redb syncs the file while it grows and lets readers wait for that, so a disk that hangs may hold a question back. The threads
//! are shared with what requests need (the node, names of hosts), which must find one free however many questions hang.

use super::{ReadError, Store};
use std::{sync::Arc, time::Duration};
use tokio::{sync::Semaphore, task, time};

/// Questions that run at once.
pub(super) const ASKED_AT_ONCE: usize = 32;
/// How long an answer is waited for.
pub(super) const ANSWERED_WITHIN: Duration = Duration::from_secs(10);

/// Who may ask now.
#[derive(Clone, Debug)]
pub(super) struct Turns(Arc<Semaphore>);

impl Turns {
    pub(super) fn new() -> Self {
        Self(Arc::new(Semaphore::new(ASKED_AT_ONCE)))
    }
}

impl Store {
    /// The same store, for questions that wait for nobody else's: a request's, beside those of pages.
    #[must_use]
    pub fn apart(&self) -> Self {
        Self {
            files: Arc::clone(&self.files),
            turns: Turns::new(),
        }
    }

    /// Asks without keeping other tasks waiting. [`ReadError::Slow`] after ten seconds; the question then keeps its turn until the
    /// disk lets it end.
    pub async fn ask<T: Send + 'static>(
        &self,
        question: impl FnOnce(&Self) -> Result<T, ReadError> + Send + 'static,
    ) -> Result<T, ReadError> {
        let store = self.clone();
        let answer = async move {
            let turn = Arc::clone(&store.turns.0);
            let turn = turn.acquire_owned().await.map_err(|_| ReadError::Closed)?;
            let asked = task::spawn_blocking(move || {
                let answer = question(&store);
                drop(turn);
                answer
            });
            asked.await.unwrap_or(Err(ReadError::Closed))
        };
        let answered = time::timeout(ANSWERED_WITHIN, answer).await;
        answered.unwrap_or(Err(ReadError::Slow))
    }
}
