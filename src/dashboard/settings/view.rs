//! What the pages of the settings are made of.
//!
//! Must not know: how it is found, how pages look.

use super::entry::{GrantEntry, Mistakes, ProviderEntry};
use crate::{
    config::redact,
    dashboard::form::Form,
    editor::{Document, Review, Version},
    provider::probe::Answer as Probed,
};

/// Bytes of a text that a page carries beside the one that is edited, so that a conflict can be shown.
const CARRIED: usize = 1 << 20;

/// A text that is being edited, and what it was made from.
#[derive(Clone, Default)]
pub(in crate::dashboard) struct Draft {
    /// The text, with line feeds.
    pub(in crate::dashboard) text: String,
    /// The document that it was made from; empty when that was too large to carry.
    pub(in crate::dashboard) base: String,
    /// That document's version.
    pub(in crate::dashboard) etag: String,
    /// A text that was set aside in a conflict.
    pub(in crate::dashboard) kept: String,
}

/// What is said above an edit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::dashboard) struct Notice {
    /// It stands against the edit; otherwise it says what has been done.
    pub(in crate::dashboard) against: bool,
    pub(in crate::dashboard) title: String,
    pub(in crate::dashboard) text: String,
}

/// The page of an edit: the document as text.
pub(in crate::dashboard) struct Editing<'a> {
    pub(in crate::dashboard) document: &'a Document,
    pub(in crate::dashboard) draft: &'a Draft,
    pub(in crate::dashboard) review: &'a Review,
    pub(in crate::dashboard) notice: Option<Notice>,
    pub(in crate::dashboard) token: String,
}

/// Two edits of one document.
pub(in crate::dashboard) struct Conflict<'a> {
    pub(in crate::dashboard) current: &'a Document,
    pub(in crate::dashboard) draft: &'a Draft,
    /// Both in one text, where they do not touch.
    pub(in crate::dashboard) merged: Option<String>,
    /// What came in between, when the history knows it.
    pub(in crate::dashboard) theirs: Option<Version>,
    pub(in crate::dashboard) token: String,
}

/// A version, with what it is compared to.
pub(in crate::dashboard) struct Past<'a> {
    pub(in crate::dashboard) version: &'a Version,
    pub(in crate::dashboard) text: &'a str,
    pub(in crate::dashboard) document: &'a Document,
    /// The version before, and its text.
    pub(in crate::dashboard) before: Option<(u64, String)>,
    /// `before`, `text`, or the difference to the current one.
    pub(in crate::dashboard) show: &'a str,
    pub(in crate::dashboard) notice: Option<Notice>,
    pub(in crate::dashboard) token: String,
}

/// The form of a provider.
pub(in crate::dashboard) struct ProviderForm<'a> {
    pub(in crate::dashboard) entry: &'a ProviderEntry,
    pub(in crate::dashboard) mistakes: Mistakes,
    /// What came of trying it.
    pub(in crate::dashboard) tried: Option<Tried>,
    pub(in crate::dashboard) token: String,
}

/// What came of trying a provider.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::dashboard) enum Tried {
    /// It was not asked, and why.
    Not(String),
    /// It was.
    Asked(Probed),
}

/// The form of a grant.
pub(in crate::dashboard) struct GrantForm<'a> {
    pub(in crate::dashboard) entry: &'a GrantEntry,
    pub(in crate::dashboard) mistakes: Mistakes,
    /// What can be ticked.
    pub(in crate::dashboard) providers: Vec<String>,
    pub(in crate::dashboard) people: Vec<String>,
    /// Which models were asked for.
    pub(in crate::dashboard) scope: &'a str,
    pub(in crate::dashboard) token: String,
}

// === impl Draft ===

impl Draft {
    /// The document as it is.
    pub(super) fn of(document: &Document) -> Self {
        Self::with(document, unix(&document.text))
    }

    /// A new text for it.
    pub(in crate::dashboard) fn with(document: &Document, text: String) -> Self {
        let base = unix(&document.text);
        Self {
            text,
            base: if base.len() <= CARRIED {
                base
            } else {
                String::new()
            },
            etag: document.etag.to_string(),
            kept: String::new(),
        }
    }

    pub(super) fn read(form: &Form) -> Self {
        Self {
            text: form.text("text"),
            base: form.text("base"),
            etag: form.get("etag").to_owned(),
            kept: form.text("kept"),
        }
    }
}

/// A notice that stands against an edit.
pub(super) fn notice(title: &str, text: &str) -> Notice {
    Notice {
        against: true,
        title: title.to_owned(),
        text: text.to_owned(),
    }
}

/// With line feeds alone, as pages edit it.
pub(super) fn unix(text: &str) -> String {
    text.replace("\r\n", "\n")
}

/// A text's lines as a page may show them to a reader over a shoulder: new secrets hidden, too. None when its lines can't be told apart then.
pub(in crate::dashboard) fn masked(text: &str) -> Option<Vec<String>> {
    let hidden = redact(text);
    let same = hidden.lines().count() == text.lines().count();
    same.then(|| hidden.lines().map(ToOwned::to_owned).collect())
}
