//! What `OpenAI` stores: responses, conversations with their items, files.

use hyper::header::HeaderValue;
use serde_json::Value;

use super::multipart::{self, Part};
use super::{Kind, Place, Refused, Stored, Thing, page};
use crate::conversation::items;
use crate::json::{Json, Object, object};
use crate::models::CREATED;
use crate::plain::Plain;
use crate::reply::Request;

/// The items of a request's input under the ids that they get, by the thing that they are for.
pub(super) fn input(owner: &str, input: &Value) -> Vec<(String, Json)> {
    if let Some(text) = input.as_str() {
        let id = format!("msg_{owner}_0");
        let content = object! {"type": "input_text", "text": text};
        let item = object! {
            "type": "message", "id": id, "role": "user", "status": "completed",
            "content": [content],
        };
        return vec![(id, item)];
    }
    items(input)
        .enumerate()
        .map(|(place, item)| {
            let mut item = item.clone();
            let given = item["id"].as_str().map(str::to_owned);
            let id = given.unwrap_or_else(|| format!("msg_{owner}_{place}"));
            if let Some(fields) = item.as_object_mut() {
                fields.insert("id".into(), Value::String(id.clone()));
            }
            (id, Json::raw(item.to_string()))
        })
        .collect()
}

/// The items of a response's output under their ids.
pub(super) fn output(response: &Json) -> Vec<(String, Json)> {
    let response: Value = serde_json::from_str(response.as_str()).unwrap_or_default();
    input("output", &response["output"])
}

/// The id of a conversation, which is named in two forms.
pub(super) fn conversation(named: &Value) -> Option<&str> {
    named.as_str().or_else(|| named["id"].as_str())
}

fn list(items: &[(String, Json)]) -> Json {
    let data: Vec<Json> = items.iter().map(|(_, item)| item.clone()).collect();
    let ids = (items.first(), items.last());
    let page = page(&data, ids.0.map(|(id, _)| id), ids.1.map(|(id, _)| id));
    page.field("object", "list").finish()
}

fn deleted(id: &str, object: &str) -> Plain {
    Plain::json(object! {"id": id, "object": object, "deleted": true})
}

pub(super) fn responses(
    stored: &Stored,
    request: &Request<'_>,
    place: &Place<'_>,
) -> Result<Plain, Refused> {
    let id = place.id.ok_or(Refused::Thing)?;
    Ok(match (request.method.as_str(), place.part) {
        ("GET", None) => Plain::json(stored.find(place.kind, id)?.json),
        ("GET", Some("input_items")) => Plain::json(list(&stored.find(place.kind, id)?.items)),
        ("POST", Some("cancel")) => {
            let change = |thing: &mut Thing| {
                let text = thing.json.as_str();
                let ended = r#""status":"completed""#;
                let cancelled = text.replacen(ended, r#""status":"cancelled""#, 1);
                thing.json = Json::raw(cancelled);
            };
            Plain::json(stored.change(place.kind, id, change)?.json)
        }
        ("DELETE", None) => {
            stored.remove(place.kind, id)?;
            deleted(id, "response")
        }
        _ => return Err(Refused::Thing),
    })
}

fn conversation_json(id: &str, metadata: &Value) -> Json {
    let metadata = match metadata {
        Value::Null => object! {},
        given => Json::raw(given.to_string()),
    };
    object! {"id": id, "object": "conversation", "created_at": CREATED, "metadata": metadata}
}

pub(super) fn conversations(
    stored: &Stored,
    request: &Request<'_>,
    place: &Place<'_>,
) -> Result<Plain, Refused> {
    let body: Value = serde_json::from_slice(request.plain).unwrap_or_default();
    let Some(id) = place.id else {
        if request.method != "POST" {
            return Err(Refused::Thing);
        }
        let id = format!("conv_scripted_{}", request.seq);
        let json = conversation_json(&id, &body["metadata"]);
        stored.keep(Thing {
            kind: place.kind,
            items: input(&id, &body["items"]),
            id,
            json: json.clone(),
            content: None,
        });
        return Ok(Plain::json(json));
    };
    Ok(match (request.method.as_str(), place.part, place.of_part) {
        ("GET", None, _) => Plain::json(stored.find(place.kind, id)?.json),
        ("POST", None, _) => {
            let json = conversation_json(id, &body["metadata"]);
            let changed = stored.change(place.kind, id, |thing| thing.json = json);
            Plain::json(changed?.json)
        }
        ("DELETE", None, _) => {
            stored.remove(place.kind, id)?;
            deleted(id, "conversation.deleted")
        }
        ("GET", Some("items"), None) => Plain::json(list(&stored.find(place.kind, id)?.items)),
        ("POST", Some("items"), None) => {
            let new = input(&format!("{id}_{}", request.seq), &body["items"]);
            let extend = |thing: &mut Thing| thing.items.extend(new.iter().cloned());
            stored.change(place.kind, id, extend)?;
            Plain::json(list(&new))
        }
        ("GET", Some("items"), Some(item)) => {
            let items = stored.find(place.kind, id)?.items;
            let found = items.into_iter().find(|(known, _)| known == item);
            Plain::json(found.ok_or(Refused::Thing)?.1)
        }
        ("DELETE", Some("items"), Some(item)) => {
            let has = |thing: &Thing| thing.items.iter().any(|(known, _)| known == item);
            Some(stored.find(place.kind, id)?)
                .filter(has)
                .ok_or(Refused::Thing)?;
            let remove = |thing: &mut Thing| thing.items.retain(|(known, _)| known != item);
            Plain::json(stored.change(place.kind, id, remove)?.json)
        }
        _ => return Err(Refused::Thing),
    })
}

/// The file of a form, and the fields beside it.
pub(super) fn uploaded(request: &Request<'_>) -> Result<(Part, Vec<Part>), Refused> {
    let mut parts = multipart::parts(request.headers, request.plain);
    let place = parts.iter().position(|part| part.filename.is_some());
    let file = parts.remove(place.ok_or(Refused::Form)?);
    Ok((file, parts))
}

/// A file's bytes and their type.
pub(super) fn content(part: &Part) -> (bytes::Bytes, HeaderValue) {
    let kind = part
        .kind
        .as_deref()
        .and_then(|kind| HeaderValue::from_str(kind).ok());
    let kind = kind.unwrap_or(HeaderValue::from_static("application/octet-stream"));
    (part.content.clone(), kind)
}

pub(super) fn files(
    stored: &Stored,
    request: &Request<'_>,
    place: &Place<'_>,
) -> Result<Plain, Refused> {
    Ok(match (request.method.as_str(), place.id, place.part) {
        ("POST", None, _) => {
            let (file, others) = uploaded(request)?;
            let purpose = others.iter().find(|part| part.name == "purpose");
            let purpose = purpose.map_or("user_data".into(), |part| {
                String::from_utf8_lossy(&part.content).into_owned()
            });
            let id = format!("file-scripted-{}", request.seq);
            let json = object! {
                "id": id, "object": "file", "bytes": file.content.len(), "created_at": CREATED,
                "expires_at": (), "filename": file.filename, "purpose": purpose,
                "status": "processed", "status_details": (),
            };
            stored.keep(Thing {
                kind: Kind::OpenAiFile,
                id,
                json: json.clone(),
                items: Vec::new(),
                content: Some(content(&file)),
            });
            Plain::json(json)
        }
        ("GET", None, _) => {
            let files = stored.list(place.kind);
            let data: Vec<Json> = files.iter().map(|file| file.json.clone()).collect();
            let page: Object = page(
                &data,
                files.first().map(|file| &file.id),
                files.last().map(|file| &file.id),
            );
            Plain::json(page.field("object", "list").finish())
        }
        ("GET", Some(id), None) => Plain::json(stored.find(place.kind, id)?.json),
        ("GET", Some(id), Some("content")) => stored.find(place.kind, id)?.content()?,
        ("DELETE", Some(id), None) => {
            stored.remove(place.kind, id)?;
            deleted(id, "file")
        }
        _ => return Err(Refused::Thing),
    })
}
