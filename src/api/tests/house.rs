//! A store with known contents, and callers who ask the API.

use super::super::*;
use crate::{
    config::{CheckOptions, Live, redact},
    editor::{Etag, Origin},
    identity::testing::person,
    record::{
        Capture, CapturedBody, Client, Cost, CostState, End, HeadLines, Record, RequestId,
        SessionId, Timings, ToolCall, Usage, UsageState, Who,
    },
    store::{ConfigVersion, OpenOptions},
};
use http_body_util::Full;
use std::path::PathBuf;

/// 2026-11-23 15:24:05 UTC
pub(super) const NOW: Timestamp = Timestamp(1_795_447_445_000);

/// Bob's session, and the words that only Bob's data has.
pub(super) const BOBS: SessionId = SessionId(0xb0b);
pub(super) const BOBS_WORDS: [&str; 7] = [
    "bob@example.com",
    "user:bob",
    "bobs-title",
    "bobs-prompt",
    "bobs-tool",
    "bobs-reason",
    "00000b0b",
];

pub(super) const DOCUMENT: &str = r#"{
  "providers": {
    "anthropic": {
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
}
"#;

/// A store and the API over it.
pub(super) struct House {
    pub(super) api: Api,
    pub(super) file: PathBuf,
    config: Arc<Config>,
    _directory: tempfile::TempDir,
}

pub(super) fn caller(name: &str) -> Arc<Caller> {
    Arc::new(Caller {
        user: format!("user:{name}").into(),
        ..person(&format!("{name}@example.com"))
    })
}

/// The admin.
pub(super) fn dora() -> Arc<Caller> {
    caller("dora")
}

pub(super) fn bob() -> Arc<Caller> {
    caller("bob")
}

pub(super) fn carol() -> Arc<Caller> {
    caller("carol")
}

/// The `n`th id of a minute.
pub(super) fn id(minutes_ago: u64, n: u128) -> RequestId {
    let at = Timestamp(NOW.0 - minutes_ago * 60_000);
    RequestId(RequestId::at(at).0 | n)
}

pub(super) fn bobs_request() -> RequestId {
    id(30, 1)
}

/// A finished request of that person.
pub(super) fn record(who: &Caller, id: RequestId, session: u128) -> Record {
    Record {
        who: Who {
            user: who.user.to_string(),
            login: who.login.to_string(),
            ..Who::default()
        },
        client: Client {
            name: "claude-code".into(),
            version: "2.1.330".into(),
        },
        provider: Some("anthropic".into()),
        model: Some("claude-haiku-4-5".into()),
        status: Some(200),
        end: End::Complete,
        timings: Timings {
            first_byte_us: 900_000,
            total_us: 4_200_000,
            ..Timings::default()
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
            ..Cost::default()
        },
        session: Some(SessionId(session)),
        ..Record::new(id, crate::endpoint::Endpoint::AnthropicMessages)
    }
}

pub(super) fn capture(request: &str, response: &[u8]) -> Capture {
    let body = |bytes: &[u8]| CapturedBody {
        chunks: vec![Bytes::copy_from_slice(bytes)],
        size: bytes.len() as u64,
        ..CapturedBody::default()
    };
    Capture {
        request_head: HeadLines::from_iter([("content-type", "application/json")]),
        response_head: HeadLines::from_iter([("content-type", "text/event-stream")]),
        request: body(request.as_bytes()),
        response: body(response),
    }
}

impl House {
    pub(super) fn empty() -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let (store, writer, _) =
            Store::open(directory.path(), OpenOptions::default()).expect("a new store");
        let file = directory.path().join("aperture.hujson");
        std::fs::write(&file, DOCUMENT).expect("a directory of our own");
        let live = Live::load(&file, CheckOptions::default()).expect("a document without errors");
        Self {
            file,
            config: live.current(),
            api: Api {
                editor: Editor::new(live, store.clone(), writer.clone()),
                store,
                writer,
            },
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
                argument_bytes: 64,
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
        let texts = capture("{\"text\":\"bobs-prompt\"}", b"data: \xff bobs-prompt\n\n");
        house.api.writer.config_version(ConfigVersion {
            version: 0,
            text: redact(DOCUMENT),
            who: "host".into(),
            at: NOW,
            login: String::new(),
            origin: Origin::First,
            etag: Etag::of(DOCUMENT.as_bytes()).to_string(),
            summary: "the first one".into(),
        });
        house.put(first, Some(texts));
        house.put(failed, None);
        house.put(doras, Some(capture("{}", b"data: x\n\n")));
        house.flush().await;
        house
    }

    pub(super) fn put(&self, record: Record, capture: Option<Capture>) {
        self.api.writer.start(&record);
        self.api.writer.finish(record, capture);
    }

    pub(super) async fn flush(&self) {
        self.api.writer.flush().await.expect("a working disk");
    }

    /// GET, as somebody.
    pub(super) async fn get(
        &self,
        caller: &Arc<Caller>,
        role: Role,
        path: &str,
    ) -> Response<Bytes> {
        let req = Request::get(path)
            .body(Full::new(Bytes::new()))
            .expect("a valid path");
        handle_at(&self.api, caller, role, &self.config, req, NOW).await
    }

    /// A write with a body, as an admin.
    pub(super) async fn send(
        &self,
        caller: &Arc<Caller>,
        method: Method,
        path: &str,
        matched: Option<&str>,
        body: &serde_json::Value,
    ) -> Response<Bytes> {
        let mut req = Request::builder()
            .method(method)
            .uri(path)
            .header("content-type", "application/json");
        if let Some(matched) = matched {
            req = req.header("if-match", matched);
        }
        let req = req
            .body(Full::new(Bytes::from(body.to_string())))
            .expect("a valid path");
        handle_at(&self.api, caller, Role::Admin, &self.config, req, NOW).await
    }

    /// GET as the admin; it must be answered.
    pub(super) async fn told(&self, path: &str) -> serde_json::Value {
        let rsp = self.get(&dora(), Role::Admin, path).await;
        assert_eq!(rsp.status(), StatusCode::OK, "{path}: {}", text(&rsp));
        json(&rsp)
    }
}

pub(super) fn text(rsp: &Response<Bytes>) -> &str {
    std::str::from_utf8(rsp.body()).expect("answers are text")
}

pub(super) fn json(rsp: &Response<Bytes>) -> serde_json::Value {
    serde_json::from_slice(rsp.body()).expect("JSON")
}
