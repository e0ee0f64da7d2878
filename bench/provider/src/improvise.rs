//! Answers nobody scripted: deterministic, sensible, and able to use a tool.
//!
//! A prompt with `RUN: command` makes real agents run that command: the reply
//! calls whichever shell tool the request offers, and the tool's result ends
//! the turn. Side calls for titles and structured output get what fits. All
//! else is an echo. Comes in: the conversation. Goes out: a text or a call.

use serde_json::{Map, Value, json};

use crate::conversation::{Call, Conversation, Head, Offered, ToolKind};
use crate::script::Stop;

/// What a prompt says before the command that a tool shall run.
const RUN_MARKER: &str = "RUN:";

/// The most of a prompt or a tool's result that is repeated.
const QUOTE_LIMIT: usize = 400;

/// Dimensions of a vector when the request doesn't say.
const VECTOR_LENGTH: usize = 8;

/// The most dimensions that a request gets.
const VECTOR_LIMIT: usize = 4096;

/// Tools that run a command, in the order of preference.
const SHELL_TOOLS: [&str; 8] = [
    "Bash",
    "exec_command",
    "shell_command",
    "shell",
    "local_shell",
    "exec",
    "run_shell_command",
    "execute_command",
];

/// A text, calls, and why the reply ends after them.
#[derive(Debug)]
pub(crate) struct Part {
    pub(crate) text: Option<String>,
    pub(crate) calls: Vec<Call>,
    pub(crate) stop: Stop,
}

/// Answers the conversation.
pub(crate) fn answer(head: &Head, conversation: &Conversation) -> Part {
    if let Some(call) = shell_turn(conversation) {
        return Part {
            text: None,
            calls: vec![call],
            stop: Stop::Tool,
        };
    }
    let mut text = if let Some(schema) = &conversation.schema {
        sample(schema).to_string()
    } else if conversation.wants_title() {
        String::from("Scripted conversation")
    } else if let Some(result) = &conversation.tool_result {
        format!("The tool said: {}", quote(result))
    } else {
        format!("You said: {}", quote(conversation.prompt()))
    };
    let limit = head
        .max_tokens
        .and_then(|limit| usize::try_from(limit).ok());
    let room = limit.map_or(usize::MAX, |limit| limit.saturating_mul(4));
    let stop = if text.len() > room {
        Stop::Length
    } else {
        Stop::End
    };
    text.truncate(text.floor_char_boundary(room));
    Part {
        text: Some(text),
        calls: Vec::new(),
        stop,
    }
}

fn quote(text: &str) -> &str {
    let text = text.trim();
    &text[..text.floor_char_boundary(QUOTE_LIMIT)]
}

fn shell_turn(conversation: &Conversation) -> Option<Call> {
    if conversation.tool_result.is_some() {
        return None;
    }
    let (_, command) = conversation.prompt().split_once(RUN_MARKER)?;
    let command = command.lines().next().unwrap_or_default().trim();
    let named = |name: &&str| conversation.tools.iter().find(|tool| tool.name == *name);
    let resembles = |tool: &&Offered| {
        let name = tool.name.to_lowercase();
        ["bash", "shell", "terminal", "exec"]
            .iter()
            .any(|part| name.contains(part))
    };
    let tool = SHELL_TOOLS
        .iter()
        .find_map(named)
        .or_else(|| conversation.tools.iter().find(resembles))?;
    let input = match tool.kind {
        ToolKind::Function => shell_input(tool, command).to_string(),
        ToolKind::LocalShell => command.to_owned(),
        // The one free-text tool that runs commands takes a program.
        ToolKind::Custom => format!(
            "const result = await tools.exec_command({});\ntext(result.output);",
            json!({"cmd": command})
        ),
    };
    Some(Call {
        name: tool.name.clone(),
        kind: tool.kind,
        namespace: tool.namespace.clone(),
        input,
    })
}

/// The input of a shell tool, by its schema or, without one, by its name.
fn shell_input(tool: &Offered, command: &str) -> Value {
    let properties = tool.schema["properties"].as_object();
    let known = |name: &&str| properties.is_some_and(|properties| properties.contains_key(*name));
    let by_name = match tool.name.as_str() {
        "exec_command" => "cmd",
        _ => "command",
    };
    let key = ["command", "cmd", "script"]
        .into_iter()
        .find(known)
        .unwrap_or(by_name);
    let is_list = match properties {
        Some(properties) => properties
            .get(key)
            .is_some_and(|field| field["type"] == "array"),
        None => tool.name == "shell",
    };
    let mut input = required(&tool.schema);
    if is_list {
        input.insert(key.into(), json!(["bash", "-lc", command]));
    } else {
        input.insert(key.into(), json!(command));
    }
    if known(&"description") || (properties.is_none() && tool.name == "Bash") {
        input.insert("description".into(), json!("Run the command of the prompt"));
    }
    Value::Object(input)
}

/// The smallest value that fits a schema, as far as clients use schemas.
fn sample(schema: &Value) -> Value {
    if let Some(first) = schema["enum"].get(0) {
        return first.clone();
    }
    if let Some(first) = schema["anyOf"].get(0) {
        return sample(first);
    }
    // Google writes types in upper case.
    let kind = schema["type"].as_str().map(str::to_lowercase);
    match kind.as_deref() {
        Some("string") => json!("Scripted"),
        Some("boolean") => json!(true),
        Some("number" | "integer") => json!(1),
        Some("array") => json!([]),
        Some("null") => Value::Null,
        _ => Value::Object(required(schema)),
    }
}

/// The vector of the text in that place: short, and each value exact in any format.
pub(crate) fn vector(place: usize, dimensions: Option<usize>) -> Vec<f32> {
    let length = dimensions.unwrap_or(VECTOR_LENGTH).min(VECTOR_LIMIT);
    (0..length)
        .map(|at| f32::from(u8::try_from((place + at) % 16).expect("below 16")) / 16.0)
        .collect()
}

fn required(schema: &Value) -> Map<String, Value> {
    let names = schema["required"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(Value::as_str);
    names
        .map(|name| (name.to_owned(), sample(&schema["properties"][name])))
        .collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{answer, sample};
    use crate::conversation::{Conversation, Head, Offered, ToolKind};
    use crate::script::Stop;

    fn offering(name: &str, schema: serde_json::Value) -> Conversation {
        let tool = Offered {
            name: name.into(),
            kind: ToolKind::Function,
            namespace: None,
            schema,
        };
        let mut conversation = Conversation {
            tools: vec![tool],
            ..Conversation::default()
        };
        conversation.user_said("please RUN: echo hi \nthanks");
        conversation
    }

    #[test]
    fn a_shell_tool_gets_its_command_where_its_schema_wants_it() {
        let input = |name, schema| {
            answer(&Head::default(), &offering(name, schema))
                .calls
                .remove(0)
                .input
        };
        assert_eq!(
            input("bash", json!({"properties": {"cmd": {"type": "array"}}})),
            r#"{"cmd":["bash","-lc","echo hi"]}"#
        );
        assert_eq!(input("exec_command", json!(null)), r#"{"cmd":"echo hi"}"#);
        assert_eq!(
            input(
                "run_terminal",
                json!({
                    "properties": {"command": {"type": "string"}, "background": {"type": "boolean"}},
                    "required": ["command", "background"],
                })
            ),
            r#"{"background":true,"command":"echo hi"}"#
        );
    }

    #[test]
    fn the_turn_ends_with_the_result_and_needs_a_tool_to_begin() {
        let mut conversation = offering("Bash", json!(null));
        conversation.tool_said(&json!([{"type": "text", "text": "hi"}]));
        let part = answer(&Head::default(), &conversation);
        assert_eq!(part.text.as_deref(), Some("The tool said: hi"));
        let part = answer(&Head::default(), &offering("Read", json!(null)));
        assert!(part.calls.is_empty() && part.text.unwrap().starts_with("You said: please RUN:"));
    }

    #[test]
    fn structured_output_fits_its_schema() {
        let schema = json!({"type": "object", "required": ["title", "isNew", "kind", "n"], "properties": {
            "title": {"type": "string"}, "isNew": {"type": "boolean"},
            "kind": {"enum": ["a", "b"]}, "n": {"type": "integer"}, "spare": {"type": "string"},
        }});
        assert_eq!(
            sample(&schema),
            json!({"title": "Scripted", "isNew": true, "kind": "a", "n": 1})
        );
    }

    #[test]
    fn an_answer_keeps_to_the_limit_of_tokens() {
        let mut conversation = Conversation::default();
        conversation.user_said("quota");
        let head = Head {
            max_tokens: Some(1),
            ..Head::default()
        };
        let part = answer(&head, &conversation);
        assert_eq!(
            (part.text.as_deref(), part.stop),
            (Some("You "), Stop::Length)
        );
    }
}
