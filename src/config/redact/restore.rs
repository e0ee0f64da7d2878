//! From a redacted document that was edited back to a whole one.
//!
//! Owns: the rule of secrets on a save. Every admin can save, and by default everyone is an admin, so a save must not be a
//! way to send a stored secret elsewhere, nor to have one shown: a placeholder or a reference is accepted only where it
//! stood before (`align`), and only while what decides where it is sent is as before (`destination`). In: the edited text
//! and the stored one. Out: [`Restored`]. Must not know: who saves.

use super::{
    PLACEHOLDER, Range, Site, Sites, align, comments, destination::Destination, redact, rules,
    splice,
};
use crate::config::{
    finding::{Class, Finding, Notes},
    syntax,
};
use serde_json::Value;
use std::{collections::HashMap, fmt};

/// An edited text with the stored secrets in it.
pub struct Restored {
    /// The text to check and to store. Where a secret could not be put back, its placeholder still stands.
    pub text: String,
    /// The placeholders and references that can't stay as they are; empty = the text is whole.
    pub findings: Vec<Finding>,
    shifts: Vec<Shift>,
}

/// A replacement, as it moves what follows it in its line.
struct Shift {
    /// Its line, from 1.
    line: usize,
    /// The column where it begins in the edited text, from 1.
    column: usize,
    /// Characters that it replaced.
    before: usize,
    /// Characters that it has.
    after: usize,
}

/// Puts stored secrets back in the place of placeholders; none = the edited text can't be read at all.
///
/// Comments come back whole, too, where what was hidden in them stays hidden.
pub fn restore(edited: &str, stored: &str) -> Option<Restored> {
    let edited = edited.strip_prefix('\u{feff}').unwrap_or(edited);
    let source = syntax::parse(edited, &mut Notes::default());
    let edited_value = source.value.as_ref()?;
    let sites = Sites::read(edited)?;
    let stored = Stored::read(stored);
    let places = align::places(edited_value, &stored.value);
    // What is wrong otherwise is for `check` to say.
    let mut notes = Notes::default();
    let mut edits = Vec::new();
    let mut restored = Vec::new();
    for site in sites.strings.iter().filter(|site| needs_leave(site)) {
        let hidden = places
            .get(&site.path)
            .and_then(|place| Some((place.as_str(), stored.hidden.get(place)?)))
            .filter(|(_, hidden)| hidden.shown == site.value);
        let Some((place, hidden)) = hidden else {
            unknown(site, &mut notes);
            continue;
        };
        let goes = Destination::of(edited_value, &site.path);
        if goes != Destination::of(&stored.value, place) {
            let message = "what decides where this secret is sent (address, network, authorization, headers that steer a proxy) has changed";
            notes
                .add(Class::Broken, site.path.clone(), message)
                .hint("write the secret itself");
            continue;
        }
        if site.value.contains(PLACEHOLDER) {
            edits.push((site.range, hidden.written.clone()));
            restored.push(site);
        }
    }
    let text = splice(edited, edits.clone());
    seen(&restored, &text, &mut notes);
    let back = comments::restore(edited, &sites.comments, &stored.comments, &text);
    edits.extend(back);
    edits.sort_by_key(|(range, _)| range.start);
    Some(Restored {
        text: splice(edited, edits.clone()),
        shifts: shifts(edited, &edits),
        findings: notes.into_findings(&source.places),
    })
}

/// The stored document: with its secrets, and as it was shown.
struct Stored {
    /// As it was shown: addresses are compared so, since a placeholder may be part of one.
    value: Value,
    hidden: HashMap<String, Hidden>,
    comments: Vec<comments::Hidden>,
}

/// One value.
struct Hidden {
    /// As it stands in the text: a number stays one, and escapes stay as they are.
    written: String,
    shown: String,
}

impl Stored {
    fn read(stored: &str) -> Self {
        let stored = stored.strip_prefix('\u{feff}').unwrap_or(stored);
        let shown = redact(stored);
        let value = syntax::parse(&shown, &mut Notes::default()).value;
        let (whole, redacted) = (Sites::read(stored), Sites::read(&shown));
        let (whole, redacted) = (whole.unwrap_or_default(), redacted.unwrap_or_default());
        // Redaction keeps every value and every comment at its place in the order.
        let comments = comments::pair(stored, &whole.comments, &shown, &redacted.comments);
        let hidden = whole
            .strings
            .into_iter()
            .zip(redacted.strings)
            .map(|(site, shown)| {
                let written = stored[site.range.start..site.range.end].to_owned();
                let shown = shown.value;
                (site.path, Hidden { written, shown })
            });
        Self {
            value: value.unwrap_or(Value::Null),
            hidden: hidden.collect(),
            comments,
        }
    }
}

/// Whether a value may stay only where it was: a placeholder, a reference, or what has the gateway use a credential that
/// its host holds.
fn needs_leave(site: &Site) -> bool {
    let path = site.path.as_str();
    let reference = site.context == rules::Context::Secret && rules::is_reference(&site.value);
    let certificate = path.ends_with(".extra_ca") && rules::is_reference(&site.value);
    let profile = path.ends_with(".authorization.profile") && !site.value.is_empty();
    let adc = (path.ends_with(".authorization") || path.ends_with(".authorization.type"))
        && site.value.eq_ignore_ascii_case("google-adc");
    site.value.contains(PLACEHOLDER) || reference || certificate || profile || adc
}

fn unknown(site: &Site, notes: &mut Notes) {
    let (message, hint) = if site.value.contains(PLACEHOLDER) {
        (
            "no secret is stored for this place",
            "write the secret itself",
        )
    } else {
        (
            "a reference to a secret can be added or moved only in the file on the gateway's host",
            "write the secret itself, or edit the file",
        )
    };
    notes
        .add(Class::Broken, site.path.clone(), message)
        .hint(hint);
}

/// Notes texts that hid a secret and would show it now: the secret was hidden there because it was in use elsewhere.
fn seen(restored: &[&Site], text: &str, notes: &mut Notes) {
    let after = Sites::read(&redact(text)).unwrap_or_default().strings;
    let after: HashMap<&str, &str> = after
        .iter()
        .map(|site| (site.path.as_str(), site.value.as_str()))
        .collect();
    for site in restored {
        if after.get(site.path.as_str()) != Some(&site.value.as_str()) {
            notes
                .add(
                    Class::Broken,
                    site.path.clone(),
                    "a secret is hidden in this text, which would be shown once it is not in use any more",
                )
                .hint("write the text without it");
        }
    }
}

// === impl Restored ===

impl Restored {
    /// Moves a finding about the whole text to its place in the edited one.
    pub fn placed(&self, mut finding: Finding) -> Finding {
        let here = self
            .shifts
            .iter()
            .filter(|shift| shift.line == finding.line);
        // How far the whole text is ahead of the edited one.
        let (mut longer, mut shorter) = (0, 0);
        for shift in here {
            let begin = shift.column + longer - shorter;
            if finding.column < begin {
                break;
            }
            if finding.column < begin + shift.after {
                finding.column = shift.column;
                return finding;
            }
            longer += shift.after;
            shorter += shift.before;
        }
        finding.column = (finding.column + shorter).saturating_sub(longer).max(1);
        finding
    }
}

/// Where replacements move what follows them.
fn shifts(edited: &str, edits: &[(Range, String)]) -> Vec<Shift> {
    let last_line = |text: &str| text.rsplit('\n').next().unwrap_or_default().chars().count();
    let (mut line, mut seen) = (1, 0);
    let mut shifts = Vec::new();
    for (range, replacement) in edits {
        // A block comment ends lines below where it began, in both texts alike.
        line += edited[seen..range.end].matches('\n').count();
        seen = range.end;
        let old = &edited[range.start..range.end];
        let column = if old.contains('\n') {
            1
        } else {
            last_line(&edited[..range.start]) + 1
        };
        shifts.push(Shift {
            line,
            column,
            before: last_line(old),
            after: last_line(replacement),
        });
    }
    shifts
}

impl fmt::Debug for Restored {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Restored")
            .field("findings", &self.findings)
            .finish_non_exhaustive()
    }
}
