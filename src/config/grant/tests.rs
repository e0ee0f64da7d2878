use super::*;
use proptest::prelude::*;
use serde_json::json;

/// The definition of product.md 10.4, recursive and slow.
fn reference(pattern: &[&str], parts: &[&str]) -> bool {
    match (pattern, parts) {
        ([], []) => true,
        (["**", rest @ ..], _) => (0..=parts.len()).any(|taken| reference(rest, &parts[taken..])),
        ([first, rest @ ..], [part, parts @ ..]) => {
            let first: Vec<char> = first.chars().collect();
            let part: Vec<char> = part.chars().collect();
            within(&first, &part) && reference(rest, parts)
        }
        _ => false,
    }
}

fn within(pattern: &[char], part: &[char]) -> bool {
    match (pattern, part) {
        ([], []) => true,
        (['*', rest @ ..], _) => (0..=part.len()).any(|taken| within(rest, &part[taken..])),
        ([wanted, rest @ ..], [letter, part @ ..]) => wanted == letter && within(rest, part),
        _ => false,
    }
}

#[test]
fn the_patterns_of_the_product() {
    for (pattern, provider, model, expected) in [
        ("**", "openai", "gpt-5", true),
        ("**/**", "openai", "gpt-5", true),
        ("anthropic/**", "anthropic", "claude-opus-4-5", true),
        ("anthropic/**", "anthropic", "a/b/c", true),
        ("anthropic/**", "anthropic-fast", "claude", false),
        ("anthropic/*", "anthropic", "a/b", false),
        ("openai/gpt-5", "openai", "gpt-5", true),
        ("openai/gpt-5", "openai", "gpt-5-mini", false),
        ("*/claude-sonnet*", "anthropic", "claude-sonnet-4-5", true),
        (
            "*/claude-sonnet*",
            "openrouter",
            "anthropic/claude-sonnet-4-5",
            false,
        ),
        (
            "**/claude-sonnet*",
            "openrouter",
            "anthropic/claude-sonnet-4-5",
            true,
        ),
        ("aperture-*/**", "aperture-x", "m", true),
        ("*", "openai", "gpt-5", false),
        ("*/*", "openai", "gpt-5", true),
        ("", "openai", "gpt-5", false),
        ("openai/gpt-?", "openai", "gpt-5", false),
        ("openai/gpt-?", "openai", "gpt-?", true),
        // A provider's id is one part: a pattern for `a` never opens `a/b`.
        ("a/**", "a/b", "c", false),
    ] {
        assert_eq!(
            ModelGlob::new(pattern).matches(provider, model),
            expected,
            "{pattern} on {provider}/{model}"
        );
    }
}

#[test]
fn exact_names_are_not_patterns() {
    assert!(ModelGlob::exact(None, None).matches("p", "m/n"));
    assert!(ModelGlob::exact(Some("p"), None).matches("p", "m/n"));
    assert!(!ModelGlob::exact(Some("p"), None).matches("q", "m"));
    assert!(!ModelGlob::exact(Some("*"), Some("*")).matches("p", "m"));
    assert_eq!(ModelGlob::exact(Some("p"), None).as_str(), "p/**");
    assert_ne!(
        ModelGlob::exact(Some("p"), Some("m")),
        ModelGlob::new("p/m")
    );
}

#[test]
fn a_hostile_pattern_costs_little() {
    let pattern = "*a".repeat(2_000) + "/" + &"**/".repeat(2_000) + "b";
    let model = "a".repeat(2_000) + &"/a".repeat(2_000);
    assert!(!ModelGlob::new(pattern).matches(&"a".repeat(2_000), &model));
}

#[test]
fn policy_capabilities_of_any_shape() {
    let (capability, texts) = Capability::from_json(
        "tailnet policy [0]",
        &json!({ "role": "admin", "models": ["a/**", "b/c"], "read_metrics": true, "read_pricing": true, "capture": "metadata", "add_headers": ["X-Team: blue"] }),
    );
    assert_eq!(texts, Vec::<String>::new());
    assert_eq!(&*capability.origin, "tailnet policy [0]");
    assert_eq!(capability.role, Some(Role::Admin));
    assert_eq!(
        capability.models,
        [ModelGlob::new("a/**"), ModelGlob::new("b/c")]
    );
    assert_eq!(capability.capture, Some(CaptureMode::Metadata));
    assert!(capability.read_metrics && capability.read_pricing);
    assert_eq!(capability.add_headers[0].1, "blue");

    let (single, _) = Capability::from_json("p", &json!({ "models": "x/*" }));
    assert_eq!(single.models, [ModelGlob::new("x/*")]);

    for shape in [
        json!(null),
        json!(7),
        json!("admin"),
        json!([{ "role": "admin" }]),
    ] {
        let (capability, texts) = Capability::from_json("p", &shape);
        assert_eq!(
            capability,
            Capability {
                origin: "p".into(),
                ..Capability::default()
            }
        );
        assert_eq!(texts.len(), 1, "{shape}");
    }
    for shape in [
        json!({ "role": 1 }),
        json!({ "role": "ADMIN" }),
        json!({ "Role": "admin" }),
    ] {
        let (capability, texts) = Capability::from_json("p", &shape);
        assert_eq!(capability.role, None, "{shape}");
        assert_eq!(texts.len(), 1, "{shape}");
    }
}

proptest! {
    #[test]
    fn patterns_agree_with_their_definition(
        pattern in "[ab*/]{0,10}",
        provider in "[ab]{0,3}",
        model in "[ab/]{0,8}",
    ) {
        let parts: Vec<&str> = std::iter::once(provider.as_str()).chain(model.split('/')).collect();
        let pieces: Vec<&str> = pattern.split('/').collect();
        prop_assert_eq!(
            ModelGlob::new(pattern.as_str()).matches(&provider, &model),
            reference(&pieces, &parts)
        );
    }

    /// The check that warns of unknown providers must never call a useful pattern useless.
    #[test]
    fn a_matching_pattern_names_its_provider(pattern in "[ab*/]{0,8}", provider in "[ab]{1,3}", model in "[ab/]{1,6}") {
        let glob = ModelGlob::new(pattern.as_str());
        prop_assert!(!glob.matches(&provider, &model) || glob.names_provider(&provider));
    }

    #[test]
    fn any_capability_json_is_survived(text in "[a-z\"{}\\[\\]:,0-9 ]{0,60}") {
        if let Ok(value) = serde_json::from_str(&text) {
            let _ = Capability::from_json("p", &value);
        }
    }
}
