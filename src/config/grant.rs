//! Grants: who may do what, in one form for the document and the tailnet policy.
//!
//! Owns: [`Grant`], [`Capability`], [`Role`] and the `provider/model` glob.
//! In: checked values from the document, or capability JSON from WhoIs. Out: values that `policy` evaluates.
//! Must not know: callers, requests.

use crate::record::CaptureMode;
use std::sync::Arc;

/// One rule of the document.
#[derive(Clone, Debug, PartialEq)]
pub struct Grant {
    /// Where it stands (`grants[2]`, `temp_grants[0]`), for people.
    pub origin: Arc<str>,
    /// Whom it names.
    pub src: Vec<Src>,
    /// What it gives.
    pub capabilities: Vec<Capability>,
}

/// One entry of `src`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Src {
    /// `*`: everyone, tagged nodes included.
    Everyone,
    /// A login name, exactly.
    Login(String),
    /// Tags: the node must carry exactly these (sorted).
    Tags(Vec<String>),
    /// A visible group.
    Group(String),
    /// `(loopback)`: requests from the gateway's own host (development listener).
    Loopback,
}

/// One capability object.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Capability {
    /// Where it stands (`grants[2].app[0]`, `tailnet policy [1]`), for people.
    pub origin: Arc<str>,
    /// The role it gives.
    pub role: Option<Role>,
    /// The models it opens, and the scope of its other fields; empty = it opens none and its fields apply everywhere.
    pub models: Vec<ModelGlob>,
    /// Header lines added to requests in its scope.
    pub add_headers: Vec<(http::HeaderName, http::HeaderValue)>,
    /// What may be kept of bodies in its scope.
    pub capture: Option<CaptureMode>,
    /// Permits reading the metrics.
    pub read_metrics: bool,
}

/// What a caller may do with the gateway itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Role {
    /// Own data.
    User,
    /// Everyone's data and the settings.
    Admin,
}

impl Role {
    /// The word in documents and pages.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::User => "user",
            Self::Admin => "admin",
        }
    }
}

/// A glob on `provider/model`: `*` stays within a segment, `**` spans any number of segments.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ModelGlob {
    text: Arc<str>,
}

impl ModelGlob {
    /// Takes the pattern's text.
    pub fn new(text: impl Into<Arc<str>>) -> Self {
        Self { text: text.into() }
    }

    /// The pattern as written.
    pub fn as_str(&self) -> &str {
        &self.text
    }
}

impl ModelGlob {
    /// Whether the glob covers that model of that provider.
    pub fn matches(&self, provider: &str, model: &str) -> bool {
        fn part(glob: &str, text: &str) -> bool {
            match glob.split_once('*') {
                None => glob == text,
                Some((head, rest)) => text.strip_prefix(head).is_some_and(|text| {
                    (0..=text.len())
                        .filter(|at| text.is_char_boundary(*at))
                        .any(|at| part(rest, &text[at..]))
                }),
            }
        }
        fn all(globs: &[&str], texts: &[&str]) -> bool {
            match (globs, texts) {
                ([], []) => true,
                (["**", rest @ ..], _) => (0..=texts.len()).any(|at| all(rest, &texts[at..])),
                ([glob, globs @ ..], [text, texts @ ..]) => part(glob, text) && all(globs, texts),
                _ => false,
            }
        }
        let globs: Vec<_> = self.text.split('/').collect();
        let texts: Vec<_> = std::iter::once(provider).chain(model.split('/')).collect();
        all(&globs, &texts)
    }
}

impl Capability {
    /// Reads one capability object leniently.
    pub fn from_json(
        origin: impl Into<Arc<str>>,
        value: &serde_json::Value,
    ) -> (Self, Vec<String>) {
        let capability = Self {
            origin: origin.into(),
            role: match value["role"].as_str() {
                Some("admin") => Some(Role::Admin),
                Some("user") => Some(Role::User),
                _ => None,
            },
            models: value["models"]
                .as_str()
                .map(ModelGlob::new)
                .into_iter()
                .collect(),
            read_metrics: value["read_metrics"] == true,
            ..Self::default()
        };
        (capability, Vec::new())
    }
}
