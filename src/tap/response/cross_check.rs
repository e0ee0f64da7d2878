//! What is read of every fixture is what the extractors of `genai-prices` read of it.
//!
//! They read one body; a stream is folded into one here, without the code under test. What they have no word for
//! (fetches, image input of a chat) is in the golden file.

use super::tests::{facts_of, fixtures};
use crate::endpoint::Endpoint;
use genai_prices::{ExtractRequest, UsageKey};
use serde_json::{Map, Value, json};

/// Folder, endpoint, and the extractor: provider and flavour.
const ROWS: [(&str, Endpoint, &str, &str); 7] = [
    (
        "anthropic_messages",
        Endpoint::AnthropicMessages,
        "anthropic",
        "default",
    ),
    ("openai_chat", Endpoint::OpenaiChat, "openai", "chat"),
    (
        "openai_responses",
        Endpoint::OpenaiResponses,
        "openai",
        "responses",
    ),
    (
        "gemini_generate_content",
        Endpoint::GeminiStreamGenerateContent,
        "google",
        "default",
    ),
    (
        "google_generate_content",
        Endpoint::GoogleStreamGenerateContent,
        "google",
        "default",
    ),
    (
        "google_raw_predict",
        Endpoint::GoogleStreamRawPredict,
        "google",
        "anthropic",
    ),
    (
        "bedrock_converse",
        Endpoint::BedrockConverse,
        "aws",
        "default",
    ),
];

/// The objects of a body: one, or those of its events.
fn objects(name: &str, body: &[u8]) -> Vec<Value> {
    if name.ends_with("json") {
        return vec![serde_json::from_slice(body).unwrap()];
    }
    if name.ends_with("array") {
        // One that is cut is no JSON, and not compared.
        return serde_json::from_slice(body).unwrap_or_default();
    }
    let text = String::from_utf8_lossy(body).into_owned();
    text.lines()
        .filter_map(|line| serde_json::from_str(line.strip_prefix("data:")?).ok())
        .collect()
}

/// The last value of each field, at any depth; null says nothing.
fn over(under: &mut Map<String, Value>, new: &Map<String, Value>) {
    for (key, value) in new {
        match (under.get_mut(key), value) {
            (_, Value::Null) => {}
            (Some(Value::Object(old)), Value::Object(new)) => over(old, new),
            _ => {
                under.insert(key.clone(), value.clone());
            }
        }
    }
}

/// One body that says what all objects say of tokens; none when they say nothing.
fn folded(objects: &[Value]) -> Option<Value> {
    const PLACES: [&str; 4] = [
        "/usage",
        "/message/usage",
        "/response/usage",
        "/usageMetadata",
    ];
    let mut usage = Map::new();
    for object in objects {
        for place in PLACES {
            if let Some(Value::Object(new)) = object.pointer(place) {
                over(&mut usage, new);
            }
        }
    }
    (!usage.is_empty())
        .then(|| json!({"model": "m", "usage": usage, "modelVersion": "m", "usageMetadata": usage}))
}

#[test]
fn as_the_extractors_of_the_price_data_read_it() {
    let mut compared = 0;
    for (folder, endpoint, provider, flavour) in ROWS {
        for (name, body) in fixtures(folder) {
            let Some(whole) = folded(&objects(&name, &body)) else {
                continue;
            };
            let request = ExtractRequest::from_value(&whole)
                .with_provider_id(provider)
                .with_api_flavor(if name.starts_with("embeddings") {
                    "embeddings"
                } else {
                    flavour
                });
            let theirs = genai_prices::extract_provider_usage(&request)
                .unwrap()
                .usage;
            let ours = facts_of(endpoint, &name, &body).usage;
            let written = ours.cache_write + ours.cache_write_1h;
            for (key, own) in [
                (UsageKey::INPUT_TOKENS, ours.input_all()),
                (UsageKey::CACHE_READ_TOKENS, ours.cache_read),
                (UsageKey::CACHE_WRITE_TOKENS, written),
                (UsageKey::CACHE_WRITE_1H_TOKENS, ours.cache_write_1h),
                (UsageKey::OUTPUT_TOKENS, ours.output),
                (UsageKey::OUTPUT_REASONING_TOKENS, ours.reasoning),
                (UsageKey::INPUT_AUDIO_TOKENS, ours.audio_input),
                (UsageKey::INPUT_IMAGE_TOKENS, ours.image_input),
                (UsageKey::OUTPUT_AUDIO_TOKENS, ours.audio_output),
                (UsageKey::OUTPUT_IMAGE_TOKENS, ours.image_output),
                (UsageKey::WEB_SEARCHES, ours.web_searches),
            ] {
                // Where they read nothing they may have no word for it.
                let Some(count) = theirs.get(key.as_str()) else {
                    continue;
                };
                #[expect(clippy::cast_precision_loss, reason = "counts are small")]
                let own = own as f64;
                assert!(
                    (own - count).abs() < 0.5,
                    "{folder}/{name}: {} is {own} here and {count} there",
                    key.as_str()
                );
                compared += 1;
            }
        }
    }
    assert!(compared > 140, "{compared}");
}
