//! What a process used, by /proc.
//!
//! Owns: [`Watched`] and [`Usage`]. In: a process id. Out: processor time, memory, threads, open files.

use anyhow::Context;
use std::{fs, time::Duration};

/// A process to be measured.
#[derive(Clone, Debug)]
pub struct Watched {
    /// What it is called in the report.
    pub name: String,
    pid: u32,
}

/// What it has used and has now.
#[derive(Clone, Copy, Debug, Default)]
pub struct Usage {
    /// Processor time since its start, in user and system mode, to a hundredth of a second.
    pub processor: Duration,
    /// Resident memory now, in KiB.
    pub resident_kib: u64,
    /// The most it ever was.
    pub peak_kib: u64,
    /// Threads now.
    pub threads: u64,
    /// Open files now.
    pub files: u64,
}

// === impl Watched ===

impl Watched {
    /// Reads `NAME=PID`.
    pub fn parse(text: &str) -> Result<Self, String> {
        text.split_once('=')
            .and_then(|(name, pid)| {
                Some(Self {
                    name: name.to_owned(),
                    pid: pid.parse().ok()?,
                })
            })
            .ok_or_else(|| "not of the form NAME=PID".to_owned())
    }

    /// Its use at this moment.
    pub fn usage(&self) -> anyhow::Result<Usage> {
        let read = |file: &str| {
            fs::read_to_string(format!("/proc/{}/{file}", self.pid))
                .with_context(|| format!("process {} ({})", self.name, self.pid))
        };
        let (stat, status) = (read("stat")?, read("status")?);
        // The process's name stands in parentheses and may hold anything, so fields are counted from behind it.
        let fields: Vec<&str> = stat
            .rsplit_once(')')
            .map_or("", |(_, rest)| rest)
            .split_whitespace()
            .collect();
        let ticks: u64 = [11, 12]
            .iter()
            .filter_map(|at| fields.get(*at)?.parse::<u64>().ok())
            .sum();
        Ok(Usage {
            processor: Duration::from_millis(
                ticks * 1000 / rustix::param::clock_ticks_per_second(),
            ),
            resident_kib: line(&status, "VmRSS:"),
            peak_kib: line(&status, "VmHWM:"),
            threads: line(&status, "Threads:"),
            files: fs::read_dir(format!("/proc/{}/fd", self.pid))
                .map_or(0, |files| files.count() as u64),
        })
    }
}

/// The number of a line of `/proc/PID/status`.
fn line(status: &str, name: &str) -> u64 {
    status
        .lines()
        .find_map(|line| line.strip_prefix(name))
        .and_then(|rest| rest.split_whitespace().next()?.parse().ok())
        .unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_has_used_something() {
        let me = Watched::parse(&format!("me={}", std::process::id())).unwrap();
        let usage = me.usage().unwrap();
        assert!(
            usage.resident_kib > 100 && usage.peak_kib >= usage.resident_kib,
            "{usage:?}"
        );
        assert!(usage.threads >= 1 && usage.files >= 3, "{usage:?}");
    }

    #[test]
    fn nonsense_is_refused() {
        assert!(Watched::parse("me").is_err());
        assert!(Watched::parse("me=you").is_err());
        assert!(Watched::parse("me=4294967295").unwrap().usage().is_err());
    }
}
