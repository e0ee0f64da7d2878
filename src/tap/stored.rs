//! Which objects a provider says that it has stored.
//!
//! Owns: [`StoredIds`], which reads the ids out of a response as its bytes pass, early enough that whoever sees an id is
//! already known as its owner. In: the response's head and bytes in any split. Out: ids as their owners know them.
//! Only responses that may store something are read. Bounded: one event, one body, so many ids; what lies beyond is nobody's
//! and can't be used. Must not know: owners.

use super::{
    decode::{Coding, Decoder},
    json::{self, Raw},
    sse::{SseDecoder, SseItem},
};
use crate::endpoint::{Dialect, Endpoint, Work};
use http::{HeaderMap, header::CONTENT_TYPE};
use memchr::memmem;
use std::io::{self, Write};

/// Ids that are taken of one response.
const IDS: usize = 512;
/// Bytes of an id; a longer one is none.
const ID: usize = 256;
/// Bytes of a JSON body that are kept; the id of a larger one is not known.
const BODY: usize = 8 << 20;
/// Decoded bytes that are read of one response.
const DECODED: u64 = 256 << 20;

/// Reads the ids of one response.
#[derive(Debug)]
pub struct StoredIds {
    decoder: Decoder<Reader>,
    broken: bool,
}

#[derive(Debug)]
struct Reader {
    dialect: Dialect,
    form: Form,
    ids: Vec<String>,
    known: usize,
}

#[derive(Debug)]
enum Form {
    Events(SseDecoder),
    Json(Vec<u8>),
}

impl StoredIds {
    /// For a successful response of an endpoint that stores; none when its coding is not known.
    pub fn new(endpoint: Endpoint, headers: &HeaderMap) -> Option<Self> {
        let kind = headers.get(CONTENT_TYPE).map(http::HeaderValue::as_bytes);
        let is_stream = endpoint.work() != Work::Store
            && kind.is_some_and(|kind| kind.starts_with(b"text/event-stream"));
        let reader = Reader {
            dialect: endpoint.dialect(),
            form: if is_stream {
                Form::Events(SseDecoder::default())
            } else {
                Form::Json(Vec::new())
            },
            ids: Vec::new(),
            known: 0,
        };
        Some(Self {
            decoder: Decoder::new(Coding::of(headers)?, reader, DECODED).ok()?,
            broken: false,
        })
    }

    /// The next bytes of the body, as they came; `last` says that no more will come. Returns the ids that are new.
    pub fn feed(&mut self, bytes: &[u8], last: bool) -> Vec<String> {
        if !self.broken {
            self.broken = self.decoder.feed(bytes).is_err();
        }
        self.decoder
            .sink_mut()
            .map(|reader| reader.news(last))
            .unwrap_or_default()
    }
}

impl Write for Reader {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let Self {
            dialect, form, ids, ..
        } = self;
        match form {
            Form::Json(body) => {
                if body.len() + bytes.len() <= BODY {
                    body.extend_from_slice(bytes);
                }
            }
            Form::Events(events) => events.feed(bytes, |item| {
                if let SseItem::Event { data, .. } = item {
                    event(*dialect, data, ids);
                }
            }),
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Reader {
    fn news(&mut self, last: bool) -> Vec<String> {
        if last
            && let Form::Json(body) = &mut self.form
            && let Ok(text) = String::from_utf8(std::mem::take(body))
            && let Ok(raw) = json::parse(&text)
        {
            object(self.dialect, raw, &mut self.ids);
        }
        let new = self.ids[self.known..].to_vec();
        self.known = self.ids.len();
        new
    }
}

fn add(ids: &mut Vec<String>, raw: Option<Raw<'_>>) {
    if let Some(id) = raw.and_then(json::string)
        && !id.is_empty()
        && id.len() <= ID
        && ids.len() < IDS
        && !ids.iter().any(|known| **known == *id)
    {
        ids.push(id.into_owned());
    }
}

/// One event of a stream.
fn event(dialect: Dialect, data: &[u8], ids: &mut Vec<String>) {
    let mentions = |word: &str| memmem::find(data, word.as_bytes()).is_some();
    let may = match dialect {
        // Nearly all events are deltas, whose only id is of another name.
        Dialect::OpenaiResponses => {
            mentions("\"id\"")
                && (mentions("response.created")
                    || mentions("response.output_item.")
                    || mentions("response.completed"))
        }
        _ => mentions("\"container\""),
    };
    let Some(raw) = std::str::from_utf8(data)
        .ok()
        .filter(|_| may)
        .and_then(|text| json::parse(text).ok())
    else {
        return;
    };
    for part in ["response", "item", "message", "delta"] {
        if let Some(inner) = json::get(raw, part) {
            object(dialect, inner, ids);
        }
    }
}

/// An answer that names what was made, or is it.
fn object(dialect: Dialect, raw: Raw<'_>, ids: &mut Vec<String>) {
    match dialect {
        Dialect::AnthropicMessages => {
            if json::get(raw, "type").and_then(json::string).as_deref() == Some("file") {
                add(ids, json::get(raw, "id"));
            }
            let container = json::get(raw, "container");
            add(
                ids,
                container.and_then(|container| json::get(container, "id")),
            );
        }
        Dialect::GeminiGenerateContent => {
            add(ids, json::get(raw, "name"));
            let file = json::get(raw, "file");
            add(ids, file.and_then(|file| json::get(file, "name")));
        }
        _ => {
            add(ids, json::get(raw, "id"));
            if let Some(output) = json::get(raw, "output") {
                json::elements(output, |item| add(ids, json::get(item, "id")));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ids(endpoint: Endpoint, kind: &'static str, body: &str, split: usize) -> Vec<String> {
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, http::HeaderValue::from_static(kind));
        let mut stored = StoredIds::new(endpoint, &headers).unwrap();
        let mut found = Vec::new();
        for chunk in body.as_bytes().chunks(split) {
            found.extend(stored.feed(chunk, false));
        }
        found.extend(stored.feed(b"", true));
        found
    }

    #[test]
    fn ids_are_read_of_bodies_and_streams_in_any_split() {
        let stream = "event: response.created\ndata: {\"type\":\"response.created\",\"response\":{\"id\":\"resp_1\"}}\n\n\
            event: response.output_item.done\ndata: {\"type\":\"response.output_item.done\",\"item\":{\"id\":\"msg_1\"}}\n\n";
        for (endpoint, kind, body, wanted) in [
            (
                Endpoint::OpenaiResponses,
                "application/json",
                r#"{"id":"resp_1","output":[{"id":"rs_1"},{"id":"msg_1"}]}"#,
                &["resp_1", "rs_1", "msg_1"][..],
            ),
            (
                Endpoint::OpenaiResponses,
                "text/event-stream",
                stream,
                &["resp_1", "msg_1"],
            ),
            (
                Endpoint::OpenaiStored,
                "application/json",
                r#"{"object":"file","id":"file-1"}"#,
                &["file-1"],
            ),
            (
                Endpoint::AnthropicFiles,
                "application/json",
                r#"{"type":"file","id":"file_1"}"#,
                &["file_1"],
            ),
            (
                Endpoint::AnthropicMessages,
                "application/json",
                r#"{"type":"message","id":"msg_1","container":{"id":"container_1"}}"#,
                &["container_1"],
            ),
            (
                Endpoint::GeminiStored,
                "application/json",
                r#"{"file":{"name":"files/f","uri":"https://x/v1beta/files/f"}}"#,
                &["files/f"],
            ),
            (
                Endpoint::GeminiStored,
                "application/json",
                r#"{"name":"cachedContents/c"}"#,
                &["cachedContents/c"],
            ),
        ] {
            for split in [1, 7, 1000] {
                assert_eq!(
                    ids(endpoint, kind, body, split),
                    wanted,
                    "{endpoint:?} by {split}"
                );
            }
        }
    }

    #[test]
    fn an_id_is_known_before_its_stream_ends() {
        let mut headers = HeaderMap::new();
        headers.insert(
            CONTENT_TYPE,
            http::HeaderValue::from_static("text/event-stream"),
        );
        let mut stored = StoredIds::new(Endpoint::OpenaiResponses, &headers).unwrap();
        let event = b"data: {\"type\":\"response.created\",\"response\":{\"id\":\"resp_1\"}}\n\n";
        assert_eq!(stored.feed(event, false), ["resp_1"]);
        assert!(stored.feed(event, false).is_empty());
    }
}
