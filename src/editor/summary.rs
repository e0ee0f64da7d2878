//! What changed between two documents, in a line.
//!
//! In: two texts, of which only names and numbers are repeated. Out: words. Must not know: who changed what.

use crate::config::outline;
use serde_json::{Map, Value};
use std::collections::{BTreeSet, HashMap};

/// Names that a line has room for.
const NAMED: usize = 4;
/// Characters of a name.
const NAME: usize = 40;

/// What changed from one text to the other.
pub(super) fn of(before: &str, after: &str) -> String {
    if before == after {
        return "only secrets".to_owned();
    }
    let (was, now) = (outline(before), outline(after));
    let mut changes = Vec::new();
    compare(&was, &now, &mut changes);
    let what = if changes.is_empty() {
        "comments and layout only".to_owned()
    } else {
        let more = changes.len().saturating_sub(NAMED);
        changes.truncate(NAMED);
        let named = changes.join(", ");
        match more {
            0 => named,
            more => format!("{named} and {more} more"),
        }
    };
    let (added, removed) = lines(before, after);
    format!(
        "{what}; {}, {removed} removed",
        plural(added, "line added", "lines added")
    )
}

fn plural(count: usize, one: &str, many: &str) -> String {
    format!("{count} {}", if count == 1 { one } else { many })
}

/// Compares the sections, and the entries of those that are made of named ones.
fn compare(was: &Value, now: &Value, changes: &mut Vec<String>) {
    let none = Map::new();
    let section = |value: &'_ Value| value.as_object().cloned();
    let (was, now) = (
        section(was).unwrap_or_default(),
        section(now).unwrap_or_default(),
    );
    for key in keys(&was, &now) {
        match (was.get(key), now.get(key)) {
            (Some(Value::Object(was)), Some(Value::Object(now))) => each(key, was, now, changes),
            (Some(Value::Object(was)), None) if !was.is_empty() => each(key, was, &none, changes),
            (None, Some(Value::Object(now))) if !now.is_empty() => each(key, &none, now, changes),
            (was, now) => changes.extend(change(&name(key), was, now)),
        }
    }
}

fn each(
    section: &str,
    was: &Map<String, Value>,
    now: &Map<String, Value>,
    changes: &mut Vec<String>,
) {
    for key in keys(was, now) {
        let path = format!("{}.{}", name(section), name(key));
        changes.extend(change(&path, was.get(key), now.get(key)));
    }
}

fn keys<'a>(was: &'a Map<String, Value>, now: &'a Map<String, Value>) -> BTreeSet<&'a String> {
    was.keys().chain(now.keys()).collect()
}

fn change(path: &str, was: Option<&Value>, now: Option<&Value>) -> Option<String> {
    match (was, now) {
        (None, Some(_)) => Some(format!("{path} added")),
        (Some(_), None) => Some(format!("{path} removed")),
        (was, now) if was != now => Some(format!("{path} changed")),
        _ => None,
    }
}

fn name(key: &str) -> String {
    key.chars()
        .filter(|letter| !letter.is_control())
        .take(NAME)
        .collect()
}

/// Lines that one text has and the other has not.
fn lines(before: &str, after: &str) -> (usize, usize) {
    let mut counts: HashMap<&str, isize> = HashMap::new();
    for line in before.lines() {
        *counts.entry(line).or_default() -= 1;
    }
    for line in after.lines() {
        *counts.entry(line).or_default() += 1;
    }
    let sum = |wanted: fn(isize) -> bool| {
        let counts = counts.values().copied().filter(|&count| wanted(count));
        counts.map(isize::unsigned_abs).sum()
    };
    (sum(|count| count > 0), sum(|count| count < 0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_is_named_by_its_entry() {
        let before = "{\n\"providers\": {\"a\": {\"x\": 1}, \"b\": {}},\n\"grants\": []\n}";
        let after = "{\n\"providers\": {\"a\": {\"x\": 2}, \"c\": {}},\n\"grants\": []\n}";
        assert_eq!(
            of(before, after),
            "providers.a changed, providers.b removed, providers.c added; 1 line added, 1 removed"
        );
        let commented = before.replace("[]", "[] // none");
        assert_eq!(
            of(before, &commented),
            "comments and layout only; 1 line added, 1 removed"
        );
        assert_eq!(of(before, before), "only secrets");
        assert_eq!(
            of("", before),
            "grants added, providers.a added, providers.b added; 4 lines added, 0 removed"
        );
    }

    #[test]
    fn a_long_list_is_cut() {
        let many: Vec<String> = (0..9).map(|n| format!("\"k{n}\": 1")).collect();
        let text = of("{}", &format!("{{{}}}", many.join(",")));
        assert!(text.contains("k3 added and 5 more"), "{text}");
    }
}
