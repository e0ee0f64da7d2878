//! The program that makes a request, as its header lines say.
//!
//! Owns: the table of programs. In: header lines. Out: a short name and a version, for records and session keys.
//! Not to be trusted for anything: any client can claim any name.

use crate::{record::Client, tap::clip};
use http::{HeaderMap, header::USER_AGENT};

/// Bytes of a name or a version that are kept.
const KEPT: usize = 60;

/// Products of `user-agent`, in lower case, and what they are called here. A product that ends with `*` is a beginning.
const PRODUCTS: [(&str, &str); 45] = [
    ("claude-cli", "claude-code"),
    ("codex*", "codex"),
    ("opencode", "opencode"),
    ("kilo-code", "kilo"),
    ("kilo", "kilo"),
    ("geminicli*", "gemini-cli"),
    ("qwencode", "qwen-code"),
    ("roocode", "roo-code"),
    ("cline", "cline"),
    ("goose", "goose"),
    ("aider", "aider"),
    ("copilot*", "copilot-cli"),
    ("mistral-vibe", "mistral-vibe"),
    ("claude-code", "claude-code"),
    ("mux", "mux"),
    ("crush", "crush"),
    ("zed", "zed"),
    ("continue*", "continue"),
    // Continue's class of the library has no longer name than this in its bundle.
    ("ls/js", "continue"),
    ("llm", "llm"),
    ("aws-sdk-rust", "aws-sdk-rust"),
    ("aws-sdk-java", "aws-sdk-java"),
    ("aws-sdk-go-v2", "aws-sdk-go"),
    ("anthropicbedrock/js", "anthropic-js"),
    ("anthropicvertex/js", "anthropic-js"),
    ("openai/python", "openai-python"),
    ("asyncopenai/python", "openai-python"),
    ("openai/js", "openai-js"),
    ("anthropic/python", "anthropic-python"),
    ("asyncanthropic/python", "anthropic-python"),
    ("anthropic/js", "anthropic-js"),
    ("anthropicbedrock/python", "anthropic-python"),
    ("anthropicbedrockmantle/python", "anthropic-python"),
    ("anthropicfoundry/python", "anthropic-python"),
    ("anthropicaws/python", "anthropic-python"),
    ("anthropicvertex/python", "anthropic-python"),
    ("agents/python", "openai-agents"),
    ("google-genai-sdk", "google-genai"),
    ("boto3", "boto3"),
    ("aws-sdk-js", "aws-sdk-js"),
    ("litellm", "litellm"),
    ("langchain*", "langchain"),
    ("pydantic-ai", "pydantic-ai"),
    ("ai-sdk", "ai-sdk"),
    ("curl", "curl"),
];

/// Libraries: another line may name the program that uses them.
const LIBRARIES: [&str; 12] = [
    "aws-sdk-rust",
    "aws-sdk-java",
    "aws-sdk-go",
    "python-httpx",
    "openai-python",
    "openai-js",
    "anthropic-python",
    "anthropic-js",
    "ai-sdk",
    "aws-sdk-js",
    "boto3",
    "google-genai",
];

/// The program that makes a request.
pub fn client_of(headers: &HeaderMap) -> Client {
    let line = |name: &str| {
        headers
            .get(name)
            .and_then(|value| value.to_str().ok())
            .map(str::trim)
            .filter(|value| !value.is_empty())
    };
    let by_agent = line(USER_AGENT.as_str()).map(of_user_agent);
    let is_program = |client: &Client| !LIBRARIES.contains(&client.name.as_str());
    if let Some(client) = by_agent.clone().filter(|client| is_program(client)) {
        return client;
    }
    let named = |name: &str| Client {
        name: name.to_owned(),
        version: String::new(),
    };
    if line("agent-session-id").is_some() {
        return named("goose");
    }
    // pi uses OpenAI's library and names its session as Codex once did.
    if line("session_id").is_some() && by_agent.as_ref().is_some_and(|one| one.name == "openai-js")
    {
        return named("pi");
    }
    // A library may be followed by the program, or the library above it.
    let agent = line(USER_AGENT.as_str()).unwrap_or_default();
    let later = agent.split(' ').skip(1).map(of_user_agent);
    let mut later = later.filter(|client| client.name == "langchain" || client.name == "goose");
    if let Some(client) = later.next() {
        return client;
    }
    if line("x-initiator").is_some() {
        return named("copilot-cli");
    }
    if line("x-affinity").is_some() {
        return named("mistral-vibe");
    }
    for name in ["x-title", "originator"] {
        if let Some(text) = line(name) {
            return named(&slug(text));
        }
    }
    by_agent
        .or_else(|| line("x-app").map(|app| named(&slug(app))))
        .unwrap_or_else(|| named("unknown"))
}

/// The first product of a `user-agent`: `name/version`, `vendor/language version`, or `name/detail/version`.
fn of_user_agent(text: &str) -> Client {
    let (first, rest) = text.split_once(' ').unwrap_or((text, ""));
    let lower = first.to_ascii_lowercase();
    let is_version = |part: &&str| part.starts_with(|c: char| c.is_ascii_digit());
    let version = first
        .split('/')
        .skip(1)
        .find(is_version)
        .or_else(|| rest.split(' ').next().filter(is_version))
        .unwrap_or("");
    let product = lower.split('/').next().unwrap_or("");
    let known = PRODUCTS.iter().find(|(pattern, _)| {
        if let Some(beginning) = pattern.strip_suffix('*') {
            product.starts_with(beginning)
        } else {
            *pattern == product || *pattern == lower
        }
    });
    Client {
        name: known.map_or_else(|| slug(product), |(_, name)| (*name).to_owned()),
        version: clip(version, KEPT).to_owned(),
    }
}

/// A name in small letters, digits and dashes.
fn slug(text: &str) -> String {
    let mut slug = String::new();
    for c in clip(text, KEPT).chars() {
        if c.is_ascii_alphanumeric() || c == '.' || c == '_' {
            slug.push(c.to_ascii_lowercase());
        } else if !slug.is_empty() && !slug.ends_with('-') {
            slug.push('-');
        }
    }
    slug.truncate(slug.trim_end_matches('-').len());
    if slug.is_empty() {
        slug.push_str("unknown");
    }
    slug
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Header lines, and the name and version that they give.
    type Case = (
        &'static [(&'static str, &'static str)],
        &'static str,
        &'static str,
    );

    const CASES: [Case; 26] = [
        (
            &[
                ("user-agent", "claude-cli/2.1.330 (external, sdk-cli)"),
                ("x-app", "cli"),
            ],
            "claude-code",
            "2.1.330",
        ),
        (
            &[
                (
                    "user-agent",
                    "codex_exec/0.169.0 (Debian 12.0.0; x86_64) dumb",
                ),
                ("originator", "codex_exec"),
            ],
            "codex",
            "0.169.0",
        ),
        (
            &[(
                "user-agent",
                "opencode/1.18.33 ai-sdk/provider-utils/4.0.23 runtime/bun/1.3",
            )],
            "opencode",
            "1.18.33",
        ),
        (
            &[
                ("user-agent", "Kilo-Code/7.7.9 ai-sdk/provider-utils/4.0.27"),
                ("x-title", "Kilo Code"),
            ],
            "kilo",
            "7.7.9",
        ),
        (
            &[(
                "user-agent",
                "kilo/latest/7.7.9/cli ai-sdk/provider-utils/4.0.27",
            )],
            "kilo",
            "7.7.9",
        ),
        (
            &[(
                "user-agent",
                "GeminiCLI-tui/0.61.0/gemini-2.5-pro (linux; x64)",
            )],
            "gemini-cli",
            "0.61.0",
        ),
        (
            &[("user-agent", "QwenCode/0.24.4 (linux; x64)")],
            "qwen-code",
            "0.24.4",
        ),
        (
            &[("user-agent", "OpenAI/Python 3.54.0")],
            "openai-python",
            "3.54.0",
        ),
        (
            &[("user-agent", "Anthropic/JS 1.12.0")],
            "anthropic-js",
            "1.12.0",
        ),
        (
            &[(
                "user-agent",
                "ai-sdk/openai-compatible/3.0.37 ai-sdk/provider-utils/5.0.30",
            )],
            "ai-sdk",
            "3.0.37",
        ),
        (
            &[("user-agent", "langchain-anthropic/1.7.7")],
            "langchain",
            "1.7.7",
        ),
        (
            &[("user-agent", "Agents/Python 0.20.0")],
            "openai-agents",
            "0.20.0",
        ),
        (&[("user-agent", "litellm/1.106.2")], "litellm", "1.106.2"),
        (
            &[("user-agent", "OpenAI/JS 5.20.1"), ("x-initiator", "agent")],
            "copilot-cli",
            "",
        ),
        (
            &[
                ("user-agent", "python-httpx/0.28.1"),
                ("x-affinity", "9cc8e520"),
            ],
            "mistral-vibe",
            "",
        ),
        (
            &[("user-agent", "python-httpx/0.28.1")],
            "python-httpx",
            "0.28.1",
        ),
        (
            &[("user-agent", "OpenAI/JS 5.20.1"), ("x-title", "Roo Code")],
            "roo-code",
            "",
        ),
        (&[("agent-session-id", "20261123_1")], "goose", ""),
        (
            &[
                (
                    "user-agent",
                    "aws-sdk-rust/1.3.11 os/linux lang/rust/1.92.0",
                ),
                ("agent-session-id", "20261123_1"),
            ],
            "goose",
            "",
        ),
        (
            &[("user-agent", "OpenAI/JS 6.26.0"), ("session_id", "01a2")],
            "pi",
            "",
        ),
        (
            &[(
                "user-agent",
                "google-genai-sdk/2.34.0 gl-python/3.11.7 langchain-google-genai/4.4.2-Chat",
            )],
            "langchain",
            "4.4.2-Chat",
        ),
        (&[("user-agent", "ls/JS 5.23.2")], "continue", "5.23.2"),
        (&[("user-agent", "curl/8.5.0")], "curl", "8.5.0"),
        (&[("user-agent", "my Tool")], "my", ""),
        (&[("user-agent", "///")], "unknown", ""),
        (&[], "unknown", ""),
    ];

    #[test]
    fn programs_by_their_lines() {
        for (lines, name, version) in CASES {
            let mut headers = HeaderMap::new();
            for (key, value) in lines {
                headers.insert(*key, value.parse().unwrap());
            }
            let client = client_of(&headers);
            assert_eq!(
                (client.name.as_str(), client.version.as_str()),
                (name, version),
                "{lines:?}"
            );
        }
    }
}
