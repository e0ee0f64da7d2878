//! Which conversation a request belongs to.
//!
//! Owns: [`Sessions`]. In: the caller, the client, the request's head and the hints that `tap` read of its body; later the
//! reply. Out: a session, the anchors by which the next request finds it, how long tools took, and which prompt cache was
//! missed.
//! In this order: an id that the client states; the stored response that it continues; the history it repeats (a chain of
//! hashes); tool calls and long replies that the gateway saw. Otherwise a session begins. Identical histories are told
//! apart as well as can be: two conversations that have said the same so far wait side by side, and each next request takes
//! one. A sub-agent's requests are a session of its own below that of its parent.
//! Everything is keyed by the caller, so two people never share a session; what is told by its words alone, by the client
//! program too, since two programs may begin alike. And everything is bounded: what is old or too much is
//! forgotten, and then a conversation goes on as a new session. The whole of it, with measured error rates, is
//! docs/design/sessions.md.
//! Must not know: HTTP beyond header lines, the store.

mod cache;
mod client;
mod explicit;
mod memory;
mod state;
mod tools;

pub use client::client_of;
pub use tools::tool_server;

use crate::{
    endpoint::Endpoint,
    record::{CacheMiss, Client, SessionId, Timestamp, UsageState},
    tap::{RequestFacts, ResponseFacts, chain},
};
use cache::Caches;
use http::{HeaderMap, HeaderName};
use parking_lot::Mutex;
use state::{Context, Kind, State, anchor};

/// How long a conversation may pause and still be found by its content, in milliseconds.
const WINDOW: u64 = 24 * 3_600_000;
/// Tool calls of one reply that become anchors.
const CALL_ANCHORS: usize = 16;
/// Tool calls of one reply whose results are waited for.
const CALLS_TIMED: usize = 64;
/// Characters that a client's own id of a call must have to be an anchor.
const OWN_CALL: usize = 16;

/// The sessions of the last day.
#[derive(Debug)]
pub struct Sessions {
    state: State,
    caches: Mutex<Caches>,
}

/// A request that asks for its session.
#[derive(Clone, Copy, Debug)]
pub struct Asking<'a> {
    /// The stable key of the caller.
    pub user: &'a str,
    /// The node that it comes from.
    pub node: &'a str,
    /// The program.
    pub client: &'a Client,
    /// The route.
    pub endpoint: Endpoint,
    /// The request's head.
    pub headers: &'a HeaderMap,
    /// What was read of its body.
    pub facts: &'a RequestFacts,
    /// Header names to try before the known ones.
    pub configured: &'a [HeaderName],
    /// When it came.
    pub now: Timestamp,
}

/// Where a request belongs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Assigned {
    /// Its session; none for token counts outside a known one.
    pub session: Option<SessionId>,
    /// The session that a sub-agent's belongs to; or that this one goes back to, when this is its first request.
    pub parent: Option<SessionId>,
    /// The sub-agent whose session it is.
    pub agent: Option<String>,
    /// Whether this is the first request of the session.
    pub fresh: bool,
    /// The session's title, when this request is the first that has one.
    pub title: Option<String>,
    /// The working directory that the client states.
    pub workspace: Option<String>,
    /// For each tool result of the request: milliseconds since the reply that made the call.
    pub durations: Vec<Option<u64>>,
}

/// A request that has got its reply, or what there was of it.
#[derive(Clone, Copy, Debug)]
pub struct Answered<'a> {
    /// The stable key of the caller.
    pub user: &'a str,
    /// The program's short name.
    pub client: &'a str,
    /// The session that it was assigned to.
    pub session: SessionId,
    /// Provider and model.
    pub model: [&'a str; 2],
    /// What was read of the request.
    pub request: &'a RequestFacts,
    /// What was read of the reply.
    pub response: &'a ResponseFacts,
    /// Whether it is a whole reply: the client may send the request again otherwise.
    pub whole: bool,
    /// When the request came.
    pub started: Timestamp,
    /// When the reply ended.
    pub now: Timestamp,
}

/// What a reply taught.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Learnt {
    /// The anchors to keep with the record.
    pub anchors: Vec<u64>,
    /// The prompt cache that should have been read.
    pub cache_miss: Option<CacheMiss>,
}

/// What an earlier record says of its session.
#[derive(Clone, Debug)]
pub struct Restored {
    /// The session.
    pub session: SessionId,
    /// The record's anchors.
    pub anchors: Vec<u64>,
    /// Ids of the tool calls that its reply made.
    pub calls: Vec<String>,
    /// When it began.
    pub started: Timestamp,
    /// When it ended.
    pub ended: Timestamp,
}

impl Sessions {
    /// Remembers about `capacity` sessions, and their anchors.
    pub fn new(capacity: usize) -> Self {
        Self {
            state: State::new(capacity),
            caches: Mutex::new(Caches::new(capacity)),
        }
    }

    /// Takes up the sessions of earlier records, the oldest first.
    pub fn restore(&self, records: impl IntoIterator<Item = Restored>) {
        let state = &self.state;
        for record in records {
            let (session, started) = (record.session, record.started);
            state.known.lock().insert(session, true, started);
            state.wait(&record.anchors, session, Context::default(), started);
            let mut calls = state.calls.lock();
            for call in record.calls.iter().take(CALLS_TIMED) {
                let key = call_key(session, call);
                calls.insert(key, record.ended, record.ended);
            }
        }
    }

    /// Finds or begins the session of a request.
    pub fn assign(&self, asking: &Asking<'_>) -> Assigned {
        let (facts, now) = (asking.facts, asking.now);
        let stated = explicit::stated(asking);
        let state = &self.state;
        if !asking.endpoint.generates() {
            let stated = stated.filter(|stated| {
                let mut sessions = state.known.lock();
                sessions.get(&stated.session, now).is_some()
            });
            return stated.map_or_else(Assigned::default, |stated| Assigned {
                session: Some(stated.session),
                parent: stated.owner,
                agent: stated.agent,
                ..Assigned::default()
            });
        }
        let found = match &stated {
            Some(stated) => Some(stated.session),
            None => state.find(asking),
        };
        let session = found.unwrap_or_else(|| state.begin(asking));
        let known = {
            // In one step: of two requests at the same time, one is the session's first.
            let mut sessions = state.known.lock();
            let known = sessions.get(&session, now).copied();
            let titled = known.unwrap_or(false) || facts.title.is_some();
            sessions.insert(session, titled, now);
            known
        };
        let fresh = known.is_none();
        let owner = stated.as_ref().and_then(|stated| stated.owner);
        let parent = owner.or_else(|| match &stated {
            _ if !fresh => None,
            // A prompt that was cancelled and given again is no copy of anything.
            Some(stated) => stated
                .forked_from
                .or_else(|| state.find(asking).filter(|_| repeats(facts))),
            None => state.quoted(asking),
        });
        let titled = known.unwrap_or(false);
        let title = facts.title.clone().filter(|_| !titled);
        let durations = facts.tool_results.iter().map(|result| {
            // Once: a request that is sent again brings the same results.
            let key = call_key(session, &result.call);
            let called = state.calls.lock().remove(&key, now)?;
            Some(now.0.saturating_sub(called.0))
        });
        Assigned {
            session: Some(session),
            parent: parent.filter(|parent| *parent != session),
            agent: stated.and_then(|stated| stated.agent),
            fresh,
            title,
            workspace: explicit::workspace(asking.headers).or_else(|| facts.workspace.clone()),
            durations: durations.collect(),
        }
    }

    /// Learns how the conversation stands after a reply, whole or not.
    ///
    /// Call it before the end of the response is passed on: the next request may follow at once.
    pub fn learn(&self, answered: &Answered<'_>) -> Learnt {
        let (user, now) = (answered.user, answered.now);
        let (request, response) = (answered.request, answered.response);
        let mut anchors = Vec::new();
        if let Some(reply) = response.reply_turn {
            let history = chain(request.session.history, reply);
            let kind = Kind::History(answered.client);
            anchors.push(anchor(user, kind, &history.to_le_bytes()));
            if response.reply_long {
                let kind = Kind::Said(answered.client);
                anchors.push(anchor(user, kind, &reply.to_le_bytes()));
            }
        }
        if !answered.whole {
            let kind = Kind::Ask(answered.client, request.session.has_tools);
            anchors.push(anchor(user, kind, &request.session.history.to_le_bytes()));
        }
        if let Some(id) = &response.response_id {
            anchors.push(anchor(user, Kind::Response, id.as_bytes()));
        }
        let calls = || {
            let calls = response.tools.iter();
            calls.filter(|tool| tool.result_error.is_none() && !tool.call.is_empty())
        };
        for tool in calls().take(CALL_ANCHORS) {
            anchors.push(anchor(user, Kind::Call, tool.call.as_bytes()));
        }
        // A client's own ids are first seen in requests; short ones are counters, which every conversation has.
        let own = |call: &&String| request.session.client_calls && call.len() >= OWN_CALL;
        for call in request.session.calls.iter().filter(own).take(CALL_ANCHORS) {
            let anchor = anchor(user, Kind::Call, call.as_bytes());
            if !anchors.contains(&anchor) {
                anchors.push(anchor);
            }
        }
        let (session, context) = (answered.session, Context::of(&request.prefix));
        self.state.wait(&anchors, session, context, now);
        for tool in calls().take(CALLS_TIMED) {
            let key = call_key(session, &tool.call);
            self.state.calls.lock().insert(key, now, now);
        }
        Learnt {
            anchors,
            cache_miss: self.watch(answered),
        }
    }

    /// Holds the usage against the prompt before.
    fn watch(&self, answered: &Answered<'_>) -> Option<CacheMiss> {
        let response = answered.response;
        let counted = matches!(
            response.usage_state,
            UsageState::Reported | UsageState::Partial
        );
        if !counted || response.usage.input_all() == 0 {
            return None;
        }
        let [provider, model] = answered.model.map(str::as_bytes);
        let prompt = cache::Prompt {
            model: explicit::key(&[provider, model]),
            prefix: &answered.request.prefix,
            usage: &response.usage,
            started: answered.started,
            now: answered.now,
        };
        self.caches.lock().see(answered.session, prompt)
    }
}

/// Whether a request goes on from something that was answered.
fn repeats(facts: &RequestFacts) -> bool {
    let hints = &facts.session;
    hints.previous_response.is_some() || !hints.replies.is_empty()
}

fn call_key(session: SessionId, call: &str) -> u64 {
    explicit::key(&[&session.0.to_le_bytes(), call.as_bytes()])
}

#[cfg(test)]
mod captures;
#[cfg(test)]
mod generated;
#[cfg(test)]
mod tests;
