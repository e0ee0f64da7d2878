//! How servers that speak the chat dialect deviate from it.
//!
//! Comes in: the request's head and the answer with its flavour. Goes out: the
//! fields and events that the flavour adds, or nothing.

use bytes::Bytes;

use super::openai_chat;
use crate::answer::Answer;
use crate::conversation::Head;
use crate::json::{Json, object};
use crate::script::Flavour;
use crate::tokens::tokens;

/// What a token costs at the stand-in of `OpenRouter`, in millionths of a dollar.
const COST_OF_TOKEN: u64 = 1;

/// Milliseconds that a server says each token took.
const TIME_OF_TOKEN: u64 = 10;

/// A comment that keeps the connection of a stream open.
pub(super) fn comment() -> Bytes {
    Bytes::from_static(b": OPENROUTER PROCESSING\n\n")
}

/// The maker behind a router.
pub(super) fn maker(answer: &Answer) -> Option<&'static str> {
    (answer.flavour == Some(Flavour::Openrouter)).then_some("Scripted")
}

/// The cost in dollars that a router reports.
pub(super) fn cost(answer: &Answer) -> Option<Json> {
    if answer.flavour != Some(Flavour::Openrouter) {
        return None;
    }
    let micros = (answer.usage.prompt() + answer.usage.output) * COST_OF_TOKEN;
    let (whole, rest) = (micros / 1_000_000, micros % 1_000_000);
    Some(Json::raw(format!("{whole}.{rest:06}")))
}

/// The timings that llama.cpp reports.
pub(super) fn timings(answer: &Answer) -> Option<Json> {
    if answer.flavour != Some(Flavour::LlamaCpp) {
        return None;
    }
    let usage = &answer.usage;
    let fresh = usage.prompt().saturating_sub(usage.cache_read);
    Some(object! {
        "cache_n": usage.cache_read, "prompt_n": fresh, "prompt_ms": fresh * TIME_OF_TOKEN,
        "predicted_n": usage.output, "predicted_ms": usage.output * TIME_OF_TOKEN,
    })
}

/// Figures in a chunk that has a choice, when that many bytes of the reply were said.
pub(super) fn figures_beside(
    head: &Head,
    answer: &Answer,
    said: usize,
    is_last: bool,
) -> Option<Json> {
    match answer.flavour {
        Some(Flavour::LlamaCpp) if is_last => Some(openai_chat::usage(answer)),
        Some(Flavour::Vllm) if head.running_usage => {
            let so_far = if is_last {
                answer.usage.output
            } else {
                tokens(said).min(answer.usage.output)
            };
            let prompt = answer.usage.prompt();
            Some(object! {
                "prompt_tokens": prompt, "total_tokens": prompt + so_far,
                "completion_tokens": so_far,
            })
        }
        _ => None,
    }
}

/// The choices of the chunk that carries the figures at the end; none if there is no such chunk.
pub(super) fn last_choices(head: &Head, answer: &Answer) -> Option<Vec<Json>> {
    match answer.flavour {
        // It reports figures to everyone, beside a choice that says nothing more.
        Some(Flavour::Openrouter) => {
            let delta = object! {"role": "assistant", "content": ""};
            Some(vec![
                object! {"index": 0_u64, "delta": delta, "finish_reason": ()},
            ])
        }
        Some(Flavour::LlamaCpp) => None,
        Some(Flavour::Vllm | Flavour::Ollama) | None => head.include_usage.then(Vec::new),
    }
}
