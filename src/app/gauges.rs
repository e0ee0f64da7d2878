//! The gauges.
//!
//! Owns: which part of the gateway each gauge is asked of, and the loop that asks the disk. Must not know: metrics' names.

use super::{App, CHECKPOINT};
use crate::{metrics::StoreHealth, tailnet::Concern};
use tokio::time::MissedTickBehavior;

impl App {
    /// Brings the gauges up to date.
    pub(super) fn measure(&self) {
        let stats = self.writer.stats();
        self.metrics.set_store(StoreHealth {
            queue_bytes: stats.queue_bytes + stats.body_queue_bytes,
            lost_bodies: stats.lost_bodies,
            lost_records: stats.lost_records,
            last_commit: stats.last_commit,
            degraded: stats.degraded.is_some(),
        });
        let identity = self.resolver.counts();
        self.metrics
            .set_identity(identity.lookups, identity.hits, identity.failures);
        self.metrics
            .set_draining(self.tasks.draining.is_cancelled());
        self.metrics.set_node_state(self.node.state_word());
        let concerns = self.node.concerns();
        for concern in Concern::ALL {
            self.metrics
                .set_node_concern(concern.word(), concerns.contains(&concern));
        }
        self.metrics.set_node_key_expiry(self.node.key_expiry());
        let config = self.live.status();
        self.metrics
            .set_config(config.loaded, config.tried, config.error.is_none());
        self.metrics
            .set_unrecorded_configs(self.editor.unrecorded());
        self.metrics.set_lost_log_lines(self.log.lost());
    }

    /// Keeps the gauges of the disk up to date. A network file system may hang in this: then it holds a thread that nobody
    /// else needs.
    pub(super) async fn watch_disk(&self) {
        let mut ticks = tokio::time::interval(CHECKPOINT);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            let place = self.state.path().to_owned();
            let asked = tokio::task::spawn_blocking(move || rustix::fs::statvfs(place));
            if let Ok(Ok(disk)) = asked.await {
                self.metrics.set_disk(
                    disk.f_blocks.saturating_mul(disk.f_frsize),
                    disk.f_bavail.saturating_mul(disk.f_frsize),
                );
            }
        }
    }
}
