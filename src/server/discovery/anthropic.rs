//! The list of models as Anthropic's clients know it.
//!
//! Owns: its rows and its envelope. In: one page of visible models. Out: JSON. Must not know: what is visible.

use super::page::Page;
use crate::policy::VisibleModel;
use serde_json::{Value, json};

pub(super) fn list(page: &Page<'_>, rows: &[Value]) -> Value {
    json!({
        "data": rows,
        "has_more": page.has_more,
        "first_id": page.models.first().map(|model| &model.model),
        "last_id": page.models.last().map(|model| &model.model),
    })
}

pub(super) fn row(model: &VisibleModel) -> Value {
    json!({
        "type": "model",
        "id": model.model,
        "display_name": model.model,
        // Nobody knows; clients insist on a time.
        "created_at": "1970-01-01T00:00:00Z",
    })
}
