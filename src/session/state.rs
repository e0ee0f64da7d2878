//! How a conversation is found by what it says.
//!
//! Owns: [`State`], the index of anchors, and the order in which evidence counts. In: hints of requests, anchors of
//! replies. Out: the session that a request goes on with.
//! Must not know: header lines, what the hashes are made of.

use super::{Asking, explicit, memory::Recent};
use crate::{
    record::{SessionId, Timestamp},
    tap::Prefix,
};
use parking_lot::Mutex;

/// How long a title call waits for its sibling, in milliseconds.
pub(super) const SIBLING: u64 = 10_000;
/// How long a first request that failed waits to be repeated, in milliseconds.
pub(super) const REPEAT: u64 = 120_000;
/// Sessions that may wait at one point of the same history.
pub(super) const TWINS: usize = 8;
/// Prefixes of a history that are looked up, the longest first.
const PREFIXES: usize = 64;

/// What is known of the sessions of the last day.
///
/// Every request passes here, so each map is locked for one step only: hashes are made outside.
#[derive(Debug)]
pub(super) struct State {
    /// Sessions that requests were seen of, and whether they have a title.
    pub(super) known: Mutex<Recent<SessionId, bool>>,
    /// Where conversations stand, and by what else they are found.
    pub(super) anchors: Mutex<Recent<u64, Place>>,
    /// Requests of one user turn that wait for their sibling.
    pub(super) prompts: Mutex<Recent<u64, Vec<Prompt>>>,
    /// When calls were made whose results are to come.
    pub(super) calls: Mutex<Recent<u64, Timestamp>>,
}

/// The sessions that an anchor names.
///
/// There may be more than a million anchors and nearly all of them name just one, which therefore stands in the map itself.
#[derive(Debug)]
pub(super) enum Place {
    One(Waiting),
    Several(Vec<Waiting>),
}

/// A session that an anchor names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Waiting {
    /// The id's bytes: as a number of 16 bytes it would round this up from 40 bytes to 48.
    session: [u8; 16],
    since: Timestamp,
    context: Context,
    /// A request has gone on from here.
    taken: bool,
}

impl Waiting {
    fn session(&self) -> SessionId {
        SessionId(u128::from_ne_bytes(self.session))
    }
}

impl Place {
    fn all(&self) -> &[Waiting] {
        match self {
            Self::One(one) => std::slice::from_ref(one),
            Self::Several(several) => several,
        }
    }

    fn all_mut(&mut self) -> &mut [Waiting] {
        match self {
            Self::One(one) => std::slice::from_mut(one),
            Self::Several(several) => several,
        }
    }

    /// Lets a session wait here anew; when it is too crowded, the one that has waited longest goes.
    fn add(&mut self, new: Waiting) {
        let mut all = self.all().to_vec();
        all.retain(|one| one.session != new.session);
        if all.is_empty() {
            *self = Self::One(new);
            return;
        }
        if all.len() == TWINS {
            all.remove(0);
        }
        all.push(new);
        *self = Self::Several(all);
    }
}

/// What tells conversations apart that have said the same: the system prompt and the first message, wrapped context
/// included. Clients change both in the middle of a conversation, so a difference proves nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Context {
    system: u32,
    first: u32,
}

impl Context {
    pub(super) fn of(prefix: &Prefix) -> Self {
        Self {
            system: prefix.system,
            first: prefix.messages.first().copied().unwrap_or_default(),
        }
    }

    /// How much of it is the same.
    fn likeness(self, other: Self) -> u8 {
        u8::from(self.system == other.system) + 2 * u8::from(self.first == other.first)
    }
}

/// A request of one user turn.
#[derive(Clone, Debug)]
pub(super) struct Prompt {
    session: SessionId,
    has_tools: bool,
    workspace: Option<String>,
    at: Timestamp,
}

impl State {
    /// Remembers about `capacity` sessions.
    pub(super) fn new(capacity: usize) -> Self {
        Self {
            known: Mutex::new(Recent::new(capacity)),
            anchors: Mutex::new(Recent::new(capacity.saturating_mul(16))),
            // They are of use for ten seconds.
            prompts: Mutex::new(Recent::new(capacity / 4)),
            calls: Mutex::new(Recent::new(capacity.saturating_mul(4))),
        }
    }

    /// The session whose conversation the request continues.
    pub(super) fn find(&self, asking: &Asking<'_>) -> Option<SessionId> {
        let (hints, now) = (&asking.facts.session, asking.now);
        let (user, client) = (asking.user, asking.client.name.as_str());
        let context = Context::of(&asking.facts.prefix);
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
            .and_then(|whole| self.take(whole, by_call, context, now))
        {
            return Some(found);
        }
        let said = |hash: &u64| anchor(user, Kind::Said(client), &hash.to_le_bytes());
        by_call
            .or_else(|| {
                hints
                    .said
                    .iter()
                    .find_map(|hash| self.only(said(hash), now))
            })
            .or_else(|| histories.find_map(|part| self.passed(part, context, now)))
            .or_else(|| self.unanswered(asking, context))
            .or_else(|| {
                // A history that begins with the summary of another one.
                let compacted = !hints.replies.is_empty();
                let mut repeated = hints.repeated.iter().filter(|_| compacted);
                repeated.find_map(|hash| self.only(said(hash), now))
            })
    }

    /// The session whose reply a first request repeats as its own text.
    pub(super) fn quoted(&self, asking: &Asking<'_>) -> Option<SessionId> {
        let said = |hash: &u64| {
            let client = asking.client.name.as_str();
            anchor(asking.user, Kind::Said(client), &hash.to_le_bytes())
        };
        let repeated = asking.facts.session.repeated.iter();
        let mut repeated = repeated.map(said);
        repeated.find_map(|anchor| self.only(anchor, asking.now))
    }

    /// The session of a request that got no whole reply, and is sent again or gone on from.
    fn unanswered(&self, asking: &Asking<'_>, context: Context) -> Option<SessionId> {
        let (hints, now) = (&asking.facts.session, asking.now);
        let places = hints.asks.iter().rev();
        let mut found = places.filter_map(|ask| {
            let kind = Kind::Ask(&asking.client.name, hints.has_tools);
            let anchor = anchor(asking.user, kind, &ask.to_le_bytes());
            let mut anchors = self.anchors.lock();
            let waiting = anchors.get(&anchor, now)?;
            // Long after a failure, the same words are another conversation.
            let repeats = *ask == hints.history;
            let late = |one: &Waiting| now.0.saturating_sub(one.since.0) > REPEAT;
            let free = waiting
                .all_mut()
                .iter_mut()
                .filter(|one| !(one.taken || repeats && late(one)));
            // The first of the likeliest ones.
            let best = free.rev().max_by_key(|one| one.context.likeness(context))?;
            best.taken = true;
            Some(best.session())
        });
        found.next()
    }

    /// The session of an anchor that names just one.
    fn only(&self, anchor: u64, now: Timestamp) -> Option<SessionId> {
        match self.anchors.lock().get(&anchor, now)?.all() {
            [waiting] => Some(waiting.session()),
            _ => None,
        }
    }

    /// One of the sessions that wait at the end of a history: the preferred one, else one that has not gone on, else the
    /// newest; of several the one that looks most alike.
    fn take(
        &self,
        anchor: u64,
        preferred: Option<SessionId>,
        context: Context,
        now: Timestamp,
    ) -> Option<SessionId> {
        let mut anchors = self.anchors.lock();
        let waiting = anchors.get(&anchor, now)?.all_mut();
        let like = |at: &usize| waiting[*at].context.likeness(context);
        let all = 0..waiting.len();
        let at = waiting
            .iter()
            .position(|one| Some(one.session()) == preferred)
            .or_else(|| {
                let free = all.clone().filter(|at| !waiting[*at].taken);
                free.rev().max_by_key(like)
            })
            .or_else(|| all.clone().max_by_key(like))?;
        waiting[at].taken = true;
        Some(waiting[at].session())
    }

    /// A session that came by the middle of a history: the one that looks most alike, of several the newest.
    fn passed(&self, anchor: u64, context: Context, now: Timestamp) -> Option<SessionId> {
        let mut anchors = self.anchors.lock();
        let waiting = anchors.get(&anchor, now)?.all_mut();
        let likely = |one: &&Waiting| (one.context.likeness(context), one.taken);
        Some(waiting.iter().max_by_key(likely)?.session())
    }

    /// Lets a session wait at some points.
    pub(super) fn wait(
        &self,
        anchors: &[u64],
        session: SessionId,
        context: Context,
        now: Timestamp,
    ) {
        let new = Waiting {
            session: session.0.to_ne_bytes(),
            since: now,
            context,
            taken: false,
        };
        let mut known = self.anchors.lock();
        for anchor in anchors {
            if let Some(place) = known.get(anchor, now) {
                place.add(new);
            } else {
                known.insert(*anchor, Place::One(new), now);
            }
        }
    }

    /// A session for a request that continues nothing.
    ///
    /// A program that asks for a title sends the same prompt twice, once without tools: such a pair is one session. The
    /// same prompt in the same form is another conversation.
    pub(super) fn begin(&self, asking: &Asking<'_>) -> SessionId {
        let (hints, now) = (&asking.facts.session, asking.now);
        let new = SessionId(uuid::Uuid::now_v7().as_u128());
        let Some(prompt) = hints.first_prompt else {
            return new;
        };
        let key = explicit::key(&[
            asking.user.as_bytes(),
            b"prompt",
            asking.client.name.as_bytes(),
            &prompt.to_le_bytes(),
        ]);
        let workspace = &asking.facts.workspace;
        let mut prompts = self.prompts.lock();
        let mut waiting = prompts
            .get(&key, now)
            .map(std::mem::take)
            .unwrap_or_default();
        waiting.retain(|prompt| now.0.saturating_sub(prompt.at.0) <= SIBLING);
        let elsewhere = |prompt: &Prompt| {
            let both = prompt.workspace.as_ref().zip(workspace.as_ref());
            both.is_some_and(|(one, other)| one != other)
        };
        let sibling = waiting
            .iter()
            .position(|prompt| prompt.has_tools != hints.has_tools && !elsewhere(prompt));
        let session = if let Some(at) = sibling {
            waiting.remove(at).session
        } else {
            if waiting.len() == TWINS {
                waiting.remove(0);
            }
            waiting.reserve_exact(1);
            waiting.push(Prompt {
                session: new,
                has_tools: hints.has_tools,
                workspace: workspace.clone(),
                at: now,
            });
            new
        };
        prompts.insert(key, waiting, now);
        session
    }
}

/// What an anchor stands for.
#[derive(Clone, Copy, Debug)]
pub(super) enum Kind<'a> {
    /// A history up to a reply, at a client.
    History(&'a str),
    /// A history up to a request without a whole reply, at a client, with or without tools.
    Ask(&'a str, bool),
    /// A reply by itself, at a client.
    Said(&'a str),
    /// A stored response.
    Response,
    /// A tool call.
    Call,
}

pub(super) fn anchor(user: &str, kind: Kind<'_>, value: &[u8]) -> u64 {
    let (word, client) = match kind {
        Kind::History(client) => ("history", client),
        Kind::Ask(client, true) => ("ask", client),
        Kind::Ask(client, false) => ("ask without tools", client),
        Kind::Said(client) => ("said", client),
        Kind::Response => ("response", ""),
        Kind::Call => ("call", ""),
    };
    explicit::key(&[user.as_bytes(), word.as_bytes(), client.as_bytes(), value])
}
