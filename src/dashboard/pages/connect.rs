//! `/ui/connect/`: how the caller's own clients reach this gateway, and one small request to see that they do.

use crate::{
    dashboard::{
        format,
        layout::{self, Frame},
        route::Route,
        view::Model,
    },
    endpoint::Endpoint,
};
use maud::{Markup, html};
use serde_json::json;
use std::fmt::Write as _;

/// One client: its name, where the text goes, and the text.
struct Snippet {
    id: &'static str,
    client: &'static str,
    place: &'static str,
    text: String,
    /// What else to know.
    note: &'static str,
}

/// The page.
pub(in crate::dashboard) fn render(frame: &Frame<'_>, models: &[Model]) -> Markup {
    let mine: Vec<&Model> = models.iter().filter(|model| model.mine).collect();
    html! {
        div.heading { h1 { "Connect" } p.whose { "no key is needed: the tailnet says who you are" } }
        @if mine.is_empty() {
            (layout::nothing("No grant opens a model for you yet, so a client would be refused. Ask an admin of this gateway."))
        } @else {
            (trial(&mine))
        }
        p.prose {
            "A client needs its base URL and nothing else. Where it insists on a key, give " code { "-" } ": it is dropped. "
            a href=(Route::Models.path()) { "Models" } " lists what you may use."
        }
        nav.tabs.toc aria-label="Clients" {
            @for snippet in snippets(frame.host, &mine) { a href={ "#" (snippet.id) } { (snippet.client) } }
        }
        @for snippet in snippets(frame.host, &mine) {
            section id=(snippet.id) {
                h2 { (snippet.client) }
                p.note.place { (snippet.place) }
                (layout::copyable(&format!("{}-text", snippet.id), &snippet.text))
                @if !snippet.note.is_empty() { p.note { (snippet.note) } }
            }
        }
    }
}

/// The first model that is served over a path.
fn over<'a>(mine: &[&'a Model], endpoint: Endpoint) -> Option<&'a Model> {
    let mut serving = mine
        .iter()
        .filter(|model| model.paths.contains(&endpoint.path()));
    serving.next().copied()
}

/// The name that reaches exactly this model.
fn named(model: &Model) -> String {
    if model.shadowed {
        format!("{}/{}", model.provider, model.name)
    } else {
        model.name.clone()
    }
}

/// The smallest request of each kind that a browser can make here.
fn smallest(model: &Model) -> Option<(&'static str, String)> {
    let name = named(model);
    let say = "Reply with the word: hello";
    let has = |endpoint: Endpoint| model.paths.contains(&endpoint.path());
    let (endpoint, body) = if has(Endpoint::AnthropicMessages) {
        let messages = json!([{ "role": "user", "content": say }]);
        (
            Endpoint::AnthropicMessages,
            json!({ "model": name, "max_tokens": 16, "messages": messages }),
        )
    } else if has(Endpoint::OpenaiChat) {
        let messages = json!([{ "role": "user", "content": say }]);
        (
            Endpoint::OpenaiChat,
            json!({ "model": name, "messages": messages }),
        )
    } else if has(Endpoint::OpenaiResponses) {
        (
            Endpoint::OpenaiResponses,
            json!({ "model": name, "input": say }),
        )
    } else {
        return None;
    };
    Some((endpoint.path(), ascii(&body.to_string())))
}

/// JSON in which no character can deceive: it stands in an attribute, where nothing makes it visible.
fn ascii(json: &str) -> String {
    let mut out = String::with_capacity(json.len());
    for c in json.chars() {
        if c.is_ascii() {
            out.push(c);
        } else {
            for unit in c.encode_utf16(&mut [0; 2]) {
                let _ = write!(out, "\\u{unit:04x}");
            }
        }
    }
    out
}

fn trial(mine: &[&Model]) -> Markup {
    let choices: Vec<(String, &'static str, String)> = mine
        .iter()
        .filter_map(|model| {
            let (path, body) = smallest(model)?;
            Some((named(model), path, body))
        })
        .collect();
    html! {
        @if !choices.is_empty() {
            // Shown by the script, without which it could do nothing.
            form.trial data-try hidden {
                label {
                    span { "Try it: one small request, which counts as yours" }
                    select name="model" {
                        @for (name, path, body) in &choices {
                            option data-path=(path) data-body=(body) { (format::clip(name, 80)) }
                        }
                    }
                }
                button type="submit" { "Send" }
                output aria-live="polite" {}
            }
        }
    }
}

fn snippets(host: &str, mine: &[&Model]) -> Vec<Snippet> {
    let base = format!("http://{host}");
    let or = |endpoint, fallback: &str| over(mine, endpoint).map_or(fallback.to_owned(), named);
    let messages = or(Endpoint::AnthropicMessages, "claude-haiku-4-5");
    let chat = or(Endpoint::OpenaiChat, "gpt-4o-mini");
    let responses = or(Endpoint::OpenaiResponses, "gpt-5");
    let curl = if over(mine, Endpoint::AnthropicMessages).is_some() {
        format!(
            "curl -s {base}/v1/messages -H 'content-type: application/json' \\\n  -d '{}'",
            json!({ "model": messages, "max_tokens": 25, "messages": [{ "role": "user", "content": "respond with: hello" }] })
        )
    } else {
        format!(
            "curl -s {base}/v1/chat/completions -H 'content-type: application/json' \\\n  -d '{}'",
            json!({ "model": chat, "messages": [{ "role": "user", "content": "respond with: hello" }] })
        )
    };
    vec![
        Snippet {
            id: "claude-code",
            client: "Claude Code",
            place: "~/.claude/settings.json",
            text: format!(
                "{{\"apiKeyHelper\": \"echo '-'\", \"env\": {{\"ANTHROPIC_BASE_URL\": \"{base}\"}}}}"
            ),
            note: "Its default model must be among those that you may use, or be replaced by --model.",
        },
        Snippet {
            id: "codex",
            client: "Codex",
            place: "~/.codex/config.toml",
            text: format!(
                "model = \"{responses}\"\nmodel_provider = \"aperture\"\n\n[model_providers.aperture]\nname = \"Aperture\"\nbase_url = \"{base}/v1\"\nwire_api = \"responses\""
            ),
            note: "",
        },
        Snippet {
            id: "opencode",
            client: "OpenCode",
            place: "opencode.json; for Anthropic's models the same options under \"anthropic\"",
            text: format!(
                "{{\"provider\": {{\"openai\": {{\"options\": {{\"baseURL\": \"{base}/v1\", \"apiKey\": \"-\"}}}}}}}}"
            ),
            note: "It asks for each session's title by a small model of its own choice, which should be granted too.",
        },
        Snippet {
            id: "sdk-anthropic",
            client: "Anthropic SDK",
            place: "Python",
            text: format!(
                "from anthropic import Anthropic\n\nclient = Anthropic(base_url=\"{base}\", api_key=\"-\")\nclient.messages.create(model=\"{messages}\", max_tokens=200, messages=[{{\"role\": \"user\", \"content\": \"hello\"}}])"
            ),
            note: "",
        },
        Snippet {
            id: "sdk-openai",
            client: "OpenAI SDK",
            place: "Python; any tool that takes an OpenAI base URL wants the same one",
            text: format!(
                "from openai import OpenAI\n\nclient = OpenAI(base_url=\"{base}/v1\", api_key=\"-\")\nclient.chat.completions.create(model=\"{chat}\", messages=[{{\"role\": \"user\", \"content\": \"hello\"}}])"
            ),
            note: "",
        },
        Snippet {
            id: "curl",
            client: "curl",
            place: "A terminal",
            text: curl,
            note: "",
        },
    ]
}
