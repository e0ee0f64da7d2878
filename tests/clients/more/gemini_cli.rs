//! Gemini CLI, with Gemini's API and with Vertex AI. It refuses plain http, except on the own machine, where the lab's
//! doors are.

use super::{STALL, one_session, one_tool, sdks::node, streamed};
use crate::clients::{Home, World, clients};
use aperture::{endpoint::Endpoint, record::End};
use provider::{Matcher, Script};
use serde_json::json;

/// Its mode, by the name of its setting, and the variables that belong to it.
struct Mode {
    auth: &'static str,
    variables: Vec<(&'static str, String)>,
    endpoint: Endpoint,
    sent_to: &'static str,
}

impl Mode {
    fn home(&self) -> Home {
        let home = Home::new();
        let settings = json!({
            "security": {"auth": {"selectedType": self.auth}},
            "privacy": {"usageStatisticsEnabled": false},
            "general": {"enableAutoUpdate": false},
        });
        home.write(".gemini/settings.json", &settings.to_string());
        home
    }
}

async fn works(world: World, mode: Mode) {
    let (node, script) = (
        node(),
        clients().join("more/node_modules/@google/gemini-cli/bundle/gemini.js"),
    );
    let script = script.to_str().unwrap();
    let mut set = vec![("GEMINI_CLI_TRUST_WORKSPACE", "true")];
    // It starts itself again by name.
    let path = format!("{}:/usr/bin:/bin", node.parent().unwrap().display());
    set.push(("PATH", &path));
    set.extend(mode.variables.iter().map(|(name, value)| (*name, &**value)));
    let base = [script, "--yolo", "-m", "gemini-2.5-pro"];
    let with = |more: &[&'static str]| [&base[..], more].concat();

    let home = mode.home();
    let tool = with(&["-p", "RUN: echo from-the-tool"]);
    let run = home.run(&node, &tool, &set).await;
    assert!(run.said().contains("Output: from-the-tool"), "{run:?}");
    let again = with(&["--resume", "latest", "-p", "and again"]);
    let run = home.run(&node, &again, &set).await;
    assert_eq!(run.said(), "You said: and again");
    let records = world.records(3).await;
    one_session(&records, "gemini-cli");
    one_tool(&records, "run_shell_command");
    streamed(&records);
    for (record, entry) in records.iter().zip(world.asked().await) {
        assert_eq!(record.endpoint, mode.endpoint);
        assert_eq!(entry.request.target, mode.sent_to);
    }
    assert_eq!(records[0].title.as_deref(), Some("RUN: echo from-the-tool"));

    let stall = with(&["-p", STALL]);
    mode.home()
        .cancelled(&world.provider, &node, &stall, &set)
        .await;
    let records = world.records(4).await;
    assert_eq!(records[3].end, End::ClientGone);

    // It shows the provider's words after one request, and ours.
    let error = r#"{"status":403,"error":{"message":"says the provider"}}"#;
    let refuse = Script::from_json(error).unwrap();
    world.provider.script(Matcher::body("refuse me"), refuse);
    let refused = with(&["-p", "refuse me"]);
    let run = mode.home().run(&node, &refused, &set).await;
    assert!(!run.status.success());
    assert!(run.stderr.contains("says the provider"), "{run:?}");
    let unknown = [script, "-m", "gemini-9", "-p", "say hi"];
    let run = mode.home().run(&node, &unknown, &set).await;
    assert!(!run.status.success());
    assert!(run.stderr.contains("model not found: gemini-9"), "{run:?}");
    let records = world.records(6).await;
    assert_eq!(
        (records[4].status, records[5].failure.as_deref()),
        (Some(403), Some("no_model"))
    );
    world.stop().await;
}

#[tokio::test]
#[ignore = "more packages: `make clients` fetches them and runs it"]
async fn gemini_cli_works() {
    let world = World::everywhere().await;
    let url = world.url("alice").await;
    let mode = Mode {
        auth: "gemini-api-key",
        variables: vec![
            ("GEMINI_API_KEY", "-".into()),
            ("GOOGLE_GEMINI_BASE_URL", url),
        ],
        endpoint: Endpoint::GeminiStreamGenerateContent,
        sent_to: "/v1beta/models/gemini-2.5-pro:streamGenerateContent?alt=sse",
    };
    works(world, mode).await;
}

/// Without a project in its path, as with an express key: the gateway puts in its own.
#[tokio::test]
#[ignore = "more packages: `make clients` fetches them and runs it"]
async fn gemini_cli_works_with_vertex() {
    let world = World::everywhere().await;
    let url = world.url("alice").await;
    let mode = Mode {
        auth: "vertex-ai",
        variables: vec![
            ("GOOGLE_API_KEY", "-".into()),
            ("GOOGLE_GENAI_USE_VERTEXAI", "true".into()),
            ("GOOGLE_VERTEX_BASE_URL", url),
        ],
        endpoint: Endpoint::GoogleStreamGenerateContent,
        sent_to: "/v1beta1/projects/acme-models/locations/global/publishers/google/models/gemini-2.5-pro:streamGenerateContent?alt=sse",
    };
    works(world, mode).await;
}
