use super::*;
use crate::{
    config::{Credential, Provider},
    secret::Secret,
};

fn provider(auth_mode: AuthMode, scheme: AuthScheme) -> Provider {
    Provider {
        credential: Some(Credential {
            scheme,
            secret: Secret::new("s3cret"),
        }),
        auth_mode,
        dialects: vec![Dialect::AnthropicMessages],
        ..Provider::new("p", http::Uri::from_static("https://example.com"))
    }
}

fn head(lines: &[(&str, &str)]) -> HeaderMap {
    let mut map = HeaderMap::new();
    for (name, value) in lines {
        map.append(name.parse::<HeaderName>().unwrap(), value.parse().unwrap());
    }
    map
}

#[test]
fn no_client_credential_and_no_forged_identity_reaches_the_provider() {
    let client = head(&[
        ("authorization", "Bearer client"),
        ("x-api-key", "client"),
        ("api-key", "client"),
        ("x-goog-api-key", "client"),
        ("cookie", "client"),
        ("proxy-authorization", "client"),
        ("x-amz-security-token", "client"),
        ("x-amz-date", "client"),
        ("x-amz-content-sha256", "client"),
        ("amz-sdk-request", "client"),
        ("amz-sdk-invocation-id", "client"),
        ("x-forwarded-for", "client"),
        ("x-forwarded-user", "client"),
        ("tailscale-user-login", "client"),
        ("openai-organization", "client"),
        ("connection", "x-private, keep-alive"),
        ("x-private", "client"),
        ("te", "client"),
        ("host", "client"),
    ]);
    for dialect in [
        Dialect::AnthropicMessages,
        Dialect::OpenaiChat,
        Dialect::OpenaiResponses,
    ] {
        let upstream = to_provider(
            &client,
            dialect,
            &provider(AuthMode::Override, AuthScheme::Bearer),
            &[],
        );
        assert!(!format!("{upstream:?}").contains("client"), "{upstream:?}");
    }
}

#[test]
fn everything_else_passes_as_it_came_and_repeated_lines_stay_repeated() {
    let lines = [
        ("anthropic-version", "2026-10-21"),
        ("anthropic-beta", "a,b"),
        ("anthropic-beta", "c"),
        ("user-agent", "claude-cli/2.1"),
        ("x-stainless-os", "Linux"),
        ("accept-encoding", "gzip, br, zstd"),
        ("x-claude-code-session-id", "1"),
        ("idempotency-key", "k"),
        ("x-unknown", "\u{e9}"),
    ];
    let client = head(&lines);
    let upstream = to_provider(
        &client,
        Dialect::AnthropicMessages,
        &provider(AuthMode::Override, AuthScheme::Bearer),
        &[],
    );
    assert_eq!(upstream, client);
}

#[test]
fn a_version_is_added_for_anthropic_alone_and_only_when_there_is_none() {
    let p = provider(AuthMode::Override, AuthScheme::XApiKey);
    let added = to_provider(&head(&[]), Dialect::AnthropicMessages, &p, &[]);
    assert_eq!(added["anthropic-version"], "2023-06-01");
    assert!(to_provider(&head(&[]), Dialect::OpenaiChat, &p, &[]).is_empty());
}

#[test]
fn added_lines_replace_the_clients_and_grants_come_first() {
    let mut p = provider(AuthMode::Override, AuthScheme::Bearer);
    p.add_headers = vec![(
        HeaderName::from_static("x-team"),
        HeaderValue::from_static("provider"),
    )];
    let grant = [(
        HeaderName::from_static("x-team"),
        HeaderValue::from_static("grant"),
    )];
    let upstream = to_provider(
        &head(&[("x-team", "client")]),
        Dialect::OpenaiChat,
        &p,
        &grant,
    );
    let values: Vec<_> = upstream.get_all("x-team").iter().collect();
    assert_eq!(values, ["grant", "provider"]);
}

#[test]
fn each_scheme_has_its_header_and_the_key_is_not_printed() {
    for (scheme, name, text) in [
        (AuthScheme::Bearer, "authorization", "Bearer s3cret"),
        (AuthScheme::XApiKey, "x-api-key", "s3cret"),
        (AuthScheme::XGoogApiKey, "x-goog-api-key", "s3cret"),
        (AuthScheme::Hec, "authorization", "Splunk s3cret"),
        (AuthScheme::CfAig, "cf-aig-authorization", "Bearer s3cret"),
    ] {
        let mut upstream = HeaderMap::new();
        add_credential(
            &mut upstream,
            &head(&[]),
            &provider(AuthMode::Override, scheme),
        )
        .unwrap();
        assert_eq!(upstream[name], text);
        assert_eq!(upstream.len(), 1);
        assert!(!format!("{upstream:?}").contains("s3cret"));
        assert!(
            redacted(&upstream)
                .iter()
                .all(|(_, value)| value == "(redacted)")
        );
    }
}

#[test]
fn what_looks_like_a_credential_is_kept_nowhere() {
    let secrets = [
        "cookie",
        "x-forwarded-cookie",
        "set-cookie",
        "proxy-authorization",
        "sec-websocket-protocol",
        "x-amz-security-token",
        "x-team-secret",
        "x-own-key",
        "x-api-keys",
        "apikeys",
        "password2",
        "x-authorizations",
    ];
    let lines = secrets.map(|name| (name, "s3cret"));
    for (name, value) in redacted(&head(&lines)).iter() {
        assert_eq!(value, "(redacted)", "{name}");
    }
    let shown = redacted(&head(&[("x-team", "blue"), ("keyboard", "small")]));
    assert!(shown.iter().all(|(_, value)| value != "(redacted)"));
}

#[test]
fn auth_modes() {
    let client = head(&[("authorization", "Bearer mine")]);
    let mut upstream = HeaderMap::new();
    add_credential(
        &mut upstream,
        &client,
        &provider(AuthMode::Passthrough, AuthScheme::XApiKey),
    )
    .unwrap();
    assert_eq!(upstream.len(), 1);
    assert_eq!(upstream["authorization"], "Bearer mine");

    let mut upstream = HeaderMap::new();
    add_credential(
        &mut upstream,
        &head(&[]),
        &provider(AuthMode::Passthrough, AuthScheme::XApiKey),
    )
    .unwrap();
    assert_eq!(upstream["x-api-key"], "s3cret");

    let mut upstream = HeaderMap::new();
    add_credential(
        &mut upstream,
        &client,
        &provider(AuthMode::None, AuthScheme::XApiKey),
    )
    .unwrap();
    assert!(upstream.is_empty());
}

#[test]
fn a_subscription_needs_its_account_and_a_signature_never_passes() {
    let p = provider(AuthMode::Passthrough, AuthScheme::Bearer);
    let with = |authorization: &str, key: &str| {
        let client = head(&[
            ("authorization", authorization),
            (key, "own"),
            ("chatgpt-account-id", "account"),
        ]);
        let mut upstream = HeaderMap::new();
        assert!(add_credential(&mut upstream, &client, &p).unwrap());
        upstream
    };
    let upstream = with("Bearer mine", "x-other");
    assert_eq!(upstream["chatgpt-account-id"], "account");
    assert_eq!(upstream.len(), 2);
    let upstream = with("AWS4-HMAC-SHA256 Credential=mine", "x-other");
    assert_eq!(upstream["authorization"], "Bearer s3cret");
    assert_eq!(upstream.len(), 1);
    let upstream = with("AWS4-HMAC-SHA256 Credential=mine", "x-api-key");
    assert_eq!(upstream["x-api-key"], "own");
    assert_eq!(upstream.len(), 1);
}

#[test]
fn a_response_keeps_all_but_the_listed_lines() {
    let mut answer = head(&[
        ("request-id", "r"),
        ("retry-after", "7"),
        ("x-should-retry", "false"),
        ("anthropic-ratelimit-requests-remaining", "3"),
        ("x-codex-turn-state", "t"),
        ("content-encoding", "gzip"),
        ("content-length", "3"),
        ("set-cookie", "gone"),
        ("server", "gone"),
        ("openai-organization", "gone"),
        ("access-control-allow-origin", "gone"),
        ("connection", "x-hop"),
        ("x-hop", "gone"),
        ("transfer-encoding", "gone"),
    ]);
    to_client(&mut answer);
    assert!(!format!("{answer:?}").contains("gone"));
    assert_eq!(answer.len(), 7);
}
