//! A gate holds a reply's chunks back until a test lets them pass.
//!
//! It takes the place of sleeps: a test releases one chunk, sees it arrive,
//! and releases the next. Comes in: releases. Goes out: passes. Knows
//! nothing of what passes.

use std::sync::Arc;

use tokio::sync::Semaphore;

/// Lets chunks pass one at a time; clones are the same gate.
#[derive(Clone, Debug)]
pub struct Gate(Arc<Semaphore>);

impl Default for Gate {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(0)))
    }
}

impl Gate {
    /// A gate that lets nothing pass yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Lets that many more chunks pass.
    pub fn release(&self, chunks: usize) {
        self.0.add_permits(chunks);
    }

    /// Lets everything pass from now on.
    pub fn open(&self) {
        self.0.close();
    }

    /// Waits until one chunk may pass. Cancel safe: no pass is lost.
    pub(crate) async fn pass(&self) {
        match self.0.acquire().await {
            Ok(permit) => permit.forget(),
            // Closed is how an open gate looks: nothing is held back any more.
            Err(_opened) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::Gate;

    #[tokio::test]
    async fn only_what_was_released_passes_until_the_gate_is_open() {
        let gate = Gate::new();
        assert!(gate.pass().now_or_never().is_none());
        gate.release(1);
        assert!(gate.pass().now_or_never().is_some());
        assert!(gate.pass().now_or_never().is_none());
        gate.open();
        assert!(gate.pass().now_or_never().is_some());
        assert!(gate.pass().now_or_never().is_some());
    }
}
