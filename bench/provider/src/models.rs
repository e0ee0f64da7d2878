//! Lists of models: three APIs share one path, told apart by a header.

use crate::json::{Json, Object, object};

const CREATED: u64 = 1_795_404_147;
const CREATED_AT: &str = "2026-11-23T00:00:00Z";

/// The list, or the one model that the path names; none if it isn't served.
pub(crate) fn reply(
    models: &[String],
    path: &str,
    target: &str,
    is_anthropic: bool,
) -> Option<Json> {
    let one = if is_anthropic { anthropic } else { openai };
    if let Some((_, name)) = path.split_once("/models/") {
        return models.iter().find(|model| *model == name).map(one);
    }
    if !path.ends_with("/models") {
        return None;
    }
    let data: Vec<Json> = models.iter().map(one).collect();
    if is_anthropic {
        return Some(object! {
            "data": data, "has_more": false, "first_id": models.first(), "last_id": models.last(),
        });
    }
    // Codex wants a list of its own schema beside the usual one.
    let of_codex = target.contains("client_version=").then(Vec::<Json>::new);
    let list = Object::new().field("object", "list").field("data", &data);
    Some(list.field_if("models", of_codex.as_ref()).finish())
}

fn anthropic(model: &String) -> Json {
    object! {"type": "model", "id": model, "display_name": model, "created_at": CREATED_AT}
}

fn openai(model: &String) -> Json {
    object! {"id": model, "object": "model", "created": CREATED, "owned_by": "scripted"}
}
