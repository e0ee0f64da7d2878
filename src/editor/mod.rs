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
mod save;
mod summary;
#[cfg(test)]
mod tests;

pub use crate::store::ConfigOrigin as Origin;
pub use author::{Author, Through};
pub use document::{Document, Etag};
pub use error::EditError;
pub use file::Unwritable;
pub use history::Version;
pub use review::{Kind, Problem, Review};

use crate::{
    config::Live,
    record::Timestamp,
    store::{ReadError, Store, Writer},
};
use parking_lot::Mutex;
use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

/// How long a save waits for its history to be on disk before it says that it is not.
const HISTORY_PATIENCE: Duration = Duration::from_secs(3);

/// Reads, checks and saves the document. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Editor(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    live: Live,
    store: Store,
    writer: Writer,
    /// Held during a save, so that of two at once exactly one wins.
    noted: Mutex<history::Noted>,
    /// Saves that the store could not confirm in time.
    unrecorded: AtomicU64,
}

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
    pub fn new(live: Live, store: Store, writer: Writer) -> Self {
        Self(Arc::new(Inner {
            live,
            store,
            writer,
            noted: Mutex::default(),
            unrecorded: AtomicU64::new(0),
        }))
    }

    /// The document as it is on disk now, secrets replaced by [`crate::config::PLACEHOLDER`].
    pub async fn document(&self) -> Document {
        let inner = Arc::clone(&self.0);
        let read = tokio::task::spawn_blocking(move || Document::read(&inner.live)).await;
        read.unwrap_or_else(|_| Document::cut_off(self.0.live.path()))
    }

    /// What stands against a text, were the author to save it now: every finding of `aperture check` at its place in this
    /// text, secrets that would go elsewhere than before, and whether the author would lock themselves out.
    ///
    /// Writes nothing. For every key stroke of a page (with a pause) as well as for `config:validate`.
    pub async fn validate(&self, text: String, author: Author) -> Review {
        let inner = Arc::clone(&self.0);
        let reviewed = tokio::task::spawn_blocking(move || {
            let base = file::read(inner.live.path()).text();
            review::review(&inner.live, &text, &base, &author.caller).review
        });
        reviewed.await.unwrap_or_else(|_| Review::cut_off())
    }

    /// Saves a text that was made from the version `expected`; in force when this returns.
    ///
    /// Comments and layout are kept byte for byte (line ends are those of the file, whatever a browser made of them).
    /// Runs to its end even when the caller stops waiting.
    pub async fn save(
        &self,
        text: String,
        expected: Etag,
        author: Author,
        now: Timestamp,
    ) -> Result<Saved, EditError> {
        let inner = Arc::clone(&self.0);
        let saved =
            tokio::task::spawn_blocking(move || inner.save(text, &expected, &author, now, None));
        let saved = saved.await.map_err(|_| EditError::Ended)??;
        Ok(self.confirmed(saved).await)
    }

    /// Puts an earlier version back, with the secrets of the document as it is now.
    ///
    /// Where those belong to another address, it is refused like any save ([`Kind::Secret`]); its text can then be edited.
    pub async fn revert(
        &self,
        version: u64,
        expected: Etag,
        author: Author,
        now: Timestamp,
    ) -> Result<Saved, EditError> {
        let inner = Arc::clone(&self.0);
        let saved = tokio::task::spawn_blocking(move || {
            let found = inner.store.config_version(version);
            let found = found.map_err(EditError::History)?;
            let text = found.ok_or(EditError::NoVersion(version))?.text;
            inner.save(text, &expected, &author, now, Some(version))
        });
        let saved = saved.await.map_err(|_| EditError::Ended)??;
        Ok(self.confirmed(saved).await)
    }

    /// Versions, newest first, at most `limit`, those before the version `before` (none = from the newest).
    pub async fn history(
        &self,
        before: Option<u64>,
        limit: usize,
    ) -> Result<Vec<Version>, ReadError> {
        let read = self.0.store.ask(move |store| {
            let mut versions = store.config_history()?;
            versions.retain(|version| before.is_none_or(|before| version.version < before));
            versions.reverse();
            versions.truncate(limit);
            Ok(versions.into_iter().map(Version::from).collect())
        });
        read.await
    }

    /// A version and its text, secrets taken out; none when there is no such version (any more).
    pub async fn version(&self, version: u64) -> Result<Option<(Version, String)>, ReadError> {
        let read = self.0.store.ask(move |store| {
            let found = store.config_version(version)?;
            Ok(found.map(|mut found| {
                let text = std::mem::take(&mut found.text);
                let bytes = text.len();
                let version = Version::from(found);
                (Version { bytes, ..version }, text)
            }))
        });
        read.await
    }

    /// Notes each document that comes into force by the file: at the start, and until the sender of configurations ends.
    pub async fn follow(self) {
        let mut versions = self.0.live.subscribe();
        loop {
            versions.mark_unchanged();
            let inner = Arc::clone(&self.0);
            let noted = tokio::task::spawn_blocking(move || inner.note_disk(Timestamp::now()));
            if noted.await.is_err() {
                tracing::error!("config: a version was not noted in the history");
            }
            if versions.changed().await.is_err() {
                return;
            }
        }
    }

    /// How many saves the store could not confirm in time.
    pub fn unrecorded(&self) -> u64 {
        self.0.unrecorded.load(Relaxed)
    }

    /// Waits until history and audit trail are on disk; a save stands without them, but says so.
    async fn confirmed(&self, mut saved: Saved) -> Saved {
        if saved.unchanged {
            return saved;
        }
        let flushed = tokio::time::timeout(HISTORY_PATIENCE, self.0.writer.flush_records()).await;
        let why = match flushed {
            Ok(Ok(())) => return saved,
            Ok(Err(error)) => error.to_string(),
            Err(_) => "the store is slow".to_owned(),
        };
        self.0.unrecorded.fetch_add(1, Relaxed);
        tracing::error!(etag = %saved.document.etag, summary = saved.summary, reason = why, "config: saved, but not in the history yet");
        saved.unrecorded = Some(why);
        saved
    }
}
