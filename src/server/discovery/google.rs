//! The lists of models as Google's clients know them: Gemini's own, and that of a publisher on Vertex AI.
//!
//! Owns: their rows and their envelope. In: one page of visible models. Out: JSON. Must not know: what is visible.

use super::{openai, page::Page};
use crate::{config::Config, policy::VisibleModel};
use serde_json::{Value, json};

/// A list under the key that its API has.
pub(super) fn list(key: &str, page: &Page<'_>, rows: &[Value]) -> Value {
    let mut list = json!({key: rows});
    if let Some(last) = page.models.last().filter(|_| page.has_more) {
        list["nextPageToken"] = json!(last.model);
    }
    list
}

/// A model of Gemini's own API.
pub(super) fn row(config: &Config, model: &VisibleModel) -> Value {
    // Clients choose models by what they can be asked for, and the name is all that tells.
    let methods = if model.model.contains("embedding") {
        json!(["embedContent", "countTokens"])
    } else {
        json!(["generateContent", "countTokens"])
    };
    let mut row = json!({
        "name": format!("models/{}", model.model),
        "displayName": model.model,
        "supportedGenerationMethods": methods,
    });
    if let Some(window) = openai::context_window(config, model) {
        row["inputTokenLimit"] = json!(window);
    }
    row
}

/// A model of a publisher on Vertex AI.
pub(super) fn publisher_row(publisher: &str, model: &VisibleModel) -> Value {
    json!({
        "name": format!("publishers/{publisher}/models/{}", model.model),
        "versionId": "default",
        "launchStage": "GA",
    })
}
