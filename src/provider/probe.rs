//! One cheap question to a provider: name, connection, TLS and credential in one go.
//!
//! Owns: [`probe`] and its [`Answer`]. In: a provider, as the document or a form has it; the credential that is sent is the one in
//! it, so what calls this must not put a stored one beside an address that a person has just typed. Out: what the provider
//! said, bounded in time and size. Must not know: who asks, how it is told.

use super::{
    client::{Client, Pieces},
    credential::Credentials,
    headers, target,
};
use crate::{config::Provider, endpoint::Dialect};
use bytes::BytesMut;
use http::{HeaderMap, Request, Response, StatusCode, Uri};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use serde_json::Value;
use std::time::Duration;

/// How long a provider may take to answer a cheap question.
pub const LIMIT: Duration = Duration::from_secs(10);

/// Bytes of an answer that are read.
const BODY: usize = 1 << 20;

/// Characters of what a provider says that are repeated.
const SAID: usize = 300;

/// Models of a list that are repeated.
const MODELS: usize = 500;

/// What came of the question.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// It is not known how to ask: it speaks no dialect, or its address can't be called.
    Unaskable,
    /// The credential can't be had, and why.
    NoCredential(String),
    /// No answer in time.
    Silent,
    /// No connection, and why.
    Unreachable(String),
    /// It answered.
    Said {
        /// The status.
        status: StatusCode,
        /// What it says about a failure, in its own words; empty when it says nothing.
        words: String,
        /// The models that it lists, in its order; empty when it lists none.
        models: Vec<String>,
        /// It says the same to whoever asks without the credential: a success does not show that the credential is good.
        to_anybody: bool,
    },
}

/// Whether a status says that the credential is wrong.
pub fn refuses(status: StatusCode) -> bool {
    matches!(status, StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN)
}

/// Asks a provider for its list of models.
pub async fn probe(client: &Client, credentials: &Credentials, provider: &Provider) -> Answer {
    tokio::time::timeout(LIMIT, ask(client, credentials, provider))
        .await
        .unwrap_or(Answer::Silent)
}

async fn ask(client: &Client, credentials: &Credentials, provider: &Provider) -> Answer {
    let Some(mut request) = question(provider) else {
        return Answer::Unaskable;
    };
    let nobody = HeaderMap::new();
    if let Err(error) = credentials.add(provider, &nobody, &mut request).await {
        return Answer::NoCredential(error.in_full());
    }
    let mut answer = match client.send(provider, request).await {
        Err(error) => return Answer::Unreachable(error.to_string()),
        Ok(response) => heard(response).await,
    };
    if let Answer::Said {
        status, to_anybody, ..
    } = &mut answer
        && status.is_success()
        && let Some(request) = question(provider)
    {
        let bare = client.send(provider, request).await;
        *to_anybody = bare.is_ok_and(|response| response.status() == *status);
    }
    answer
}

async fn heard(response: Response<Incoming>) -> Answer {
    let status = response.status();
    let body = serde_json::from_slice::<Value>(&read(response.into_body()).await).ok();
    let succeeded = status.is_success();
    Answer::Said {
        status,
        words: body
            .as_ref()
            .filter(|_| !succeeded)
            .and_then(complaint)
            .unwrap_or_default(),
        models: body
            .filter(|_| succeeded)
            .map_or_else(Vec::new, |body| listed(&body)),
        to_anybody: false,
    }
}

/// As much of a body as is wanted; what is cut off is not JSON, and counts as nothing said.
async fn read(mut body: Incoming) -> BytesMut {
    let mut all = BytesMut::new();
    while let Some(Ok(frame)) = body.frame().await {
        let Some(data) = frame.data_ref() else {
            continue;
        };
        if all.len() + data.len() > BODY {
            break;
        }
        all.extend_from_slice(data);
    }
    all
}

/// The words of an error, in the places where providers put them.
fn complaint(body: &Value) -> Option<String> {
    // Gemini's older routes wrap it in a list.
    let body = body.get(0).unwrap_or(body);
    let error = body.get("error").unwrap_or(body);
    let words = error
        .get("message")
        .or_else(|| body.get("message"))
        .or_else(|| body.get("Message"))
        .or_else(|| body.get("detail"))
        .unwrap_or(error);
    Some(words.as_str()?.chars().take(SAID).collect())
}

/// The names in a list of models: `data[].id`, or Google's `models[].name` without its first segment.
fn listed(body: &Value) -> Vec<String> {
    let (key, name) = if body.get("models").is_some_and(Value::is_array) {
        ("models", "name")
    } else {
        ("data", "id")
    };
    let items = body.get(key).and_then(Value::as_array);
    let names = items.into_iter().flatten().filter_map(|item| {
        let name = item.get(name).or_else(|| item.get("id"))?.as_str()?;
        let bare = name.strip_prefix("models/").unwrap_or(name);
        (!bare.is_empty() && bare.len() <= 200).then(|| bare.to_owned())
    });
    names.take(MODELS).collect()
}

/// The list of models, still without the credential: providers know it, and it costs nothing. Bedrock's runtime has none, and refuses
/// a bad credential all the same.
fn question(provider: &Provider) -> Option<Request<Pieces>> {
    let dialect = provider.dialects.first().copied()?;
    let path = match dialect {
        Dialect::AnthropicMessages | Dialect::OpenaiChat | Dialect::OpenaiResponses => "/v1/models",
        Dialect::GeminiGenerateContent => "/v1beta/models",
        Dialect::GoogleGenerateContent | Dialect::GoogleRawPredict => {
            "/v1beta1/publishers/google/models"
        }
        Dialect::BedrockModelInvoke | Dialect::BedrockConverse => "/foundation-models",
    };
    let uri = target::upstream_uri(provider, dialect, &Uri::from_static(path)).ok()?;
    let head = headers::to_provider(&HeaderMap::new(), dialect, provider, &[]);
    let mut request = Request::new(Pieces::default());
    *request.uri_mut() = uri;
    *request.headers_mut() = head;
    Some(request)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_providers_say_is_found_where_they_put_it() {
        for (body, words) in [
            (
                json!({"error": {"message": "Incorrect API key", "type": "x"}}),
                "Incorrect API key",
            ),
            (
                json!({"type": "error", "error": {"type": "authentication_error", "message": "invalid x-api-key"}}),
                "invalid x-api-key",
            ),
            (
                json!([{"error": {"code": 400, "message": "API key not valid"}}]),
                "API key not valid",
            ),
            (
                json!({"message": "The security token is invalid"}),
                "The security token is invalid",
            ),
            (json!({"error": "no such route"}), "no such route"),
            (json!({"detail": "Not Found"}), "Not Found"),
        ] {
            assert_eq!(complaint(&body).as_deref(), Some(words));
        }
        assert_eq!(complaint(&json!({"error": {"code": 7}})), None);
        let long = json!({"message": "x".repeat(5_000)});
        assert_eq!(complaint(&long).map(|words| words.len()), Some(SAID));
    }

    #[test]
    fn lists_of_models_are_read_in_both_forms_and_bounded() {
        let openai = json!({"object": "list", "data": [{"id": "gpt-5"}, {"id": ""}, {"x": 1}, {"id": "gpt-5-mini"}]});
        assert_eq!(listed(&openai), ["gpt-5", "gpt-5-mini"]);
        let gemini = json!({"models": [{"name": "models/gemini-2.5-pro"}]});
        assert_eq!(listed(&gemini), ["gemini-2.5-pro"]);
        assert!(listed(&json!({"data": 7})).is_empty() && listed(&json!([])).is_empty());
        let many: Vec<_> = (0..2 * MODELS)
            .map(|n| json!({"id": n.to_string()}))
            .collect();
        assert_eq!(listed(&json!({ "data": many })).len(), MODELS);
    }
}
