//! The same conversation in every dialect reads the same, and what is hostile or broken is bounded.

use super::{
    parts::{Budget, Text},
    *,
};
use crate::{
    dashboard::frames::tests::{chunk, frame},
    endpoint::Endpoint,
    record::{CapturedBody, HeadLines, RequestId, Timings},
};
use serde_json::{Value, json};

fn captured(request: &Value, response: &str) -> Capture {
    captured_bytes(request, response.as_bytes())
}

/// With an answer in binary frames.
fn framed(request: &Value, frames: &[Vec<u8>]) -> Capture {
    let kind = "application/vnd.amazon.eventstream";
    Capture {
        response_head: HeadLines::from_iter([("Content-Type", kind)]),
        ..captured_bytes(request, &frames.concat())
    }
}

fn captured_bytes(request: &Value, response: &[u8]) -> Capture {
    let body = |bytes: Vec<u8>| CapturedBody {
        size: bytes.len() as u64,
        chunks: vec![bytes.into()],
        ..CapturedBody::default()
    };
    Capture {
        request: body(request.to_string().into_bytes()),
        response: body(response.to_vec()),
        ..Capture::default()
    }
}

fn record(second: u64) -> Record {
    let id = RequestId::at(Timestamp(1_800_000_000_000 + second * 1_000));
    let mut record = Record::new(id, Endpoint::AnthropicMessages);
    record.end = End::Complete;
    record.timings = Timings {
        total_us: 2_000_000,
        ..Timings::default()
    };
    record
}

fn events(events: &[Value]) -> String {
    let lines = events.iter().map(|event| format!("data: {event}"));
    lines.collect::<Vec<_>>().join("\n\n")
}

fn text(text: &str) -> Part {
    Part::Text(Text {
        text: text.into(),
        left_out: 0,
    })
}

/// Each dialect's way to say: be brief; list the files; (calls ls) ; a.txt; There is a.txt.
fn dialects() -> Vec<(&'static str, [Capture; 2])> {
    let anthropic_first =
        json!([{"role": "user", "content": [{"type": "text", "text": "List the files"}]}]);
    let anthropic = [
        (
            json!({"system": [{"type": "text", "text": "Be brief"}], "messages": anthropic_first}),
            events(&[
                json!({"type": "message_start", "message": {}}),
                json!({"type": "content_block_start", "index": 0, "content_block": {"type": "tool_use", "id": "c1", "name": "ls", "input": {}}}),
                json!({"type": "content_block_delta", "index": 0, "delta": {"type": "input_json_delta", "partial_json": "{\"in\":"}}),
                json!({"type": "content_block_delta", "index": 0, "delta": {"type": "input_json_delta", "partial_json": "\".\"}"}}),
            ]),
        ),
        (
            json!({"system": "Be brief", "messages": [anthropic_first[0],
                {"role": "assistant", "content": [{"type": "tool_use", "id": "c1", "name": "ls", "input": {"in": "."}}]},
                {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "c1", "content": "a.txt"}]}]}),
            json!({"type": "message", "content": [{"type": "text", "text": "There is a.txt."}]})
                .to_string(),
        ),
    ];
    let call = json!({"id": "c1", "type": "function", "function": {"name": "ls", "arguments": "{\"in\":\".\"}"}});
    let system = json!({"role": "system", "content": "Be brief"});
    let user = json!({"role": "user", "content": "List the files"});
    let chat = [
        (
            json!({"messages": [system, user]}),
            events(&[
                json!({"choices": [{"delta": {"role": "assistant", "tool_calls": [{"index": 0, "id": "c1", "function": {"name": "ls", "arguments": ""}}]}}]}),
                json!({"choices": [{"delta": {"tool_calls": [{"index": 0, "function": {"arguments": "{\"in\":\".\"}"}}]}}]}),
            ]),
        ),
        (
            json!({"messages": [system, user, {"role": "assistant", "tool_calls": [call]},
                {"role": "tool", "tool_call_id": "c1", "content": "a.txt"}]}),
            json!({"choices": [{"message": {"content": "There is a.txt."}}]}).to_string(),
        ),
    ];
    let item = json!({"type": "function_call", "call_id": "c1", "name": "ls", "arguments": "{\"in\":\".\"}"});
    let responses = [
        (
            json!({"instructions": "Be brief", "input": "List the files"}),
            events(&[
                json!({"type": "response.created"}),
                json!({"type": "response.output_item.done", "item": item}),
            ]),
        ),
        (
            json!({"instructions": "Be brief", "input": [
                {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "List the files"}]},
                item, {"type": "function_call_output", "call_id": "c1", "output": "a.txt"}]}),
            json!({"output": [{"type": "message", "content": [{"type": "output_text", "text": "There is a.txt."}]}]}).to_string(),
        ),
    ];
    let gemini_user = json!({"role": "user", "parts": [{"text": "List the files"}]});
    let part = json!({"functionCall": {"id": "c1", "name": "ls", "args": {"in": "."}}});
    let gemini = [
        (
            json!({"systemInstruction": {"parts": [{"text": "Be brief"}]}, "contents": [gemini_user]}),
            events(&[json!({"candidates": [{"content": {"parts": [part]}}]})]),
        ),
        (
            json!({"systemInstruction": {"parts": [{"text": "Be brief"}]}, "contents": [gemini_user,
                {"role": "model", "parts": [part]},
                {"role": "user", "parts": [{"functionResponse": {"id": "c1", "name": "ls", "response": {"output": "a.txt"}}}]}]}),
            events(&[
                json!({"candidates": [{"content": {"parts": [{"text": "There is "}]}}]}),
                json!({"candidates": [{"content": {"parts": [{"text": "a.txt."}]}}]}),
            ]),
        ),
    ];
    let bedrock = bedrock(&anthropic);
    let texts = |pairs: [(Value, String); 2]| pairs.map(|(asked, said)| captured(&asked, &said));
    let mut all = vec![
        ("anthropic", texts(anthropic)),
        ("chat", texts(chat)),
        ("responses", texts(responses)),
        ("gemini", texts(gemini)),
    ];
    all.extend(bedrock);
    all
}

/// The same in binary frames: Claude's own words, and Converse.
fn bedrock(anthropic: &[(Value, String); 2]) -> [(&'static str, [Capture; 2]); 2] {
    let [claude_first, claude_second] = anthropic;
    let claude = |event: Value| chunk(&event);
    let invoke = [
        framed(
            &claude_first.0,
            &[
                claude(json!({"type": "message_start", "message": {}})),
                claude(
                    json!({"type": "content_block_start", "index": 0, "content_block": {"type": "tool_use", "id": "c1", "name": "ls", "input": {}}}),
                ),
                claude(
                    json!({"type": "content_block_delta", "index": 0, "delta": {"type": "input_json_delta", "partial_json": "{\"in\":"}}),
                ),
                claude(
                    json!({"type": "content_block_delta", "index": 0, "delta": {"type": "input_json_delta", "partial_json": "\".\"}"}}),
                ),
                claude(
                    json!({"type": "message_stop", "amazon-bedrock-invocationMetrics": {"inputTokenCount": 1}}),
                ),
            ],
        ),
        captured(&claude_second.0, &claude_second.1),
    ];
    let event = |kind: &str, payload: Value| frame("event", kind, &payload.to_string());
    let blocks = json!([{"text": "List the files"}]);
    let user = json!({"role": "user", "content": blocks});
    let converse = [
        framed(
            &json!({"system": [{"text": "Be brief"}], "messages": [user]}),
            &[
                event("messageStart", json!({"role": "assistant"})),
                event(
                    "contentBlockStart",
                    json!({"contentBlockIndex": 0, "start": {"toolUse": {"toolUseId": "c1", "name": "ls"}}}),
                ),
                event(
                    "contentBlockDelta",
                    json!({"contentBlockIndex": 0, "delta": {"toolUse": {"input": "{\"in\":"}}}),
                ),
                event(
                    "contentBlockDelta",
                    json!({"contentBlockIndex": 0, "delta": {"toolUse": {"input": "\".\"}"}}}),
                ),
                event("messageStop", json!({"stopReason": "tool_use"})),
            ],
        ),
        framed(
            &json!({"system": [{"text": "Be brief"}], "messages": [user,
                {"role": "assistant", "content": [{"toolUse": {"toolUseId": "c1", "name": "ls", "input": {"in": "."}}}]},
                {"role": "user", "content": [{"toolResult": {"toolUseId": "c1", "content": [{"text": "a.txt"}]}}]}]}),
            &[
                event("messageStart", json!({"role": "assistant"})),
                event(
                    "contentBlockDelta",
                    json!({"contentBlockIndex": 0, "delta": {"text": "There is "}}),
                ),
                event(
                    "contentBlockDelta",
                    json!({"contentBlockIndex": 0, "delta": {"text": "a.txt."}}),
                ),
            ],
        ),
    ];
    [("bedrock invoke", invoke), ("bedrock converse", converse)]
}

#[test]
fn every_dialect_reads_the_same() {
    for (name, [first, second]) in dialects() {
        let turns = turns(vec![(record(0), Some(first)), (record(5), Some(second))]);
        let [first, second] = turns.as_slice() else {
            panic!("two turns");
        };
        assert_eq!(first.system.as_deref(), Some("Be brief"), "{name}");
        assert_eq!(second.system, None, "{name}: the same prompt is shown once");
        assert_eq!(first.asked, [text("List the files")], "{name}");
        let [Part::Call(call)] = first.answer.as_slice() else {
            panic!("{name}: {:?}", first.answer);
        };
        assert_eq!(
            (call.name.as_str(), call.arguments.text.as_str()),
            ("ls", "{\"in\":\".\"}")
        );
        let outcome = call.outcome.as_ref().expect("its result stands with it");
        assert!(matches!(&outcome.parts[..], [Part::Text(it)] if it.text.contains("a.txt")));
        assert_eq!(
            outcome.took_ms,
            Some(3_000),
            "{name}: from the end of the answer on"
        );
        assert_eq!(second.asked, [], "{name}: only the result was new");
        assert_eq!(second.answer, [text("There is a.txt.")], "{name}");
        assert_eq!((first.earlier, second.earlier), (0, 2), "{name}");
    }
}

#[test]
fn what_bedrocks_streams_say_besides_is_shown() {
    let answer = |frames: &[Vec<u8>]| {
        let asked = json!({"inputText": "Hello"});
        let turns = turns(vec![(record(0), Some(framed(&asked, frames)))]);
        let turn = turns.into_iter().next().expect("one turn");
        assert_eq!(turn.asked, [text("Hello")]);
        (turn.answer, turn.gaps)
    };
    let delta = |text: Value| {
        let payload = json!({"contentBlockIndex": 0, "delta": {"reasoningContent": text}});
        frame("event", "contentBlockDelta", &payload.to_string())
    };
    let slow = frame(
        "exception",
        "throttlingException",
        "{\"message\":\"slow down\"}",
    );
    let (parts, gaps) = answer(&[delta(json!({"text": "Hmm"})), slow]);
    let said = |text: &str| Text {
        text: text.into(),
        left_out: 0,
    };
    assert_eq!(
        parts,
        [Part::Thinking(said("Hmm")), Part::Error(said("slow down"))]
    );
    assert_eq!(gaps, [""; 0]);
    // Families that know nothing but text.
    for events in [
        [json!({"generation": "He"}), json!({"generation": "llo"})],
        [json!({"outputText": "He"}), json!({"outputText": "llo"})],
        [
            json!({"outputs": [{"text": "He"}]}),
            json!({"outputs": [{"text": "llo"}]}),
        ],
    ] {
        let (parts, _) = answer(&events.map(|event| chunk(&event)));
        assert_eq!(parts, [text("Hello")]);
    }
    let mut broken = chunk(&json!({"generation": "x"}));
    *broken.last_mut().expect("a byte") ^= 1;
    let (parts, gaps) = answer(&[chunk(&json!({"generation": "Hello"})), broken]);
    assert_eq!((parts.len(), gaps.len()), (1, 1));
}

#[test]
fn what_is_asked_again_is_shown_once() {
    let [first, second] = dialects().remove(0).1;
    let overloaded = Capture {
        response: captured(&json!({}), "{\"error\": {\"message\": \"Overloaded\"}}").response,
        ..second.clone()
    };
    let mut broken = record(5);
    broken.status = Some(529);
    let turns = turns(vec![
        (record(0), Some(first)),
        (broken, Some(overloaded)),
        (record(9), Some(second)),
    ]);
    assert!(matches!(&turns[1].answer[..], [Part::Error(why)] if why.text == "Overloaded"));
    assert!(
        turns[1].asked.is_empty() && turns[2].asked.is_empty(),
        "the result stands with its call"
    );
    assert_eq!(turns[2].answer, [text("There is a.txt.")]);

    let ask = json!({"messages": [{"role": "user", "content": "Hello"}]});
    let mut broken = record(0);
    broken.end = End::Interrupted;
    let turns = super::turns(vec![
        (broken, Some(captured(&ask, ""))),
        (record(9), Some(captured(&ask, "{\"content\": \"Hi\"}"))),
    ]);
    assert_eq!(turns[0].asked, [text("Hello")]);
    assert!(turns[1].again && turns[1].asked.is_empty());
    assert_eq!(turns[1].answer, [text("Hi")]);
}

#[test]
fn broken_and_hostile_bodies_leave_gaps_and_no_more() {
    let odd = [
        "",
        "null",
        "[]",
        "{\"messages\":3}",
        "\u{feff}",
        "{\"messages\":[[[]],{\"role\":7}]}",
    ];
    for request in odd {
        for response in [
            "data: {",
            "[1,2]",
            "{\"content\":{\"type\":[]}}",
            "data: null\n\n",
        ] {
            let mut capture = captured(&json!({}), response);
            capture.request.chunks = vec![request.as_bytes().to_vec().into()];
            turns(vec![(record(0), Some(capture))]);
        }
    }
    let mut capture = captured(&json!({}), "x");
    capture.request.chunks = vec![vec![0xff, 0xfe].into()];
    let [turn] = &turns(vec![(record(0), Some(capture))])[..] else {
        panic!("one turn");
    };
    assert_eq!(turn.gaps.len(), 2);
    let deep = format!(
        "{{\"messages\":{}1{}}}",
        "[".repeat(20_000),
        "]".repeat(20_000)
    );
    let asked = asked::read(deep.as_bytes(), &mut Budget::of_a_page());
    assert!(asked.is_none_or(|asked| asked.parts.is_empty()));
}

#[test]
fn a_page_takes_so_much_and_no_more() {
    let many: Vec<Value> = (0..5_000)
        .map(|n| json!({"type": "text", "text": format!("{n}{}", "é".repeat(9_000))}))
        .collect();
    let mut budget = Budget::of_a_page();
    let asked = asked::read(
        json!({"messages": [{"role": "user", "content": many}]})
            .to_string()
            .as_bytes(),
        &mut budget,
    );
    let parts = asked.expect("a conversation").parts;
    let shown: usize = parts
        .iter()
        .map(|part| match part {
            Part::Text(text) => text.text.len(),
            other => panic!("{other:?}"),
        })
        .sum();
    assert!(budget.is_spent() && shown <= 400 << 10, "{shown}");
    assert!(matches!(&parts[0], Part::Text(text) if text.left_out > 5_000));
}

#[test]
fn only_pictures_become_data_urls() {
    let image = |kind: &str, data: &str| {
        let source = json!({"type": "base64", "media_type": kind, "data": data});
        let body = json!({"messages": [{"role": "user", "content": [{"type": "image", "source": source}]}]});
        let asked = asked::read(body.to_string().as_bytes(), &mut Budget::of_a_page());
        asked.expect("a conversation").parts.remove(0)
    };
    let shown = Part::Image(Image::Shown("data:image/png;base64,iVBORw==".into()));
    assert_eq!(image("image/png", "iVBORw=="), shown);
    for (kind, data) in [
        ("image/svg+xml", "PHN2Zz4="),
        ("text/html", "PGI+"),
        ("image/png", "\"><script>"),
        ("image/png", &"A".repeat(300 << 10)),
    ] {
        assert!(
            matches!(image(kind, data), Part::Image(Image::Named(_))),
            "{kind}"
        );
    }
}
