//! The store: whether it writes, what it lost, how large it is, and how far back it goes.
//!
//! Owns: what its figures mean. In: the figures. Out: findings; [`integrity`] looks at the files themselves, when no gateway has
//! them. Must not know: tables.

use super::{Outcome, Report, ago, size};
use crate::{
    app::App,
    config::Config,
    record::Timestamp,
    store::{self, Integrity, Store},
};
use std::path::Path;

/// Milliseconds that records may wait for the disk. They wait for 25 as a rule.
const LAG: u64 = 5_000;

/// Milliseconds that records may be older than they should become: they are looked for from time to time.
const LEEWAY: u64 = 2 * 86_400_000;

/// Looks at the store of a running gateway.
pub(super) async fn look(app: &App, config: &Config, report: &mut Report) {
    let stats = app.writer.stats();
    if let Some(why) = &stats.degraded {
        report.add(
            "store.writing",
            Outcome::Failure,
            why.clone(),
            "free space on the disk of the state directory; requests are still served and the newest records kept in memory",
        );
    } else {
        let detail = format!("{} commits", stats.commits);
        report.add("store.writing", Outcome::Good, detail, "");
        let waited = stats
            .last_commit
            .map_or(0, |last| Timestamp::now().0.saturating_sub(last.0));
        let bytes = size(stats.queue_bytes + stats.body_queue_bytes);
        let (outcome, remedy) = if stats.queued > 0 && waited > LAG {
            (
                Outcome::Warning,
                "the disk is slow: give the state directory a faster one, or keep less of bodies (gateway.capture)",
            )
        } else {
            (Outcome::Good, "")
        };
        report.add("store.lag", outcome, format!("{bytes} waiting"), remedy);
    }
    if stats.lost_records > 0 || stats.lost_bodies > 0 {
        report.add(
            "store.lost",
            Outcome::Warning,
            format!(
                "lost {} records and {} bodies since the start",
                stats.lost_records, stats.lost_bodies
            ),
            "the disk was too slow or full; the records say so themselves",
        );
    } else {
        report.add("store.lost", Outcome::Good, "nothing", "");
    }
    if app.recovered.interrupted > 0 || app.recovered.window.is_some() {
        report.add(
            "store.recovered",
            Outcome::Note,
            format!(
                "the last run did not end in order: {} requests were cut off by it",
                app.recovered.interrupted
            ),
            "",
        );
    }
    captures(config, stats.capture_live_bytes, report);
    let oldest = app.store.ask(Store::oldest).await.ok().flatten();
    let back = oldest.map_or_else(
        || "no record yet".to_owned(),
        |time| format!("the oldest record is from {} ({})", time, ago(time)),
    );
    report.add(
        "store.size",
        Outcome::Good,
        format!(
            "records {}, captures {}; {back}",
            size(stats.main_file_bytes),
            size(stats.capture_file_bytes)
        ),
        "",
    );
    let (outcome, detail, remedy) = retention(config, oldest, Timestamp::now());
    report.add("store.retention", outcome, detail, remedy);
}

fn captures(config: &Config, live: u64, report: &mut Report) {
    let cap = config.gateway.capture.total_bytes;
    let detail = format!("{} of {}", size(live), size(cap));
    // What is being written counts before the oldest goes.
    if live / 5 > cap / 4 {
        let remedy =
            "they are deleted in steps: look again in a minute; if it stays so, look at the log";
        report.add("store.captures", Outcome::Warning, detail, remedy);
    } else {
        report.add("store.captures", Outcome::Good, detail, "");
    }
}

fn retention(
    config: &Config,
    oldest: Option<Timestamp>,
    now: Timestamp,
) -> (Outcome, String, &'static str) {
    let Some(kept) = config.gateway.retention.records else {
        return (Outcome::Good, "records are kept for ever".to_owned(), "");
    };
    let kept_ms = u64::try_from(kept.as_millis()).unwrap_or(u64::MAX);
    let days = kept.as_secs() / 86_400;
    let late = oldest
        .is_some_and(|oldest| now.0.saturating_sub(oldest.0) > kept_ms.saturating_add(LEEWAY));
    if late {
        let detail = format!("records are kept for {days} days, and there are older ones");
        return (
            Outcome::Warning,
            detail,
            "look at the log: deleting fails, or the store is degraded",
        );
    }
    (
        Outcome::Good,
        format!("records are kept for {days} days"),
        "",
    )
}

/// Checks the files of a state directory that no gateway uses; nothing is written to them.
pub(super) fn integrity(dir: &Path, report: &mut Report) {
    for (file, found) in store::integrity(dir) {
        let (outcome, detail, remedy) = match found {
            Integrity::Absent => (Outcome::Note, "not there yet".to_owned(), ""),
            Integrity::Sound { bytes, whole: true } => {
                (Outcome::Good, format!("whole, {}", size(bytes)), "")
            }
            Integrity::Sound {
                bytes,
                whole: false,
            } => (
                Outcome::Good,
                format!(
                    "opens, {}; too large to be read as a whole here",
                    size(bytes)
                ),
                "",
            ),
            Integrity::Unclosed { bytes } => (
                Outcome::Note,
                format!(
                    "whole, {}; it was not closed in order, and is repaired at the next start",
                    size(bytes)
                ),
                "",
            ),
            Integrity::Bad(why) => (
                Outcome::Failure,
                why,
                "restore it from a backup, or move it away: the gateway starts with an empty one",
            ),
        };
        report.about("store.integrity", file.as_str(), outcome, detail, remedy);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn records_that_are_too_old_are_seen() {
        const DAY: u64 = 86_400_000;
        let mut config = Config::default();
        let now = Timestamp(100 * DAY);
        assert_eq!(retention(&config, Some(Timestamp(0)), now).0, Outcome::Good);
        config.gateway.retention.records = Some(Duration::from_hours(30 * 24));
        for (oldest, outcome) in [(69, Outcome::Good), (60, Outcome::Warning)] {
            assert_eq!(
                retention(&config, Some(Timestamp(oldest * DAY)), now).0,
                outcome,
                "{oldest}"
            );
        }
        assert_eq!(retention(&config, None, now).0, Outcome::Good);
    }

    #[test]
    fn captures_may_pass_their_limit_for_a_moment_only() {
        let mut config = Config::default();
        config.gateway.capture.total_bytes = 1_000;
        for (live, outcome) in [
            (900, Outcome::Good),
            (1_100, Outcome::Good),
            (2_000, Outcome::Warning),
        ] {
            let mut report = Report::new(true);
            captures(&config, live, &mut report);
            assert_eq!(report.checks[0].outcome, outcome, "{live}");
        }
    }
}
