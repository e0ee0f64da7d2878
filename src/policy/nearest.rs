//! Names that look like one that does not exist.
//!
//! Owns: what counts as alike. In: the name asked for, the names that may be told. Out: the few nearest, nearest first.
//! Must not know: who asks; the names it gets are those that this caller may use.

/// Names told at most.
const MOST: usize = 3;

/// A longer name is not compared (and no model has one).
const LONGEST: usize = 128;

/// The names most like the one asked for, if any is alike at all.
pub(crate) fn nearest<'a>(asked: &str, names: impl Iterator<Item = &'a str>) -> Vec<String> {
    if asked.is_empty() || asked.len() > LONGEST {
        return Vec::new();
    }
    let asked = asked.to_lowercase();
    let mut alike: Vec<_> = names
        .filter(|name| name.len() <= LONGEST)
        .filter_map(|name| Some((difference(&asked, &name.to_lowercase())?, name)))
        .collect();
    alike.sort_unstable();
    alike.dedup();
    alike
        .into_iter()
        .take(MOST)
        .map(|(_, name)| name.to_owned())
        .collect()
}

/// How far apart two names are; none when they are not alike.
///
/// One being the beginning of the other (a name without its date) is nearer than any letters exchanged.
fn difference(asked: &str, name: &str) -> Option<usize> {
    let whole = asked.len().min(name.len()) >= 3;
    if asked == name || whole && (name.starts_with(asked) || asked.starts_with(name)) {
        return Some(0);
    }
    let edits = edits(asked.as_bytes(), name.as_bytes());
    (edits * 3 <= asked.len().max(name.len())).then_some(edits)
}

/// The number of letters to insert, remove or replace.
fn edits(from: &[u8], to: &[u8]) -> usize {
    let mut row: Vec<usize> = (0..=to.len()).collect();
    for (i, a) in from.iter().enumerate() {
        let mut diagonal = i;
        row[0] = i + 1;
        for (j, b) in to.iter().enumerate() {
            let replaced = diagonal + usize::from(a != b);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[to.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(asked: &str, names: &[&str]) -> Vec<String> {
        nearest(asked, names.iter().copied())
    }

    #[test]
    fn edits_are_counted() {
        for (from, to, count) in [
            ("", "", 0),
            ("abc", "abc", 0),
            ("abc", "", 3),
            ("", "ab", 2),
        ] {
            assert_eq!(edits(from.as_bytes(), to.as_bytes()), count, "{from} {to}");
        }
        assert_eq!(edits(b"kitten", b"sitting"), 3);
        assert_eq!(edits(b"flaw", b"lawn"), 2);
    }

    #[test]
    fn the_nearest_come_first_and_strangers_not_at_all() {
        let names = [
            "gpt-4o",
            "gpt-4o-mini",
            "gpt-5",
            "claude-haiku-4-5-20251001",
        ];
        assert_eq!(told("gpt-4O", &names), ["gpt-4o", "gpt-4o-mini", "gpt-5"]);
        assert_eq!(
            told("claude-haiku-4-5", &names),
            ["claude-haiku-4-5-20251001"]
        );
        assert_eq!(
            told("claude-haiku-45-20251001", &names),
            ["claude-haiku-4-5-20251001"]
        );
        assert_eq!(told("mistral-large", &names), Vec::<String>::new());
    }

    #[test]
    fn a_name_is_told_once_and_three_at_most() {
        let names = ["abcd1", "abcd2", "abcd3", "abcd4", "abcd1"];
        assert_eq!(told("abcd", &names), ["abcd1", "abcd2", "abcd3"]);
    }

    #[test]
    fn absurd_names_are_not_compared() {
        assert_eq!(told("", &["a"]), Vec::<String>::new());
        let long = "a".repeat(LONGEST + 1);
        assert_eq!(told(&long, &[&long]), Vec::<String>::new());
    }
}
