//! What the target of a request says: an operation, and in some dialects a model.
//!
//! Comes in: a raw path and query. Goes out: [`Route`]. Prefixes before a
//! dialect's own path are any base URL's business, so only endings count.

use std::borrow::Cow;

use crate::conversation::Head;

/// The path and query of a request, as they came.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Target<'a> {
    pub(crate) path: &'a str,
    pub(crate) query: &'a str,
}

/// What a request asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Operation {
    /// A reply of the model.
    Generate,
    /// The length of the prompt.
    Count,
    /// A vector for a text.
    Embed,
    /// Vectors for several texts, where that is another path.
    EmbedBatch,
    /// A judgement of a text.
    Moderate,
    /// The conversation in fewer tokens.
    Compact,
}

/// How the events of a stream are told apart.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Framing {
    /// Server-sent events.
    #[default]
    Events,
    /// The elements of one JSON array.
    Array,
    /// The binary frames of an AWS event stream.
    Frames,
}

/// What a target asks for, as far as it says so.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Route {
    pub(crate) operation: Operation,
    /// The model, where the path names it.
    pub(crate) model: Option<String>,
    /// How the reply is streamed, where the path asks for that.
    pub(crate) framing: Option<Framing>,
}

impl Route {
    /// A path that says nothing but the operation.
    pub(crate) fn to(operation: Operation) -> Self {
        Self {
            operation,
            model: None,
            framing: None,
        }
    }

    /// The operation of the first ending that the path has.
    pub(crate) fn by_ending(path: &str, endings: &[(&str, Operation)]) -> Option<Self> {
        let found = endings.iter().find(|(ending, _)| path.ends_with(ending))?;
        Some(Self::to(found.1))
    }

    /// The head of a request whose path says everything.
    pub(crate) fn head(&self) -> Head {
        Head {
            model: self.model.clone().unwrap_or_default(),
            stream: self.framing.is_some(),
            framing: self.framing.unwrap_or_default(),
            include_usage: true,
            ..Head::default()
        }
    }
}

impl Operation {
    /// Whether the reply reports tokens that somebody pays for.
    pub(crate) fn is_charged(self) -> bool {
        match self {
            Self::Generate | Self::Embed | Self::EmbedBatch | Self::Compact => true,
            Self::Count | Self::Moderate => false,
        }
    }

    /// Whether the reply has words of the model.
    pub(crate) fn has_output(self) -> bool {
        matches!(self, Self::Generate | Self::Compact)
    }
}

impl Framing {
    /// The content type, if the framing alone decides it.
    pub(crate) fn content_type(self) -> Option<&'static str> {
        match self {
            Self::Events => None,
            Self::Array => Some("application/json; charset=UTF-8"),
            Self::Frames => Some("application/vnd.amazon.eventstream"),
        }
    }
}

/// A segment of a path without its percent encoding; what isn't UTF-8 then stays as it came.
pub(crate) fn decoded(segment: &str) -> Cow<'_, str> {
    if !segment.contains('%') {
        return Cow::Borrowed(segment);
    }
    let bytes = segment.as_bytes();
    let mut plain = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let code = segment
            .get(at + 1..at + 3)
            .filter(|_| bytes[at] == b'%')
            .and_then(|code| u8::from_str_radix(code, 16).ok());
        plain.push(code.unwrap_or(bytes[at]));
        at += if code.is_some() { 3 } else { 1 };
    }
    String::from_utf8(plain).map_or(Cow::Borrowed(segment), Cow::Owned)
}

#[cfg(test)]
mod tests {
    use super::decoded;

    #[test]
    fn a_segment_is_decoded_once_and_only_where_it_is_encoded() {
        let arn = "arn%3Aaws%3Abedrock%3Aus-east-1%3A1%3Aprofile%2Fabc";
        assert_eq!(decoded(arn), "arn:aws:bedrock:us-east-1:1:profile/abc");
        assert_eq!(decoded("claude-v1:0"), "claude-v1:0");
        assert_eq!(decoded("a%253A%zz%4"), "a%3A%zz%4");
        assert_eq!(decoded("%ff"), "%ff");
    }
}
