//! The configuration in force, and how it changes.
//!
//! Owns: the current [`Config`], reload on demand and when the file or a secret file is touched, and the first document
//! of a fresh gateway. In: a path. Out: `Arc<Config>`, changes to subscribers, and the state of the last reload. A document
//! that can't be used changes nothing. Must not know: what depends on the configuration.

use super::{CheckOptions, default_document, log_findings};
use super::{Checked, Config, Finding, MAX_DOCUMENT_BYTES, check, secrets::Resolved};
use crate::shutdown::Tasks;
use parking_lot::Mutex;
use std::{
    fs, io,
    io::{Read as _, Write as _},
    os::unix::fs::{MetadataExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, SystemTime},
};
use tokio::{sync::watch, time::MissedTickBehavior};

/// How often the files are looked at.
const POLL: Duration = Duration::from_secs(1);

/// Why a document is not in force.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// The file can't be read.
    #[error("cannot read {path}: {source}")]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// The document can't be used.
    #[error("{path} cannot be used: {}", first(findings))]
    Refused {
        /// The file.
        path: PathBuf,
        /// Everything that was found.
        findings: Vec<Finding>,
    },
}

fn first(findings: &[Finding]) -> String {
    findings
        .iter()
        .max_by_key(|finding| std::cmp::Reverse(finding.class))
        .map_or_else(String::new, |finding| {
            format!("line {}: {}", finding.line, finding.message)
        })
}

/// What a reload did.
#[derive(Debug)]
pub enum ReloadOutcome {
    /// Neither the document nor a secret has changed.
    Unchanged,
    /// The new document is in force.
    Swapped {
        /// Its version.
        hash: String,
        /// Its warnings.
        findings: Vec<Finding>,
    },
    /// The last good document stays in force.
    Kept(LoadError),
}

/// The state of loading, for pages, metrics and `doctor`.
#[derive(Clone, Debug)]
pub struct Status {
    /// When the document in force was loaded.
    pub loaded: SystemTime,
    /// When a reload was last tried.
    pub tried: SystemTime,
    /// Why the last reload was refused; none = it was not.
    pub error: Option<String>,
    /// What was found in the document that was last read.
    pub findings: Arc<[Finding]>,
}

/// The configuration in force.
#[derive(Clone, Debug)]
pub struct Live(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    path: PathBuf,
    options: CheckOptions,
    current: watch::Sender<Arc<Config>>,
    status: Mutex<Status>,
    /// Held during a reload, so that two can't cross.
    seen: Mutex<Seen>,
}

/// What was last read.
#[derive(Debug)]
struct Seen {
    secrets: Resolved,
    files: Vec<PathBuf>,
    stamps: Vec<Option<Stamp>>,
}

/// What changes when a file is written or replaced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Stamp {
    device: u64,
    inode: u64,
    length: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl Live {
    /// Loads the document.
    pub fn load(path: impl Into<PathBuf>, options: CheckOptions) -> Result<Self, LoadError> {
        let path = path.into();
        let before = stamps(std::slice::from_ref(&path));
        let (config, checked) = read(&path, &options)?;
        let now = SystemTime::now();
        let mut files = vec![path.clone()];
        files.extend(checked.files);
        // Stamps are from before the reading, so that a change meanwhile is seen; files not known then count as touched.
        let mut stamps = before;
        stamps.resize(files.len(), None);
        Ok(Self(Arc::new(Inner {
            path,
            options,
            current: watch::Sender::new(Arc::new(config)),
            status: Mutex::new(Status {
                loaded: now,
                tried: now,
                error: None,
                findings: checked.findings.into(),
            }),
            seen: Mutex::new(Seen {
                secrets: checked.secrets,
                files,
                stamps,
            }),
        })))
    }

    /// The configuration in force.
    pub fn current(&self) -> Arc<Config> {
        self.0.current.borrow().clone()
    }

    /// Tells of each new configuration.
    pub fn subscribe(&self) -> watch::Receiver<Arc<Config>> {
        self.0.current.subscribe()
    }

    /// The state of loading.
    pub fn status(&self) -> Status {
        self.0.status.lock().clone()
    }

    /// The document's file.
    pub fn path(&self) -> &Path {
        &self.0.path
    }

    /// Checks a text as a reload would check the file. Blocks on secret files.
    pub fn check(&self, text: &str) -> Checked {
        check(text, &self.0.options)
    }

    /// Whether providers may be on the gateway's own host.
    pub fn allow_local_upstreams(&self) -> bool {
        self.0.options.allow_local_upstreams
    }

    /// Reads the document and its secrets again. Blocks on files.
    pub fn reload(&self) -> ReloadOutcome {
        let inner = &*self.0;
        let mut seen = inner.seen.lock();
        seen.stamps = stamps(&seen.files);
        let outcome = match read(&inner.path, &inner.options) {
            Ok((config, checked)) => {
                let same =
                    config.hash == inner.current.borrow().hash && checked.secrets == seen.secrets;
                let mut files = vec![inner.path.clone()];
                files.extend(checked.files);
                if files != seen.files {
                    seen.stamps.truncate(1);
                    seen.stamps.resize(files.len(), None);
                    seen.files = files;
                }
                seen.secrets = checked.secrets;
                let findings = checked.findings;
                inner.note(None, Some(&findings), !same);
                if same {
                    ReloadOutcome::Unchanged
                } else {
                    let hash = config.hash.clone();
                    inner.current.send_replace(Arc::new(config));
                    ReloadOutcome::Swapped { hash, findings }
                }
            }
            Err(error) => {
                let findings = match &error {
                    LoadError::Refused { findings, .. } => Some(findings.as_slice()),
                    LoadError::Unreadable { .. } => None,
                };
                inner.note(Some(error.to_string()), findings, false);
                ReloadOutcome::Kept(error)
            }
        };
        drop(seen);
        outcome
    }

    /// Reloads when the document or a secret file was touched since it was last read. Blocks on files.
    pub fn reload_if_touched(&self) -> Option<ReloadOutcome> {
        let touched = {
            let seen = self.0.seen.lock();
            stamps(&seen.files) != seen.stamps
        };
        touched.then(|| self.reload())
    }

    /// Logs what a reload did, with every finding.
    pub fn log(&self, outcome: &ReloadOutcome) {
        match outcome {
            ReloadOutcome::Unchanged => tracing::debug!("config: unchanged"),
            ReloadOutcome::Swapped { hash, findings } => {
                log_findings(&self.0.path, findings);
                tracing::info!(hash, "config: a new version is in force");
            }
            ReloadOutcome::Kept(error) => {
                if let LoadError::Refused { findings, .. } = error {
                    log_findings(&self.0.path, findings);
                }
                tracing::error!(%error, "config: the last good version stays in force");
            }
        }
    }

    /// Looks at the files every second until the drain begins, and reloads when one was touched.
    ///
    /// Polling by path sees every way of writing: in place, by rename, and the swapped links of a mounted `ConfigMap`.
    pub fn watch(&self, tasks: &Tasks) {
        let live = self.clone();
        let draining = tasks.draining.clone();
        tasks.spawn(async move {
            let mut ticks = tokio::time::interval(POLL);
            ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
            loop {
                tokio::select! {
                    () = draining.cancelled() => return,
                    _ = ticks.tick() => {}
                }
                let poller = live.clone();
                let polled = tokio::task::spawn_blocking(move || {
                    if let Some(outcome) = poller.reload_if_touched() {
                        poller.log(&outcome);
                    }
                });
                if polled.await.is_err() {
                    tracing::error!(
                        "config: a reload failed; the last good version stays in force"
                    );
                }
            }
        });
    }
}

impl Inner {
    fn note(&self, error: Option<String>, findings: Option<&[Finding]>, swapped: bool) {
        let now = SystemTime::now();
        let mut status = self.status.lock();
        status.tried = now;
        status.error = error;
        if let Some(findings) = findings {
            status.findings = findings.into();
        }
        if swapped {
            status.loaded = now;
        }
    }
}

/// Reads and checks a file.
fn read(path: &Path, options: &CheckOptions) -> Result<(Config, Checked), LoadError> {
    let unreadable = |source| LoadError::Unreadable {
        path: path.to_owned(),
        source,
    };
    let limit = u64::try_from(MAX_DOCUMENT_BYTES).expect("a few mebibytes") + 1;
    let mut bytes = Vec::new();
    fs::File::open(path)
        .and_then(|file| file.take(limit).read_to_end(&mut bytes))
        .map_err(unreadable)?;
    let text = String::from_utf8(bytes).map_err(|error| {
        unreadable(io::Error::new(
            io::ErrorKind::InvalidData,
            error.utf8_error(),
        ))
    })?;
    let mut checked = check(&text, options);
    match checked.config.take() {
        Some(config) => Ok((config, checked)),
        None => Err(LoadError::Refused {
            path: path.to_owned(),
            findings: checked.findings,
        }),
    }
}

fn stamps(files: &[PathBuf]) -> Vec<Option<Stamp>> {
    files
        .iter()
        .map(|file| {
            let metadata = fs::metadata(file).ok()?;
            Some(Stamp {
                device: metadata.dev(),
                inode: metadata.ino(),
                length: metadata.len(),
                modified: (metadata.mtime(), metadata.mtime_nsec()),
                changed: (metadata.ctime(), metadata.ctime_nsec()),
            })
        })
        .collect()
}

/// Writes the first document, readable by the owner alone; false = there is one already.
///
/// It appears whole or not at all.
pub fn write_default(path: &Path) -> io::Result<bool> {
    if path.try_exists()? {
        return Ok(false);
    }
    let name = path
        .file_name()
        .ok_or_else(|| io::Error::from(io::ErrorKind::InvalidInput))?;
    let mut draft = std::ffi::OsString::from(".");
    draft.push(name);
    draft.push(format!(".{}", std::process::id()));
    let draft = path.with_file_name(draft);
    let written = fs::OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&draft)
        .and_then(|mut file| {
            file.write_all(default_document().as_bytes())?;
            file.sync_all()
        })
        // Unlike a rename, a link never replaces what someone else has written meanwhile.
        .and_then(|()| fs::hard_link(&draft, path));
    let _ = fs::remove_file(&draft);
    match written {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(false),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests;
