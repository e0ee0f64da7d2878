//! `aperture backup` and `aperture restore`: one archive with everything that a gateway has recorded, and the way back.
//!
//! ```text
//! gateway ─ rows (control.sock) ─► gather ─► fresh files ─► pack ─► NAME.tar.zst
//!                                            restore: unpack ─► verify ─► state directory, at once
//! ```
//!
//! Owns: the archive (tar in zstd: `manifest.json` first, then the files that it names with size and hash) and the order of
//! steps by which nothing is touched before everything is known to be good. In: a stream of rows, or an archive. Out: an
//! archive that only its owner may read, or the files in a state directory.
//! Must not know: what rows mean, HTTP.

mod archive;
mod manifest;
mod place;
mod restore;
#[cfg(test)]
mod tests;

pub use manifest::{Entry, Manifest};
pub use place::Place;
pub use restore::{Request, inspect, restore};

use crate::store::{self, Copied, FileName, SCHEMA_VERSION, SnapshotError};
use serde::{Deserialize, Serialize};
use std::{
    io::{self, BufRead as _, Read},
    path::{Path, PathBuf},
};

/// The document's name in an archive and in a state directory.
const CONFIG: &str = "aperture.hujson";
/// The node key's name in an archive and in a state directory.
const NODE_STATE: &str = "tailscaled.state";
/// All that an archive may hold, in this order.
const NAMES: [&str; 4] = [
    FileName::Main.as_str(),
    FileName::Captures.as_str(),
    CONFIG,
    NODE_STATE,
];

/// The form of the stream of rows.
const STREAM: u32 = 1;

/// What comes before the rows: who sends them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Head {
    /// The form of the stream.
    pub stream: u32,
    /// The schema of the rows.
    pub schema: u64,
    /// The version of the gateway that sends them.
    pub version: String,
    /// The configuration document that is in force there.
    pub config: Option<PathBuf>,
}

impl Head {
    /// That of this build.
    pub fn new(config: Option<PathBuf>) -> Self {
        Self {
            stream: STREAM,
            schema: SCHEMA_VERSION,
            version: crate::VERSION.to_owned(),
            config,
        }
    }

    /// One line of JSON.
    pub fn to_line(&self) -> Vec<u8> {
        let mut line = serde_json::to_vec(self).unwrap_or_default();
        line.push(b'\n');
        line
    }
}

/// Why there is no backup, or why it was not put back.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file or directory.
    #[error("{}: {source}", path.display())]
    Io {
        /// What it was about.
        path: PathBuf,
        /// Why it failed.
        source: io::Error,
    },
    /// Something is there already.
    #[error("{} is there already: a backup never overwrites; give another name", .0.display())]
    Exists(PathBuf),
    /// The running gateway is of another build.
    #[error(
        "the running gateway is version {theirs}, this command {ours}, and their databases differ: restart the gateway, or \
         use its own binary",
        ours = crate::VERSION
    )]
    OtherBuild {
        /// The gateway's version.
        theirs: String,
    },
    /// The rows.
    #[error(transparent)]
    Rows(#[from] SnapshotError),
    /// The archive is none, or not what it was.
    #[error("{} is no good backup: {why}. Nothing was changed", path.display())]
    Damaged {
        /// The archive.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// A later version made it.
    #[error(
        "{} has schema version {found}, this build knows versions up to {SCHEMA_VERSION}: restore it with aperture {version} or \
         later. Nothing was changed",
        path.display()
    )]
    Newer {
        /// The archive.
        path: PathBuf,
        /// The schema in it.
        found: u64,
        /// The version that made it.
        version: String,
    },
    /// The state directory is in use for something else.
    #[error(
        "{} has {what} already: give --force to replace it (what is there now is kept in before-restore/). Nothing was changed",
        dir.display()
    )]
    Occupied {
        /// The state directory.
        dir: PathBuf,
        /// What is there.
        what: String,
    },
    /// An earlier restore has left what it replaced.
    #[error("{} still holds what an earlier restore replaced: move it away first. Nothing was changed", .0.display())]
    Kept(PathBuf),
}

/// An error with the path that it is about.
fn at(path: &Path) -> impl Fn(io::Error) -> Error {
    move |source| Error::Io {
        path: path.to_owned(),
        source,
    }
}

/// What goes into an archive beside the database.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Extras {
    /// The configuration document: none = the one that the sender of the rows names.
    pub config: Option<PathBuf>,
    /// Whether it is wanted.
    pub with_config: bool,
    /// The node's key.
    pub node_state: Option<PathBuf>,
    /// Whether bodies are in the stream.
    pub captures: bool,
}

/// Makes the files of an archive, in its working directory, from a stream of rows.
pub fn gather(place: &Place, extras: &Extras, stream: impl Read) -> Result<Manifest, Error> {
    let mut stream = io::BufReader::with_capacity(64 << 10, stream);
    let mut line = Vec::new();
    let lost = |error| Error::Rows(SnapshotError::Io(error));
    (&mut stream)
        .take(64 << 10)
        .read_until(b'\n', &mut line)
        .map_err(lost)?;
    let head: Head =
        serde_json::from_slice(&line).map_err(|_| lost(io::ErrorKind::UnexpectedEof.into()))?;
    if (head.stream, head.schema) != (STREAM, SCHEMA_VERSION) {
        return Err(Error::OtherBuild {
            theirs: head.version,
        });
    }
    let copied = store::rebuild(place.work(), &mut stream)?;
    if !extras.captures {
        let empty = place.work().join(FileName::Captures.as_str());
        std::fs::remove_file(&empty).map_err(at(&empty))?;
    }
    if extras.with_config {
        let from = extras.config.clone().or(head.config);
        let from = from.unwrap_or_else(|| CONFIG.into());
        let to = place.work().join(CONFIG);
        std::fs::copy(&from, to).map_err(at(&from))?;
    }
    if let Some(from) = &extras.node_state {
        let to = place.work().join(NODE_STATE);
        std::fs::copy(from, to).map_err(at(from))?;
    }
    manifest_of(place.work(), copied)
}

fn manifest_of(work: &Path, copied: Copied) -> Result<Manifest, Error> {
    let mut manifest = Manifest::new(copied);
    for name in NAMES {
        let path = work.join(name);
        if path.exists() {
            manifest
                .files
                .push(Entry::of(name, &path).map_err(at(&path))?);
        }
    }
    Ok(manifest)
}

/// Packs what [`gather`] made; returns the archive's path. It appears under its name when it is whole.
pub fn pack(place: &Place, manifest: &Manifest) -> Result<PathBuf, Error> {
    let draft = place.draft();
    let file = place::private(&draft).map_err(at(&draft))?;
    archive::write(&file, manifest, place.work()).map_err(at(&draft))?;
    file.sync_all().map_err(at(&draft))?;
    place.publish()
}
