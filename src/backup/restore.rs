//! The way back: an archive is unpacked and checked beside the state, then takes its place.

use super::archive::{self, Unusable};
use super::manifest::Manifest;
use super::place::{belongs_with, sync_directory};
use super::{CONFIG, Error, NAMES, NODE_STATE, at};
use crate::{
    app::{StateDir, restored},
    store::{FileName, OpenOptions, SCHEMA_VERSION, Store},
};
use std::{
    fs::{self, File},
    os::unix::fs::DirBuilderExt as _,
    path::Path,
    time::Duration,
};

/// How long a store that was only tried may take to close.
const DEADLINE: Duration = Duration::from_secs(10);

/// What is asked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Request {
    /// Replace what is there.
    pub force: bool,
    /// Leave configuration and node key in the archive.
    pub data_only: bool,
}

impl Request {
    fn wants(self, name: &str) -> bool {
        !self.data_only || !matches!(name, CONFIG | NODE_STATE)
    }
}

/// Removes the staging directory when something went wrong.
struct Staging<'a>(&'a Path);

impl Drop for Staging<'_> {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(self.0);
    }
}

/// Reads an archive to its end and says what is in it.
pub fn inspect(path: &Path) -> Result<Manifest, Error> {
    let file = File::open(path).map_err(at(path))?;
    archive::read(
        file,
        |manifest| known(path, manifest).map(|()| None),
        |_| false,
    )
    .map_err(|failure: Failure| failure.at(path))
}

/// Puts an archive into a state directory that no gateway uses. Until all of it is checked nothing there is touched, and
/// what takes its place then does so as a whole: also after a crash in the middle.
pub async fn restore(path: &Path, state: &StateDir, request: Request) -> Result<Manifest, Error> {
    let file = File::open(path).map_err(at(path))?;
    let dir = state.path();
    let stage = restored::staging(dir);
    if stage.exists() {
        // Of a restore that was broken off.
        fs::remove_dir_all(&stage).map_err(at(&stage))?;
    }
    fs::DirBuilder::new()
        .mode(0o700)
        .create(&stage)
        .map_err(at(&stage))?;
    let cleanup = Staging(&stage);
    let manifest = archive::read(
        file,
        |manifest| {
            known(path, manifest)?;
            free(dir, manifest, request)?;
            Ok(Some(stage.as_path()))
        },
        |name| request.wants(name),
    )
    .map_err(|failure: Failure| failure.at(path))?;
    // What can't be opened must not take the place of what can. Bodies that the archive has not are none.
    let opened = Store::open(&stage, OpenOptions::default());
    let (_, writer, _) = opened.map_err(|error| Error::Damaged {
        path: path.to_owned(),
        why: format!("its database can't be opened ({error})"),
    })?;
    writer.close(DEADLINE).await;
    for name in NAMES {
        let staged = stage.join(name);
        if staged.exists() {
            belongs_with(&staged, dir).map_err(at(&staged))?;
        }
    }
    sync_directory(&stage).map_err(at(&stage))?;
    restored::commit(dir).map_err(at(dir))?;
    drop(cleanup);
    Ok(manifest)
}

/// Refuses what a later version made.
fn known(path: &Path, manifest: &Manifest) -> Result<(), Failure> {
    if manifest.schema > SCHEMA_VERSION {
        return Err(Failure::Told(Error::Newer {
            path: path.to_owned(),
            found: manifest.schema,
            version: manifest.version.clone(),
        }));
    }
    Ok(())
}

/// Refuses to replace what is there, unless that is wanted.
fn free(dir: &Path, manifest: &Manifest, request: Request) -> Result<(), Failure> {
    let database = [FileName::Main.as_str(), FileName::Captures.as_str()];
    let taken: Vec<_> = NAMES
        .into_iter()
        .filter(|name| database.contains(name) || (manifest.has(name) && request.wants(name)))
        .filter(|name| dir.join(name).symlink_metadata().is_ok())
        .collect();
    if taken.is_empty() {
        return Ok(());
    }
    if !request.force {
        return Err(Failure::Told(Error::Occupied {
            dir: dir.to_owned(),
            what: taken.join(", "),
        }));
    }
    let kept = restored::kept(dir);
    if kept.symlink_metadata().is_ok() {
        return Err(Failure::Told(Error::Kept(kept)));
    }
    Ok(())
}

/// Why reading an archive ended early.
enum Failure {
    /// The archive.
    Archive(Unusable),
    /// Something that is said in its own words.
    Told(Error),
}

impl From<Unusable> for Failure {
    fn from(unusable: Unusable) -> Self {
        Self::Archive(unusable)
    }
}

impl Failure {
    fn at(self, path: &Path) -> Error {
        match self {
            Self::Told(error) => error,
            Self::Archive(Unusable::Place(source)) => at(path)(source),
            Self::Archive(unusable) => Error::Damaged {
                path: path.to_owned(),
                why: unusable.to_string(),
            },
        }
    }
}
