//! One small request that a caller makes from the page, as any client would: the smallest of a format, for each model.
//!
//! In: the models that the caller may use. Out: a form whose choices carry path and body. The script sends it by the way that
//! every request goes, so that the answer is what a client would get. Must not know: what the answer is.

use crate::{
    dashboard::{format, route::segment, view::Model},
    endpoint::{Dialect, Endpoint},
};
use maud::{Markup, html};
use serde_json::{Value, json};
use std::fmt::Write as _;

/// What is said.
const SAY: &str = "Reply with the word: hello";
/// Tokens that an answer may have.
const MOST: u64 = 64;
/// What the gateway replaces by the provider's own on Vertex AI.
const PROJECT: &str = "_aperture_auto_vertex_project_id_";
const REGION: &str = "_aperture_auto_vertex_region_";

/// The form; nothing when no model can be asked from a page.
pub(super) fn render(mine: &[&Model]) -> Markup {
    let choices: Vec<(String, String, String)> = mine
        .iter()
        .filter_map(|model| {
            let (path, body) = smallest(model)?;
            Some((model.reached_as(), path, ascii(&body.to_string())))
        })
        .collect();
    html! {
        @if !choices.is_empty() {
            // Shown by the script, without which it could do nothing.
            form.trial data-try hidden {
                label {
                    span { "Try it: one small request, which counts as yours" }
                    select name="model" {
                        @for (name, path, body) in &choices {
                            option data-path=(path) data-body=(body) { (format::clip(name, 80)) }
                        }
                    }
                }
                button type="submit" { "Send" }
                output aria-live="polite" {}
            }
        }
    }
}

/// Path and body of the smallest request to a model, in the first format that it speaks.
fn smallest(model: &Model) -> Option<(String, Value)> {
    let name = model.reached_as();
    let messages = json!([{ "role": "user", "content": SAY }]);
    let claude = |version: &str| json!({ "anthropic_version": version, "max_tokens": MOST, "messages": messages });
    let contents = json!({ "contents": [{ "role": "user", "parts": [{ "text": SAY }] }] });
    let body = |dialect: Dialect| match dialect {
        Dialect::AnthropicMessages => {
            Some(json!({ "model": name, "max_tokens": MOST, "messages": messages }))
        }
        Dialect::OpenaiChat => Some(json!({ "model": name, "messages": messages })),
        Dialect::OpenaiResponses => Some(json!({ "model": name, "input": SAY })),
        Dialect::GeminiGenerateContent | Dialect::GoogleGenerateContent => Some(contents.clone()),
        Dialect::GoogleRawPredict => Some(claude("vertex-2023-10-16")),
        Dialect::BedrockConverse => Some(json!({
            "messages": [{ "role": "user", "content": [{ "text": SAY }] }],
            "inferenceConfig": { "maxTokens": MOST },
        })),
        // Each family has a form of its own there.
        Dialect::BedrockModelInvoke => name
            .contains("anthropic.")
            .then(|| claude("bedrock-2023-05-31")),
    };
    let mut formats = Dialect::ALL
        .into_iter()
        .filter(|dialect| model.dialects.contains(dialect));
    formats.find_map(|dialect| {
        let endpoint: Endpoint = dialect.main_endpoint();
        let path = endpoint
            .path()
            .replace("{project}", PROJECT)
            .replace("{region}", REGION)
            .replace("{model}", &segment(&name));
        Some((path, body(dialect)?))
    })
}

/// JSON in which no character can deceive: it stands in an attribute, where nothing makes it visible.
fn ascii(json: &str) -> String {
    let mut out = String::with_capacity(json.len());
    for c in json.chars() {
        if c.is_ascii() {
            out.push(c);
        } else {
            for unit in c.encode_utf16(&mut [0; 2]) {
                let _ = write!(out, "\\u{unit:04x}");
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::endpoint::{Hints, Route, route};
    use http::Method;

    #[test]
    fn every_format_has_a_request_that_the_gateway_takes() {
        for dialect in Dialect::ALL {
            let model = Model {
                name: "us.anthropic.claude:0/é".into(),
                dialects: vec![dialect],
                ..Model::default()
            };
            let (path, body) = smallest(&model).expect("each has one");
            let taken = route(&Method::POST, &path, Hints::default());
            assert_eq!(taken, Route::Model(dialect.main_endpoint()), "{path}");
            let text = ascii(&body.to_string());
            assert!(text.is_ascii());
            assert_eq!(serde_json::from_str::<Value>(&text).ok(), Some(body));
        }
        let llama = Model {
            name: "meta.llama3".into(),
            dialects: vec![Dialect::BedrockModelInvoke],
            ..Model::default()
        };
        assert_eq!(smallest(&llama), None);
    }
}
