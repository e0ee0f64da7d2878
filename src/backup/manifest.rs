//! What an archive says of itself: `manifest.json`, its first entry.

use crate::{
    record::Timestamp,
    store::{Copied, SCHEMA_VERSION},
};
use serde::{Deserialize, Serialize};
use std::{fmt, fs::File, io, path::Path};

/// The form of archives.
pub(super) const FORMAT: u32 = 1;

/// What is in an archive.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// The form of the archive.
    pub format: u32,
    /// When it was made (UTC).
    pub made: String,
    /// The version of the gateway that made it.
    pub version: String,
    /// The schema of both databases.
    pub schema: u64,
    /// Records of requests.
    pub records: u64,
    /// Requests with bodies.
    pub captures: u64,
    /// The files, in their order.
    pub files: Vec<Entry>,
}

/// One file of an archive.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// Its name, in the archive and in a state directory.
    pub name: String,
    /// Its size.
    pub bytes: u64,
    /// Its hash, in hex.
    pub blake3: String,
}

impl Manifest {
    pub(super) fn new(copied: Copied) -> Self {
        Self {
            format: FORMAT,
            made: Timestamp::now().to_string(),
            version: crate::VERSION.to_owned(),
            schema: SCHEMA_VERSION,
            records: copied.records,
            captures: copied.captures,
            files: Vec::new(),
        }
    }

    /// Whether a file of that name is in the archive.
    pub fn has(&self, name: &str) -> bool {
        self.files.iter().any(|entry| entry.name == name)
    }
}

impl Entry {
    pub(super) fn of(name: &str, path: &Path) -> io::Result<Self> {
        let mut hasher = blake3::Hasher::new();
        let bytes = io::copy(&mut File::open(path)?, &mut hasher)?;
        Ok(Self {
            name: name.to_owned(),
            bytes,
            blake3: hasher.finalize().to_hex().to_string(),
        })
    }
}

/// A few lines for people.
impl fmt::Display for Manifest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "made {} by aperture {} (schema {})",
            self.made, self.version, self.schema
        )?;
        writeln!(
            f,
            "{} requests, {} of them with bodies",
            self.records, self.captures
        )?;
        for entry in &self.files {
            writeln!(f, "  {}  {} bytes", entry.name, entry.bytes)?;
        }
        Ok(())
    }
}
