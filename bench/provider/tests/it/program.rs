//! The binary, driven the way a test in another language drives it.

use std::process::Stdio;

use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::Command;

use crate::client::{Client, anthropic};

#[tokio::test]
async fn the_program_is_controlled_over_http_and_ends_with_its_input() {
    let mut program = Command::new(env!("CARGO_BIN_EXE_scripted-provider"))
        .args([
            "--exit-with-stdin",
            "--tls-listen",
            "127.0.0.1:0",
            "--model",
            "only",
        ])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(program.stdout.take().unwrap()).lines();
    let ready: Value = serde_json::from_str(&lines.next_line().await.unwrap().unwrap()).unwrap();
    assert_eq!(ready["ready"], true);
    assert!(
        ready["tls_url"]
            .as_str()
            .unwrap()
            .starts_with("https://127.0.0.1:")
    );
    let address = ready["url"]
        .as_str()
        .unwrap()
        .strip_prefix("http://")
        .unwrap()
        .parse()
        .unwrap();
    let mut client = Client::h1(address).await;
    let mut control = Client::h1(address).await;

    let rule =
        json!({"match": {"model": "m"}, "script": {"text": "scripted", "gate": "g"}, "times": 1});
    let added = control
        .post("/_script", &[], rule.to_string())
        .await
        .unwrap();
    assert_eq!(
        (added.status.as_u16(), added.json()),
        (201, json!({"rule": 1}))
    );
    let misspelt = json!({"script": {"txet": 1}}).to_string();
    assert_eq!(
        control
            .post("/_script", &[], misspelt)
            .await
            .unwrap()
            .status,
        400
    );

    // The reply waits at its gate; opening it lets the reply through.
    let ask = client.post("/v1/messages", &[], anthropic("x", false));
    let release = async {
        let met = control.get("/_await?requests=1", &[]).await.json();
        assert_eq!((&met["met"], &met["ended"]), (&json!(true), &json!(0)));
        control.post("/_gate/g", &[], "").await.unwrap();
    };
    let (reply, ()) = tokio::join!(ask, release);
    assert_eq!(reply.unwrap().json()["content"][0]["text"], "scripted");

    // The rule was for one request.
    let reply = client
        .post("/v1/messages", &[], anthropic("x", false))
        .await
        .unwrap();
    assert_eq!(reply.json()["content"][0]["text"], "You said: x");

    let log = control.get("/_log?since=1", &[]).await.json();
    assert_eq!(
        (&log["received"], log["entries"].as_array().unwrap().len()),
        (&json!(2), 1)
    );
    let entry = &log["entries"][0];
    assert_eq!(
        (&entry["seq"], &entry["answer"]["end"]),
        (&json!(2), &json!("complete"))
    );
    assert_eq!(entry["headers"][0], json!(["host", "localhost"]));
    let connections = control.get("/_connections", &[]).await.json();
    assert_eq!(connections["accepted"], 2);
    assert_eq!(connections["open"][0]["requests"], 2);
    control.post("/_reset", &[], "").await.unwrap();
    assert_eq!(control.get("/_log", &[]).await.json()["entries"], json!([]));
    assert_eq!(
        client.get("/v1/models", &[]).await.json()["data"][0]["id"],
        "only"
    );

    drop(program.stdin.take());
    assert!(program.wait().await.unwrap().success());
}
