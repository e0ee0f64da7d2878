//! The clients that are known, and what each has to be told. Pure data.
//!
//! Owns: [`CLIENTS`]. `fill` replaces what stands between `@` signs: `@HOST@` (the gateway), `@HTTPS@` (the same over TLS, by a
//! name with a dot), `@MODEL@` (one that the caller may use), `@MODELS@` (all of them, as JSON objects with an `id`),
//! `@OPUS@`, `@SONNET@`, `@HAIKU@` (of these families). Must not know: who reads it.

use crate::endpoint::Dialect;

/// One client.
#[derive(Debug)]
pub struct Client {
    /// What it is called on the command line.
    pub id: &'static str,
    /// What it is called.
    pub name: &'static str,
    /// The ways to set it up, the usual one first.
    pub setups: &'static [Setup],
    /// What else one should know.
    pub notes: &'static [&'static str],
}

/// One way to set a client up.
#[derive(Debug)]
pub struct Setup {
    /// What it is called on the command line (`--setup`).
    pub id: &'static str,
    /// The formats of which the provider must speak one.
    pub dialects: &'static [Dialect],
    /// The model that stands there when nothing is known of the gateway.
    pub model: &'static str,
    /// Where the text goes, below the home directory; none for a shell or a program.
    pub file: Option<&'static str>,
    /// What the text is.
    pub format: Format,
    /// The text.
    pub text: &'static str,
}

/// What a text is, by the name that its block has in Markdown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// JSON; the client's own file may have comments.
    Json,
    /// TOML.
    Toml,
    /// YAML.
    Yaml,
    /// Commands and variables for a shell.
    Shell,
    /// Python.
    Python,
    /// JavaScript.
    JavaScript,
}

impl Format {
    /// The name in Markdown.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Json => "json",
            Self::Toml => "toml",
            Self::Yaml => "yaml",
            Self::Shell => "sh",
            Self::Python => "python",
            Self::JavaScript => "js",
        }
    }
}

const ANTHROPIC: &[Dialect] = &[Dialect::AnthropicMessages];
const CHAT: &[Dialect] = &[Dialect::OpenaiChat];
const RESPONSES: &[Dialect] = &[Dialect::OpenaiResponses];
const GEMINI: &[Dialect] = &[Dialect::GeminiGenerateContent];
const VERTEX: &[Dialect] = &[Dialect::GoogleRawPredict];
const INVOKE: &[Dialect] = &[Dialect::BedrockModelInvoke];
const CONVERSE: &[Dialect] = &[Dialect::BedrockConverse];

const CLAUDE: &str = "claude-haiku-4-5-20251001";
const BEDROCK_CLAUDE: &str = "us.anthropic.claude-sonnet-4-5-20250929-v1:0";

const fn shell(
    id: &'static str,
    dialects: &'static [Dialect],
    model: &'static str,
    text: &'static str,
) -> Setup {
    Setup {
        id,
        dialects,
        model,
        file: None,
        format: Format::Shell,
        text,
    }
}

const fn code(
    id: &'static str,
    dialects: &'static [Dialect],
    model: &'static str,
    format: Format,
    text: &'static str,
) -> Setup {
    Setup {
        id,
        dialects,
        model,
        file: None,
        format,
        text,
    }
}

const fn file(
    id: &'static str,
    dialects: &'static [Dialect],
    model: &'static str,
    file: &'static str,
    format: Format,
    text: &'static str,
) -> Setup {
    Setup {
        id,
        dialects,
        model,
        file: Some(file),
        format,
        text,
    }
}

/// The clients.
pub const CLIENTS: &[Client] = &[
    Client {
        id: "claude-code",
        name: "Claude Code",
        setups: &[
            file(
                "settings",
                ANTHROPIC,
                CLAUDE,
                ".claude/settings.json",
                Format::Json,
                r#"{"apiKeyHelper": "echo '-'", "env": {"ANTHROPIC_BASE_URL": "@HOST@"}}
"#,
            ),
            shell(
                "environment",
                ANTHROPIC,
                CLAUDE,
                "ANTHROPIC_BASE_URL=@HOST@ ANTHROPIC_AUTH_TOKEN=- claude\n",
            ),
            file(
                "version-1",
                ANTHROPIC,
                "claude-sonnet-4-5",
                ".claude/settings.json",
                Format::Json,
                r#"{"model": "@MODEL@", "env": {"ANTHROPIC_AUTH_TOKEN": "bearer-managed", "ANTHROPIC_BASE_URL": "@HOST@"}}
"#,
            ),
            file(
                "bedrock",
                INVOKE,
                BEDROCK_CLAUDE,
                ".claude/settings.json",
                Format::Json,
                r#"{
  "env": {
    "CLAUDE_CODE_USE_BEDROCK": "1",
    "CLAUDE_CODE_SKIP_BEDROCK_AUTH": "1",
    "ANTHROPIC_BEDROCK_BASE_URL": "@HOST@/bedrock",
    "ANTHROPIC_MODEL": "@MODEL@",
    "ANTHROPIC_DEFAULT_OPUS_MODEL": "@OPUS@",
    "ANTHROPIC_DEFAULT_SONNET_MODEL": "@SONNET@",
    "ANTHROPIC_DEFAULT_HAIKU_MODEL": "@HAIKU@"
  }
}
"#,
            ),
            file(
                "vertex",
                VERTEX,
                "claude-sonnet-4-5@20250929",
                ".claude/settings.json",
                Format::Json,
                r#"{
  "env": {
    "CLAUDE_CODE_USE_VERTEX": "1",
    "CLAUDE_CODE_SKIP_VERTEX_AUTH": "1",
    "CLOUD_ML_REGION": "global",
    "ANTHROPIC_VERTEX_PROJECT_ID": "_aperture_auto_vertex_project_id_",
    "ANTHROPIC_VERTEX_BASE_URL": "@HOST@/v1",
    "ANTHROPIC_MODEL": "@MODEL@"
  }
}
"#,
            ),
        ],
        notes: &[
            "Version 1 wants its model named: that is the setup `version-1`. Project and region of `vertex` are placeholders; the gateway \
             puts the provider's own in.",
            "Its sessions are grouped by the session id that it sends, over `-c` and `--resume`; sub-agents appear inside their session.",
            "Its default model must be among the provider's `models` and granted to you, or be replaced by `--model`. With \
             `CLAUDE_CODE_ENABLE_GATEWAY_MODEL_DISCOVERY=1` it offers the models that the gateway lists for you.",
            "In VS Code set `claudeCode.disableLoginPrompt` to `true`.",
        ],
    },
    Client {
        id: "codex",
        name: "Codex",
        setups: &[file(
            "config",
            RESPONSES,
            "gpt-5",
            ".codex/config.toml",
            Format::Toml,
            r#"model = "@MODEL@"
model_provider = "aperture"

[model_providers.aperture]
name = "Aperture"
base_url = "@HOST@/v1"
wire_api = "responses"
"#,
        )],
        notes: &[
            "The built-in provider (`openai_base_url = \"http://ai/v1\"` and any `CODEX_API_KEY`) tries a WebSocket first; the gateway \
             answers 426, and it goes on over HTTP at once. `OPENAI_BASE_URL` is ignored. `codex exec resume` stays in its session.",
        ],
    },
    Client {
        id: "gemini-cli",
        name: "Gemini CLI",
        setups: &[
            shell(
                "environment",
                GEMINI,
                "gemini-2.5-pro",
                "GEMINI_API_KEY=- GOOGLE_GEMINI_BASE_URL=@HTTPS@ gemini -m @MODEL@\n",
            ),
            file(
                "settings",
                GEMINI,
                "gemini-2.5-pro",
                ".gemini/settings.json",
                Format::Json,
                r#"{"security": {"auth": {"selectedType": "gemini-api-key"}}}
"#,
            ),
            shell(
                "vertex",
                &[Dialect::GoogleGenerateContent],
                "gemini-2.5-pro",
                "GOOGLE_API_KEY=- GOOGLE_GENAI_USE_VERTEXAI=true GOOGLE_VERTEX_BASE_URL=@HTTPS@ gemini -m @MODEL@\n",
            ),
        ],
        notes: &[
            "From 0.40 on its URL must be https, by a name with a dot (http is for localhost alone): the gateway must run with `--tls`. \
             Versions before that take `GEMINI_BASE_URL=http://ai`.",
            "`vertex` needs `\"selectedType\": \"vertex-ai\"` and, at the provider, `experimental_gemini_cli_vertex_compat`.",
            "In a directory that is not trusted, run it with `GEMINI_CLI_TRUST_WORKSPACE=true`.",
        ],
    },
    Client {
        id: "opencode",
        name: "OpenCode",
        setups: &[
            file(
                "openai",
                RESPONSES,
                "gpt-5",
                ".config/opencode/opencode.json",
                Format::Json,
                r#"{"provider": {"openai": {"options": {"baseURL": "@HOST@/v1", "apiKey": "-"}}}}
"#,
            ),
            file(
                "anthropic",
                ANTHROPIC,
                CLAUDE,
                ".config/opencode/opencode.json",
                Format::Json,
                r#"{"provider": {"anthropic": {"options": {"baseURL": "@HOST@/v1", "apiKey": "-"}}}}
"#,
            ),
            file(
                "chat",
                CHAT,
                "gpt-4o",
                ".config/opencode/opencode.json",
                Format::Json,
                r#"{
  "provider": {
    "aperture": {
      "npm": "@ai-sdk/openai-compatible",
      "name": "Aperture",
      "options": {"baseURL": "@HOST@/v1", "apiKey": "-"},
      "models": {"@MODEL@": {}}
    }
  }
}
"#,
            ),
            file(
                "gemini",
                GEMINI,
                "gemini-2.5-pro",
                ".config/opencode/opencode.json",
                Format::Json,
                r#"{"provider": {"google": {"options": {"baseURL": "@HOST@/v1beta", "apiKey": "-"}}}}
"#,
            ),
            file(
                "bedrock",
                CONVERSE,
                BEDROCK_CLAUDE,
                ".config/opencode/opencode.json",
                Format::Json,
                r#"{"provider": {"amazon-bedrock": {"options": {"endpoint": "@HOST@/bedrock", "region": "us-east-1"}}}}
"#,
            ),
        ],
        notes: &[
            "It asks for each session's title by a small model of its own choice (`gpt-5.4-nano`, `claude-haiku-4-5-20251001`), which should \
             be granted too.",
            "`bedrock` also wants `AWS_BEARER_TOKEN_BEDROCK=-` in the environment, and puts `us.` or `global.` in front of models.",
        ],
    },
    Client {
        id: "cline",
        name: "Cline",
        setups: &[
            shell(
                "chat",
                CHAT,
                "gpt-4o",
                "cline auth -p openai-compatible -k not-needed -m @MODEL@ -b @HOST@/v1\n",
            ),
            shell(
                "responses",
                RESPONSES,
                "gpt-5",
                "cline auth -p openai-native -k not-needed -m @MODEL@ -b @HOST@/v1\n",
            ),
        ],
        notes: &[
            "For Anthropic and Gemini write `baseUrl` (`http://ai/v1`, `http://ai/v1beta`) into `~/.cline/data/settings/providers.json`. In \
             the editor choose \"OpenAI Compatible\" with the same URL and any key.",
        ],
    },
    Client {
        id: "continue",
        name: "Continue",
        setups: &[file(
            "config",
            &[Dialect::OpenaiChat, Dialect::OpenaiResponses],
            "gpt-4o",
            ".continue/aperture.yaml",
            Format::Yaml,
            r#"name: Aperture
version: 1.0.0
schema: v1
models:
  - name: "@MODEL@"
    provider: openai
    model: "@MODEL@"
    apiBase: "@HOST@/v1"
    apiKey: "-"
"#,
        )],
        notes: &[
            "A file of its own, for `cn --config ~/.continue/aperture.yaml`; the editor's `config.yaml` takes the entry of `models`.",
        ],
    },
    Client {
        id: "aider",
        name: "Aider",
        setups: &[
            shell(
                "chat",
                CHAT,
                "gpt-4o",
                "OPENAI_API_BASE=@HOST@/v1 OPENAI_API_KEY=- aider --model openai/@MODEL@\n",
            ),
            shell(
                "anthropic",
                ANTHROPIC,
                CLAUDE,
                "ANTHROPIC_API_BASE=@HOST@ ANTHROPIC_API_KEY=- aider --model anthropic/@MODEL@\n",
            ),
            shell(
                "gemini",
                GEMINI,
                "gemini-2.5-pro",
                "GEMINI_API_BASE=@HOST@/v1beta GEMINI_API_KEY=- aider --model gemini/@MODEL@\n",
            ),
        ],
        notes: &["It asks for no token counts in streams; the gateway does that for it."],
    },
    Client {
        id: "llm",
        name: "llm",
        setups: &[
            shell(
                "openai",
                &[Dialect::OpenaiChat, Dialect::OpenaiResponses],
                "gpt-4o",
                "OPENAI_BASE_URL=@HOST@/v1 OPENAI_API_KEY=- llm -m @MODEL@ 'respond with: hello'\n",
            ),
            shell(
                "anthropic",
                ANTHROPIC,
                CLAUDE,
                "ANTHROPIC_BASE_URL=@HOST@ ANTHROPIC_API_KEY=- llm -m @MODEL@ 'respond with: hello'\n",
            ),
        ],
        notes: &["`anthropic` needs the plugin `llm-anthropic`."],
    },
    Client {
        id: "copilot-cli",
        name: "GitHub Copilot CLI",
        setups: &[
            shell(
                "chat",
                CHAT,
                "gpt-4o",
                "COPILOT_OFFLINE=true COPILOT_PROVIDER_TYPE=openai COPILOT_PROVIDER_BASE_URL=@HOST@/v1 COPILOT_PROVIDER_API_KEY=not-needed COPILOT_MODEL=@MODEL@ copilot\n",
            ),
            shell(
                "responses",
                RESPONSES,
                "gpt-5",
                "COPILOT_OFFLINE=true COPILOT_PROVIDER_TYPE=openai COPILOT_PROVIDER_WIRE_API=responses COPILOT_PROVIDER_BASE_URL=@HOST@/v1 COPILOT_PROVIDER_API_KEY=not-needed COPILOT_MODEL=@MODEL@ copilot\n",
            ),
            shell(
                "anthropic",
                ANTHROPIC,
                CLAUDE,
                "COPILOT_OFFLINE=true COPILOT_PROVIDER_TYPE=anthropic COPILOT_PROVIDER_BASE_URL=@HOST@ COPILOT_PROVIDER_API_KEY=not-needed COPILOT_MODEL=@MODEL@ copilot\n",
            ),
        ],
        notes: &["No login to GitHub is needed in this mode."],
    },
    Client {
        id: "goose",
        name: "Goose",
        setups: &[
            shell(
                "openai",
                &[Dialect::OpenaiChat, Dialect::OpenaiResponses],
                "gpt-4o",
                "GOOSE_PROVIDER=openai GOOSE_MODEL=@MODEL@ OPENAI_HOST=@HOST@ OPENAI_API_KEY=- goose session\n",
            ),
            shell(
                "anthropic",
                ANTHROPIC,
                CLAUDE,
                "GOOSE_PROVIDER=anthropic GOOSE_MODEL=@MODEL@ ANTHROPIC_HOST=@HOST@ ANTHROPIC_API_KEY=- goose session\n",
            ),
            shell(
                "gemini",
                GEMINI,
                "gemini-2.5-pro",
                "GOOSE_PROVIDER=google GOOSE_MODEL=@MODEL@ GOOGLE_HOST=@HOST@ GOOGLE_API_KEY=- goose session\n",
            ),
            shell(
                "bedrock",
                CONVERSE,
                BEDROCK_CLAUDE,
                "GOOSE_PROVIDER=aws_bedrock GOOSE_MODEL=@MODEL@ AWS_ENDPOINT_URL_BEDROCK_RUNTIME=@HOST@/bedrock AWS_BEARER_TOKEN_BEDROCK=- AWS_REGION=us-east-1 goose session\n",
            ),
        ],
        notes: &["`GOOSE_DISABLE_KEYRING=1` keeps it from asking the keyring for a key."],
    },
    Client {
        id: "kilo",
        name: "Kilo",
        setups: &[code(
            "chat",
            CHAT,
            "gpt-4o",
            Format::Json,
            r#"{
  "provider": {
    "aperture": {
      "npm": "@ai-sdk/openai-compatible",
      "name": "Aperture",
      "options": {"baseURL": "@HOST@/v1", "apiKey": "-"},
      "models": {"@MODEL@": {}}
    }
  }
}
"#,
        )],
        notes: &[
            "Its configuration has OpenCode's form. In the editor choose \"OpenAI Compatible\" with `http://ai/v1` and any key.",
        ],
    },
    Client {
        id: "pi",
        name: "pi",
        setups: &[
            file(
                "chat",
                CHAT,
                "gpt-4o",
                ".pi/agent/models.json",
                Format::Json,
                r#"{"providers": {"aperture": {"baseUrl": "@HOST@/v1", "api": "openai-completions", "apiKey": "-", "models": [@MODELS@]}}}
"#,
            ),
            file(
                "responses",
                RESPONSES,
                "gpt-5",
                ".pi/agent/models.json",
                Format::Json,
                r#"{"providers": {"aperture-responses": {"baseUrl": "@HOST@/v1", "api": "openai-responses", "apiKey": "-", "models": [@MODELS@]}}}
"#,
            ),
            file(
                "anthropic",
                ANTHROPIC,
                CLAUDE,
                ".pi/agent/models.json",
                Format::Json,
                r#"{"providers": {"aperture-anthropic": {"baseUrl": "@HOST@", "api": "anthropic-messages", "apiKey": "-", "models": [@MODELS@]}}}
"#,
            ),
            file(
                "gemini",
                GEMINI,
                "gemini-2.5-pro",
                ".pi/agent/models.json",
                Format::Json,
                r#"{"providers": {"aperture-gemini": {"baseUrl": "@HOST@/v1beta", "api": "google-generative-ai", "apiKey": "-", "models": [@MODELS@]}}}
"#,
            ),
        ],
        notes: &["Then `pi --model aperture/MODEL`."],
    },
    Client {
        id: "qwen-code",
        name: "Qwen Code",
        setups: &[shell(
            "chat",
            CHAT,
            "gpt-4o",
            "OPENAI_BASE_URL=@HOST@/v1 OPENAI_API_KEY=- OPENAI_MODEL=@MODEL@ qwen --auth-type openai\n",
        )],
        notes: &[],
    },
    Client {
        id: "anthropic-sdk",
        name: "Anthropic SDKs",
        setups: &[
            code(
                "python",
                ANTHROPIC,
                CLAUDE,
                Format::Python,
                "import anthropic\n\nclient = anthropic.Anthropic(base_url=\"@HOST@\", api_key=\"-\")\n",
            ),
            code(
                "js",
                ANTHROPIC,
                CLAUDE,
                Format::JavaScript,
                "import Anthropic from \"@anthropic-ai/sdk\";\n\nconst client = new Anthropic({ baseURL: \"@HOST@\", apiKey: \"-\" });\n",
            ),
            code(
                "bedrock",
                INVOKE,
                BEDROCK_CLAUDE,
                Format::Python,
                "import anthropic\n\nclient = anthropic.AnthropicBedrock(\n    base_url=\"@HOST@/bedrock\", aws_access_key=\"-\", aws_secret_key=\"-\", aws_region=\"us-east-1\"\n)\n",
            ),
            code(
                "vertex",
                VERTEX,
                "claude-sonnet-4-5@20250929",
                Format::Python,
                "import anthropic\n\nclient = anthropic.AnthropicVertex(\n    base_url=\"@HOST@/v1\", region=\"global\", project_id=\"-\", access_token=\"-\"\n)\n",
            ),
        ],
        notes: &[],
    },
    Client {
        id: "openai-sdk",
        name: "OpenAI SDKs, and anything compatible",
        setups: &[
            code(
                "python",
                &[Dialect::OpenaiChat, Dialect::OpenaiResponses],
                "gpt-4o",
                Format::Python,
                "import openai\n\nclient = openai.OpenAI(base_url=\"@HOST@/v1\", api_key=\"-\")\n",
            ),
            code(
                "js",
                &[Dialect::OpenaiChat, Dialect::OpenaiResponses],
                "gpt-4o",
                Format::JavaScript,
                "import OpenAI from \"openai\";\n\nconst client = new OpenAI({ baseURL: \"@HOST@/v1\", apiKey: \"-\" });\n",
            ),
        ],
        notes: &[
            "Any tool that takes an OpenAI-compatible base URL takes `http://ai/v1` and any key. Cursor's requests leave from its own servers, \
                  which are not on your tailnet.",
        ],
    },
    Client {
        id: "google-sdk",
        name: "Google Gen AI SDKs",
        setups: &[
            code(
                "python",
                GEMINI,
                "gemini-2.5-pro",
                Format::Python,
                "from google import genai\n\nclient = genai.Client(api_key=\"-\", http_options={\"base_url\": \"@HOST@\"})\n",
            ),
            code(
                "js",
                GEMINI,
                "gemini-2.5-pro",
                Format::JavaScript,
                "import { GoogleGenAI } from \"@google/genai\";\n\nconst client = new GoogleGenAI({ apiKey: \"-\", httpOptions: { baseUrl: \"@HOST@\" } });\n",
            ),
        ],
        notes: &[],
    },
    Client {
        id: "boto3",
        name: "boto3",
        setups: &[code(
            "python",
            CONVERSE,
            BEDROCK_CLAUDE,
            Format::Python,
            "import boto3\n\nclient = boto3.client(\n    \"bedrock-runtime\", endpoint_url=\"@HOST@/bedrock\", region_name=\"us-east-1\",\n    aws_access_key_id=\"-\", aws_secret_access_key=\"-\",\n)\n",
        )],
        notes: &[
            "It refuses a bearer key (`AWS_BEARER_TOKEN_BEDROCK`) over http: use these keys, which sign for nobody, or `--tls`.",
        ],
    },
    Client {
        id: "langchain",
        name: "LangChain and LiteLLM",
        setups: &[
            code(
                "langchain",
                CHAT,
                "gpt-4o",
                Format::Python,
                "from langchain_openai import ChatOpenAI\n\nmodel = ChatOpenAI(model=\"@MODEL@\", base_url=\"@HOST@/v1\", api_key=\"-\")\n",
            ),
            code(
                "litellm",
                CHAT,
                "gpt-4o",
                Format::Python,
                "import litellm\n\nlitellm.completion(\n    model=\"openai/@MODEL@\", api_base=\"@HOST@/v1\", api_key=\"-\",\n    messages=[{\"role\": \"user\", \"content\": \"respond with: hello\"}],\n)\n",
            ),
        ],
        notes: &[],
    },
    Client {
        id: "curl",
        name: "curl",
        setups: &[
            shell(
                "anthropic",
                ANTHROPIC,
                CLAUDE,
                "curl -s @HOST@/v1/messages -H \"Content-Type: application/json\" \\\n  -d '{\"model\":\"@MODEL@\",\"max_tokens\":25,\"messages\":[{\"role\":\"user\",\"content\":\"respond with: hello\"}]}'\n",
            ),
            shell(
                "chat",
                CHAT,
                "gpt-4o",
                "curl -s @HOST@/v1/chat/completions -H \"Content-Type: application/json\" \\\n  -d '{\"model\":\"@MODEL@\",\"messages\":[{\"role\":\"user\",\"content\":\"respond with: hello\"}]}'\n",
            ),
        ],
        notes: &[],
    },
];
