//! The clients of `make clients`: SDKs and agents whose packages `make test` does not fetch, and Claude Code's other modes.

mod claude_clouds;
mod gemini_cli;
mod opencode;
mod sdks;

use aperture::record::{End, Record};

/// What all requests of a run have in common: alice, the program, and one session.
fn one_session(records: &[Record], client: &str) {
    assert!(records[0].session.is_some());
    for record in records {
        assert_eq!(record.who.login, "alice@example.com");
        assert_eq!(record.client.name, client);
        assert!(!record.client.version.is_empty(), "{record:?}");
        assert_eq!(record.session, records[0].session, "{records:?}");
        assert_eq!(record.parent_session, None);
    }
}

/// A call of that tool in one request, and its result in a later one.
fn one_tool(records: &[Record], tool: &str) {
    let calls: Vec<_> = records.iter().flat_map(|record| &record.tools).collect();
    let told: Vec<_> = calls
        .iter()
        .map(|call| (call.name.as_str(), call.result_error))
        .collect();
    assert_eq!(told, [(tool, None), (tool, Some(false))]);
}

/// All of them were answered to their end, as streams.
fn streamed(records: &[Record]) {
    for record in records {
        assert_eq!((record.end, record.streamed), (End::Complete, true));
        assert_eq!(record.status, Some(200));
    }
}

/// A prompt whose answer falls silent in its middle.
const STALL: &str = r#"SCRIPT: {"text":"one two three four","stall":"mid_stream"}"#;
