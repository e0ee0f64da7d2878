//! The same conversation in every format.
//!
//! Owns: [`FORMATS`], and how much is said: a request of some 2 kB with three turns and some ten lines of head, of which one
//! number differs from request to request; an answer of 1 kB, or a stream of some hundred events. In: a format, and whether
//! a stream is wanted. Out: an [`Asked`] to be sent, and what gateway and provider must be told for it ([`config`],
//! [`scripts`]).
//! Must not know: how requests are sent.

use crate::{
    run::{self, Asked},
    wire,
};
use anyhow::Context as _;
use serde_json::{Value, json};
use std::net::SocketAddr;

/// What is said again and again.
const WORDS: &str = "The gateway forwards what it gets and keeps a copy for those who may see it. ";
/// The place of the number: equal bodies would be stored once and cost nothing.
const NUMBER: &str = "00000000";
/// Bytes of the answer's text.
const ANSWER: usize = 900;
/// Pieces of a stream's text, so that its events are some hundred.
pub const PIECES: usize = 95;
/// A model that the gateway does not know.
const NO_MODEL: &str = "bench-no-such-model";
/// A model whose provider fails.
const BROKEN_MODEL: &str = "bench-broken-model";

/// One way to say it.
#[derive(Clone, Copy, Debug)]
pub struct Format {
    /// Its name on the command line and in tables.
    pub name: &'static str,
    words: Words,
    /// The path for a whole answer and for a stream; `{}` stands for the model. Without the first there is only a stream.
    paths: [Option<&'static str>; 2],
    /// The model that answers whole, and the one that streams: the provider's scripts go by it.
    models: [&'static str; 2],
    /// The rest of the head.
    head: [&'static str; 4],
}

/// Whose words a body is in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Words {
    Anthropic,
    /// The same without the model, which the path says.
    Claude(&'static str),
    Chat {
        usage: bool,
    },
    Responses,
    Gemini,
    Converse,
}

const CLAUDES: [&str; 2] = ["claude-haiku-4-5", "claude-sonnet-4-5"];
const CHATS: [&str; 2] = ["gpt-4o-mini", "gpt-4o"];
const GEMINIS: [&str; 2] = ["gemini-2.5-flash", "gemini-2.5-pro"];
const ON_VERTEX: [&str; 2] = ["claude-haiku-4-5@20251001", "claude-sonnet-4-5@20250929"];
const ON_BEDROCK: [&str; 2] = [
    "us.anthropic.claude-haiku-4-5-20251001-v1:0",
    "us.anthropic.claude-sonnet-4-5-20250929-v1:0",
];
const ANTHROPIC_HEAD: [&str; 4] = [
    "user-agent: claude-cli/2.0.14 (external, cli)",
    "anthropic-version: 2023-06-01",
    "anthropic-beta: interleaved-thinking-2025-05-14,fine-grained-tool-streaming-2025-05-14",
    "x-api-key: sk-ant-from-the-client",
];
const OPENAI_HEAD: [&str; 4] = [
    "user-agent: OpenAI/JS 5.23.0",
    "openai-organization: org-0123456789abcdefghijklmn",
    "openai-beta: responses=experimental",
    "authorization: Bearer sk-from-the-client",
];
const GOOGLE_HEAD: [&str; 4] = [
    "user-agent: google-genai-sdk/1.30.0 gl-node/v22.11.0",
    "x-goog-api-client: google-genai-sdk/1.30.0 gl-node/v22.11.0",
    "x-goog-user-project: some-project-of-the-client",
    "x-goog-api-key: from-the-client",
];
const BEDROCK_HEAD: [&str; 4] = [
    "user-agent: aws-sdk-js/3.900.0 ua/2.1 os/linux lang/js md/nodejs#22.11.0 api/bedrock-runtime#3.900.0",
    "amz-sdk-invocation-id: 0b1c2d3e-4f50-4617-8293-a4b5c6d7e8f9",
    "amz-sdk-request: attempt=1; max=3",
    "authorization: Bearer bedrock-api-key-from-the-client",
];
/// Lines that every head has.
const HEAD: [&str; 7] = [
    "content-type: application/json",
    "accept: application/json",
    "accept-encoding: identity",
    "x-stainless-lang: js",
    "x-stainless-package-version: 0.60.0",
    "x-stainless-runtime: node",
    "x-app: cli",
];
/// Begins the paths on Vertex AI.
macro_rules! vertex {
    ($rest:literal) => {
        Some(concat!("/v1/projects/p/locations/l/publishers/", $rest))
    };
}

/// All of them.
pub const FORMATS: [Format; 10] = [
    Format {
        name: "anthropic",
        words: Words::Anthropic,
        paths: [Some("/v1/messages"); 2],
        models: CLAUDES,
        head: ANTHROPIC_HEAD,
    },
    Format {
        name: "chat",
        words: Words::Chat { usage: true },
        paths: [Some("/v1/chat/completions"); 2],
        models: CHATS,
        head: OPENAI_HEAD,
    },
    // The gateway asks for the figures by itself, and takes them out of the answer.
    Format {
        name: "chat_bare",
        words: Words::Chat { usage: false },
        paths: [None, Some("/v1/chat/completions")],
        models: CHATS,
        head: OPENAI_HEAD,
    },
    Format {
        name: "responses",
        words: Words::Responses,
        paths: [Some("/v1/responses"); 2],
        models: CHATS,
        head: OPENAI_HEAD,
    },
    Format {
        name: "gemini",
        words: Words::Gemini,
        paths: [
            Some("/v1beta/models/{}:generateContent"),
            Some("/v1beta/models/{}:streamGenerateContent?alt=sse"),
        ],
        models: GEMINIS,
        head: GOOGLE_HEAD,
    },
    Format {
        name: "gemini_array",
        words: Words::Gemini,
        paths: [None, Some("/v1beta/models/{}:streamGenerateContent")],
        models: GEMINIS,
        head: GOOGLE_HEAD,
    },
    Format {
        name: "vertex",
        words: Words::Gemini,
        paths: [
            vertex!("google/models/{}:generateContent"),
            vertex!("google/models/{}:streamGenerateContent?alt=sse"),
        ],
        models: GEMINIS,
        head: GOOGLE_HEAD,
    },
    Format {
        name: "raw_predict",
        words: Words::Claude("vertex-2023-10-16"),
        paths: [
            vertex!("anthropic/models/{}:rawPredict"),
            vertex!("anthropic/models/{}:streamRawPredict"),
        ],
        models: ON_VERTEX,
        head: ANTHROPIC_HEAD,
    },
    Format {
        name: "bedrock_invoke",
        words: Words::Claude("bedrock-2023-05-31"),
        paths: [
            Some("/bedrock/model/{}/invoke"),
            Some("/bedrock/model/{}/invoke-with-response-stream"),
        ],
        models: ON_BEDROCK,
        head: BEDROCK_HEAD,
    },
    Format {
        name: "converse",
        words: Words::Converse,
        paths: [
            Some("/bedrock/model/{}/converse"),
            Some("/bedrock/model/{}/converse-stream"),
        ],
        models: ON_BEDROCK,
        head: BEDROCK_HEAD,
    },
];

// === impl Format ===

impl Format {
    /// The format of that name.
    pub fn named(name: &str) -> Option<&'static Self> {
        FORMATS.iter().find(|format| format.name == name)
    }

    /// Its request; none if it has no whole answer.
    pub fn asked(&self, authority: &str, stream: bool) -> Option<Asked> {
        self.asked_of(authority, stream, self.models[usize::from(stream)])
    }

    /// A request for a model that the gateway does not serve, and one for a model whose provider fails, with the status
    /// that must come of each.
    pub fn failing(&self, authority: &str) -> Vec<Asked> {
        [(NO_MODEL, 404), (BROKEN_MODEL, 500)]
            .into_iter()
            .filter_map(|(model, status)| {
                let asked = self.asked_of(authority, false, model)?;
                Some(Asked { status, ..asked })
            })
            .collect()
    }

    /// The client's answer: what the scripted provider says when it is asked directly. None if it has no whole answer.
    pub async fn expected(
        &self,
        provider: SocketAddr,
        authority: &str,
        stream: bool,
    ) -> anyhow::Result<Option<Vec<u8>>> {
        let bare = self.words == Words::Chat { usage: false };
        let direct = Self {
            words: if bare {
                Words::Chat { usage: true }
            } else {
                self.words
            },
            // The gateway takes it off.
            paths: self
                .paths
                .map(|path| path.map(|path| path.strip_prefix("/bedrock").unwrap_or(path))),
            ..*self
        };
        let Some(asked) = direct.asked(authority, stream) else {
            return Ok(None);
        };
        let said = run::answer(provider, &asked)
            .await
            .with_context(|| format!("what the provider says to {}", self.name))?;
        Ok(Some(if bare { without_figures(said)? } else { said }))
    }

    /// Its request to another model.
    pub fn asked_of(&self, authority: &str, stream: bool, model: &str) -> Option<Asked> {
        let path = self.paths[usize::from(stream)]?.replace("{}", model);
        let mut head = HEAD.to_vec();
        head.extend(self.head);
        let body = self.body(model, stream).to_string();
        let request = wire::request(authority, &path, &head, Some(body.as_bytes()));
        Some(Asked::new(request).varied(NUMBER))
    }

    fn body(&self, model: &str, stream: bool) -> Value {
        let (system, question, answer) = (WORDS.repeat(10), WORDS.repeat(5), WORDS.repeat(5));
        let last = format!("Turn {NUMBER}. {}", WORDS.repeat(3));
        let said = |kind: &str, text: &str| json!([{"type": kind, "text": text}]);
        match self.words {
            Words::Anthropic => json!({
                "model": model,
                "max_tokens": 1024,
                "stream": stream,
                "system": said("text", &system),
                "messages": [
                    {"role": "user", "content": question},
                    {"role": "assistant", "content": said("text", &answer)},
                    {"role": "user", "content": said("text", &last)},
                ],
            }),
            Words::Claude(version) => json!({
                "anthropic_version": version,
                "max_tokens": 1024,
                "stream": stream,
                "system": said("text", &system),
                "messages": [
                    {"role": "user", "content": question},
                    {"role": "assistant", "content": said("text", &answer)},
                    {"role": "user", "content": said("text", &last)},
                ],
            }),
            Words::Chat { usage } => {
                let mut body = json!({
                    "model": model,
                    "max_completion_tokens": 1024,
                    "stream": stream,
                    "messages": [
                        {"role": "system", "content": system},
                        {"role": "user", "content": question},
                        {"role": "assistant", "content": answer},
                        {"role": "user", "content": said("text", &last)},
                    ],
                });
                if stream && usage {
                    body["stream_options"] = json!({"include_usage": true});
                }
                body
            }
            Words::Responses => json!({
                "model": model,
                "max_output_tokens": 1024,
                "stream": stream,
                "instructions": system,
                "input": [
                    {"role": "user", "content": said("input_text", &question)},
                    {"role": "assistant", "content": said("output_text", &answer)},
                    {"role": "user", "content": said("input_text", &last)},
                ],
            }),
            Words::Gemini => json!({
                "generationConfig": {"maxOutputTokens": 1024},
                "systemInstruction": {"parts": [{"text": system}]},
                "contents": [
                    {"role": "user", "parts": [{"text": question}]},
                    {"role": "model", "parts": [{"text": answer}]},
                    {"role": "user", "parts": [{"text": last}]},
                ],
            }),
            Words::Converse => json!({
                "inferenceConfig": {"maxTokens": 1024},
                "system": [{"text": system}],
                "messages": [
                    {"role": "user", "content": [{"text": question}]},
                    {"role": "assistant", "content": [{"text": answer}]},
                    {"role": "user", "content": [{"text": last}]},
                ],
            }),
        }
    }
}

/// All formats in turn: whole answers and streams, refusals and failures, clients that leave at once or in mid-stream.
pub async fn mixed(authority: &str, provider: SocketAddr) -> anyhow::Result<Vec<Asked>> {
    let mut requests = Vec::new();
    for format in &FORMATS {
        for stream in [false, true] {
            let Some(asked) = format.asked(authority, stream) else {
                continue;
            };
            let expected = format.expected(provider, authority, stream).await?;
            let half = expected.as_ref().map(|expected| expected.len() / 2);
            for leaves in [Some(0), half].into_iter().filter(|_| stream) {
                requests.push(Asked {
                    leaves,
                    ..asked.clone()
                });
            }
            requests.push(Asked {
                status: 200,
                expected: expected.map(Into::into),
                ..asked
            });
        }
        requests.extend(format.failing(authority));
    }
    Ok(requests)
}

/// A chat stream without the event that only has figures.
fn without_figures(said: Vec<u8>) -> anyhow::Result<Vec<u8>> {
    let text = String::from_utf8(said)?;
    let events = text.split_inclusive("\n\n");
    let kept = events.filter(|event| !event.contains("\"choices\":[]"));
    Ok(kept.collect::<String>().into_bytes())
}

/// The gateway's document: every model of these requests, for everybody.
pub fn config(provider: &str, capture: &str) -> Value {
    let one = |authorization: &str, models: &[&str], flags: &[&str]| {
        let flags: serde_json::Map<_, _> = flags
            .iter()
            .map(|flag| ((*flag).to_owned(), true.into()))
            .collect();
        let models = [models, &[BROKEN_MODEL]].concat();
        json!({
            "baseurl": provider,
            "authorization": {"type": authorization, "value": "key-of-the-gateway"},
            "models": models,
            "compatibility": flags,
        })
    };
    let on_vertex = [GEMINIS, ON_VERTEX].concat();
    json!({
        "providers": {
            "anthropic": one("x-api-key", &CLAUDES, &["anthropic_messages"]),
            "openai": one("bearer", &CHATS, &["openai_chat", "openai_responses"]),
            "google": one("x-goog-api-key", &GEMINIS, &["gemini"]),
            "vertex": one("bearer", &on_vertex, &["vertex"]),
            "bedrock": one("bearer", &ON_BEDROCK, &["bedrock"]),
        },
        "temp_grants": [{
            "src": ["*"],
            "grants": [{"role": "admin"}, {"providers": [{"provider": "*", "model": "*"}]}],
        }],
        "gateway": {"capture": {"mode": capture}},
    })
}

/// What the scripted provider must be told: whole answers of the first models, streams of so many pieces of the others.
pub fn scripts(pieces: usize) -> Vec<Value> {
    let usage = json!({"input": 500, "output": 225});
    let text = &WORDS.repeat(12)[..ANSWER];
    let mut scripts = vec![json!({
        "match": {"model": BROKEN_MODEL},
        "script": {"status": 500},
    })];
    for [whole, stream] in [CLAUDES, CHATS, GEMINIS, ON_VERTEX, ON_BEDROCK] {
        scripts.push(json!({
            "match": {"model": whole},
            "script": {"text": text, "usage": usage},
        }));
        scripts.push(json!({
            "match": {"model": stream},
            "script": {"text": text, "chunks": pieces, "usage": usage},
        }));
    }
    scripts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn formats_say_the_same_in_about_as_many_bytes() {
        for format in FORMATS {
            for stream in [false, true] {
                let Some(asked) = format.asked("test", stream) else {
                    assert!(!stream, "{}", format.name);
                    continue;
                };
                let size = asked.bytes.len();
                assert!((2_200..2_900).contains(&size), "{}: {size}", format.name);
                assert!(asked.varies.is_some());
            }
            assert_eq!(
                Format::named(format.name).map(|it| it.name),
                Some(format.name)
            );
        }
    }

    #[test]
    fn the_figures_that_only_the_gateway_asked_for_are_not_expected() {
        let said =
            "data: {\"choices\":[{}]}\n\ndata: {\"choices\":[],\"usage\":{}}\n\ndata: [DONE]\n\n";
        let kept = without_figures(said.into()).unwrap();
        assert_eq!(
            String::from_utf8(kept).unwrap(),
            "data: {\"choices\":[{}]}\n\ndata: [DONE]\n\n"
        );
    }
}
