//! The wire formats and the routes that the gateway knows.
//!
//! Owns: the closed sets [`Dialect`] and [`Endpoint`] with one row of facts for each endpoint, and (`route`) how a method
//! and a path lead to one. In: method and raw path. Out: an endpoint, and the model where the path names it.
//! Must not know: providers, callers, bodies. A new dialect breaks every `match` until it is handled.

mod route;
mod stored;

pub use route::{
    Hints, ModelsPath, Route, leads_elsewhere, locate, model_in_path, models_path, not_offered,
    route, split_version, unversioned,
};
pub use stored::{Action, STORED, Stored, stored};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The shape of requests, streams, usage and errors.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Dialect {
    /// Anthropic messages.
    AnthropicMessages,
    /// `OpenAI` chat completions, and what belongs to them: completions, embeddings, moderations.
    OpenaiChat,
    /// `OpenAI` responses, and the objects that they are stored with.
    OpenaiResponses,
    /// Gemini's own API.
    GeminiGenerateContent,
    /// Gemini on Vertex AI.
    GoogleGenerateContent,
    /// Claude, and other publishers' models, on Vertex AI.
    GoogleRawPredict,
    /// Bedrock's `InvokeModel`: the bodies are the model family's own.
    BedrockModelInvoke,
    /// Bedrock's `Converse`.
    BedrockConverse,
}

impl Dialect {
    /// Every dialect, for tables and tests.
    pub const ALL: [Self; 8] = [
        Self::AnthropicMessages,
        Self::OpenaiChat,
        Self::OpenaiResponses,
        Self::GeminiGenerateContent,
        Self::GoogleGenerateContent,
        Self::GoogleRawPredict,
        Self::BedrockModelInvoke,
        Self::BedrockConverse,
    ];

    /// The name in config (compatibility flag), records, metrics and pages.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::AnthropicMessages => "anthropic_messages",
            Self::OpenaiChat => "openai_chat",
            Self::OpenaiResponses => "openai_responses",
            Self::GeminiGenerateContent => "gemini_generate_content",
            Self::GoogleGenerateContent => "google_generate_content",
            Self::GoogleRawPredict => "google_raw_predict",
            Self::BedrockModelInvoke => "bedrock_model_invoke",
            Self::BedrockConverse => "bedrock_converse",
        }
    }

    /// The endpoint that stands for the dialect where one is advertised.
    pub const fn main_endpoint(self) -> Endpoint {
        match self {
            Self::AnthropicMessages => Endpoint::AnthropicMessages,
            Self::OpenaiChat => Endpoint::OpenaiChat,
            Self::OpenaiResponses => Endpoint::OpenaiResponses,
            Self::GeminiGenerateContent => Endpoint::GeminiGenerateContent,
            Self::GoogleGenerateContent => Endpoint::GoogleGenerateContent,
            Self::GoogleRawPredict => Endpoint::GoogleRawPredict,
            Self::BedrockModelInvoke => Endpoint::BedrockInvoke,
            Self::BedrockConverse => Endpoint::BedrockConverse,
        }
    }
}

/// What a request to an endpoint makes the provider do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Work {
    /// A turn of a conversation: tokens in, tokens out.
    Turn,
    /// Tokens in, and numbers or marks out: it is paid for, and is part of no conversation.
    Judge,
    /// Counting tokens: it costs nothing and starts no session.
    Count,
    /// Keeping, showing or deleting something that the provider stores.
    Store,
}

/// One route to a model.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum Endpoint {
    /// `POST /v1/messages`
    AnthropicMessages,
    /// `POST /v1/messages/count_tokens`
    AnthropicCountTokens,
    /// `/v1/files` of Anthropic
    AnthropicFiles,
    /// `POST /v1/chat/completions`
    OpenaiChat,
    /// `POST /v1/completions`
    OpenaiCompletions,
    /// `POST /v1/embeddings`
    OpenaiEmbeddings,
    /// `POST /v1/moderations`
    OpenaiModerations,
    /// `POST /v1/responses`
    OpenaiResponses,
    /// `POST /v1/responses/compact`
    OpenaiCompact,
    /// `POST /v1/responses/input_tokens`
    OpenaiInputTokens,
    /// `/v1/responses/ID`, `/v1/conversations`, `/v1/files`
    OpenaiStored,
    /// `POST /v1beta/models/MODEL:generateContent`
    GeminiGenerateContent,
    /// `POST /v1beta/models/MODEL:streamGenerateContent`
    GeminiStreamGenerateContent,
    /// `POST /v1beta/models/MODEL:countTokens`
    GeminiCountTokens,
    /// `POST /v1beta/models/MODEL:embedContent` and `:batchEmbedContents`
    GeminiEmbedContent,
    /// `/v1beta/cachedContents`, `/v1beta/files`, `/upload/v1beta/files`
    GeminiStored,
    /// `POST …/publishers/google/models/MODEL:generateContent`
    GoogleGenerateContent,
    /// `POST …/publishers/google/models/MODEL:streamGenerateContent`
    GoogleStreamGenerateContent,
    /// `POST …/publishers/google/models/MODEL:countTokens`
    GoogleCountTokens,
    /// `POST …/publishers/google/models/MODEL:embedContent`
    GoogleEmbedContent,
    /// `POST …/publishers/anthropic/models/MODEL:rawPredict`
    GoogleRawPredict,
    /// `POST …/publishers/anthropic/models/MODEL:streamRawPredict`
    GoogleStreamRawPredict,
    /// `POST …/publishers/anthropic/models/count-tokens:rawPredict`
    GoogleRawPredictCountTokens,
    /// `POST /bedrock/model/MODEL/invoke`
    BedrockInvoke,
    /// `POST /bedrock/model/MODEL/invoke-with-response-stream`
    BedrockInvokeStream,
    /// `POST /bedrock/model/MODEL/converse`
    BedrockConverse,
    /// `POST /bedrock/model/MODEL/converse-stream`
    BedrockConverseStream,
    /// `POST /bedrock/model/MODEL/count-tokens`
    BedrockCountTokens,
}

/// The facts of one endpoint.
struct Row {
    endpoint: Endpoint,
    name: &'static str,
    dialect: Dialect,
    path: &'static str,
    work: Work,
    streams: Streams,
}

/// What says whether the answer is a stream.
#[derive(Clone, Copy)]
enum Streams {
    /// `stream` in the body.
    Body,
    /// The route: it is one.
    Yes,
    /// The route: it is none.
    No,
}

/// The paths of models on Vertex AI, as they are advertised.
macro_rules! vertex {
    ($publisher:literal, $verb:literal) => {
        concat!(
            "/v1/projects/{project}/locations/{region}/publishers/",
            $publisher,
            "/models/",
            $verb
        )
    };
}

/// One row an endpoint, in the order of the enum.
#[rustfmt::skip]
const ROWS: [Row; 28] = {
    use Dialect as D;
    use Endpoint as E;
    use Streams::{Body, No, Yes};
    use Work::{Count, Judge, Store, Turn};
    const fn row(endpoint: Endpoint, name: &'static str, dialect: Dialect, path: &'static str, work: Work, streams: Streams) -> Row {
        Row { endpoint, name, dialect, path, work, streams }
    }
    [
        row(E::AnthropicMessages, "anthropic_messages", D::AnthropicMessages, "/v1/messages", Turn, Body),
        row(E::AnthropicCountTokens, "anthropic_count_tokens", D::AnthropicMessages, "/v1/messages/count_tokens", Count, No),
        row(E::AnthropicFiles, "anthropic_files", D::AnthropicMessages, "/v1/files", Store, No),
        row(E::OpenaiChat, "openai_chat", D::OpenaiChat, "/v1/chat/completions", Turn, Body),
        row(E::OpenaiCompletions, "openai_completions", D::OpenaiChat, "/v1/completions", Turn, Body),
        row(E::OpenaiEmbeddings, "openai_embeddings", D::OpenaiChat, "/v1/embeddings", Judge, No),
        row(E::OpenaiModerations, "openai_moderations", D::OpenaiChat, "/v1/moderations", Judge, No),
        row(E::OpenaiResponses, "openai_responses", D::OpenaiResponses, "/v1/responses", Turn, Body),
        row(E::OpenaiCompact, "openai_compact", D::OpenaiResponses, "/v1/responses/compact", Turn, No),
        row(E::OpenaiInputTokens, "openai_input_tokens", D::OpenaiResponses, "/v1/responses/input_tokens", Count, No),
        row(E::OpenaiStored, "openai_stored", D::OpenaiResponses, "/v1/responses/{id}", Store, No),
        row(E::GeminiGenerateContent, "gemini_generate_content", D::GeminiGenerateContent, "/v1beta/models/{model}:generateContent", Turn, No),
        row(E::GeminiStreamGenerateContent, "gemini_stream_generate_content", D::GeminiGenerateContent, "/v1beta/models/{model}:streamGenerateContent", Turn, Yes),
        row(E::GeminiCountTokens, "gemini_count_tokens", D::GeminiGenerateContent, "/v1beta/models/{model}:countTokens", Count, No),
        row(E::GeminiEmbedContent, "gemini_embed_content", D::GeminiGenerateContent, "/v1beta/models/{model}:embedContent", Judge, No),
        row(E::GeminiStored, "gemini_stored", D::GeminiGenerateContent, "/v1beta/cachedContents", Store, No),
        row(E::GoogleGenerateContent, "google_generate_content", D::GoogleGenerateContent, vertex!("google", "{model}:generateContent"), Turn, No),
        row(E::GoogleStreamGenerateContent, "google_stream_generate_content", D::GoogleGenerateContent, vertex!("google", "{model}:streamGenerateContent"), Turn, Yes),
        row(E::GoogleCountTokens, "google_count_tokens", D::GoogleGenerateContent, vertex!("google", "{model}:countTokens"), Count, No),
        row(E::GoogleEmbedContent, "google_embed_content", D::GoogleGenerateContent, vertex!("google", "{model}:embedContent"), Judge, No),
        row(E::GoogleRawPredict, "google_raw_predict", D::GoogleRawPredict, vertex!("anthropic", "{model}:rawPredict"), Turn, Body),
        row(E::GoogleStreamRawPredict, "google_stream_raw_predict", D::GoogleRawPredict, vertex!("anthropic", "{model}:streamRawPredict"), Turn, Yes),
        row(E::GoogleRawPredictCountTokens, "google_raw_predict_count_tokens", D::GoogleRawPredict, vertex!("anthropic", "count-tokens:rawPredict"), Count, No),
        row(E::BedrockInvoke, "bedrock_invoke", D::BedrockModelInvoke, "/bedrock/model/{model}/invoke", Turn, No),
        row(E::BedrockInvokeStream, "bedrock_invoke_stream", D::BedrockModelInvoke, "/bedrock/model/{model}/invoke-with-response-stream", Turn, Yes),
        row(E::BedrockConverse, "bedrock_converse", D::BedrockConverse, "/bedrock/model/{model}/converse", Turn, No),
        row(E::BedrockConverseStream, "bedrock_converse_stream", D::BedrockConverse, "/bedrock/model/{model}/converse-stream", Turn, Yes),
        row(E::BedrockCountTokens, "bedrock_count_tokens", D::BedrockConverse, "/bedrock/model/{model}/count-tokens", Count, No),
    ]
};

impl Endpoint {
    /// Every endpoint, for tables and tests.
    pub const ALL: [Self; ROWS.len()] = {
        let mut all = [Self::AnthropicMessages; ROWS.len()];
        let mut at = 0;
        while at < ROWS.len() {
            all[at] = ROWS[at].endpoint;
            at += 1;
        }
        all
    };

    const fn row(self) -> &'static Row {
        &ROWS[self as usize]
    }

    /// The dialect that this route speaks.
    pub const fn dialect(self) -> Dialect {
        self.row().dialect
    }

    /// Whether a provider that speaks those dialects has this route.
    pub fn served_by(self, dialects: &[Dialect]) -> bool {
        match self {
            // One route for the bodies of both.
            Self::BedrockCountTokens => dialects
                .iter()
                .any(|it| matches!(it, Dialect::BedrockModelInvoke | Dialect::BedrockConverse)),
            _ => dialects.contains(&self.dialect()),
        }
    }

    /// The name in records, metrics and pages.
    pub const fn as_str(self) -> &'static str {
        self.row().name
    }

    /// The canonical path, as clients see it advertised; `{…}` stands for what varies.
    pub const fn path(self) -> &'static str {
        self.row().path
    }

    /// What a request makes the provider do.
    pub const fn work(self) -> Work {
        self.row().work
    }

    /// Whether the request is a turn of a conversation.
    pub const fn generates(self) -> bool {
        matches!(self.work(), Work::Turn)
    }

    /// Whether its tokens are counted and paid for.
    pub const fn is_metered(self) -> bool {
        matches!(self.work(), Work::Turn | Work::Judge)
    }

    /// Whether the model stands in the path; otherwise it is the body's `model`.
    pub fn names_model_in_path(self) -> bool {
        self.path().contains("{model}")
    }

    /// Whether the answer is a stream, where the route says so; otherwise it is the body's `stream`.
    pub const fn streams(self) -> Option<bool> {
        match self.row().streams {
            Streams::Body => None,
            Streams::Yes => Some(true),
            Streams::No => Some(false),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_endpoint_has_its_row_and_is_written_by_its_name() {
        for (at, row) in ROWS.iter().enumerate() {
            assert_eq!(row.endpoint as usize, at, "{}", row.name);
            assert_eq!(
                serde_json::to_value(row.endpoint).unwrap(),
                row.endpoint.as_str()
            );
        }
        for dialect in Dialect::ALL {
            assert_eq!(serde_json::to_value(dialect).unwrap(), dialect.as_str());
            assert_eq!(dialect.main_endpoint().dialect(), dialect);
            assert!(dialect.main_endpoint().generates());
        }
    }

    #[test]
    fn counting_on_bedrock_is_served_with_either_format() {
        let counts = Endpoint::BedrockCountTokens;
        assert!(counts.served_by(&[Dialect::BedrockModelInvoke]));
        assert!(counts.served_by(&[Dialect::BedrockConverse]));
        assert!(!counts.served_by(&[Dialect::AnthropicMessages]));
    }
}
