//! Who there is, what they work with, and how much.

use crate::random::Random;

/// A program and the models that it is used with.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Tooling {
    pub(crate) client: &'static str,
    pub(crate) version: &'static str,
    /// (provider, model, tokens of output a second).
    pub(crate) models: &'static [(&'static str, &'static str, u64)],
    /// Tools, the more used first; none for programs that call a model and no more.
    pub(crate) tools: &'static [&'static str],
}

pub(crate) const TOOLING: [Tooling; 5] = [
    Tooling {
        client: "claude-code",
        version: "2.1.330",
        models: &[
            ("anthropic", "claude-sonnet-4-5", 70),
            ("anthropic", "claude-sonnet-4-5", 70),
            ("anthropic", "claude-opus-4-5", 45),
            ("anthropic", "claude-haiku-4-5", 140),
        ],
        tools: &[
            "Bash",
            "Read",
            "Edit",
            "Grep",
            "Bash",
            "Read",
            "Glob",
            "Write",
            "TodoWrite",
            "WebFetch",
            "mcp__github__search_issues",
            "mcp__github__get_pull_request",
            "mcp__sentry__list_errors",
        ],
    },
    Tooling {
        client: "codex",
        version: "0.169.0",
        models: &[
            ("openai", "gpt-5", 60),
            ("openai", "gpt-5", 60),
            ("openai", "gpt-5-mini", 120),
        ],
        tools: &[
            "shell",
            "apply_patch",
            "shell",
            "update_plan",
            "mcp__linear__list_issues",
        ],
    },
    Tooling {
        client: "opencode",
        version: "1.2.15",
        models: &[
            ("anthropic", "claude-sonnet-4-5", 70),
            ("private-llm", "qwen3-coder-480b", 50),
        ],
        tools: &["bash", "read", "edit", "grep", "glob", "list"],
    },
    Tooling {
        client: "openai-python",
        version: "2.8.0",
        models: &[("openai", "gpt-4o-mini", 110), ("openai", "gpt-4o", 80)],
        tools: &[],
    },
    Tooling {
        client: "aider",
        version: "0.86.1",
        models: &[
            ("private-llm", "qwen3-coder-480b", 50),
            ("anthropic", "claude-haiku-4-5", 140),
        ],
        tools: &[],
    },
];

const FIRST: [&str; 32] = [
    "amara", "boris", "chidi", "dalia", "emil", "farah", "goran", "hana", "ilse", "jonas", "keiko",
    "lars", "mina", "noor", "oskar", "priya", "quinn", "rosa", "sven", "tariq", "uma", "viktor",
    "wanda", "xin", "yara", "zoltan", "ayse", "bruno", "celia", "dmitri", "elif", "finn",
];

/// Somebody.
#[derive(Clone, Debug)]
pub(crate) struct Person {
    /// The stable key.
    pub(crate) user: String,
    pub(crate) login: String,
    pub(crate) node: String,
    /// What they mostly use: an index into [`TOOLING`].
    pub(crate) favourite: usize,
    /// How much they do beside the others.
    pub(crate) weight: u64,
    /// In which percent of the days they begin.
    pub(crate) since: u64,
    /// Whether they work at night and on Sundays, as programs do.
    pub(crate) program: bool,
}

impl Person {
    /// Somebody who exists.
    pub(crate) fn named(key: &str, login: &str) -> Self {
        let program = login.starts_with("tag:");
        Self {
            user: key.to_owned(),
            login: login.to_owned(),
            node: if program { "runner-1" } else { "laptop" }.to_owned(),
            favourite: if program { 3 } else { 0 },
            weight: 60,
            since: 0,
            program,
        }
    }

    /// The `n`th made-up one.
    pub(crate) fn made_up(n: u64, random: &mut Random) -> Self {
        let at = usize::try_from(n).expect("invariant: few people");
        let name = FIRST[at % FIRST.len()];
        let login = if at < FIRST.len() {
            format!("{name}@example.com")
        } else {
            format!("{name}.{}@example.com", at / FIRST.len())
        };
        Self {
            user: format!("user:{}", 700_000 + n),
            node: format!("{name}-laptop"),
            login,
            favourite: *random.pick(&[0, 0, 0, 0, 1, 1, 2, 4]),
            // A few do most of it.
            weight: 100 / (1 + random.below(20)) + 1,
            since: if random.chance(350) {
                0
            } else {
                random.below(85)
            },
            program: false,
        }
    }
}
