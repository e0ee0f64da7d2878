//! Each list in its shape, the strict checks of the product's launcher, and who sees what.

use super::*;
use crate::{
    config::{
        Provider,
        grant::{Capability, Grant, ModelGlob, Role, Src},
    },
    identity::testing::person,
};
use http::{Request, StatusCode};
use http_body_util::BodyExt as _;
use std::collections::{BTreeMap, BTreeSet};

fn provider(id: &str, models: &[&str], dialects: &[Dialect]) -> Provider {
    Provider {
        models: models.iter().map(|model| (*model).into()).collect(),
        dialects: dialects.to_vec(),
        ..Provider::new(id, http::Uri::from_static("https://provider.example"))
    }
}

/// alice may use everything, bob one model, carol is nobody.
fn config() -> Config {
    use Dialect as D;
    let mut off = provider("off", &["switched-off"], &[D::OpenaiChat]);
    off.disabled = true;
    let mut gemini = provider(
        "gemini",
        &["gemini-2.5-pro", "gemini-2.5-flash", "gemini-embedding-001"],
        &[D::GeminiGenerateContent],
    );
    gemini.vertex.short_paths = true;
    let providers = [
        provider(
            "anthropic",
            &["claude-opus-4-5", "claude-haiku-4-5", "claude-sonnet-4-5"],
            &[D::AnthropicMessages],
        ),
        provider(
            "bedrock",
            &["us.anthropic.claude-opus-4-7"],
            &[D::BedrockModelInvoke, D::BedrockConverse],
        ),
        gemini,
        provider(
            "openai",
            &["gpt-4o", "gpt-5"],
            &[D::OpenaiChat, D::OpenaiResponses],
        ),
        provider("proxy", &["claude-haiku-4-5"], &[D::AnthropicMessages]),
        provider("vertex", &["gemini-2.5-pro"], &[D::GoogleGenerateContent]),
        provider("vertex-claude", &["claude@1"], &[D::GoogleRawPredict]),
        off,
    ];
    let capability = |glob: &str| Capability {
        role: Some(Role::User),
        models: vec![ModelGlob::new(glob)],
        ..Capability::default()
    };
    let grant = |login: &str, glob: &str| Grant {
        origin: "grants".into(),
        src: vec![Src::Login(login.into())],
        capabilities: vec![capability(glob)],
    };
    Config {
        providers: providers
            .into_iter()
            .map(|provider| (provider.id.clone(), Arc::new(provider)))
            .collect(),
        grants: vec![
            grant("alice@example.com", "**"),
            grant("bob@example.com", "openai/gpt-4o"),
        ],
        auto_cost_basis: true,
        ..Config::default()
    }
}

fn ask(
    login: &str,
    path: &str,
    head: &[(&str, &str)],
) -> Result<Response<Body>, (Failure, Option<Dialect>)> {
    let mut request = Request::get(path);
    for (name, value) in head {
        request = request.header(*name, *value);
    }
    let (parts, ()) = request.body(()).unwrap().into_parts();
    let route = endpoint::route(&parts.method, parts.uri.path(), endpoint::Hints::default());
    let ask = Ask::of(route, &parts.method, parts.uri.path()).expect("something is asked");
    answer(&config(), &Arc::new(person(login)), ask, &parts)
        .map_err(|failure| (failure, ask.dialect(parts.uri.path(), &parts.headers)))
}

async fn body(response: Response<Body>) -> Value {
    let bytes = response.into_body().collect().await.unwrap().to_bytes();
    serde_json::from_slice(&bytes).unwrap()
}

async fn json_for(login: &str, path: &str, head: &[(&str, &str)]) -> Value {
    body(ask(login, path, head).unwrap()).await
}

async fn json_of(path: &str, head: &[(&str, &str)]) -> Value {
    json_for("alice@example.com", path, head).await
}

const ANTHROPIC: &[(&str, &str)] = &[("anthropic-version", "2023-06-01")];
const GOOGLE: &[(&str, &str)] = &[("x-goog-api-key", "-")];

fn texts(list: &Value, key: &str) -> Vec<String> {
    let rows = list.as_array().expect("a list").iter();
    rows.map(|row| row[key].as_str().unwrap().to_owned())
        .collect()
}

/// What the product's launcher of September refuses a list for, each with its number.
fn strict(list: &Value) -> Result<BTreeMap<(String, String), BTreeSet<String>>, u8> {
    let text = |value: &Value| {
        value
            .as_str()
            .filter(|text| !text.is_empty())
            .map(str::to_owned)
    };
    if list["object"] != "list" {
        return Err(1);
    }
    let rows = list["data"].as_array().ok_or(2)?;
    let known: Vec<&str> = Dialect::ALL
        .map(|dialect| dialect.main_endpoint().path())
        .to_vec();
    let mut providers: BTreeMap<String, Value> = BTreeMap::new();
    let mut models: BTreeMap<(String, String), BTreeSet<String>> = BTreeMap::new();
    for row in rows {
        let provider = &row["metadata"]["provider"];
        let (model, id) = (text(&row["id"]).ok_or(3)?, text(&provider["id"]).ok_or(3)?);
        text(&provider["upstream"]).ok_or(3)?;
        let same = ["name", "description", "upstream", "requires_client_auth"];
        let facts = Value::from(same.map(|key| provider[key].clone()).to_vec());
        if *providers.entry(id.clone()).or_insert_with(|| facts.clone()) != facts {
            return Err(4);
        }
        // It would merge them; ours come merged.
        let paths = row["supported_endpoints"].as_array().ok_or(6)?;
        let paths = paths.iter().map(|path| path.as_str().unwrap().to_owned());
        if models.insert((id, model), paths.collect()).is_some() {
            return Err(5);
        }
    }
    let all = models.values().flatten();
    if all.into_iter().any(|path| !known.contains(&path.as_str())) {
        return Err(6);
    }
    Ok(models)
}

#[tokio::test]
async fn the_list_passes_each_strict_check() {
    let list = json_of("/v1/models", &[]).await;
    let models = strict(&list).unwrap();
    assert_eq!(models.len(), 12);
    let paths = |provider: &str, model: &str| {
        let paths = &models[&(provider.to_owned(), model.to_owned())];
        paths.iter().cloned().collect::<Vec<_>>()
    };
    // The templates, as the specification writes them.
    assert_eq!(paths("anthropic", "claude-opus-4-5"), ["/v1/messages"]);
    assert_eq!(
        paths("openai", "gpt-5"),
        ["/v1/chat/completions", "/v1/responses"]
    );
    assert_eq!(
        paths("gemini", "gemini-2.5-pro"),
        ["/v1beta/models/{model}:generateContent"]
    );
    assert_eq!(
        paths("vertex", "gemini-2.5-pro"),
        [
            "/v1/projects/{project}/locations/{region}/publishers/google/models/{model}:generateContent"
        ]
    );
    assert_eq!(
        paths("vertex-claude", "claude@1"),
        [
            "/v1/projects/{project}/locations/{region}/publishers/anthropic/models/{model}:rawPredict"
        ]
    );
    assert_eq!(
        paths("bedrock", "us.anthropic.claude-opus-4-7"),
        [
            "/bedrock/model/{model}/converse",
            "/bedrock/model/{model}/invoke"
        ]
    );
    // The checks can fail, each of them.
    let spoiled = |spoil: &dyn Fn(&mut Value)| {
        let mut list = list.clone();
        spoil(&mut list);
        strict(&list)
    };
    assert_eq!(spoiled(&|list| list["object"] = json!("models")), Err(1));
    assert_eq!(spoiled(&|list| list["data"] = Value::Null), Err(2));
    assert_eq!(spoiled(&|list| list["data"][0]["id"] = json!("")), Err(3));
    let upstream = |list: &mut Value, to: &str| {
        list["data"][0]["metadata"]["provider"]["upstream"] = json!(to);
    };
    assert_eq!(spoiled(&|list| upstream(list, "")), Err(3));
    assert_eq!(spoiled(&|list| upstream(list, "other")), Err(4));
    assert_eq!(
        spoiled(&|list| list["data"][1] = list["data"][0].clone()),
        Err(5)
    );
    assert_eq!(
        spoiled(&|list| list["data"][0]["supported_endpoints"] = json!(["/messages"])),
        Err(6)
    );
}

#[tokio::test]
async fn prices_are_texts_and_windows_are_told_where_known() {
    let list = json_of("/v1/models", &[]).await;
    let rows = list["data"].as_array().unwrap();
    let row = rows.iter().find(|row| row["id"] == "gpt-4o").unwrap();
    assert_eq!(row["context_window_tokens"], 128_000);
    assert_eq!(row["pricing"]["input"], "0.00000250");
    let prices = rows.iter().filter_map(|row| row["pricing"].as_object());
    assert!(
        prices
            .flat_map(|prices| prices.values())
            .all(Value::is_string)
    );
    let unknown = rows.iter().find(|row| row["id"] == "claude@1").unwrap();
    assert_eq!(unknown.get("context_window_tokens"), None);
}

#[tokio::test]
async fn codex_gets_a_key_of_its_own() {
    let list = json_of("/v1/models?client_version=0.169.0", &[]).await;
    assert_eq!(list["models"], json!([]));
    strict(&list).unwrap();
    assert_eq!(json_of("/models", &[]).await.get("models"), None);
}

#[tokio::test]
async fn anthropics_list_goes_by_pages_in_both_directions() {
    let all = json_of("/v1/models?limit=1000", ANTHROPIC).await;
    // One that two providers serve is one.
    let ids = ["claude-opus-4-5", "claude-haiku-4-5", "claude-sonnet-4-5"];
    assert_eq!(texts(&all["data"], "id"), ids);
    assert_eq!(
        (&all["has_more"], &all["first_id"], &all["last_id"]),
        (&json!(false), &json!(ids[0]), &json!(ids[2]))
    );
    for (query, expected, more) in [
        ("limit=2", &ids[..2], true),
        ("limit=2&after_id=claude-haiku-4-5", &ids[2..], false),
        ("limit=1&before_id=claude-sonnet-4-5", &ids[1..2], true),
        ("limit=2&before_id=claude-sonnet-4-5", &ids[..2], false),
        ("after_id=claude-sonnet-4-5", &[], false),
    ] {
        let page = json_of(&format!("/v1/models?{query}"), ANTHROPIC).await;
        assert_eq!(texts(&page["data"], "id"), expected, "{query}");
        assert_eq!(page["has_more"], more, "{query}");
    }
    for query in [
        "limit=0",
        "limit=many",
        "after_id=nobody",
        "before_id=gpt-4o",
    ] {
        let (failure, dialect) = ask(
            "alice@example.com",
            &format!("/v1/models?{query}"),
            ANTHROPIC,
        )
        .unwrap_err();
        assert!(matches!(failure, Failure::BadRequest(_)), "{query}");
        assert_eq!(dialect, Some(Dialect::AnthropicMessages));
    }
}

#[tokio::test]
async fn geminis_list_has_names_methods_and_pages() {
    for (path, head) in [
        ("/v1beta/models", &[][..]),
        ("/v1/models", GOOGLE),
        (
            "/v1/models",
            &[("x-goog-api-client", "google-genai-sdk/3.4.0")],
        ),
    ] {
        let list = json_of(path, head).await;
        let names = ["gemini-2.5-pro", "gemini-2.5-flash", "gemini-embedding-001"];
        assert_eq!(texts(&list["models"], "displayName"), names, "{path}");
        assert_eq!(list["models"][0]["name"], "models/gemini-2.5-pro");
        assert_eq!(list.get("nextPageToken"), None);
        let methods = |at: usize| list["models"][at]["supportedGenerationMethods"][0].clone();
        assert_eq!(
            (methods(0), methods(2)),
            (json!("generateContent"), json!("embedContent"))
        );
    }
    let first = json_of("/v1beta/models?pageSize=2", &[]).await;
    assert_eq!(first["models"].as_array().unwrap().len(), 2);
    let token = first["nextPageToken"].as_str().unwrap();
    let next = json_of(&format!("/v1beta/models?pageSize=2&pageToken={token}"), &[]).await;
    assert_eq!(
        texts(&next["models"], "name"),
        ["models/gemini-embedding-001"]
    );
    assert_eq!(next.get("nextPageToken"), None);
}

#[tokio::test]
async fn vertex_lists_by_publisher() {
    let list = json_of("/v1beta1/publishers/google/models", &[]).await;
    assert_eq!(
        texts(&list["publisherModels"], "name"),
        ["publishers/google/models/gemini-2.5-pro"]
    );
    let list = json_of(
        "/v1/projects/p/locations/l/publishers/anthropic/models",
        &[],
    )
    .await;
    assert_eq!(
        texts(&list["publisherModels"], "name"),
        ["publishers/anthropic/models/claude@1"]
    );
}

#[tokio::test]
async fn one_model_has_the_shape_of_its_list_and_an_unknown_one_is_refused_in_its_words() {
    for (path, head, key, value) in [
        ("/v1/models/openai%2Fgpt-4o", &[][..], "id", "gpt-4o"),
        ("/models/openai/gpt-4o", &[], "object", "model"),
        ("/v1/models/claude-haiku-4-5", ANTHROPIC, "type", "model"),
        (
            "/v1beta/models/gemini-2.5-pro",
            &[],
            "name",
            "models/gemini-2.5-pro",
        ),
        (
            "/v1beta1/publishers/google/models/gemini-2.5-pro",
            &[],
            "name",
            "publishers/google/models/gemini-2.5-pro",
        ),
    ] {
        assert_eq!(json_of(path, head).await[key], value, "{path}");
    }
    for (path, head, dialect) in [
        ("/v1/models/none", &[][..], Dialect::OpenaiChat),
        // One of another dialect is not in this list.
        ("/v1/models/gpt-4o", ANTHROPIC, Dialect::AnthropicMessages),
        ("/v1beta/models/gpt-4o", &[], Dialect::GeminiGenerateContent),
        ("/v1/models/none", GOOGLE, Dialect::GeminiGenerateContent),
        (
            "/v1beta1/publishers/google/models/none",
            &[],
            Dialect::GoogleGenerateContent,
        ),
        (
            "/v1/publishers/anthropic/models/none",
            &[],
            Dialect::GoogleRawPredict,
        ),
    ] {
        let (failure, words) = ask("alice@example.com", path, head).unwrap_err();
        assert!(
            matches!(failure, Failure::Denied(Denied::NoModel { .. })),
            "{path}"
        );
        assert_eq!(words, Some(dialect), "{path}");
    }
}

#[tokio::test]
async fn providers_are_a_bare_array_with_all_nine_flags() {
    let list = json_of("/api/providers", &[]).await;
    assert_eq!(
        texts(&list, "id"),
        [
            "anthropic",
            "bedrock",
            "gemini",
            "openai",
            "proxy",
            "vertex",
            "vertex-claude"
        ]
    );
    for row in list.as_array().unwrap() {
        assert!(!row["models"].as_array().unwrap().is_empty());
        assert!(row["name"].is_string() && row["description"].is_string());
        let flags = row["compatibility"].as_object().unwrap();
        assert_eq!(flags.len(), 9);
        assert!(flags.values().all(Value::is_boolean), "{row}");
    }
    let flags = &list[2]["compatibility"];
    assert_eq!(flags["gemini_generate_content"], true);
    assert_eq!(flags["openai_chat"], false);
    assert_eq!(flags["experimental_gemini_cli_vertex_compat"], true);
    assert_eq!(
        json_of("/api/connectors", &[]).await,
        json!({"connectors": []})
    );
}

#[tokio::test]
async fn what_is_not_granted_is_nowhere() {
    let lists = [
        ("/v1/models", &[][..]),
        ("/v1/models", ANTHROPIC),
        ("/v1/models", GOOGLE),
        ("/v1beta/models", &[]),
        ("/v1beta1/publishers/google/models", &[]),
        ("/v1/publishers/anthropic/models", &[]),
        ("/api/providers", &[]),
    ];
    let mut seen = 0;
    for (path, head) in lists {
        let list = json_for("bob@example.com", path, head).await.to_string();
        for hidden in [
            "claude", "gemini", "gpt-5", "bedrock", "proxy", "vertex\"", "off",
        ] {
            let own_flags = list.contains("compatibility") && hidden != "gpt-5";
            assert!(own_flags || !list.contains(hidden), "{path}: {list}");
        }
        seen += usize::from(list.contains("gpt-4o"));
        let (failure, _) = ask("carol@example.com", path, head).unwrap_err();
        assert_eq!(failure, Failure::Denied(Denied::NoRole), "{path}");
    }
    assert_eq!(seen, 2);
    let providers = json_for("bob@example.com", "/api/providers", &[]).await;
    assert_eq!(texts(&providers, "id"), ["openai"]);
    assert_eq!(providers[0]["models"], json!(["gpt-4o"]));
    assert!(ask("bob@example.com", "/v1/models/gpt-5", &[]).is_err());
    for (path, _) in lists {
        let list = json_of(path, &[]).await.to_string();
        assert!(!list.contains("switched-off"), "{path}");
    }
}

#[test]
fn every_list_and_probe_is_found_by_its_own_path() {
    let every = Ask::every();
    for (method, path) in &every {
        let path = path.replace("{model}", "gpt-4o");
        let route = endpoint::route(method, &path, endpoint::Hints::default());
        assert!(Ask::of(route, method, &path).is_some(), "{method} {path}");
    }
    assert!(every.len() > 20);
}

/// The setting for those who want the list of providers as late versions of the original have it.
#[tokio::test]
async fn providers_can_be_kept_for_admins() {
    let mut config = config();
    config.gateway.providers_for_admins_only = true;
    config.grants.push(Grant {
        src: vec![Src::Login("alice@example.com".into())],
        capabilities: vec![Capability {
            role: Some(Role::Admin),
            ..Capability::default()
        }],
        ..config.grants[0].clone()
    });
    let ask = |login: &str, path: &str| {
        let request = Request::get(path).body(()).unwrap();
        let route = endpoint::route(&Method::GET, path, endpoint::Hints::default());
        let ask = Ask::of(route, &Method::GET, path).unwrap();
        let caller = Arc::new(person(login));
        answer(&config, &caller, ask, &request.into_parts().0)
    };
    assert_eq!(
        ask("bob@example.com", "/api/providers").unwrap_err(),
        Failure::Denied(Denied::AdminsOnly)
    );
    assert_eq!(
        ask("carol@example.com", "/api/providers").unwrap_err(),
        Failure::Denied(Denied::NoRole)
    );
    assert!(ask("alice@example.com", "/api/providers").is_ok());
    assert!(ask("bob@example.com", "/v1/models").is_ok());
}

#[tokio::test]
async fn lists_that_have_not_changed_are_not_sent_again() {
    for (path, head) in [
        ("/v1/models", &[][..]),
        ("/v1/models", ANTHROPIC),
        ("/v1beta/models", &[]),
        ("/v1/models/gpt-4o", &[]),
        ("/api/providers", &[]),
        ("/api/connectors", &[]),
    ] {
        let first = ask("alice@example.com", path, head).unwrap();
        assert_eq!(first.headers()["cache-control"], "private, no-cache");
        let vary = first
            .headers()
            .get("vary")
            .map(|vary| vary.to_str().unwrap());
        assert_eq!(vary, (!path.starts_with("/api/")).then_some(CHOOSING));
        let tag = first.headers()["etag"].to_str().unwrap().to_owned();
        for (known, status) in [
            (tag.clone(), StatusCode::NOT_MODIFIED),
            (format!("\"x\", W/{tag}"), StatusCode::NOT_MODIFIED),
            ("*".into(), StatusCode::NOT_MODIFIED),
            ("\"x\"".into(), StatusCode::OK),
        ] {
            let head = [head, &[("if-none-match", known.as_str())]].concat();
            let again = ask("alice@example.com", path, &head).unwrap();
            assert_eq!(again.status(), status, "{path} {known}");
            assert_eq!(again.headers()["etag"], tag.as_str());
            let bytes = again.into_body().collect().await.unwrap().to_bytes();
            assert_eq!(bytes.is_empty(), status == StatusCode::NOT_MODIFIED);
        }
    }
    let tag = |login: &str, head| ask(login, "/v1/models", head).unwrap().headers()["etag"].clone();
    assert_ne!(tag("alice@example.com", &[]), tag("bob@example.com", &[]));
    assert_ne!(
        tag("alice@example.com", &[]),
        tag("alice@example.com", ANTHROPIC)
    );
}

#[test]
fn probes_are_found_by_method_and_path_and_are_each_listed_once() {
    let mut seen = BTreeSet::new();
    for probe in probes::PROBES {
        for method in probe.methods {
            assert!(seen.insert((method.as_str(), probe.path)), "{}", probe.path);
            // No model endpoint and no list is in the way.
            let route = endpoint::route(method, probe.path, endpoint::Hints::default());
            let ask = Ask::of(route, method, probe.path).unwrap();
            assert_eq!(ask.probe(), Some(probe.path));
        }
    }
    assert!(probes::find(&Method::POST, "/api/hello").is_none());
    assert!(probes::find(&Method::GET, "/v1/metrics").is_none());
    assert!(probes::find(&Method::GET, "/api/hello/").is_none());
    let text = render_markdown();
    assert!(
        seen.iter()
            .all(|(_, path)| text.contains(&format!("{path}`")))
    );
}
