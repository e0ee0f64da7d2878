//! Session ids that clients state.
//!
//! Owns: the list of header lines that carry one, and the keys made of them. In: header lines and the ids of the body.
//! Out: a session id that depends on the caller and the client too, since some programs number their sessions by day.

use crate::{
    record::SessionId,
    tap::{SessionHints, first64},
};
use http::{HeaderMap, HeaderName};

/// Header lines with a session id, the first wins; then the body's.
const HEADERS: [&str; 10] = [
    "x-claude-code-session-id",
    "session-id",
    "session_id",
    "thread-id",
    "x-session-id",
    "x-session-affinity",
    "agent-session-id",
    "x-affinity",
    "conversation_id",
    "conversation-id",
];

/// The header line by which Claude Code names a sub-agent.
const AGENT: &str = "x-claude-code-agent-id";

/// Bytes of an id; a longer one is none.
const ID: usize = 256;

/// The id that the request states.
pub(super) fn id(
    headers: &HeaderMap,
    configured: &[HeaderName],
    hints: &SessionHints,
) -> Option<String> {
    configured
        .iter()
        .find_map(|name| line(headers, name.as_str()))
        .or_else(|| HEADERS.iter().find_map(|name| line(headers, name)))
        .map(str::to_owned)
        .or_else(|| hints.explicit.iter().find(|id| id.len() <= ID).cloned())
}

/// The sub-agent that the request states.
pub(super) fn agent(headers: &HeaderMap) -> Option<String> {
    line(headers, AGENT).map(str::to_owned)
}

fn line<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    let value = headers.get(name)?.to_str().ok()?.trim();
    (!value.is_empty() && value.len() <= ID).then_some(value)
}

/// The session of an id.
pub(super) fn session(user: &str, client: &str, id: &str) -> SessionId {
    let parts = [
        user.as_bytes(),
        b"session",
        client.as_bytes(),
        id.as_bytes(),
    ];
    let mut first = [0; 16];
    first.copy_from_slice(&hash(&parts).as_bytes()[..16]);
    SessionId(u128::from_be_bytes(first))
}

/// A key of some parts; none of them can pass for another.
pub(super) fn key(parts: &[&[u8]]) -> u64 {
    first64(&hash(parts))
}

fn hash(parts: &[&[u8]]) -> blake3::Hash {
    let mut hasher = blake3::Hasher::new();
    for part in parts {
        hasher.update(&(part.len() as u64).to_le_bytes());
        hasher.update(part);
    }
    hasher.finalize()
}
