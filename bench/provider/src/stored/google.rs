//! What Google stores: files, sent in one piece or announced first, and cached contents.

use bytes::Bytes;
use hyper::header::{CONTENT_TYPE, HOST, HeaderValue};
use serde_json::Value;

use super::{Kind, Place, Refused, Stored, Thing};
use crate::json::{Json, Object, object};
use crate::models::CREATED_AT;
use crate::plain::Plain;
use crate::reply::Request;
use crate::tokens::tokens;

/// The header that says which step of an upload a request is.
const COMMAND: &str = "x-goog-upload-command";

/// When things go by themselves: never within a test.
const EXPIRES_AT: &str = "2036-11-23T00:00:00Z";

fn header<'a>(request: &'a Request<'_>, name: &str) -> Option<&'a str> {
    request.headers.get(name)?.to_str().ok()
}

pub(super) fn files(
    stored: &Stored,
    request: &Request<'_>,
    place: &Place<'_>,
) -> Result<Plain, Refused> {
    Ok(match (request.method.as_str(), place.id) {
        ("POST", None) if header(request, COMMAND) == Some("start") => announced(request)?,
        ("POST" | "PUT", None) if place.is_upload => {
            Plain::json(object! {"file": sent(stored, request)})
                .header("x-goog-upload-status", "final")
        }
        ("GET", None) => {
            let files = stored.list(place.kind);
            let files: Vec<Json> = files.into_iter().map(|file| file.json).collect();
            Plain::json(object! {"files": files})
        }
        ("GET", Some(id)) => match id.strip_suffix(":download") {
            Some(id) => stored.find(place.kind, id)?.content()?,
            None => Plain::json(stored.find(place.kind, id)?.json),
        },
        ("DELETE", Some(id)) => {
            stored.remove(place.kind, id)?;
            Plain::json(object! {})
        }
        _ => return Err(Refused::Thing),
    })
}

/// Where the bytes of an announced file shall go: the same place, with what was said of it.
fn announced(request: &Request<'_>) -> Result<Plain, Refused> {
    let host = header(request, HOST.as_str()).unwrap_or("localhost");
    let url = format!(
        "http://{host}{}?upload_id=scripted-{}",
        request.path, request.seq
    );
    let mut reply = Plain::json(object! {}).header("x-goog-upload-status", "active");
    let url = HeaderValue::from_str(&url).map_err(|_| Refused::Form)?;
    reply.headers.insert("x-goog-upload-url", url);
    Ok(reply)
}

/// Keeps the bytes of a file; answers what is known of it.
fn sent(stored: &Stored, request: &Request<'_>) -> Json {
    let id = format!("scripted-{}", request.seq);
    let kind = request.headers.get(CONTENT_TYPE).cloned();
    let kind = kind.unwrap_or(HeaderValue::from_static("application/octet-stream"));
    let json = object! {
        "name": format!("files/{id}"), "mimeType": kind.to_str().unwrap_or_default(),
        "sizeBytes": request.plain.len().to_string(), "createTime": CREATED_AT,
        "updateTime": CREATED_AT, "expirationTime": EXPIRES_AT,
        "uri": format!("https://generativelanguage.googleapis.com/v1beta/files/{id}"),
        "state": "ACTIVE", "source": "UPLOADED",
    };
    let content: Bytes = request.plain.clone();
    stored.keep(Thing {
        kind: Kind::GoogleFile,
        id,
        json: json.clone(),
        items: Vec::new(),
        content: Some((content, kind)),
    });
    json
}

/// A cached content as it is shown: the contents themselves are not.
fn shown(place: &Place<'_>, id: &str, body: &Value, tokens: u64) -> Json {
    let name = format!("{}/cachedContents/{id}", place.owner);
    Object::new()
        .field("name", name.trim_start_matches('/'))
        .field_if("model", body["model"].as_str())
        .field_if("displayName", body["displayName"].as_str())
        .field("createTime", CREATED_AT)
        .field("updateTime", CREATED_AT)
        .field(
            "expireTime",
            body["expireTime"].as_str().unwrap_or(EXPIRES_AT),
        )
        .field("usageMetadata", &object! {"totalTokenCount": tokens})
        .finish()
}

pub(super) fn cached(
    stored: &Stored,
    request: &Request<'_>,
    place: &Place<'_>,
) -> Result<Plain, Refused> {
    let body: Value = serde_json::from_slice(request.plain).unwrap_or_default();
    Ok(match (request.method.as_str(), place.id) {
        ("POST", None) => {
            let id = format!("scripted-{}", request.seq);
            let json = shown(place, &id, &body, tokens(request.body.len()));
            stored.keep(Thing {
                kind: Kind::CachedContent,
                id,
                json: json.clone(),
                items: Vec::new(),
                content: None,
            });
            Plain::json(json)
        }
        ("GET", None) => {
            let all = stored.list(place.kind);
            let all: Vec<Json> = all.into_iter().map(|thing| thing.json).collect();
            Plain::json(object! {"cachedContents": all})
        }
        ("GET", Some(id)) => Plain::json(stored.find(place.kind, id)?.json),
        ("PATCH", Some(id)) => {
            let old = stored.find(place.kind, id)?.json;
            let mut new: Value = serde_json::from_str(old.as_str()).unwrap_or_default();
            let expires = body["expireTime"].as_str().unwrap_or(EXPIRES_AT);
            new["expireTime"] = Value::String(expires.to_owned());
            let changed = stored.change(place.kind, id, |thing| {
                thing.json = Json::raw(new.to_string());
            });
            Plain::json(changed?.json)
        }
        ("DELETE", Some(id)) => {
            stored.remove(place.kind, id)?;
            Plain::json(object! {})
        }
        _ => return Err(Refused::Thing),
    })
}
