//! One request and its answer as messages in the form of OpenTelemetry's conventions for generative AI.
//!
//! Owns: that form (`gen_ai.system_instructions`, `gen_ai.input.messages`, `gen_ai.output.messages`). In: a capture, read as a
//! page reads it and with a page's bounds. Out: JSON texts. Pictures are named and never sent.
//! Must not know: who gets them.

use super::{
    BODY_BYTES, answer, asked,
    parts::{Budget, Outcome, Part, Text},
};
use crate::{dashboard::body, record::Capture};
use serde_json::{Value, json};

/// What was said, as JSON texts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Messages {
    /// The system prompt.
    pub system: Option<String>,
    /// What is new in the request.
    pub input: Option<String>,
    /// The answer.
    pub output: Option<String>,
    /// Messages of the request that came before what is new.
    pub earlier: usize,
}

/// Reads a capture; what can't be read is left out. `stop_reason` is why the model stopped.
pub fn messages(capture: &Capture, stop_reason: Option<&str>) -> Messages {
    let mut budget = Budget::of_a_page();
    let mut messages = Messages::default();
    let request = body::decoded(&capture.request, &capture.request_head, BODY_BYTES);
    if let Some(asked) = request
        .ok()
        .and_then(|bytes| asked::read(&bytes, &mut budget))
    {
        let system = asked.system;
        messages.system = system.map(|text| json!([{"type": "text", "content": text}]).to_string());
        messages.earlier = asked.earlier;
        messages.input = Some(Value::Array(turns(&asked.parts)).to_string());
    }
    let response = body::decoded(&capture.response, &capture.response_head, BODY_BYTES);
    if let Some(parts) = response
        .ok()
        .filter(|bytes| !bytes.is_empty())
        .and_then(|bytes| answer::read(&bytes, &mut budget))
    {
        let parts: Vec<Value> = parts.iter().map(part).collect();
        let reason = stop_reason.unwrap_or_default();
        let message = json!([{"role": "assistant", "parts": parts, "finish_reason": reason}]);
        messages.output = Some(message.to_string());
    }
    messages
}

/// The parts of a request as messages: results are a tool's, everything else is the user's.
fn turns(parts: &[Part]) -> Vec<Value> {
    let role = |part: &Part| match part {
        Part::Outcome(_) => "tool",
        _ => "user",
    };
    parts
        .chunk_by(|one, other| role(one) == role(other))
        .map(|run| {
            let parts: Vec<Value> = run.iter().map(part).collect();
            json!({"role": role(&run[0]), "parts": parts})
        })
        .collect()
}

fn part(part: &Part) -> Value {
    match part {
        Part::Text(text) => texts("text", text),
        Part::Thinking(text) => texts("reasoning", text),
        Part::Error(text) => texts("error", text),
        Part::Call(call) => {
            let arguments = &call.arguments;
            // Cut arguments are no JSON any more.
            let arguments = match serde_json::from_str::<Value>(&arguments.text) {
                Ok(value) if arguments.left_out == 0 => value,
                _ => Value::from(arguments.text.as_str()),
            };
            json!({"type": "tool_call", "id": call.id, "name": call.name, "arguments": arguments})
        }
        Part::Outcome(outcome) => {
            json!({"type": "tool_call_response", "id": outcome.call, "response": response(outcome)})
        }
        Part::Image(_) => json!({"type": "image"}),
        Part::Other(kind) => json!({"type": kind}),
    }
}

fn texts(kind: &str, text: &Text) -> Value {
    let mut part = json!({"type": kind, "content": text.text});
    if text.left_out > 0 {
        part["left_out_bytes"] = Value::from(text.left_out);
    }
    part
}

/// The texts of a result.
fn response(outcome: &Outcome) -> String {
    let texts = outcome.parts.iter().filter_map(|part| match part {
        Part::Text(text) => Some(text.text.as_str()),
        _ => None,
    });
    texts.collect::<Vec<_>>().join("\n")
}
