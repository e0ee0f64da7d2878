//! Where an archive is made: a working directory beside it, which goes with this value, and a name that appears at the end.

use super::{Error, at};
use crate::record::Timestamp;
use std::{
    fs::{self, File},
    io,
    os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _, chown},
    path::{Path, PathBuf},
};

/// Ends the name of an archive.
const SUFFIX: &str = ".tar.zst";

/// A place for one archive.
#[derive(Debug)]
pub struct Place {
    archive: PathBuf,
    work: PathBuf,
}

impl Place {
    /// For that file, or for a file with the time in its name in that directory. Nothing is overwritten.
    pub fn new(path: &Path, now: Timestamp) -> Result<Self, Error> {
        let archive = if path.is_dir() {
            let time: String = now
                .to_string()
                .chars()
                .take_while(|c| *c != '.')
                .filter(|c| !matches!(c, '-' | ':' | 'Z'))
                .collect();
            path.join(format!("aperture-{time}Z{SUFFIX}"))
        } else {
            path.to_owned()
        };
        if archive.symlink_metadata().is_ok() {
            return Err(Error::Exists(archive));
        }
        let name = archive.file_name().unwrap_or_default().to_string_lossy();
        let work = archive.with_file_name(format!(".{name}.{}", std::process::id()));
        fs::DirBuilder::new()
            .mode(0o700)
            .create(&work)
            .map_err(at(&archive))?;
        Ok(Self { archive, work })
    }

    /// The working directory, for its owner alone.
    pub(super) fn work(&self) -> &Path {
        &self.work
    }

    /// The archive while it is written.
    pub(super) fn draft(&self) -> PathBuf {
        self.work.join("archive")
    }

    /// Gives the archive its name.
    pub(super) fn publish(&self) -> Result<PathBuf, Error> {
        // Unlike a rename, a link never replaces what someone else has written meanwhile.
        fs::hard_link(self.draft(), &self.archive).map_err(|error| match error.kind() {
            io::ErrorKind::AlreadyExists => Error::Exists(self.archive.clone()),
            _ => at(&self.archive)(error),
        })?;
        let parent = self
            .archive
            .parent()
            .filter(|dir| !dir.as_os_str().is_empty());
        sync_directory(parent.unwrap_or(Path::new("."))).map_err(at(&self.archive))?;
        Ok(self.archive.clone())
    }

    /// Lets go of what was made so far, while others may still be making it.
    pub fn abandon(&self) {
        let _ = fs::remove_dir_all(&self.work);
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.abandon();
    }
}

/// Gives a file to the owner of a directory, where that is somebody else: a command run by root must not leave what the
/// gateway's own user can't read.
pub(super) fn belongs_with(path: &Path, directory: &Path) -> io::Result<()> {
    let (file, place) = (fs::metadata(path)?, fs::metadata(directory)?);
    let same = (file.uid(), file.gid()) == (place.uid(), place.gid());
    if same || !rustix::process::geteuid().is_root() {
        return Ok(());
    }
    chown(path, Some(place.uid()), Some(place.gid()))
}

/// A new file that only its owner may read.
pub(super) fn private(path: &Path) -> io::Result<File> {
    File::options()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)
}

/// Makes names in a directory durable.
pub(super) fn sync_directory(path: &Path) -> io::Result<()> {
    File::open(path)?.sync_all()
}
