//! The prefix of a prompt, as short hashes: what a provider's prompt cache would compare.
//!
//! Owns: [`Prefix`] and its collector. In: the raw tools, system prompt and messages of a request. Out: a hash of each,
//! which the next request's are held against. Providers compare what they make of the bytes, so bytes count here, other
//! than in `turn`; but cache marks move from message to message, and a text and a list of just that text are the same
//! prompt: neither makes a difference.
//! Must not know: dialects, what is cached for how long.

use super::json::{self, Raw};
use foldhash::quality::{FixedState, FoldHasher};
use std::hash::{BuildHasher as _, Hasher as _};

/// Messages of a request that are told apart; later ones are not compared.
const MESSAGES: usize = 1024;
/// Nested lists that are looked through for cache marks.
const DEPTH: usize = 3;
/// Members that only say what is to be cached.
const MARKS: [&str; 2] = ["cache_control", "cachePoint"];

/// The parts of a prompt in the order in which caches compare them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Prefix {
    /// The tools that are offered.
    pub tools: u32,
    /// The system prompt: its own member, and system messages before everything else.
    pub system: u32,
    /// The messages.
    pub messages: Vec<u32>,
}

impl Prefix {
    /// The tools.
    pub(super) fn set_tools(&mut self, raw: Raw<'_>) {
        self.tools = hash(raw);
    }

    /// A system prompt outside the messages.
    pub(super) fn set_system(&mut self, raw: Raw<'_>) {
        self.system = fold(self.system, hash(raw));
    }

    /// The next message.
    pub(super) fn message(&mut self, raw: Raw<'_>) {
        if self.messages.len() == MESSAGES {
            return;
        }
        let hash = hash(raw);
        let role = json::get(raw, "role").and_then(json::string);
        if self.messages.is_empty() && matches!(role.as_deref(), Some("system" | "developer")) {
            self.system = fold(self.system, hash);
        } else {
            self.messages.push(hash);
        }
    }
}

/// Quick, and good enough: these hashes stay in memory, and only hold one caller's requests against each other.
fn hasher() -> FoldHasher<'static> {
    FixedState::default().build_hasher()
}

fn short(hasher: &FoldHasher<'_>) -> u32 {
    let [a, b, c, d, ..] = hasher.finish().to_le_bytes();
    u32::from_le_bytes([a, b, c, d])
}

/// One hash of two; order counts.
fn fold(before: u32, next: u32) -> u32 {
    let mut hasher = hasher();
    hasher.write(&before.to_le_bytes());
    hasher.write(&next.to_le_bytes());
    short(&hasher)
}

fn hash(raw: Raw<'_>) -> u32 {
    let mut hasher = hasher();
    value(&mut hasher, raw, DEPTH);
    short(&hasher)
}

fn value(hasher: &mut FoldHasher<'_>, raw: Raw<'_>, depth: usize) {
    if depth == 0 || !raw.get().starts_with(['{', '[']) {
        hasher.write(raw.get().as_bytes());
        return;
    }
    if json::is_object(raw) {
        json::members(raw, |key, member| {
            if MARKS.contains(&key) {
                return;
            }
            hasher.write(key.as_bytes());
            hasher.write(&[0]);
            if key == "content" || key == "system" || key == "parts" {
                content(hasher, member, depth);
            } else {
                hasher.write(member.get().as_bytes());
            }
            hasher.write(&[1]);
        });
    } else {
        content(hasher, raw, depth);
    }
}

/// A text, or a list of parts: a text alone is a list of one.
fn content(hasher: &mut FoldHasher<'_>, raw: Raw<'_>, depth: usize) {
    if !raw.get().starts_with('[') {
        text(hasher, raw);
        return;
    }
    json::elements(raw, |part| match only_text(part) {
        Part::Text(said) => text(hasher, said),
        Part::Mark => {}
        Part::Other => {
            hasher.write(&[3]);
            value(hasher, part, depth - 1);
        }
    });
}

fn text(hasher: &mut FoldHasher<'_>, raw: Raw<'_>) {
    hasher.write(&[2]);
    hasher.write(raw.get().as_bytes());
}

enum Part<'a> {
    Text(Raw<'a>),
    /// Nothing but a cache mark.
    Mark,
    Other,
}

/// What a part is, cache marks aside.
fn only_text(part: Raw<'_>) -> Part<'_> {
    let (mut said, mut marks, mut others) = (None, 0, 0);
    json::members(part, |key, value| match key {
        "text" => said = Some(value),
        "type" if value.get() == "\"text\"" => {}
        mark if MARKS.contains(&mark) => marks += 1,
        _ => others += 1,
    });
    match said {
        Some(said) if others == 0 => Part::Text(said),
        None if others == 0 && marks > 0 => Part::Mark,
        _ => Part::Other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(text: &str) -> u32 {
        hash(json::parse(text).unwrap())
    }

    #[test]
    fn moved_marks_and_lists_of_one_text_make_no_difference() {
        let plain = message(r#"{"role":"user","content":"hi"}"#);
        for same in [
            r#"{"role":"user","content":[{"type":"text","text":"hi"}]}"#,
            r#"{"role":"user","content":[{"type":"text","text":"hi","cache_control":{"type":"ephemeral"}}]}"#,
            r#"{"role":"user","cache_control":{"type":"ephemeral"},"content":"hi"}"#,
            r#"{"role":"user","content":[{"text":"hi"},{"cachePoint":{"type":"default"}}]}"#,
        ] {
            assert_eq!(message(same), plain, "{same}");
        }
        for other in [
            r#"{"role":"user","content":"hi "}"#,
            r#"{"role":"assistant","content":"hi"}"#,
            r#"{"role":"user","content":[{"type":"text","text":"h"},{"type":"text","text":"i"}]}"#,
            r#"{"role":"user","content":[{"type":"image","text":"hi"}]}"#,
        ] {
            assert_ne!(message(other), plain, "{other}");
        }
        let result = |mark: &str| {
            message(&format!(
                r#"{{"role":"user","content":[{{"type":"tool_result","tool_use_id":"t","content":[{{"type":"text","text":"r"{mark}}}]}}]}}"#
            ))
        };
        assert_eq!(
            result(""),
            result(r#","cache_control":{"type":"ephemeral"}"#)
        );
    }

    #[test]
    fn system_messages_at_the_beginning_are_the_system_prompt() {
        let mut prefix = Prefix::default();
        for text in [
            r#"{"role":"system","content":"s"}"#,
            r#"{"role":"developer","content":"d"}"#,
            r#"{"role":"user","content":"u"}"#,
            r#"{"role":"system","content":"s"}"#,
        ] {
            prefix.message(json::parse(text).unwrap());
        }
        assert_eq!(prefix.messages.len(), 2);
        assert_ne!(prefix.system, 0);
    }
}
