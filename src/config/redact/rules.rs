//! Which texts of a document are secrets.
//!
//! Owns: the judgement by key name, by place, and by looks. It covers keys of the product that this version does not
//! implement, and errs on the side of hiding. In: a text and its place. Out: what may be shown.
//! Must not know: positions.

use super::PLACEHOLDER;
use crate::config::secrets::{Reference, has_key_prefix, is_plain_word, is_variable_name};

/// Where a value stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Context {
    /// Nowhere special.
    Plain,
    /// Under a key that names a secret.
    Secret,
    /// A provider's `authorization` in the string form: a scheme's name, unless someone mistook it.
    Scheme,
    /// Within an `authorization` object: all but a few keys are secrets.
    Authorization,
    /// A header line.
    Header,
    /// An address, which may hold a password or a query.
    Address,
    /// Within the settings of a collector, whose header lines are secrets.
    Collector,
}

/// Keys of an `authorization` object that hold no secret.
const OPEN_AUTHORIZATION: [&str; 9] = [
    "type", "region", "profile", "role_arn", "endpoint", "project", "name", "in", "username",
];
/// Parts of key names that mean a secret.
const SECRET_NAMES: [&str; 8] = [
    "apikey",
    "secret",
    "password",
    "passwd",
    "token",
    "keyfile",
    "credential",
    "privatekey",
];
/// Shortest text that counts as a key by its looks.
const KEY_LENGTH: usize = 16;

impl Context {
    /// The context of a member.
    pub(super) fn inside(self, key: &str, object: bool) -> Self {
        match self {
            Self::Secret => Self::Secret,
            Self::Authorization if !OPEN_AUTHORIZATION.contains(&key) => Self::Secret,
            Self::Collector if key == "headers" => Self::Secret,
            _ if names_secret(key) => Self::Secret,
            _ => match key {
                "authorization" | "auth" if object => Self::Authorization,
                "authorization" => Self::Scheme,
                "otlp" if object => Self::Collector,
                "add_headers" => Self::Header,
                "baseurl" | "url" | "endpoint" => Self::Address,
                _ => Self::Plain,
            },
        }
    }
}

/// Whether a key names a secret.
fn names_secret(key: &str) -> bool {
    let plain: String = key
        .chars()
        .filter(char::is_ascii_alphanumeric)
        .map(|letter| letter.to_ascii_lowercase())
        .collect();
    plain == "key" || SECRET_NAMES.iter().any(|name| plain.contains(name))
}

/// A value as it may be shown; none = not at all.
pub(super) fn shown(value: &str, context: Context) -> Option<String> {
    match context {
        Context::Secret => (value.is_empty() || is_reference(value)).then(|| value.to_owned()),
        Context::Scheme => {
            let scheme = is_plain_word(value) || value.eq_ignore_ascii_case("aws-sigv4");
            scheme.then(|| value.to_owned())
        }
        Context::Header => Some(match value.split_once(':') {
            Some((_, text)) if text.trim().is_empty() => value.to_owned(),
            Some((name, _)) => format!("{name}: {PLACEHOLDER}"),
            None => return None,
        }),
        Context::Address => Some(address(value)),
        Context::Plain | Context::Authorization | Context::Collector => {
            (!value.contains("PRIVATE KEY")).then(|| value.to_owned())
        }
    }
}

/// The secret within a value: of a header line, what follows the name.
pub(super) fn secret_part(value: &str) -> &str {
    match value.split_once(": ") {
        Some((_, secret)) => secret.trim(),
        None => value.trim(),
    }
}

/// Whether a text only points at a secret.
pub(super) fn is_reference(text: &str) -> bool {
    let name = match Reference::parse(text) {
        Some(Reference::Env(name)) => {
            return is_variable_name(name);
        }
        Some(Reference::File(name)) => name,
        None => return false,
    };
    name.len() <= 128
        && name
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"._-/".contains(&byte))
}

/// An address without user, password and query.
fn address(value: &str) -> String {
    let (head, query) = value
        .find(['?', '#'])
        .map_or((value, ""), |at| value.split_at(at));
    let start = head.find("://").map_or(0, |at| at + 3);
    let end = head[start..].find('/').map_or(head.len(), |at| start + at);
    let mut out = head.to_owned();
    if let Some(at) = head[start..end].rfind('@') {
        out.replace_range(start..start + at, PLACEHOLDER);
    }
    if query.len() > 1 {
        out.push_str(&query[..1]);
        out.push_str(PLACEHOLDER);
    } else {
        out.push_str(query);
    }
    out
}

/// Hides known secrets, and what looks like a key.
pub(super) fn scrub<'a>(text: &str, secrets: impl Iterator<Item = &'a &'a str>) -> String {
    let mut out = text.to_owned();
    for secret in secrets {
        if out.contains(*secret) && !PLACEHOLDER.contains(*secret) {
            out = out.replace(*secret, PLACEHOLDER);
        }
    }
    let mut from = 0;
    while let Some(range) = key_like(&out, from) {
        out.replace_range(range.clone(), PLACEHOLDER);
        from = range.start + PLACEHOLDER.len();
    }
    out
}

/// The next word that begins like a well-known service's key.
fn key_like(text: &str, from: usize) -> Option<std::ops::Range<usize>> {
    let in_word = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    let bytes = text.as_bytes();
    let mut at = from;
    while at < bytes.len() {
        if !in_word(bytes[at]) {
            at += 1;
            continue;
        }
        let end = bytes[at..]
            .iter()
            .position(|&byte| !in_word(byte))
            .map_or(bytes.len(), |length| at + length);
        let word = &text[at..end];
        if word.len() >= KEY_LENGTH && has_key_prefix(word) {
            return Some(at..end);
        }
        at = end;
    }
    None
}

/// Hides secrets in a comment, where whole lines of a document may stand.
pub(super) fn scrub_comment<'a>(
    comment: &str,
    secrets: impl Iterator<Item = &'a &'a str>,
) -> String {
    let text = scrub(comment, secrets);
    // Quoted texts are every second piece; one that follows a secret's name and a colon is a secret.
    let pieces: Vec<&str> = text.split('"').collect();
    let mut out = String::with_capacity(text.len());
    for (index, piece) in pieces.iter().enumerate() {
        if index > 0 {
            out.push('"');
        }
        let follows = index >= 2
            && pieces[index - 1].trim() == ":"
            && (names_secret(pieces[index - 2]) || pieces[index - 2] == "value");
        if follows && !piece.is_empty() && !is_reference(piece) {
            out.push_str(PLACEHOLDER);
        } else {
            out.push_str(piece);
        }
    }
    out
}
