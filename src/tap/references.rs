//! Which stored objects a request builds on.
//!
//! Owns: the places of each dialect where the id of a stored object may stand: only these, since a tool's arguments may have
//! the same words. In: the top members of a body. Out: ids as their owners know them. All callers share the provider's
//! account, so each of them must be the caller's own (`proxy::owned`).
//! Must not know: owners.

use super::json::{self, Raw};
use crate::endpoint::Dialect;
use memchr::memmem;

/// Ids that are read of one request; a request with more is refused.
pub const REFERENCES: usize = 256;

/// What a body may build on, member by member.
#[derive(Default)]
pub(super) struct Places<'a> {
    pub(super) messages: Option<Raw<'a>>,
    pub(super) input: Option<Raw<'a>>,
    pub(super) contents: Option<Raw<'a>>,
    pub(super) previous_response: Option<Raw<'a>>,
    pub(super) conversation: Option<Raw<'a>>,
    pub(super) cached_content: Option<Raw<'a>>,
    pub(super) container: Option<Raw<'a>>,
}

/// The ids in a body.
pub(super) fn find(dialect: Dialect, text: &str, places: &Places<'_>) -> Vec<String> {
    let mut found = Found::default();
    let places_of_ids = match dialect {
        Dialect::OpenaiChat | Dialect::OpenaiResponses => {
            [places.previous_response, places.conversation]
        }
        Dialect::AnthropicMessages => [places.container, None],
        _ => [None, None],
    };
    for place in places_of_ids.into_iter().flatten() {
        found.add(json::string(place).or_else(|| text_of(place, "id")));
    }
    let google = matches!(
        dialect,
        Dialect::GeminiGenerateContent | Dialect::GoogleGenerateContent
    );
    if let Some(name) = places
        .cached_content
        .filter(|_| google)
        .and_then(json::string)
    {
        // On Vertex AI its name begins with the project.
        let own = name.find("cachedContents/").unwrap_or(0);
        found.add(Some(name[own..].to_owned().into()));
    }
    let mentions = |word: &str| memmem::find(text.as_bytes(), word.as_bytes()).is_some();
    match dialect {
        Dialect::OpenaiChat | Dialect::OpenaiResponses
            if mentions("file_id") || mentions("item_reference") =>
        {
            each(places.messages, |message| openai(message, &mut found));
            each(places.input, |item| openai(item, &mut found));
        }
        Dialect::AnthropicMessages if mentions("file_id") => {
            each(places.messages, |message| {
                each(json::get(message, "content"), |block| {
                    anthropic(block, &mut found);
                });
            });
        }
        Dialect::GeminiGenerateContent if mentions("/files/") => {
            let mut content = |content| {
                if let Some(parts) = json::get(content, "parts") {
                    json::one_or_many(parts, |part| gemini(part, &mut found));
                }
            };
            if let Some(contents) = places.contents {
                json::one_or_many(contents, &mut content);
            }
        }
        _ => {}
    }
    found.ids
}

#[derive(Default)]
struct Found {
    ids: Vec<String>,
}

impl Found {
    fn add(&mut self, id: Option<std::borrow::Cow<'_, str>>) {
        let Some(id) = id.filter(|id| !id.is_empty()) else {
            return;
        };
        // One more than is allowed is kept, so that too many are seen to be too many.
        if self.ids.len() <= REFERENCES && !self.ids.iter().any(|known| **known == *id) {
            self.ids.push(id.into_owned());
        }
    }
}

fn each<'a>(list: Option<Raw<'a>>, each: impl FnMut(Raw<'a>)) {
    if let Some(list) = list {
        json::elements(list, each);
    }
}

fn text_of<'a>(raw: Raw<'a>, name: &str) -> Option<std::borrow::Cow<'a, str>> {
    json::get(raw, name).and_then(json::string)
}

/// A message or an item: references to items, and files in its parts.
fn openai(item: Raw<'_>, found: &mut Found) {
    if text_of(item, "type").as_deref() == Some("item_reference") {
        found.add(text_of(item, "id"));
    }
    for list in ["content", "output"] {
        each(json::get(item, list), |part| {
            found.add(text_of(part, "file_id"));
            for inner in ["file", "input_file"] {
                if let Some(file) = json::get(part, inner) {
                    found.add(text_of(file, "file_id"));
                }
            }
        });
    }
}

/// A content block: a file as the source of an image or a document, or put into a container.
fn anthropic(block: Raw<'_>, found: &mut Found) {
    match text_of(block, "type").as_deref() {
        Some("container_upload") => found.add(text_of(block, "file_id")),
        Some("tool_result") => each(json::get(block, "content"), |inner| source(inner, found)),
        _ => source(block, found),
    }
}

fn source(block: Raw<'_>, found: &mut Found) {
    if let Some(source) = json::get(block, "source")
        && text_of(source, "type").as_deref() == Some("file")
    {
        found.add(text_of(source, "file_id"));
    }
}

/// A part: a file of the API's own storage; addresses elsewhere are not ours to judge.
fn gemini(part: Raw<'_>, found: &mut Found) {
    let Some(data) = json::get(part, "fileData").or_else(|| json::get(part, "file_data")) else {
        return;
    };
    let uri = text_of(data, "fileUri").or_else(|| text_of(data, "file_uri"));
    let Some(uri) = uri else { return };
    let path = uri.split(['?', '#']).next().unwrap_or_default();
    let own = path.starts_with("files/")
        || path
            .split_once("://")
            .and_then(|(_, rest)| rest.split_once('/'))
            .is_some_and(|(host, _)| host.ends_with("generativelanguage.googleapis.com"))
        || path.contains("/v1beta/files/")
        || path.contains("/v1/files/");
    if own && let Some(at) = path.rfind("files/") {
        found.add(Some(path[at..].to_owned().into()));
    }
}

#[cfg(test)]
mod tests {
    use crate::{
        endpoint::Endpoint,
        tap::{read_request, read_request_to},
    };
    use http::HeaderMap;

    fn references(endpoint: Endpoint, body: &str) -> Vec<String> {
        let head = HeaderMap::new();
        let facts = if endpoint.names_model_in_path() {
            read_request_to("m", endpoint, &head, body.as_bytes())
        } else {
            read_request(endpoint, &head, body.as_bytes()).unwrap()
        };
        facts.references
    }

    #[test]
    fn ids_are_found_where_the_dialects_have_them() {
        for (endpoint, body, ids) in [
            (
                Endpoint::OpenaiResponses,
                r#"{"model":"m","previous_response_id":"resp_1","conversation":{"id":"conv_1"},"input":[
                    {"type":"item_reference","id":"rs_1"},
                    {"role":"user","content":[{"type":"input_file","file_id":"file_1"},{"type":"input_image","file_id":"file_2"}]},
                    {"type":"function_call_output","call_id":"c","output":[{"type":"input_file","file_id":"file_3"}]}]}"#,
                &["resp_1", "conv_1", "rs_1", "file_1", "file_2", "file_3"][..],
            ),
            (
                Endpoint::OpenaiChat,
                r#"{"model":"m","messages":[{"role":"user","content":[{"type":"file","file":{"file_id":"file_1"}}]}]}"#,
                &["file_1"],
            ),
            (
                Endpoint::AnthropicMessages,
                r#"{"model":"m","container":"container_1","messages":[{"role":"user","content":[
                    {"type":"document","source":{"type":"file","file_id":"file_1"}},
                    {"type":"container_upload","file_id":"file_2"},
                    {"type":"tool_result","tool_use_id":"t","content":[{"type":"image","source":{"type":"file","file_id":"file_3"}}]}]}]}"#,
                &["container_1", "file_1", "file_2", "file_3"],
            ),
            (
                Endpoint::GeminiGenerateContent,
                r#"{"cachedContent":"cachedContents/c","contents":[{"parts":[
                    {"fileData":{"fileUri":"https://generativelanguage.googleapis.com/v1beta/files/f1"}},
                    {"file_data":{"file_uri":"http://ai/v1beta/files/f2"}},
                    {"fileData":{"fileUri":"https://example.com/files/f3"}}]}]}"#,
                &["cachedContents/c", "files/f1", "files/f2"],
            ),
            (
                Endpoint::GeminiGenerateContent,
                r#"{"contents":{"parts":{"fileData":{"fileUri":"http://ai/v1beta/files/f1"}}}}"#,
                &["files/f1"],
            ),
        ] {
            assert_eq!(references(endpoint, body), ids, "{endpoint:?}");
        }
    }

    #[test]
    fn a_tools_arguments_are_not_references() {
        for (endpoint, body) in [
            (
                Endpoint::AnthropicMessages,
                r#"{"model":"m","messages":[{"role":"assistant","content":[{"type":"tool_use","id":"t","name":"n","input":{"file_id":"file_1"}}]}]}"#,
            ),
            (
                Endpoint::OpenaiResponses,
                r#"{"model":"m","input":[{"type":"function_call","call_id":"c","name":"n","arguments":"{\"file_id\":\"file_1\"}"}]}"#,
            ),
            (
                Endpoint::OpenaiChat,
                r#"{"model":"m","messages":[{"role":"assistant","tool_calls":[{"id":"c","type":"function","function":{"name":"n","arguments":"{\"file_id\":\"x\"}"}}]}]}"#,
            ),
        ] {
            assert!(references(endpoint, body).is_empty(), "{endpoint:?}");
        }
    }
}
