//! Lists of models: several APIs share one path, told apart by headers.

use crate::dialect::Family;
use crate::json::{Json, Object, object};

/// When everything was created, in seconds.
pub(crate) const CREATED: u64 = 1_795_404_147;
/// When everything was created, as text.
pub(crate) const CREATED_AT: &str = "2026-11-23T00:00:00Z";

/// What every model of the lists takes and gives.
const INPUT_LIMIT: u64 = 1_048_576;
const OUTPUT_LIMIT: u64 = 65_536;

/// The list, or the one model that the path names; none if it isn't served.
pub(crate) fn reply(models: &[String], path: &str, query: &str, family: Family) -> Option<Json> {
    let one = match family {
        Family::OpenAi => openai,
        Family::Anthropic => anthropic,
        Family::Google => google,
        Family::Vertex => vertex,
        // Its lists are another service's, which is not here.
        Family::Bedrock => return None,
    };
    if let Some((_, name)) = path.split_once("/models/") {
        return models.iter().find(|model| *model == name).map(one);
    }
    if !path.ends_with("/models") {
        return None;
    }
    let data: Vec<Json> = models.iter().map(one).collect();
    Some(match family {
        Family::Anthropic => object! {
            "data": data, "has_more": false, "first_id": models.first(), "last_id": models.last(),
        },
        Family::Google => object! {"models": data},
        Family::Vertex => object! {"publisherModels": data},
        Family::OpenAi | Family::Bedrock => {
            // Codex wants a list of its own schema beside the usual one.
            let of_codex = query.contains("client_version=").then(Vec::<Json>::new);
            let list = Object::new().field("object", "list").field("data", &data);
            list.field_if("models", of_codex.as_ref()).finish()
        }
    })
}

fn anthropic(model: &String) -> Json {
    object! {"type": "model", "id": model, "display_name": model, "created_at": CREATED_AT}
}

fn openai(model: &String) -> Json {
    object! {"id": model, "object": "model", "created": CREATED, "owned_by": "scripted"}
}

fn google(model: &String) -> Json {
    let methods = ["generateContent", "countTokens"];
    object! {
        "name": format!("models/{model}"), "version": "001", "displayName": model,
        "inputTokenLimit": INPUT_LIMIT, "outputTokenLimit": OUTPUT_LIMIT,
        "supportedGenerationMethods": methods,
    }
}

fn vertex(model: &String) -> Json {
    object! {"name": format!("publishers/google/models/{model}"), "versionId": "001"}
}
