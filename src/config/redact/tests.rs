use super::*;
use crate::config::{CheckOptions, check, default_document, render_findings};
use proptest::prelude::*;
use std::path::Path;

const STORED: &str = r#"{
  // the old one: "apikey": "plain-old-password" and sk-ant-api03-0123456789abcdef
  "providers": {
    "a": { "baseurl": "https://a.example", "authorization": { "type": "Bearer", "value": "first-secret" }, "add_headers": ["X-Team: second-secret", "Broken third-secret"] },
    "b": { "baseurl": "https://b.example", "apikey": "env:B_API_KEY", "authorization": "x-api-key" },
    "c": { "baseurl": "https://user:fourth-secret@c.example/v1?key=fifth-secret", "apikey": "file:c/key" },
  },
  "hooks": { "h": { "url": "https://h.example", "apikey": "sixth-secret" } },
  "connectors": { "servers": { "s": { "url": "https://s.example", "auth": { "type": "api_key", "name": "X-Key", "secret": "seventh-secret" } } } },
  "exporters": { "s3": { "bucket_name": "logs", "access_key_id": "id", "access_secret": "eighth-secret" } },
  "grants": [{ "src": ["*"], "app": { "x/y": [{ "add_headers": ["X-Key: ninth-secret"], "models": "**" }] } }],
}
"#;

/// The whole text, or what stands against it.
fn restore(edited: &str, stored: &str) -> Result<String, Vec<String>> {
    let restored = super::restore(edited, stored).ok_or_else(Vec::new)?;
    if restored.findings.is_empty() {
        Ok(restored.text)
    } else {
        Err(restored
            .findings
            .into_iter()
            .map(|finding| finding.path)
            .collect())
    }
}

#[test]
fn an_empty_query_or_fragment_stays_where_it_is() {
    for address in ["https://a.example/?", "https://a.example/#", "http://#"] {
        let stored = format!("{{ \"providers\": {{ \"a\": {{ \"baseurl\": {address:?} }} }} }}");
        let shown = redact(&stored);
        assert_eq!(shown, stored);
        assert_eq!(restore(&shown, &stored).unwrap(), stored);
    }
}

#[test]
fn secrets_go_and_everything_else_stays() {
    let shown = redact(STORED);
    insta::assert_snapshot!(shown);
    for word in [
        "first", "second", "third", "fourth", "fifth", "sixth", "seventh", "eighth", "ninth",
    ] {
        assert!(!shown.contains(word), "{word}");
    }
    assert!(!shown.contains("plain-old-password") && !shown.contains("0123456789"));
    assert_eq!(redact(&shown), shown, "redacting twice changes nothing");
    assert_eq!(redact(default_document()), default_document());
}

#[test]
fn placeholders_come_back_as_the_stored_secrets() {
    let restored = restore(&redact(STORED), STORED).unwrap();
    assert_eq!(restored, STORED, "comments, too");
}

/// Found by fuzzing: a number came back as a text.
#[test]
fn secrets_come_back_as_they_were_written() {
    let stored = r#"{ "providers": { "a": { "baseurl": "https://a.example", "apikey": 17 },
      "b": { "baseurl": "https://b.example", "apikey": "first\u002dsecret\/" } } }"#;
    let shown = redact(stored);
    assert!(!shown.contains("17") && !shown.contains("first"), "{shown}");
    assert_eq!(restore(&shown, stored).unwrap(), stored);
}

#[test]
fn an_edit_elsewhere_keeps_the_secrets() {
    let edited = redact(STORED).replace("\"src\": [\"*\"]", "\"src\": [\"alice@example.com\"]");
    let restored = restore(&edited, STORED).unwrap();
    assert!(restored.contains("first-secret") && restored.contains("ninth-secret"));
    assert!(restored.contains("alice@example.com"));
}

fn refused(edited: &str) -> Vec<String> {
    restore(edited, STORED).unwrap_err()
}

#[test]
fn a_stored_secret_goes_nowhere_else() {
    let shown = redact(STORED);
    // Another address, for a literal, a reference, a hook; the header lines of grants go there, too.
    let moved = shown.replace("https://a.example", "https://evil.example");
    let paths = refused(&moved);
    assert!(
        paths.contains(&"providers.a.authorization.value".to_owned()),
        "{paths:?}"
    );
    assert!(
        paths.contains(&"providers.a.add_headers[0]".to_owned()),
        "{paths:?}"
    );
    assert!(
        paths.iter().any(|path| path.starts_with("grants")),
        "{paths:?}"
    );
    let moved = shown.replace("https://b.example", "https://evil.example");
    assert!(refused(&moved).contains(&"providers.b.apikey".to_owned()));
    let moved = shown.replace("https://h.example", "https://evil.example");
    assert_eq!(refused(&moved), ["hooks.h.apikey"]);
    let moved = shown.replace("https://s.example", "https://evil.example");
    assert_eq!(refused(&moved), ["connectors.servers.s.auth.secret"]);
    // Another authorization type.
    let typed = shown.replace("\"type\": \"Bearer\"", "\"type\": \"x-api-key\"");
    assert!(refused(&typed).contains(&"providers.a.authorization.value".to_owned()));
    // The same type in another spelling is no change.
    assert!(restore(&shown.replace("\"Bearer\"", "\"bearer\""), STORED).is_ok());
    // Another place in the document.
    let copied = shown.replacen(
        "\"providers\": {",
        &format!("\"providers\": {{ \"evil\": {{ \"baseurl\": \"https://evil.example\", \"apikey\": {PLACEHOLDER:?} }},"),
        1,
    );
    assert!(refused(&copied).contains(&"providers.evil.apikey".to_owned()));
    // A reference that the stored document does not have there.
    for reference in ["env:B_API_KEY", "env:OTHER_API_KEY", "file:c/key"] {
        let added = shown.replacen(
            "\"providers\": {",
            &format!("\"providers\": {{ \"evil\": {{ \"baseurl\": \"https://evil.example\", \"apikey\": {reference:?} }},"),
            1,
        );
        assert!(
            refused(&added).contains(&"providers.evil.apikey".to_owned()),
            "{reference}"
        );
    }
    // A new secret may go anywhere.
    let anew = shown
        .replace("https://h.example", "https://new.example")
        .replacen(
            &format!("\"url\": \"https://new.example\", \"apikey\": {PLACEHOLDER:?}"),
            "\"url\": \"https://new.example\", \"apikey\": \"fresh\"",
            1,
        );
    assert!(restore(&anew, STORED).unwrap().contains("fresh"));
}

const CLOUDS: &str = r#"{ "providers": {
  "aws": { "baseurl": "https://a.example", "authorization": { "type": "aws-sigv4", "region": "us-east-1", "access_key_id": "first-secret", "secret_access_key": "second-secret", "session_token": "third-secret", "role_arn": "arn:aws:iam::1:role/r", "endpoint": "https://sts.example" } },
  "host": { "baseurl": "https://b.example", "authorization": { "type": "aws-sigv4", "region": "us-east-1", "profile": "bedrock" } },
  "adc": { "baseurl": "https://c.example", "authorization": { "type": "google-adc", "project": "acme" } },
  "short": { "baseurl": "https://d.example", "authorization": "google-adc" },
  "account": { "baseurl": "https://e.example", "authorization": { "type": "google-service-account", "keyfile": "{\"private_key\":\"fourth-secret\"}" } },
  "old": { "baseurl": "https://f.example", "apikey": "keyfile::ZmlmdGgtc2VjcmV0" },
  "plain": { "baseurl": "https://g.example", "authorization": { "type": "bearer" } },
} }
"#;

#[test]
fn cloud_credentials_are_secrets_and_stay_where_they_are() {
    let shown = redact(CLOUDS);
    for word in ["first", "second", "third", "fourth", "ZmlmdGg"] {
        assert!(!shown.contains(word), "{word}: {shown}");
    }
    for word in [
        "us-east-1",
        "role/r",
        "https://sts.example",
        "bedrock",
        "acme",
    ] {
        assert!(shown.contains(word), "{word}: {shown}");
    }
    assert_eq!(restore(&shown, CLOUDS).unwrap(), CLOUDS);
    let paths = |from: &str, to: &str| -> Vec<String> {
        let edited = shown.replacen(from, to, 1);
        assert_ne!(edited, shown, "{from}");
        restore(&edited, CLOUDS).err().unwrap_or_default()
    };
    // Elsewhere, by another token service, in another role: all three keys have to come anew.
    let keys = ["access_key_id", "secret_access_key", "session_token"]
        .map(|key| format!("providers.aws.authorization.{key}"));
    for (from, to) in [
        ("https://a.example", "https://evil.example"),
        ("https://sts.example", "https://evil.example"),
        ("role/r", "role/admin"),
    ] {
        assert_eq!(paths(from, to), keys, "{to}");
    }
    // What the host holds is a reference without the word.
    let profile = ["providers.host.authorization.profile"];
    assert_eq!(paths("https://b.example", "https://evil.example"), profile);
    assert_eq!(
        paths("\"profile\": \"bedrock\"", "\"profile\": \"admin\""),
        profile
    );
    let adc = ["providers.adc.authorization.type"];
    assert_eq!(paths("https://c.example", "https://evil.example"), adc);
    let metadata = "\"project\": \"acme\", \"endpoint\": \"https://evil.example\"";
    assert_eq!(paths("\"project\": \"acme\"", metadata), adc);
    let short = ["providers.short.authorization"];
    assert_eq!(paths("https://d.example", "https://evil.example"), short);
    let added = ["providers.plain.authorization.type"];
    assert_eq!(paths("\"bearer\"", "\"google-adc\""), added);
    for (from, path) in [
        (
            "https://e.example",
            "providers.account.authorization.keyfile",
        ),
        ("https://f.example", "providers.old.apikey"),
    ] {
        assert_eq!(paths(from, "https://evil.example"), [path]);
    }
    // What opens nothing can change.
    assert!(paths("\"acme\"", "\"other\"").is_empty());
}

#[test]
fn a_collectors_header_lines_are_secrets_that_go_to_that_collector_alone() {
    let stored = r#"{ "gateway": { "otlp": { "endpoint": "https://user:first-secret@c.example", "headers": { "x-team": "second-secret", "x-key": "env:COLLECTOR_API_KEY" } } } }"#;
    let shown = redact(stored);
    assert!(!shown.contains("first-secret") && !shown.contains("second-secret"));
    assert!(shown.contains("env:COLLECTOR_API_KEY"));
    assert_eq!(restore(&shown, stored).as_deref(), Ok(stored));
    let paths = |edited: &str| restore(edited, stored).unwrap_err();
    let elsewhere = paths(&shown.replace("c.example", "evil.example"));
    assert!(
        elsewhere.contains(&"gateway.otlp.headers.x-team".to_owned()),
        "{elsewhere:?}"
    );
    assert!(elsewhere.contains(&"gateway.otlp.headers.x-key".to_owned()));
    let renamed = paths(&shown.replace("\"x-key\"", "\"x-other\""));
    assert_eq!(renamed, ["gateway.otlp.headers.x-other"]);
}

#[test]
fn a_text_that_is_no_document_is_not_shown() {
    let shown = redact("{ \"apikey\": \"first-secret\", ");
    assert!(!shown.contains("secret\""));
    assert!(restore("{", STORED).is_err());
}

proptest! {
    /// Wherever a key stands, it is in no text that leaves the process.
    #[test]
    fn no_secret_survives(
        secret in "[A-Za-z0-9/+=_\"\\\\-]{8,40}",
        place in 0..9usize,
        extra in "[a-z ]{0,10}",
    ) {
        let secret = format!("Q7{secret}");
        let quoted = quote(&secret);
        let header = quote(&format!("X-Key: {secret}"));
        let provider = match place {
            0 => format!("\"apikey\": {quoted}"),
            1 => format!("\"authorization\": {{\"type\": \"bearer\", \"value\": {quoted}}}"),
            2 => format!("\"authorization\": {quoted}"),
            3 => format!("\"add_headers\": [{header}]"),
            4 => format!("\"add_headers\": [{quoted}]"),
            5 => format!("\"authorization\": {{\"type\": \"aws-sigv4\", \"secret_access_key\": {quoted}}}"),
            6 => format!("\"apiKey\": [{{\"x\": {quoted}}}]"),
            7 => format!("\"auth_token\": {quoted}"),
            _ => format!("\"apikey\": {quoted}, \"description\": {}", quote(&format!("{extra} {secret}"))),
        };
        let text = format!(
            "{{ // {extra}\n \"providers\": {{ \"p\": {{ \"baseurl\": \"https://x.example\", \"models\": [\"m\"], {provider} }} }} }}"
        );
        let needle = secret.trim_matches(['"', '\\']);
        let shown = redact(&text);
        prop_assert!(!shown.contains(needle), "{}", shown);
        let checked = check(&text, &CheckOptions::default());
        prop_assert!(checked.config.is_some());
        let debug = format!("{checked:?}");
        if place < 8 {
            prop_assert!(!debug.contains(needle), "{}", debug);
        }
        let report = render_findings(Path::new("f"), &checked.findings);
        prop_assert!(!report.contains(needle), "{}", report);
        prop_assert_eq!(restore(&shown, &text).ok(), Some(text));
    }
}
