//! The new part of a request: what follows the last answer in its history.
//!
//! In: a request body. Out: the system prompt, how many messages came before, and the parts that are new. Only those are
//! parsed; the history is skipped over. Must not know: records, answers.

use super::parts::{Budget, Part, content, outcome};
use serde::Deserialize;
use serde_json::{Value, value::RawValue};
use std::borrow::Cow;

/// What one request says that earlier ones did not.
#[derive(Debug, Default)]
pub(super) struct Asked {
    pub(super) system: Option<String>,
    pub(super) earlier: usize,
    pub(super) parts: Vec<Part>,
}

/// Bytes of a system prompt that are shown.
const SYSTEM: usize = 48 << 10;

/// The members that hold a conversation, in any dialect.
#[derive(Deserialize)]
struct Body<'a> {
    #[serde(borrow, default)]
    messages: Option<Vec<&'a RawValue>>,
    #[serde(borrow, default)]
    contents: Option<Vec<&'a RawValue>>,
    #[serde(borrow, default)]
    input: Option<&'a RawValue>,
    /// Bedrock's other families.
    #[serde(borrow, default, alias = "inputText")]
    prompt: Option<&'a RawValue>,
    #[serde(borrow, default)]
    system: Option<&'a RawValue>,
    #[serde(borrow, default)]
    instructions: Option<&'a RawValue>,
    #[serde(
        borrow,
        default,
        rename = "systemInstruction",
        alias = "system_instruction"
    )]
    system_instruction: Option<&'a RawValue>,
}

/// Whose a message is.
#[derive(Deserialize)]
struct Head<'a> {
    #[serde(borrow, default)]
    role: Option<Cow<'a, str>>,
    #[serde(borrow, default, rename = "type")]
    kind: Option<Cow<'a, str>>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Side {
    System,
    User,
    Model,
}

fn side(message: &RawValue) -> Side {
    let Ok(head) = serde_json::from_str::<Head<'_>>(message.get()) else {
        return Side::User;
    };
    match (head.role.as_deref(), head.kind.as_deref()) {
        (Some("system" | "developer"), _) => Side::System,
        (Some("assistant" | "model"), _) => Side::Model,
        (None, Some(kind)) if kind.ends_with("_call") || kind == "reasoning" => Side::Model,
        _ => Side::User,
    }
}

/// Reads a body; none when it is not a conversation.
pub(super) fn read(bytes: &[u8], budget: &mut Budget) -> Option<Asked> {
    let text = std::str::from_utf8(bytes).ok()?;
    let body: Body<'_> = serde_json::from_str(text).ok()?;
    let input = body.input.or(body.prompt);
    let messages = match (body.messages, body.contents, input) {
        (Some(messages), ..) | (None, Some(messages), _) => messages,
        (None, None, Some(input)) if input.get().starts_with('[') => {
            serde_json::from_str(input.get()).ok()?
        }
        (None, None, Some(input)) => vec![input],
        (None, None, None) => return None,
    };
    let leading = messages.iter().take_while(|m| side(m) == Side::System);
    let leading = leading.count();
    let mut systems: Vec<&RawValue> = [body.system, body.instructions, body.system_instruction]
        .into_iter()
        .flatten()
        .collect();
    systems.extend(&messages[..leading]);
    let after = messages.iter().rposition(|m| side(m) == Side::Model);
    let first = after.map_or(leading, |at| at + 1);
    let mut parts = Vec::new();
    for message in messages[first..].iter().filter(|m| side(m) != Side::System) {
        parts.extend(message_parts(message, budget));
    }
    Some(Asked {
        system: system_text(&systems),
        earlier: first - leading.min(first),
        parts,
    })
}

fn message_parts(message: &RawValue, budget: &mut Budget) -> Vec<Part> {
    let Ok(value) = serde_json::from_str::<Value>(message.get()) else {
        return Vec::new();
    };
    // The chat form of a result is a message of its own.
    if value.get("role").and_then(Value::as_str) == Some("tool") {
        let call = value.get("tool_call_id").and_then(Value::as_str);
        let output = value.get("content").unwrap_or(&Value::Null);
        return vec![outcome(
            call.unwrap_or_default().to_owned(),
            output,
            false,
            budget,
        )];
    }
    match value.get("content").or_else(|| value.get("parts")) {
        Some(inner) => content(inner, budget),
        None => content(&value, budget),
    }
}

/// All system texts, one after the other.
fn system_text(systems: &[&RawValue]) -> Option<String> {
    fn gather(value: &Value, out: &mut String) {
        match value {
            Value::String(text) => {
                if !out.is_empty() {
                    out.push_str("\n\n");
                }
                out.push_str(text);
            }
            Value::Array(blocks) => blocks.iter().for_each(|block| gather(block, out)),
            Value::Object(members) => {
                let inner = ["text", "content", "parts"];
                for value in inner.iter().filter_map(|name| members.get(*name)) {
                    gather(value, out);
                }
            }
            Value::Null | Value::Bool(_) | Value::Number(_) => {}
        }
    }
    let mut out = String::new();
    for system in systems {
        if let Ok(value) = serde_json::from_str::<Value>(system.get()) {
            gather(&value, &mut out);
        }
    }
    if out.trim().is_empty() {
        return None;
    }
    out.truncate(out.floor_char_boundary(SYSTEM.min(out.len())));
    Some(out)
}
