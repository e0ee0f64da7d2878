//! The document's history: every version that came into force, with its author.
//!
//! Owns: [`Version`], and the rule of who notes what: a save notes itself, and whatever else comes into force was edited in the
//! file. In: documents. Out: entries for the store's history and the audit trail, secrets taken out. The store bounds both.
//! Must not know: how a version is saved.

use super::{Author, Etag, Inner, file, summary};
use crate::{
    config::redact,
    record::Timestamp,
    store::{AuditAction, AuditEntry, ConfigOrigin, ConfigVersion},
};

/// Who changes the file itself, in the audit trail.
const HOST: &str = "host";

/// Digits of a version's hash that the audit trail repeats.
const SHORT: usize = 12;

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
    pub origin: ConfigOrigin,
    /// Its version as an [`Etag`]; empty in rows of older gateways.
    pub etag: String,
    /// Bytes of its text.
    pub bytes: usize,
    /// What changed, in a line.
    pub summary: String,
}

/// The version that was noted last.
#[derive(Debug, Default)]
pub(super) struct Noted {
    /// Whether the store was asked.
    known: bool,
    /// Its hash; empty when there is none.
    etag: String,
    /// Its text without secrets, to say what changed since.
    text: String,
}

/// A new version, to be noted.
pub(super) struct News<'a> {
    pub(super) etag: &'a Etag,
    /// With secrets.
    pub(super) text: &'a str,
    pub(super) summary: String,
    /// Who saved it; none = it was edited in the file.
    pub(super) author: Option<&'a Author>,
    pub(super) now: Timestamp,
}

impl From<ConfigVersion> for Version {
    fn from(row: ConfigVersion) -> Self {
        Self {
            number: row.version,
            at: row.at,
            author: row.login,
            origin: row.origin,
            etag: row.etag,
            bytes: row.text.len(),
            summary: row.summary,
        }
    }
}

impl Inner {
    /// Notes the document in force, if it came by the file. Blocks.
    pub(super) fn note_disk(&self, now: Timestamp) {
        let mut noted = self.noted.lock();
        let bytes = file::read(self.live.path());
        if self.live.current().hash != bytes.etag.as_str() {
            // Written again meanwhile: what comes into force then is noted then.
            tracing::debug!("config: the file is not what is in force");
            return;
        }
        self.note_base(&mut noted, &bytes.etag, &bytes.text(), now);
    }

    /// Notes a document that is on disk, unless it is known.
    pub(super) fn note_base(&self, noted: &mut Noted, etag: &Etag, text: &str, now: Timestamp) {
        self.recall(noted);
        if noted.etag == etag.as_str() {
            return;
        }
        let first = noted.text.is_empty();
        let summary = if first {
            "the first one".to_owned()
        } else {
            summary::of(&noted.text, &redact(text))
        };
        let news = News {
            etag,
            text,
            summary,
            author: None,
            now,
        };
        self.note(noted, &news);
    }

    /// Hands a version to the store, with an entry for the audit trail. Never waits.
    pub(super) fn note(&self, noted: &mut Noted, news: &News<'_>) {
        self.recall(noted);
        let first = noted.text.is_empty() && news.author.is_none();
        let (who, login, origin) = match news.author {
            Some(author) => (
                author.caller.user.to_string(),
                author.caller.login.to_string(),
                author.through.origin(),
            ),
            None if first => (HOST.to_owned(), String::new(), ConfigOrigin::First),
            None => (HOST.to_owned(), String::new(), ConfigOrigin::Disk),
        };
        let text = redact(news.text);
        // Logged, too: the log has it when the disk is full.
        tracing::info!(login, origin = origin.as_str(), etag = %news.etag, summary = news.summary, "config: a new version");
        self.writer.config_version(ConfigVersion {
            version: 0,
            text: text.clone(),
            who: who.clone(),
            at: news.now,
            login: login.clone(),
            origin,
            etag: news.etag.to_string(),
            summary: news.summary.clone(),
        });
        if !first {
            self.writer.audit(AuditEntry {
                at: news.now,
                who,
                login,
                action: AuditAction::ConfigChanged,
                subject: news.etag.as_str().chars().take(SHORT).collect(),
                detail: format!("{}: {}", origin.words(), news.summary),
            });
        }
        *noted = Noted {
            known: true,
            etag: news.etag.to_string(),
            text,
        };
    }

    /// Asks the store, once, what was noted last.
    fn recall(&self, noted: &mut Noted) {
        if noted.known {
            return;
        }
        match self.store.config_history() {
            Ok(mut versions) => {
                let last = versions.pop();
                noted.known = true;
                noted.etag = last
                    .as_ref()
                    .map_or_else(String::new, |row| row.etag.clone());
                noted.text = last.map_or_else(String::new, |row| row.text);
            }
            // A version may be noted twice for it, which harms nobody.
            Err(error) => tracing::warn!(%error, "config: the history can't be read"),
        }
    }
}
