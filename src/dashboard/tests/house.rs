//! A store with known contents, and callers who look at it.

use super::super::*;
use crate::{
    config::{CheckOptions, check},
    record::{
        Capture, CapturedBody, Client, Cost, CostState, End, HeadLines, Record, RequestId,
        SessionId, Timings, ToolCall, Usage, UsageState, Who,
    },
    store::OpenOptions,
};
use http_body_util::Full;
use parking_lot::Mutex;
use std::path::PathBuf;

/// 2026-11-23 15:24:05 UTC
pub(super) const NOW: Timestamp = Timestamp(1_795_447_445_000);

/// A store, its pages, and what they show besides.
pub(super) struct House {
    pub(super) dashboard: Dashboard,
    pub(super) store: Store,
    pub(super) writer: Writer,
    pub(super) state: Arc<Mutex<State>>,
    pub(super) live: Live,
    pub(super) file: PathBuf,
    /// What providers that are tried answer, and those that were.
    pub(super) answer: Arc<Mutex<probe::Answer>>,
    pub(super) tried: Arc<Mutex<Vec<Arc<Provider>>>>,
    _directory: tempfile::TempDir,
}

pub(super) fn caller(user: &str, login: &str) -> Arc<Caller> {
    Arc::new(Caller {
        user: user.into(),
        login: login.into(),
        display: login.into(),
        node: "n1".into(),
        node_name: "laptop".into(),
        tags: Vec::new(),
        groups: Vec::new(),
        capabilities: Vec::new(),
        dev: false,
    })
}

pub(super) fn dora() -> Arc<Caller> {
    caller("user:4", "dora@example.com")
}

pub(super) fn bob() -> Arc<Caller> {
    caller("user:2", "bob@example.com")
}

pub(super) fn carol() -> Arc<Caller> {
    caller("user:3", "carol@example.com")
}

/// Dora is admin and may use everything, everyone else one model.
pub(super) const DOCUMENT: &str = r#"{
  "providers": {
    "anthropic": {
      "name": "Anthropic",
      "baseurl": "https://provider.example",
      "apikey": "never-shown-key",
      "models": ["claude-opus-4-7", "claude-haiku-4-5"],
      "compatibility": { "anthropic_messages": true },
    },
    "backup": {
      "baseurl": "https://backup.example",
      "apikey": "never-shown-key",
      "models": ["claude-opus-4-7"],
      "compatibility": { "anthropic_messages": true },
    },
  },
  "grants": [
    { "src": ["dora@example.com"], "app": { "tailscale.com/cap/aperture": [{ "role": "admin" }, { "models": "**" }] } },
    { "src": ["*"], "app": { "tailscale.com/cap/aperture": [{ "role": "user" }, { "models": "anthropic/claude-haiku*" }] } },
  ],
  "mistaken": 1,
}
"#;

pub(super) fn state() -> State {
    let checked = check(DOCUMENT, &CheckOptions::default());
    State {
        config: Arc::new(checked.config.expect("a document without errors")),
        reload_failure: None,
        store_degraded: false,
        key_expiry: None,
        node_concerns: Vec::new(),
    }
}

/// A node that asks for a login at an address that no page may take for markup.
fn own_node() -> OwnNode {
    OwnNode {
        key_expiry: Box::new(|| None),
        concerns: Box::new(Vec::new),
        log_in: Box::new(|| {
            let address = "https://login.example/a/<b>".to_owned();
            Box::pin(std::future::ready(Ok(Some(address))))
        }),
    }
}

fn rates(model: &str) -> Option<Rates> {
    model.contains("haiku").then_some(Rates {
        input: Some(1_000_000_000_000),
        cache_read: Some(100_000_000_000),
        cache_write: Some(1_250_000_000_000),
        output: Some(5_000_000_000_000),
    })
}

/// The `n`th id of a minute.
pub(super) fn id(minutes_ago: u64, n: u128) -> RequestId {
    let at = Timestamp(NOW.0 - minutes_ago * 60_000);
    RequestId(RequestId::at(at).0 | n)
}

/// A finished request of that person.
pub(super) fn record(who: &Caller, id: RequestId, session: u128) -> Record {
    let base = serde_json::json!({
        "id": id, "started": id.time(), "who": {"user": "", "login": ""},
        "endpoint": "anthropic_messages", "end": "complete",
    });
    Record {
        who: Who {
            user: who.user.to_string(),
            login: who.login.to_string(),
            node: who.node.to_string(),
            node_name: who.node_name.to_string(),
            tags: who.tags.clone(),
        },
        client: Client {
            name: "claude-code".into(),
            version: "2.1.330".into(),
        },
        path: "POST /v1/messages".into(),
        provider: Some("anthropic".into()),
        provider_request_id: Some("req_011CVQe6".into()),
        model_asked: Some("claude-haiku-4-5".into()),
        model: Some("claude-haiku-4-5".into()),
        model_served: Some("claude-haiku-4-5-20251001".into()),
        grant: Some("grants[1].app[0]: models anthropic/claude-haiku*".into()),
        streamed: true,
        status: Some(200),
        timings: Timings {
            sent_us: 900,
            head_us: 700_000,
            first_byte_us: 900_000,
            total_us: 4_200_000,
        },
        bytes: crate::record::Bytes {
            request: 2_048,
            response: 512,
        },
        usage: Usage {
            input: 120,
            cache_read: 9_000,
            output: 345,
            ..Usage::default()
        },
        usage_state: UsageState::Reported,
        cost: Cost {
            pico: 12_345_000_000,
            state: CostState::Priced,
            basis: "anthropic/claude-haiku-4-5".into(),
            prices: "2026-11-20".into(),
        },
        session: Some(SessionId(session)),
        tools: vec![ToolCall {
            name: "Bash".into(),
            call: "toolu_01".into(),
            argument_bytes: 64,
            result_error: None,
            ..ToolCall::default()
        }],
        stop_reason: Some("tool_use".into()),
        ..serde_json::from_value(base).expect("a record of its required fields")
    }
}

pub(super) fn capture(request: &str, response: &str) -> Capture {
    let body = |text: &str| CapturedBody {
        chunks: vec![Bytes::copy_from_slice(text.as_bytes())],
        size: text.len() as u64,
        ..CapturedBody::default()
    };
    Capture {
        request_head: HeadLines::from_iter([("content-type", "application/json")]),
        response_head: HeadLines::from_iter([("content-type", "text/event-stream")]),
        request: body(request),
        response: body(response),
    }
}

/// Bob's session, its requests, and the words that only Bob's data has.
pub(super) const BOBS: SessionId = SessionId(0xb0b);
pub(super) const BOBS_WORDS: [&str; 7] = [
    "bob@example.com",
    "user:2",
    "bobs-title",
    "bobs-prompt",
    "bobs-tool",
    "bobs-reason",
    "00000b0b",
];

pub(super) fn bobs_request() -> RequestId {
    id(30, 1)
}

impl House {
    /// An empty store.
    pub(super) fn empty() -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let (store, writer, _) =
            Store::open(directory.path(), OpenOptions::default()).expect("a new store");
        let state = Arc::new(Mutex::new(state()));
        let shown = Arc::clone(&state);
        let file = directory.path().join("aperture.hujson");
        std::fs::write(&file, DOCUMENT).expect("a writable directory");
        let live = Live::load(&file, CheckOptions::default()).expect("a good document");
        let answer = Arc::new(Mutex::new(probe::Answer::Silent));
        let tried = Arc::default();
        let (answers, asked) = (Arc::clone(&answer), Arc::clone(&tried));
        let asks = Asks {
            node: own_node(),
            rates: Box::new(|_, _, model| rates(model)),
            known: Box::new(|_| None),
            probe: Box::new(move |provider| {
                let asked: &Mutex<Vec<_>> = &asked;
                asked.lock().push(provider);
                let answer = answers.lock().clone();
                Box::pin(async move { answer })
            }),
        };
        let editor = Editor::new(live.clone(), store.clone(), writer.clone());
        let dashboard = Dashboard {
            state: Box::new(move || shown.lock().clone()),
            ..Dashboard::new(store.clone(), writer.clone(), live.clone(), editor, asks)
        };
        Self {
            dashboard,
            store,
            writer,
            state,
            live,
            file,
            answer,
            tried,
            _directory: directory,
        }
    }

    /// Bob with one session of two requests, one of them failed; Dora with one of her own.
    pub(super) async fn filled() -> Self {
        let house = Self::empty();
        let first = Record {
            title: Some("bobs-title".into()),
            tools: vec![ToolCall {
                name: "bobs-tool".into(),
                ..ToolCall::default()
            }],
            ..record(&bob(), bobs_request(), BOBS.0)
        };
        let failed = Record {
            status: Some(529),
            end: End::UpstreamError,
            failure: Some("bobs-reason".into()),
            usage: Usage::default(),
            cost: Cost::default(),
            ..record(&bob(), id(5, 2), BOBS.0)
        };
        let doras = Record {
            title: Some("doras-title".into()),
            ..record(&dora(), id(2, 3), 0xd0)
        };
        house.put(
            first,
            Some(capture(
                "{\"text\":\"bobs-prompt\"}",
                "data: bobs-prompt\n\n",
            )),
        );
        house.put(failed, None);
        house.put(doras, Some(capture("{}", "data: x\n\n")));
        house.writer.flush().await.expect("a working disk");
        house
    }

    pub(super) fn put(&self, record: Record, capture: Option<Capture>) {
        self.writer.start(&record);
        self.writer.finish(record, capture);
    }

    pub(super) async fn ask(
        &self,
        caller: &Arc<Caller>,
        role: Role,
        path: &str,
    ) -> Response<Bytes> {
        handle_at(&self.dashboard, caller, role, &get(path), nothing(), NOW).await
    }

    /// Sends a form as its own page does.
    pub(super) async fn send(
        &self,
        caller: &Arc<Caller>,
        role: Role,
        path: &str,
        fields: &[(&str, &str)],
    ) -> Response<Bytes> {
        let token = self.dashboard.tokens.of(caller);
        let mut fields = fields.to_vec();
        fields.push(("token", &token));
        let req = http::Request::post(path)
            .header("host", "ai")
            .header("origin", "http://ai")
            .header("content-type", "application/x-www-form-urlencoded");
        let req = req.body(()).expect("a valid path").into_parts().0;
        let body = Full::new(Bytes::from(encoded(&fields)));
        handle_at(&self.dashboard, caller, role, &req, body, NOW).await
    }

    /// The document's file.
    pub(super) fn on_disk(&self) -> String {
        std::fs::read_to_string(&self.file).expect("the file is there")
    }
}

/// No body.
pub(super) fn nothing() -> Full<Bytes> {
    Full::default()
}

/// As a browser spells a form.
pub(super) fn encoded(fields: &[(&str, &str)]) -> String {
    let encode = |text: &str| {
        percent_encoding::utf8_percent_encode(text, percent_encoding::NON_ALPHANUMERIC).to_string()
    };
    let field = |(name, value): &(&str, &str)| {
        // Line ends of a text are CRLF on the way.
        let value = value.replace("\r\n", "\n").replace('\n', "\r\n");
        format!("{}={}", encode(name), encode(&value))
    };
    fields.iter().map(field).collect::<Vec<_>>().join("&")
}

fn get(path: &str) -> request::Parts {
    let req = http::Request::get(path).body(()).expect("a valid path");
    req.into_parts().0
}

pub(super) fn text(rsp: &Response<Bytes>) -> &str {
    std::str::from_utf8(rsp.body()).expect("pages are text")
}
