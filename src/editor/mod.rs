//! Changing the configuration while the gateway runs: the engine behind the settings page and the admin API.
//!
//! ```text
//! text with placeholders ─► review (check, secrets, lock-out) ─► file (atomic) ─► reload ─► history, audit trail
//! ```
//!
//! Owns: what an admin sees of the document, what may be saved by whom, how it reaches the disk, and its history. The file
//! is the truth: a save that its history could not note stands, and says so. In: a text, the version that it was made
//! from, and an [`Author`] whom the tailnet has identified. Out: a [`Document`], or an [`EditError`] that says what to do.
//! No text that leaves this module has a secret in it. Must not know: HTTP, pages.

mod author;
mod document;
mod error;
mod file;
mod history;
mod review;
mod summary;
#[cfg(test)]
mod tests;

pub use author::{Author, Through};
pub use document::{Document, Etag};
pub use error::EditError;
pub use file::Unwritable;
pub use history::{Origin, Version};
pub use review::{Kind, Problem, Review};

use crate::{config::Live, record::Timestamp, store::{ReadError, Store, Writer}};

/// Reads, checks and saves the document. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Editor(/* … */);

/// What a save has done.
#[derive(Clone, Debug)]
pub struct Saved {
    /// The document that is now on disk and in force.
    pub document: Document,
    /// What changed, in a line: `providers.openai changed; 2 lines added, 1 removed`.
    pub summary: String,
    /// Nothing was written, because the text is the one on disk.
    pub unchanged: bool,
    /// Why history and audit trail do not have it yet: the save stands, the store goes on trying, the log has it.
    /// None = they have it.
    pub unrecorded: Option<String>,
}

impl Editor {
    /// An editor of the document that is in force. Its history and its audit entries go to `writer`.
    pub fn new(live: Live, store: Store, writer: Writer) -> Self;

    /// The document as it is on disk now, secrets replaced by [`crate::config::PLACEHOLDER`].
    pub async fn document(&self) -> Document;

    /// What stands against a text, were the author to save it now: every finding of `aperture check` at its place in this
    /// text, secrets that would go elsewhere than before, and whether the author would lock themselves out.
    ///
    /// Writes nothing. For every key stroke of a page (with a pause) as well as for `config:validate`.
    pub async fn validate(&self, text: String, author: Author) -> Review;

    /// Saves a text that was made from the version `expected`; in force when this returns.
    ///
    /// Comments and layout are kept byte for byte (line ends are those of the file, whatever a browser made of them).
    /// Runs to its end even when the caller stops waiting.
    pub async fn save(&self, text: String, expected: Etag, author: Author, now: Timestamp) -> Result<Saved, EditError>;

    /// Puts an earlier version back, with the secrets of the document as it is now. Where those belong to another address,
    /// it is refused like any save ([`Kind::Secret`]); the page then offers the version's text for editing.
    pub async fn revert(&self, version: u64, expected: Etag, author: Author, now: Timestamp) -> Result<Saved, EditError>;

    /// Versions, newest first, at most `limit`, those before `before` (none = from the newest).
    pub async fn history(&self, before: Option<u64>, limit: usize) -> Result<Vec<Version>, ReadError>;

    /// A version and its text, secrets taken out; none when there is no such version (any more).
    pub async fn version(&self, version: u64) -> Result<Option<(Version, String)>, ReadError>;
}

// --- document.rs ---

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
// Etag::of(bytes), Etag::parse(&str) -> Option (accepts the bare hash, "quoted" and W/"quoted"), as_str(), Display = bare

// --- author.rs ---

/// Who changes the document, and by what.
#[derive(Clone, Debug)]
pub struct Author {
    /// Whom the tailnet says it is.
    pub caller: Arc<Caller>,
    /// By what.
    pub through: Through,
}

/// By what a change came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Through { Page, Api }

// --- review.rs ---

/// What stands against a text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Review {
    /// Everything, in the order of the text.
    pub problems: Vec<Problem>,
}
// Review::blocked() -> bool: a save would be refused
// Review::locks_out() -> bool; Review::secrets() -> impl Iterator<Item = &Problem>: those of Kind::Secret

/// One thing that stands against a text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Of what kind it is.
    pub kind: Kind,
    /// Whether it refuses a save; otherwise it is advice, or an unknown key that the saved document has already.
    pub blocks: bool,
    /// Class, line, column, key path, message and hint.
    pub finding: Finding,
}

/// Of what kind a problem is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// What `aperture check` says of the document.
    Document,
    /// A placeholder or reference that is not where it was, or whose secret would go elsewhere: the secret is needed anew.
    Secret,
    /// The author would not be an admin any more.
    LockOut,
}

// --- error.rs ---

/// Why a document was not saved.
#[derive(Debug, thiserror::Error)]
pub enum EditError {
    /// The author is not an admin by the configuration in force.
    NotAdmin,
    /// The document has changed since: on disk, or by another save. Nothing was written.
    Stale { current: Box<Document> },
    /// The text can't be saved; every reason at its place, lock-out and missing secrets among them.
    Refused(Review),
    /// It is larger than a document may be.
    TooLarge { bytes: usize, limit: usize },
    /// The file can't be written.
    Unwritable(Unwritable),
    /// It was written, but could not be taken into force.
    NotInForce { reason: String },
    /// There is no such version.
    NoVersion(u64),
    /// The history can't be read.
    History(ReadError),
    /// The work was cut off.
    Ended,
}

// --- file.rs ---

/// Why the file can't be written. `Display` = what and where; [`Unwritable::advice`] = what to do.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unwritable {
    /// It comes from a Kubernetes `ConfigMap` or `Secret`, which is changed there.
    Mounted(PathBuf),
    /// It is a mount of its own (a single file, as with Docker's `-v FILE:FILE` or a `subPath`): it can't be replaced.
    SingleFile(PathBuf),
    /// The file system is read-only for the gateway.
    ReadOnlyFileSystem(PathBuf),
    /// The file has no write permission for anybody: somebody wants it so.
    ReadOnlyFile(PathBuf),
    /// The gateway's user may not write into the directory.
    NoPermission(PathBuf),
    /// Another process is just saving it.
    Busy(PathBuf),
    /// The system refused.
    Failed { path: PathBuf, reason: String },
}

// --- history.rs ---

/// One version of the document, without its text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Version {
    /// Its number, from 1.
    pub number: u64,
    /// When it was saved, or found on disk.
    pub at: Timestamp,
    /// The login of who saved it; empty when it came from disk.
    pub author: String,
    /// Where it came from.
    pub origin: Origin,
    /// Its version as [`Etag`]; empty in rows of older gateways.
    pub etag: String,
    /// Bytes of its text.
    pub bytes: usize,
    /// What changed, in a line.
    pub summary: String,
}

/// Where a version came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// Saved on the settings page.
    Page,
    /// Saved through the API.
    Api,
    /// Edited in the file.
    Disk,
    /// The document that was there when the history began.
    First,
}
