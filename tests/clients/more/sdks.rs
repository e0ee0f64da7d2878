//! SDKs of Anthropic, `OpenAI`, Google and AWS, in Python and JavaScript, by the scripts in `sdk/`: whole, streamed, a tool
//! turn, a count, the provider's error, a cancelled stream, and a model that does not exist.

use crate::{
    clients::{Home, World, agree::provider_id, clients},
    support::repository,
};
use aperture::{
    endpoint::Endpoint,
    record::{End, Record},
};
use provider::Entry;
use serde::Deserialize;
use std::path::{Path, PathBuf};

/// One line of the scripts.
#[derive(Debug, Deserialize)]
struct Told {
    api: String,
    case: String,
    text: String,
    usage: Option<Counts>,
}

/// Tokens as the SDK returned them.
#[derive(Debug, PartialEq, Eq, Deserialize)]
struct Counts {
    input: u64,
    output: u64,
}

/// The endpoints of an API of the scripts: whole, streamed, counting.
fn endpoints(api: &str) -> [Endpoint; 3] {
    use Endpoint as E;
    match api {
        "messages" => [
            E::AnthropicMessages,
            E::AnthropicMessages,
            E::AnthropicCountTokens,
        ],
        "bedrock" | "invoke" => [
            E::BedrockInvoke,
            E::BedrockInvokeStream,
            E::BedrockCountTokens,
        ],
        "vertex" => [
            E::GoogleRawPredict,
            E::GoogleStreamRawPredict,
            E::GoogleRawPredictCountTokens,
        ],
        "chat" => [E::OpenaiChat, E::OpenaiChat, E::OpenaiInputTokens],
        "responses" => [E::OpenaiResponses, E::OpenaiResponses, E::OpenaiInputTokens],
        "gemini" => [
            E::GeminiGenerateContent,
            E::GeminiStreamGenerateContent,
            E::GeminiCountTokens,
        ],
        "google" => [
            E::GoogleGenerateContent,
            E::GoogleStreamGenerateContent,
            E::GoogleCountTokens,
        ],
        "converse" => [
            E::BedrockConverse,
            E::BedrockConverseStream,
            E::BedrockCountTokens,
        ],
        other => panic!("no API {other}"),
    }
}

/// Runs a script as alice, and compares what the SDK returned with records and provider. `expected` is how many requests
/// it makes.
async fn sdk(program: &Path, script: &str, client: &str, expected: usize) {
    let world = World::everywhere().await;
    let url = world.url("alice").await;
    let home = Home::new();
    let project = home.0.path().join("project");
    for file in std::fs::read_dir(repository("tests/clients/more/sdk")).unwrap() {
        let file = file.unwrap();
        if file.file_type().unwrap().is_file() {
            std::fs::copy(file.path(), project.join(file.file_name())).unwrap();
        }
    }
    let packages = clients().join("more/node_modules");
    std::os::unix::fs::symlink(packages, project.join("node_modules")).unwrap();
    let run = home.run(program, &[script, &url], &[]).await;
    let told: Vec<Told> = run
        .said()
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(told.len(), expected, "{told:?}");

    let records = world.records(told.len()).await;
    let log = world.asked().await;
    let mut nameless = log.iter().filter(|entry| provider_id(entry).is_none());
    for (told, record) in told.iter().zip(&records) {
        let entry = record.provider.as_ref().map(|_| {
            let id = record.provider_request_id.as_deref();
            let found = match id {
                Some(_) => log.iter().find(|entry| provider_id(entry) == id),
                None => nameless.next(),
            };
            found.unwrap()
        });
        agree(told, record, entry, client);
    }
    sessions(&told, &records);
    world.stop().await;
}

/// What an SDK returned, beside the record and what the provider saw.
fn agree(told: &Told, record: &Record, entry: Option<&Entry>, client: &str) {
    assert_eq!(record.who.login, "alice@example.com");
    assert_eq!(record.client.name, client);
    assert!(!record.client.version.is_empty());
    let [whole, streamed, count] = endpoints(&told.api);
    let (endpoint, end, status) = match told.case.as_str() {
        "streamed" => (streamed, End::Complete, 200),
        "cancelled" => (streamed, End::ClientGone, 200),
        "count" => (count, End::Complete, 200),
        "failed" => (whole, End::Complete, 429),
        "refused" => (whole, End::Refused, 404),
        _ => (whole, End::Complete, 200),
    };
    assert_eq!(record.endpoint, endpoint, "{told:?}");
    assert_eq!((record.end, record.status), (end, Some(status)), "{told:?}");
    assert_eq!(
        record.streamed,
        matches!(told.case.as_str(), "streamed" | "cancelled"),
        "{told:?}"
    );
    if let (Some(counts), Some(entry)) = (&told.usage, entry) {
        let usage = entry.answer.usage.unwrap();
        let (input, output) = (usage.prompt(), usage.output);
        assert_eq!(*counts, Counts { input, output }, "{told:?}");
    }
    match told.case.as_str() {
        "refused" => {
            assert!(
                told.text.contains("model not found: no-such-model"),
                "{told:?}"
            );
            assert!(entry.is_none());
        }
        "failed" => assert!(told.text.contains("says the provider"), "{told:?}"),
        "count" => assert!(told.text.parse::<u64>().unwrap() > 0, "{told:?}"),
        "cancelled" => assert_eq!(told.text, "one "),
        "tool" => assert_eq!(record.tools.len(), 1),
        "result" => {
            assert!(told.text.starts_with("The tool said: "), "{told:?}");
            assert!(told.text.contains("echo by-"), "{told:?}");
            assert_eq!(record.tools[0].result_error, Some(false));
        }
        _ => assert!(told.text.starts_with("You said: hello, "), "{told:?}"),
    }
}

/// No SDK states a session: the two requests of a tool turn are one, whole answers stand alone.
fn sessions(told: &[Told], records: &[Record]) {
    let session = |api: &str, case: &str| {
        let at = told
            .iter()
            .position(|told| told.api == api && told.case == case);
        records[at.unwrap()].session
    };
    let mut alone = Vec::new();
    for (told, record) in told.iter().zip(records) {
        match told.case.as_str() {
            "plain" | "streamed" | "tool" => alone.push(record.session.unwrap()),
            "result" => assert_eq!(record.session, session(&told.api, "tool")),
            "count" | "refused" => assert_eq!(record.session, None),
            // The same words again, after they failed: they may be the same try.
            _ => assert!(record.session.is_some()),
        }
    }
    let all = alone.len();
    alone.sort();
    alone.dedup();
    assert_eq!(alone.len(), all);
}

fn python() -> PathBuf {
    clients().join("more/python/bin/python3")
}

/// The Node.js of the machine.
pub(super) fn node() -> PathBuf {
    let path = std::env::var_os("PATH").unwrap();
    std::env::split_paths(&path)
        .map(|folder| folder.join("node"))
        .find(|node| node.exists())
        .expect("Node.js is installed")
}

#[tokio::test]
#[ignore = "more packages: `make clients` fetches them and runs it"]
async fn anthropics_python_sdk_works() {
    sdk(&python(), "anthropic_sdk.py", "anthropic-python", 23).await;
}

#[tokio::test]
#[ignore = "more packages: `make clients` fetches them and runs it"]
async fn anthropics_javascript_sdks_work() {
    sdk(&node(), "anthropic_sdk.mjs", "anthropic-js", 23).await;
}

#[tokio::test]
#[ignore = "more packages: `make clients` fetches them and runs it"]
async fn openais_python_sdk_works() {
    sdk(&python(), "openai_sdk.py", "openai-python", 15).await;
}

#[tokio::test]
#[ignore = "more packages: `make clients` fetches them and runs it"]
async fn openais_javascript_sdk_works() {
    sdk(&node(), "openai_sdk.mjs", "openai-js", 15).await;
}

#[tokio::test]
#[ignore = "more packages: `make clients` fetches them and runs it"]
async fn googles_python_sdk_works() {
    sdk(&python(), "google_sdk.py", "google-genai", 16).await;
}

#[tokio::test]
#[ignore = "more packages: `make clients` fetches them and runs it"]
async fn googles_javascript_sdk_works() {
    sdk(&node(), "google_sdk.mjs", "google-genai", 16).await;
}

#[tokio::test]
#[ignore = "more packages: `make clients` fetches them and runs it"]
async fn boto3_works() {
    sdk(&python(), "aws_sdk.py", "boto3", 16).await;
}

/// It begins HTTP/2 without asking.
#[tokio::test]
#[ignore = "more packages: `make clients` fetches them and runs it"]
async fn the_aws_sdk_for_javascript_works() {
    sdk(&node(), "aws_sdk.mjs", "aws-sdk-js", 16).await;
}
