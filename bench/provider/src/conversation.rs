//! What a request says, in words that no dialect owns.
//!
//! Comes in: what a dialect's parser reads. Goes out: [`Head`], enough for a
//! complete script, and [`Conversation`], from which an answer is improvised.

use serde_json::Value;

use crate::dialect::Framing;
use crate::json::{Json, object};
use crate::tokens::Caching;

/// The few facts that shape every reply.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Head {
    pub(crate) model: String,
    pub(crate) stream: bool,
    /// Whether a stream reports usage where the dialect leaves that to the client.
    pub(crate) include_usage: bool,
    pub(crate) max_tokens: Option<u64>,
    pub(crate) framing: Framing,
    /// Whether every chunk reports the usage so far.
    pub(crate) running_usage: bool,
    /// Which of a dialect's wordings the body uses.
    pub(crate) wording: Wording,
    /// Whether the provider shall keep the reply.
    pub(crate) is_stored: bool,
    /// The stored reply that this one goes on from.
    pub(crate) previous: Option<String>,
    /// The stored conversation that it belongs to.
    pub(crate) conversation: Option<String>,
    /// What vectors or judgements are asked for.
    pub(crate) wanted: Wanted,
}

/// How a body is worded, where one path takes the bodies of several makers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Wording {
    #[default]
    Claude,
    Nova,
}

/// How many vectors or judgements are asked for, and in which form.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Wanted {
    pub(crate) count: usize,
    pub(crate) dimensions: Option<usize>,
    /// Whether vectors are packed instead of listed.
    pub(crate) is_packed: bool,
}

/// What was said so far, as far as an answer depends on it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Conversation {
    /// The newest text that the user wrote.
    pub(crate) written: Option<String>,
    /// The newest text that the client added by itself.
    pub(crate) added: Option<String>,
    /// The newest tool result after the prompt.
    pub(crate) tool_result: Option<String>,
    pub(crate) tools: Vec<Offered>,
    /// What the system or developer said, joined.
    pub(crate) system: String,
    /// The schema that the reply must fit, if the request names one.
    pub(crate) schema: Option<Value>,
    pub(crate) has_earlier_answer: bool,
    pub(crate) caching: Caching,
}

/// A tool that the request offers.
#[derive(Clone, Debug)]
pub(crate) struct Offered {
    pub(crate) name: String,
    pub(crate) kind: ToolKind,
    pub(crate) namespace: Option<String>,
    pub(crate) schema: Value,
}

/// How a tool takes its input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ToolKind {
    /// As an object.
    Function,
    /// As free text.
    Custom,
    /// As a command line, by the dialect's own item.
    LocalShell,
}

/// A tool call in a reply.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Call {
    pub(crate) name: String,
    pub(crate) kind: ToolKind,
    pub(crate) namespace: Option<String>,
    /// JSON for a function, free text for a custom tool, the command for a local shell.
    pub(crate) input: String,
}

impl Call {
    /// The input as a JSON value; free text becomes a field of an object.
    pub(crate) fn input_json(&self) -> Json {
        if serde_json::from_str::<serde::de::IgnoredAny>(&self.input).is_ok() {
            return Json::raw(self.input.as_str());
        }
        object! {"input": self.input}
    }
}

impl Conversation {
    /// The newest text that the user wrote.
    pub(crate) fn prompt(&self) -> &str {
        self.written
            .as_deref()
            .or(self.added.as_deref())
            .unwrap_or_default()
    }

    /// Takes in a text of the user, in the order of the request.
    pub(crate) fn user_said(&mut self, text: &str) {
        // Clients wrap what they add by themselves in tags: environment, reminders, notes.
        if text.trim_start().starts_with('<') {
            self.added = Some(text.to_owned());
        } else {
            self.written = Some(text.to_owned());
            self.tool_result = None;
        }
    }

    /// Takes in a tool's result, in the order of the request.
    pub(crate) fn tool_said(&mut self, content: &Value) {
        self.tool_result = Some(flatten(content));
    }

    /// Takes in what the system says.
    pub(crate) fn system_said(&mut self, content: &Value) {
        self.system.push_str(&flatten(content));
        self.system.push('\n');
    }

    /// Takes in an answer that the model gave earlier.
    pub(crate) fn model_said(&mut self) {
        self.has_earlier_answer = true;
    }

    /// Whether the client asks on its own account: a title, a topic, a check.
    pub(crate) fn is_side_call(&self) -> bool {
        self.schema.is_some() || self.wants_title()
    }

    /// Whether the client wants a title for the conversation.
    pub(crate) fn wants_title(&self) -> bool {
        let system = self.system.to_lowercase();
        self.tools.is_empty() && system.contains("title") && system.contains("generat")
    }
}

/// The text of a content value: a string, or the texts of its blocks.
pub(crate) fn flatten(content: &Value) -> String {
    texts(content).collect::<Vec<_>>().join("\n")
}

/// The texts of a content value, one for each block that has one.
pub(crate) fn texts(content: &Value) -> impl Iterator<Item = &str> {
    let whole = content.as_str();
    let blocks = content.as_array().map(Vec::as_slice).unwrap_or_default();
    whole
        .into_iter()
        .chain(blocks.iter().filter_map(|block| block["text"].as_str()))
}

/// The items of a list, none if it isn't one.
pub(crate) fn items(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}
