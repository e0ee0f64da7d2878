//! Which requests match a filter, newest first, by the indexes alone.
//!
//! Owns: [`Filter`], [`Page`] and the walk: every condition is a list of request ids in order, and the walk leaps to the
//! newest id that all lists have. No record is read that does not match, and a walk ends after a bounded number of steps
//! with a cursor to go on from, so a page never scans the database.
//! In: conditions. Out: ids. Must not know: records, pages.

use super::file::ReadError;
use super::postings;
use super::schema::{self, Facet};
use super::usage::{StatusClass, part};
use super::words;
use crate::record::{End, RequestId, SessionId, Timestamp};
use redb::{ReadOnlyTable, ReadTransaction};

/// What to list. Everything that is set must match.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    /// The stable key of the caller.
    pub user: Option<String>,
    /// The session.
    pub session: Option<SessionId>,
    /// The model as configured.
    pub model: Option<String>,
    /// The provider's id.
    pub provider: Option<String>,
    /// The client's short name.
    pub client: Option<String>,
    /// The class of the status.
    pub class: Option<StatusClass>,
    /// How it ended.
    pub end: Option<End>,
    /// Beginnings of words that all occur in title, models, tools or foreign ids; or ids of this gateway.
    pub text: Option<String>,
    /// Begun then or later.
    pub from: Option<Timestamp>,
    /// Begun before then.
    pub to: Option<Timestamp>,
}

/// Some of the matches, newest first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page<T> {
    /// The matches. There may be fewer than asked for, even none, although `next` is set: the search was long.
    pub items: Vec<T>,
    /// Where the next page begins; none at the end.
    pub next: Option<RequestId>,
}

/// Steps of one walk: about 50 ms of index lookups.
pub(super) const STEPS: u32 = 20_000;
/// Indexed words that a beginning of a word may stand for, the first in the alphabet.
const EXPANSIONS: usize = 64;
/// A shorter word stands for itself only.
const SHORTEST_BEGINNING: usize = 3;

/// The indexes of one transaction.
pub(super) struct Indexes {
    requests: ReadOnlyTable<u128, &'static [u8]>,
    postings: ReadOnlyTable<postings::Key, &'static [u8]>,
    sessions: ReadOnlyTable<(u128, u128), ()>,
}

impl Indexes {
    pub(super) fn open(read: &ReadTransaction) -> Result<Self, ReadError> {
        Ok(Self {
            requests: read.open_table(schema::REQUESTS)?,
            postings: read.open_table(schema::POSTINGS)?,
            sessions: read.open_table(schema::SESSION_REQUESTS)?,
        })
    }

    /// Indexed words that begin with `beginning`.
    fn expand(&self, beginning: String) -> Result<Vec<String>, ReadError> {
        if beginning.chars().count() < SHORTEST_BEGINNING {
            return Ok(vec![beginning]);
        }
        let facet = Facet::Text as u8;
        let mut found: Vec<String> = Vec::new();
        let mut from = (beginning.clone(), 0);
        while found.len() < EXPANSIONS {
            let start = (facet, from.0.as_str(), from.1);
            let Some(row) = self.postings.range(start..)?.next() else {
                break;
            };
            let (key, _) = row?;
            let (kind, word, id) = key.value();
            if kind != facet || !word.starts_with(&beginning) {
                break;
            }
            if found.last().is_none_or(|last| last != word) {
                found.push(word.to_owned());
            }
            debug_assert!(id < u128::MAX, "ids are UUIDs of version 7");
            from = (word.to_owned(), u128::MAX);
        }
        Ok(found)
    }
}

/// One condition: a list of request ids.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Source {
    All,
    One(u128),
    Session(u128),
    Posting(Facet, String),
    /// Any of these words.
    Words(Vec<String>),
}

impl Source {
    /// The newest id of the list that is not newer than `most`.
    fn seek(&self, indexes: &Indexes, most: u128) -> Result<Option<u128>, ReadError> {
        match self {
            Self::All => {
                let row = indexes.requests.range(..=most)?.next_back();
                Ok(row.transpose()?.map(|(id, _)| id.value()))
            }
            Self::One(id) => {
                Ok((*id <= most && indexes.requests.get(*id)?.is_some()).then_some(*id))
            }
            Self::Session(session) => {
                let row = indexes
                    .sessions
                    .range((*session, 0)..=(*session, most))?
                    .next_back();
                Ok(row.transpose()?.map(|(key, _)| key.value().1))
            }
            Self::Posting(facet, value) => {
                Ok(postings::newest(&indexes.postings, *facet, value, most)?)
            }
            Self::Words(words) => {
                let mut newest = None;
                for word in words {
                    let found = postings::newest(&indexes.postings, Facet::Text, word, most)?;
                    newest = newest.max(found);
                }
                Ok(newest)
            }
        }
    }
}

/// A filter as lists of ids, and the range of ids.
#[derive(Clone, Debug)]
pub(super) struct Conditions {
    sources: Vec<Source>,
    least: u128,
    most: Option<u128>,
}

impl Conditions {
    pub(super) fn new(indexes: &Indexes, filter: &Filter) -> Result<Self, ReadError> {
        let mut sources = Vec::new();
        if let Some(session) = filter.session {
            sources.push(Source::Session(session.0));
        }
        if let Some(text) = &filter.text {
            let asked = words::of_query(text);
            sources.extend(asked.requests.iter().map(|id| Source::One(id.0)));
            sources.extend(asked.sessions.iter().map(|id| Source::Session(id.0)));
            for word in asked.words {
                sources.push(Source::Words(indexes.expand(word)?));
            }
        }
        let mut post = |facet, value: Option<&str>| {
            if let Some(value) = value {
                sources.push(Source::Posting(facet, part(value).to_owned()));
            }
        };
        post(Facet::User, filter.user.as_deref());
        post(Facet::Model, filter.model.as_deref());
        post(Facet::Provider, filter.provider.as_deref());
        post(Facet::Client, filter.client.as_deref());
        post(Facet::Class, filter.class.map(StatusClass::as_str));
        post(Facet::End, filter.end.map(End::as_str));
        if sources.is_empty() {
            sources.push(Source::All);
        }
        Ok(Self {
            sources,
            least: filter.from.map_or(0, |from| RequestId::at(from).0),
            most: match filter.to {
                Some(to) => RequestId::at(to).0.checked_sub(1),
                None => Some(u128::MAX),
            },
        })
    }

    /// The same conditions, within one session.
    pub(super) fn within(&self, session: SessionId) -> Self {
        let mut within = self.clone();
        within.sources.insert(0, Source::Session(session.0));
        within
    }
}

/// A walk through the matches, newest first.
pub(super) struct Walk<'a> {
    indexes: &'a Indexes,
    conditions: Conditions,
    /// The newest id that may match; none at the end.
    most: Option<u128>,
}

/// What a step of a walk came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Found {
    Match(RequestId),
    End,
    /// The steps are used up; go on from here another time.
    Tired(RequestId),
}

impl<'a> Walk<'a> {
    /// Begins at the newest match, or after `cursor`: a cursor is the first id that may still match.
    pub(super) fn new(
        indexes: &'a Indexes,
        conditions: Conditions,
        cursor: Option<RequestId>,
    ) -> Self {
        let most = conditions
            .most
            .map(|most| cursor.map_or(most, |cursor| cursor.0.min(most)));
        Self {
            indexes,
            conditions,
            most,
        }
    }

    /// The next match; takes its steps from `steps`.
    pub(super) fn next(&mut self, steps: &mut u32) -> Result<Found, ReadError> {
        let Some(mut candidate) = self.most else {
            return Ok(Found::End);
        };
        let mut agreed = 0;
        let sources = &self.conditions.sources;
        while agreed < sources.len() {
            for source in sources {
                if *steps == 0 {
                    self.most = Some(candidate);
                    return Ok(Found::Tired(RequestId(candidate)));
                }
                *steps -= 1;
                match source.seek(self.indexes, candidate)? {
                    Some(id) if id >= self.conditions.least => {
                        agreed = if id == candidate { agreed + 1 } else { 1 };
                        candidate = id;
                    }
                    _ => {
                        self.most = None;
                        return Ok(Found::End);
                    }
                }
                if agreed >= sources.len() {
                    break;
                }
            }
        }
        self.most = candidate.checked_sub(1);
        Ok(Found::Match(RequestId(candidate)))
    }

    /// Where to go on after the last match.
    pub(super) fn cursor(&self) -> Option<RequestId> {
        self.most.map(RequestId)
    }
}
