//! Recorded requests of real agents: they can be led through a tool turn.

use provider::{Options, Provider};
use serde_json::{Value, json};

use crate::client::Client;

/// The recorded bodies, with `RUN: echo hi` in the place of what the user asked.
fn recorded(file: &str, asked: &str) -> Vec<Value> {
    let text = file.replace(asked, "RUN: echo hi");
    let file: Value = serde_json::from_str(&text).unwrap();
    let mut bodies = file["requests"].as_array().unwrap().clone();
    for body in &mut bodies {
        restore_tools(body);
        // What they went on from was another provider's.
        body.as_object_mut().unwrap().remove("previous_response_id");
    }
    bodies
}

/// The recording names the tools that it leaves out in one string; puts them back.
fn restore_tools(body: &mut Value) {
    let Some(tools) = body["tools"].as_array_mut() else {
        return;
    };
    let Some(left_out) = tools.pop_if(|tool| tool.is_string()) else {
        return;
    };
    let (_, names) = left_out.as_str().unwrap().split_once("in all: ").unwrap();
    for name in names.split(", ").skip(tools.len()) {
        tools.push(json!({"type": "function", "name": name}));
    }
}

async fn start() -> (Provider, Client) {
    let provider = Provider::start(Options::default()).await.unwrap();
    let client = Client::h1(provider.addr()).await;
    (provider, client)
}

#[tokio::test]
async fn claude_code_runs_a_command_and_ends_with_its_output() {
    let bodies = recorded(
        include_str!("../data/claude-code.json"),
        "USETOOL please run echo",
    );
    let (_provider, mut client) = start().await;
    let ask = async |client: &mut Client, body: &Value| {
        let mut body = body.clone();
        body["stream"] = json!(false);
        client
            .post("/v1/messages?beta=true", &[], body.to_string())
            .await
            .unwrap()
            .json()
    };
    let hi = ask(&mut client, &bodies[0]).await;
    assert_eq!(hi["content"][0]["text"], "You said: say hi");
    let call = ask(&mut client, &bodies[1]).await;
    assert_eq!(call["stop_reason"], "tool_use");
    assert_eq!(call["content"][0]["name"], "Bash");
    assert_eq!(
        call["content"][0]["input"],
        json!({"command": "echo hi", "description": "Run the command of the prompt"})
    );
    let end = ask(&mut client, &bodies[2]).await;
    assert_eq!(end["stop_reason"], "end_turn");
    assert_eq!(end["content"][0]["text"], "The tool said: tool-ran");
    // A resumed conversation asks anew: the old command is not run again.
    let again = ask(&mut client, &bodies[3]).await;
    assert_eq!(again["content"][0]["text"], "You said: and again");
}

#[tokio::test]
async fn codex_runs_a_command_and_ends_with_its_output() {
    let bodies = recorded(include_str!("../data/codex-http.json"), "USETOOL run echo");
    let (_provider, mut client) = start().await;
    let call = client
        .post("/v1/responses", &[], bodies[0].to_string())
        .await
        .unwrap();
    let events = call.events();
    let done = events
        .iter()
        .find(|event| event.data["type"] == "response.output_item.done");
    let item = &done.unwrap().data["item"];
    assert_eq!(item["type"], "function_call");
    assert_eq!(item["name"], "exec_command");
    assert_eq!(item["arguments"], r#"{"cmd":"echo hi"}"#);
    let said = |events: Vec<crate::client::Event>| {
        events.last().unwrap().data["response"]["output"][0]["content"][0]["text"].clone()
    };
    let end = client
        .post("/v1/responses", &[], bodies[1].to_string())
        .await
        .unwrap();
    assert!(
        said(end.events())
            .as_str()
            .unwrap()
            .starts_with("The tool said: Chunk ID: 945990")
    );
    let again = client
        .post("/v1/responses", &[], bodies[2].to_string())
        .await
        .unwrap();
    assert_eq!(said(again.events()), "You said: second turn");
}

/// The newest models get no `tools`: they are offered in the input, within namespaces.
#[tokio::test]
async fn codex_with_tools_in_its_input_runs_a_program() {
    let bodies = recorded(
        include_str!("../data/codex-additional-tools.json"),
        "USETOOL hi",
    );
    let (_provider, mut client) = start().await;
    let call = client
        .post("/v1/responses", &[], bodies[0].to_string())
        .await
        .unwrap();
    let last = call.events().pop().unwrap().data;
    let item = &last["response"]["output"][0];
    assert_eq!(item["type"], "custom_tool_call");
    assert_eq!(
        (&item["name"], &item["namespace"]),
        (&json!("exec"), &json!("functions"))
    );
    assert_eq!(
        item["input"],
        "const result = await tools.exec_command({\"cmd\":\"echo hi\"});\ntext(result.output);"
    );
    let deltas: String = call
        .events()
        .iter()
        .filter_map(|event| event.data["delta"].as_str())
        .collect();
    assert_eq!(item["input"], deltas);
}

#[tokio::test]
async fn side_calls_get_what_fits_and_no_script() {
    let (_provider, mut client) = start().await;
    let prompt = r#"SCRIPT: {"status":500} RUN: echo hi"#;
    let schema = json!({"type": "object", "required": ["title"], "properties": {"title": {"type": "string"}}});
    let body = json!({
        "model": "claude-haiku-4-5", "max_tokens": 100,
        "output_config": {"format": {"type": "json_schema", "schema": schema}},
        "messages": [{"role": "user", "content": prompt}],
    });
    let title = client
        .post("/v1/messages", &[], body.to_string())
        .await
        .unwrap();
    assert_eq!(title.status, 200);
    assert_eq!(
        title.json()["content"][0]["text"],
        r#"{"title":"Scripted"}"#
    );
    let body = json!({
        "model": "gpt-5-mini", "messages": [
            {"role": "system", "content": "You are a title generator. Generate a brief title."},
            {"role": "user", "content": prompt},
        ],
    });
    let title = client
        .post("/v1/chat/completions", &[], body.to_string())
        .await
        .unwrap()
        .json();
    assert_eq!(
        title["choices"][0]["message"]["content"],
        "Scripted conversation"
    );
}

/// A scripted call in a prompt is made once, or the agent would never come to an end.
#[tokio::test]
async fn a_scripted_tool_is_not_called_again_with_its_result() {
    let (_provider, mut client) = start().await;
    let script = r#"SCRIPT: {"text":"all done","tool":{"name":"Read","input":{"path":"a"}}}"#;
    let mut messages = vec![json!({"role": "user", "content": script})];
    let body = |messages: &[Value]| json!({"model": "m", "messages": messages}).to_string();
    let call = client
        .post("/v1/chat/completions", &[], body(&messages))
        .await
        .unwrap()
        .json();
    let message = &call["choices"][0]["message"];
    assert_eq!(
        message["tool_calls"][0]["function"]["arguments"],
        r#"{"path":"a"}"#
    );
    messages.push(message.clone());
    messages.push(json!({"role": "tool", "tool_call_id": "x", "content": "text of a"}));
    let end = client
        .post("/v1/chat/completions", &[], body(&messages))
        .await
        .unwrap()
        .json();
    assert_eq!(end["choices"][0]["message"]["content"], "all done");
    assert_eq!(end["choices"][0]["finish_reason"], "stop");
}

/// Puts the tools back that a recording of Google's or Amazon's format leaves out.
fn restore_declared(value: &mut Value) {
    match value {
        Value::Array(values) => {
            let left_out = values.pop_if(|value| {
                value
                    .as_str()
                    .is_some_and(|text| text.contains(" in all: "))
            });
            if let Some(left_out) = left_out {
                let (_, names) = left_out.as_str().unwrap().split_once(" in all: ").unwrap();
                let is_converse = values[0].get("toolSpec").is_some();
                let schema = json!({"properties": {"command": {"type": "string"}}});
                values.extend(names.split(", ").map(|name| {
                    if is_converse {
                        json!({"toolSpec": {"name": name, "inputSchema": {"json": schema}}})
                    } else {
                        json!({"name": name, "parametersJsonSchema": schema})
                    }
                }));
            }
            values.iter_mut().for_each(restore_declared);
        }
        Value::Object(fields) => fields.values_mut().for_each(restore_declared),
        _ => {}
    }
}

/// Gemini CLI on both of Google's services, Goose on Google's and Amazon's.
#[tokio::test]
async fn agents_of_google_and_amazon_run_a_command_and_end_with_its_output() {
    let files = [
        include_str!("../data/gemini-cli.json"),
        include_str!("../data/goose-google-bedrock.json"),
    ];
    let (provider, mut client) = start().await;
    let (mut calls, mut ends) = (0, 0);
    for file in files {
        let file: Value =
            serde_json::from_str(&file.replace("USETOOL say hi", "RUN: echo hi")).unwrap();
        for recorded in file["requests"].as_array().unwrap() {
            let mut body = recorded["body"].clone();
            restore_declared(&mut body);
            let [path, query] = ["path", "query"].map(|name| recorded[name].as_str().unwrap());
            let target = format!("{path}?{query}");
            let reply = client.post(&target, &[], body.to_string()).await.unwrap();
            assert_eq!(reply.status, 200, "{target}");
            assert!(
                provider.log().pop().unwrap().request.dialect.is_some(),
                "{target}"
            );
            let (text, body) = (reply.text(), body.to_string());
            let calls_shell = text.contains(r#"{"command":"echo hi"}"#);
            if body.contains("functionResponse") || body.contains("toolResult") {
                let is_unread = text.contains(r#"\"content\""#);
                assert!(!calls_shell && !is_unread, "{target} {text}");
                // One of them is asked something else already.
                ends += usize::from(text.contains("tool-ran"));
            } else if body.contains("RUN: echo hi") && body.contains("shell") {
                assert!(calls_shell, "{target} {text}");
                calls += 1;
            } else {
                // Side calls have no tools.
                assert!(!calls_shell, "{target} {text}");
            }
        }
    }
    assert_eq!((calls, ends), (3, 3));
}
