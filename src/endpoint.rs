//! The wire formats and the routes that the gateway knows.
//!
//! Owns: the closed sets [`Dialect`] and [`Endpoint`] and the table that turns a method and a path into an endpoint.
//! In: method and raw path. Out: an endpoint.
//! Must not know: providers, callers, bodies. A new dialect breaks every `match` until it is handled.

use serde::{Deserialize, Serialize};

/// The shape of requests, streams, usage and errors.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Dialect {
    /// Anthropic messages.
    AnthropicMessages,
    /// `OpenAI` chat completions.
    OpenaiChat,
    /// `OpenAI` responses.
    OpenaiResponses,
}

impl Dialect {
    /// The name in config (compatibility flag), records, metrics and pages.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::AnthropicMessages => "anthropic_messages",
            Self::OpenaiChat => "openai_chat",
            Self::OpenaiResponses => "openai_responses",
        }
    }
}

/// One route to a model.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Endpoint {
    /// `POST /v1/messages`
    AnthropicMessages,
    /// `POST /v1/messages/count_tokens`: costs nothing and starts no session.
    AnthropicCountTokens,
    /// `POST /v1/chat/completions`
    OpenaiChat,
    /// `POST /v1/responses`
    OpenaiResponses,
}

impl Endpoint {
    /// Every endpoint, for tables and tests.
    pub const ALL: [Self; 4] = [
        Self::AnthropicMessages,
        Self::AnthropicCountTokens,
        Self::OpenaiChat,
        Self::OpenaiResponses,
    ];

    /// The dialect that this route speaks.
    pub const fn dialect(self) -> Dialect {
        match self {
            Self::AnthropicMessages | Self::AnthropicCountTokens => Dialect::AnthropicMessages,
            Self::OpenaiChat => Dialect::OpenaiChat,
            Self::OpenaiResponses => Dialect::OpenaiResponses,
        }
    }

    /// The name in records, metrics and pages.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::AnthropicMessages => "anthropic_messages",
            Self::AnthropicCountTokens => "anthropic_count_tokens",
            Self::OpenaiChat => "openai_chat",
            Self::OpenaiResponses => "openai_responses",
        }
    }

    /// The canonical path, as clients see it advertised.
    pub const fn path(self) -> &'static str {
        match self {
            Self::AnthropicMessages => "/v1/messages",
            Self::AnthropicCountTokens => "/v1/messages/count_tokens",
            Self::OpenaiChat => "/v1/chat/completions",
            Self::OpenaiResponses => "/v1/responses",
        }
    }

    /// Whether the request generates tokens (a token count does not).
    pub const fn generates(self) -> bool {
        !matches!(self, Self::AnthropicCountTokens)
    }
}

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
    /// Not a model endpoint.
    Other,
}

/// Finds the endpoint of a request.
///
/// The version segment may be missing (`/messages`) or doubled (`/v1/v1/messages`): base URLs are given with and without
/// it, and both are what the client means.
pub fn route(method: &http::Method, path: &str, upgrade: bool) -> Route {
    let bare = unversioned(path);
    if bare == "/models" || bare.starts_with("/models/") {
        return match *method {
            http::Method::GET | http::Method::HEAD | http::Method::OPTIONS => Route::Models,
            _ => Route::Other,
        };
    }
    let Some(endpoint) = Endpoint::ALL
        .into_iter()
        .find(|endpoint| unversioned(endpoint.path()) == bare)
    else {
        return Route::Other;
    };
    match *method {
        http::Method::POST => Route::Model(endpoint),
        http::Method::GET if upgrade => Route::WebSocket(endpoint),
        _ => Route::WrongMethod(endpoint),
    }
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

#[cfg(test)]
mod tests {
    use super::*;
    use http::Method;

    #[test]
    fn finds_every_endpoint_with_and_without_its_version() {
        for endpoint in Endpoint::ALL {
            let bare = unversioned(endpoint.path());
            for path in [
                endpoint.path().to_owned(),
                bare.to_owned(),
                format!("/v1/v1{bare}"),
            ] {
                assert_eq!(
                    route(&Method::POST, &path, false),
                    Route::Model(endpoint),
                    "{path}"
                );
            }
        }
    }

    #[test]
    fn finds_the_list_of_models_and_one_of_them() {
        for path in ["/v1/models", "/models", "/v1/models/a/b"] {
            assert_eq!(route(&Method::GET, path, false), Route::Models, "{path}");
            assert_eq!(route(&Method::POST, path, false), Route::Other, "{path}");
        }
        assert_eq!(route(&Method::GET, "/v1/modelsx", false), Route::Other);
    }

    #[test]
    fn tells_other_methods_upgrades_and_paths_apart() {
        assert_eq!(
            route(&Method::GET, "/v1/responses", true),
            Route::WebSocket(Endpoint::OpenaiResponses)
        );
        assert_eq!(
            route(&Method::GET, "/v1/messages", false),
            Route::WrongMethod(Endpoint::AnthropicMessages)
        );
        for path in [
            "/",
            "/ui/",
            "/v1",
            "/v1/",
            "/v1/messages/",
            "/v1/messages/x",
            "/v12/messages",
            "/V1/messages",
        ] {
            assert_eq!(route(&Method::POST, path, false), Route::Other, "{path}");
        }
    }
}
