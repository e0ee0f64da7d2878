//! Comments that hide something, and back.
//!
//! Owns: which stored comment an edited one is, and when it may come back. A comment is sent nowhere; it is only kept from
//! being lost. In: comments of three texts. Out: replacements. Must not know: values.

use super::{PLACEHOLDER, Range, Sites, rules};
use std::collections::BTreeSet;

/// A stored comment of which something is not shown.
pub(super) struct Hidden {
    whole: String,
    shown: String,
}

/// Pairs the comments of a text with those of its redaction.
pub(super) fn pair(
    whole: &str,
    whole_ranges: &[Range],
    shown: &str,
    shown_ranges: &[Range],
) -> Vec<Hidden> {
    let pairs = whole_ranges.iter().zip(shown_ranges);
    pairs
        .map(|(from, to)| Hidden {
            whole: whole[from.start..from.end].to_owned(),
            shown: shown[to.start..to.end].to_owned(),
        })
        .filter(|hidden| hidden.shown.contains(PLACEHOLDER))
        .collect()
}

/// The replacements that make comments whole again.
///
/// One that would show what it hid, because the secret that it repeats is not in use any more (`text` is the new document),
/// stays as it is; so does one of several that look alike when some of them are gone.
pub(super) fn restore(
    edited: &str,
    ranges: &[Range],
    stored: &[Hidden],
    text: &str,
) -> Vec<(Range, String)> {
    let read = Sites::read(text).unwrap_or_default();
    let secrets: BTreeSet<&str> = read.secrets();
    let mut edits = Vec::new();
    for (at, range) in ranges.iter().enumerate() {
        let comment = &edited[range.start..range.end];
        let alike = |other: &Range| &edited[other.start..other.end] == comment;
        if !comment.contains(PLACEHOLDER) {
            continue;
        }
        let candidates: Vec<&Hidden> = stored
            .iter()
            .filter(|hidden| hidden.shown == comment)
            .collect();
        let same = candidates
            .windows(2)
            .all(|two| two[0].whole == two[1].whole);
        let complete = ranges.iter().filter(|other| alike(other)).count() == candidates.len();
        let number = ranges[..at].iter().filter(|other| alike(other)).count();
        let found = match candidates.first() {
            Some(first) if same => Some(*first),
            Some(_) if complete => candidates.get(number).copied(),
            _ => None,
        };
        if let Some(hidden) = found
            && rules::scrub_comment(&hidden.whole, secrets.iter()) == comment
        {
            edits.push((*range, hidden.whole.clone()));
        }
    }
    edits
}
