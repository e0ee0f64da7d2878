//! Stored things: responses, conversations, files and cached contents.
//!
//! What was created is found again by its id, until it is deleted; an unknown id
//! is not found. Comes in: a request beside the models, or a reply to keep. Goes
//! out: a reply in one piece. The number of things is bounded: the oldest go first.

mod anthropic;
mod google;
mod multipart;
mod openai;
mod place;

use std::collections::VecDeque;

use bytes::Bytes;
use hyper::header::HeaderValue;
use parking_lot::Mutex;
use serde_json::Value;

use crate::json::Json;
use crate::plain::Plain;
use crate::reply::Request;

pub(crate) use place::{Kind, Place};

/// Things kept at a time.
const LIMIT: usize = 4096;

/// Why there is no reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Refused {
    #[error("there is no such thing stored, or nothing like that to be done with it")]
    Thing,
    #[error("the form has no file that can be read")]
    Form,
}

/// One stored thing.
#[derive(Clone, Debug)]
struct Thing {
    kind: Kind,
    id: String,
    /// What a request for it gets.
    json: Json,
    /// The items of a conversation, or the input of a response: their ids and texts.
    items: Vec<(String, Json)>,
    /// The bytes of a file, and their type.
    content: Option<(Bytes, HeaderValue)>,
}

/// All stored things, oldest first.
#[derive(Debug, Default)]
pub(crate) struct Stored {
    things: Mutex<VecDeque<Thing>>,
}

impl Stored {
    /// Whether there is such a thing.
    pub(crate) fn has(&self, kind: Kind, id: &str) -> bool {
        self.find(kind, id).is_ok()
    }

    pub(crate) fn clear(&self) {
        self.things.lock().clear();
    }

    /// Keeps a response that was asked for by that request.
    pub(crate) fn keep_response(&self, id: String, response: Json, request: &Bytes) {
        let request: Value = serde_json::from_slice(request).unwrap_or_default();
        let items = openai::input(&id, &request["input"]);
        if let Some(conversation) = openai::conversation(&request["conversation"]) {
            // It was there before the answer was made; if it is gone by now, so are its items.
            let _ = self.change(Kind::Conversation, conversation, |thing| {
                thing.items.extend(items.iter().cloned());
                thing.items.extend(openai::output(&response));
            });
        }
        self.keep(Thing {
            kind: Kind::Response,
            id,
            json: response,
            items,
            content: None,
        });
    }

    /// The reply to a request.
    pub(crate) fn reply(&self, request: &Request<'_>, place: &Place<'_>) -> Result<Plain, Refused> {
        match place.kind {
            Kind::Response => openai::responses(self, request, place),
            Kind::Conversation => openai::conversations(self, request, place),
            Kind::OpenAiFile => openai::files(self, request, place),
            Kind::AnthropicFile => anthropic::files(self, request, place),
            Kind::GoogleFile => google::files(self, request, place),
            Kind::CachedContent => google::cached(self, request, place),
        }
    }

    fn keep(&self, thing: Thing) {
        let mut things = self.things.lock();
        if things.len() >= LIMIT {
            things.pop_front();
        }
        things.push_back(thing);
    }

    fn find(&self, kind: Kind, id: &str) -> Result<Thing, Refused> {
        let things = self.things.lock();
        let is_it = |thing: &&Thing| thing.kind == kind && thing.id == id;
        things.iter().find(is_it).cloned().ok_or(Refused::Thing)
    }

    /// The thing after the change.
    fn change(
        &self,
        kind: Kind,
        id: &str,
        change: impl FnOnce(&mut Thing),
    ) -> Result<Thing, Refused> {
        let mut things = self.things.lock();
        let is_it = |thing: &&mut Thing| thing.kind == kind && thing.id == id;
        let thing = things.iter_mut().find(is_it).ok_or(Refused::Thing)?;
        change(thing);
        Ok(thing.clone())
    }

    fn remove(&self, kind: Kind, id: &str) -> Result<Thing, Refused> {
        let mut things = self.things.lock();
        let is_it = |thing: &Thing| thing.kind == kind && thing.id == id;
        let place = things.iter().position(is_it).ok_or(Refused::Thing)?;
        things.remove(place).ok_or(Refused::Thing)
    }

    fn list(&self, kind: Kind) -> Vec<Thing> {
        let things = self.things.lock();
        let of_kind = things.iter().filter(|thing| thing.kind == kind);
        of_kind.cloned().collect()
    }
}

impl Thing {
    fn content(&self) -> Result<Plain, Refused> {
        let (bytes, kind) = self.content.clone().ok_or(Refused::Thing)?;
        Ok(Plain::new(hyper::StatusCode::OK, kind, bytes))
    }
}

/// What two APIs list in one form: data with its first and last id.
fn page(data: &[Json], first: Option<&String>, last: Option<&String>) -> crate::json::Object {
    crate::json::Object::new()
        .field("data", data)
        .field("first_id", &first)
        .field("last_id", &last)
        .field("has_more", &false)
}
