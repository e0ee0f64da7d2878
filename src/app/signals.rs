//! The signals that the process heeds: stop, and read the configuration again.
//!
//! In: SIGTERM, SIGINT, SIGHUP, from the moment that [`Signals`] is made. Out: the end of a wait, or a reload.

use super::{App, notify};
use anyhow::Context as _;
use std::sync::Arc;
use tokio::signal::unix::{Signal, SignalKind, signal};

/// The signals that the process heeds.
pub(super) struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hangup: Signal,
}

impl Signals {
    /// From here on none of them ends the process by itself.
    pub(super) fn new() -> anyhow::Result<Self> {
        let heed = |kind| signal(kind).context("signals can't be handled");
        Ok(Self {
            terminate: heed(SignalKind::terminate())?,
            interrupt: heed(SignalKind::interrupt())?,
            hangup: heed(SignalKind::hangup())?,
        })
    }

    /// Waits for the signal to stop; reloads on SIGHUP.
    pub(super) async fn until_stop(&mut self, app: &Arc<App>) {
        loop {
            tokio::select! {
                _ = self.terminate.recv() => return,
                _ = self.interrupt.recv() => return,
                _ = self.hangup.recv() => {
                    notify(&[sd_notify::NotifyState::Reloading]);
                    tracing::info!("reading the configuration again (SIGHUP)");
                    app.reread.notify_one();
                    let live = app.live.clone();
                    // Blocks on files.
                    let reloaded = tokio::task::spawn_blocking(move || live.log(&live.reload())).await;
                    if reloaded.is_err() {
                        tracing::error!("reading the configuration failed");
                    }
                    notify(&[sd_notify::NotifyState::Ready]);
                }
            }
        }
    }
}
