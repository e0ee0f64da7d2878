//! What a request's history says about the conversation it belongs to.
//!
//! Owns: [`SessionHints`], and the collector that every dialect feeds with texts, calls and results in their order.
//! In: the parts of the history. Out: the hints, the title, and the tool results that are new in this request.
//! Must not know: the field names of a dialect, except those of a text part, which all of them share.

use super::{
    clip,
    json::{self, Raw},
    turn::{CallHash, Role, TurnHash, chain, first64, visible},
};
use crate::record::ToolCall;
use memchr::memmem;
use std::{borrow::Cow, collections::VecDeque};

/// Title length, in characters.
const TITLE: usize = 120;
/// Call ids kept, the newest.
const CALLS: usize = 32;
/// Places of the history and replies that are kept by themselves, the newest.
const NEWEST: usize = 16;
/// Bytes of a user's text that may be the summary of a history.
const SUMMARY: usize = 200;
/// Such texts kept.
const REPEATED: usize = 8;
/// New results kept.
const RESULTS: usize = 256;
/// Bytes of a tool's name or of a call id that are kept.
pub(super) const NAME: usize = 200;

/// The marks by which `session` recognises a conversation.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SessionHints {
    /// Ids that the body states, the more reliable first.
    pub explicit: Vec<String>,
    /// The key by which the client wants its prompts cached: an id of the session at many clients, not at all.
    pub cache_key: Option<String>,
    /// The thread within the session (Codex).
    pub thread: Option<String>,
    /// The kind of sub-agent (Codex).
    pub subagent: Option<String>,
    /// The thread that started this one (Codex).
    pub parent_thread: Option<String>,
    /// The stored response that this request continues.
    pub previous_response: Option<String>,
    /// Ids of tool calls in the history, the newest first.
    pub calls: Vec<String>,
    /// These ids are the client's own, so that requests are where they are first seen (Gemini).
    pub client_calls: bool,
    /// The hash of the history at the end of each reply in it, the longest last.
    pub replies: Vec<u64>,
    /// The hash of the whole history: what the answer will be chained to.
    pub history: u64,
    /// The hash of the history at the end of each message of the user's, the longest last: where a request may have stood
    /// whose reply was cut off.
    pub asks: Vec<u64>,
    /// The newest replies by themselves, the newest first; only those long enough to be like no other.
    pub said: Vec<u64>,
    /// Long texts of the user, as the replies that they repeat: a client that compacts its history puts the model's summary
    /// there.
    pub repeated: Vec<u64>,
    /// The hash of the last user text, when nobody has answered yet: how a title call finds its sibling.
    pub first_prompt: Option<u64>,
    /// Whether the request offers tools.
    pub has_tools: bool,
}

/// Collects the turns of one request.
#[derive(Debug, Default)]
pub(super) struct Conversation<'a> {
    turn: TurnHash,
    role: Option<Role>,
    history: u64,
    replies: Vec<u64>,
    asks: VecDeque<u64>,
    said: VecDeque<u64>,
    repeated: Vec<u64>,
    /// What the title is made of: the beginning of a text.
    title: Option<String>,
    /// The title is from this turn.
    titled: bool,
    last_text: Option<u64>,
    calls: Vec<Cow<'a, str>>,
    /// Calls of the newest reply: id and name.
    open: Vec<(Cow<'a, str>, Cow<'a, str>)>,
    results: Vec<ToolCall>,
}

impl<'a> Conversation<'a> {
    /// A text of a turn.
    pub(super) fn text(&mut self, role: Role, text: &str) {
        let own = match role {
            Role::User => visible(text),
            Role::Assistant => Cow::Borrowed(text),
        };
        if own.trim().is_empty() {
            return;
        }
        self.enter(role);
        self.turn.text(&own);
        self.turn.end_text();
        if role == Role::User {
            self.repeats(&own);
            if !self.titled {
                self.title = Some(clip(&own, 8 * TITLE).to_owned());
                self.titled = true;
            }
            if self.replies.is_empty() {
                self.last_text = Some(first64(&blake3::hash(own.as_bytes())));
            }
        }
    }

    /// The content of a message: a text, or a list of parts.
    pub(super) fn parts(&mut self, role: Role, content: Raw<'_>) {
        if let Some(text) = json::string(content) {
            self.text(role, &text);
        }
        json::elements(content, |part| {
            if let Some(text) = json::get(part, "text").and_then(json::string) {
                self.text(role, &text);
            } else if let Some(kind) = json::get(part, "type").and_then(json::string) {
                self.other(role, &kind);
            }
        });
    }

    /// An image, a document, audio.
    pub(super) fn other(&mut self, role: Role, kind: &str) {
        self.enter(role);
        self.turn.other(kind);
    }

    /// A tool call of the model, with its arguments as text.
    pub(super) fn call(&mut self, id: Cow<'a, str>, name: Cow<'a, str>, arguments: &str) {
        self.enter(Role::Assistant);
        let mut call = CallHash::new(&name);
        call.arguments(arguments);
        self.turn.call(call.finish());
        if !id.is_empty() {
            self.calls.push(id.clone());
        }
        self.open.push((id, name));
    }

    /// The result of a call. Its texts, joined, are `text`.
    pub(super) fn result(&mut self, id: &str, failed: bool, text: &str) {
        let mut calls = self.open.iter().rev();
        let name = calls
            .find(|(call, _)| call == id)
            .map(|(_, name)| name.clone());
        self.named_result(id, &name.unwrap_or_default(), failed, text);
    }

    /// The result of a call of that tool.
    pub(super) fn named_result(&mut self, id: &str, name: &str, failed: bool, text: &str) {
        self.enter(Role::User);
        self.turn.result(&visible(text));
        if self.results.len() < RESULTS {
            self.results.push(ToolCall {
                name: clip(name, NAME).to_owned(),
                call: clip(id, NAME).to_owned(),
                result_error: Some(failed),
                result_bytes: text.len() as u64,
                ..ToolCall::default()
            });
        }
    }

    /// A message is over. Where several of the user's stand in a row, each may have been the end of a request.
    pub(super) fn end_message(&mut self) {
        if self.role == Some(Role::User) && !self.turn.is_empty() {
            let ask = chain(self.history, self.turn.finish(Role::User));
            if self.asks.back() != Some(&ask) {
                push(&mut self.asks, ask);
            }
        }
    }

    /// Notes a long text of the user's as the reply that it may repeat: all of it, what follows an introduction, and what
    /// stands in marks.
    fn repeats(&mut self, text: &str) {
        if text.len() < SUMMARY || self.repeated.len() >= REPEATED {
            return;
        }
        let marked = || {
            let (_, rest) = split_at(text, "<summary>")?;
            Some(split_at(rest, "</summary>").map_or(rest, |(inner, _)| inner))
        };
        let after = || Some(split_at(text, "\n\n")?.1);
        for part in [Some(text), marked(), after()].into_iter().flatten() {
            let part = part.trim();
            if part.len() >= SUMMARY && self.repeated.len() < REPEATED {
                let mut turn = TurnHash::default();
                turn.text(part);
                turn.end_text();
                self.repeated.push(turn.finish(Role::Assistant));
            }
        }
    }

    fn enter(&mut self, role: Role) {
        if self.role == Some(role) {
            return;
        }
        self.end_message();
        self.close();
        self.role = Some(role);
        match role {
            Role::User => {
                self.results.clear();
                self.titled = false;
            }
            Role::Assistant => self.open.clear(),
        }
    }

    fn close(&mut self) {
        if let Some(role) = self.role
            && !self.turn.is_empty()
        {
            let turn = self.turn.finish(role);
            self.history = chain(self.history, turn);
            if role == Role::Assistant {
                self.replies.push(self.history);
                if self.turn.is_long() {
                    push(&mut self.said, turn);
                }
            }
        }
        self.turn = TurnHash::default();
    }

    /// The hints, the title, and the results that follow the newest reply.
    pub(super) fn finish(mut self) -> (SessionHints, Option<String>, Vec<ToolCall>) {
        self.end_message();
        self.close();
        if self.role == Some(Role::Assistant) {
            self.results.clear();
        }
        let hints = SessionHints {
            calls: self
                .calls
                .iter()
                .rev()
                .take(CALLS)
                .map(|id| clip(id, NAME).to_owned())
                .collect(),
            history: self.history,
            first_prompt: self.last_text.filter(|_| self.replies.is_empty()),
            replies: self.replies,
            asks: self.asks.into(),
            said: self.said.into_iter().rev().collect(),
            repeated: self.repeated,
            ..SessionHints::default()
        };
        let title = self.title.map(|text| title(&text));
        (hints, title, self.results)
    }
}

/// As `str::split_once`, which took a seventh of the time of a request with a text of 8 MB.
fn split_at<'t>(text: &'t str, mark: &str) -> Option<(&'t str, &'t str)> {
    let at = memmem::find(text.as_bytes(), mark.as_bytes())?;
    Some((&text[..at], &text[at + mark.len()..]))
}

/// Adds to the newest few.
fn push(newest: &mut VecDeque<u64>, hash: u64) {
    if newest.len() == NEWEST {
        newest.pop_front();
    }
    newest.push_back(hash);
}

/// The texts of a tool result, joined: it is a text, or a list of parts.
pub(super) fn texts(content: Raw<'_>) -> Cow<'_, str> {
    if let Some(text) = json::string(content) {
        return text;
    }
    let mut joined = String::new();
    json::elements(content, |part| {
        if let Some(text) = json::get(part, "text").and_then(json::string) {
            joined.push_str(&text);
        }
    });
    Cow::Owned(joined)
}

/// The text on one line, cut.
fn title(text: &str) -> String {
    let mut title = String::new();
    let mut length = 0;
    for word in text.split_whitespace() {
        if !title.is_empty() {
            title.push(' ');
            length += 1;
        }
        for character in word.chars() {
            if length >= TITLE {
                title.truncate(title.trim_end().len());
                return title;
            }
            title.push(character);
            length += 1;
        }
    }
    title
}
