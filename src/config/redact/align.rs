//! Which place of the stored document a place of the edited one is.
//!
//! Owns: the comparison. Members of objects are known by their key; elements of arrays by what they say, so that a secret
//! stays with its grant when another one is added, removed or moved. In: two documents, secrets as placeholders. Out: the
//! stored path of every edited path that has one. Must not know: secrets.

use super::PLACEHOLDER;
use crate::config::finding::{element, member};
use serde_json::Value;
use std::collections::HashMap;

/// Edited path → stored path.
pub(super) fn places(edited: &Value, stored: &Value) -> HashMap<String, String> {
    let mut places = HashMap::new();
    walk(edited, "", stored, "", &mut places);
    places
}

fn walk(
    edited: &Value,
    at: &str,
    stored: &Value,
    was_at: &str,
    places: &mut HashMap<String, String>,
) {
    match (edited, stored) {
        (Value::Object(now), Value::Object(was)) => {
            for (key, value) in now {
                if let Some(before) = was.get(key) {
                    walk(
                        value,
                        &member(at, key),
                        before,
                        &member(was_at, key),
                        places,
                    );
                }
            }
        }
        (Value::Array(now), Value::Array(was)) => {
            for (index, before) in elements(now, was) {
                let (here, there) = (element(at, index), element(was_at, before));
                walk(&now[index], &here, &was[before], &there, places);
            }
        }
        (Value::Object(_) | Value::Array(_), _) | (_, Value::Object(_) | Value::Array(_)) => {}
        _ => {
            places.insert(at.to_owned(), was_at.to_owned());
        }
    }
}

/// The stored index of each edited element that has one.
///
/// Equal elements go together, each stored one once, in their order (unless some of several that hide a secret are gone). Those that are left, having been edited themselves, go together in
/// their order when as many are left on both sides; otherwise it can't be known which is which, and none has a place.
fn elements(now: &[Value], was: &[Value]) -> Vec<(usize, usize)> {
    let mut known: HashMap<String, Vec<usize>> = HashMap::new();
    for (index, value) in was.iter().enumerate().rev() {
        known.entry(value.to_string()).or_default().push(index);
    }
    let texts: Vec<String> = now.iter().map(Value::to_string).collect();
    let mut wanted: HashMap<&str, usize> = HashMap::new();
    for text in &texts {
        *wanted.entry(text).or_default() += 1;
    }
    known.retain(|text, indices| {
        let gone = wanted
            .get(text.as_str())
            .is_some_and(|&now| now < indices.len());
        !(gone && indices.len() > 1 && text.contains(PLACEHOLDER))
    });
    let mut pairs = Vec::new();
    let mut rest = Vec::new();
    for (index, text) in texts.iter().enumerate() {
        match known.get_mut(text).and_then(Vec::pop) {
            Some(before) => pairs.push((index, before)),
            None => rest.push(index),
        }
    }
    let mut left: Vec<usize> = known.into_values().flatten().collect();
    left.sort_unstable();
    if rest.len() == left.len() {
        pairs.extend(rest.into_iter().zip(left));
    }
    pairs
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn stored(now: &Value, was: &Value, path: &str) -> Option<String> {
        places(now, was).remove(path)
    }

    #[test]
    fn elements_are_known_by_what_they_say() {
        let was = json!({"g": [{"s": "a", "h": ["x"]}, {"s": "b", "h": ["x"]}]});
        let moved = json!({"g": [{"s": "b", "h": ["x"]}, {"s": "a", "h": ["x"]}]});
        assert_eq!(stored(&moved, &was, "g[0].h[0]").unwrap(), "g[1].h[0]");
        let removed = json!({"g": [{"s": "b", "h": ["x"]}]});
        assert_eq!(stored(&removed, &was, "g[0].h[0]").unwrap(), "g[1].h[0]");
        let added = json!({"g": [{"s": "new"}, {"s": "a", "h": ["x"]}, {"s": "b", "h": ["x"]}]});
        assert_eq!(stored(&added, &was, "g[2].h[0]").unwrap(), "g[1].h[0]");
        let edited = json!({"g": [{"s": "c", "h": ["x"]}, {"s": "b", "h": ["x"]}]});
        assert_eq!(stored(&edited, &was, "g[0].h[0]").unwrap(), "g[0].h[0]");
        // One edited and one removed: either could be it.
        let both = json!({"g": [{"s": "c", "h": ["x"]}]});
        assert_eq!(stored(&both, &was, "g[0].h[0]"), None);
    }

    #[test]
    fn elements_that_say_the_same_keep_their_order() {
        let was = json!(["x", "y", "x"]);
        let now = json!(["x", "x"]);
        assert_eq!(stored(&now, &was, "[0]").unwrap(), "[0]");
        assert_eq!(stored(&now, &was, "[1]").unwrap(), "[2]");
        // Which of the two secrets is it?
        let hidden = format!("X-Key: {PLACEHOLDER}");
        let (was, now) = (json!([hidden, hidden]), json!([hidden]));
        assert_eq!(stored(&now, &was, "[0]"), None);
        assert_eq!(stored(&was, &was, "[1]").unwrap(), "[1]");
    }
}
