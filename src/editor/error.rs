//! Why a document was not saved. Must not know: statuses.

use super::{Document, Review, Unwritable};
use crate::store::ReadError;

/// Why a document was not saved.
#[derive(Debug, thiserror::Error)]
pub enum EditError {
    /// The author is not an admin by the configuration in force.
    #[error("only an admin may change the configuration")]
    NotAdmin,
    /// The document has changed since, on disk or by another save. Nothing was written.
    #[error(
        "the configuration has changed since it was read: read it again, and make the change anew"
    )]
    Stale {
        /// What it is now.
        current: Box<Document>,
    },
    /// The text can't be saved; every reason at its place, lock-out and missing secrets among them.
    #[error("the configuration was not saved: {}", .0.headline())]
    Refused(Review),
    /// It is larger than a document may be.
    #[error("the configuration has {bytes} bytes; {limit} are allowed")]
    TooLarge {
        /// Its size.
        bytes: usize,
        /// The bound.
        limit: usize,
    },
    /// The file can't be written.
    #[error("{why}: {}", why.advice())]
    Unwritable {
        /// Why, and what to do.
        why: Unwritable,
    },
    /// It was written, but could not be taken into force.
    #[error("the configuration was written, but is not in force: {reason}")]
    NotInForce {
        /// The reload's reason.
        reason: String,
    },
    /// There is no such version.
    #[error("there is no version {0} (any more)")]
    NoVersion(u64),
    /// The history can't be read.
    #[error("the history can't be read: {0}")]
    History(ReadError),
    /// The work was cut off, as the process ends.
    #[error("the gateway is stopping")]
    Ended,
}
