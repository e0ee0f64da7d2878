//! A save, in a straight line.
//!
//! Owns: the order of its steps; each can refuse, and nothing is written before all have passed. In: a text, the version that it
//! was made from, an author. Out: [`Saved`]. Must not know: how each step is done.

use super::{
    Author, Document, EditError, Etag, Inner, Saved,
    file::{self, NotReplaced, OnDisk},
    history::News,
    review, summary,
};
use crate::{
    config::{MAX_DOCUMENT_BYTES, ReloadOutcome, grant::Role},
    policy,
    record::Timestamp,
};

impl Inner {
    /// Saves a text. `reverted` = it is that earlier version. Blocks on files.
    pub(super) fn save(
        &self,
        text: String,
        expected: &Etag,
        author: &Author,
        now: Timestamp,
        reverted: Option<u64>,
    ) -> Result<Saved, EditError> {
        // One at a time: of two saves made from one version the second finds another version on disk.
        let mut noted = self.noted.lock();
        let role = policy::role(&self.live.current(), &author.caller);
        if !matches!(role, Some((Role::Admin, _))) {
            return Err(EditError::NotAdmin);
        }
        if text.len() > MAX_DOCUMENT_BYTES {
            return Err(EditError::TooLarge {
                bytes: text.len(),
                limit: MAX_DOCUMENT_BYTES,
            });
        }
        let base = file::read(self.live.path());
        if base.etag != *expected {
            return Err(self.stale(&base));
        }
        let stored = base.text();
        let edited = as_in(&stored, text);
        let reviewed = review::review(&self.live, &edited, &stored, &author.caller);
        let whole = match reviewed.whole {
            Some(whole) if !reviewed.review.blocked() => as_in_bom(&stored, whole),
            _ => return Err(EditError::Refused(reviewed.review)),
        };
        if base.exists && whole == stored {
            return Ok(Saved {
                document: Document::of(&self.live, &base),
                summary: "nothing changed".to_owned(),
                unchanged: true,
                unrecorded: None,
            });
        }
        match file::replace(self.live.path(), &base, whole.as_bytes()) {
            Ok(()) => {}
            Err(NotReplaced::Changed) => return Err(self.stale(&file::read(self.live.path()))),
            Err(NotReplaced::Unwritable(why)) => return Err(EditError::Unwritable { why }),
        }
        // An edit of the file that no reload has seen yet goes first.
        if base.exists {
            self.note_base(&mut noted, &base.etag, &stored, now);
        }
        let etag = Etag::of(whole.as_bytes());
        let mut summary = summary::of(&stored, &whole);
        if let Some(version) = reverted {
            summary = format!("back to version {version}: {summary}");
        }
        let news = News {
            etag: &etag,
            text: &whole,
            summary: summary.clone(),
            author: Some(author),
            now,
        };
        self.note(&mut noted, &news);
        let outcome = self.live.reload();
        self.live.log(&outcome);
        if self.live.current().hash != etag.as_str() {
            let on_disk = file::read(self.live.path());
            return Err(match outcome {
                ReloadOutcome::Kept(error) if on_disk.etag == etag => EditError::NotInForce {
                    reason: error.to_string(),
                },
                // Somebody has written the file again already.
                _ => self.stale(&on_disk),
            });
        }
        Ok(Saved {
            document: Document::read(&self.live),
            summary,
            unchanged: false,
            unrecorded: None,
        })
    }

    fn stale(&self, current: &OnDisk) -> EditError {
        EditError::Stale {
            current: Box::new(Document::of(&self.live, current)),
        }
    }
}

/// The text with the line ends of the stored one: browsers have their own, and a form sends others again.
fn as_in(stored: &str, text: String) -> String {
    let windows = |text: &str| {
        let all = text.matches('\n').count();
        let with = text.matches("\r\n").count();
        (all > 0).then_some(if with == all {
            Some(true)
        } else if with == 0 {
            Some(false)
        } else {
            None
        })
    };
    match (windows(stored).flatten(), windows(&text).flatten()) {
        (Some(true), Some(false)) => text.replace('\n', "\r\n"),
        (Some(false), Some(true)) => text.replace("\r\n", "\n"),
        _ => text,
    }
}

/// The text with the byte order mark of the stored one, which is never shown.
fn as_in_bom(stored: &str, text: String) -> String {
    const MARK: char = '\u{feff}';
    if stored.starts_with(MARK) && !text.starts_with(MARK) {
        format!("{MARK}{text}")
    } else {
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn line_ends_are_those_of_the_file() {
        let (unix, windows, mixed) = ("a\nb\n", "a\r\nb\r\n", "a\r\nb\n");
        assert_eq!(as_in(unix, windows.into()), unix);
        assert_eq!(as_in(windows, unix.into()), windows);
        for text in [unix, windows, mixed] {
            assert_eq!(as_in(mixed, text.into()), text);
            assert_eq!(as_in("one line", text.into()), text);
            assert_eq!(as_in(text, "one line".into()), "one line");
        }
    }
}
