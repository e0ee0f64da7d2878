//! What is said in the sessions whose texts are kept: an agent and a person over a small piece of work, from a script.

use crate::random::Random;
use aperture::record::{Capture, CapturedBody, End, HeadLines, Record};
use serde_json::{Value, json};

/// What people ask for.
pub(crate) const TITLES: [&str; 16] = [
    "Find out why the nightly build fails on arm64",
    "Add pagination to the invoices endpoint",
    "Explain what the retry queue does when Redis is down",
    "Write tests for the CSV importer",
    "Move the settings page to the new form components",
    "Why is the first page load so slow after a deploy?",
    "Rename Customer to Account everywhere",
    "Plan the migration of the billing service to Postgres 18",
    "Review the change in src/auth/session.rs",
    "Make the export work for files larger than 2 GB",
    "Summarise yesterday's incident for the weekly report",
    "Replace moment.js by the built-in Intl formatting",
    "Fix the flaky test in payments/refund_test.go",
    "Draft release notes for 4.12",
    "Add a dark theme to the status page",
    "Trace where the extra SQL query comes from",
];

const THOUGHTS: [&str; 4] = [
    "The error appears only after the second call, so the first one must leave something behind. Let me look at how the \
     connection is returned to the pool.",
    "Two callers pass the old signature. I should change both before running the tests.",
    "The numbers do not add up: 40 rows in, 38 out. Something drops the rows with an empty second column.",
    "This is the third place that formats the date by hand; a helper exists in lib/time.",
];

const WORDS: [&str; 6] = [
    "I'll look at how this is wired up first.",
    "That confirms it: the handler is registered twice, once in `routes.rs` and once by the plugin. I'll remove the second \
     registration and keep the test that would have caught it.",
    "The test passes now. One more place uses the old name; I'll change it as well and run the whole suite.",
    "Done. What changed:\n\n- the importer keeps rows with an empty second column\n- a test covers quoted line breaks\n- the \
     error names the line\n\nI left the parser's public API as it was.",
    "The build fails because the arm64 image has no `zstd` headers. Installing `libzstd-dev` in the builder stage fixes it.",
    "Before I change the schema: the table has 48 million rows, so the column should be added without a default, then \
     filled in steps. Shall I write the migration that way?",
];

const ANSWERS: [&str; 3] = [
    "Yes, that way. Keep each step below a second.",
    "Good. Now the same for the staging configuration, please.",
    "Hm, are you sure that nothing else reads that file?",
];

const SYSTEM: &str = "You are a coding agent in a terminal. Work in small steps, read before you change, run the tests \
                      after every change, and say what you did in a few words.\n\nWorking directory: /home/dev/shop\nPlatform: linux";

/// A picture of 24 by 24 points, for a conversation that has one.
const PICTURE: &str = "iVBORw0KGgoAAAANSUhEUgAAABgAAAAYCAIAAABvFaqvAAAALklEQVR42mM4//gBGhIqzEFDxKhhGDWIjgaRpw1TzahB9DRoNGWP5rVRg+hiEAByS/FOPiV3BQAAAABJRU5ErkJggg==";

/// One conversation as it grows.
pub(crate) struct Speech {
    messages: Vec<Value>,
    open: Vec<(String, String)>,
}

impl Speech {
    pub(crate) fn new(title: &str, random: &mut Random) -> Self {
        let mut content = vec![json!({"type": "text", "text": title})];
        if random.chance(150) {
            content.push(json!({"type": "text", "text": "This is how it looks now:"}));
            content.push(json!({"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": PICTURE}}));
        }
        Self {
            messages: vec![json!({"role": "user", "content": content})],
            open: Vec::new(),
        }
    }

    /// The capture of one request of the conversation.
    pub(crate) fn turn(&mut self, record: &Record, turn: u64, random: &mut Random) -> Capture {
        if turn > 0 {
            self.user(record, random);
        }
        let request = json!({
            "model": record.model, "max_tokens": 32_000, "stream": true,
            "system": [{"type": "text", "text": SYSTEM}], "messages": self.messages,
        });
        let answer = self.answer(record, random);
        let failed = record.end != End::Complete || record.status != Some(200);
        let response = if failed && record.status != Some(200) {
            json!({"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}})
                .to_string()
        } else {
            stream(&answer, failed)
        };
        if failed {
            // The client asks again with the same history.
            self.open.clear();
        } else {
            self.messages
                .push(json!({"role": "assistant", "content": answer}));
        }
        Capture {
            request_head: HeadLines::from_iter([
                ("content-type", "application/json"),
                ("anthropic-version", "2023-06-01"),
            ]),
            response_head: HeadLines::from_iter([(
                "content-type",
                if response.starts_with('{') {
                    "application/json"
                } else {
                    "text/event-stream"
                },
            )]),
            request: body(request.to_string()),
            response: body(response),
        }
    }

    /// The user's side: the results of what was called, or a word of the person.
    fn user(&mut self, record: &Record, random: &mut Random) {
        let mut content: Vec<Value> = Vec::new();
        for (id, tool) in self.open.drain(..) {
            let failed = record
                .tools
                .iter()
                .any(|call| call.call == id && call.result_error == Some(true));
            content.push(json!({
                "type": "tool_result", "tool_use_id": id, "is_error": failed,
                "content": if failed { "exit status 1: no such file or directory".to_owned() } else { output(&tool, random) },
            }));
        }
        if content.is_empty() {
            content.push(json!({"type": "text", "text": random.pick(&ANSWERS)}));
        }
        match self.messages.last_mut() {
            // A failed request is repeated, not answered.
            Some(last) if last["role"] == "user" => {}
            _ => self
                .messages
                .push(json!({"role": "user", "content": content})),
        }
    }

    fn answer(&mut self, record: &Record, random: &mut Random) -> Vec<Value> {
        let mut blocks = Vec::new();
        if random.chance(250) {
            blocks.push(json!({"type": "thinking", "thinking": random.pick(&THOUGHTS)}));
        }
        let calls = record
            .tools
            .iter()
            .filter(|call| call.result_error.is_none());
        let calls: Vec<_> = calls.collect();
        if calls.is_empty() || random.chance(450) {
            blocks.push(json!({"type": "text", "text": random.pick(&WORDS)}));
        }
        for call in calls {
            blocks.push(json!({"type": "tool_use", "id": call.call, "name": call.name, "input": input(&call.name, random)}));
            self.open.push((call.call.clone(), call.name.clone()));
        }
        blocks
    }
}

fn input(tool: &str, random: &mut Random) -> Value {
    let files = [
        "src/import/csv.rs",
        "src/routes.rs",
        "tests/import.rs",
        "deploy/Dockerfile",
        "web/settings/form.tsx",
    ];
    let file = *random.pick(&files);
    match tool {
        "Bash" => {
            json!({"command": random.pick(&["cargo test -q import", "git diff --stat", "rg -n 'retry' src", "make lint"]), "description": "Look at the state of things"})
        }
        "Edit" => {
            json!({"file_path": file, "old_string": "let rows = parse(text)?;", "new_string": "let rows = parse(text).context(\"reading the import\")?;"})
        }
        "Write" => {
            json!({"file_path": file, "content": "//! Rows as they come.\n\npub struct Row {\n    pub line: usize,\n}\n"})
        }
        "Grep" => json!({"pattern": "fn parse", "path": "src"}),
        "Glob" => json!({"pattern": "**/*.rs"}),
        "TodoWrite" => {
            json!({"todos": [{"content": "Find where rows are dropped", "status": "completed"}, {"content": "Add a test", "status": "in_progress"}]})
        }
        "WebFetch" => {
            json!({"url": "https://example.com/changelog", "prompt": "What changed in 4.12?"})
        }
        "Read" => json!({"file_path": file}),
        _ => json!({"query": "importer drops rows"}),
    }
}

fn output(tool: &str, random: &mut Random) -> String {
    match tool {
        "Bash" => "running 14 tests\n..............\ntest result: ok. 14 passed; 0 failed; finished in 0.42s".into(),
        "Read" => {
            let lines = (1..=random.within(12, 40)).map(|n| format!("{n:>5}\tlet row_{n} = reader.next().transpose()?;"));
            lines.collect::<Vec<_>>().join("\n")
        }
        "Edit" | "Write" => "The file has been updated.".into(),
        "Grep" => "src/import/csv.rs:41:pub fn parse(text: &str) -> Result<Vec<Row>> {\nsrc/import/json.rs:18:fn parse_value(value: Value) -> Row {".into(),
        "Glob" => "src/import/csv.rs\nsrc/import/json.rs\nsrc/import/mod.rs\nsrc/routes.rs".into(),
        _ => "[]".into(),
    }
}

/// The events of an answer; a broken one stops in the middle.
fn stream(blocks: &[Value], broken: bool) -> String {
    let mut events =
        vec![json!({"type": "message_start", "message": {"role": "assistant", "content": []}})];
    for (index, block) in blocks.iter().enumerate() {
        let (empty, deltas) = match block["type"].as_str() {
            Some("tool_use") => {
                let mut empty = block.clone();
                empty["input"] = json!({});
                (
                    empty,
                    vec![
                        json!({"type": "input_json_delta", "partial_json": block["input"].to_string()}),
                    ],
                )
            }
            Some("thinking") => (
                json!({"type": "thinking", "thinking": ""}),
                vec![json!({"type": "thinking_delta", "thinking": block["thinking"]})],
            ),
            _ => {
                let text = block["text"].as_str().unwrap_or_default();
                let half = text.floor_char_boundary(text.len() / 2);
                let pieces = [&text[..half], &text[half..]];
                (
                    json!({"type": "text", "text": ""}),
                    pieces
                        .map(|piece| json!({"type": "text_delta", "text": piece}))
                        .to_vec(),
                )
            }
        };
        events.push(json!({"type": "content_block_start", "index": index, "content_block": empty}));
        events.extend(
            deltas.into_iter().map(
                |delta| json!({"type": "content_block_delta", "index": index, "delta": delta}),
            ),
        );
        events.push(json!({"type": "content_block_stop", "index": index}));
    }
    if broken {
        events.truncate(3);
    } else {
        events.push(json!({"type": "message_stop"}));
    }
    let lines = events.iter().map(|event| {
        format!(
            "event: {}\ndata: {event}\n\n",
            event["type"].as_str().unwrap_or_default()
        )
    });
    lines.collect()
}

fn body(text: String) -> CapturedBody {
    CapturedBody {
        size: text.len() as u64,
        chunks: vec![text.into_bytes().into()],
        ..CapturedBody::default()
    }
}
