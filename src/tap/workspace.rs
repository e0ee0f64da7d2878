//! The working directory that a client states.
//!
//! Owns: the table of phrases by which clients state it, in system prompts and in their first words. In: raw JSON text.
//! Out: a path, as the client wrote it. It is shown to people and nothing else: a client can claim any.
//! Must not know: dialects.

use super::clip;
use memchr::memmem::Finder;
use std::{array, sync::LazyLock};

/// Bytes of one raw part that are looked through, from its beginning and from its end.
const SEARCHED: usize = 64 << 10;
/// Bytes of a path that are kept.
const KEPT: usize = 300;

/// What stands before the path, and what ends it besides the end of its line. The first phrase wins.
const PHRASES: [(&str, &[char]); 9] = [
    // Codex
    ("<cwd>", &['<']),
    // Claude Code
    ("Primary working directory: ", &[]),
    // OpenCode, Kilo, Goose, Claude Code before 2.1
    ("Working directory: ", &[]),
    // Gemini CLI, Qwen Code
    ("I'm currently working in the directory: ", &[]),
    ("working in the following directory: ", &[]),
    // Copilot CLI, Cline, Roo Code
    ("Current working directory: ", &[]),
    ("Current Working Directory (", &[')']),
    // Continue, pi
    ("Current working directory is ", &[]),
    ("workspace root is ", &[]),
];

/// A search for each phrase, prepared once: every first request of a conversation is looked through for all of them.
static FINDERS: LazyLock<[Finder<'static>; PHRASES.len()]> =
    LazyLock::new(|| array::from_fn(|at| Finder::new(PHRASES[at].0)));

/// The directory that a raw JSON text states.
pub(super) fn find(raw: &str) -> Option<String> {
    let head = clip(raw, SEARCHED);
    let tail = &raw[raw.ceil_char_boundary(raw.len().saturating_sub(SEARCHED).max(head.len()))..];
    [head, tail].into_iter().find_map(in_part)
}

fn in_part(raw: &str) -> Option<String> {
    PHRASES
        .iter()
        .zip(&*FINDERS)
        .find_map(|((phrase, ends), finder)| {
            let at = finder.find(raw.as_bytes())?;
            path(&raw[at + phrase.len()..], ends)
        })
}

/// The path that a raw JSON text begins with: up to the end of its line, of the text, or to one of `ends`.
fn path(raw: &str, ends: &[char]) -> Option<String> {
    let mut path = String::new();
    let mut characters = raw.chars();
    while let Some(character) = characters.next() {
        match character {
            '"' => break,
            '\\' => match characters.next()? {
                '\\' => path.push('\\'),
                '/' => path.push('/'),
                '"' => path.push('"'),
                _ => break,
            },
            end if ends.contains(&end) => break,
            other => path.push(other),
        }
        if path.len() > KEPT {
            return None;
        }
    }
    let path = path.trim();
    let is_path =
        path.starts_with(['/', '~']) || path.get(1..3).is_some_and(|at| at.starts_with(':'));
    is_path.then(|| path.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn directories_as_clients_state_them() {
        for (raw, path) in [
            (
                r#""<environment_context>\n  <cwd>/home/dev/a b</cwd>\n""#,
                Some("/home/dev/a b"),
            ),
            (
                r#""environment: \n - Primary working directory: /home/dev/p\n""#,
                Some("/home/dev/p"),
            ),
            (
                r#""<env>\n  Working directory: C:\\src\\p\n  Platform""#,
                Some("C:\\src\\p"),
            ),
            ("\"# Current Working Directory (/w/x) Files\"", Some("/w/x")),
            (
                r#""I'm currently working in the directory: /w""#,
                Some("/w"),
            ),
            (r#""Working directory: none of them\n""#, None),
            (r#""nothing said""#, None),
        ] {
            assert_eq!(find(raw).as_deref(), path, "{raw}");
        }
        let long = format!("\"Working directory: /{}\"", "x".repeat(400));
        assert_eq!(find(&long), None);
        let late = format!("\"{}\\nWorking directory: /late\\n\"", "é".repeat(100_000));
        assert_eq!(find(&late).as_deref(), Some("/late"));
    }
}
