//! Every released schema leaves a small store in `tests/fixtures/store/`, which every later version must open.
//!
//! A release that changes the schema adds the files of the version before it, packed by `zstd -19`; [`fill`] is what is
//! in those of schema 1.

use super::support::*;
use crate::record::*;
use crate::store::*;
use std::{path::Path, time::Duration};

/// The fixture's content, as a store of any version must show it.
async fn fill(directory: &Path) {
    let (_store, writer, _) = Store::open(directory, OpenOptions::default()).unwrap();
    let mut done = finished(record(id(HOUR, 1)));
    done.title = Some("Explain the build".into());
    done.tools = vec![ToolCall {
        name: "Bash".into(),
        call: "toolu_1".into(),
        argument_bytes: 21,
        result_error: None,
        ..ToolCall::default()
    }];
    writer.finish(done, Some(capture(&[b'q'; 3000], b"answer")));
    writer.start(&record(id(2 * HOUR, 2)));
    writer.own("openai", "resp_1", "user:1");
    writer.config_version(configuration("{\"providers\":{}}"));
    writer.audit(AuditEntry {
        at: Timestamp(HOUR),
        who: "user:1".into(),
        login: "alice@example.com".into(),
        action: AuditAction::Exported,
        subject: "records".into(),
        detail: String::new(),
    });
    writer.close(Duration::from_secs(30)).await;
}

const HOUR: u64 = 3_600_000;

async fn check(directory: &Path) {
    let (store, writer, recovered) = Store::open(directory, OpenOptions::default()).unwrap();
    assert_eq!(recovered.interrupted, 1);
    let done = store.request(id(HOUR, 1)).unwrap().unwrap();
    assert_eq!(done.title.as_deref(), Some("Explain the build"));
    assert_eq!(done.usage.total(), 60);
    assert_eq!(done.tools[0].call, "toolu_1");
    let interrupted = store.request(id(2 * HOUR, 2)).unwrap().unwrap();
    assert_eq!(interrupted.end, End::Interrupted);
    let captured = store.capture(done.id).unwrap().unwrap();
    assert_eq!(whole(&captured.request), [b'q'; 3000]);
    assert_eq!(whole(&captured.response), b"answer");
    let session = store.session(SessionId(7)).unwrap().unwrap();
    assert_eq!((session.requests, session.cost_pico), (2, 1_000));
    let filter = Filter {
        user: Some("user:1".into()),
        text: Some("build bash".into()),
        ..Filter::default()
    };
    assert_eq!(store.requests(&filter, None, 9).unwrap().items, [done]);
    assert_eq!(store.usage(0, 9, Some("user:1")).unwrap().len(), 2);
    assert_eq!(store.totals().unwrap().requests, 2);
    assert_eq!(store.tools(1, 1, None).unwrap()[0].1.argument_bytes, 21);
    assert_eq!(store.users().unwrap()[0].login, "alice@example.com");
    assert_eq!(
        store.owner("openai", "resp_1").unwrap().as_deref(),
        Some("user:1")
    );
    assert_eq!(
        store.config_history().unwrap()[0].text,
        "{\"providers\":{}}"
    );
    assert_eq!(store.audit(None, 9).unwrap().items[0].subject, "records");
    writer.close(Duration::from_secs(30)).await;
}

#[tokio::test]
async fn this_version_writes_what_the_fixture_holds() {
    let directory = tempfile::tempdir().unwrap();
    fill(directory.path()).await;
    check(directory.path()).await;
}

#[tokio::test]
async fn schema_1_opens() {
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/store");
    let directory = tempfile::tempdir().unwrap();
    for (fixture, name) in [
        ("schema-1.redb.zst", FileName::Main),
        ("schema-1-captures.redb.zst", FileName::Captures),
    ] {
        let packed = std::fs::read(fixtures.join(fixture)).unwrap();
        let file = zstd::decode_all(packed.as_slice()).unwrap();
        std::fs::write(directory.path().join(name.as_str()), file).unwrap();
    }
    check(directory.path()).await;
}
