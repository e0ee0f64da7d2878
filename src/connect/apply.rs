//! Files below the home directory: where a setup goes, what it would change, and the change itself.
//!
//! Owns: every access to a file. A symbolic link is followed as long as it stays below the home directory. What was there before
//! the first change is kept beside the file. In: a setup's file and text. Out: a [`Change`], which can be shown and made.
//! Must not know: clients, gateways.

use super::{
    ConnectError,
    merge::{Merged, merge},
    table::Format,
};
use crate::diff::diff;
use std::{
    fs::{self, OpenOptions, Permissions},
    io::{self, Write as _},
    os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
};

/// Bytes of a file that is merged into.
const LARGEST: u64 = 4 << 20;

/// The mode of a file that was not there.
const OWN: u32 = 0o600;

/// What would become of a file.
#[derive(Debug)]
pub(super) struct Change {
    /// The file itself, not a link to it.
    path: PathBuf,
    old: Option<String>,
    new: Merged,
}

/// What writing a text into a file would change.
pub(super) fn plan(
    home: &Path,
    file: &str,
    format: Format,
    text: &str,
) -> Result<Change, ConnectError> {
    let path = below(home, file)?;
    let old = read(&path)?;
    let new = merge(format, old.as_deref().unwrap_or(""), text).map_err(|why| {
        ConnectError::Unmergeable {
            path: path.display().to_string(),
            why,
        }
    })?;
    Ok(Change { path, old, new })
}

impl Change {
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Whether there is anything to do.
    pub(super) fn is_needed(&self) -> bool {
        self.old.as_ref() != Some(&self.new.text)
    }

    /// Keys of credentials that stay as they are.
    pub(super) fn kept(&self) -> &[String] {
        &self.new.kept
    }

    /// The lines that go and come.
    pub(super) fn diff(&self) -> String {
        diff(self.old.as_deref().unwrap_or(""), &self.new.text)
    }

    /// Writes; returns where the old text is kept, if there was one.
    pub(super) fn make(&self) -> Result<Option<PathBuf>, ConnectError> {
        let told = |error| told(&self.path, error);
        if read(&self.path)? != self.old {
            return Err(told(io::Error::other("it has changed meanwhile")));
        }
        if let Some(parent) = self.path.parent() {
            fs::create_dir_all(parent).map_err(told)?;
        }
        let mode = match fs::metadata(&self.path) {
            Ok(known) => known.permissions().mode() & 0o7777,
            Err(_) => OWN,
        };
        let backup = match &self.old {
            Some(old) => {
                let backup = beside(&self.path, ".aperture-backup");
                match create(&backup, mode, old) {
                    // The oldest is what was there before us.
                    Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
                        return Err(told(error));
                    }
                    _ => Some(backup),
                }
            }
            None => None,
        };
        let fresh = beside(&self.path, ".aperture-new");
        match fs::remove_file(&fresh) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(told(error)),
            _ => {}
        }
        create(&fresh, mode, &self.new.text).map_err(told)?;
        fs::rename(&fresh, &self.path).map_err(told)?;
        Ok(backup)
    }
}

/// The real place of a file below the home directory, which need not be there yet.
fn below(home: &Path, file: &str) -> Result<PathBuf, ConnectError> {
    let home = home.canonicalize().map_err(|error| told(home, error))?;
    let path = home.join(file);
    let (mut known, mut missing) = (path.as_path(), Vec::new());
    while let Err(error) = known.symlink_metadata() {
        let (Some(parent), Some(name)) = (known.parent(), known.file_name()) else {
            return Err(told(&path, error));
        };
        if error.kind() != io::ErrorKind::NotFound {
            return Err(told(&path, error));
        }
        missing.push(name);
        known = parent;
    }
    let outside = || ConnectError::Outside(path.display().to_string());
    // A link to nothing could become a link to anything.
    let real = known.canonicalize().map_err(|_| outside())?;
    if !real.starts_with(&home) {
        return Err(outside());
    }
    missing.reverse();
    Ok(missing.iter().fold(real, |path, name| path.join(name)))
}

fn read(path: &Path) -> Result<Option<String>, ConnectError> {
    match fs::metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(told(path, error)),
        Ok(known) if !known.is_file() || known.len() > LARGEST => {
            return Err(told(path, io::Error::other("no file, or far too large")));
        }
        Ok(_) => {}
    }
    let text = fs::read_to_string(path).map_err(|error| told(path, error))?;
    Ok(Some(text))
}

/// Writes a file that is not there yet; a link in its place is not followed.
fn create(path: &Path, mode: u32, text: &str) -> io::Result<()> {
    let mut options = OpenOptions::new();
    let mut file = options.write(true).create_new(true).mode(OWN).open(path)?;
    file.write_all(text.as_bytes())?;
    file.set_permissions(Permissions::from_mode(mode))?;
    file.sync_all()
}

fn beside(path: &Path, ending: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(ending);
    name.into()
}

fn told(path: &Path, error: io::Error) -> ConnectError {
    ConnectError::Io(path.display().to_string(), error)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    const FILE: &str = ".client/settings.json";

    fn planned(home: &Path) -> Result<Change, ConnectError> {
        plan(home, FILE, Format::Json, "{\"a\": 1}\n")
    }

    #[test]
    fn a_file_is_made_with_its_directory_for_its_owner_alone() {
        let home = tempfile::tempdir().unwrap();
        let change = planned(home.path()).unwrap();
        assert!(change.is_needed());
        assert_eq!(change.diff(), "+{\"a\": 1}\n");
        assert_eq!(change.make().unwrap(), None);
        let mode = fs::metadata(home.path().join(FILE)).unwrap().permissions();
        assert_eq!(mode.mode() & 0o777, 0o600);
        assert!(!planned(home.path()).unwrap().is_needed());
    }

    #[test]
    fn what_was_there_first_is_kept_and_so_is_the_mode() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join(FILE);
        fs::create_dir(path.parent().unwrap()).unwrap();
        fs::write(&path, "{\"b\": 2}").unwrap();
        fs::set_permissions(&path, Permissions::from_mode(0o640)).unwrap();
        let backup = planned(home.path()).unwrap().make().unwrap().unwrap();
        assert_eq!(fs::read_to_string(&backup).unwrap(), "{\"b\": 2}");
        assert_eq!(
            fs::metadata(&path).unwrap().permissions().mode() & 0o777,
            0o640
        );
        fs::write(&path, "{\"c\": 3}").unwrap();
        assert_eq!(
            planned(home.path()).unwrap().make().unwrap(),
            Some(backup.clone())
        );
        assert_eq!(fs::read_to_string(&backup).unwrap(), "{\"b\": 2}");
    }

    #[test]
    fn a_file_that_changes_meanwhile_is_not_overwritten() {
        let home = tempfile::tempdir().unwrap();
        let change = planned(home.path()).unwrap();
        fs::create_dir(home.path().join(".client")).unwrap();
        fs::write(home.path().join(FILE), "{\"theirs\": 1}").unwrap();
        assert!(matches!(change.make(), Err(ConnectError::Io(..))));
        assert_eq!(
            fs::read_to_string(home.path().join(FILE)).unwrap(),
            "{\"theirs\": 1}"
        );
    }

    #[test]
    fn links_are_followed_below_the_home_directory_alone() {
        let outside = tempfile::tempdir().unwrap();
        for link in [".client", FILE] {
            let home = tempfile::tempdir().unwrap();
            fs::create_dir(home.path().join("dotfiles")).unwrap();
            let at = home.path().join(link);
            fs::create_dir_all(at.parent().unwrap()).unwrap();
            // Out of it: refused, whether there is something or not.
            for target in [outside.path().to_owned(), outside.path().join("nothing")] {
                symlink(&target, &at).unwrap();
                assert!(
                    matches!(planned(home.path()), Err(ConnectError::Outside(_))),
                    "{link}"
                );
                fs::remove_file(&at).unwrap();
            }
            // Within it: the file that is meant is written, and the link stays.
            let target = home.path().join("dotfiles");
            let target = if link == FILE {
                target.join("settings")
            } else {
                target
            };
            if link == FILE {
                fs::write(&target, "{}").unwrap();
            }
            symlink(&target, &at).unwrap();
            planned(home.path()).unwrap().make().unwrap();
            assert!(at.symlink_metadata().unwrap().is_symlink());
            assert!(
                fs::read_to_string(home.path().join(FILE))
                    .unwrap()
                    .contains("\"a\"")
            );
        }
        assert_eq!(fs::read_dir(outside.path()).unwrap().count(), 0);
    }
}
