//! The paths of what providers store for their callers: responses, conversations, files, cached contents.
//!
//! Owns: which of these routes are offered, and what each does to which object. In: an endpoint, a method, a raw path.
//! Out: [`Stored`]. Lists are not offered: they would show what others keep there, since all callers share one account.
//! Must not know: owners, providers.

use super::{Endpoint, split_version, unversioned};
use http::Method;

/// What a request does to an object that the provider stores.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stored<'a> {
    /// The object, as its owner knows it (`resp_…`, `cachedContents/…`); none when it is yet to be made.
    pub id: Option<&'a str>,
    /// What is done.
    pub action: Action,
}

/// What is done to a stored object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// It is made: the answer names it.
    Create,
    /// It is read, changed, cancelled or deleted.
    Use,
}

/// Every one of these routes, `{id}` for what varies: for tables and tests.
pub const STORED: [(&Method, &str); 25] = [
    (&Method::POST, "/v1/files"),
    (&Method::GET, "/v1/files/{id}"),
    (&Method::DELETE, "/v1/files/{id}"),
    (&Method::GET, "/v1/files/{id}/content"),
    (&Method::POST, "/v1/conversations"),
    (&Method::GET, "/v1/conversations/{id}"),
    (&Method::POST, "/v1/conversations/{id}"),
    (&Method::DELETE, "/v1/conversations/{id}"),
    (&Method::GET, "/v1/conversations/{id}/items"),
    (&Method::POST, "/v1/conversations/{id}/items"),
    (&Method::GET, "/v1/conversations/{id}/items/{id}"),
    (&Method::DELETE, "/v1/conversations/{id}/items/{id}"),
    (&Method::GET, "/v1/responses/{id}"),
    (&Method::DELETE, "/v1/responses/{id}"),
    (&Method::POST, "/v1/responses/{id}/cancel"),
    (&Method::GET, "/v1/responses/{id}/input_items"),
    (&Method::POST, "/v1beta/cachedContents"),
    (&Method::GET, "/v1beta/cachedContents/{id}"),
    (&Method::PATCH, "/v1beta/cachedContents/{id}"),
    (&Method::DELETE, "/v1beta/cachedContents/{id}"),
    (&Method::POST, "/upload/v1beta/files"),
    (&Method::PUT, "/upload/v1beta/files"),
    (&Method::GET, "/v1beta/files/{id}"),
    (&Method::PATCH, "/v1beta/files/{id}"),
    (&Method::DELETE, "/v1beta/files/{id}"),
];

/// The endpoint of a path below which objects are stored. Anthropic's files have the path of `OpenAI`'s: `anthropic` says
/// whose client asks.
pub(super) fn locate(path: &str, anthropic: bool) -> Option<Endpoint> {
    if gemini_path(path).is_some() {
        return Some(Endpoint::GeminiStored);
    }
    let mut segments = unversioned(path).strip_prefix('/')?.split('/');
    match (segments.next()?, segments.next()) {
        ("files", _) if anthropic => Some(Endpoint::AnthropicFiles),
        ("files" | "conversations", _) | ("responses", Some(_)) => Some(Endpoint::OpenaiStored),
        _ => None,
    }
}

/// What the request does; none when that is not offered.
pub fn stored<'a>(endpoint: Endpoint, method: &Method, path: &'a str) -> Option<Stored<'a>> {
    if endpoint == Endpoint::GeminiStored {
        return gemini(method, path);
    }
    let bare = unversioned(path).strip_prefix('/')?;
    let mut segments = bare.split('/');
    let (collection, id) = (segments.next()?, segments.next());
    let (below, item) = (segments.next(), segments.next());
    if segments.next().is_some() || [id, below, item].contains(&Some("")) {
        return None;
    }
    let action = match (collection, id, below, item, method) {
        ("conversations" | "files", None, None, None, &Method::POST) => Action::Create,
        (
            "responses" | "conversations" | "files",
            Some(_),
            None,
            None,
            &Method::GET | &Method::DELETE,
        )
        | ("conversations", Some(_), None, None, &Method::POST)
        | ("responses", Some(_), Some("cancel"), None, &Method::POST)
        | ("responses", Some(_), Some("input_items"), None, &Method::GET)
        | ("conversations", Some(_), Some("items"), None, &Method::GET | &Method::POST)
        | ("conversations", Some(_), Some("items"), Some(_), &Method::GET | &Method::DELETE)
        | ("files", Some(_), Some("content"), None, &Method::GET) => Action::Use,
        _ => return None,
    };
    Some(Stored { id, action })
}

/// `[/upload]/VERSION/(cachedContents|files)[/ID]` → the upload flag, and the name from the collection on.
fn gemini_path(path: &str) -> Option<(bool, &str)> {
    let (upload, path) = match path.strip_prefix("/upload") {
        Some(rest) => (true, rest),
        None => (false, path),
    };
    let (version, rest) = split_version(path);
    let name = rest.strip_prefix('/')?;
    let collection = name.split('/').next()?;
    // Without its own version, `/v1/files` is another API's.
    let ours = match collection {
        "cachedContents" => true,
        "files" => upload || !matches!(version, "" | "/v1"),
        _ => false,
    };
    ours.then_some((upload, name))
}

fn gemini<'a>(method: &Method, path: &'a str) -> Option<Stored<'a>> {
    let (upload, name) = gemini_path(path)?;
    let single = name.split('/').nth(1).is_some_and(|id| !id.is_empty())
        && name.split('/').count() == 2
        && !name.contains(':');
    let action = match (upload, single, method) {
        (true, false, &Method::POST | &Method::PUT) if name == "files" => Action::Create,
        (false, false, &Method::POST) if name == "cachedContents" => Action::Create,
        (false, true, &Method::GET | &Method::PATCH | &Method::DELETE) => Action::Use,
        _ => return None,
    };
    Some(Stored {
        id: single.then_some(name),
        action,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_route_does_one_thing_to_one_object() {
        use Action::{Create, Use};
        for (method, path, id, action) in [
            (Method::GET, "/v1/responses/resp_1", Some("resp_1"), Use),
            (Method::DELETE, "/v1/responses/resp_1", Some("resp_1"), Use),
            (
                Method::POST,
                "/v1/responses/resp_1/cancel",
                Some("resp_1"),
                Use,
            ),
            (
                Method::GET,
                "/responses/resp_1/input_items",
                Some("resp_1"),
                Use,
            ),
            (Method::POST, "/v1/conversations", None, Create),
            (
                Method::POST,
                "/v1/conversations/conv_1",
                Some("conv_1"),
                Use,
            ),
            (
                Method::GET,
                "/v1/conversations/conv_1/items/msg_1",
                Some("conv_1"),
                Use,
            ),
            (Method::POST, "/v1/files", None, Create),
            (Method::GET, "/v1/files/file_1/content", Some("file_1"), Use),
            (Method::POST, "/v1beta/cachedContents", None, Create),
            (
                Method::PATCH,
                "/v1beta/cachedContents/c",
                Some("cachedContents/c"),
                Use,
            ),
            (Method::DELETE, "/v1beta/files/f", Some("files/f"), Use),
            (Method::POST, "/upload/v1beta/files", None, Create),
            (Method::PUT, "/upload/v1beta/files", None, Create),
        ] {
            let endpoint = locate(path, false).unwrap();
            assert_eq!(
                stored(endpoint, &method, path),
                Some(Stored { id, action }),
                "{method} {path}"
            );
        }
    }

    /// Every path that the words make, with every method: what is offered is what the list says.
    #[test]
    fn the_list_has_every_route() {
        let words = ["cancel", "input_items", "items", "content", "other"];
        let mut paths = Vec::new();
        for collection in ["files", "conversations", "responses"] {
            let one = format!("/v1/{collection}/{{id}}");
            paths.extend([format!("/v1/{collection}"), one.clone()]);
            for word in words {
                paths.extend([format!("{one}/{word}"), format!("{one}/{word}/{{id}}")]);
            }
        }
        for collection in ["cachedContents", "files"] {
            for upload in ["", "/upload"] {
                let all = format!("{upload}/v1beta/{collection}");
                paths.extend([
                    format!("{all}/{{id}}"),
                    format!("{all}/{{id}}/content"),
                    all,
                ]);
            }
        }
        let mut offered = Vec::new();
        for path in &paths {
            for method in [
                Method::GET,
                Method::POST,
                Method::PUT,
                Method::PATCH,
                Method::DELETE,
                Method::HEAD,
            ] {
                let found = locate(path, false);
                if found.is_some_and(|endpoint| stored(endpoint, &method, path).is_some()) {
                    offered.push((method, path.as_str()));
                }
            }
        }
        let mut listed: Vec<(Method, &str)> =
            STORED.map(|(method, path)| (method.clone(), path)).into();
        let order = |(method, path): &(Method, &str)| format!("{path} {method}");
        offered.sort_by_key(order);
        listed.sort_by_key(order);
        assert_eq!(offered, listed);
    }

    #[test]
    fn lists_and_strange_paths_are_not_offered() {
        for (method, path) in [
            (Method::GET, "/v1/files"),
            (Method::GET, "/v1/conversations"),
            (Method::GET, "/v1beta/cachedContents"),
            (Method::GET, "/v1beta/files"),
            (Method::GET, "/v1/files/"),
            (Method::GET, "/v1/files/a/b/c/d"),
            (Method::GET, "/v1/files//content"),
            (Method::POST, "/v1/responses/resp_1"),
            (Method::DELETE, "/v1/responses/resp_1/cancel"),
            (Method::POST, "/v1beta/files/f:register"),
            (Method::GET, "/upload/v1beta/files"),
        ] {
            let endpoint = locate(path, false).unwrap();
            assert_eq!(stored(endpoint, &method, path), None, "{method} {path}");
        }
        assert_eq!(locate("/v1/files/f", true), Some(Endpoint::AnthropicFiles));
        assert_eq!(locate("/v1/responses", false), None);
        assert_eq!(locate("/v1/other/x", false), None);
    }
}
