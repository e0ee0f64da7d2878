//! Go's `path.Match`, as `model_cost_map` uses it.
//!
//! `*` and `?` stay within a segment, `[a-c]` and `[^a]` are classes, `\\` takes the next character as it is. In: pattern and
//! name. Out: whether all of the name matches. A malformed pattern matches nothing.

/// Whether the whole name matches.
pub(super) fn matches(pattern: &str, name: &str) -> bool {
    run(pattern, name) == Outcome::Match
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outcome {
    Match,
    /// Not so; a star before may try again.
    No,
    /// The segment is used up, or the pattern is malformed: no star before can help. This keeps many stars cheap.
    Never,
}

fn run(pattern: &str, name: &str) -> Outcome {
    let mut pattern = pattern.chars();
    let mut left = name.chars();
    while let Some(wanted) = pattern.next() {
        if wanted == '*' {
            return star(pattern.as_str().trim_start_matches('*'), left.as_str());
        }
        let own = left.next();
        let hit = match wanted {
            '?' => own.is_some_and(|own| own != '/'),
            '[' => {
                let Some((hit, rest)) = class(pattern.as_str(), own) else {
                    return Outcome::Never;
                };
                pattern = rest.chars();
                hit
            }
            '\\' => match pattern.next() {
                Some(literal) => own == Some(literal),
                None => return Outcome::Never,
            },
            literal => own == Some(literal),
        };
        if !hit {
            return match own {
                Some(_) => Outcome::No,
                None => Outcome::Never,
            };
        }
    }
    match left.next() {
        None => Outcome::Match,
        Some(_) => Outcome::No,
    }
}

fn star(rest: &str, name: &str) -> Outcome {
    let mut left = name.chars();
    loop {
        let outcome = run(rest, left.as_str());
        if outcome != Outcome::No {
            return outcome;
        }
        if left.next().is_none_or(|skipped| skipped == '/') {
            return Outcome::Never;
        }
    }
}

/// Whether a character is in the class that `pattern` begins with, and what follows the class; none if malformed.
fn class(pattern: &str, of: Option<char>) -> Option<(bool, &str)> {
    let negated = pattern.starts_with('^');
    let mut rest = pattern.strip_prefix('^').unwrap_or(pattern);
    let (mut hit, mut empty) = (false, true);
    loop {
        if let Some(after) = rest.strip_prefix(']').filter(|_| !empty) {
            return Some((of.is_some() && hit != negated, after));
        }
        let (low, after) = class_char(rest)?;
        let (high, after) = match after.strip_prefix('-') {
            Some(after) => class_char(after)?,
            None => (low, after),
        };
        hit |= of.is_some_and(|of| (low..=high).contains(&of));
        (rest, empty) = (after, false);
    }
}

fn class_char(pattern: &str) -> Option<(char, &str)> {
    let mut chars = pattern.chars();
    let first = match chars.next()? {
        '-' | ']' => return None,
        '\\' => chars.next()?,
        other => other,
    };
    Some((first, chars.as_str()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_go_matches() {
        let cases = [
            ("abc", "abc", true),
            ("*", "abc", true),
            ("*c", "abc", true),
            ("a*", "a", true),
            ("a*", "ab/c", false),
            ("a*/b", "abc/b", true),
            ("a*/b", "a/c/b", false),
            ("a*b*c*d*e*/f", "axbxcxdxe/f", true),
            ("a*b*c*d*e*/f", "axbxcxdxexxx/fff", false),
            ("a*b?c*x", "abxbbxdbxebxczzx", true),
            ("ab[c]", "abc", true),
            ("ab[b-d]", "abc", true),
            ("ab[e-g]", "abc", false),
            ("ab[^c]", "abc", false),
            ("ab[^e-g]", "abc", true),
            ("a\\*b", "a*b", true),
            ("a\\*b", "ab", false),
            ("a?b", "a☺b", true),
            ("a[^a]b", "a☺b", true),
            ("a???b", "a☺b", false),
            ("[a-ζ]*", "α", true),
            ("*[a-ζ]", "A", false),
            ("a?b", "a/b", false),
            ("a*b", "a/b", false),
            ("[\\]a]", "]", true),
            ("[]a]", "]", false),
            ("[-]", "-", false),
            ("[x-]", "x", false),
            ("[a-b-c]", "a", false),
            ("[", "a", false),
            ("a[", "a", false),
            ("*x", "xxx", true),
            ("", "", true),
            ("", "a", false),
        ];
        for (pattern, name, expected) in cases {
            assert_eq!(matches(pattern, name), expected, "{pattern} {name}");
        }
        assert!(!matches(&"*a".repeat(40), &"a".repeat(39)));
        assert!(!matches(&("*a".repeat(40) + "b"), &"a".repeat(5000)));
    }
}
