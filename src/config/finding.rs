//! What is wrong with a document, and where.
//!
//! Owns: [`Finding`], its classes, and the collector that `check` and its parts fill by key path.
//! In: facts with a key path. Out: findings with line and column, in the order of the text.
//! Must not know: what the keys mean. No secret may enter a message.

use super::syntax::Places;
use std::collections::BTreeSet;

/// Findings that are listed; of more, only how many and how grave. Places are counted from the begin of their line, so that the
/// work is bounded, too.
const MAX_FINDINGS: usize = 1000;

/// How grave a finding is, before it is known what the document is wanted for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Class {
    /// The document cannot be used at all.
    Broken,
    /// It loads, without the part that is wrong; `aperture check` and a save refuse it.
    Mistake,
    /// It loads and may be saved, but is probably not what is wanted.
    Advice,
}

/// What the document is wanted for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Strictness {
    /// Start and reload: serve what can be served.
    Load,
    /// `aperture check`, and a save by a person who can still correct it.
    Save,
}

/// How a finding is shown, and whether it stops.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Severity {
    /// Stops.
    Error,
    /// Is shown.
    Warning,
}

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// How grave it is.
    pub class: Class,
    /// Line, from 1.
    pub line: usize,
    /// Column in characters, from 1.
    pub column: usize,
    /// The key path, such as `providers.openai.models[0]`; empty = the whole document.
    pub path: String,
    /// What is wrong.
    pub message: String,
    /// What to do.
    pub hint: Option<String>,
    /// Whether it is about a key that this version does not know or act on: a document that has it already may keep it.
    pub unknown_key: bool,
}

impl Finding {
    /// Whether it stops a document that is wanted for this.
    pub fn severity(&self, strictness: Strictness) -> Severity {
        match (self.class, strictness) {
            (Class::Broken, _) | (Class::Mistake, Strictness::Save) => Severity::Error,
            (Class::Mistake, Strictness::Load) | (Class::Advice, _) => Severity::Warning,
        }
    }
}

/// Whether any finding stops a document that is wanted for this.
pub fn refused(findings: &[Finding], strictness: Strictness) -> bool {
    findings
        .iter()
        .any(|finding| finding.severity(strictness) == Severity::Error)
}

/// Where a note points.
enum Spot {
    /// The value at its path.
    Value,
    /// The key at its path.
    Key,
    /// A byte of the text.
    Byte(usize),
}

/// One fact, before its position is looked up.
pub(crate) struct Note {
    class: Class,
    path: String,
    spot: Spot,
    pub(crate) message: String,
    hint: Option<String>,
    unknown_key: bool,
}

impl Note {
    /// Says that the key is none that this version acts on.
    pub(crate) fn unknown_key(&mut self) -> &mut Self {
        self.unknown_key = true;
        self
    }

    /// Says what to do.
    pub(crate) fn hint(&mut self, hint: impl Into<String>) -> &mut Self {
        self.hint = Some(hint.into());
        self
    }

    /// Points at the key instead of the value.
    pub(crate) fn on_key(&mut self) -> &mut Self {
        self.spot = Spot::Key;
        self
    }

    /// Points at a byte of the text.
    pub(crate) fn on_byte(&mut self, offset: usize) -> &mut Self {
        self.spot = Spot::Byte(offset);
        self
    }
}

/// Collects facts, and the paths whose values had to be thrown away.
#[derive(Default)]
pub(crate) struct Notes {
    listed: Vec<Note>,
    /// Of those beyond the limit the gravest and the last.
    unlisted: Vec<Note>,
    /// How many are beyond it.
    more: usize,
    damaged: BTreeSet<String>,
}

impl Notes {
    /// Adds a fact about a path.
    pub(crate) fn add(
        &mut self,
        class: Class,
        path: impl Into<String>,
        message: impl Into<String>,
    ) -> &mut Note {
        let note = Note {
            class,
            path: path.into(),
            spot: Spot::Value,
            message: message.into(),
            hint: None,
            unknown_key: false,
        };
        let list = if self.listed.len() < MAX_FINDINGS {
            &mut self.listed
        } else {
            self.more += 1;
            self.unlisted.sort_by_key(|note| note.class);
            self.unlisted.truncate(1);
            &mut self.unlisted
        };
        list.push(note);
        list.last_mut().expect("just pushed")
    }

    /// The facts, and those beyond the limit in one.
    fn list(mut self) -> Vec<Note> {
        self.unlisted.sort_by_key(|note| note.class);
        let gravest = self.unlisted.into_iter().next();
        self.listed.extend(gravest.map(|note| Note {
            message: format!(
                "{} further findings are not listed; the gravest of them: {}",
                self.more, note.message
            ),
            unknown_key: false,
            ..note
        }));
        self.listed
    }

    /// Remembers that the value at a path was unusable, so that its absence is not taken for a choice.
    pub(crate) fn damage(&mut self, path: impl Into<String>) {
        self.damaged.insert(path.into());
    }

    /// Whether the value at a path was unusable.
    pub(crate) fn is_damaged(&self, path: &str) -> bool {
        self.damaged.contains(path)
    }

    /// The messages alone, for values that have no text.
    pub(crate) fn into_messages(self) -> Vec<String> {
        let line = |note: Note| match (note.path.is_empty(), note.hint) {
            (true, None) => note.message,
            (true, Some(hint)) => format!("{} ({hint})", note.message),
            (false, None) => format!("{}: {}", note.path, note.message),
            (false, Some(hint)) => format!("{}: {} ({hint})", note.path, note.message),
        };
        self.list().into_iter().map(line).collect()
    }

    /// Looks up the positions and sorts by them.
    pub(crate) fn into_findings(self, places: &Places) -> Vec<Finding> {
        let mut findings: Vec<Finding> = self
            .list()
            .into_iter()
            .map(|note| {
                let (line, column) = match note.spot {
                    Spot::Value => places.value(&note.path),
                    Spot::Key => places.key(&note.path),
                    Spot::Byte(offset) => places.line_column(offset),
                };
                Finding {
                    class: note.class,
                    line,
                    column,
                    path: note.path,
                    message: note.message,
                    hint: note.hint,
                    unknown_key: note.unknown_key,
                }
            })
            .collect();
        findings.sort_by_key(|finding| (finding.line, finding.column, finding.class));
        findings
    }
}

/// The path of a member of an object.
pub(crate) fn member(path: &str, key: &str) -> String {
    let plain = !key.is_empty()
        && key
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-');
    match (plain, path.is_empty()) {
        (true, true) => key.to_owned(),
        (true, false) => format!("{path}.{key}"),
        (false, _) => format!("{path}[{key:?}]"),
    }
}

/// The path of an element of an array.
pub(crate) fn element(path: &str, index: usize) -> String {
    format!("{path}[{index}]")
}
