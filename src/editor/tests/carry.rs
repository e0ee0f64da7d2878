//! Ways to have a stored secret sent elsewhere, or shown. None works.

use super::*;

/// A document with everything that secrets go with.
const RICH: &str = r#"{
  // old key of a: "key": "marked-secret-old"
  "providers": {
    "a": { "baseurl": "https://a.example", "apikey": "marked-secret-a", "models": ["m-1"], "description": "about a" },
    "b": { "baseurl": "https://b.example", "apikey": "marked-secret-b", "models": ["m-2"], "add_headers": ["X-One: marked-secret-one", "X-Two: marked-secret-two"] },
    "e": { "baseurl": "https://e.example", "apikey": "env:E_API_KEY", "models": ["m-3"] },
    "f": { "baseurl": "https://f.example", "authorization": { "type": "google-service-account", "keyfile": "file:f.json" }, "models": ["m-4"] },
    "s": { "baseurl": "https://bedrock-runtime.us-east-1.amazonaws.com", "authorization": { "type": "aws-sigv4", "region": "us-east-1", "access_key_id": "marked-secret-id", "secret_access_key": "marked-secret-key", "endpoint": "https://sts.example" }, "models": ["m-5"] },
  },
  "hooks": { "h": { "url": "https://h.example", "apikey": "marked-secret-h" } },
  "grants": [
    { "src": ["alice@example.com"], "app": { "tailscale.com/cap/aperture": [{ "role": "admin" }] } },
    { "src": ["*"], "app": { "tailscale.com/cap/aperture": [{ "models": "a/**", "add_headers": ["X-Grant: marked-secret-g"] }] } },
    { "src": ["*"], "app": { "tailscale.com/cap/aperture": [{ "models": "b/**", "add_headers": ["X-Grant: marked-secret-i"] }] } },
  ],
}
"#;

/// Replaces once, and fails when there is nothing to replace.
fn swap(text: &str, changes: &[(&str, &str)]) -> String {
    let key = format!("\"apikey\": {PLACEHOLDER:?}");
    changes.iter().fold(text.to_owned(), |text, (from, to)| {
        // Spelt out, so that the names of variables in references are not meant.
        let spelt = |part: &str| match part {
            "KEY" => key.clone(),
            _ => part
                .replace(" KEY,", &format!(" {key},"))
                .replace(" KEY ", &format!(" {key} "))
                .replace("KEY, ", &format!("{key}, ")),
        };
        let (from, to) = (spelt(from), spelt(to));
        assert!(text.contains(&from), "{from}");
        text.replacen(&from, &to, 1)
    })
}

/// What is tried, what is replaced by what (KEY = a placeholder under `apikey`), and where it is refused.
type Trick = (
    &'static str,
    &'static [(&'static str, &'static str)],
    &'static str,
);

const TRICKS: &[Trick] = &[
    (
        "another address",
        &[("https://a.example", "https://evil.example")],
        "providers.a.apikey",
    ),
    (
        "another path",
        &[("https://a.example", "https://a.example/log")],
        "providers.a.apikey",
    ),
    (
        "another scheme",
        &[("https://a.example", "http://a.example")],
        "providers.a.apikey",
    ),
    (
        "the tailnet's network",
        &[(r#""description": "about a""#, r#""tailnet": true"#)],
        "providers.a.apikey",
    ),
    (
        "another authority to trust",
        &[(
            r#""description": "about a""#,
            r#""extra_ca": "-----BEGIN CERTIFICATE-----""#,
        )],
        "providers.a.apikey",
    ),
    (
        "another authorization type",
        &[(
            r#""description": "about a""#,
            r#""authorization": "x-api-key""#,
        )],
        "providers.a.apikey",
    ),
    (
        "a provider renamed",
        &[(r#""a": {"#, r#""z": {"#)],
        "providers.z.apikey",
    ),
    (
        "two providers swapped",
        &[
            (r#""a": {"#, r#""swap": {"#),
            (r#""b": {"#, r#""a": {"#),
            (r#""swap": {"#, r#""b": {"#),
        ],
        "providers.a.apikey",
    ),
    (
        "the addresses of two swapped",
        &[
            ("https://a.example", "https://swap"),
            ("https://b.example", "https://a.example"),
            ("https://swap", "https://b.example"),
        ],
        "providers.b.apikey",
    ),
    (
        "a key moved",
        &[
            ("KEY", r#""apikey": """#),
            (
                r#""e": { "baseurl": "https://e.example", "apikey": "env:E_API_KEY""#,
                r#""e": { KEY, "baseurl": "https://e.example""#,
            ),
        ],
        "providers.e.apikey",
    ),
    (
        "a placeholder in a new provider",
        &[(
            r#""a":"#,
            r#""x": { "baseurl": "https://evil.example", KEY }, "a":"#,
        )],
        "providers.x.apikey",
    ),
    (
        "a placeholder in a shown text",
        &[(
            r#""description": "about a""#,
            r#""name": "(secret, not shown)""#,
        )],
        "providers.a.name",
    ),
    (
        "an address twice",
        &[(
            r#"KEY, "models": ["m-1"]"#,
            r#"KEY, "baseurl": "https://evil.example", "models": ["m-1"]"#,
        )],
        "providers.a.apikey",
    ),
    (
        "a provider twice",
        &[(
            r#""b": {"#,
            r#""a": { "baseurl": "https://evil.example", KEY, "models": ["m-1"] }, "b": {"#,
        )],
        "providers.a.apikey",
    ),
    (
        "a header in another",
        &[("X-One: ", "X-Other: ")],
        "providers.b.add_headers[0]",
    ),
    (
        "a key as a header",
        &[("X-One: ", "")],
        "providers.b.add_headers[0]",
    ),
    (
        "a header that steers a proxy",
        &[(
            r#""add_headers": ["X-One"#,
            r#""add_headers": ["X-Target-URL: https://evil.example", "X-One"#,
        )],
        "providers.b.apikey",
    ),
    (
        "a grant's header that steers a proxy",
        &[(
            r#"{ "role": "admin" }]"#,
            r#"{ "role": "admin" }, { "add_headers": ["Upstream-Host: evil.example"] }]"#,
        )],
        "providers.a.apikey",
    ),
    (
        "a grant's header to more models",
        &[(r#""a/**""#, r#""**""#)],
        r#"grants[1].app["tailscale.com/cap/aperture"][0].add_headers[0]"#,
    ),
    (
        "a grant's provider elsewhere",
        &[("https://b.example", "https://evil.example")],
        r#"grants[2].app["tailscale.com/cap/aperture"][0].add_headers[0]"#,
    ),
    (
        "a reference elsewhere",
        &[("https://e.example", "https://evil.example")],
        "providers.e.apikey",
    ),
    (
        "another reference",
        &[("env:E_API_KEY", "env:OTHER_API_KEY")],
        "providers.e.apikey",
    ),
    (
        "a file for a variable",
        &[("env:E_API_KEY", "file:f.json")],
        "providers.e.apikey",
    ),
    (
        "a reference for a key",
        &[(
            r#"a.example", KEY, "#,
            r#"a.example", "apikey": "env:E_API_KEY", "#,
        )],
        "providers.a.apikey",
    ),
    (
        "a service account's file",
        &[("file:f.json", "file:g.json")],
        "providers.f.authorization.keyfile",
    ),
    (
        "a service account elsewhere",
        &[("https://f.example", "https://evil.example")],
        "providers.f.authorization.keyfile",
    ),
    (
        "the host's own account",
        &[(
            r#""google-service-account", "keyfile": "file:f.json""#,
            r#""google-adc""#,
        )],
        "providers.f.authorization.type",
    ),
    (
        "another token service",
        &[("https://sts.example", "https://evil.example")],
        "providers.s.authorization.secret_access_key",
    ),
    (
        "another role",
        &[(
            r#""endpoint": "https://sts.example""#,
            r#""endpoint": "https://sts.example", "role_arn": "arn:aws:iam::123456789012:role/x""#,
        )],
        "providers.s.authorization.secret_access_key",
    ),
    (
        "the host's profile",
        &[(
            r#""region": "us-east-1""#,
            r#""region": "us-east-1", "profile": "admin""#,
        )],
        "providers.s.authorization.profile",
    ),
    (
        "a hook elsewhere",
        &[("https://h.example", "https://evil.example")],
        "hooks.h.apikey",
    ),
    (
        "a hook with one more address",
        &[(
            r#""url": "https://h.example""#,
            r#""url": "https://h.example", "mirror": { "to": "https://evil.example" }"#,
        )],
        "hooks.h.apikey",
    ),
];

#[tokio::test]
async fn no_trick_sends_a_stored_secret_elsewhere() {
    let stage = Stage::new(RICH);
    let shown = stage.editor.document().await.text;
    assert!(!shown.contains("marked-secret"), "{shown}");
    for (trick, changes, path) in TRICKS {
        let edited = swap(&shown, changes);
        let problems = stage.refused(&edited).await;
        let secrets: Vec<_> = problems
            .iter()
            .filter(|problem| problem.kind == Kind::Secret)
            .collect();
        let found = secrets.iter().find(|problem| problem.finding.path == *path);
        let Some(found) = found else {
            panic!("{trick}: {problems:?}");
        };
        // At the line of the placeholder or reference.
        let line = edited.lines().nth(found.finding.line - 1).unwrap();
        let rest: String = line.chars().skip(found.finding.column - 1).collect();
        assert!(rest.starts_with('"'), "{trick}: {rest}");
    }
}

#[tokio::test]
async fn harmless_edits_need_no_secret() {
    let stage = Stage::new(RICH);
    let shown = stage.editor.document().await.text;
    let one_more = "\"n\": { \"baseurl\": \"https://n.example\", \"apikey\": \"fresh-key-of-n\", \"models\": [\"m-6\"] },\n    \"b\": {";
    let front = "\"grants\": [\n    { \"src\": [\"bob@example.com\"], \"app\": { \"tailscale.com/cap/aperture\": [{ \"role\": \"user\" }] } },";
    let first = "{ \"src\": [\"*\"], \"app\": { \"tailscale.com/cap/aperture\": [{ \"models\": \"a/**\", \"add_headers\": [\"X-Grant: (secret, not shown)\"] }] } },\n";
    let cases: &[(&str, &[(&str, &str)])] = &[
        ("a model", &[("m-1", "m-9")]),
        ("a provider added", &[("\"b\": {", one_more)]),
        ("a grant in front", &[("\"grants\": [", front)]),
        ("a grant removed", &[(first, "")]),
        (
            "a header in front",
            &[("[\"X-One", "[\"X-New: plain\", \"X-One")],
        ),
        (
            "a header removed",
            &[("\"X-One: (secret, not shown)\", ", "")],
        ),
        (
            "a provider removed",
            &[(
                "\"e\": { \"baseurl\": \"https://e.example\", \"apikey\": \"env:E_API_KEY\", \"models\": [\"m-3\"] },",
                "",
            )],
        ),
        (
            "a new secret with its new address",
            &[(
                "https://h.example\", \"apikey\": \"(secret, not shown)\"",
                "https://n.example\", \"apikey\": \"new\"",
            )],
        ),
        ("a description", &[("about a", "about something else")]),
    ];
    for (what, changes) in cases {
        let edited = swap(&shown, changes);
        let review = stage.editor.validate(edited.clone(), alice()).await;
        assert_eq!(review.secrets().count(), 0, "{what}: {review:?}");
        let restored = crate::config::restore(&edited, RICH).unwrap();
        // Each grant keeps its own header.
        for (models, secret) in [("a/**", "marked-secret-g"), ("b/**", "marked-secret-i")] {
            let line = restored.text.lines().find(|line| line.contains(models));
            assert!(
                line.is_none_or(|line| line.contains(secret)),
                "{what}: {line:?}"
            );
        }
        let two = restored.text.contains("X-Two: marked-secret-two");
        assert!(two, "{what}");
        assert!(restored.text.contains("marked-secret-old"), "comments, too");
    }
}

#[tokio::test]
async fn a_text_that_hides_a_secret_does_not_show_it_once_the_key_is_another() {
    let document = DOCUMENT.replace("// kept by hand", "// marked-secret-one is the key");
    let document = document.replace(
        "\"models\": [\"m-1\"]",
        "\"models\": [\"m-1\"], \"description\": \"by marked-secret-one\"",
    );
    let stage = Stage::new(&document);
    let shown = stage.editor.document().await.text;
    assert!(!shown.contains("marked-secret"), "{shown}");
    // While it is in use, all comes back.
    stage.save(&shown.replace("m-2", "m-7")).await.unwrap();
    assert_eq!(stage.on_disk(), document.replace("m-2", "m-7"));
    let shown = shown.replace("m-2", "m-7");
    let other_key = shown.replacen(
        &format!("\"apikey\": {PLACEHOLDER:?}"),
        "\"apikey\": \"another-key\"",
        1,
    );
    let problems = stage.refused(&other_key).await;
    assert_eq!(problems[0].finding.path, "providers.a.description");
    let without = other_key.replace(&format!("by {PLACEHOLDER}"), "by us");
    let saved = stage.save(&without).await.unwrap();
    assert!(
        !saved.document.text.contains("marked-secret"),
        "{}",
        saved.document.text
    );
    assert!(!stage.on_disk().contains("marked-secret-one"));
}
