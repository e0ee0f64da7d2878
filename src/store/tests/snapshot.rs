//! A copy is what was there when it was begun, and a part of it is none.

use super::support::*;
use crate::store::*;
use std::io;

/// An export of everything, to compare by.
fn everything(store: &Store) -> String {
    let mut text = Vec::new();
    for what in [What::Records, What::Sessions, What::Usage, What::Captures] {
        let options = ExportOptions {
            what,
            format: Format::Jsonl,
            from: None,
            to: None,
            user: None,
        };
        export(store, &options, &mut text).unwrap();
    }
    String::from_utf8(text).unwrap()
}

async fn filled() -> (Store, Writer) {
    let (store, writer) = store();
    for number in 1..=50_u64 {
        let mut done = finished(record(id(number * 1000, number)));
        done.title = Some(format!("number {number}"));
        writer.finish(
            done,
            Some(capture(
                format!("{number} ").repeat(500).as_bytes(),
                b"answer",
            )),
        );
    }
    writer.own("openai", "resp_1", "user:1");
    writer.config_version(configuration("{}"));
    writer.flush().await.unwrap();
    (store, writer)
}

#[tokio::test]
async fn a_copy_is_what_was_there_when_it_was_begun() {
    let (store, writer) = filled().await;
    let before = everything(&store);
    let snapshot = writer.snapshot(true).await.unwrap();
    // What comes later is not in it.
    writer.finish(finished(record(id(99_000, 99))), None);
    writer.flush().await.unwrap();
    let mut rows = Vec::new();
    snapshot.write(&mut rows).unwrap();
    let directory = tempfile::tempdir().unwrap();
    let copied = rebuild(directory.path(), &mut rows.as_slice()).unwrap();
    assert_eq!((copied.records, copied.captures), (50, 50));
    let (copy, _writer, recovered) = Store::open(directory.path(), OpenOptions::default()).unwrap();
    assert!(
        recovered.window.is_some(),
        "what is missing since then is said"
    );
    assert_eq!(everything(&copy), before);
    assert_eq!(
        copy.owner("openai", "resp_1").unwrap().as_deref(),
        Some("user:1")
    );

    for length in [0, 1, 5, rows.len() / 3, rows.len() - 9, rows.len() - 1] {
        let directory = tempfile::tempdir().unwrap();
        let error = rebuild(directory.path(), &mut &rows[..length]).unwrap_err();
        let cut = matches!(&error, SnapshotError::Io(error) if error.kind() == io::ErrorKind::UnexpectedEof);
        assert!(cut, "{error}");
    }
    let last = rows.len() - 8;
    rows[last] ^= 1;
    let directory = tempfile::tempdir().unwrap();
    let error = rebuild(directory.path(), &mut rows.as_slice()).unwrap_err();
    assert!(error.to_string().contains("rows are missing"), "{error}");
}

#[tokio::test]
async fn a_copy_and_an_erasure_wait_for_each_other() {
    let (_store, writer) = filled().await;
    let snapshot = writer.snapshot(false).await.unwrap();
    let by = AuditEntry {
        at: crate::record::Timestamp(1),
        who: "host".into(),
        login: String::new(),
        action: AuditAction::Erased,
        subject: "user:1".into(),
        detail: String::new(),
    };
    let erased = writer.erase_user("user:1", &[], by.clone()).await;
    assert!(matches!(erased, Err(WriteError::Busy(_))));
    drop(snapshot);
    assert_eq!(
        writer.erase_user("user:1", &[], by).await.unwrap().records,
        50
    );
}
