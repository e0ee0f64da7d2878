//! The configuration API, by the call sequences of the programs that use it.

use super::*;
use ::http::{Method, header};
use serde_json::{Value, json};

/// A document for everybody as admin, with secrets that must never come out.
const DOCUMENT: &str = r#"// Welcome: everybody is admin until you change it
{
    "providers": {
        "a": { "baseurl": "https://a.example", "apikey": "marked-secret-one", "models": ["m-1"] },
        "b": { "baseurl": "https://b.example", "apikey": "marked-secret-two", "models": ["m-2"],
               "add_headers": ["X-Team: marked-secret-three"] },
    },
    "grants": [
        { "src": ["*"], "app": { "tailscale.com/cap/aperture": [ { "role": "admin" }, { "models": "**" } ] } },
    ],
}
"#;

/// A gateway, of which no answer may have a secret in it.
struct Admin(Gateway);

impl Admin {
    async fn start(document: &str) -> Self {
        Self(start(document).await)
    }

    async fn ask(
        &self,
        method: Method,
        path: &str,
        lines: &[(&str, &str)],
        body: impl Into<::bytes::Bytes>,
    ) -> http::Answer {
        let answer = http::send(method, &format!("{}{path}", self.0.url), lines, body).await;
        assert!(
            !answer.text().contains("marked-secret"),
            "{}",
            answer.text()
        );
        let head = format!("{:?}", answer.headers);
        assert!(!head.contains("marked-secret"), "{head}");
        assert_eq!(answer.headers[header::CACHE_CONTROL], "no-store", "{path}");
        answer
    }

    async fn get(&self, path: &str) -> http::Answer {
        self.ask(Method::GET, path, &[], "").await
    }

    /// A body as JSON, with further header lines.
    async fn send(
        &self,
        method: Method,
        path: &str,
        lines: &[(&str, &str)],
        body: &Value,
    ) -> http::Answer {
        let mut all = vec![("content-type", "application/json")];
        all.extend(lines);
        self.ask(method, path, &all, body.to_string()).await
    }

    /// The document and its `ETag`.
    async fn read(&self) -> (String, String) {
        let answer = self.get("/aperture/config").await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        let etag = answer.headers[header::ETAG].to_str().unwrap().to_owned();
        let text = answer.json()["config"].as_str().unwrap().to_owned();
        (text, etag)
    }

    async fn put(&self, etag: &str, text: &str) -> http::Answer {
        let body = json!({"config": text});
        self.send(
            Method::PUT,
            "/aperture/config",
            &[("if-match", etag)],
            &body,
        )
        .await
    }

    fn on_disk(&self) -> String {
        std::fs::read_to_string(self.0.config_file()).unwrap()
    }

    async fn models(&self) -> Vec<String> {
        let answer = http::get(&format!("{}/v1/models", self.0.url)).await.json();
        let models = answer["data"].as_array().unwrap().iter();
        models
            .map(|model| model["id"].as_str().unwrap().to_owned())
            .collect()
    }
}

#[tokio::test]
async fn a2_bootstrap_reads_by_hash_and_writes_by_hash() {
    let admin = Admin::start(DOCUMENT).await;
    let read = admin.get("/api/config").await;
    assert_eq!(read.status, 200);
    let read = read.json();
    let keys: Vec<_> = read.as_object().unwrap().keys().collect();
    assert_eq!(keys, ["config", "exists", "hash"]);
    assert_eq!(read["exists"], true);
    let text = read["config"].as_str().unwrap();
    assert!(text.starts_with("// Welcome"));

    let changed = text.replace("\"m-1\"", "\"m-1\", \"m-9\"");
    let body = json!({"config": changed, "hash": read["hash"]});
    let saved = admin.send(Method::PUT, "/api/config", &[], &body).await;
    assert_eq!(saved.status, 200, "{}", saved.text());
    assert_eq!(saved.json()["success"], true);
    let hash = saved.json()["hash"].clone();
    assert_ne!(hash, read["hash"]);
    // In force before the answer, secrets and layout kept.
    assert_eq!(admin.models().await, ["m-1", "m-9", "m-2"]);
    assert_eq!(
        admin.on_disk(),
        DOCUMENT.replace("\"m-1\"", "\"m-1\", \"m-9\"")
    );
    // The hash of before is stale now.
    let stale = admin.send(Method::PUT, "/api/config", &[], &body).await;
    assert_eq!(stale.status, 412);
    assert!(
        stale.json()["error"]
            .as_str()
            .unwrap()
            .contains("has changed")
    );
    // Both shapes are of one document.
    let (_, etag) = admin.read().await;
    assert_eq!(json!(etag.trim_matches('"')), hash);
    admin.0.stop().await;
}

#[tokio::test]
async fn a16_a_read_modify_write_loop_wins_after_a_412() {
    let admin = Admin::start(DOCUMENT).await;
    let openapi = admin.get("/aperture/openapi.json").await.json();
    assert_eq!(openapi["openapi"], "3.1.0");
    for path in ["/config", "/config:validate"] {
        assert!(openapi["paths"][path].is_object(), "{path}");
    }
    let (text, etag) = admin.read().await;
    // Without If-Match, and with one that is none of ours.
    let body = json!({"config": text});
    let missing = admin
        .send(Method::PUT, "/aperture/config", &[], &body)
        .await;
    assert_eq!(missing.status, 412);
    assert_eq!(
        missing.headers[header::CONTENT_TYPE],
        "application/problem+json"
    );
    assert_eq!(missing.headers[header::ETAG], *etag);
    assert_eq!(admin.put("\"other\"", &text).await.status, 412);
    // Somebody else is faster; the loop reads again.
    let theirs = text.replace("m-2", "m-7");
    assert_eq!(admin.put(&etag, &theirs).await.status, 200);
    let stale = admin.put(&etag, &text.replace("m-1", "m-9")).await;
    assert_eq!(stale.status, 412);
    let problem = stale.json();
    assert_eq!(problem["status"], 412);
    assert_eq!(problem["errors"][0]["location"], "header.if-match");
    let (text, etag) = admin.read().await;
    assert_eq!(stale.headers[header::ETAG], *etag);
    let saved = admin.put(&etag, &text.replace("m-1", "m-9")).await;
    assert_eq!(saved.status, 200, "{}", saved.text());
    assert_eq!(admin.models().await, ["m-9", "m-7"]);
    // The answer is what the next change is made from.
    let next = saved.headers[header::ETAG].to_str().unwrap();
    let text = saved.json()["config"]
        .as_str()
        .unwrap()
        .replace("m-9", "m-8");
    assert_eq!(admin.put(next, &text).await.status, 200);
    assert_eq!(
        admin.put("*", &text.replace("m-8", "m-1")).await.status,
        200
    );
    admin.0.stop().await;
}

#[tokio::test]
async fn an_edit_on_disk_is_a_conflict_and_stays() {
    let admin = Admin::start(DOCUMENT).await;
    let (text, etag) = admin.read().await;
    let by_hand = DOCUMENT.replace("m-2", "m-7");
    std::fs::write(admin.0.config_file(), &by_hand).unwrap();
    assert_eq!(
        admin.put(&etag, &text.replace("m-1", "m-9")).await.status,
        412
    );
    assert_eq!(admin.on_disk(), by_hand);
    admin.0.stop().await;
}

#[tokio::test]
async fn concurrent_saves_have_one_winner() {
    let admin = Admin::start(DOCUMENT).await;
    let (text, etag) = admin.read().await;
    let saves = (0..6).map(|number| {
        let text = text.replace("m-1", &format!("m-1{number}"));
        let (admin, etag) = (&admin, &etag);
        async move { admin.put(etag, &text).await.status.as_u16() }
    });
    let mut statuses = futures_util::future::join_all(saves).await;
    statuses.sort_unstable();
    assert_eq!(statuses, [200, 412, 412, 412, 412, 412]);
    admin.0.stop().await;
}

#[tokio::test]
async fn a16_validate_says_what_check_says() {
    let admin = Admin::start(DOCUMENT).await;
    let validate = async |text: &str| {
        let body = json!({"config": text});
        let answer = admin
            .send(Method::POST, "/aperture/config:validate", &[], &body)
            .await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        answer.json()
    };
    let (text, _) = admin.read().await;
    let good = validate(&text).await;
    assert_eq!(
        (&good["valid"], &good["errors"]),
        (&json!(true), &Value::Null)
    );
    for (text, message) in [
        (
            text.replace("baseurl", "basurl"),
            "unknown config key \"basurl\"",
        ),
        (
            text.replace("https://a.example", ""),
            "provider a has no baseurl configured",
        ),
        (
            text.replace("X-Team: (secret, not shown)", "Bad-Entry"),
            "provider b: add_headers entry",
        ),
        (
            text.replace("\"**\"", "\"zzz/**\""),
            "models pattern \"zzz/**\" references provider \"zzz\" which does not match any declared provider",
        ),
        (
            "{}".to_owned(),
            "no providers or mcp servers defined; users will not be able to access any models",
        ),
        (String::new(), "config must not be empty"),
        (
            text.replace("\"role\": \"admin\"", "\"role\": \"user\""),
            "dev@example.com would not be an admin any more",
        ),
        (
            text.replace("https://a.example", "https://evil.example"),
            "what decides where this secret is sent",
        ),
    ] {
        let told = validate(&text).await;
        assert_eq!(told["valid"], false, "{message}");
        let errors = told["errors"].as_array().unwrap();
        let found = errors
            .iter()
            .any(|error| error.as_str().unwrap().starts_with(message));
        assert!(found, "{message}: {errors:?}");
    }
    assert_eq!(admin.on_disk(), DOCUMENT);
    admin.0.stop().await;
}

#[tokio::test]
async fn a18_a_refused_save_says_every_reason_at_its_place() {
    let admin = Admin::start(DOCUMENT).await;
    let (text, etag) = admin.read().await;
    let edited = text
        .replace("\"role\": \"admin\"", "\"role\": \"user\"")
        .replace("https://b.example", "https://evil.example");
    let refused = admin.put(&etag, &edited).await;
    assert_eq!(refused.status, 422);
    assert_eq!(
        refused.headers[header::CONTENT_TYPE],
        "application/problem+json"
    );
    let problem = refused.json();
    let errors: Vec<_> = problem["errors"]
        .as_array()
        .unwrap()
        .iter()
        .map(|error| {
            (
                error["location"].as_str().unwrap(),
                error["value"].as_str().unwrap(),
            )
        })
        .collect();
    assert_eq!(
        errors,
        [
            ("body.config:5:61", "providers.b.apikey"),
            ("body.config:6:32", "providers.b.add_headers[0]"),
            ("body.config:8:15", "grants"),
        ]
    );
    assert!(
        problem["errors"][2]["message"]
            .as_str()
            .unwrap()
            .contains("dev@example.com")
    );
    let old = json!({"config": edited, "hash": etag.trim_matches('"')});
    let refused = admin.send(Method::PUT, "/api/config", &[], &old).await;
    assert_eq!(refused.status, 422);
    assert!(refused.json()["error"].is_string());
    assert_eq!(admin.on_disk(), DOCUMENT);
    // With the secrets anew and an admin it is taken.
    let anew = text
        .replace(
            "https://b.example\", \"apikey\": \"(secret, not shown)\"",
            "https://n.example\", \"apikey\": \"marked-secret-new\"",
        )
        .replace("X-Team: (secret, not shown)", "X-Team: marked-secret-newer");
    let saved = admin.put(&etag, &anew).await;
    assert_eq!(saved.status, 200, "{}", saved.text());
    assert!(admin.on_disk().contains("marked-secret-newer"));
    admin.0.stop().await;
}

#[tokio::test]
async fn only_admins_and_only_from_here() {
    let user = DOCUMENT.replace("\"role\": \"admin\"", "\"role\": \"user\"");
    let nobody = DOCUMENT.replace("{ \"role\": \"admin\" }, ", "");
    for (document, role) in [(user, "user"), (nobody, "nobody")] {
        let gateway = start(&document).await;
        let calls = [
            (Method::GET, "/api/config", ""),
            (Method::PUT, "/api/config", "{}"),
            (Method::GET, "/aperture/config", ""),
            (Method::PUT, "/aperture/config", "{}"),
            (
                Method::POST,
                "/aperture/config:validate",
                "{\"config\": \"\"}",
            ),
            (Method::GET, "/aperture/config/history", ""),
            (Method::GET, "/aperture/config/history/1", ""),
            (Method::POST, "/aperture/config:revert", "{\"version\": 1}"),
        ];
        for (method, path, body) in calls {
            let lines = [("content-type", "application/json"), ("if-match", "*")];
            let url = format!("{}{path}", gateway.url);
            let answer = http::send(method, &url, &lines, body).await;
            assert_eq!(answer.status, 403, "{role} {path}");
            assert!(!answer.text().contains("marked-secret"));
            if role == "nobody" || path == "/api/config" {
                assert_eq!(
                    answer.text(),
                    r#"{"error":"access denied: no role granted"}"#
                );
            }
        }
        gateway.stop().await;
    }

    let admin = Admin::start(DOCUMENT).await;
    let (text, etag) = admin.read().await;
    let body = json!({"config": text.replace("m-1", "m-9")}).to_string();
    let json = ("content-type", "application/json");
    let url = format!("{}/aperture/config", admin.0.url);
    let matched = ("if-match", &*etag);
    for (lines, status) in [
        // A page of elsewhere, a rebinding name, a form.
        (vec![json, matched, ("origin", "https://evil.example")], 403),
        (vec![json, matched, ("host", "evil.example")], 403),
        (
            vec![
                json,
                matched,
                ("host", "evil.example"),
                ("origin", "http://evil.example"),
            ],
            403,
        ),
        (vec![("content-type", "text/plain"), matched], 415),
        (
            vec![
                ("content-type", "application/x-www-form-urlencoded"),
                matched,
            ],
            415,
        ),
        (vec![matched], 415),
    ] {
        let answer = http::send(Method::PUT, &url, &lines, body.clone()).await;
        assert_eq!(answer.status, status, "{lines:?}");
    }
    let answer = http::send(Method::GET, &url, &[("host", "evil.example")], "").await;
    assert_eq!(answer.status, 403);
    // Bodies: bounded, of one shape, without anything else.
    for (body, status) in [
        (json!({"config": text, "force": true}).to_string(), 422),
        (json!({"text": text}).to_string(), 422),
        (json!({"config": 1}).to_string(), 422),
        ("{".to_owned(), 400),
        (json!({"config": " ".repeat(9 << 20)}).to_string(), 413),
        (
            json!({"config": " ".repeat((4 << 20) + 1)}).to_string(),
            413,
        ),
    ] {
        let answer = http::send(Method::PUT, &url, &[json, matched], body).await;
        assert_eq!(answer.status, status, "{}", answer.text());
    }
    assert_eq!(http::send(Method::DELETE, &url, &[], "").await.status, 405);
    assert_eq!(admin.on_disk(), DOCUMENT);
    admin.0.stop().await;
}

/// As a script of curl and jq does: the `ETag` is cut from the head, the body is a file.
#[tokio::test]
async fn a_script_of_curl_reads_and_applies() {
    let admin = Admin::start(DOCUMENT).await;
    let directory = admin.0.dir.path();
    let script = r#"
set -eu
curl -sS --fail -D head.txt -o read.json "$URL/aperture/config"
etag=$(tr -d '\r' < head.txt | sed -n 's/^[Ee][Tt][Aa][Gg]: //p')
sed 's/m-1/m-9/' read.json > body.json
curl -sS --fail -X PUT -H "If-Match: $etag" -H 'Content-Type: application/json' --data-binary @body.json "$URL/aperture/config" > /dev/null
curl -sS -o /dev/null -w '%{http_code}' -X PUT -H "If-Match: $etag" -H 'Content-Type: application/json' --data-binary @body.json "$URL/aperture/config"
"#;
    let output = tokio::process::Command::new("sh")
        .args(["-c", script])
        .env("URL", &admin.0.url)
        .current_dir(directory)
        .output()
        .await
        .unwrap();
    let told = String::from_utf8_lossy(&output.stdout);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{told} {errors}");
    assert_eq!(told, "412");
    assert_eq!(admin.on_disk(), DOCUMENT.replace("m-1", "m-9"));
    admin.0.stop().await;
}

/// As pi-ts-aperture of spring reads it: the text has comments, and is no strict JSON.
#[tokio::test]
async fn a_client_that_reads_gets_the_comments() {
    let admin = Admin::start(DOCUMENT).await;
    let answer = admin.get("/aperture/config").await.json();
    let keys: Vec<_> = answer.as_object().unwrap().keys().collect();
    assert_eq!(keys, ["config"]);
    let text = answer["config"].as_str().unwrap();
    assert!(text.starts_with("// Welcome"));
    assert!(serde_json::from_str::<Value>(text).is_err());
    assert_eq!(text, aperture::config::redact(DOCUMENT));
    admin.0.stop().await;
}

/// As a script goes back after a change that went wrong: list, look, revert.
#[tokio::test]
async fn a_script_goes_back_by_the_history() {
    let admin = Admin::start(DOCUMENT).await;
    let (text, etag) = admin.read().await;
    let saved = admin.put(&etag, &text.replace("m-1", "m-9")).await;
    assert_eq!(saved.status, 200);
    assert_eq!(admin.models().await, ["m-9", "m-2"]);
    let history = admin.get("/aperture/config/history").await.json();
    let versions = history["versions"].as_array().unwrap();
    assert_eq!(versions.len(), 2, "{history}");
    assert_eq!(versions[0]["author"], "dev@example.com");
    assert_eq!(versions[1]["origin"], "first");
    let first = &versions[1]["version"];
    let version = admin
        .get(&format!("/aperture/config/history/{first}"))
        .await;
    assert_eq!(version.json()["config"], text);

    let back = json!({"version": first});
    let revert = async |etag: &str| {
        let matched = [("if-match", etag)];
        admin
            .send(Method::POST, "/aperture/config:revert", &matched, &back)
            .await
    };
    assert_eq!(revert(&etag).await.status, 412, "that is the one before");
    assert_eq!(admin.models().await, ["m-9", "m-2"]);
    let current = saved.headers[header::ETAG].to_str().unwrap();
    let reverted = revert(current).await;
    assert_eq!(reverted.status, 200, "{}", reverted.text());
    assert_eq!(reverted.headers[header::ETAG], *etag);
    assert_eq!(admin.models().await, ["m-1", "m-2"]);
    assert_eq!(admin.on_disk(), DOCUMENT);
    let page = admin.get("/ui/audit/").await.text();
    assert!(page.contains("API: back to version 1"), "{page}");
    admin.0.stop().await;
}

#[tokio::test]
async fn what_was_saved_is_in_the_audit_trail() {
    let admin = Admin::start(DOCUMENT).await;
    let (text, etag) = admin.read().await;
    let saved = admin.put(&etag, &text.replace("m-1", "m-9")).await;
    assert_eq!(saved.status, 200);
    let page = admin.get("/ui/audit/").await.text();
    assert!(page.contains("changed the configuration"));
    assert!(
        page.contains("API: providers.a changed; 1 line added, 1 removed"),
        "{page}"
    );
    assert!(page.contains("dev@example.com"));
    admin.0.stop().await;
}

#[tokio::test]
async fn prices_are_for_admins_and_those_with_the_grant() {
    let user = DOCUMENT.replace("\"role\": \"admin\"", "\"role\": \"user\"");
    for (document, status) in [
        (DOCUMENT.to_owned(), 200),
        (user.clone(), 403),
        (
            user.replace("{ \"models\": \"**\" }", "{ \"read_pricing\": true }"),
            200,
        ),
    ] {
        let gateway = start(&document).await;
        let url = format!("{}/aperture/pricing", gateway.url);
        let all = http::get(&url).await;
        assert_eq!(all.status, status, "{document}");
        if status == 200 {
            assert_eq!(all.json()["currency"], "USD");
            let etag = all.headers[header::ETAG].to_str().unwrap();
            let again = http::send(Method::GET, &url, &[("if-none-match", etag)], "").await;
            assert_eq!((again.status.as_u16(), again.body.len()), (304, 0));
            // Slashes belong to the name.
            for (model, known) in [("anthropic/claude-opus-4", true), ("no/such/model", false)] {
                let one = http::get(&format!("{url}/{model}")).await.json();
                let models = one["models"].as_object().unwrap();
                assert_eq!(models.len(), usize::from(known), "{model}");
            }
        }
        gateway.stop().await;
    }
}
