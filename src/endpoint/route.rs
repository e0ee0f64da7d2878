//! From a method and a path to an endpoint.
//!
//! Owns: the order in which paths are told apart. Base URLs are given with and without their version, and both are what the
//! client means: the version may be missing (`/messages`) or doubled (`/v1/v1/messages`), and so may `/bedrock`.
//! In: method, raw path. Out: [`Route`], and the model that the path names, as it is written there.
//! Must not know: what providers make of the path (`provider::target`).

use super::{Dialect, Endpoint, stored};
use percent_encoding::percent_decode_str;
use std::borrow::Cow;

/// What a method and a path ask for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Route {
    /// A model endpoint.
    Model(Endpoint),
    /// The path of a model endpoint with another method.
    WrongMethod(Endpoint),
    /// A WebSocket upgrade on a model endpoint: answered 426, so that clients fall back at once.
    WebSocket(Endpoint),
    /// The list of models, or one of them.
    Models,
    /// An object that a provider stores.
    Stored(Endpoint),
    /// A route of a dialect's API that is known and not offered.
    NotOffered(Dialect),
    /// Not a model endpoint.
    Other,
}

/// Routes of the dialects' APIs that are not offered: they name no model, list what others stored, or run without a grant.
const NOT_OFFERED: [(&str, Dialect); 12] = [
    ("/images", Dialect::OpenaiChat),
    ("/audio", Dialect::OpenaiChat),
    ("/realtime", Dialect::OpenaiChat),
    ("/assistants", Dialect::OpenaiChat),
    ("/threads", Dialect::OpenaiChat),
    ("/vector_stores", Dialect::OpenaiChat),
    ("/batches", Dialect::OpenaiChat),
    ("/uploads", Dialect::OpenaiChat),
    ("/fine_tuning", Dialect::OpenaiChat),
    ("/videos", Dialect::OpenaiChat),
    ("/messages/batches", Dialect::AnthropicMessages),
    ("/complete", Dialect::AnthropicMessages),
];

/// The routes that are known and not offered: what their paths begin with after the version, and whose API that is.
pub const fn not_offered() -> &'static [(&'static str, Dialect)] {
    &NOT_OFFERED
}

/// What a head says about its route beyond method and path.
#[derive(Clone, Copy, Debug, Default)]
pub struct Hints {
    /// A WebSocket is asked for.
    pub upgrade: bool,
    /// A client of Anthropic's API asks (two APIs have `/v1/files`).
    pub anthropic: bool,
}

/// Finds what a request asks for.
pub fn route(method: &http::Method, path: &str, hints: Hints) -> Route {
    use http::Method;
    if leads_elsewhere(path) {
        return Route::Other;
    }
    if let Some(endpoint) = locate(path) {
        return match *method {
            Method::POST => Route::Model(endpoint),
            Method::GET if hints.upgrade => Route::WebSocket(endpoint),
            _ => Route::WrongMethod(endpoint),
        };
    }
    if let Some(endpoint) = stored::locate(path, hints.anthropic) {
        return match stored(endpoint, method, path) {
            Some(_) => Route::Stored(endpoint),
            None => Route::NotOffered(endpoint.dialect()),
        };
    }
    if models_path(path).is_some() {
        return match *method {
            Method::GET | Method::HEAD | Method::OPTIONS => Route::Models,
            _ => Route::Other,
        };
    }
    let bare = unversioned(path);
    NOT_OFFERED
        .iter()
        .find(|(prefix, _)| is_below(bare, prefix))
        .map_or(Route::Other, |(_, dialect)| Route::NotOffered(*dialect))
}

/// Whether a segment of the path is `.` or `..`, in whatever spelling.
///
/// Paths are sent on as they are written. A provider that resolves such segments would arrive at another object or model
/// than the one that was judged: `/v1/conversations/MINE/items/..%2F..%2FSOMEBODYS`.
pub fn leads_elsewhere(path: &str) -> bool {
    /// How often a path may be encoded one time upon another: what still changes then is no client's.
    const DECODED: usize = 3;
    let mut path = Cow::Borrowed(path);
    for _ in 0..DECODED {
        let mut segments = path.split(['/', '\\']);
        if segments.any(|segment| matches!(segment, "." | "..")) {
            return true;
        }
        match percent_decode_str(&path).decode_utf8_lossy() {
            Cow::Borrowed(_) => return false,
            Cow::Owned(decoded) => path = decoded.into(),
        }
    }
    true
}

/// The endpoint of a path.
pub fn locate(path: &str) -> Option<Endpoint> {
    let (_, rest) = split_version(path);
    vertex(rest)
        .or_else(|| bedrock(path))
        .or_else(|| gemini(rest))
        .or_else(|| by_body(path))
}

/// The model that the path names, percent-encoding and all; none for endpoints whose body names it.
pub fn model_in_path(endpoint: Endpoint, path: &str) -> Option<&str> {
    if !endpoint.names_model_in_path() {
        return None;
    }
    match endpoint.dialect() {
        Dialect::BedrockModelInvoke | Dialect::BedrockConverse => {
            bedrock_parts(path).map(|(model, _)| model)
        }
        Dialect::GeminiGenerateContent => {
            let (_, rest) = split_version(path);
            let (model, _) = rest.rsplit_once(':')?;
            // A tuned model's name has its collection in front.
            Some(model.strip_prefix("/models/").unwrap_or(&model[1..]))
        }
        Dialect::GoogleGenerateContent | Dialect::GoogleRawPredict => {
            let (_, rest) = split_version(path);
            vertex_parts(rest).map(|(_, model, _)| model)
        }
        Dialect::AnthropicMessages | Dialect::OpenaiChat | Dialect::OpenaiResponses => None,
    }
}

/// The list of models that a path is, or one model of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ModelsPath<'a> {
    /// Whether the path's version is one that Google's APIs alone have.
    pub beta: bool,
    /// Whose models, on Vertex AI.
    pub publisher: Option<&'a str>,
    /// The model, as it is written there.
    pub model: Option<&'a str>,
}

/// `[/VERSION]/models[/MODEL]`, and the same below a publisher of Vertex AI.
pub fn models_path(path: &str) -> Option<ModelsPath<'_>> {
    let (version, rest) = split_version(path);
    let (publisher, rest) = match below_publishers(rest) {
        Some(below) => {
            let (publisher, rest) = below.split_at(below.find('/')?);
            (Some(publisher).filter(|it| !it.is_empty()), rest)
        }
        None => (None, rest),
    };
    let model = rest.strip_prefix("/models")?;
    if !model.is_empty() && !model.starts_with('/') {
        return None;
    }
    Some(ModelsPath {
        beta: !matches!(version.rsplit('/').next(), Some("v1" | "")),
        publisher,
        model: model.get(1..).filter(|model| !model.is_empty()),
    })
}

/// `/v1`, `/v1beta` and the like in front of a path, the last one of several, and what follows.
pub fn split_version(path: &str) -> (&str, &str) {
    let (mut version, mut rest) = ("", path);
    while let Some((first, tail)) = first_segment(rest)
        && matches!(first, "v1" | "v1beta" | "v1alpha" | "v1beta1")
        && !tail.is_empty()
    {
        version = &rest[..rest.len() - tail.len()];
        rest = tail;
    }
    (version, rest)
}

/// The path without leading `/v1` segments.
pub fn unversioned(path: &str) -> &str {
    let mut rest = path;
    while let Some(tail) = rest.strip_prefix("/v1")
        && tail.starts_with('/')
    {
        rest = tail;
    }
    rest
}

/// `/a/b/c` → `a`, `/b/c`.
fn first_segment(path: &str) -> Option<(&str, &str)> {
    let inner = path.strip_prefix('/')?;
    let end = inner.find('/').unwrap_or(inner.len());
    Some((&inner[..end], &inner[end..]))
}

fn is_below(path: &str, prefix: &str) -> bool {
    path.strip_prefix(prefix)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// `[/projects/P/locations/L]/publishers/PUBLISHER/models/MODEL:VERB` → publisher, model, verb.
fn vertex_parts(rest: &str) -> Option<(&str, &str, &str)> {
    let (publisher, model) = below_publishers(rest)?.split_once("/models/")?;
    let (model, verb) = model.rsplit_once(':')?;
    let one = |segment: &str| !segment.is_empty() && !segment.contains('/');
    (one(publisher) && one(model)).then_some((publisher, model, verb))
}

/// `[/projects/P/locations/L]/publishers/REST` → the rest.
fn below_publishers(rest: &str) -> Option<&str> {
    let mut rest = rest;
    if let Some(project) = rest.strip_prefix("/projects/") {
        let (_, location) = project.split_once("/locations/")?;
        rest = &location[location.find('/')?..];
    }
    rest.strip_prefix("/publishers/")
}

fn vertex(rest: &str) -> Option<Endpoint> {
    let (publisher, model, verb) = vertex_parts(rest)?;
    Some(match (publisher, verb) {
        ("google", "generateContent") => Endpoint::GoogleGenerateContent,
        ("google", "streamGenerateContent") => Endpoint::GoogleStreamGenerateContent,
        ("google", "countTokens") => Endpoint::GoogleCountTokens,
        ("google", "embedContent") => Endpoint::GoogleEmbedContent,
        (_, "rawPredict") if model == "count-tokens" => Endpoint::GoogleRawPredictCountTokens,
        (_, "rawPredict") => Endpoint::GoogleRawPredict,
        (_, "streamRawPredict") => Endpoint::GoogleStreamRawPredict,
        _ => return None,
    })
}

/// `[/bedrock]/model/MODEL/VERB` → model, verb.
fn bedrock_parts(path: &str) -> Option<(&str, &str)> {
    let rest = path.strip_prefix("/bedrock").unwrap_or(path);
    let (model, verb) = rest.strip_prefix("/model/")?.split_once('/')?;
    (!model.is_empty()).then_some((model, verb))
}

fn bedrock(path: &str) -> Option<Endpoint> {
    Some(match bedrock_parts(path)?.1 {
        "invoke" => Endpoint::BedrockInvoke,
        "invoke-with-response-stream" => Endpoint::BedrockInvokeStream,
        "converse" => Endpoint::BedrockConverse,
        "converse-stream" => Endpoint::BedrockConverseStream,
        "count-tokens" => Endpoint::BedrockCountTokens,
        _ => return None,
    })
}

fn gemini(rest: &str) -> Option<Endpoint> {
    let (collection, model) = first_segment(rest)?;
    let (model, verb) = model.strip_prefix('/')?.rsplit_once(':')?;
    let named = !model.is_empty() && !model.contains('/');
    if !named || !matches!(collection, "models" | "tunedModels") {
        return None;
    }
    Some(match verb {
        "generateContent" => Endpoint::GeminiGenerateContent,
        "streamGenerateContent" => Endpoint::GeminiStreamGenerateContent,
        "countTokens" => Endpoint::GeminiCountTokens,
        "embedContent" | "batchEmbedContents" => Endpoint::GeminiEmbedContent,
        _ => return None,
    })
}

/// The endpoints whose path is always the same.
fn by_body(path: &str) -> Option<Endpoint> {
    let bare = unversioned(path);
    // Codex with a subscription, and Foundry's clients, keep the first segment of their provider's base.
    let bare = match bare {
        "/codex/responses" => "/responses",
        _ => bare
            .strip_prefix("/anthropic")
            .filter(|rest| rest.starts_with('/'))
            .map_or(bare, unversioned),
    };
    Some(match bare {
        "/messages" => Endpoint::AnthropicMessages,
        "/messages/count_tokens" => Endpoint::AnthropicCountTokens,
        "/chat/completions" => Endpoint::OpenaiChat,
        "/completions" => Endpoint::OpenaiCompletions,
        "/embeddings" => Endpoint::OpenaiEmbeddings,
        "/moderations" => Endpoint::OpenaiModerations,
        "/responses" => Endpoint::OpenaiResponses,
        "/responses/compact" => Endpoint::OpenaiCompact,
        "/responses/input_tokens" => Endpoint::OpenaiInputTokens,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::Method;

    /// Paths as real clients send them, the endpoint, and the model as it is written there.
    const PATHS: [(&str, Endpoint, &str); 37] = [
        ("/v1/messages", Endpoint::AnthropicMessages, ""),
        ("/messages", Endpoint::AnthropicMessages, ""),
        ("/v1/v1/messages", Endpoint::AnthropicMessages, ""),
        ("/anthropic/v1/messages", Endpoint::AnthropicMessages, ""),
        (
            "/v1/messages/count_tokens",
            Endpoint::AnthropicCountTokens,
            "",
        ),
        ("/v1/chat/completions", Endpoint::OpenaiChat, ""),
        ("/chat/completions", Endpoint::OpenaiChat, ""),
        ("/v1/completions", Endpoint::OpenaiCompletions, ""),
        ("/v1/embeddings", Endpoint::OpenaiEmbeddings, ""),
        ("/v1/moderations", Endpoint::OpenaiModerations, ""),
        ("/v1/responses", Endpoint::OpenaiResponses, ""),
        ("/responses", Endpoint::OpenaiResponses, ""),
        ("/codex/responses", Endpoint::OpenaiResponses, ""),
        ("/v1/responses/compact", Endpoint::OpenaiCompact, ""),
        (
            "/v1/responses/input_tokens",
            Endpoint::OpenaiInputTokens,
            "",
        ),
        (
            "/v1beta/models/gemini-2.5-pro:generateContent",
            Endpoint::GeminiGenerateContent,
            "gemini-2.5-pro",
        ),
        (
            "/v1/models/gemini-2.5-pro:streamGenerateContent",
            Endpoint::GeminiStreamGenerateContent,
            "gemini-2.5-pro",
        ),
        (
            "/models/gemini-2.5-pro:streamGenerateContent",
            Endpoint::GeminiStreamGenerateContent,
            "gemini-2.5-pro",
        ),
        (
            "/v1alpha/models/gemini-2.5-pro:countTokens",
            Endpoint::GeminiCountTokens,
            "gemini-2.5-pro",
        ),
        (
            "/v1/models/gemini-embedding-001:batchEmbedContents",
            Endpoint::GeminiEmbedContent,
            "gemini-embedding-001",
        ),
        (
            "/v1beta/tunedModels/mine:generateContent",
            Endpoint::GeminiGenerateContent,
            "tunedModels/mine",
        ),
        (
            "/v1beta1/projects/p/locations/us-central1/publishers/google/models/gemini-2.5-pro:generateContent",
            Endpoint::GoogleGenerateContent,
            "gemini-2.5-pro",
        ),
        (
            "/v1beta1/publishers/google/models/gemini-2.5-pro:streamGenerateContent",
            Endpoint::GoogleStreamGenerateContent,
            "gemini-2.5-pro",
        ),
        (
            "/v1/projects/p/locations/global/publishers/google/models/gemini-2.5-pro:countTokens",
            Endpoint::GoogleCountTokens,
            "gemini-2.5-pro",
        ),
        (
            "/v1/projects/p/locations/l/publishers/google/models/gemini-embedding-001:embedContent",
            Endpoint::GoogleEmbedContent,
            "gemini-embedding-001",
        ),
        (
            "/v1/projects/p/locations/us-east5/publishers/anthropic/models/claude-sonnet-4-5@20250929:rawPredict",
            Endpoint::GoogleRawPredict,
            "claude-sonnet-4-5@20250929",
        ),
        (
            "/projects/p/locations/us-east5/publishers/anthropic/models/claude-sonnet-4-5%4020250929:streamRawPredict",
            Endpoint::GoogleStreamRawPredict,
            "claude-sonnet-4-5%4020250929",
        ),
        (
            "/v1/projects/p/locations/l/publishers/mistralai/models/mistral-large:rawPredict",
            Endpoint::GoogleRawPredict,
            "mistral-large",
        ),
        (
            "/v1/projects/p/locations/l/publishers/anthropic/models/count-tokens:rawPredict",
            Endpoint::GoogleRawPredictCountTokens,
            "",
        ),
        (
            "/bedrock/model/us.anthropic.claude-sonnet-4-5-20250929-v1:0/invoke",
            Endpoint::BedrockInvoke,
            "us.anthropic.claude-sonnet-4-5-20250929-v1:0",
        ),
        (
            "/model/us.anthropic.claude-sonnet-4-5-20250929-v1%3A0/converse",
            Endpoint::BedrockConverse,
            "us.anthropic.claude-sonnet-4-5-20250929-v1%3A0",
        ),
        (
            "/bedrock/model/arn:aws:bedrock:us-east-1:1:application-inference-profile%2Fabc/invoke-with-response-stream",
            Endpoint::BedrockInvokeStream,
            "arn:aws:bedrock:us-east-1:1:application-inference-profile%2Fabc",
        ),
        (
            "/bedrock/model/m/converse-stream",
            Endpoint::BedrockConverseStream,
            "m",
        ),
        (
            "/bedrock/model/m/count-tokens",
            Endpoint::BedrockCountTokens,
            "m",
        ),
        ("/v1/v1/responses", Endpoint::OpenaiResponses, ""),
        (
            "/v1/v1beta/models/gemini-2.5-pro:generateContent",
            Endpoint::GeminiGenerateContent,
            "gemini-2.5-pro",
        ),
        ("/v1/anthropic/v1/messages", Endpoint::AnthropicMessages, ""),
    ];

    #[test]
    fn finds_every_endpoint_and_the_model_that_its_path_names() {
        for (path, endpoint, model) in PATHS {
            assert_eq!(
                route(&Method::POST, path, Hints::default()),
                Route::Model(endpoint),
                "{path}"
            );
            let named = Some(model).filter(|model| !model.is_empty());
            assert_eq!(model_in_path(endpoint, path), named, "{path}");
        }
    }

    #[test]
    fn the_advertised_paths_lead_to_their_endpoints() {
        for endpoint in Endpoint::ALL {
            if endpoint.work() == super::super::Work::Store {
                continue;
            }
            assert_eq!(locate(endpoint.path()), Some(endpoint));
        }
    }

    #[test]
    fn finds_the_list_of_models_and_one_of_them() {
        for path in [
            "/v1/models",
            "/models",
            "/v1/models/a/b",
            "/v1beta/models",
            "/v1beta/models/gemini-2.5-pro",
            "/v1beta1/publishers/google/models",
            "/v1/projects/p/locations/l/publishers/anthropic/models/claude-haiku-4-5",
        ] {
            assert_eq!(
                route(&Method::GET, path, Hints::default()),
                Route::Models,
                "{path}"
            );
            assert_eq!(
                route(&Method::POST, path, Hints::default()),
                Route::Other,
                "{path}"
            );
        }
        assert_eq!(
            route(&Method::GET, "/v1/modelsx", Hints::default()),
            Route::Other
        );
    }

    #[test]
    fn the_list_of_models_says_whose_it_is() {
        let list = |beta, publisher, model| {
            Some(ModelsPath {
                beta,
                publisher,
                model,
            })
        };
        for (path, expected) in [
            ("/v1/models", list(false, None, None)),
            ("/models/", list(false, None, None)),
            ("/v1/v1/models/a/b", list(false, None, Some("a/b"))),
            ("/v1beta/models", list(true, None, None)),
            ("/v1alpha/models/m", list(true, None, Some("m"))),
            (
                "/v1beta1/publishers/google/models",
                list(true, Some("google"), None),
            ),
            (
                "/v1/projects/p/locations/l/publishers/google/models/m",
                list(false, Some("google"), Some("m")),
            ),
            ("/v1/modelsx", None),
            ("/v1/publishers/google", None),
            ("/v1/projects/p/models", None),
        ] {
            assert_eq!(models_path(path), expected, "{path}");
        }
    }

    #[test]
    fn tells_other_methods_upgrades_and_paths_apart() {
        assert_eq!(
            route(
                &Method::GET,
                "/v1/responses",
                Hints {
                    upgrade: true,
                    ..Hints::default()
                }
            ),
            Route::WebSocket(Endpoint::OpenaiResponses)
        );
        assert_eq!(
            route(&Method::GET, "/v1/messages", Hints::default()),
            Route::WrongMethod(Endpoint::AnthropicMessages)
        );
        for path in ["/v1/images/generations", "/v1/batches", "/audio/speech"] {
            assert_eq!(
                route(&Method::POST, path, Hints::default()),
                Route::NotOffered(Dialect::OpenaiChat),
                "{path}"
            );
        }
        for path in [
            "/",
            "/ui/",
            "/v1",
            "/v1/",
            "/v1/messages/",
            "/v1/messages/x",
            "/v12/messages",
            "/V1/messages",
            "/bedrock/model//invoke",
            "/bedrock/model/m/other",
            "/bedrock/model/m/n/invoke",
            "/model/m",
            "/v1beta/models/:generateContent",
            "/v1beta/models/a/b:generateContent",
            "/v1beta/models/m:other",
            "/v1/projects/p/publishers/google/models/m:generateContent",
            "/v1/projects/p/locations/l/publishers/google/models/m:rawPredict2",
            "/bedrockx/model/m/invoke",
        ] {
            assert_eq!(
                route(&Method::POST, path, Hints::default()),
                Route::Other,
                "{path}"
            );
        }
    }

    #[test]
    fn a_path_that_leads_elsewhere_is_no_model_path() {
        for path in [
            "/v1/conversations/conv_1/items/..%2F..%2Fconv_2",
            "/v1/conversations/conv_1/items/..%252f..%252Fconv_2",
            "/v1/conversations/conv_1/items/..",
            "/v1/conversations/conv_1/items/%2e%2E",
            "/v1/conversations/conv_1/items/..%5c..%5Cconv_2",
            "/v1/responses/resp_1/./cancel",
            "/v1/projects/../locations/l/publishers/google/models/m:generateContent",
            "/v1/projects/p/locations/../publishers/google/models/m:generateContent",
            "/model/%2e%2e/invoke",
            "/v1/models/..",
            "/v1/files/%25252525",
        ] {
            for method in [Method::GET, Method::POST, Method::DELETE] {
                let route = route(&method, path, Hints::default());
                assert_eq!(route, Route::Other, "{method} {path}");
            }
        }
        for path in [
            "/v1/files/file-..x",
            "/v1/files/a..b",
            "/v1/models/gemini-2.5-pro:generateContent",
            "/model/arn%3Aaws%3Abedrock%3Aus-east-1%3A1%3Ainference-profile%2Fabc/invoke",
            "/v1/files/100%",
            "/v1/files/%ff",
        ] {
            assert!(!leads_elsewhere(path), "{path}");
        }
    }
}
