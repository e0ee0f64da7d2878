//! The document's file: read with its version, and replaced whole or not at all.
//!
//! Owns: whether it can be written and why not, and the one way in which it is. A link is followed and stays; permissions stay;
//! a change by others between reading and replacing is found, and theirs stays. In: bytes. Out: bytes, or what to do.
//! Must not know: what the bytes mean.

use super::Etag;
use crate::{config::MAX_DOCUMENT_BYTES, record::Timestamp};
use rustix::{
    fs::{Access, AtFlags, CWD, RenameFlags, StatxAttributes, StatxFlags},
    io::Errno,
};
use std::{
    fs::{self, File, Metadata},
    io::{self, Read as _, Write as _},
    os::unix::fs::{MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

/// The age at which a draft is what a killed process left behind.
const STALE: Duration = Duration::from_mins(1);

/// Why the file can't be written. Displayed: what and where; [`Unwritable::advice`]: what to do.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unwritable {
    /// It comes from a Kubernetes `ConfigMap` or `Secret`, which is changed there.
    #[error("{} is mounted from a ConfigMap or Secret", .0.display())]
    Mounted(PathBuf),
    /// It is a mount of its own (a single file, as with Docker's `-v FILE:FILE` or a `subPath`): it can't be replaced.
    #[error("{} is mounted as a single file, which can't be replaced", .0.display())]
    SingleFile(PathBuf),
    /// The file system is read-only for the gateway.
    #[error("{} is on a file system that is read-only for the gateway", .0.display())]
    ReadOnlyFileSystem(PathBuf),
    /// The file may not be written by the gateway's user: somebody wants it so.
    #[error("{} may not be written", .0.display())]
    ReadOnlyFile(PathBuf),
    /// The gateway's user may not write into the directory.
    #[error("the gateway may not write into {}", .0.display())]
    NoPermission(PathBuf),
    /// Another process is just saving it.
    #[error("another save is under way: {} is there", .0.display())]
    Busy(PathBuf),
    /// The system refused.
    #[error("{} can't be written: {reason}", path.display())]
    Failed {
        /// The file.
        path: PathBuf,
        /// The system's reason.
        reason: String,
    },
}

/// A file as it was read.
pub(super) struct OnDisk {
    pub(super) bytes: Vec<u8>,
    pub(super) etag: Etag,
    pub(super) exists: bool,
    pub(super) modified: Option<Timestamp>,
    /// Why it could not be read, or not as text.
    pub(super) failure: Option<String>,
}

/// Why a file was not replaced.
#[derive(Debug)]
pub(super) enum NotReplaced {
    /// It is not what it was any more.
    Changed,
    /// It can't be.
    Unwritable(Unwritable),
}

/// Reads the file, bounded. Blocks.
pub(super) fn read(path: &Path) -> OnDisk {
    let limit = u64::try_from(MAX_DOCUMENT_BYTES).expect("a few mebibytes") + 1;
    let mut bytes = Vec::new();
    let opened = File::open(path).and_then(|file| {
        let modified = file.metadata()?.modified().ok();
        file.take(limit).read_to_end(&mut bytes)?;
        Ok(modified)
    });
    let (modified, exists, failure) = match opened {
        Ok(modified) => (modified, true, None),
        Err(error) => {
            bytes.clear();
            let missing = error.kind() == io::ErrorKind::NotFound;
            let failure = format!("{} can't be read: {error}", path.display());
            (None, !missing, Some(failure))
        }
    };
    let text = std::str::from_utf8(&bytes).is_ok();
    OnDisk {
        etag: Etag::of(&bytes),
        failure: failure.or_else(|| (!text).then(|| "the file is not UTF-8".to_owned())),
        bytes,
        exists,
        modified: modified.map(timestamp),
    }
}

fn timestamp(time: SystemTime) -> Timestamp {
    let since = time.duration_since(SystemTime::UNIX_EPOCH);
    Timestamp(u64::try_from(since.unwrap_or_default().as_millis()).unwrap_or(u64::MAX))
}

/// Why the file can't be written; none = it looks as if it could. Nothing is written to find out. Blocks.
pub(super) fn unwritable(path: &Path) -> Option<Unwritable> {
    let target = match resolved(path) {
        Ok(target) => target,
        Err(error) => return Some(refused(path, path, &error)),
    };
    let directory = parent(&target);
    if is_projected(&target) {
        return Some(Unwritable::Mounted(path.to_owned()));
    }
    if let Ok(metadata) = fs::metadata(&target) {
        if is_mount(&target) {
            return Some(Unwritable::SingleFile(path.to_owned()));
        }
        if metadata.mode() & 0o222 == 0 {
            return Some(Unwritable::ReadOnlyFile(path.to_owned()));
        }
        match rustix::fs::access(&target, Access::WRITE_OK) {
            Ok(()) => {}
            Err(Errno::ACCESS | Errno::PERM) => {
                return Some(Unwritable::ReadOnlyFile(path.to_owned()));
            }
            Err(error) => return Some(refused(path, directory, &error.into())),
        }
    }
    let access = rustix::fs::access(directory, Access::WRITE_OK | Access::EXEC_OK);
    access
        .err()
        .map(|error| refused(path, directory, &error.into()))
}

/// Puts bytes in the place of `base`. Appears whole, is durable when this returns, and replaces nothing but `base`. Blocks.
pub(super) fn replace(path: &Path, base: &OnDisk, bytes: &[u8]) -> Result<(), NotReplaced> {
    if let Some(why) = unwritable(path) {
        return Err(NotReplaced::Unwritable(why));
    }
    let failed = |directory: &Path, error: &io::Error| {
        NotReplaced::Unwritable(refused(path, directory, error))
    };
    let target = resolved(path).map_err(|error| failed(path, &error))?;
    let directory = parent(&target);
    let draft = draft_of(&target);
    let file = open(&draft).map_err(|error| {
        if error.kind() == io::ErrorKind::AlreadyExists {
            NotReplaced::Unwritable(Unwritable::Busy(draft.clone()))
        } else {
            failed(directory, &error)
        }
    })?;
    let written = fill(&file, fs::metadata(&target).ok().as_ref(), bytes)
        .map_err(|error| failed(directory, &error))
        .and_then(|()| exchange(&target, &draft, base, failed));
    // What was replaced, or what was not needed.
    let _ = fs::remove_file(&draft);
    written?;
    if let Err(error) = File::open(directory).and_then(|directory| directory.sync_all()) {
        tracing::warn!(%error, "config: saved, but the directory could not be synced to disk");
    }
    Ok(())
}

/// Opens the draft. It also keeps other processes that save the same file away; one that was killed does not for long.
fn open(draft: &Path) -> io::Result<File> {
    let create = || {
        File::options()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(draft)
    };
    match create() {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            let age = fs::symlink_metadata(draft)
                .and_then(|metadata| metadata.modified())
                .map(|modified| SystemTime::now().duration_since(modified));
            // A time in the future is no age: the clock was set back.
            let young = matches!(age, Ok(Ok(age)) if age < STALE);
            if young {
                return Err(error);
            }
            fs::remove_file(draft)?;
            create()
        }
        other => other,
    }
}

/// Fills the draft and gives it the owner and the permissions of the file that it is to replace.
fn fill(mut file: &File, old: Option<&Metadata>, bytes: &[u8]) -> io::Result<()> {
    if let Some(old) = old {
        let new = file.metadata()?;
        let mut mode = old.mode() & 0o777;
        if (old.uid(), old.gid()) != (new.uid(), new.gid()) {
            let (owner, group) = (Some(old.uid()), Some(old.gid()));
            let both = std::os::unix::fs::fchown(file, owner, group);
            if both.is_err() && std::os::unix::fs::fchown(file, None, group).is_err() {
                // Another group must not read what the old one could.
                mode &= 0o707;
            }
        }
        file.set_permissions(fs::Permissions::from_mode(mode))?;
    }
    file.write_all(bytes)?;
    file.sync_all()
}

/// Puts the draft in the file's place and checks that what it replaced is what it was made from.
fn exchange(
    target: &Path,
    draft: &Path,
    base: &OnDisk,
    failed: impl Fn(&Path, &io::Error) -> NotReplaced,
) -> Result<(), NotReplaced> {
    let failed = |error: io::Error| failed(parent(target), &error);
    let unchanged = |path: &Path| {
        let now = read(path);
        now.exists == base.exists && now.etag == base.etag
    };
    if !unchanged(target) {
        return Err(NotReplaced::Changed);
    }
    if !base.exists {
        // Unlike a rename, a link never replaces what someone else has written meanwhile.
        return match fs::hard_link(draft, target) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Err(NotReplaced::Changed),
            linked => linked.map_err(failed),
        };
    }
    match rustix::fs::renameat_with(CWD, draft, CWD, target, RenameFlags::EXCHANGE) {
        // What stood there now has the draft's name: it can still be looked at.
        Ok(()) if unchanged(draft) => Ok(()),
        Ok(()) => {
            fs::rename(draft, target).map_err(failed)?;
            Err(NotReplaced::Changed)
        }
        // A file system that can't: the moment since the look is lost.
        Err(Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP) => {
            fs::rename(draft, target).map_err(failed)
        }
        Err(error) => Err(failed(error.into())),
    }
}

/// The file behind links; a missing one is where it would be.
fn resolved(path: &Path) -> io::Result<PathBuf> {
    match fs::canonicalize(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let name = path.file_name().ok_or(error)?;
            Ok(fs::canonicalize(parent(path))?.join(name))
        }
        other => other,
    }
}

fn parent(path: &Path) -> &Path {
    path.parent()
        .filter(|parent| !parent.as_os_str().is_empty())
        .unwrap_or(Path::new("."))
}

/// The draft's name, beside the file: a rename works only within a file system.
fn draft_of(target: &Path) -> PathBuf {
    let mut name = std::ffi::OsString::from(".");
    name.push(target.file_name().unwrap_or_default());
    name.push(".saving");
    target.with_file_name(name)
}

/// Whether Kubernetes has put it there: behind its links are directories like `..2026_11_28_17_00_00.1234`.
fn is_projected(target: &Path) -> bool {
    target.components().any(|component| {
        let name = component.as_os_str().as_encoded_bytes();
        name.len() > 2 && name.starts_with(b"..")
    })
}

/// Whether a file is a mount of its own.
fn is_mount(target: &Path) -> bool {
    let found = rustix::fs::statx(CWD, target, AtFlags::empty(), StatxFlags::BASIC_STATS);
    found.is_ok_and(|found| found.stx_attributes.contains(StatxAttributes::MOUNT_ROOT))
}

/// A refusal of the system, in our words where they say more.
fn refused(path: &Path, directory: &Path, error: &io::Error) -> Unwritable {
    match Errno::from_io_error(error) {
        Some(Errno::ROFS) => Unwritable::ReadOnlyFileSystem(path.to_owned()),
        Some(Errno::BUSY) => Unwritable::SingleFile(path.to_owned()),
        Some(Errno::ACCESS | Errno::PERM) => Unwritable::NoPermission(directory.to_owned()),
        _ => Unwritable::Failed {
            path: path.to_owned(),
            reason: error.to_string(),
        },
    }
}

// === impl OnDisk ===

impl OnDisk {
    /// The text, as far as it is one.
    pub(super) fn text(&self) -> String {
        String::from_utf8_lossy(&self.bytes).into_owned()
    }
}

// === impl Unwritable ===

impl Unwritable {
    /// What to do.
    pub const fn advice(&self) -> &'static str {
        match self {
            Self::Mounted(_) => {
                "change it there (the chart's values, or kubectl edit): it is taken over by itself within a minute or two"
            }
            Self::SingleFile(_) => "mount its directory instead of the file",
            Self::ReadOnlyFileSystem(_) => {
                "edit the file where it comes from, or keep the document in the state directory"
            }
            Self::ReadOnlyFile(_) => {
                "edit it on the host; or, to change it here, let the gateway's user write it"
            }
            Self::NoPermission(_) => {
                "edit the file on the host; or let the gateway's user write into its directory, as a file is replaced whole"
            }
            Self::Busy(_) => "try again in a moment",
            Self::Failed { .. } => "see to the cause and save again; nothing was written",
        }
    }
}
