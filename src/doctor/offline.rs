//! A state directory whose gateway does not run, or does not answer.
//!
//! Owns: who holds the directory, and what its files say. In: the directory. Out: a [`Report`]. Changes nothing.
//! Must not know: how a running gateway is asked.

use super::{Outcome, Report, config, host::disk, store, versions};
use crate::config::{CheckOptions, Environment, Strictness, check, refused};
use rustix::fs::{FlockOperation, flock};
use std::{
    fs, io,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
};

/// What a gateway on this directory would be started with.
#[derive(Clone, Debug, Default)]
pub struct Surroundings {
    /// The document; none = `aperture.hujson` in the directory.
    pub config: Option<PathBuf>,
    /// Where `file:NAME` secrets are.
    pub secrets_dir: Option<PathBuf>,
    /// Permit providers on the host itself.
    pub allow_local_upstreams: bool,
}

/// Who holds the directory.
enum Holder {
    Nobody,
    /// A process, by its id where the kernel tells it.
    Process(Option<u32>),
}

/// What can be said when no gateway can be asked. An error means that the directory can't be looked into.
pub fn without_gateway(dir: &Path, around: &Surroundings) -> io::Result<Report> {
    fs::read_dir(dir)?;
    let mut report = Report::new(false);
    let socket = dir.join("control.sock");
    let holder = holder(dir);
    match &holder {
        Holder::Nobody => {
            let left = if socket.exists() {
                ", and the last one did not stop in order"
            } else {
                ""
            };
            report.add(
                "gateway.running",
                Outcome::Failure,
                format!("none is running on {}{left}", dir.display()),
                "start it, or name its --state-dir; below is what its files say",
            );
        }
        Holder::Process(id) => {
            report.add("gateway.running", Outcome::Good, process(*id), "");
            let what = if socket.exists() {
                "can't be connected to"
            } else {
                "is missing"
            };
            report.add(
                "gateway.socket",
                Outcome::Failure,
                format!("{} {what}: a gateway runs, and can't be asked", socket.display()),
                "restart the gateway: it makes the socket anew; no other program may delete files of its state directory",
            );
        }
    }
    files(dir, around, &holder, &mut report);
    Ok(report)
}

/// What can be said when the gateway does not answer in time.
pub fn silent(dir: &Path, around: &Surroundings, seconds: u64) -> io::Result<Report> {
    fs::read_dir(dir)?;
    let mut report = Report::new(false);
    let holder = holder(dir);
    let id = match &holder {
        Holder::Nobody => None,
        Holder::Process(id) => *id,
    };
    report.add("gateway.running", Outcome::Good, process(id), "");
    report.add(
        "gateway.answers",
        Outcome::Failure,
        format!("no answer within {seconds} s"),
        "is the host overloaded, or the process stopped? Restart the gateway; its log says what it did last",
    );
    files(dir, around, &Holder::Process(id), &mut report);
    Ok(report)
}

fn process(id: Option<u32>) -> String {
    id.map_or_else(
        || "a process holds the state directory".to_owned(),
        |id| format!("process {id}"),
    )
}

/// What the files say, whoever holds them.
fn files(dir: &Path, around: &Surroundings, holder: &Holder, report: &mut Report) {
    versions(report);
    config::private_directory(dir, report);
    document(dir, around, report);
    disk(dir, report);
    if matches!(holder, Holder::Nobody) {
        let mut found = Report::new(false);
        store::integrity(dir, &mut found);
        // A gateway that was started meanwhile writes to them: what was read then means nothing.
        if matches!(self::holder(dir), Holder::Nobody) {
            report.append(found);
        }
    }
}

fn document(dir: &Path, around: &Surroundings, report: &mut Report) {
    let path = around
        .config
        .clone()
        .unwrap_or_else(|| dir.join("aperture.hujson"));
    let text = match fs::read_to_string(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound && around.config.is_none() => {
            let detail = format!(
                "{} is not there yet: the first start writes one",
                path.display()
            );
            report.add(
                "config.file",
                Outcome::Note,
                detail,
                "name it with --config if it is elsewhere",
            );
            return;
        }
        Err(error) => {
            let detail = format!("{} can't be read: {error}", path.display());
            report.add(
                "config.file",
                Outcome::Failure,
                detail,
                "correct its path, or let the gateway's user read it",
            );
            return;
        }
    };
    let options = CheckOptions {
        allow_local_upstreams: around.allow_local_upstreams,
        secrets_dir: around.secrets_dir.clone(),
        environment: Environment::from_process(),
    };
    let checked = check(&text, &options);
    match &checked.config {
        Some(config) if !refused(&checked.findings, Strictness::Load) => {
            report.add(
                "config.file",
                Outcome::Good,
                format!("{} can be used", path.display()),
                "",
            );
            config::judge(config, &checked.findings, &path, report);
        }
        _ => {
            let worst = checked
                .findings
                .iter()
                .max_by_key(|finding| std::cmp::Reverse(finding.class));
            let why = worst.map_or_else(String::new, |finding| {
                format!(": line {}: {}", finding.line, finding.message)
            });
            report.add(
                "config.file",
                Outcome::Failure,
                format!("{} can't be used{why}", path.display()),
                format!(
                    "run `aperture check {}`; the gateway does not start until it is sound",
                    path.display()
                ),
            );
        }
    }
    config::readable(&path, report);
}

/// Who holds the directory's lock.
fn holder(dir: &Path) -> Holder {
    let Ok(lock) = fs::File::open(dir.join("lock")) else {
        return Holder::Nobody;
    };
    match flock(&lock, FlockOperation::NonBlockingLockShared) {
        Err(rustix::io::Errno::WOULDBLOCK) => {
            let inode = lock.metadata().map_or(0, |it| it.ino());
            let locks = fs::read_to_string("/proc/locks").unwrap_or_default();
            Holder::Process(owner(&locks, inode))
        }
        _ => Holder::Nobody,
    }
}

/// Who has locked that inode, by the kernel's list: `1: FLOCK  ADVISORY  WRITE 4711 00:2a:99 0 EOF`.
fn owner(locks: &str, inode: u64) -> Option<u32> {
    locks.lines().find_map(|line| {
        let words: Vec<_> = line.split_whitespace().collect();
        let &[_, "FLOCK", _, _, process, file, ..] = words.as_slice() else {
            return None;
        };
        let same = file.rsplit(':').next()?.parse() == Ok(inode);
        // A process of another namespace is shown as 0 or below.
        same.then(|| process.parse().ok().filter(|id| *id > 0))?
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_holder_of_a_lock_is_in_the_kernel_s_list() {
        let locks = "1: POSIX  ADVISORY  WRITE 10 00:2a:99 0 EOF\n2: FLOCK  ADVISORY  WRITE 4711 00:2a:99 0 EOF\n\
                     3: FLOCK  ADVISORY  WRITE -1 00:2a:100 0 EOF\n";
        assert_eq!(owner(locks, 99), Some(4711));
        assert_eq!(owner(locks, 100), None);
        assert_eq!(owner(locks, 98), None);
    }

    #[test]
    fn a_directory_that_is_not_there_can_t_be_looked_into() {
        let dir = tempfile::tempdir().unwrap();
        assert!(without_gateway(&dir.path().join("x"), &Surroundings::default()).is_err());
        let report = without_gateway(dir.path(), &Surroundings::default()).unwrap();
        assert!(!report.healthy);
    }
}
