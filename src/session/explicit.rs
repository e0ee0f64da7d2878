//! What clients state of the session themselves.
//!
//! Owns: the list of header lines that carry a session id, what names a sub-agent and who started it, and the keys made of
//! them. In: header lines and the ids of the body. Out: a session id that depends on the caller and the client too, since
//! some programs number their sessions by day.
//! A sub-agent has a session of its own, whose parent is the session (or the sub-agent) that it belongs to.

use super::Asking;
use crate::{
    record::SessionId,
    tap::{SessionHints, first64},
};
use http::HeaderMap;
use serde_json::Value;

/// Header lines with a session id, the first wins; then the body's.
const HEADERS: [&str; 15] = [
    "x-claude-code-session-id",
    SESSION[0],
    SESSION[1],
    THREAD,
    "x-session-id",
    "x-session-affinity",
    NUMBERED,
    "x-affinity",
    "x-mux-workspace-id",
    "x-client-session-id",
    "x-kilocode-taskid",
    "conversation_id",
    "conversation-id",
    // Of one exchange in some versions, of the conversation in others: last.
    "x-interaction-id",
    BEDROCK,
];

/// Codex: the session, and the thread within it.
const SESSION: [&str; 2] = ["session-id", "session_id"];
const THREAD: &str = "thread-id";
/// Goose counts its sessions by day, on every machine from one.
const NUMBERED: &str = "agent-session-id";
/// A JSON object, of which a member may name the session.
const BEDROCK: &str = "x-amzn-bedrock-request-metadata";

/// Claude Code's sub-agent, and the sub-agent that started it.
const AGENT: &str = "x-claude-code-agent-id";
const PARENT_AGENT: &str = "x-claude-code-parent-agent-id";
/// The thread that started this one, and the one that it was copied from (Codex).
const PARENT_THREAD: &str = "x-codex-parent-thread-id";
const FORKED_THREAD: &str = "x-codex-forked-from-thread-id";
/// The kind of sub-agent (Codex).
const SUBAGENT: &str = "x-openai-subagent";
/// The session that started this one (`OpenCode`, Kilo).
const PARENT_SESSION: &str = "x-parent-session-id";

/// Clients whose `prompt_cache_key` is the session's id.
const KEYED: [&str; 6] = ["codex", "opencode", "kilo", "pi", "copilot-cli", "continue"];

/// Bytes of an id; a longer one is none.
const ID: usize = 256;
/// Bytes of a head line with a JSON object.
const JSON: usize = 16 << 10;

/// What a request states.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Stated {
    /// Its session.
    pub(super) session: SessionId,
    /// The session it belongs to: it is a sub-agent's.
    pub(super) owner: Option<SessionId>,
    /// The session that it was copied from.
    pub(super) forked_from: Option<SessionId>,
    /// The sub-agent, as the client names it.
    pub(super) agent: Option<String>,
}

/// Reads a request.
pub(super) fn stated(asking: &Asking<'_>) -> Option<Stated> {
    let (headers, hints) = (asking.headers, &asking.facts.session);
    let id = id(asking)?;
    let of = |id: &str| session(asking, id);
    let alone = Stated {
        session: of(&id),
        owner: None,
        forked_from: line(headers, FORKED_THREAD).map(of),
        agent: None,
    };
    if let Some(agent) = line(headers, AGENT) {
        let of_agent = |agent: &str| of(&format!("{id}\nagent\n{agent}"));
        let parent = line(headers, PARENT_AGENT).filter(|parent| *parent != agent);
        return Some(Stated {
            session: of_agent(agent),
            owner: Some(parent.map_or(alone.session, of_agent)),
            agent: Some(agent.to_owned()),
            ..alone
        });
    }
    let kind = line(headers, SUBAGENT).or(hints.subagent.as_deref());
    let thread = line(headers, THREAD).or(hints.thread.as_deref());
    let thread = thread.filter(|thread| *thread != id && is_session(headers, hints, &id));
    let own = thread.unwrap_or(&id);
    let parent = line(headers, PARENT_THREAD)
        .or(hints.parent_thread.as_deref())
        .or_else(|| line(headers, PARENT_SESSION))
        .filter(|parent| *parent != own)
        // A copy of a thread belongs to nobody.
        .filter(|_| alone.forked_from.is_none() || kind.is_some());
    let owner = parent.or((thread.is_some() && alone.forked_from.is_none()).then_some(id.as_str()));
    Some(Stated {
        session: of(own),
        owner: owner.map(of),
        agent: owner.map(|_| kind.unwrap_or(own).to_owned()),
        ..alone
    })
}

/// Whether that id is Codex's of a session.
fn is_session(headers: &HeaderMap, hints: &SessionHints, id: &str) -> bool {
    SESSION.iter().any(|name| line(headers, name) == Some(id))
        || hints.thread.is_some() && hints.explicit.iter().any(|stated| stated == id)
}

fn id(asking: &Asking<'_>) -> Option<String> {
    let (headers, hints) = (asking.headers, &asking.facts.session);
    let configured = asking.configured.iter();
    configured
        .filter_map(|name| line(headers, name.as_str()))
        .map(str::to_owned)
        .next()
        .or_else(|| HEADERS.iter().find_map(|name| by_header(asking, name)))
        .or_else(|| hints.explicit.iter().find(|id| id.len() <= ID).cloned())
        .or_else(|| {
            let key = hints.cache_key.as_deref()?;
            let known = KEYED.contains(&asking.client.name.as_str());
            (key.len() <= ID && (known || is_unique(key))).then(|| key.to_owned())
        })
}

fn by_header(asking: &Asking<'_>, name: &str) -> Option<String> {
    match name {
        NUMBERED => Some(format!("{}\n{}", line(asking.headers, name)?, asking.node)),
        BEDROCK => {
            let metadata = json(asking.headers, name)?;
            let mut members = metadata.as_object()?.iter();
            let (_, session) = members.find(|(key, _)| {
                let beginning = key.get(..7);
                beginning.is_some_and(|name| name.eq_ignore_ascii_case("session"))
            })?;
            let id = session.as_str()?;
            (!id.is_empty() && id.len() <= ID).then(|| id.to_owned())
        }
        _ => line(asking.headers, name).map(str::to_owned),
    }
}

/// Whether a key is made up for one conversation: applications also use one for all that share a prompt. Such a key has
/// sixteen characters in a row, of which some are letters and some digits, or is a UUID.
fn is_unique(key: &str) -> bool {
    key.split(|c: char| !c.is_ascii_alphanumeric() && c != '-')
        .any(|run| {
            let count = |kind: fn(&u8) -> bool| run.as_bytes().iter().filter(|c| kind(c)).count();
            let (digits, letters) = (count(u8::is_ascii_digit), count(u8::is_ascii_alphabetic));
            run.len() >= 16 && digits >= 4 && letters >= 1
        })
}

/// The first workspace that Codex's head states.
pub(super) fn workspace(headers: &HeaderMap) -> Option<String> {
    let metadata = json(headers, "x-codex-turn-metadata")?;
    let (path, _) = metadata.get("workspaces")?.as_object()?.iter().next()?;
    (!path.is_empty() && path.len() <= ID).then(|| path.clone())
}

fn json(headers: &HeaderMap, name: &str) -> Option<Value> {
    let text = headers.get(name)?.to_str().ok()?;
    (text.len() <= JSON)
        .then(|| serde_json::from_str(text).ok())
        .flatten()
}

fn line<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    let value = headers.get(name)?.to_str().ok()?.trim();
    (!value.is_empty() && value.len() <= ID).then_some(value)
}

/// The session of an id.
fn session(asking: &Asking<'_>, id: &str) -> SessionId {
    let parts = [
        asking.user.as_bytes(),
        b"session",
        asking.client.name.as_bytes(),
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

/// The parts of nearly every key, with their lengths, fit in here.
const PIECE: usize = 256;

fn hash(parts: &[&[u8]]) -> blake3::Hash {
    // In one piece: for so few bytes, feeding them one by one takes as long as the hash itself.
    let mut piece = [0; PIECE];
    let mut room = piece.as_mut_slice();
    for part in parts {
        let Some((own, rest)) = room.split_at_mut_checked(8 + part.len()) else {
            return hash_large(parts);
        };
        let (length, bytes) = own.split_at_mut(8);
        length.copy_from_slice(&(part.len() as u64).to_le_bytes());
        bytes.copy_from_slice(part);
        room = rest;
    }
    let left = room.len();
    blake3::hash(&piece[..PIECE - left])
}

/// The same of parts of any size: ids in a body may be as long as the body.
fn hash_large(parts: &[&[u8]]) -> blake3::Hash {
    let mut hasher = blake3::Hasher::new();
    for part in parts {
        hasher.update(&(part.len() as u64).to_le_bytes());
        hasher.update(part);
    }
    hasher.finalize()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_in_one_piece_is_that_of_its_parts_one_by_one() {
        for size in [0, 1, 17, PIECE - 25, PIECE - 24, PIECE - 23, PIECE, 10_000] {
            let long = vec![b'x'; size];
            for parts in [[&b"a"[..], &long], [&long, b"a"], [b"", &long]] {
                assert_eq!(hash(&parts), hash_large(&parts), "{size}");
            }
        }
        assert_eq!(hash(&[]), hash_large(&[]));
        assert_ne!(hash(&[b"ab", b"c"]), hash(&[b"a", b"bc"]));
    }
}
