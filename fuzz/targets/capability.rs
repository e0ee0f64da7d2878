//! A capability object of the tailnet policy: it gives what is written in it and nothing else, and the same as it would give in
//! the document.
#![no_main]

use aperture::config::{
    CheckOptions, DEFAULT_CAPABILITY, check,
    grant::{Capability, Role},
};
use aperture::record::CaptureMode;
use serde_json::{Value, json};

libfuzzer_sys::fuzz_target!(|input: &[u8]| {
    let Ok(value) = serde_json::from_slice::<Value>(input) else {
        return;
    };
    let (capability, notes) = Capability::from_json("here", &value);
    assert!(notes.len() <= 1001);
    written(&capability, &value);
    let nothing = Capability { origin: capability.origin.clone(), ..Capability::default() };
    if !value.is_object() {
        assert_eq!(capability, nothing);
        return;
    }
    let grant = json!({"src": ["*"], "app": {DEFAULT_CAPABILITY: [value]}});
    let checked = check(&json!({"grants": [grant]}).to_string(), &CheckOptions::default());
    let Some(grant) = checked.config.as_ref().and_then(|config| config.grants.first()) else {
        return;
    };
    let Some(same) = grant.capabilities.first() else {
        panic!("the document gives nothing, the policy {capability:?}");
    };
    let same = Capability { origin: capability.origin.clone(), ..same.clone() };
    assert_eq!(same, capability);
});

/// Every right stands in the object, in its own words.
fn written(capability: &Capability, value: &Value) {
    let says = |key: &str| value.get(key);
    if let Some(role) = capability.role {
        assert_eq!(says("role").and_then(Value::as_str), Some(role.as_str()));
        assert!(matches!(role, Role::User | Role::Admin));
    }
    for (right, key) in [
        (capability.read_metrics, "read_metrics"),
        (capability.read_pricing, "read_pricing"),
    ] {
        assert!(!right || says(key) == Some(&Value::Bool(true)), "{key}");
    }
    for glob in &capability.models {
        let there = match says("models") {
            Some(Value::String(text)) => text == glob.as_str(),
            Some(Value::Array(all)) => all.iter().any(|text| text == glob.as_str()),
            _ => false,
        };
        assert!(there, "{glob:?}");
    }
    // Bodies are kept where that is written or nothing is; what can't be read counts as the strictest.
    let mode = match says("capture") {
        None | Some(Value::Null) => None,
        Some(Value::String(text)) if text == "full" => Some(CaptureMode::Full),
        Some(Value::String(text)) if text == "metadata" => Some(CaptureMode::Metadata),
        Some(_) => Some(CaptureMode::None),
    };
    // So does a key that looks like it.
    let strict = mode.is_none() && capability.capture == Some(CaptureMode::None);
    assert!(capability.capture == mode || strict, "{capability:?}");
    // Without models to apply to, header lines must have been meant for everything.
    let lost = says("models").is_some_and(|models| !models.is_null()) && capability.models.is_empty();
    assert!(!lost || capability.add_headers.is_empty(), "{capability:?}");
}
