//! What goes in comes out; files, versions, exports.

use super::support::*;
use crate::record::*;
use crate::store::*;
use std::time::Duration;

#[tokio::test]
async fn a_request_is_seen_at_its_start_and_counted_at_its_end() {
    let (store, writer) = store();
    let mut began = record(id(3_600_000, 1));
    began.title = Some("Fix the flaky test".into());
    writer.start(&began);
    writer.flush().await.unwrap();
    assert_eq!(store.request(began.id).unwrap().as_ref(), Some(&began));
    assert_eq!(store.session(SessionId(7)).unwrap().unwrap().in_flight, 1);
    assert_eq!(store.counters().unwrap(), []);

    let mut partial = began.clone();
    partial.usage.output = 5;
    writer.checkpoint(&partial);
    writer.flush().await.unwrap();
    assert_eq!(
        store.session(SessionId(7)).unwrap().unwrap().usage.output,
        5
    );

    let mut done = finished(began);
    done.tools.push(ToolCall {
        name: "Bash".into(),
        argument_bytes: 12,
        ..ToolCall::default()
    });
    writer.finish(done.clone(), Some(capture(b"question", b"answer")));
    writer.flush().await.unwrap();
    assert_eq!(store.request(done.id).unwrap().as_ref(), Some(&done));
    let session = store.session(SessionId(7)).unwrap().unwrap();
    assert_eq!(
        (
            session.in_flight,
            session.requests,
            session.usage.output,
            session.tools
        ),
        (0, 1, 30, 1)
    );
    assert_eq!(session.title.as_deref(), Some("Fix the flaky test"));
    assert_eq!(session.last, Timestamp(3_601_200));
    assert_eq!(
        store.counters().unwrap()[0].1,
        Counters::of(&done),
        "the checkpoint was not counted"
    );
    assert_eq!(store.usage(1, 1, Some("user:1")).unwrap()[0].1.requests, 1);
    assert_eq!(store.usage(2, 9, None).unwrap(), []);
    let tools = store.tools(1, 1, None).unwrap();
    assert_eq!((tools[0].0.tool.as_str(), tools[0].1.calls), ("Bash", 1));
    let (key, _) = &tools[0];
    assert_eq!(Some(key.model.as_str()), done.model.as_deref());
    assert_eq!(Some(key.provider.as_str()), done.provider.as_deref());
    assert_eq!(key.client, done.client.name);
    let totals = store.totals().unwrap();
    assert_eq!((totals.requests, totals.sessions, totals.users), (1, 1, 1));
    assert_eq!(store.users().unwrap()[0].login, "alice@example.com");
    let captured = store.capture(done.id).unwrap().unwrap();
    assert_eq!(whole(&captured.request), b"question");
    assert_eq!(whole(&captured.response), b"answer");
    assert_eq!(captured.response_head, HeadLines::from_iter([("x", "y")]));
    let anchored = store.anchors(Timestamp(0)).unwrap();
    assert_eq!(
        (anchored[0].anchors.as_slice(), anchored[0].session),
        ([1, 2].as_slice(), SessionId(7))
    );
}

#[tokio::test]
async fn a_finished_request_is_counted_once_whatever_follows() {
    let (store, writer) = store();
    let began = record(id(10, 1));
    let done = finished(began.clone());
    writer.finish(done.clone(), None);
    writer.checkpoint(&began);
    writer.flush().await.unwrap();
    writer.finish(done.clone(), None);
    writer.checkpoint(&began);
    writer.flush().await.unwrap();
    assert_eq!(store.request(done.id).unwrap(), Some(done));
    assert_eq!(store.totals().unwrap().requests, 1);
    assert_eq!(store.session(SessionId(7)).unwrap().unwrap().requests, 1);
}

#[tokio::test]
async fn a_request_may_change_its_session_while_it_runs() {
    let (store, writer) = store();
    let recent = |user: Option<&str>| -> Vec<(u128, u64)> {
        let filter = Filter {
            user: user.map(str::to_owned),
            ..Filter::default()
        };
        let page = store.sessions(&filter, None, 9).unwrap();
        let row = |session: &Session| (session.id.0, session.requests);
        page.items.iter().map(row).collect()
    };
    // Both ways, because the order in which a batch visits sessions is random.
    for (number, from, to) in [(1, 7, 8), (2, 8, 7), (3, 7, 8), (4, 8, 7)] {
        let mut began = record(id(number, 0));
        began.session = Some(SessionId(from));
        writer.start(&began);
        writer.flush().await.unwrap();
        assert_eq!(recent(None)[0].0, from);
        began.session = Some(SessionId(to));
        writer.checkpoint(&began);
        writer.flush().await.unwrap();
        assert_eq!(recent(None)[0].0, to);
        assert_eq!(recent(None), recent(Some("user:1")));
        let sum: u64 = recent(None).iter().map(|row| row.1).sum();
        assert_eq!(sum, number);
    }
    assert_eq!(recent(None), [(7, 2), (8, 2)]);
}

#[tokio::test]
async fn owners_audit_and_versions_of_the_configuration_are_kept() {
    let (store, writer) = store();
    writer.own("openai", "resp_1", "user:1");
    for subject in ["a", "b", "c"] {
        writer.audit(AuditEntry {
            at: Timestamp(5),
            who: "user:2".into(),
            login: "bob@example.com".into(),
            action: AuditAction::ViewedCapture,
            subject: subject.into(),
            detail: String::new(),
        });
    }
    writer.config_version(configuration("{}"));
    writer.config_version(configuration("{ }"));
    writer.flush().await.unwrap();
    assert_eq!(
        store.owner("openai", "resp_1").unwrap().as_deref(),
        Some("user:1")
    );
    assert_eq!(store.owner("other", "resp_1").unwrap(), None);
    let subjects = |page: &Page<AuditEntry>| -> Vec<String> {
        page.items
            .iter()
            .map(|entry| entry.subject.clone())
            .collect()
    };
    let page = store.audit(None, 2).unwrap();
    assert_eq!(subjects(&page), ["c", "b"]);
    let page = store.audit(page.next, 2).unwrap();
    assert_eq!((subjects(&page), page.next), (vec!["a".to_owned()], None));
    let versions = store.config_history().unwrap();
    let texts: Vec<_> = versions
        .iter()
        .map(|v| (v.version, v.text.as_str()))
        .collect();
    assert_eq!(texts, [(1, "{}"), (2, "{ }")]);
    assert_eq!(store.config_version(2).unwrap().as_ref(), versions.last());
    assert_eq!(store.config_version(3).unwrap(), None);
}

#[tokio::test]
async fn the_history_of_the_configuration_is_bounded_by_number_and_bytes() {
    let numbers = |store: &Store| -> Vec<u64> {
        let versions = store.config_history().unwrap();
        versions.iter().map(|version| version.version).collect()
    };
    let (store, writer) = store();
    for number in 1..=510 {
        writer.config_version(configuration(&format!("{{}} // {number}")));
    }
    writer.flush().await.unwrap();
    assert_eq!(numbers(&store), (11..=510).collect::<Vec<_>>());
    // Sixteen mebibytes: four of these, with what is around their texts, are too much.
    for number in 1..=4 {
        writer.config_version(configuration(&format!("{number}{}", " ".repeat(4 << 20))));
        writer.flush_records().await.unwrap();
    }
    assert_eq!(numbers(&store), [512, 513, 514]);
}

#[tokio::test]
async fn what_the_capture_mode_forbids_is_not_kept() {
    let (store, writer) = store();
    for (number, mode) in [(1, CaptureMode::Metadata), (2, CaptureMode::None)] {
        let mut done = finished(record(id(10, number)));
        done.capture = mode;
        done.title = Some("private".into());
        done.tools = vec![ToolCall::default()];
        writer.finish(done.clone(), Some(capture(b"a", b"b")));
        writer.flush().await.unwrap();
        assert_eq!(store.capture(done.id).unwrap(), None);
        let kept = store.request(done.id).unwrap().unwrap();
        let none = mode == CaptureMode::None;
        assert_eq!(
            kept.title.is_none() && kept.path.is_empty() && kept.tools.is_empty(),
            none
        );
    }
}

#[tokio::test]
async fn a_closed_store_opens_again_without_a_window_and_for_its_owner_alone() {
    use std::os::unix::fs::PermissionsExt;
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("state");
    let (_, writer, recovered) = Store::open(&path, OpenOptions::default()).unwrap();
    assert_eq!(recovered, Recovered::default());
    writer.finish(finished(record(id(10, 1))), Some(capture(b"a", b"b")));
    let stats = writer.close(Duration::from_secs(30)).await;
    assert_eq!((stats.lost_records, stats.lost_bodies), (0, 0));
    assert!(stats.main_file_bytes > 0 && stats.capture_file_bytes > 0);
    assert_eq!(writer.flush().await, Err(WriteError::Closed));
    let mode = |path: &std::path::Path| path.metadata().unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&path), 0o700);
    for file in [FileName::Main, FileName::Captures] {
        assert_eq!(mode(&path.join(file.as_str())), 0o600);
    }
    let (store, writer, recovered) = Store::open(&path, OpenOptions::default()).unwrap();
    assert_eq!(recovered, Recovered::default());
    assert!(store.request(id(10, 1)).unwrap().is_some());
    assert!(store.capture(id(10, 1)).unwrap().is_some());
    writer.close(Duration::from_secs(30)).await;
    assert!(matches!(store.totals(), Err(ReadError::Closed)));
}

#[tokio::test]
async fn a_newer_schema_is_refused_with_both_versions() {
    let disk = Disk::new();
    let (_, writer, _) = open_on(&disk, OpenOptions::default());
    writer.close(Duration::from_secs(30)).await;
    let backend = disk.backend()(FileName::Captures).unwrap();
    let database = redb::Builder::new()
        .create_with_backend(file::Chosen(backend))
        .unwrap();
    let write = database.begin_write().unwrap();
    write
        .open_table(schema::CAPTURE_META)
        .unwrap()
        .insert("schema", 99)
        .unwrap();
    write.commit().unwrap();
    drop(database);
    let options = OpenOptions {
        backend: Some(disk.backend()),
        ..OpenOptions::default()
    };
    let error = Store::open(std::path::Path::new("memory"), options).unwrap_err();
    assert!(
        matches!(
            error,
            OpenError::Newer {
                file: "captures.redb",
                found: 99,
                known: SCHEMA_VERSION
            }
        ),
        "{error}"
    );
}

#[tokio::test]
async fn exports_are_complete_and_safe_in_a_spreadsheet() {
    let (store, writer) = store();
    for number in 0..1200 {
        let mut done = finished(record(id(3_600_000 * (1 + number / 600), number)));
        done.session = Some(SessionId(u128::from(number % 3)));
        if number == 0 {
            done.title = Some("=HYPERLINK(\"http://x\"), then".into());
        }
        if number % 2 == 1 {
            done.who.user = "user:2".into();
        }
        writer.finish(done, (number < 2).then(|| capture(b"text", &[0xff, 0x00])));
    }
    writer.flush().await.unwrap();
    let run = |what, format, user: Option<&str>| {
        let mut out = Vec::new();
        let options = ExportOptions {
            what,
            format,
            from: None,
            to: None,
            user: user.map(str::to_owned),
        };
        let count = export(&store, &options, &mut out).unwrap();
        (count, String::from_utf8(out).unwrap())
    };
    let (count, lines) = run(What::Records, Format::Jsonl, None);
    assert_eq!((count, lines.lines().count()), (1200, 1200));
    let first: Record = serde_json::from_str(lines.lines().next().unwrap()).unwrap();
    assert_eq!(Some(first), store.request(id(3_600_000, 0)).unwrap());
    let (count, lines) = run(What::Records, Format::Csv, Some("user:1"));
    assert_eq!((count, lines.lines().count()), (600, 601));
    assert!(
        lines.contains("\"'=HYPERLINK(\"\"http://x\"\"), then\""),
        "{lines:.600}"
    );
    let columns = lines.lines().next().unwrap().split(',').count();
    assert_eq!(lines.lines().nth(2).unwrap().split(',').count(), columns);
    let (count, _) = run(What::Sessions, Format::Csv, None);
    assert_eq!(count, 3);
    let (count, lines) = run(What::Usage, Format::Jsonl, None);
    assert_eq!(count, 4);
    let requests: u64 = lines
        .lines()
        .map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap())
        .map(|row| row["requests"].as_u64().unwrap())
        .sum();
    assert_eq!(requests, 1200);
    let (count, lines) = run(What::Captures, Format::Jsonl, None);
    assert_eq!(count, 2);
    assert!(
        lines.contains(r#""data":"text""#) && lines.contains(r#""data":"ff00""#),
        "{lines}"
    );
    let csv = ExportOptions {
        what: What::Captures,
        format: Format::Csv,
        from: None,
        to: None,
        user: None,
    };
    assert!(matches!(
        export(&store, &csv, &mut Vec::new()),
        Err(ExportError::NoCsv)
    ));
}

#[tokio::test]
async fn the_greatest_figures_saturate_and_never_stop_the_store() {
    let (store, writer) = store();
    let most = u64::MAX;
    for number in 0..3 {
        let mut record = finished(record(id(10, number)));
        for kind in record.usage.kinds_mut() {
            *kind = most;
        }
        record.estimate = Some(Estimate {
            input: most,
            output: most,
            ..Estimate::default()
        });
        record.cost.pico = most;
        record.bytes = Bytes {
            request: most,
            response: most,
        };
        record.timings.first_byte_us = most;
        record.timings.total_us = most;
        record.tools = vec![ToolCall {
            name: "Bash".into(),
            argument_bytes: most,
            ..ToolCall::default()
        }];
        writer.finish(record, None);
        // One at a time: rows that are stored are added to as well.
        writer.flush().await.unwrap();
    }
    let totals = store.totals().unwrap();
    assert_eq!((totals.requests, totals.cost_pico), (3, most));
    assert_eq!(totals.usage.output, most);
    let session = store.session(SessionId(7)).unwrap().unwrap();
    assert_eq!((session.requests, session.usage.input), (3, most));
    assert_eq!(writer.stats().last_error, None);
}
