//! `OpenAI`'s endpoints beside chat: completions, embeddings, moderations.
//!
//! They share the models, keys and errors of chat, and its name in the log. The
//! old completions stream as chat does, with plain texts for choices.

use std::borrow::Cow;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use serde::Deserialize;
use serde_json::Value;

use super::{Dialect, Operation, Route, data, openai, openai_chat};
use crate::answer::{Answer, pieces};
use crate::conversation::{Conversation, Head, Wanted, items};
use crate::improvise;
use crate::json::{Json, Object, object};
use crate::script::Stop;
use crate::tokens::Caching;

/// Who judges when the request names no model.
const JUDGE: &str = "omni-moderation-latest";

pub(super) static DIALECT: Dialect = Dialect {
    name: "openai_chat",
    route: |target| {
        Route::by_ending(
            target.path,
            &[
                ("/completions", Operation::Generate),
                ("/embeddings", Operation::Embed),
                ("/moderations", Operation::Moderate),
            ],
        )
    },
    head,
    conversation,
    whole: |_, answer| whole(answer),
    stream,
    stream_type: "text/event-stream; charset=utf-8",
    side,
    failure: openai::failure,
    stream_failure: |failure, _| data(openai::failure(failure).as_str()),
    request_id: openai::REQUEST_ID,
    headers: openai::HEADERS,
    usage_headers: super::no_usage_headers,
    failure_headers: super::no_failure_headers,
};

// === requests ===

#[derive(Deserialize)]
struct HeadFields<'a> {
    #[serde(borrow)]
    model: Option<Cow<'a, str>>,
    stream: Option<bool>,
    stream_options: Option<StreamOptions>,
    max_tokens: Option<u64>,
    input: Option<Value>,
    dimensions: Option<usize>,
    #[serde(borrow)]
    encoding_format: Option<Cow<'a, str>>,
}

#[derive(Deserialize)]
struct StreamOptions {
    include_usage: Option<bool>,
}

/// How many texts an input has: one, or those of its list; a list of numbers is one text.
fn count(input: &Value) -> usize {
    let texts = items(input).filter(|item| !item.is_number()).count();
    texts.max(1)
}

fn head(_: &Route, body: &[u8]) -> Result<Head, serde_json::Error> {
    let fields: HeadFields<'_> = serde_json::from_slice(body)?;
    Ok(Head {
        model: fields.model.map_or_else(|| JUDGE.into(), Cow::into_owned),
        stream: fields.stream == Some(true),
        include_usage: fields
            .stream_options
            .is_some_and(|some| some.include_usage == Some(true)),
        max_tokens: fields.max_tokens,
        wanted: Wanted {
            count: fields.input.as_ref().map_or(1, count),
            dimensions: fields.dimensions,
            is_packed: fields.encoding_format.as_deref() == Some("base64"),
        },
        ..Head::default()
    })
}

fn conversation(body: &[u8]) -> Result<Conversation, serde_json::Error> {
    let request: Value = serde_json::from_slice(body)?;
    let mut conversation = Conversation {
        caching: Caching::Automatic,
        ..Conversation::default()
    };
    let prompt = &request["prompt"];
    for text in prompt
        .as_str()
        .into_iter()
        .chain(items(prompt).filter_map(Value::as_str))
    {
        conversation.user_said(text);
    }
    Ok(conversation)
}

// === replies ===

fn usage(answer: &Answer) -> Json {
    let usage = &answer.usage;
    object! {
        "prompt_tokens": usage.prompt(), "completion_tokens": usage.output,
        "total_tokens": usage.prompt() + usage.output,
    }
}

fn opening(answer: &Answer) -> Object {
    Object::new()
        .field("id", &format!("cmpl-scripted-{}", answer.id))
        .field("object", "text_completion")
        .field("created", &openai::CREATED)
        .field("model", &answer.model)
}

fn choice(text: &str, stop: Option<Stop>) -> Json {
    object! {
        "text": text, "index": 0_u64, "logprobs": (),
        "finish_reason": stop.map(openai_chat::finish_reason),
    }
}

fn whole(answer: &Answer) -> Json {
    let text = answer.text.as_deref().unwrap_or_default();
    opening(answer)
        .field("choices", &[choice(text, Some(answer.stop))])
        .field("usage", &usage(answer))
        .finish()
}

fn stream(head: &Head, answer: &Answer) -> Vec<Bytes> {
    let chunk = |choices: &[Json], figures: Option<Json>| {
        let chunk = opening(answer).field("choices", choices);
        let chunk = if head.include_usage {
            chunk.field("usage", &figures)
        } else {
            chunk
        };
        data(chunk.finish().as_str())
    };
    let texts = answer.text.iter();
    let mut events: Vec<Bytes> = texts
        .flat_map(|text| pieces(text, answer.chunks))
        .map(|piece| chunk(&[choice(piece, None)], None))
        .collect();
    events.push(chunk(&[choice("", Some(answer.stop))], None));
    if head.include_usage {
        events.push(chunk(&[], Some(usage(answer))));
    }
    events.push(data("[DONE]"));
    events
}

fn side(operation: Operation, head: &Head, answer: &Answer) -> Json {
    let places = 0..head.wanted.count;
    if operation == Operation::Moderate {
        let results: Vec<Json> = places.map(|_| judgement()).collect();
        return object! {
            "id": format!("modr-scripted-{}", answer.id), "model": answer.model,
            "results": results,
        };
    }
    let vectors: Vec<Json> = places
        .map(|place| {
            let values = improvise::vector(place, head.wanted.dimensions);
            let opening = Object::new()
                .field("object", "embedding")
                .field("index", &place);
            if head.wanted.is_packed {
                opening.field("embedding", &packed(&values)).finish()
            } else {
                opening.field("embedding", &values).finish()
            }
        })
        .collect();
    let prompt = answer.usage.prompt();
    object! {
        "object": "list", "data": vectors, "model": answer.model,
        "usage": object! {"prompt_tokens": prompt, "total_tokens": prompt},
    }
}

fn packed(values: &[f32]) -> String {
    let bytes: Vec<u8> = values
        .iter()
        .flat_map(|value| value.to_le_bytes())
        .collect();
    STANDARD.encode(bytes)
}

fn judgement() -> Json {
    let none = object! {"hate": false, "self-harm": false, "sexual": false, "violence": false};
    let score = 0.0_f32;
    let scores = object! {"hate": score, "self-harm": score, "sexual": score, "violence": score};
    object! {"flagged": false, "categories": none, "category_scores": scores}
}
