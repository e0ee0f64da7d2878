//! The kinds of providers that `init` knows: a table.

/// What else is asked about a provider.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Needs {
    /// Nothing.
    Nothing,
    /// A region, which is part of the address.
    Region,
    /// A project and a region.
    Project,
    /// Its address.
    Address,
}

/// One kind.
#[derive(Debug)]
pub(super) struct Kind {
    /// The word for it, which is also the provider's id.
    pub(super) name: &'static str,
    /// For people.
    pub(super) title: &'static str,
    /// The address; `REGION` in it is filled in.
    pub(super) base: &'static str,
    /// How a key is sent.
    pub(super) authorization: &'static str,
    /// The variable that usually has the key.
    pub(super) variable: &'static str,
    /// Compatibility flags.
    pub(super) flags: &'static [&'static str],
    /// Models that are offered when the provider can't be asked, and chosen from when it can.
    pub(super) models: &'static [&'static str],
    /// What else is asked.
    pub(super) needs: Needs,
}

/// The table.
pub(super) const KINDS: [Kind; 7] = [
    Kind {
        name: "anthropic",
        title: "Anthropic",
        base: "https://api.anthropic.com",
        authorization: "x-api-key",
        variable: "ANTHROPIC_API_KEY",
        flags: &["anthropic_messages"],
        models: &["claude-sonnet-4-5", "claude-haiku-4-5", "claude-opus-4-5"],
        needs: Needs::Nothing,
    },
    Kind {
        name: "openai",
        title: "OpenAI",
        base: "https://api.openai.com",
        authorization: "bearer",
        variable: "OPENAI_API_KEY",
        flags: &["openai_chat", "openai_responses"],
        models: &["gpt-5", "gpt-5-mini", "gpt-5.1-codex"],
        needs: Needs::Nothing,
    },
    Kind {
        name: "gemini",
        title: "Google Gemini",
        base: "https://generativelanguage.googleapis.com",
        authorization: "x-goog-api-key",
        variable: "GEMINI_API_KEY",
        flags: &["gemini_generate_content"],
        models: &["gemini-2.5-flash", "gemini-2.5-pro"],
        needs: Needs::Nothing,
    },
    Kind {
        name: "openrouter",
        title: "OpenRouter",
        base: "https://openrouter.ai/api",
        authorization: "bearer",
        variable: "OPENROUTER_API_KEY",
        flags: &["openai_chat"],
        models: &["openai/gpt-5-mini", "anthropic/claude-haiku-4.5"],
        needs: Needs::Nothing,
    },
    Kind {
        name: "bedrock",
        title: "Amazon Bedrock, with an API key",
        base: "https://bedrock-runtime.REGION.amazonaws.com",
        authorization: "bearer",
        variable: "BEDROCK_API_KEY",
        flags: &["bedrock"],
        models: &["us.anthropic.claude-haiku-4-5-20251001-v1:0"],
        needs: Needs::Region,
    },
    Kind {
        name: "vertex",
        title: "Vertex AI, with a service account's key file or the host's own credentials (adc)",
        base: "https://aiplatform.googleapis.com",
        authorization: "",
        variable: "",
        flags: &["vertex"],
        models: &["gemini-2.5-flash"],
        needs: Needs::Project,
    },
    Kind {
        name: "self-hosted",
        title: "a model server of your own (llama.cpp, vLLM, Ollama)",
        base: "",
        authorization: "bearer",
        variable: "",
        flags: &["openai_chat"],
        models: &[],
        needs: Needs::Address,
    },
];

/// The kind of that name.
pub(super) fn find(name: &str) -> Option<&'static Kind> {
    KINDS.iter().find(|kind| kind.name == name)
}
