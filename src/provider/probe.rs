//! One cheap question to a provider: name, connection, TLS and credential in one go.
//!
//! Owns: [`probe`] and its [`Answer`], and [`look`], which tells all that came of the question. In: a provider, as the document or a form has it; the credential that is sent is the one in
//! it, so what calls this must not put a stored one beside an address that a person has just typed. Out: what the provider
//! said, bounded in time and size. Must not know: who asks, how it is told.

use super::{
    client::{AnswerBody, Client, Pieces, SendError, Stage, TlsFault},
    credential::Credentials,
    headers, target,
};
use crate::{config::Provider, endpoint::Dialect};
use bytes::BytesMut;
use http::{HeaderMap, Request, Response, StatusCode, Uri, header};
use http_body_util::BodyExt as _;
use serde_json::Value;
use std::time::Duration;

/// How long a provider may take to answer a cheap question.
pub const LIMIT: Duration = Duration::from_secs(10);

/// Bytes of an answer that are read.
const BODY: usize = 4 << 20;

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

/// All that came of the question.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// What the provider said.
    pub answer: Answer,
    /// Without a connection: how far it got.
    pub stage: Option<Stage>,
    /// The list of models is the whole one.
    pub complete: bool,
    /// The provider's clock (`date`), as it was written.
    pub date: Option<String>,
    /// How long it took.
    pub took: Duration,
}

impl From<Answer> for Found {
    fn from(answer: Answer) -> Self {
        Self {
            answer,
            stage: None,
            complete: false,
            date: None,
            took: Duration::ZERO,
        }
    }
}

/// Whether a status says that the credential is wrong.
pub fn refuses(status: StatusCode) -> bool {
    matches!(status, StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN)
}

/// Asks a provider for its list of models.
pub async fn probe(client: &Client, credentials: &Credentials, provider: &Provider) -> Answer {
    look(client, credentials, provider, LIMIT).await.answer
}

/// The same with all that came of it, in that time.
pub async fn look(
    client: &Client,
    credentials: &Credentials,
    provider: &Provider,
    limit: Duration,
) -> Found {
    let begun = tokio::time::Instant::now();
    let mut found = tokio::time::timeout(limit, ask(client, credentials, provider))
        .await
        .unwrap_or_else(|_| Answer::Silent.into());
    found.took = begun.elapsed();
    found
}

async fn ask(client: &Client, credentials: &Credentials, provider: &Provider) -> Found {
    let Some(mut request) = question(provider) else {
        return Answer::Unaskable.into();
    };
    let nobody = HeaderMap::new();
    if let Err(error) = credentials.add(provider, &nobody, &mut request).await {
        return Answer::NoCredential(error.in_full()).into();
    }
    let mut found = match client.send(provider, request).await {
        Err(error) => {
            let stage = match &error {
                SendError::Connect(_, stage) => Some(*stage),
                SendError::Certificates(_) => Some(Stage::Tls(TlsFault::Other)),
                SendError::Broken(_) => None,
            };
            return Found {
                stage,
                ..Answer::Unreachable(error.to_string()).into()
            };
        }
        Ok(response) => heard(provider, response).await,
    };
    if let Answer::Said {
        status, to_anybody, ..
    } = &mut found.answer
        && status.is_success()
        && let Some(request) = question(provider)
    {
        let bare = client.send(provider, request).await;
        *to_anybody = bare.is_ok_and(|response| response.status() == *status);
    }
    found
}

async fn heard(provider: &Provider, response: Response<AnswerBody>) -> Found {
    let status = response.status();
    let date = response.headers().get(header::DATE);
    let date = date.and_then(|date| date.to_str().ok()).map(str::to_owned);
    let body = serde_json::from_slice::<Value>(&read(response.into_body()).await).ok();
    let succeeded = status.is_success();
    let words = body.as_ref().filter(|_| !succeeded).and_then(complaint);
    let list = body.filter(|_| succeeded).unwrap_or_default();
    let models = listed(&list);
    let more = list["has_more"] == true || list["nextPageToken"].is_string();
    Found {
        complete: !more && !models.is_empty() && models.len() < MODELS,
        date,
        ..Answer::Said {
            status,
            words: words.map_or_else(String::new, |words| unkeyed(provider, &words)),
            models,
            to_anybody: false,
        }
        .into()
    }
}

/// Words without what may be a key: some providers repeat it.
fn unkeyed(provider: &Provider, words: &str) -> String {
    /// A key is known by its beginning; a shorter one can't be told from a word.
    const BEGINNING: usize = 8;
    let secret = provider
        .credential
        .as_ref()
        .map_or("", |credential| credential.secret.expose());
    let beginning = &secret[..secret.floor_char_boundary(BEGINNING)];
    let shown = words.split_whitespace().map(|word| {
        let echoes = beginning.len() >= BEGINNING && word.contains(beginning);
        if echoes || word.contains("**") {
            "(not shown)"
        } else {
            word
        }
    });
    shown.collect::<Vec<_>>().join(" ")
}

/// As much of a body as is wanted; what is cut off is not JSON, and counts as nothing said.
async fn read(mut body: AnswerBody) -> BytesMut {
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

/// The names in a list of models: `data[].id`, or Google's `models[].name` without its first segments.
fn listed(body: &Value) -> Vec<String> {
    let is_list = |key| body.get(key).is_some_and(Value::is_array);
    let (key, name) = if is_list("models") {
        ("models", "name")
    } else if is_list("publisherModels") {
        ("publisherModels", "name")
    } else {
        ("data", "id")
    };
    let items = body.get(key).and_then(Value::as_array);
    let names = items.into_iter().flatten().filter_map(|item| {
        let name = item.get(name).or_else(|| item.get("id"))?.as_str()?;
        let bare = name.strip_prefix("models/").unwrap_or(name);
        // Vertex AI writes the publisher, too; others have slashes of their own.
        let bare = match bare.split_once("/models/") {
            Some((publisher, rest)) if publisher.starts_with("publishers/") => rest,
            _ => bare,
        };
        (!bare.is_empty() && bare.len() <= 200).then(|| bare.to_owned())
    });
    names.take(MODELS).collect()
}

/// The list of models, still without the credential: providers know it, and it costs nothing. Bedrock's runtime has none, and refuses
/// a bad credential all the same.
fn question(provider: &Provider) -> Option<Request<Pieces>> {
    let dialect = provider.dialects.first().copied()?;
    let path = match dialect {
        Dialect::AnthropicMessages => "/v1/models?limit=1000",
        Dialect::OpenaiChat | Dialect::OpenaiResponses => "/v1/models",
        Dialect::GeminiGenerateContent => "/v1beta/models?pageSize=1000",
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
    use crate::{
        config::{AuthScheme, Credential},
        secret::Secret,
    };
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
    fn a_key_that_a_provider_repeats_is_not_told() {
        let mut provider = Provider::new("p", Uri::from_static("http://p"));
        provider.credential = Some(Credential {
            scheme: AuthScheme::Bearer,
            secret: Secret::new("sk-verysecret-0123456789"),
        });
        let said = "Incorrect key: sk-verysecret-0123456789, or sk-proj-****abcd; see docs";
        let told = "Incorrect key: (not shown) or (not shown) see docs";
        assert_eq!(unkeyed(&provider, said), told);
        provider.credential = None;
        assert_eq!(unkeyed(&provider, "no key"), "no key");
    }

    #[test]
    fn lists_of_models_are_read_in_both_forms_and_bounded() {
        let openai = json!({"object": "list", "data": [{"id": "gpt-5"}, {"id": ""}, {"x": 1}, {"id": "gpt-5-mini"}]});
        assert_eq!(listed(&openai), ["gpt-5", "gpt-5-mini"]);
        let gemini = json!({"models": [{"name": "models/gemini-2.5-pro"}]});
        assert_eq!(listed(&gemini), ["gemini-2.5-pro"]);
        let vertex = json!({"publisherModels": [{"name": "publishers/google/models/gemini-3"}]});
        assert_eq!(listed(&vertex), ["gemini-3"]);
        assert_eq!(
            listed(&json!({"data": [{"id": "vendor/model"}]})),
            ["vendor/model"]
        );
        assert!(listed(&json!({"data": 7})).is_empty() && listed(&json!([])).is_empty());
        let many: Vec<_> = (0..2 * MODELS)
            .map(|n| json!({"id": n.to_string()}))
            .collect();
        assert_eq!(listed(&json!({ "data": many })).len(), MODELS);
    }
}
