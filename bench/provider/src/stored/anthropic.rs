//! What Anthropic stores: files.

use super::openai::{content, uploaded};
use super::{Kind, Place, Refused, Stored, Thing, page};
use crate::json::{Json, object};
use crate::models::CREATED_AT;
use crate::plain::Plain;
use crate::reply::Request;

pub(super) fn files(
    stored: &Stored,
    request: &Request<'_>,
    place: &Place<'_>,
) -> Result<Plain, Refused> {
    Ok(match (request.method.as_str(), place.id, place.part) {
        ("POST", None, _) => {
            let (file, _) = uploaded(request)?;
            let id = format!("file_scripted_{}", request.seq);
            let kind = file.kind.as_deref().unwrap_or("application/octet-stream");
            let json = object! {
                "type": "file", "id": id, "filename": file.filename, "mime_type": kind,
                "size_bytes": file.content.len(), "created_at": CREATED_AT,
                "downloadable": true,
            };
            stored.keep(Thing {
                kind: Kind::AnthropicFile,
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
            let (first, last) = (files.first(), files.last());
            let page = page(&data, first.map(|file| &file.id), last.map(|file| &file.id));
            Plain::json(page.finish())
        }
        ("GET", Some(id), None) => Plain::json(stored.find(place.kind, id)?.json),
        ("GET", Some(id), Some("content")) => stored.find(place.kind, id)?.content()?,
        ("DELETE", Some(id), None) => {
            stored.remove(place.kind, id)?;
            Plain::json(object! {"id": id, "type": "file_deleted"})
        }
        _ => return Err(Refused::Thing),
    })
}
