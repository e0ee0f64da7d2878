//! A state directory that a backup takes the place of: in two steps, of which the second can be done again.
//!
//! Owns: the directories `restore.partial` (being checked), `restore.ready` (whole: only to be moved into place) and
//! `before-restore` (what was there). Renaming the first to the second is the moment at which the restore has happened;
//! whoever opens the state directory after a crash finishes the moving first.
//! Must not know: archives.

use std::{
    fs::{self, File},
    io,
    os::unix::fs::DirBuilderExt as _,
    path::{Path, PathBuf},
};

/// Where files wait while they are checked.
pub fn staging(dir: &Path) -> PathBuf {
    dir.join("restore.partial")
}

/// Where what was there is kept.
pub fn kept(dir: &Path) -> PathBuf {
    dir.join("before-restore")
}

fn ready(dir: &Path) -> PathBuf {
    dir.join("restore.ready")
}

/// The staged files are good: they take their place.
pub fn commit(dir: &Path) -> io::Result<()> {
    fs::rename(staging(dir), ready(dir))?;
    File::open(dir)?.sync_all()?;
    finish(dir)
}

/// Moves what is ready into place, and what was there out of the way. Nothing to do = nothing done.
pub(super) fn finish(dir: &Path) -> io::Result<()> {
    let ready = ready(dir);
    let entries = match fs::read_dir(&ready) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        entries => entries?,
    };
    for entry in entries {
        let entry = entry?;
        let (name, place) = (entry.file_name(), dir.join(entry.file_name()));
        if place.symlink_metadata().is_ok() {
            let kept = kept(dir);
            fs::DirBuilder::new()
                .recursive(true)
                .mode(0o700)
                .create(&kept)?;
            fs::rename(&place, kept.join(name))?;
        }
        fs::rename(entry.path(), &place)?;
    }
    File::open(dir)?.sync_all()?;
    fs::remove_dir(&ready)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_ready_takes_its_place_after_a_crash_anywhere() {
        // The crash comes before the first move, or after any of them.
        for moves in 0..=3 {
            let temporary = tempfile::tempdir().unwrap();
            let dir = temporary.path();
            fs::write(dir.join("a"), "old a").unwrap();
            fs::create_dir(ready(dir)).unwrap();
            fs::write(ready(dir).join("a"), "new a").unwrap();
            fs::write(ready(dir).join("b"), "new b").unwrap();
            if moves > 0 {
                fs::create_dir(kept(dir)).unwrap();
                fs::rename(dir.join("a"), kept(dir).join("a")).unwrap();
            }
            if moves > 1 {
                fs::rename(ready(dir).join("a"), dir.join("a")).unwrap();
            }
            if moves > 2 {
                fs::rename(ready(dir).join("b"), dir.join("b")).unwrap();
            }
            finish(dir).unwrap();
            let text = |path: PathBuf| fs::read_to_string(path).unwrap();
            assert_eq!(text(dir.join("a")), "new a", "{moves}");
            assert_eq!(text(dir.join("b")), "new b", "{moves}");
            assert_eq!(text(kept(dir).join("a")), "old a", "{moves}");
            assert!(!ready(dir).exists());
            finish(dir).unwrap();
        }
    }
}
