//! The state directory: where it is, what is in it, and that only one process uses it.

use rustix::fs::{FlockOperation, flock};
use std::{
    fs::{self, File},
    io,
    os::unix::fs::{
        DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _,
    },
    path::{Path, PathBuf},
};

/// Why the state directory can't be used.
#[derive(Debug, thiserror::Error)]
pub enum StateError {
    /// Nothing says where it is.
    #[error(
        "no state directory: give --state-dir (neither STATE_DIRECTORY, XDG_STATE_HOME nor HOME is set)"
    )]
    Unknown,
    /// Another process uses it.
    #[error("another gateway runs on {}", .0.display())]
    InUse(PathBuf),
    /// The file system refused.
    #[error("{}: {source}", path.display())]
    Io {
        /// What was opened.
        path: PathBuf,
        /// Why it failed.
        source: io::Error,
    },
}

/// An opened and locked state directory; the lock ends with it.
#[derive(Debug)]
pub struct StateDir {
    path: PathBuf,
    lock: File,
}

/// Where state is kept: the argument, else what the service manager or the user's session says.
pub fn state_dir(argument: Option<&Path>) -> Result<PathBuf, StateError> {
    let env = |name: &str| {
        std::env::var_os(name)
            .filter(|value| !value.is_empty())
            .map(PathBuf::from)
    };
    argument
        .map(Path::to_owned)
        .or_else(|| env("STATE_DIRECTORY"))
        .or_else(|| env("XDG_STATE_HOME").map(|dir| dir.join("aperture")))
        .or_else(|| env("HOME").map(|dir| dir.join(".local/state/aperture")))
        .ok_or(StateError::Unknown)
}

impl StateDir {
    /// Makes the directory (mode 0700) when it is not there, and locks it.
    pub fn open(argument: Option<&Path>) -> Result<Self, StateError> {
        let path = state_dir(argument)?;
        let failed = |path: &Path| {
            let path = path.to_owned();
            move |source| StateError::Io { path, source }
        };
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&path)
            .map_err(failed(&path))?;
        fs::set_permissions(&path, fs::Permissions::from_mode(0o700)).map_err(failed(&path))?;
        let lock_path = path.join("lock");
        let lock = File::options()
            .create(true)
            .truncate(false)
            .write(true)
            .mode(0o600)
            .open(&lock_path)
            .map_err(failed(&lock_path))?;
        match flock(&lock, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {
                // Of a restore that a crash broke off.
                super::restored::finish(&path).map_err(failed(&path))?;
                Ok(Self { path, lock })
            }
            Err(rustix::io::Errno::WOULDBLOCK) => Err(StateError::InUse(path)),
            Err(error) => Err(failed(&lock_path)(error.into())),
        }
    }

    /// The directory.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Whether the lock that is held is still the one that others would find.
    pub fn lock_is_ours(&self) -> bool {
        let there = fs::metadata(self.path.join("lock"));
        let held = self.lock.metadata();
        there.is_ok_and(|there| {
            held.is_ok_and(|held| (there.dev(), there.ino()) == (held.dev(), held.ino()))
        })
    }

    /// The configuration document when no other is named.
    pub fn config(&self) -> PathBuf {
        self.path.join("aperture.hujson")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_process_at_a_time_and_nobody_else_may_look() {
        let temporary = tempfile::tempdir().unwrap();
        let path = temporary.path().join("a/b");
        let first = StateDir::open(Some(&path)).unwrap();
        assert_eq!(
            fs::metadata(&path).unwrap().permissions().mode() & 0o777,
            0o700
        );
        assert_eq!(
            fs::metadata(path.join("lock"))
                .unwrap()
                .permissions()
                .mode()
                & 0o777,
            0o600
        );
        assert!(matches!(
            StateDir::open(Some(&path)),
            Err(StateError::InUse(_))
        ));
        drop(first);
        StateDir::open(Some(&path)).unwrap();
    }
}
