//! What the kernel says of this process, under the names that Prometheus clients share.
//!
//! Owns: [`TABLE`] and the reading of `/proc/self`. A figure that can't be read is left out, never shown as zero.

use crate::record::Timestamp;
use std::{fmt::Write as _, fs, time::Duration};

/// `(name, kind, help)`.
pub(super) const TABLE: [(&str, &str, &str); 7] = [
    (
        "process_cpu_seconds_total",
        "counter",
        "Processor time used, user and system.",
    ),
    (
        "process_resident_memory_bytes",
        "gauge",
        "Memory in use: the gateway and the tailnet library together.",
    ),
    (
        "process_virtual_memory_bytes",
        "gauge",
        "Address space in use.",
    ),
    ("process_threads", "gauge", "Threads."),
    ("process_open_fds", "gauge", "Open file descriptors."),
    (
        "process_max_fds",
        "gauge",
        "File descriptors that the process may open.",
    ),
    (
        "process_start_time_seconds",
        "gauge",
        "When the process started, in seconds since 1970.",
    ),
];

/// Appends the process's figures.
pub(super) fn append(out: &mut String, started: Timestamp) {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    for (name, kind, help) in TABLE {
        if let Some(value) = read(name, &status, started) {
            let _ = writeln!(
                out,
                "# HELP {name} {help}\n# TYPE {name} {kind}\n{name} {value}"
            );
        }
    }
}

fn read(name: &str, status: &str, started: Timestamp) -> Option<String> {
    Some(match name {
        "process_cpu_seconds_total" => {
            let time = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
            format!("{}.{:09}", time.tv_sec, time.tv_nsec)
        }
        "process_resident_memory_bytes" => kibibytes(status, "VmRSS:")?,
        "process_virtual_memory_bytes" => kibibytes(status, "VmSize:")?,
        "process_threads" => field(status, "Threads:")?.to_owned(),
        "process_open_fds" => {
            // The directory that is being read is one of them.
            let open = fs::read_dir("/proc/self/fd").ok()?.count();
            open.saturating_sub(1).to_string()
        }
        "process_max_fds" => rustix::process::getrlimit(rustix::process::Resource::Nofile)
            .current?
            .to_string(),
        "process_start_time_seconds" => {
            format!("{}", Duration::from_millis(started.0).as_secs_f64())
        }
        _ => return None,
    })
}

fn field<'a>(status: &'a str, name: &str) -> Option<&'a str> {
    let line = status.lines().find_map(|line| line.strip_prefix(name))?;
    line.split_whitespace().next()
}

fn kibibytes(status: &str, name: &str) -> Option<String> {
    let kibibytes: u64 = field(status, name)?.parse().ok()?;
    Some((kibibytes * 1_024).to_string())
}
