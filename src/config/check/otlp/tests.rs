use crate::config::{CheckOptions, Finding, Otlp, check};

fn checked(settings: &str) -> (Option<Otlp>, Vec<Finding>) {
    let text = format!(
        r#"{{"providers": {{"p": {{"baseurl": "http://llm.example.ts.net", "tailnet": true, "models": ["m"]}}}},
            "grants": [{{"src": ["*"], "app": {{"tailscale.com/cap/aperture": [{{"role": "admin"}}]}}}}],
            "gateway": {{"otlp": {{{settings}}}}}}}"#
    );
    let options = CheckOptions {
        environment: [("COLLECTOR_API_KEY".to_owned(), "Bearer key".to_owned())]
            .into_iter()
            .collect(),
        ..CheckOptions::default()
    };
    let checked = check(&text, &options);
    (checked.config.unwrap().gateway.otlp, checked.findings)
}

#[test]
fn a_collector_is_read() {
    let (otlp, findings) = checked(
        r#""endpoint": "https://collector.example.com/otel/", "headers": {"Authorization": "env:COLLECTOR_API_KEY", "x-team": "a"},
           "users": true, "sample": 0.29"#,
    );
    assert_eq!(findings, []);
    let otlp = otlp.unwrap();
    assert_eq!(
        otlp.endpoint,
        "https://collector.example.com/otel/v1/traces"
    );
    assert!(!otlp.tailnet && !otlp.content && otlp.users);
    assert_eq!(otlp.sample_ppm, 290_000);
    let lines: Vec<(&str, &str)> = otlp
        .headers
        .iter()
        .map(|(name, value)| (name.as_str(), value.to_str().unwrap()))
        .collect();
    assert_eq!(lines, [("authorization", "Bearer key"), ("x-team", "a")]);
    assert!(!format!("{otlp:?}").contains("Bearer key"));
}

#[test]
fn the_path_is_added_once_and_the_network_is_judged_by_the_address() {
    for (endpoint, posted, tailnet) in [
        (
            "http://collector.example.ts.net:4318",
            "http://collector.example.ts.net:4318/v1/traces",
            true,
        ),
        (
            "http://100.100.1.2:4318/",
            "http://100.100.1.2:4318/v1/traces",
            true,
        ),
        (
            "https://c.example.com/v1/traces",
            "https://c.example.com/v1/traces",
            false,
        ),
        (
            "http://collector:4318",
            "http://collector:4318/v1/traces",
            false,
        ),
    ] {
        let (otlp, findings) = checked(&format!(r#""endpoint": "{endpoint}""#));
        assert_eq!(findings, [], "{endpoint}");
        let otlp = otlp.unwrap();
        assert_eq!(otlp.endpoint, posted);
        assert_eq!(otlp.tailnet, tailnet, "{endpoint}");
    }
    let (otlp, _) = checked(r#""endpoint": "http://collector:4318", "tailnet": true"#);
    assert!(otlp.unwrap().tailnet);
}

#[test]
fn what_cannot_be_used_as_written_exports_nothing() {
    for (settings, at) in [
        (r#""endpoint": "collector:4318""#, "gateway.otlp.endpoint"),
        (
            r#""endpoint": "http://127.0.0.1:4318""#,
            "gateway.otlp.endpoint",
        ),
        (
            r#""endpoint": "http://169.254.169.254""#,
            "gateway.otlp.endpoint",
        ),
        (
            r#""endpoint": "https://key@c.example.com""#,
            "gateway.otlp.endpoint",
        ),
        (
            r#""endpoint": "https://c.example.com?key=1""#,
            "gateway.otlp.endpoint",
        ),
        (
            r#""endpoint": "https://c.example.com", "sample": 2"#,
            "gateway.otlp.sample",
        ),
        (
            r#""endpoint": "https://c.example.com", "tailnet": "yes""#,
            "gateway.otlp.tailnet",
        ),
        (
            r#""endpoint": "https://c.example.com", "headers": ["a: b"]"#,
            "gateway.otlp.headers",
        ),
        (
            r#""endpoint": "https://c.example.com", "headers": {"a b": "c"}"#,
            "gateway.otlp.headers",
        ),
        (
            r#""endpoint": "https://c.example.com", "headers": {"a": "c\nd"}"#,
            "gateway.otlp.headers.a",
        ),
        (
            r#""endpoint": "https://c.example.com", "headers": {"a": "env:UNSET_API_KEY"}"#,
            "gateway.otlp.headers.a",
        ),
        (
            r#""endpoint": "https://c.example.com", "headers": {"a": "env:HOME"}"#,
            "gateway.otlp.headers.a",
        ),
        (r#""content": true"#, "gateway.otlp"),
    ] {
        let (otlp, findings) = checked(settings);
        assert_eq!(otlp, None, "{settings}");
        assert!(
            findings.iter().any(|finding| finding.path.starts_with(at)),
            "{settings}: {findings:?}"
        );
    }
}

#[test]
fn advice_is_given_where_spans_could_be_read_on_their_way() {
    let (otlp, findings) =
        checked(r#""endpoint": "http://collector.example.com", "content": true"#);
    assert!(otlp.unwrap().content);
    assert_eq!(findings.len(), 1);
    assert!(findings[0].message.contains("unencrypted"));
}

#[test]
fn the_gateways_own_header_lines_are_left_out() {
    let (otlp, findings) =
        checked(r#""endpoint": "https://c.example.com", "headers": {"Content-Type": "a/b"}"#);
    assert_eq!(otlp.unwrap().headers, []);
    assert_eq!(findings.len(), 1);
}
