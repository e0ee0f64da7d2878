//! Requests of Gemini, Bedrock and the rest, and the replies that come back in their histories.

use super::*;
use crate::tap::{ResponseFacts, ResponseTap, chain};
use http::{HeaderValue, header::CONTENT_TYPE};
use std::{fs, path::PathBuf};

fn read(endpoint: Endpoint, body: &str) -> RequestFacts {
    if endpoint.names_model_in_path() {
        read_request_to("m", endpoint, &HeaderMap::new(), body.as_bytes())
    } else {
        read_request(endpoint, &HeaderMap::new(), body.as_bytes()).unwrap()
    }
}

fn response(endpoint: Endpoint, kind: &'static str, body: &[u8]) -> ResponseFacts {
    let head = HeaderMap::from_iter([(CONTENT_TYPE, HeaderValue::from_static(kind))]);
    let mut tap = ResponseTap::new(endpoint, 200, &head);
    tap.feed(body);
    tap.finish(true)
}

fn fixture(file: &str) -> Vec<u8> {
    let wire = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/wire");
    fs::read(wire.join(file)).unwrap()
}

/// Name, call and whether it failed, of each result.
fn results(facts: &RequestFacts) -> Vec<(&str, &str, bool)> {
    let results = facts.tool_results.iter();
    results
        .map(|it| (&*it.name, &*it.call, it.result_error.unwrap()))
        .collect()
}

const GEMINI: Endpoint = Endpoint::GeminiStreamGenerateContent;
const CONVERSE: Endpoint = Endpoint::BedrockConverseStream;

#[test]
fn a_gemini_request_is_read() {
    let body = r#"{"contents":[
        {"role":"user","parts":[{"text":"<session_context>\nx</session_context>"},{"text":"list  files"},{"inlineData":{"mimeType":"image/png","data":"aGk="}}]},
        {"role":"model","parts":[{"text":"hm","thought":true},{"functionCall":{"id":"run_shell_command_1795402327784_0","name":"run_shell_command","args":{"command":"ls"}},"thoughtSignature":"c2ln"}]},
        {"role":"user","parts":[{"functionResponse":{"id":"run_shell_command_1795402327784_0","name":"run_shell_command","response":{"error":"no"}}}]}],
        "tools":[{"functionDeclarations":[{"name":"run_shell_command"}]}]}"#;
    let facts = read(GEMINI, body);
    assert_eq!(facts.model, "m");
    assert!(facts.stream);
    assert!(!read(Endpoint::GeminiGenerateContent, body).stream);
    assert_eq!(facts.title.as_deref(), Some("list files"));
    assert_eq!(facts.session.calls, ["run_shell_command_1795402327784_0"]);
    assert!(facts.session.client_calls && facts.session.has_tools);
    assert_eq!(
        results(&facts),
        [(
            "run_shell_command",
            "run_shell_command_1795402327784_0",
            true
        )]
    );
    assert_eq!(facts.message_borders.len(), 4);
    for border in &facts.message_borders[1..] {
        assert_eq!(&body[border - 1..*border], "}");
    }
}

/// Protobuf in JSON: both cases of names, and one value for a list of one.
#[test]
fn gemini_is_read_however_it_is_written() {
    let plain = read(
        GEMINI,
        r#"{"contents":[{"role":"user","parts":[{"text":"q"}]},{"role":"model","parts":[{"functionCall":{"name":"f","args":{"a":"<b>"}}}]},{"role":"user","parts":[{"functionResponse":{"name":"f","response":{"x":1}}}]}],"tools":[{"functionDeclarations":[]}]}"#,
    );
    for other in [
        r#"{"contents":[{"parts":{"text":"q"}},{"role":"model","parts":{"function_call":{"name":"f","args":{ "a" : "\u003cb\u003e" }}}},{"parts":{"function_response":{"name":"f","response":{"x": 1}}}}],"tools":{"functionDeclarations":[]}}"#,
        r#"{"system_instruction":{"parts":[{"text":"s"}]},"contents":[{"role":"user","parts":[{"text":" q "}]},{"role":"model","parts":[{"text":"t","thought":true},{"functionCall":{"name":"f","args":{"a":"<b>"}},"thoughtSignature":"x"}]},{"role":"function","parts":[{"functionResponse":{"name":"f","response":{"x":1}}}]}],"tools":[{"function_declarations":[]}]}"#,
    ] {
        let other = read(GEMINI, other);
        assert_eq!(other.session, plain.session);
        assert_eq!(other.tool_results, plain.tool_results);
    }
    let one = read(GEMINI, r#"{"contents":{"parts":[{"text":"q"}]}}"#);
    assert_eq!(one.title.as_deref(), Some("q"));
}

/// Clients that send no ids name results by their tool, or by a number of their own.
#[test]
fn gemini_results_find_their_calls() {
    let body = |responses: &str| {
        format!(
            r#"{{"contents":[{{"parts":[{{"text":"q"}}]}},{{"role":"model","parts":[{{"functionCall":{{"name":"a","args":{{}}}}}},{{"functionCall":{{"name":"b","args":{{}}}}}}]}},{{"parts":[{responses}]}}]}}"#
        )
    };
    let response =
        |name: &str| format!(r#"{{"functionResponse":{{"name":"{name}","response":{{}}}}}}"#);
    for (names, expected) in [
        (["b", "a"], ["b", "a"]),
        (["own-1", "own-2"], ["a", "b"]),
        (["own-1", "b"], ["a", "b"]),
    ] {
        let facts = read(GEMINI, &body(&names.map(response).join(",")));
        let found: Vec<_> = results(&facts).iter().map(|result| result.0).collect();
        assert_eq!(found, expected);
    }
}

#[test]
fn a_converse_request_is_read() {
    let facts = read(
        CONVERSE,
        r#"{"messages":[{"role":"user","content":[{"text":"hi"},{"cachePoint":{"type":"default"}}]},
            {"role":"assistant","content":[{"reasoningContent":{"reasoningText":{"text":"hm"}}},{"toolUse":{"toolUseId":"tooluse_1","name":"ls","input":{}}}]},
            {"role":"user","content":[{"toolResult":{"toolUseId":"tooluse_1","content":[{"json":{"a":1}},{"text":"r"}],"status":"error"}}]}],
            "requestMetadata":{"team":"x","sessionId":"abc"},"serviceTier":{"type":"flex"},"toolConfig":{"tools":[{"toolSpec":{"name":"ls"}}]}}"#,
    );
    assert_eq!(facts.session.explicit, ["abc"]);
    assert_eq!(facts.service_tier.as_deref(), Some("flex"));
    assert_eq!(facts.title.as_deref(), Some("hi"));
    assert_eq!(results(&facts), [("ls", "tooluse_1", true)]);
    assert!(facts.session.has_tools && !facts.session.client_calls);
    assert_eq!(facts.message_borders.len(), 4);
}

/// The family is told by what only it has.
#[test]
fn each_family_on_bedrock_words_its_messages_in_its_way() {
    for (body, title) in [
        (
            r#"{"anthropic_version":"bedrock-2023-05-31","messages":[{"role":"user","content":"hi"}]}"#,
            "hi",
        ),
        (
            r#"{"schemaVersion":"messages-v1","messages":[{"role":"user","content":[{"text":"hi nova"}]}]}"#,
            "hi nova",
        ),
        (
            r#"{"messages":[{"role":"system","content":"s"},{"role":"user","content":"hi chat"}]}"#,
            "hi chat",
        ),
        (r#"{"prompt":"hi llama","max_gen_len":10}"#, "hi llama"),
    ] {
        let facts = read(Endpoint::BedrockInvoke, body);
        assert_eq!(facts.title.as_deref(), Some(title));
    }
    let probe = read(Endpoint::BedrockInvoke, r#"{"inputText":"hi"}"#);
    assert_eq!((probe.model.as_str(), probe.title), ("m", None));
}

#[test]
fn prompts_are_conversations_and_what_is_judged_is_none() {
    let facts = read(
        Endpoint::OpenaiCompletions,
        r#"{"model":"m","prompt":["go on","from here"],"stream":true}"#,
    );
    assert_eq!(facts.title.as_deref(), Some("go on"));
    assert!(facts.stream);
    for (endpoint, body) in [
        (Endpoint::OpenaiEmbeddings, r#"{"model":"m","input":"x"}"#),
        (
            Endpoint::OpenaiModerations,
            r#"{"model":"m","input":["x"]}"#,
        ),
        (
            Endpoint::GeminiEmbedContent,
            r#"{"content":{"parts":[{"text":"x"}]},"contents":[{"parts":[{"text":"x"}]}]}"#,
        ),
    ] {
        let facts = read(endpoint, body);
        assert_eq!((facts.title, facts.session.history), (None, 0));
    }
}

/// A reply hashes alike when it is streamed and when it comes back in the history.
#[test]
fn a_reply_is_the_turn_that_comes_back() {
    let gemini = |model: &str| format!(r#"{{"contents":[{{"parts":[{{"text":"q"}}]}},{model}]}}"#);
    let converse = r#"{"messages":[{"role":"user","content":[{"text":"q"}]},{"role":"assistant","content":[{"reasoningContent":{}},{"text":"I look."},{"toolUse":{"toolUseId":"tooluse_1","name":"ls","input":{"path":"."}}}]}]}"#;
    let calls = r#"{"functionCall":{"name":"read_file","args":{"path":"a/<b>.txt","n":1}}},{"functionCall":{"id":"x","name":"ls","args":{}}}"#;
    let cases = [
        (
            GEMINI,
            "gemini_generate_content/thinking-tools.sse",
            gemini(&format!(
                r#"{{"role":"model","parts":[{{"text":"Grüße, I look."}},{calls}]}}"#
            )),
        ),
        // Some clients keep the pieces of a stream apart.
        (
            GEMINI,
            "gemini_generate_content/thinking-tools.array",
            gemini(&format!(
                r#"{{"role":"model","parts":[{{"text":"**","thought":true}}]}},{{"role":"model","parts":[{{"text":"Grüße, "}}]}},{{"role":"model","parts":[{{"text":"I look. "}}]}},{{"role":"model","parts":[{calls}]}}"#
            )),
        ),
        (
            Endpoint::GoogleStreamGenerateContent,
            "google_generate_content/partial-arguments.sse",
            gemini(
                r#"{"role":"model","parts":[{"functionCall":{"id":"call-9","name":"get_weather","args":{"location":"New Delhi","days":3,"units":["C"]}}}]}"#,
            ),
        ),
        (
            GEMINI,
            "gemini_generate_content/search-and-code.json",
            gemini(
                r#"{"role":"model","parts":[{"executableCode":{"code":"print(1)"}},{"codeExecutionResult":{"output":"1\n"}},{"text":"It is 1."}]}"#,
            ),
        ),
        (
            CONVERSE,
            "bedrock_converse/cache-thinking-tools.frames",
            converse.to_owned(),
        ),
        (
            Endpoint::BedrockInvokeStream,
            "bedrock_model_invoke/claude-thinking-tools.frames",
            r#"{"anthropic_version":"x","messages":[{"role":"user","content":"q"},{"role":"assistant","content":[{"type":"text","text":"Grüße, I look."},{"type":"tool_use","id":"toolu_bdrk_01","name":"Bash","input":{"command":"ls"}}]}]}"#.to_owned(),
        ),
        (
            Endpoint::BedrockInvokeStream,
            "bedrock_model_invoke/nova-tools.frames",
            r#"{"schemaVersion":"messages-v1","messages":[{"role":"user","content":[{"text":"q"}]},{"role":"assistant","content":[{"text":"Let me look."},{"toolUse":{"toolUseId":"tooluse_n2","name":"ls","input":{"path":"."}}}]}]}"#.to_owned(),
        ),
    ];
    let first = read(
        Endpoint::OpenaiChat,
        r#"{"model":"m","messages":[{"role":"user","content":"q"}]}"#,
    );
    for (endpoint, file, body) in cases {
        let reply = response(endpoint, "", &fixture(file));
        let history = chain(first.session.history, reply.reply_turn.unwrap());
        let facts = read(endpoint, &body);
        assert_eq!(facts.session.replies, [history], "{file}");
    }
}
