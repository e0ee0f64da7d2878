//! `GET /api/providers`: who serves what the caller may use.
//!
//! Owns: the shape that launchers decode: a bare array, models always an array, flags always booleans. In: visible models.
//! Out: JSON. A provider of which nothing is visible is not named. Must not know: what is visible.

use crate::{config::Provider, endpoint::Dialect, policy::VisibleModel};
use serde_json::{Map, Value, json};

/// The flag beside the dialects' own.
const SHORT_PATHS: &str = "experimental_gemini_cli_vertex_compat";

pub(super) fn list(visible: &[VisibleModel]) -> Value {
    // They come by provider.
    let of_one = visible.chunk_by(|one, next| one.provider.id == next.provider.id);
    let rows = of_one.map(|models| {
        let provider = &models[0].provider;
        let names: Vec<_> = models.iter().map(|model| &model.model).collect();
        json!({
            "id": provider.id,
            "name": provider.name,
            "description": provider.description,
            "models": names,
            "compatibility": compatibility(provider),
        })
    });
    Value::Array(rows.collect())
}

fn compatibility(provider: &Provider) -> Map<String, Value> {
    let mut flags: Map<String, Value> = Dialect::ALL
        .into_iter()
        .map(|dialect| {
            let speaks = provider.dialects.contains(&dialect);
            (dialect.as_str().to_owned(), speaks.into())
        })
        .collect();
    flags.insert(SHORT_PATHS.into(), provider.vertex.short_paths.into());
    flags
}
