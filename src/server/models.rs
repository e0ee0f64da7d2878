//! `GET /v1/models`: what the caller may use, in the shape that the client knows.
//!
//! Owns: the two shapes of the list and of one model of it. In: the configuration, a caller, a request head. Out: JSON.
//! The list is of `policy::visible_models`, so it names what a request would be let through for, and nothing else.
//! Must not know: connections, pages, requests to models.

use crate::{
    config::{AuthMode, Config},
    endpoint::{self, Dialect},
    identity::Caller,
    policy::{self, Denied, VisibleModel},
    price,
    record::Timestamp,
};
use http::request::Parts;
use percent_encoding::percent_decode_str;
use serde_json::{Map, Value, json};
use std::{fmt::Write as _, sync::Arc};

/// Characters of an unknown model's name that are repeated.
const NAME_TOLD: usize = 200;

/// The list, or the model that the path names.
pub(super) fn find(config: &Config, caller: &Arc<Caller>, parts: &Parts) -> Result<Value, Denied> {
    policy::role(config, caller).ok_or(Denied::NoRole)?;
    let shape = Shape::of(parts);
    let visible = policy::visible_models(config, caller);
    let visible: Vec<_> = visible.iter().filter(|model| shape.speaks(model)).collect();
    let Some(name) = named(parts.uri.path()) else {
        return Ok(shape.list(config, &visible, parts.uri.query()));
    };
    let is_it = |model: &&&VisibleModel| {
        let (provider, bare) = (&*model.provider.id, &*model.model);
        bare == name || name.split_once('/') == Some((provider, bare))
    };
    match visible.iter().find(is_it) {
        Some(model) => Ok(shape.row(config, model)),
        None => Err(Denied::NoModel {
            model: name.chars().take(NAME_TOLD).collect(),
            nearest: Vec::new(),
        }),
    }
}

/// The dialect in whose words a refusal is.
pub(super) fn dialect_of(parts: &Parts) -> Dialect {
    match Shape::of(parts) {
        Shape::Anthropic => Dialect::AnthropicMessages,
        Shape::Openai => Dialect::OpenaiChat,
    }
}

/// The model of `/v1/models/MODEL`; clients write a slash in its name with and without encoding.
fn named(path: &str) -> Option<String> {
    let name = endpoint::unversioned(path).strip_prefix("/models/")?;
    Some(percent_decode_str(name).decode_utf8_lossy().into_owned())
}

/// Whose list the client expects: both have the same path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Shape {
    Anthropic,
    Openai,
}

impl Shape {
    fn of(parts: &Parts) -> Self {
        if parts.headers.contains_key("anthropic-version") {
            Self::Anthropic
        } else {
            Self::Openai
        }
    }

    /// Anthropic's list is for clients of that dialect alone; the other one is everybody's and names the paths.
    fn speaks(self, model: &VisibleModel) -> bool {
        self == Self::Openai || model.dialects.contains(&Dialect::AnthropicMessages)
    }

    fn list(self, config: &Config, visible: &[&VisibleModel], query: Option<&str>) -> Value {
        let rows: Vec<Value> = visible
            .iter()
            .map(|model| self.row(config, model))
            .collect();
        match self {
            Self::Anthropic => json!({
                "first_id": visible.first().map(|model| &model.model),
                "last_id": visible.last().map(|model| &model.model),
                "has_more": false,
                "data": rows,
            }),
            Self::Openai => {
                let mut list = json!({"object": "list", "data": rows});
                // Codex asks for descriptions of its own kind under this key, and knows its models without them.
                let by_codex = query
                    .unwrap_or("")
                    .split('&')
                    .any(|part| part.starts_with("client_version="));
                if by_codex {
                    list["models"] = json!([]);
                }
                list
            }
        }
    }

    fn row(self, config: &Config, model: &VisibleModel) -> Value {
        match self {
            Self::Anthropic => json!({
                "type": "model",
                "id": model.model,
                "display_name": model.model,
                "created_at": "1970-01-01T00:00:00Z",
            }),
            Self::Openai => openai_row(config, model),
        }
    }
}

/// A row with everything that the product's own programs check.
fn openai_row(config: &Config, model: &VisibleModel) -> Value {
    let provider = &model.provider;
    let paths: Vec<_> = model
        .dialects
        .iter()
        .map(|dialect| dialect.main_endpoint().path())
        .collect();
    let mut row = json!({
        "id": model.model,
        "object": "model",
        "created": 0,
        "owned_by": provider.id,
        "display_name": model.model,
        "supported_endpoints": paths,
        "metadata": {"provider": {
            "id": provider.id,
            "name": provider.name,
            "description": provider.description,
            "requires_client_auth": provider.auth_mode == AuthMode::Passthrough
                && provider.credential.is_none()
                && provider.cloud.is_none(),
            "upstream": "default",
        }},
    });
    if let Some(pricing) = pricing(config, model) {
        row["pricing"] = pricing;
    }
    row
}

/// Dollars for one token of each kind, as decimal text; none when no price is known.
fn pricing(config: &Config, model: &VisibleModel) -> Option<Value> {
    let basis = price::resolve_basis(config, &model.provider, &model.model)?;
    let rates = price::rates(basis.catalogue, basis.model, None, 0, Timestamp::now())?;
    let mut pricing = Map::new();
    for (key, pico, always) in [
        ("input", rates.input, true),
        ("output", rates.output, true),
        ("input_cache_read", rates.cache_read, false),
        ("input_cache_write", rates.cache_write, false),
        ("input_cache_write_1h", rates.cache_write_1h, false),
        ("web_search", rates.web_search, false),
    ] {
        if always || pico > 0 {
            let adjusted = u128::from(pico) * u128::from(basis.adjustment_ppm) / 1_000_000;
            pricing.insert(key.into(), dollars(adjusted).into());
        }
    }
    Some(pricing.into())
}

/// Pico-dollars as dollars, with eight decimals or as many more as it takes.
fn dollars(pico: u128) -> String {
    const PICO: u128 = 1_000_000_000_000;
    let mut text = String::new();
    let _ = write!(text, "{}.{:012}", pico / PICO, pico % PICO);
    let spare = text.len() - text.trim_end_matches('0').len();
    text.truncate(text.len() - spare.min(4));
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dollars_are_exact() {
        for (pico, text) in [
            (5_000_000, "0.00000500"),
            (6_250_000, "0.00000625"),
            (10_000_000_000, "0.01000000"),
            (2_345_678_901_234, "2.345678901234"),
            (25_100, "0.0000000251"),
            (0, "0.00000000"),
        ] {
            assert_eq!(dollars(pico), text);
        }
    }

    #[test]
    fn a_name_may_have_a_slash_in_either_writing() {
        for (path, name) in [
            ("/v1/models", None),
            ("/models", None),
            ("/v1/models/gpt-5", Some("gpt-5")),
            ("/models/openai/gpt-5", Some("openai/gpt-5")),
            ("/v1/models/openai%2Fgpt-5", Some("openai/gpt-5")),
        ] {
            assert_eq!(named(path).as_deref(), name, "{path}");
        }
    }
}
