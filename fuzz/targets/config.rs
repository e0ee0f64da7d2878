//! The HuJSON document: nothing panics, mistakes stand within the text, what is JSON is read as a JSON parser reads it, and a
//! document without its secrets comes back whole.
#![no_main]

use aperture::config::{CheckOptions, PLACEHOLDER, check, outline, redact, restore};
use serde_json::Value;

libfuzzer_sys::fuzz_target!(|input: &[u8]| {
    let Ok(text) = std::str::from_utf8(input) else {
        return;
    };
    let checked = check(text, &CheckOptions::default());
    let lines = text.split('\n').count();
    assert!(checked.findings.len() <= 1001);
    for finding in &checked.findings {
        assert!((1..=lines).contains(&finding.line), "{finding:?}");
        assert!((1..=text.len() + 1).contains(&finding.column), "{finding:?}");
    }
    if let Ok(value) = serde_json::from_str::<Value>(text) {
        assert_eq!(outline(text), value);
    }
    // Of keys that stand there twice the last one counts, and its secret comes back for both; no save takes such a document.
    let twice = checked.findings.iter().any(|it| it.message.contains("duplicate config key"));
    hidden(text, twice);
});

/// Without its secrets, and back.
fn hidden(text: &str, twice: bool) {
    let shown = redact(text);
    let value = outline(&shown);
    let providers = value.get("providers").and_then(Value::as_object);
    for provider in providers.into_iter().flat_map(|all| all.values()) {
        for key in [provider.get("apikey"), provider.pointer("/authorization/value")] {
            if let Some(Value::String(key)) = key {
                let reference = key.starts_with("env:") || key.starts_with("file:");
                assert!(key == PLACEHOLDER || key.is_empty() || reference, "{key}");
            }
        }
    }
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let Some(restored) = restore(&shown, text) else {
        return;
    };
    if restored.findings.is_empty() && !twice {
        assert_eq!(restored.text, text);
    }
}
