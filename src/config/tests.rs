//! The document as a whole: founding examples, mistakes, defaults, safety.

use super::*;
use Dialect::{
    AnthropicMessages, BedrockConverse, BedrockModelInvoke, GeminiGenerateContent,
    GoogleGenerateContent, GoogleRawPredict, OpenaiChat, OpenaiResponses,
};
use grant::ModelGlob;
use proptest::prelude::*;
use std::path::{Path, PathBuf};

fn fixtures(folder: &str) -> Vec<(PathBuf, String)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/fixtures/config")
        .join(folder);
    let mut all: Vec<(PathBuf, String)> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .map(|path| (path.clone(), std::fs::read_to_string(path).unwrap()))
        .collect();
    all.sort();
    all
}

fn fixture(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/fixtures/config")
        .join(name);
    std::fs::read_to_string(path).unwrap()
}

fn options() -> CheckOptions {
    CheckOptions {
        environment: [("OPENAI_API_KEY", "key-a"), ("ANTHROPIC_API_KEY", "key-b")]
            .into_iter()
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect(),
        ..CheckOptions::default()
    }
}

fn checked(text: &str) -> Checked {
    check(text, &options())
}

fn config(text: &str) -> Config {
    let checked = checked(text);
    checked
        .config
        .unwrap_or_else(|| panic!("{:?}", checked.findings))
}

fn messages(text: &str) -> Vec<String> {
    checked(text)
        .findings
        .into_iter()
        .map(|finding| finding.message)
        .collect()
}

fn has(text: &str, part: &str) -> bool {
    messages(text).iter().any(|message| message.contains(part))
}

#[test]
fn every_example_loads_unchanged() {
    for (folder, count) in [("founding", 9), ("product", 8)] {
        let examples = fixtures(folder);
        assert_eq!(examples.len(), count);
        for (path, text) in examples {
            let checked = checked(&text);
            assert!(checked.config.is_some(), "{}", path.display());
            // They are fragments, so there is advice; nothing in them is a mistake.
            let refused = refused(&checked.findings, Strictness::Save);
            assert!(!refused, "{}: {:?}", path.display(), checked.findings);
        }
    }
}

/// The founding document's grant for the tailnet policy, pasted into the wrong place.
#[test]
fn a_policy_grant_loads_and_is_explained() {
    let text = r#"{"grants":[{"src":["group:ai-users"],"dst":["tag:aperture"],"ip":["tcp:80","tcp:443","icmp:*"]}]}"#;
    let config = config(text);
    assert!(config.grants[0].capabilities.is_empty());
    let found = messages(text);
    assert!(found.contains(&"unknown config key \"dst\"".to_owned()));
    assert!(found.contains(&"unknown config key \"ip\"".to_owned()));
}

#[test]
fn founding_providers_mean_what_they_say() {
    let anthropic = config(&fixture("founding/anthropic.hujson"));
    let provider = &anthropic.providers["anthropic"];
    let credential = provider.credential.as_ref().unwrap();
    assert_eq!(credential.scheme, AuthScheme::XApiKey);
    assert_eq!(credential.secret.expose(), "sk-ant-...");
    assert_eq!(provider.dialects, [AnthropicMessages]);
    assert_eq!(provider.models.len(), 3);
    assert!(!provider.tailnet);

    let openai = config(&fixture("founding/openai.hujson"));
    let provider = &openai.providers["openai"];
    assert_eq!(
        provider.credential.as_ref().unwrap().scheme,
        AuthScheme::Bearer
    );
    assert_eq!(provider.dialects, [OpenaiChat, OpenaiResponses]);

    let private = config(&fixture("founding/self-hosted.hujson"));
    assert!(private.providers["private-llm"].tailnet);
    assert!(private.providers["private-llm"].credential.is_none());
    assert!(private.providers["private-llm"].missing_secret.is_none());
    assert!(has(&fixture("founding/self-hosted.hujson"), "placeholder"));
    assert!(has(&fixture("founding/anthropic.hujson"), "placeholder"));
    assert!(!has(&fixture("founding/purpbox.hujson"), "placeholder"));
}

#[test]
fn founding_grants_become_exact_patterns() {
    let scoped = config(&fixture("founding/scoped-users.hujson"));
    assert_eq!(
        scoped.grants[0].src,
        [Src::Login("senior-eng@company.com".into())]
    );
    let glob = &scoped.grants[0].capabilities[0].models[0];
    assert!(glob.matches("anthropic-power", "claude-opus-4-5"));
    assert!(!glob.matches("anthropic-fast", "claude-haiku-4-5"));
    assert_eq!(&*scoped.grants[1].origin, "temp_grants[1]");
    assert_eq!(
        &*scoped.grants[1].capabilities[0].origin,
        "temp_grants[1].grants[0]"
    );
    // The fragment has no role at all; its reader must learn that.
    assert!(has(
        &fixture("founding/scoped-users.hujson"),
        "no grant assigns a role"
    ));

    let open = config(&fixture("founding/open-access.hujson"));
    assert_eq!(open.grants[0].capabilities[0].role, Some(Role::User));
    assert!(open.grants[0].capabilities[1].models[0].matches("any", "model/with/slash"));
}

#[test]
fn the_reference_matrix_is_read() {
    let config = config(&fixture("product/matrix.hujson"));
    assert_eq!(config.providers.len(), 10);
    let provider = |id: &str| &config.providers[id];
    assert_eq!(provider("openrouter").dialects, [OpenaiChat]);
    assert_eq!(provider("openrouter").base.path(), "/api");
    assert_eq!(provider("gemini").dialects, [GeminiGenerateContent]);
    assert_eq!(provider("bedrock").dialects, [BedrockModelInvoke]);
    assert!(provider("self-hosted").tailnet);
    // Its key file is a sample.
    let vertex = provider("vertex");
    assert!(vertex.credential.is_none() && vertex.missing_secret.is_some());
    assert_eq!(&*vertex.vertex.region, "global");
    let text = fixture("product/matrix.hujson");
    assert!(has(&text, "baseurl ends in /v1"));
    assert_eq!(
        &*config.grants[0].capabilities[1].origin,
        "grants[0].app[1]"
    );
}

#[test]
fn every_mistake_is_reported_at_once_with_its_place() {
    let text = fixture("mistakes.hujson");
    let checked = checked(&text);
    let report = render_findings(Path::new("aperture.hujson"), &checked.findings);
    insta::assert_snapshot!(report);
    assert!(!report.contains("sk-ant-api03"));

    // It loads nevertheless, without what is wrong, and opens nothing.
    let config = checked.config.unwrap();
    assert_eq!(
        config.providers.keys().map(|id| &**id).collect::<Vec<_>>(),
        ["anthropic"]
    );
    assert!(config.providers["anthropic"].missing_secret.is_some());
    assert!(config.grants[0].src.is_empty() && config.grants[1].src.is_empty());
    assert_eq!(
        config.grants[1].capabilities[0].capture,
        Some(CaptureMode::None)
    );
    assert!(config.grants[2].capabilities[0].models.is_empty());
    assert_eq!(config.gateway, Gateway::default());
}

#[test]
fn broken_syntax_does_not_hide_the_other_mistakes() {
    let text = "{\n  \"providers\": { \"a\": { \"baseurl\": \"https://x.example\" \"models\": [\"m\" \"n\"] } }\n  \"grnats\": [],\n}\n";
    let findings = checked(text).findings;
    let found: Vec<(usize, usize, &str)> = findings
        .iter()
        .map(|finding| (finding.line, finding.column, finding.message.as_str()))
        .collect();
    assert!(found.contains(&(2, 55, "expected a comma")), "{found:?}");
    assert!(found.contains(&(2, 70, "expected a comma")), "{found:?}");
    assert!(found.contains(&(2, 79, "expected a comma")), "{found:?}");
    assert!(
        found.contains(&(3, 3, "unknown config key \"grnats\"")),
        "{found:?}"
    );
    assert!(checked(text).config.is_none());
}

#[test]
fn the_exact_messages_of_the_product() {
    for (text, message) in [
        (
            "{}",
            "no providers or mcp servers defined; users will not be able to access any models",
        ),
        (
            r#"{"providers":{"x":{"models":["m"]}}}"#,
            "provider x has no baseurl configured",
        ),
        (
            r#"{"providers":{"x":{"baseurl":"https://x.example","models":["m"],"authorization":"digest"}}}"#,
            "provider x has invalid authorization type: digest",
        ),
        (
            r#"{"hostname":1,"hostname":2}"#,
            "duplicate config key \"hostname\"",
        ),
        (
            r#"{"providers":{"x":{"basurl":"u"}}}"#,
            "unknown config key \"basurl\"",
        ),
        (
            r#"{"providers":{"x":{"baseurl":"https://x.example","add_headers":["Bad-Entry"]}}}"#,
            "provider x: add_headers entry \"Bad-Entry\" must be in \"Header-Name: value\" format",
        ),
        (
            r#"{"grants":[{"src":["*"],"app":{"tailscale.com/cap/aperture":[{"add_headers":["Bad-Entry"]}]}}]}"#,
            "add_headers entry \"Bad-Entry\" must be in \"Header-Name: value\" format",
        ),
        (
            r#"{"providers":{"x":{"baseurl":"https://x.example","models":["m"]}},"grants":[{"src":["*"],"app":{"tailscale.com/cap/aperture":[{"models":"y/**"}]}}]}"#,
            "models pattern \"y/**\" references provider \"y\" which does not match any declared provider",
        ),
        (
            r#"{"temp_grants":[{"src":["*"],"grants":[{"role":"user"}]}]}"#,
            "no grant in grants or temp_grants assigns role:admin; nobody will be able to manage this instance",
        ),
        (
            r#"{"providers":{"x":{"baseurl":"https://x.example","models":["m"]}}}"#,
            "providers are configured but no grants or temp_grants defined; all access will be denied",
        ),
        ("// nothing\n", "config must not be empty"),
    ] {
        let found = messages(text);
        assert!(
            found.iter().any(|found| found == message),
            "{text}: {found:?}"
        );
    }
}

#[test]
fn hints_name_the_nearest_key() {
    for (text, hint) in [
        (r#"{"providers":{"x":{"baseURL":"u"}}}"#, "baseurl"),
        (r#"{"provider":{}}"#, "providers"),
        (
            r#"{"providers":{"x":{"compatibility":{"anthropicMessages":true}}}}"#,
            "anthropic_messages",
        ),
    ] {
        let wanted = format!("did you mean {hint:?}?");
        let found = checked(text).findings;
        assert!(
            found
                .iter()
                .any(|finding| finding.hint.as_deref() == Some(&wanted)),
            "{found:?}"
        );
    }
    let far = checked(r#"{"zzzzzz":1}"#).findings;
    assert!(
        far.iter()
            .any(|finding| finding.message.contains("zzzzzz") && finding.hint.is_none())
    );
}

fn one(fields: &str) -> String {
    format!(r#"{{"providers":{{"x":{{"baseurl":"https://x.example","models":["m"],{fields}}}}}}}"#)
}

#[test]
fn compatibility_defaults_and_short_names() {
    let dialects = |fields: &str| config(&one(fields)).providers["x"].dialects.clone();
    assert_eq!(dialects(r#""name":"n""#), [OpenaiChat]);
    assert_eq!(dialects(r#""compatibility":{}"#), [OpenaiChat]);
    assert_eq!(
        dialects(r#""compatibility":{"anthropic_messages":true}"#),
        [AnthropicMessages]
    );
    assert_eq!(
        dialects(r#""compatibility":{"anthropic_messages":false}"#),
        [OpenaiChat]
    );
    assert_eq!(
        dialects(r#""compatibility":{"openai_chat":true,"openai_responses":true}"#),
        [OpenaiChat, OpenaiResponses]
    );
    assert!(dialects(r#""compatibility":{"openai_chat":false}"#).is_empty());
    for (short, meant) in [
        ("gemini", &[GeminiGenerateContent][..]),
        ("bedrock", &[BedrockModelInvoke, BedrockConverse]),
        ("vertex", &[GoogleGenerateContent, GoogleRawPredict]),
        (
            "experimental_gemini_cli_vertex_compat",
            &[GoogleGenerateContent],
        ),
    ] {
        let fields = format!(r#""compatibility":{{"{short}":true}}"#);
        assert_eq!(dialects(&fields), meant, "{short}");
        assert!(!has(&one(&fields), "unknown config key"), "{short}");
    }
}

#[test]
fn authorization_forms_and_defaults() {
    let credential = |fields: &str| {
        let config = config(&one(fields));
        let credential = config.providers["x"].credential.clone().unwrap();
        (credential.scheme, credential.secret.expose().to_owned())
    };
    assert_eq!(
        credential(r#""apikey":"k""#),
        (AuthScheme::Bearer, "k".into())
    );
    assert_eq!(
        credential(r#""apikey":"k","compatibility":{"anthropic_messages":true}"#),
        (AuthScheme::XApiKey, "k".into())
    );
    let both = r#""apikey":"k","authorization":{"type":"X-API-KEY","value":"v"}"#;
    assert_eq!(credential(both), (AuthScheme::XApiKey, "k".into()));
    assert!(has(
        &one(both),
        "apikey and authorization.value are both set"
    ));
    for (text, scheme) in [
        ("BEARER", AuthScheme::Bearer),
        ("x-goog-api-key", AuthScheme::XGoogApiKey),
        ("hec", AuthScheme::Hec),
        ("cf-aig-authorization", AuthScheme::CfAig),
    ] {
        let fields = format!(r#""apikey":"k","authorization":"{text}""#);
        assert_eq!(credential(&fields).0, scheme);
    }
    assert!(has(
        &one(
            r#""apikey":"k","authorization":"bearer","compatibility":{"anthropic_messages":true}"#
        ),
        "Anthropic expects authorization type x-api-key"
    ));
    assert!(has(
        &one(r#""apikey":"k","authorization":"x-api-key""#),
        "expect authorization type bearer"
    ));
}

#[test]
fn a_key_in_the_wrong_place_is_not_repeated() {
    let report = render_findings(
        Path::new("f"),
        &checked(&one(r#""authorization":"sk-proj-0123456789abcdef","add_headers":["Authorization Bearer sk-proj-0123456789abcdef"]"#)).findings,
    );
    assert!(report.contains("has invalid authorization type: (not shown)"));
    assert!(!report.contains("0123456789"), "{report}");
}

#[test]
fn what_cannot_be_understood_leaves_the_provider_out() {
    for fields in [
        r#""disabled":"true""#,
        r#""disabeld":true"#,
        r#""tailnet":"yes""#,
        r#""auth_mode":"sometimes""#,
        r#""auth_mode":1"#,
    ] {
        let checked = checked(&one(fields));
        assert!(checked.config.unwrap().providers.is_empty(), "{fields}");
        assert!(refused(&checked.findings, Strictness::Save), "{fields}");
        assert!(!refused(&checked.findings, Strictness::Load), "{fields}");
    }
    // Without a readable authorization the provider stays, and its requests fail clearly.
    for fields in [
        r#""apikey":"k","authorization":7"#,
        r#""apikey":"k","authorization":{"type":7}"#,
        r#""apikey":"k","authorization":"aws-sigv4""#,
    ] {
        let config = config(&one(fields));
        assert!(config.providers["x"].credential.is_none(), "{fields}");
        assert!(config.providers["x"].missing_secret.is_some(), "{fields}");
    }
}

#[test]
fn own_host_is_refused_unless_permitted() {
    for url in [
        "http://localhost:11434",
        "http://169.254.169.254",
        "http://[::1]",
    ] {
        let text = format!(
            r#"{{"providers":{{"x":{{"baseurl":"{url}","models":["m"],"tailnet":true}}}}}}"#
        );
        assert!(config(&text).providers.is_empty(), "{url}");
        let permitted = CheckOptions {
            allow_local_upstreams: true,
            ..options()
        };
        assert_eq!(check(&text, &permitted).config.unwrap().providers.len(), 1);
    }
}

#[test]
fn tailnet_is_chosen_by_address() {
    let tailnet = |url: &str, more: &str| {
        let text = format!(r#"{{"providers":{{"x":{{"baseurl":"{url}","models":["m"]{more}}}}}}}"#);
        config(&text).providers["x"].tailnet
    };
    assert!(tailnet("http://100.64.0.1:8080", ""));
    assert!(tailnet("http://llm.tail.ts.net", ""));
    assert!(!tailnet("https://api.openai.com", ""));
    assert!(!tailnet("http://10.0.0.1", ""));
    assert!(!tailnet("http://100.64.0.1:8080", r#","tailnet":false"#));
    assert!(tailnet("http://10.0.0.1", r#","tailnet":true"#));
    let advice = r#"{"providers":{"x":{"baseurl":"http://10.0.0.1","models":["m"]}}}"#;
    assert!(has(
        advice,
        "self-hosted provider should say \"tailnet\": true"
    ));
}

fn granting(src: &str, capability: &str) -> Config {
    config(&format!(
        r#"{{"grants":[{{"src":{src},"app":{{"tailscale.com/cap/aperture":[{capability}]}}}}]}}"#
    ))
}

#[test]
fn every_form_of_src() {
    let config = granting(
        r#"["*", "alice@example.com", "tag:ci", "tag:prod,tag:api", "group:eng", "(loopback)", "alice", "autogroup:member", "tag:a,bob@x", "tag:"]"#,
        r#"{"role":"user"}"#,
    );
    assert_eq!(
        config.grants[0].src,
        [
            Src::Everyone,
            Src::Login("alice@example.com".into()),
            Src::Tags(vec!["tag:ci".into()]),
            Src::Tags(vec!["tag:api".into(), "tag:prod".into()]),
            Src::Group("group:eng".into()),
            Src::Loopback,
        ]
    );
}

#[test]
fn a_grant_with_a_condition_that_cannot_be_checked_names_nobody() {
    let text = r#"{"grants":[{"src":["*"],"srcPosture":["posture:x"],"app":{"tailscale.com/cap/aperture":[{"role":"admin"}]}}]}"#;
    assert!(config(text).grants[0].src.is_empty());
    let text = r#"{"grants":[{"src":["*"],"dst":["tag:aperture"],"ip":["tcp:80"],"app":{"tailscale.com/cap/aperture":[{"role":"admin"}]}}]}"#;
    assert_eq!(config(text).grants[0].src, [Src::Everyone]);
    assert!(has(text, "unknown config key \"dst\""));
    assert!(refused(&checked(text).findings, Strictness::Save));
}

#[test]
fn the_capability_name_can_be_changed() {
    let text = r#"{"gateway":{"capability":"example.com/cap/aperture"},"grants":[{"src":["*"],"app":{
        "example.com/cap/aperture":[{"role":"admin"}], "tailscale.com/cap/aperture":[{"role":"user"}], "other.example/cap/x":[{"role":"admin"}, 7]}}]}"#;
    let config = config(text);
    let roles: Vec<_> = config.grants[0]
        .capabilities
        .iter()
        .map(|capability| capability.role)
        .collect();
    assert_eq!(roles, [Some(Role::Admin), Some(Role::User)]);
    assert!(config.everyone_is_admin());
    assert!(
        !messages(text)
            .iter()
            .any(|message| message.contains("expected"))
    );
}

#[test]
fn an_unreadable_scope_never_widens() {
    for capability in [
        r#"{"models":5,"add_headers":["X-Key: v"],"capture":"metadata"}"#,
        r#"{"models":[],"add_headers":["X-Key: v"],"capture":"metadata"}"#,
        r#"{"models":[5],"add_headers":["X-Key: v"],"capture":"metadata"}"#,
        r#"{"modles":"a/**","add_headers":["X-Key: v"],"capture":"metadata"}"#,
    ] {
        let config = granting(r#"["*"]"#, capability);
        let capability = &config.grants[0].capabilities[0];
        assert!(capability.models.is_empty());
        assert!(capability.add_headers.is_empty());
        assert_eq!(capability.capture, Some(CaptureMode::Metadata));
    }
    let config = granting(r#"["*"]"#, r#"{"add_headers":["X-Key: v", "Host: evil"]}"#);
    assert_eq!(config.grants[0].capabilities[0].add_headers.len(), 1);
}

#[test]
fn temp_grant_names_are_not_patterns() {
    let text = r#"{"temp_grants":[{"src":["*"],"grants":[{"role":"user"},{"providers":[{"provider":"a*","model":"m*"}, {"provider":"b"}]},{"hook":{"hook":"x"}}]}]}"#;
    let config = config(text);
    let globs = &config.grants[0].capabilities[1].models;
    assert_eq!(*globs, [ModelGlob::exact(Some("a*"), Some("m*"))]);
    assert!(globs[0].matches("a*", "m*") && !globs[0].matches("ab", "mn"));
    assert!(has(
        text,
        "\"hook\" is not supported by this version, ignored"
    ));
}

#[test]
fn unsupported_product_keys_are_accepted_and_say_what_is_not_done() {
    let text = r#"{"quotas":{"t":{}},"hooks":{"oso":{"url":"https://x.example","apikey":"k"}},"exporters":{},"mcp":{},"connectors":{},
        "database":{"retention":{"duration":"30d"}},"flags":{},"chat_models":[],
        "grants":[{"src":[],"app":{"tailscale.com/cap/aperture":[{"quotas":[],"send_hooks":[],"mcp_tools":"x","connectors":[],"set_cors":true,"read_pricing":true}]}}]}"#;
    let checked = checked(text);
    assert!(checked.config.is_some());
    for key in [
        "quotas",
        "hooks",
        "exporters",
        "mcp",
        "connectors",
        "database",
        "flags",
        "chat_models",
    ] {
        let message = format!("{key:?} is not supported by this version, ignored");
        assert!(
            checked
                .findings
                .iter()
                .any(|finding| finding.message == message && finding.hint.is_some()),
            "{key}"
        );
    }
    // A guardrail that must not be passed by can't be ignored.
    let closed = r#"{"hooks":{"g":{"url":"https://x.example","fail_policy":"fail_closed"}}}"#;
    assert!(check(closed, &options()).config.is_none());
    let disabled = r#"{"hooks":{"g":{"url":"https://x.example","fail_policy":"fail_closed","disabled":true}}}"#;
    assert!(check(disabled, &options()).config.is_some());
}

#[test]
fn gateway_settings_are_read() {
    let gateway = config(
        r#"{"gateway":{"limits":{"request_body_bytes":"1MiB","head_bytes":16384,"head_count":64,"connections_per_peer":7,"connections":8},
        "timeouts":{"header_read":"1s","body_idle":"2s","idle":"3s","connect":"500ms","first_byte":"1h30m","chunk_idle":"6s"},
        "cors":{"origins":["https://Chat.example.com"]},"metrics":{"per_user":true},
        "discovery":{"providers_for_admins_only":true},
        "capture":{"mode":"metadata","body_bytes":0,"total_bytes":"1GiB","age":"30d"},
        "session_headers":["X-Session"],"inject_include_usage":false,"capability":"e.example/cap/a",
        "retention":{"records":"365d","counters":"720h","audit":"90d"}}}"#,
    )
    .gateway;
    assert_eq!(
        gateway.limits,
        Limits {
            request_body_bytes: 1 << 20,
            head_bytes: 16_384,
            head_count: 64,
            connections_per_peer: 7,
            connections: 8
        }
    );
    assert_eq!(gateway.timeouts.connect, Duration::from_millis(500));
    assert_eq!(gateway.timeouts.first_byte, Duration::from_mins(90));
    assert_eq!(gateway.cors_origins, ["https://chat.example.com"]);
    assert!(gateway.metrics_per_user && !gateway.inject_include_usage);
    assert!(gateway.providers_for_admins_only);
    for (text, kept) in [
        ("{}", false),
        (r#"{"gateway":{}}"#, false),
        (
            r#"{"gateway":{"discovery":{"providers_for_admins_only":"yes"}}}"#,
            true,
        ),
        (r#"{"gateway":{"discovery":7}}"#, true),
    ] {
        let gateway = config(text).gateway;
        assert_eq!(gateway.providers_for_admins_only, kept, "{text}");
    }
    assert_eq!(
        gateway.capture,
        Capture {
            mode: CaptureMode::Metadata,
            body_bytes: 0,
            total_bytes: 1 << 30,
            age: Some(Duration::from_hours(30 * 24))
        }
    );
    assert_eq!(gateway.session_headers[0], "x-session");
    assert_eq!(gateway.retention.counters, Some(Duration::from_hours(720)));
    // What is unreadable must not keep more than was asked for.
    for text in [
        r#"{"gateway":7}"#,
        r#"{"gateway":{"capture":"none"}}"#,
        r#"{"gateway":{"capture":{"mode":["none"]}}}"#,
    ] {
        assert_eq!(
            config(text).gateway.capture.mode,
            CaptureMode::None,
            "{text}"
        );
    }
}

#[test]
fn price_rules_are_exact() {
    let config = config(&one(
        r#""cost_basis":"azure","model_cost_map":[{"match":"gpt-*","as":"gpt-5","adjustment":0.29},{"match":"x"},{"as":"y"},{"match":"z","adjustment":-1}]"#,
    ));
    assert_eq!(
        config.providers["x"].model_cost_map,
        [
            CostRule {
                matches: "gpt-*".into(),
                as_model: Some("gpt-5".into()),
                adjustment_ppm: 290_000
            },
            CostRule {
                matches: "x".into(),
                as_model: None,
                adjustment_ppm: 1_000_000
            },
        ]
    );
}

#[test]
fn clients_are_not_sent_to_https() {
    let text = "{\n  // export ANTHROPIC_BASE_URL=https://ai\n  \"grants\": [], // https://ai.example.com is fine\n}";
    let findings = checked(text).findings;
    let found: Vec<_> = findings
        .iter()
        .filter(|finding| finding.message.contains("http://ai"))
        .collect();
    assert_eq!(found.len(), 1);
    assert_eq!((found[0].line, found[0].column), (2, 32));
}

#[test]
fn a_missing_secret_is_a_warning_and_the_provider_says_so() {
    let checked = check(default_document(), &CheckOptions::default());
    let config = checked.config.unwrap();
    let provider = &config.providers["openai"];
    assert!(provider.credential.is_none());
    assert_eq!(
        provider.missing_secret.as_deref(),
        Some("environment variable OPENAI_API_KEY is not set")
    );
    assert!(!refused(&checked.findings, Strictness::Save));
}

#[test]
fn debug_shows_no_secret() {
    let config = config(&one(
        r#""apikey":"very-secret-key","add_headers":["X-Key: other-secret-key"]"#,
    ));
    let shown = format!("{config:?}");
    assert!(!shown.contains("secret-key"), "{shown}");
}

/// JSON of any shape that uses our keys often enough to get deep into the document.
fn any_document() -> impl Strategy<Value = serde_json::Value> {
    let leaf = prop_oneof![
        Just(serde_json::Value::Null),
        any::<bool>().prop_map(Into::into),
        any::<i64>().prop_map(Into::into),
        any::<f64>().prop_map(Into::into),
        "[a-z*/:@.-]{0,8}".prop_map(Into::into),
    ];
    let key = prop::sample::select(vec![
        "providers",
        "grants",
        "temp_grants",
        "gateway",
        "src",
        "app",
        "role",
        "models",
        "tailscale.com/cap/aperture",
        "baseurl",
        "authorization",
        "type",
        "value",
        "apikey",
        "compatibility",
        "openai_chat",
        "limits",
        "head_bytes",
        "capture",
        "mode",
        "provider",
        "model",
        "x",
        "add_headers",
        "model_cost_map",
        "match",
        "adjustment",
        "preference",
    ]);
    leaf.prop_recursive(6, 64, 6, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Into::into),
            prop::collection::vec((key.clone(), inner), 0..6).prop_map(|members| {
                let members = members
                    .into_iter()
                    .map(|(key, value)| (key.to_owned(), value));
                serde_json::Value::Object(members.collect())
            }),
        ]
    })
}

proptest! {
    #[test]
    fn any_bytes_are_survived(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let text = String::from_utf8_lossy(&bytes);
        let _ = checked(&text);
        let _ = redact(&text);
        let _ = restore(&text, &text);
    }

    #[test]
    fn any_punctuation_is_survived(text in "[\\[\\]{}\",:/* \n'a-c0-9.\\\\-]{0,60}") {
        let _ = checked(&text);
        let _ = redact(&text);
        let _ = restore(&text, default_document());
    }

    /// After the walk over the schema nothing is left that the structs can't take.
    #[test]
    fn any_json_object_loads(value in any_document()) {
        let text = value.to_string();
        let checked = checked(&text);
        prop_assert_eq!(checked.config.is_some(), value.is_object(), "{}: {:?}", text, checked.findings);
        let cannot = checked.findings.iter().any(|finding| finding.message.ends_with("can't be read"));
        prop_assert!(!cannot, "{}", text);
    }
}

/// One long key with many values below it: every path repeats it.
#[test]
fn a_document_that_would_fill_the_memory_is_not_read() {
    let keys = "k".repeat(1 << 20);
    let wide = format!("{{\"{keys}\": [{}]}}", "1,".repeat(200));
    let many = format!("[{}]", "1,".repeat(600_000));
    let deep = format!("{}1{}", "{\"kkkkkkkk\": [1, ".repeat(200), "]}".repeat(200));
    for text in [wide, many] {
        assert!(has(&text, "too many values"), "{}", text.len());
        assert_eq!(outline(&text), serde_json::Value::Null);
        assert!(redact(&text).starts_with("// not shown"));
        assert!(restore(&text, "{}").is_none());
    }
    assert!(!has(&deep, "too many values"));
    // Every secret is looked for in every text.
    let secrets: Vec<String> = (0..10_000)
        .map(|number| format!("\"p{number}\": {{\"apikey\": \"secret-{number}\"}}"))
        .collect();
    let secrets = format!("{{\"providers\": {{{}}}}}", secrets.join(", "));
    assert!(redact(&secrets).starts_with("// not shown"));
    assert!(restore(&secrets, "{}").is_none());
}

#[test]
fn of_too_many_findings_the_number_and_the_gravest_are_told() {
    let unknown: Vec<String> = (0..20_000).map(|key| format!("\"x{key}\": 1")).collect();
    let text = format!("{{{}}}", unknown.join(", "));
    let found = checked(&text);
    assert_eq!(found.findings.len(), 1001);
    let rest = |findings: &[Finding]| {
        let rest = findings.iter().find(|it| it.message.contains("not listed"));
        rest.unwrap().clone()
    };
    let more = rest(&found.findings);
    assert!(more.message.starts_with("19"), "{}", more.message);
    assert!(refused(&found.findings, Strictness::Save));
    // What makes a document unusable does so also among those.
    let closed = "\"hooks\": {\"h\": {\"fail_policy\": \"fail_closed\"}}";
    let double = "\"providers\": {}, ".repeat(2000);
    let broken = checked(&format!("{{{double}{closed}}}"));
    assert!(broken.config.is_none());
    assert!(refused(&broken.findings, Strictness::Load));
    let message = rest(&broken.findings).message;
    assert!(message.contains("hooks are not supported"), "{message}");
}

/// Found by fuzzing: with a letter that paths quote, the document took the restriction for one that nobody asked for.
#[test]
fn a_misspelt_restriction_is_as_strict_as_it_can_be_in_any_spelling() {
    for key in ["captur", "capture)", "capture ", "captüre", "Capture"] {
        let capability = format!("{{\"models\": \"**\", {key:?}: \"metadata\"}}");
        let text = format!(
            "{{\"grants\": [{{\"src\": [\"*\"], \"app\": {{\"{DEFAULT_CAPABILITY}\": [{capability}]}}}}]}}"
        );
        let value = serde_json::from_str(&capability).unwrap();
        let (of_the_policy, _) = grant::Capability::from_json("here", &value);
        let of_the_document = config(&text).grants[0].capabilities[0].clone();
        for capability in [of_the_policy, of_the_document] {
            assert_eq!(capability.capture, Some(CaptureMode::None), "{key}");
        }
    }
}
