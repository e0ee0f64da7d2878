//! Grants: who may do what, in one form for the document and the tailnet policy.
//!
//! Owns: [`Grant`], [`Capability`], [`Role`] and the pattern on `provider/model`. `capability` reads capability JSON.
//! In: checked values from the document, or capability JSON from `WhoIs`. Out: values that `policy` evaluates.
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
    /// A login name, exactly; or a directory group's e-mail address, which looks the same.
    Login(String),
    /// Tags: the node must carry exactly these (sorted).
    Tags(Vec<String>),
    /// A visible group, as written: `group:engineering`.
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
    /// Permits reading prices.
    pub read_pricing: bool,
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

/// A pattern on `provider/model`.
///
/// As a glob, `*` stays within one part between slashes and `**` spans any number of parts. A provider's id is always one
/// part, even if it contains a slash. The older form names a provider and a model exactly, or everything.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ModelGlob {
    text: Arc<str>,
    form: Form,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Form {
    /// `text` is a glob.
    Glob,
    /// Names; none = all.
    Exact {
        provider: Option<Arc<str>>,
        model: Option<Arc<str>>,
    },
}

impl ModelGlob {
    /// Takes the pattern's text.
    pub fn new(text: impl Into<Arc<str>>) -> Self {
        Self {
            text: text.into(),
            form: Form::Glob,
        }
    }

    /// Names a provider and a model, in which no character is special; none = all.
    pub fn exact(provider: Option<&str>, model: Option<&str>) -> Self {
        let text = format!("{}/{}", provider.unwrap_or("*"), model.unwrap_or("**"));
        Self {
            text: text.into(),
            form: Form::Exact {
                provider: provider.map(Into::into),
                model: model.map(Into::into),
            },
        }
    }

    /// The pattern, for people.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Whether it opens this model of this provider.
    pub fn matches(&self, provider: &str, model: &str) -> bool {
        match &self.form {
            Form::Glob => wild(
                self.text.split('/'),
                std::iter::once(provider).chain(model.split('/')),
                |pattern| *pattern == "**",
                |pattern, part| part_matches(pattern, part),
            ),
            Form::Exact {
                provider: wanted_provider,
                model: wanted_model,
            } => {
                wanted_provider
                    .as_deref()
                    .is_none_or(|wanted| wanted == provider)
                    && wanted_model.as_deref().is_none_or(|wanted| wanted == model)
            }
        }
    }

    /// Whether it could open a model of this provider.
    pub fn names_provider(&self, provider: &str) -> bool {
        match &self.form {
            Form::Glob => {
                let first = self.text.split('/').next().unwrap_or_default();
                first == "**" || part_matches(first, provider)
            }
            Form::Exact {
                provider: wanted, ..
            } => wanted.as_deref().is_none_or(|wanted| wanted == provider),
        }
    }

    /// The part that names the provider.
    pub(crate) fn provider_part(&self) -> &str {
        match &self.form {
            Form::Glob => self.text.split('/').next().unwrap_or_default(),
            Form::Exact { provider, .. } => provider.as_deref().unwrap_or("*"),
        }
    }
}

/// Whether one part between slashes matches, where `*` is any run of characters.
fn part_matches(pattern: &str, part: &str) -> bool {
    wild(
        pattern.chars(),
        part.chars(),
        |letter| *letter == '*',
        |pattern, letter| pattern == letter,
    )
}

/// Matches a sequence against a pattern in which a star stands for any run of items.
///
/// The last star takes one item more each time the rest does not fit, so the work is bounded by the product of the lengths.
fn wild<P, T>(
    mut pattern: P,
    mut text: T,
    is_star: impl Fn(&P::Item) -> bool,
    same: impl Fn(&P::Item, &T::Item) -> bool,
) -> bool
where
    P: Iterator + Clone,
    T: Iterator + Clone,
{
    // What follows the last star, and the text that it has left to it.
    let mut last_star: Option<(P, T)> = None;
    loop {
        let mut ahead = pattern.clone();
        let wanted = ahead.next();
        if wanted.as_ref().is_some_and(&is_star) {
            pattern = ahead;
            last_star = Some((pattern.clone(), text.clone()));
            continue;
        }
        let mut rest = text.clone();
        match (wanted, rest.next()) {
            (None, None) => return true,
            (Some(wanted), Some(item)) if same(&wanted, &item) => {
                pattern = ahead;
                text = rest;
            }
            _ => {
                let Some((after, taken)) = &mut last_star else {
                    return false;
                };
                if taken.next().is_none() {
                    return false;
                }
                pattern = after.clone();
                text = taken.clone();
            }
        }
    }
}

#[cfg(test)]
mod tests;
