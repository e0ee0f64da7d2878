//! Where stored things live: collections in paths, with what follows them.

use crate::dialect::Family;

/// A kind of thing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Response,
    Conversation,
    OpenAiFile,
    AnthropicFile,
    GoogleFile,
    CachedContent,
}

/// What a path names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place<'a> {
    pub(crate) kind: Kind,
    /// The thing, if it is not the whole collection.
    pub(crate) id: Option<&'a str>,
    /// A part of the thing.
    pub(crate) part: Option<&'a str>,
    /// One of that part.
    pub(crate) of_part: Option<&'a str>,
    /// Whether files are sent there, rather than asked for.
    pub(crate) is_upload: bool,
    /// The path from the collection's owner on, as Google names things.
    pub(crate) owner: &'a str,
    is_vertex: bool,
}

impl<'a> Place<'a> {
    /// The place that a path names; none if it is no collection's.
    pub(crate) fn of(path: &'a str, family: Family) -> Option<Self> {
        let is_google = matches!(family, Family::Google | Family::Vertex);
        let collections = ["/responses", "/conversations", "/files", "/cachedContents"];
        let (start, collection) = collections.into_iter().find_map(|name| {
            let (start, _) = path.match_indices(name).find(|(start, _)| {
                let after = &path[start + name.len()..];
                after.is_empty() || after.starts_with('/')
            })?;
            Some((start, name))
        })?;
        let kind = match collection {
            "/responses" => Kind::Response,
            "/conversations" => Kind::Conversation,
            "/cachedContents" => Kind::CachedContent,
            _ if is_google => Kind::GoogleFile,
            _ if family == Family::Anthropic => Kind::AnthropicFile,
            _ => Kind::OpenAiFile,
        };
        let below = &path[start + collection.len()..];
        let mut names = below.split('/').filter(|name| !name.is_empty());
        let owner = path[..start]
            .find("/projects/")
            .map_or("", |at| &path[at + 1..start]);
        Some(Self {
            kind,
            id: names.next(),
            part: names.next(),
            of_part: names.next(),
            is_upload: path[..start].contains("/upload"),
            owner,
            is_vertex: family == Family::Vertex,
        })
    }

    /// The dialect whose things these are, by its name in the log.
    pub(crate) fn dialect(&self) -> &'static str {
        match self.kind {
            Kind::Response | Kind::Conversation | Kind::OpenAiFile => "openai_responses",
            Kind::AnthropicFile => "anthropic_messages",
            Kind::GoogleFile | Kind::CachedContent if self.is_vertex => "google_generate_content",
            Kind::GoogleFile | Kind::CachedContent => "gemini_generate_content",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Kind, Place};
    use crate::dialect::Family;

    #[test]
    fn paths_name_collections_things_and_their_parts() {
        let place = |path, family| {
            let place = Place::of(path, family)?;
            Some((place.kind, place.id, place.part, place.of_part))
        };
        let openai = |path| place(path, Family::OpenAi);
        assert_eq!(
            openai("/v1/conversations/c/items/i"),
            Some((Kind::Conversation, Some("c"), Some("items"), Some("i")))
        );
        assert_eq!(
            openai("/v1/files"),
            Some((Kind::OpenAiFile, None, None, None))
        );
        assert_eq!(openai("/v1/filesystem"), None);
        assert_eq!(openai("/v1/models"), None);
        let anthropic = place("/v1/files/f/content", Family::Anthropic);
        assert_eq!(
            anthropic,
            Some((Kind::AnthropicFile, Some("f"), Some("content"), None))
        );
        let path = "/v1/projects/p/locations/l/cachedContents/7";
        let place = Place::of(path, Family::Vertex).unwrap();
        assert_eq!(
            (place.owner, place.id),
            ("projects/p/locations/l", Some("7"))
        );
        let place = Place::of("/upload/v1beta/files", Family::Google).unwrap();
        assert!(place.is_upload && place.kind == Kind::GoogleFile);
    }
}
