//! Kinds of providers that the form knows: what is the same for everybody who uses one.
//!
//! Owns: one table. Must not know: pages, documents.

/// One kind.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::dashboard) struct Preset {
    /// Its name in addresses, and the id that a first one of it gets.
    pub(in crate::dashboard) kind: &'static str,
    pub(in crate::dashboard) name: &'static str,
    /// What it is, in a line.
    pub(in crate::dashboard) about: &'static str,
    pub(in crate::dashboard) baseurl: &'static str,
    /// What to look at in the address before it is right; empty when it is right as it is.
    pub(in crate::dashboard) address_note: &'static str,
    pub(in crate::dashboard) pay: Pay,
    /// Where a key comes from.
    pub(in crate::dashboard) key_note: &'static str,
    /// Compatibility flags.
    pub(in crate::dashboard) flags: &'static [&'static str],
    /// Written into the document where it is not what is assumed anyway.
    pub(in crate::dashboard) cost_basis: &'static str,
    /// Such as people name models there.
    pub(in crate::dashboard) models: &'static str,
    pub(in crate::dashboard) tailnet: bool,
}

/// How one is paid.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::dashboard) enum Pay {
    /// With a key in a header.
    Key(&'static str),
    /// With tokens that are minted from a Google key file.
    KeyFile,
    /// With a key, if it asks for one.
    Perhaps,
}

/// All formats that a provider can be said to speak, and what they serve.
pub(in crate::dashboard) const FLAGS: [(&str, &str); 8] = [
    ("openai_chat", "/v1/chat/completions"),
    ("openai_responses", "/v1/responses"),
    ("anthropic_messages", "/v1/messages"),
    ("gemini_generate_content", "Gemini API"),
    ("google_generate_content", "Vertex AI, Gemini models"),
    ("google_raw_predict", "Vertex AI, Claude models"),
    ("bedrock_model_invoke", "Bedrock InvokeModel"),
    ("bedrock_converse", "Bedrock Converse"),
];

/// The kinds, in the order of the page.
pub(in crate::dashboard) const PRESETS: [Preset; 10] = [
    Preset {
        kind: "anthropic",
        name: "Anthropic",
        about: "Claude, straight from Anthropic",
        baseurl: "https://api.anthropic.com",
        address_note: "",
        pay: Pay::Key("x-api-key"),
        key_note: "Console → API keys; it begins with sk-ant-",
        flags: &["anthropic_messages"],
        cost_basis: "",
        models: "claude-sonnet-4-5",
        tailnet: false,
    },
    Preset {
        kind: "openai",
        name: "OpenAI",
        about: "Chat completions and responses",
        baseurl: "https://api.openai.com",
        address_note: "",
        pay: Pay::Key("bearer"),
        key_note: "Platform → API keys; it begins with sk-",
        flags: &["openai_chat", "openai_responses"],
        cost_basis: "",
        models: "gpt-5",
        tailnet: false,
    },
    Preset {
        kind: "gemini",
        name: "Google Gemini",
        about: "The Gemini API, with a key of AI Studio",
        baseurl: "https://generativelanguage.googleapis.com",
        address_note: "",
        pay: Pay::Key("x-goog-api-key"),
        key_note: "AI Studio → Get API key",
        flags: &["gemini_generate_content"],
        cost_basis: "",
        models: "gemini-2.5-pro",
        tailnet: false,
    },
    Preset {
        kind: "vertex",
        name: "Vertex AI",
        about: "Gemini and Claude in your own Google Cloud project",
        baseurl: "https://aiplatform.googleapis.com",
        address_note: "",
        pay: Pay::KeyFile,
        key_note: "The JSON key file of a service account with the role roles/aiplatform.user",
        flags: &["google_generate_content", "google_raw_predict"],
        cost_basis: "",
        models: "gemini-2.5-pro",
        tailnet: false,
    },
    Preset {
        kind: "vertex-express",
        name: "Vertex AI express",
        about: "Gemini on Vertex AI with a plain key",
        baseurl: "https://aiplatform.googleapis.com",
        address_note: "",
        pay: Pay::Key("x-goog-api-key"),
        key_note: "Google Cloud console → Vertex AI → express mode",
        flags: &["google_generate_content"],
        cost_basis: "",
        models: "gemini-2.5-flash",
        tailnet: false,
    },
    Preset {
        kind: "bedrock",
        name: "Amazon Bedrock",
        about: "With a long-term Bedrock API key",
        baseurl: "https://bedrock-runtime.us-east-1.amazonaws.com",
        address_note: "The region is part of the address: write yours in the place of us-east-1.",
        pay: Pay::Key("bearer"),
        key_note: "Bedrock console → API keys → long-term. For IAM keys and roles (aws-sigv4), edit the document as text.",
        flags: &["bedrock_model_invoke", "bedrock_converse"],
        cost_basis: "",
        models: "us.anthropic.claude-sonnet-4-5-20250929-v1:0",
        tailnet: false,
    },
    Preset {
        kind: "openrouter",
        name: "OpenRouter",
        about: "Models of many makers by one key",
        baseurl: "https://openrouter.ai/api",
        address_note: "",
        pay: Pay::Key("bearer"),
        key_note: "Settings → Keys; it begins with sk-or-",
        flags: &["openai_chat"],
        cost_basis: "openrouter",
        models: "qwen/qwen3-235b-a22b",
        tailnet: false,
    },
    Preset {
        kind: "vercel",
        name: "Vercel AI Gateway",
        about: "Models of many makers by one key",
        baseurl: "https://ai-gateway.vercel.sh",
        address_note: "",
        pay: Pay::Key("bearer"),
        key_note: "AI Gateway → API keys",
        flags: &["openai_chat", "openai_responses"],
        cost_basis: "vercel",
        models: "anthropic/claude-sonnet-4.5",
        tailnet: false,
    },
    Preset {
        kind: "self-hosted",
        name: "Self-hosted",
        about: "vLLM, llama.cpp, Ollama, … on a machine of your tailnet",
        baseurl: "http://",
        address_note: "Its name on the tailnet and its port, such as http://gpu-box:8000, without /v1.",
        pay: Pay::Perhaps,
        key_note: "Only if the server asks for one.",
        flags: &["openai_chat"],
        cost_basis: "",
        models: "qwen3-coder-30b",
        tailnet: true,
    },
    Preset {
        kind: "other",
        name: "Another one",
        about: "Any service that speaks one of the formats",
        baseurl: "https://",
        address_note: "Clients' paths (/v1/…) are appended: leave /v1 away.",
        pay: Pay::Key("bearer"),
        key_note: "",
        flags: &["openai_chat"],
        cost_basis: "",
        models: "",
        tailnet: false,
    },
];

/// The kind of that name.
pub(in crate::dashboard) fn preset(kind: &str) -> Option<&'static Preset> {
    PRESETS.iter().find(|preset| preset.kind == kind)
}
