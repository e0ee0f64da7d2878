//! The bounded word index: which words a record is found by, and how a query is read.
//!
//! Owns: the split into words and its bounds. In: a record, or what somebody typed. Out: lower-case words.
//! Must not know: tables.

use crate::record::{Record, RequestId, SessionId};
use std::collections::BTreeSet;

/// Words kept of one record.
const WORDS: usize = 48;
/// Bytes kept of one word.
const LONGEST: usize = 40;
/// Words read of one query.
const ASKED: usize = 8;

fn words(text: &str) -> impl Iterator<Item = String> + '_ {
    text.split(|c: char| !c.is_alphanumeric())
        .filter(|word| !word.is_empty())
        .map(|word| {
            let mut word = word.to_lowercase();
            word.truncate(word.floor_char_boundary(LONGEST));
            word
        })
}

/// The words by which a record is found: titles, models, tools, sub-agents and foreign ids.
pub(super) fn of_record(record: &Record) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let texts = [
        record.provider_request_id.as_deref(),
        record.model.as_deref(),
        record.model_asked.as_deref(),
        record.model_served.as_deref(),
        record.agent.as_deref(),
        record.title.as_deref(),
    ];
    let tools = record.tools.iter().map(|tool| tool.name.as_str());
    for text in texts.into_iter().flatten().chain(tools) {
        for word in words(text) {
            if found.len() == WORDS {
                return found;
            }
            found.insert(word);
        }
    }
    found
}

/// What somebody typed: ids of ours stand for themselves, everything else is words that must all occur.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Asked {
    pub(super) requests: Vec<RequestId>,
    pub(super) sessions: Vec<SessionId>,
    pub(super) words: Vec<String>,
}

/// Reads a query.
pub(super) fn of_query(query: &str) -> Asked {
    let mut asked = Asked::default();
    for text in query.split_whitespace().take(ASKED) {
        if let Ok(id) = text.parse::<RequestId>() {
            asked.requests.push(id);
        } else if let Ok(id) = text.parse::<SessionId>() {
            asked.sessions.push(id);
        } else {
            asked.words.extend(words(text));
        }
    }
    asked.words.truncate(ASKED);
    asked
}
