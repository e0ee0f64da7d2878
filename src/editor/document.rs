//! The document as an admin may see it, and its version.
//!
//! Owns: [`Document`] and [`Etag`]. In: the file and the state of loading. Out: text without secrets.
//! Must not know: who looks, how it is changed.

use super::file::{self, OnDisk, Unwritable};
use crate::{
    config::{Finding, Live, redact},
    record::Timestamp,
};
use std::{
    fmt,
    path::{Path, PathBuf},
};

/// The document as an admin may see it.
#[derive(Clone, Debug)]
pub struct Document {
    /// Its text, secrets replaced by placeholders; empty when there is no file.
    pub text: String,
    /// Its version: what a save must name.
    pub etag: Etag,
    /// The file, as it was given to the gateway.
    pub file: PathBuf,
    /// Whether there is a file.
    pub exists: bool,
    /// Why it can't be saved here; none = it can.
    pub unwritable: Option<Unwritable>,
    /// Whether this text is in force; otherwise the last good one is (see `failure`).
    pub in_force: bool,
    /// Why the last reload did not take the file.
    pub failure: Option<String>,
    /// What `aperture check` says of it.
    pub findings: Vec<Finding>,
    /// When the file was last written.
    pub modified: Option<Timestamp>,
}

/// The version of a document: the hash of its bytes on disk, 64 hex digits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Etag(String);

// === impl Document ===

impl Document {
    /// Reads the file. Blocks on files.
    pub(super) fn read(live: &Live) -> Self {
        Self::of(live, &file::read(live.path()))
    }

    /// As it was read.
    pub(super) fn of(live: &Live, bytes: &OnDisk) -> Self {
        let text = bytes.text();
        let findings = if bytes.exists {
            live.check(&text).findings
        } else {
            Vec::new()
        };
        Self {
            text: if bytes.exists {
                redact(&text)
            } else {
                String::new()
            },
            in_force: live.current().hash == bytes.etag.as_str(),
            etag: bytes.etag.clone(),
            file: live.path().to_owned(),
            exists: bytes.exists,
            unwritable: file::unwritable(live.path()),
            failure: bytes.failure.clone().or_else(|| live.status().error),
            findings,
            modified: bytes.modified,
        }
    }

    /// What can be said when the reading was cut off, as the process ends.
    pub(super) fn cut_off(path: &Path) -> Self {
        Self {
            text: String::new(),
            etag: Etag::of(b""),
            file: path.to_owned(),
            exists: false,
            unwritable: Some(Unwritable::Failed {
                path: path.to_owned(),
                reason: "the gateway is stopping".to_owned(),
            }),
            in_force: false,
            failure: None,
            findings: Vec::new(),
            modified: None,
        }
    }
}

// === impl Etag ===

impl Etag {
    /// Of a file's bytes.
    pub fn of(bytes: &[u8]) -> Self {
        Self(blake3::hash(bytes).to_hex().to_string())
    }

    /// As a client sends it back: bare, `"quoted"`, or `W/"quoted"` where something in between compressed it.
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        let text = text.strip_prefix("W/").unwrap_or(text);
        let bare = text
            .strip_prefix('"')
            .and_then(|text| text.strip_suffix('"'))
            .unwrap_or(text);
        let digits = bare.len() == 64 && bare.bytes().all(|byte| byte.is_ascii_hexdigit());
        digits.then(|| Self(bare.to_ascii_lowercase()))
    }

    /// The bare hash.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Etag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
