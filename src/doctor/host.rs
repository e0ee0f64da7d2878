//! The host: descriptors, memory, the disk, and the state directory.
//!
//! Owns: the limits at which each is complained of. In: what the kernel says. Out: findings. Must not know: what is stored.

use super::{Outcome, Report, config::private_directory, size};
use crate::{
    app::{App, room},
    config::Config,
};
use rustix::process::{Resource, getrlimit};
use std::{fs, path::Path};

/// Fewer descriptors than this are too few for a team: a connection takes three (its two ends, and one to a provider).
const DESCRIPTORS: u64 = 3_000;

/// Less room than this is complained of, and less than that will stop records within minutes.
const DISK_LOW: u64 = 1 << 30;
const DISK_OUT: u64 = 64 << 20;

/// Looks at the host of a running gateway, from within it.
pub(super) fn look(app: &App, config: &Config, report: &mut Report) {
    let open = fs::read_dir("/proc/self/fd").map_or(0, |fds| fds.count() as u64);
    let limit = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
    let wanted = config.gateway.limits.connections as u64;
    let (outcome, detail, remedy) = descriptors(open, limit, wanted);
    report.add("host.descriptors", outcome, detail, remedy);
    if let Some((used, limit)) = resident().zip(cgroup_limit()) {
        let (outcome, detail, remedy) = memory(used, limit);
        report.add("host.memory", outcome, detail, remedy);
    } else if let Some(used) = resident() {
        report.add(
            "host.memory",
            Outcome::Good,
            format!("{} in use, no limit set", size(used)),
            "",
        );
    }
    disk(app.state.path(), report);
    private_directory(app.state.path(), report);
    if app.state.lock_is_ours() {
        report.add("state.lock", Outcome::Good, "held", "");
    } else {
        report.add(
            "state.lock",
            Outcome::Failure,
            "the lock file was removed or replaced: a second gateway could start on the same files, and both would be damaged",
            "restart this gateway, and leave the file `lock` alone",
        );
    }
}

fn descriptors(open: u64, limit: u64, wanted: u64) -> (Outcome, String, &'static str) {
    let room = limit.saturating_sub(open) / room::EACH;
    let detail = match limit {
        u64::MAX => format!("{open} open, no limit"),
        _ => format!(
            "{open} of {limit} open, room for about {room} more connections (limits.connections is {wanted})"
        ),
    };
    if limit < DESCRIPTORS || room < 100 {
        let remedy = "raise the hard limit where the gateway starts (LimitNOFILE in systemd, --ulimit nofile in docker, ulimit -Hn)";
        let outcome = if room < 10 {
            Outcome::Failure
        } else {
            Outcome::Warning
        };
        return (outcome, detail, remedy);
    }
    (Outcome::Good, detail, "")
}

fn memory(used: u64, limit: u64) -> (Outcome, String, &'static str) {
    let detail = format!("{} in use, the limit is {}", size(used), size(limit));
    if used / 9 > limit / 10 {
        let remedy = "raise the limit (resources.limits.memory, MemoryMax): beyond it the kernel ends the gateway";
        return (Outcome::Warning, detail, remedy);
    }
    (Outcome::Good, detail, "")
}

/// Room on the disk of a directory.
pub(super) fn disk(dir: &Path, report: &mut Report) {
    let Ok(disk) = rustix::fs::statvfs(dir) else {
        return;
    };
    let (free, all) = (
        disk.f_bavail.saturating_mul(disk.f_frsize),
        disk.f_blocks.saturating_mul(disk.f_frsize),
    );
    let detail = format!(
        "{} free of {}, below {}",
        size(free),
        size(all),
        dir.display()
    );
    let remedy = "make room, or keep less: gateway.capture.total_bytes and gateway.retention";
    match free {
        _ if free < DISK_OUT => report.add("store.disk", Outcome::Failure, detail, remedy),
        _ if free < DISK_LOW => report.add("store.disk", Outcome::Warning, detail, remedy),
        _ => report.add("store.disk", Outcome::Good, detail, ""),
    }
}

/// Memory of this process.
fn resident() -> Option<u64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kibibytes: u64 = line.split_whitespace().next()?.parse().ok()?;
    Some(kibibytes << 10)
}

/// What the group of this process may use (cgroup v2, its own or the container's).
fn cgroup_limit() -> Option<u64> {
    let own = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    let own = own
        .lines()
        .find_map(|line| line.strip_prefix("0::"))
        .unwrap_or("/");
    [
        format!("/sys/fs/cgroup{own}/memory.max"),
        "/sys/fs/cgroup/memory.max".to_owned(),
    ]
    .iter()
    .find_map(|path| fs::read_to_string(path).ok()?.trim().parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_are_judged_by_what_is_left() {
        for (open, limit, outcome) in [
            (100, 1 << 20, Outcome::Good),
            (100, u64::MAX, Outcome::Good),
            (100, 1_024, Outcome::Warning),
            (9_900, 10_000, Outcome::Warning),
            (9_990, 10_000, Outcome::Failure),
        ] {
            assert_eq!(
                descriptors(open, limit, 20_000).0,
                outcome,
                "{open} of {limit}"
            );
        }
        assert_eq!(memory(100 << 20, 512 << 20).0, Outcome::Good);
        assert_eq!(memory(500 << 20, 512 << 20).0, Outcome::Warning);
    }
}
