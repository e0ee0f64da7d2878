//! Which conversation a request belongs to.
//!
//! Owns: [`Sessions`]. In: the caller, the client, the request's head and the hints that `tap` read of its body; later the
//! reply. Out: a session, and the anchors by which the next request finds it.
//! In this order: an id that the client states; the stored response that it continues; the history it repeats (a chain of
//! hashes); tool calls that the gateway saw in a reply. Otherwise a session begins. Identical histories are told apart as
//! well as can be: two conversations that have said the same so far wait side by side, and each next request takes one.
//! Everything is keyed by the caller, so two people never share a session; what is told by its words alone, by the client
//! program too, since two programs may begin alike. And everything is bounded: what is old or too much is
//! forgotten, and then a conversation goes on as a new session.
//! Must not know: HTTP beyond header lines, the store.

mod client;
mod explicit;
mod memory;

pub use client::client_of;

use crate::{
    endpoint::Endpoint,
    record::{Client, SessionId, Timestamp},
    tap::{RequestFacts, ResponseFacts, SessionHints, chain},
};
use http::{HeaderMap, HeaderName};
use memory::Recent;
use parking_lot::Mutex;

/// How long a conversation may pause and still be found by its content, in milliseconds.
const WINDOW: u64 = 24 * 3_600_000;
/// How long a title call waits for its sibling, in milliseconds.
const SIBLING: u64 = 10_000;
/// Sessions that may wait at one point of the same history.
const TWINS: usize = 8;
/// Prefixes of a history that are looked up, the longest first.
const PREFIXES: usize = 64;
/// Tool calls of one reply that become anchors.
const CALL_ANCHORS: usize = 16;

/// The sessions of the last day.
#[derive(Debug)]
pub struct Sessions {
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    /// Sessions that requests were seen of, and whether they have a title.
    known: Recent<SessionId, bool>,
    /// Where conversations stand, and by what else they are found.
    anchors: Recent<u64, Vec<Waiting>>,
    /// Requests of one user turn that wait for their sibling.
    prompts: Recent<u64, Vec<Prompt>>,
}

/// A session that an anchor names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Waiting {
    session: SessionId,
    /// A request has gone on from here.
    taken: bool,
}

/// A request of one user turn.
#[derive(Clone, Copy, Debug)]
struct Prompt {
    session: SessionId,
    has_tools: bool,
    at: Timestamp,
}

/// Where a request belongs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Assigned {
    /// Its session; none for token counts outside a known one.
    pub session: Option<SessionId>,
    /// The session that this one was forked from, when this is its first request.
    pub parent: Option<SessionId>,
    /// The sub-agent within the session.
    pub agent: Option<String>,
    /// Whether this is the first request of the session.
    pub fresh: bool,
    /// The session's title, when this request is the first that has one.
    pub title: Option<String>,
}

impl Sessions {
    /// Remembers about `capacity` sessions, and their anchors.
    pub fn new(capacity: usize) -> Self {
        Self {
            state: Mutex::new(State {
                known: Recent::new(capacity),
                anchors: Recent::new(capacity.saturating_mul(16)),
                prompts: Recent::new(capacity),
            }),
        }
    }

    /// Takes up the sessions of earlier records, the oldest first: session, anchors, time.
    pub fn restore(&self, records: impl IntoIterator<Item = (SessionId, Vec<u64>, Timestamp)>) {
        let mut state = self.state.lock();
        for (session, anchors, at) in records {
            state.known.insert(session, true, at);
            for anchor in anchors {
                state.wait(anchor, session, at);
            }
        }
    }

    /// Finds or begins the session of a request. `configured` are header names to try before the known ones.
    #[expect(
        clippy::too_many_arguments,
        reason = "one call per request, each argument a different thing"
    )]
    pub fn assign(
        &self,
        user: &str,
        client: &Client,
        endpoint: Endpoint,
        headers: &HeaderMap,
        facts: &RequestFacts,
        configured: &[HeaderName],
        now: Timestamp,
    ) -> Assigned {
        let hints = &facts.session;
        let agent = explicit::agent(headers);
        let stated = explicit::id(headers, configured, hints)
            .map(|id| explicit::session(user, &client.name, &id));
        let mut state = self.state.lock();
        if !endpoint.generates() {
            let session = stated.filter(|session| state.known.get(session, now).is_some());
            return Assigned {
                session,
                agent: agent.filter(|_| session.is_some()),
                ..Assigned::default()
            };
        }
        let session = match stated {
            Some(session) => session,
            None => state
                .find(user, &client.name, hints, now)
                .unwrap_or_else(|| state.begin(user, &client.name, hints, now)),
        };
        let known = state.known.get(&session, now).copied();
        let fresh = known.is_none();
        let parent = if fresh && stated.is_some() {
            state.find(user, &client.name, hints, now)
        } else {
            None
        };
        let untitled = !known.unwrap_or(false) && agent.is_none();
        let title = facts.title.clone().filter(|_| untitled);
        let titled = known.unwrap_or(false) || title.is_some();
        state.known.insert(session, titled, now);
        Assigned {
            session: Some(session),
            parent,
            agent,
            fresh,
            title,
        }
    }

    /// Learns how the conversation stands after a reply, complete or not; returns the anchors to keep with the record.
    ///
    /// Call it before the end of the response is passed on: the next request may follow at once.
    pub fn learn(
        &self,
        user: &str,
        client: &str,
        session: SessionId,
        request: &RequestFacts,
        response: &ResponseFacts,
        now: Timestamp,
    ) -> Vec<u64> {
        let mut anchors = Vec::new();
        if let Some(reply) = response.reply_turn {
            let history = chain(request.session.history, reply);
            anchors.push(anchor(user, Kind::History(client), &history.to_le_bytes()));
        }
        if let Some(id) = &response.response_id {
            anchors.push(anchor(user, Kind::Response, id.as_bytes()));
        }
        for tool in response.tools.iter().take(CALL_ANCHORS) {
            if !tool.call.is_empty() {
                anchors.push(anchor(user, Kind::Call, tool.call.as_bytes()));
            }
        }
        let mut state = self.state.lock();
        for anchor in &anchors {
            state.wait(*anchor, session, now);
        }
        anchors
    }
}

impl State {
    /// The session whose conversation the request continues.
    fn find(
        &mut self,
        user: &str,
        client: &str,
        hints: &SessionHints,
        now: Timestamp,
    ) -> Option<SessionId> {
        if let Some(id) = &hints.previous_response {
            let found = self.only(anchor(user, Kind::Response, id.as_bytes()), now);
            if found.is_some() {
                return found;
            }
        }
        let by_call = hints
            .calls
            .iter()
            .find_map(|id| self.only(anchor(user, Kind::Call, id.as_bytes()), now));
        let mut histories = hints
            .replies
            .iter()
            .rev()
            .take(PREFIXES)
            .map(|history| anchor(user, Kind::History(client), &history.to_le_bytes()));
        // The same words exactly are better evidence than the name of a call, which some servers use again and again.
        if let Some(found) = histories
            .next()
            .and_then(|whole| self.take(whole, by_call, now))
        {
            return Some(found);
        }
        by_call.or_else(|| histories.find_map(|part| self.passed(part, now)))
    }

    /// The session of an anchor that names just one.
    fn only(&mut self, anchor: u64, now: Timestamp) -> Option<SessionId> {
        match self.anchors.get(&anchor, now)?.as_slice() {
            [waiting] => Some(waiting.session),
            _ => None,
        }
    }

    /// One of the sessions that wait at the end of a history: the preferred one, else one that has not gone on, else the
    /// newest.
    fn take(
        &mut self,
        anchor: u64,
        preferred: Option<SessionId>,
        now: Timestamp,
    ) -> Option<SessionId> {
        let waiting = self.anchors.get(&anchor, now)?;
        let at = waiting
            .iter()
            .position(|one| Some(one.session) == preferred)
            .or_else(|| waiting.iter().position(|one| !one.taken))
            .or_else(|| waiting.len().checked_sub(1))?;
        waiting[at].taken = true;
        Some(waiting[at].session)
    }

    /// The newest session that came by the middle of a history.
    fn passed(&mut self, anchor: u64, now: Timestamp) -> Option<SessionId> {
        let waiting = self.anchors.get(&anchor, now)?;
        let gone_on = waiting.iter().rev().find(|one| one.taken);
        Some(gone_on.or(waiting.last())?.session)
    }

    /// Lets a session wait at a point.
    fn wait(&mut self, anchor: u64, session: SessionId, now: Timestamp) {
        let mut waiting = self
            .anchors
            .get(&anchor, now)
            .map(std::mem::take)
            .unwrap_or_default();
        waiting.retain(|one| one.session != session);
        if waiting.len() == TWINS {
            waiting.remove(0);
        }
        waiting.push(Waiting {
            session,
            taken: false,
        });
        self.anchors.insert(anchor, waiting, now);
    }

    /// A session for a request that continues nothing.
    ///
    /// A program that asks for a title sends the same prompt twice, once without tools: such a pair is one session. The
    /// same prompt in the same form is another conversation.
    fn begin(
        &mut self,
        user: &str,
        client: &str,
        hints: &SessionHints,
        now: Timestamp,
    ) -> SessionId {
        let new = SessionId(uuid::Uuid::now_v7().as_u128());
        let Some(prompt) = hints.first_prompt else {
            return new;
        };
        let key = explicit::key(&[
            user.as_bytes(),
            b"prompt",
            client.as_bytes(),
            &prompt.to_le_bytes(),
        ]);
        let mut waiting = self
            .prompts
            .get(&key, now)
            .map(std::mem::take)
            .unwrap_or_default();
        waiting.retain(|prompt| now.0.saturating_sub(prompt.at.0) <= SIBLING);
        let sibling = waiting
            .iter()
            .position(|prompt| prompt.has_tools != hints.has_tools);
        let session = if let Some(at) = sibling {
            waiting.remove(at).session
        } else {
            if waiting.len() == TWINS {
                waiting.remove(0);
            }
            waiting.push(Prompt {
                session: new,
                has_tools: hints.has_tools,
                at: now,
            });
            new
        };
        self.prompts.insert(key, waiting, now);
        session
    }
}

/// What an anchor stands for.
#[derive(Clone, Copy, Debug)]
enum Kind<'a> {
    /// A history up to a reply, at a client.
    History(&'a str),
    /// A stored response.
    Response,
    /// A tool call.
    Call,
}

fn anchor(user: &str, kind: Kind<'_>, value: &[u8]) -> u64 {
    let (word, client) = match kind {
        Kind::History(client) => ("history", client),
        Kind::Response => ("response", ""),
        Kind::Call => ("call", ""),
    };
    explicit::key(&[user.as_bytes(), word.as_bytes(), client.as_bytes(), value])
}

#[cfg(test)]
mod captures;
#[cfg(test)]
mod tests;
