//! A record in the words of OpenTelemetry's semantic conventions for generative AI.
//!
//! Owns: the names of attributes, and what of a record each of them says. Names that no convention has begin with
//! `aperture.`. In: a record, and the provider that it names. Out: a span. Must not know: queues, collectors.

use super::{
    context::{Parent, span_id},
    export::Said,
    wire::{AnyValue, ArrayValue, Event, KeyValue, Span, Status, Value},
};
use crate::{
    config::Provider,
    endpoint::{Dialect, Endpoint, Work},
    record::{CostState, End, Record},
};
use std::time::Duration;

/// Bytes of one text that comes from clients or providers; content has bounds of its own.
const TEXT: usize = 1 << 10;

/// Hosts (and all below them) of providers that the conventions have names for.
const KNOWN: [(&str, &str); 14] = [
    ("anthropic.com", "anthropic"),
    ("openai.com", "openai"),
    ("openai.azure.com", "azure.ai.openai"),
    ("services.ai.azure.com", "azure.ai.inference"),
    ("generativelanguage.googleapis.com", "gcp.gemini"),
    ("aiplatform.googleapis.com", "gcp.vertex_ai"),
    ("amazonaws.com", "aws.bedrock"),
    ("mistral.ai", "mistral_ai"),
    ("deepseek.com", "deepseek"),
    ("groq.com", "groq"),
    ("x.ai", "x_ai"),
    ("perplexity.ai", "perplexity"),
    ("cohere.com", "cohere"),
    ("cohere.ai", "cohere"),
];

/// The span of a record that has ended; `users` says whether it names the user.
pub(super) fn of(
    record: &Record,
    provider: Option<&Provider>,
    parent: Option<&Parent>,
    users: bool,
) -> Span {
    let start = record.started.0.saturating_mul(1_000_000);
    let after = |micros: u64| start.saturating_add(micros.saturating_mul(1_000));
    let operation = operation(record.endpoint);
    let model = record.model.as_ref().or(record.model_asked.as_ref());
    let mut span = Span {
        // Whoever has the id of a request finds its trace by it.
        trace: parent
            .map_or(record.id.0, |it| it.trace)
            .to_be_bytes()
            .to_vec(),
        id: span_id(record.id).to_be_bytes().to_vec(),
        trace_state: parent.map(|it| it.state.clone()).unwrap_or_default(),
        parent: parent.map_or_else(Vec::new, |it| it.span.to_be_bytes().to_vec()),
        name: match model {
            Some(model) => format!("{operation} {}", clip(model)),
            None => operation.to_owned(),
        },
        kind: Span::CLIENT,
        start_time_unix_nano: start,
        end_time_unix_nano: after(record.timings.total_us),
        attributes: Vec::with_capacity(32),
        events: Vec::new(),
        status: None,
        flags: Span::SAMPLED | Span::REMOTE_KNOWN | parent.map_or(0, |_| Span::REMOTE),
    };
    if record.timings.first_byte_us > 0 {
        span.events.push(Event {
            time_unix_nano: after(record.timings.first_byte_us),
            name: "aperture.first_byte".to_owned(),
            attributes: Vec::new(),
        });
    }
    let mut says = Says(&mut span.attributes);
    says.it("gen_ai.operation.name", operation);
    says.it("gen_ai.provider.name", provider_name(record, provider));
    says.some("gen_ai.request.model", model.cloned());
    says.some("gen_ai.response.model", record.model_served.clone());
    let conversation = record.session.map(|id| id.to_string());
    says.some("gen_ai.conversation.id", conversation);
    says.some("gen_ai.agent.id", record.agent.clone());
    if record.streamed {
        says.it("gen_ai.request.stream", true);
        if record.timings.first_byte_us > 0 {
            let first = Duration::from_micros(record.timings.first_byte_us);
            says.it("gen_ai.response.time_to_first_chunk", first.as_secs_f64());
        }
    }
    if let Some(reason) = &record.stop_reason {
        let reason = AnyValue {
            value: Some(clip(reason).into()),
        };
        let reasons = ArrayValue {
            values: vec![reason],
        };
        says.it("gen_ai.response.finish_reasons", Value::List(reasons));
    }
    usage(record, &mut says);
    outcome(record, &mut says);
    if let Some(provider) = provider {
        let base = &provider.base;
        let default = if base.scheme_str() == Some("https") {
            443
        } else {
            80
        };
        says.some("server.address", base.host().map(str::to_owned));
        says.it("server.port", u64::from(base.port_u16().unwrap_or(default)));
    }
    says.it("http.request.body.size", record.bytes.request);
    says.it("http.response.body.size", record.bytes.response);
    says.it("user_agent.name", record.client.name.as_str());
    if !record.client.version.is_empty() {
        says.it("user_agent.version", record.client.version.as_str());
    }
    if users {
        says.it("enduser.id", record.who.login.as_str());
    }
    says.it("aperture.request.id", record.id.to_string());
    says.it("aperture.endpoint", record.endpoint.as_str());
    says.some("aperture.provider", record.provider.clone());
    let upstream = record.provider_request_id.clone();
    says.some("aperture.provider.request_id", upstream);
    let parent_session = record.parent_session.map(|id| id.to_string());
    says.some("aperture.conversation.parent_id", parent_session);
    says.some("aperture.service_tier", record.service_tier.clone());
    if record.timings.sent_us > 0 {
        let own = Duration::from_micros(record.timings.sent_us);
        says.it("aperture.gateway.duration", own.as_secs_f64());
    }
    span.status = status(record);
    span
}

/// Tokens and money.
fn usage(record: &Record, says: &mut Says<'_>) {
    let usage = &record.usage;
    says.it("aperture.usage.state", record.usage_state.as_str());
    if usage.total() > 0 {
        says.it("gen_ai.usage.input_tokens", usage.input_all());
        says.it("gen_ai.usage.output_tokens", usage.output);
        for (name, tokens) in [
            ("gen_ai.usage.cache_read.input_tokens", usage.cache_read),
            (
                "gen_ai.usage.cache_creation.input_tokens",
                usage.cache_write.saturating_add(usage.cache_write_1h),
            ),
            ("gen_ai.usage.reasoning.output_tokens", usage.reasoning),
        ] {
            if tokens > 0 {
                says.it(name, tokens);
            }
        }
    }
    says.it("aperture.cost.state", record.cost.state.as_str());
    if record.cost.state == CostState::Priced {
        #[expect(clippy::cast_precision_loss, reason = "15 digits of a dollar amount")]
        let dollars = record.cost.pico as f64 / 1e12;
        says.it("aperture.cost.usd", dollars);
    }
}

/// How it ended.
fn outcome(record: &Record, says: &mut Says<'_>) {
    says.it("aperture.end", record.end.as_str());
    if let Some(status) = record.status {
        says.it("http.response.status_code", u64::from(status));
    }
    says.some("error.type", error_type(record));
}

/// What went wrong, in a word or as the status; none = nothing did. A client that leaves has done nothing wrong.
fn error_type(record: &Record) -> Option<String> {
    if let Some(failure) = &record.failure {
        return Some(failure.clone());
    }
    if let Some(status) = record.status.filter(|status| *status >= 400) {
        return Some(status.to_string());
    }
    match record.end {
        End::Complete | End::ClientGone | End::InFlight => None,
        End::Refused | End::UpstreamError | End::Timeout | End::Interrupted => {
            Some(record.end.as_str().to_owned())
        }
    }
}

fn status(record: &Record) -> Option<Status> {
    let error = error_type(record)?;
    Some(Status {
        message: error,
        code: Status::ERROR,
    })
}

/// The operation, where the conventions have a name for it; else the endpoint's.
const fn operation(endpoint: Endpoint) -> &'static str {
    match (endpoint, endpoint.work()) {
        (Endpoint::OpenaiCompletions, _) => "text_completion",
        (
            Endpoint::OpenaiEmbeddings
            | Endpoint::GeminiEmbedContent
            | Endpoint::GoogleEmbedContent,
            _,
        ) => "embeddings",
        (_, Work::Turn) => match endpoint.dialect() {
            Dialect::GeminiGenerateContent | Dialect::GoogleGenerateContent => "generate_content",
            Dialect::AnthropicMessages
            | Dialect::OpenaiChat
            | Dialect::OpenaiResponses
            | Dialect::GoogleRawPredict
            | Dialect::BedrockModelInvoke
            | Dialect::BedrockConverse => "chat",
        },
        (_, Work::Judge | Work::Count | Work::Store) => endpoint.as_str(),
    }
}

/// The provider's name in the conventions; where they have none, its id in the configuration.
fn provider_name(record: &Record, provider: Option<&Provider>) -> String {
    let by_format = match record.endpoint.dialect() {
        Dialect::BedrockModelInvoke | Dialect::BedrockConverse => return "aws.bedrock".to_owned(),
        Dialect::GoogleGenerateContent | Dialect::GoogleRawPredict => {
            return "gcp.vertex_ai".to_owned();
        }
        Dialect::AnthropicMessages => "anthropic",
        Dialect::OpenaiChat | Dialect::OpenaiResponses => "openai",
        Dialect::GeminiGenerateContent => "gcp.gemini",
    };
    let host = provider.and_then(|provider| provider.base.host());
    let known = host.and_then(|host| KNOWN.iter().find(|(known, _)| is_below(host, known)));
    match (known, &record.provider) {
        (Some((_, name)), _) => (*name).to_owned(),
        (None, Some(id)) => id.clone(),
        // Refused before it was known where it would go: what its client speaks.
        (None, None) => by_format.to_owned(),
    }
}

/// Whether a host is that domain or below it; Vertex puts its regions before a hyphen.
fn is_below(host: &str, domain: &str) -> bool {
    host.strip_suffix(domain)
        .is_some_and(|rest| rest.is_empty() || rest.ends_with(['.', '-']))
}

/// Adds what was said, in the conventions' form.
pub(super) fn add_content(span: &mut Span, said: Said) {
    let mut says = Says(&mut span.attributes);
    for (name, text) in [
        ("gen_ai.system_instructions", said.system),
        ("gen_ai.input.messages", said.input),
        ("gen_ai.output.messages", said.output),
    ] {
        if let Some(text) = text {
            says.it(name, text);
        }
    }
    if said.earlier > 0 {
        says.it("aperture.input.earlier_messages", said.earlier as u64);
    }
}

/// Says that its content is missing because too much of it waits.
pub(super) fn mark_content_dropped(span: &mut Span) {
    Says(&mut span.attributes).it("aperture.content_dropped", true);
}

/// The attributes of a span.
struct Says<'a>(&'a mut Vec<KeyValue>);

impl Says<'_> {
    fn it(&mut self, name: &'static str, value: impl Into<Value>) {
        self.0.push(KeyValue::new(name, value));
    }

    fn some(&mut self, name: &'static str, value: Option<String>) {
        if let Some(value) = value {
            self.it(name, clip(&value));
        }
    }
}

/// The beginning of a text.
fn clip(text: &str) -> &str {
    &text[..text.floor_char_boundary(TEXT.min(text.len()))]
}
