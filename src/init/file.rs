//! Putting the document where it belongs: whole or not at all, for its owner alone.

use super::Error;
use crate::record::Timestamp;
use std::{
    fs, io,
    io::Write as _,
    os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _, fchown},
    path::{Path, PathBuf},
};

/// Writes it; with `replace`, what was there stays as a backup, whose path comes back.
pub(super) fn write(path: &Path, document: &str, replace: bool) -> Result<Option<PathBuf>, Error> {
    let failed = |source| Error::Io {
        path: path.to_owned(),
        source,
    };
    let parent = path.parent().filter(|dir| !dir.as_os_str().is_empty());
    let directory = parent.unwrap_or(Path::new("."));
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(directory)
        .map_err(failed)?;
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let draft = path.with_file_name(format!(".{name}.{}", std::process::id()));
    let placed = fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&draft)
        .and_then(|mut file| {
            file.write_all(document.as_bytes())?;
            file.sync_all()?;
            // Written by root for a gateway that runs as somebody else, it is that one's.
            let place = fs::metadata(directory)?;
            if !rustix::process::geteuid().is_root() || file.metadata()?.uid() == place.uid() {
                return Ok(());
            }
            fchown(&file, Some(place.uid()), Some(place.gid()))
        })
        .and_then(|()| place(&draft, path, replace));
    let _ = fs::remove_file(&draft);
    match placed {
        Ok(backup) => Ok(backup),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            Err(Error::Exists(path.to_owned()))
        }
        Err(error) => Err(failed(error)),
    }
}

fn place(draft: &Path, path: &Path, replace: bool) -> io::Result<Option<PathBuf>> {
    if !replace || path.symlink_metadata().is_err() {
        // Unlike a rename, a link never replaces what someone else has written meanwhile.
        fs::hard_link(draft, path)?;
        return Ok(None);
    }
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let backup = path.with_file_name(format!("{name}.before-{}", Timestamp::now().0));
    fs::hard_link(path, &backup)?;
    fs::rename(draft, path)?;
    Ok(Some(backup))
}
