//! What programs ask before they ask a model: lists of models and providers, and probes.
//!
//! Owns: [`Ask`], which of these a request is, and the one answer to it. `openai`, `anthropic` and `google` write the list of
//! models in the shape that the client knows, `providers` that of providers, `probes` the table of everything else, and
//! `conditional` lets clients ask whether something has changed. In: the configuration, a caller, a request's head. Out: a
//! response, or the failure to refuse with. Everything is of `policy::visible_models`, so it names what a request would be
//! let through for, and nothing else. Must not know: connections, pages, requests to models.

mod anthropic;
mod conditional;
mod docs;
mod google;
mod openai;
mod page;
mod probes;
mod providers;

pub(super) use docs::render_markdown;
pub(super) use probes::discard;

use crate::{
    config::{Config, grant::Role},
    endpoint::{self, Dialect, ModelsPath, Route},
    identity::Caller,
    policy::{self, Denied, VisibleModel},
    proxy::{body::Body, error::Failure},
};
use http::{HeaderMap, Method, Response, request::Parts};
use page::Page;
use percent_encoding::percent_decode_str;
use probes::Probe;
use serde_json::{Value, json};
use std::sync::Arc;

/// Characters of an unknown model's name that are repeated.
const NAME_TOLD: usize = 200;

/// The head lines that choose the shape of a list.
const CHOOSING: &str = "anthropic-version, x-goog-api-client, x-goog-api-key";

/// What a program wants to know.
#[derive(Clone, Copy, Debug)]
pub(super) enum Ask {
    /// The list of models, or one of them.
    Models,
    /// `/api/providers`
    Providers,
    /// `/api/connectors`
    Connectors,
    /// Something of the table of probes.
    Probe(&'static Probe),
}

impl Ask {
    /// Which of these a request is, if it is one.
    pub(super) fn of(route: Route, method: &Method, path: &str) -> Option<Self> {
        let reads = matches!(*method, Method::GET | Method::HEAD);
        match (route, path) {
            (Route::Models, _) => Some(Self::Models),
            (Route::Other, "/api/providers") if reads => Some(Self::Providers),
            (Route::Other, "/api/connectors") if reads => Some(Self::Connectors),
            (Route::Other, _) => probes::find(method, path).map(Self::Probe),
            _ => None,
        }
    }

    /// Method and path of every one of these: for tables and tests.
    pub(super) fn every() -> Vec<(Method, &'static str)> {
        let lists = [Self::Models, Self::Providers, Self::Connectors];
        let paths = |ask: Self| match ask {
            Self::Models => &[
                "/v1/models",
                "/v1/models/{model}",
                "/v1beta/models",
                "/v1beta/models/{model}",
                "/v1beta1/publishers/google/models",
                "/v1beta1/publishers/anthropic/models",
            ][..],
            Self::Providers => &["/api/providers"],
            Self::Connectors => &["/api/connectors"],
            // The table of probes has theirs.
            Self::Probe(_) => &[],
        };
        let lists = lists.into_iter().flat_map(paths);
        let lists = lists.map(|path| (Method::GET, *path));
        let probes = probes::PROBES.iter().flat_map(|probe| {
            let methods = probe.methods.iter();
            methods.map(|method| (method.clone(), probe.path))
        });
        lists.chain(probes).collect()
    }

    /// The dialect in whose words a refusal is; none for the gateway's own.
    pub(super) fn dialect(self, path: &str, head: &HeaderMap) -> Option<Dialect> {
        match self {
            Self::Models => Some(Shape::of(path, head).dialect()),
            Self::Providers | Self::Connectors => None,
            Self::Probe(probe) => probe.dialect(),
        }
    }

    /// The path in the table of probes, if it is of that.
    pub(super) fn probe(self) -> Option<&'static str> {
        match self {
            Self::Probe(probe) => Some(probe.path),
            Self::Models | Self::Providers | Self::Connectors => None,
        }
    }
}

/// Answers.
pub(super) fn answer(
    config: &Config,
    caller: &Arc<Caller>,
    ask: Ask,
    parts: &Parts,
) -> Result<Response<Body>, Failure> {
    let (role, _) = policy::role(config, caller).ok_or(Failure::Denied(Denied::NoRole))?;
    match ask {
        Ask::Models => {
            let list = models(config, caller, parts)?;
            Ok(conditional::json(parts, &list, Some(CHOOSING)))
        }
        Ask::Providers if config.gateway.providers_for_admins_only && role < Role::Admin => {
            Err(Failure::Denied(Denied::AdminsOnly))
        }
        Ask::Providers => {
            let list = providers::list(&policy::visible_models(config, caller));
            Ok(conditional::json(parts, &list, None))
        }
        // There are none; clients that ask must not take this for a failure.
        Ask::Connectors => Ok(conditional::json(parts, &json!({"connectors": []}), None)),
        Ask::Probe(probe) => probe.answer(parts),
    }
}

/// The list, or the model that the path names.
fn models(config: &Config, caller: &Arc<Caller>, parts: &Parts) -> Result<Value, Failure> {
    let path = parts.uri.path();
    let shape = Shape::of(path, &parts.headers);
    let visible = policy::visible_models(config, caller);
    let visible: Vec<_> = visible
        .iter()
        .filter(|model| shape.speaks(&model.dialects))
        .collect();
    let Some(name) = named(path) else {
        return shape.list(config, &visible, parts.uri.query().unwrap_or(""));
    };
    let is_it = |model: &&&VisibleModel| {
        let (provider, bare) = (&*model.provider.id, &*model.model);
        bare == name || name.split_once('/') == Some((provider, bare))
    };
    match visible.iter().find(is_it) {
        Some(model) => Ok(shape.row(config, model)),
        None => Err(Failure::Denied(Denied::NoModel {
            model: name.chars().take(NAME_TOLD).collect(),
            nearest: Vec::new(),
        })),
    }
}

/// The model of `/v1/models/MODEL`; clients write a slash in its name with and without encoding.
fn named(path: &str) -> Option<String> {
    let name = endpoint::models_path(path)?.model?;
    Some(percent_decode_str(name).decode_utf8_lossy().into_owned())
}

/// Whose list the client expects: several APIs have the same path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Shape {
    Anthropic,
    Gemini,
    Openai,
    /// Of Google's own models on Vertex AI.
    VertexGoogle,
    /// Of other publishers' models there.
    VertexOther,
}

impl Shape {
    fn of(path: &str, head: &HeaderMap) -> Self {
        let list = endpoint::models_path(path).unwrap_or(ModelsPath {
            beta: false,
            publisher: None,
            model: None,
        });
        let google = head.contains_key("x-goog-api-key") || head.contains_key("x-goog-api-client");
        match list.publisher {
            Some("google") => Self::VertexGoogle,
            Some(_) => Self::VertexOther,
            None if list.beta || google => Self::Gemini,
            None if head.contains_key("anthropic-version") => Self::Anthropic,
            None => Self::Openai,
        }
    }

    const fn dialect(self) -> Dialect {
        match self {
            Self::Anthropic => Dialect::AnthropicMessages,
            Self::Gemini => Dialect::GeminiGenerateContent,
            Self::Openai => Dialect::OpenaiChat,
            Self::VertexGoogle => Dialect::GoogleGenerateContent,
            Self::VertexOther => Dialect::GoogleRawPredict,
        }
    }

    /// The lists of one dialect's clients have that dialect's models alone; `OpenAI`'s is everybody's and names the paths.
    fn speaks(self, dialects: &[Dialect]) -> bool {
        self == Self::Openai || dialects.contains(&self.dialect())
    }

    fn list(
        self,
        config: &Config,
        visible: &[&VisibleModel],
        query: &str,
    ) -> Result<Value, Failure> {
        let rows = |page: &Page<'_>| -> Vec<Value> {
            let models = page.models.iter();
            models.map(|model| self.row(config, model)).collect()
        };
        match self {
            Self::Openai => Ok(openai::list(config, visible, query)),
            Self::Anthropic => {
                let page = Page::anthropic(visible, query)?;
                Ok(anthropic::list(&page, &rows(&page)))
            }
            Self::Gemini => {
                let page = Page::google(visible, query)?;
                Ok(google::list("models", &page, &rows(&page)))
            }
            Self::VertexGoogle | Self::VertexOther => {
                let page = Page::google(visible, query)?;
                Ok(google::list("publisherModels", &page, &rows(&page)))
            }
        }
    }

    fn row(self, config: &Config, model: &VisibleModel) -> Value {
        match self {
            Self::Anthropic => anthropic::row(model),
            Self::Gemini => google::row(config, model),
            Self::Openai => openai::row(config, model),
            Self::VertexGoogle => google::publisher_row("google", model),
            Self::VertexOther => google::publisher_row("anthropic", model),
        }
    }
}

#[cfg(test)]
mod tests;
