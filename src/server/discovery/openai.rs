//! The list of models as `OpenAI`'s clients know it, with everything that the product's own programs check.
//!
//! Owns: its rows, their prices and paths. In: the configuration, visible models. Out: JSON. Must not know: what is visible.

use crate::{
    config::{AuthMode, Config},
    policy::VisibleModel,
    price,
    record::Timestamp,
};
use serde_json::{Map, Value, json};
use std::fmt::Write as _;

pub(super) fn list(config: &Config, visible: &[&VisibleModel], query: &str) -> Value {
    let rows: Vec<Value> = visible.iter().map(|model| row(config, model)).collect();
    let mut list = json!({"object": "list", "data": rows});
    // Codex asks for descriptions of its own kind under this key, and knows its models without them.
    let by_codex = query
        .split('&')
        .any(|part| part.starts_with("client_version="));
    if by_codex {
        list["models"] = json!([]);
    }
    list
}

/// One model at one provider.
///
/// `upstream` means nothing to this gateway; clients want it to be there, and to be the same in all rows of a provider.
pub(super) fn row(config: &Config, model: &VisibleModel) -> Value {
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
    if let Some(window) = context_window(config, model) {
        row["context_window_tokens"] = json!(window);
    }
    if let Some(pricing) = pricing(config, model) {
        row["pricing"] = pricing;
    }
    row
}

/// Tokens that fit into the model's context, where the price data says so.
pub(super) fn context_window(config: &Config, model: &VisibleModel) -> Option<u64> {
    let basis = price::resolve_basis(config, &model.provider, &model.model)?;
    price::context_window(basis.catalogue, basis.model)
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
}
