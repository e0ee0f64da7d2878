//! What retention and erasure take away, and what stays.

use super::support::*;
use crate::record::*;
use crate::store::*;
use std::time::Duration;

const HOUR: u64 = 3_600_000;

/// One finished request an hour, each with a capture of its own.
async fn fill(writer: &Writer, hours: u64) {
    for hour in 0..hours {
        let mut done = finished(record(id(hour * HOUR, 1)));
        done.session = Some(SessionId(u128::from(hour / 2)));
        let text = format!("{hour} ").repeat(400);
        writer.finish(done, Some(capture(text.as_bytes(), b"")));
    }
    writer.flush().await.unwrap();
}

fn hours(store: &Store) -> Vec<u64> {
    let page = store.requests(&Filter::default(), None, 1000).unwrap();
    page.items
        .iter()
        .rev()
        .map(|record| record.started.0 / HOUR)
        .collect()
}

#[tokio::test]
async fn by_age_captures_go_first_and_counters_last() {
    let (store, writer) = store();
    fill(&writer, 10).await;
    writer.set_retention(Retention {
        captures: Some(Duration::from_hours(2)),
        records: Some(Duration::from_hours(4)),
        counters: Some(Duration::from_hours(6)),
        ..Retention::default()
    });
    let now = Timestamp(10 * HOUR);
    let pruned = writer.prune(now).await.unwrap();
    assert_eq!(
        (pruned.captures, pruned.records, pruned.counters),
        (8, 6, 4)
    );
    assert_eq!(hours(&store), [6, 7, 8, 9]);
    let captured = (0..10).filter(|hour| store.capture(id(hour * HOUR, 1)).unwrap().is_some());
    assert_eq!(captured.collect::<Vec<_>>(), [8, 9]);
    let rows = store.usage(0, 99, None).unwrap();
    assert_eq!(
        rows.iter().map(|row| row.0.hour).collect::<Vec<_>>(),
        [4, 5, 6, 7, 8, 9]
    );
    // The totals since creation stay; empty sessions are gone, others count what they have.
    assert_eq!(store.totals().unwrap().requests, 10);
    let sessions = store.sessions(&Filter::default(), None, 100).unwrap().items;
    let counts: Vec<_> = sessions
        .iter()
        .map(|session| (session.id.0, session.requests))
        .collect();
    assert_eq!(counts, [(4, 2), (3, 2)]);
    assert_eq!(writer.prune(now).await.unwrap(), Pruned::default());
}

#[tokio::test]
async fn by_bytes_the_oldest_go() {
    let (store, writer) = store();
    fill(&writer, 10).await;
    let live = writer.stats().capture_live_bytes;
    writer.set_retention(Retention {
        capture_bytes: live / 2,
        record_bytes: Some(1),
        ..Retention::default()
    });
    let pruned = writer.prune(Timestamp(10 * HOUR)).await.unwrap();
    assert_eq!(pruned.records, 10);
    assert!(pruned.captures >= 5 && pruned.captures < 10, "{pruned:?}");
    assert!(writer.stats().capture_live_bytes <= live / 2);
    assert_eq!(hours(&store), Vec::<u64>::new());
    assert!(store.capture(id(9 * HOUR, 1)).unwrap().is_some());
    assert!(store.capture(id(0, 1)).unwrap().is_none());
    assert_eq!(
        store.sessions(&Filter::default(), None, 9).unwrap().items,
        []
    );
}

#[tokio::test]
async fn the_byte_cap_holds_without_being_asked() {
    let (store, writer) = store();
    writer.set_retention(Retention {
        capture_bytes: 600,
        ..Retention::default()
    });
    fill(&writer, 20).await;
    assert!(writer.stats().capture_live_bytes <= 600);
    assert!(store.capture(id(19 * HOUR, 1)).unwrap().is_some());
    assert!(store.capture(id(0, 1)).unwrap().is_none());
}

#[tokio::test]
async fn shared_segments_live_as_long_as_somebody_needs_them() {
    let (store, writer) = store();
    for number in 0..3 {
        let done = finished(record(id(number * HOUR, 1)));
        writer.finish(done, Some(capture(&[b's'; 5000], b"own")));
    }
    writer.flush().await.unwrap();
    for hours in [2, 1] {
        writer.set_retention(Retention {
            captures: Some(Duration::from_hours(hours)),
            ..Retention::default()
        });
        writer.prune(Timestamp(3 * HOUR)).await.unwrap();
        let last = store.capture(id(2 * HOUR, 1)).unwrap().unwrap();
        assert_eq!(whole(&last.request), [b's'; 5000]);
    }
    writer.set_retention(Retention {
        capture_bytes: 0,
        ..Retention::default()
    });
    writer.prune(Timestamp(3 * HOUR)).await.unwrap();
    assert_eq!(writer.stats().capture_live_bytes, 0);
}

/// Who erases `user:1`.
fn by_host() -> AuditEntry {
    AuditEntry {
        at: Timestamp(1),
        who: "host".into(),
        login: String::new(),
        action: AuditAction::Erased,
        subject: "user:1".into(),
        detail: String::new(),
    }
}

#[tokio::test]
async fn an_erased_person_leaves_only_numbers() {
    let (store, writer) = store();
    for number in 0..700_u64 {
        let mut done = finished(record(id(number * HOUR / 100, number)));
        if number % 7 == 0 {
            done.who.user = "user:2".into();
            done.who.login = "bob@example.com".into();
            done.session = Some(SessionId(8));
        }
        done.title = Some("secret plans".into());
        done.tools = vec![ToolCall {
            name: "Bash".into(),
            ..ToolCall::default()
        }];
        writer.finish(done, (number < 10).then(|| capture(b"secret", b"")));
    }
    let under_way = record(id(9 * HOUR, 1));
    writer.start(&under_way);
    writer.own("openai", "resp_1", "user:1");
    writer.own("openai", "resp_2", "user:2");
    writer.flush().await.unwrap();
    let before = store.totals().unwrap();

    let erased = writer
        .erase_user("user:1", &["alice@example.com".into()], by_host())
        .await
        .unwrap();
    assert_eq!(
        (erased.records, erased.captures, erased.in_flight),
        (600, 8, 1)
    );

    let of = |user: &str| Filter {
        user: Some(user.into()),
        ..Filter::default()
    };
    let left = store.requests(&of("user:1"), None, 1000).unwrap().items;
    assert_eq!(left.len(), 1, "the one under way");
    let numbers = store.requests(&of(ERASED), None, 1000).unwrap().items;
    assert_eq!(numbers.len(), 600);
    for record in &numbers {
        let text = serde_json::to_string(record).unwrap();
        for word in [
            "secret", "alice", "user:1", "laptop", "/v1/", "Bash", "ses_", "011CX",
        ] {
            assert!(!text.contains(word), "{word} in {text}");
        }
        assert_eq!(store.capture(record.id).unwrap(), None);
    }
    let session = store.session(SessionId(7)).unwrap().unwrap();
    assert_eq!((session.requests, session.title), (1, None));
    let found = Filter {
        text: Some("secret".into()),
        ..Filter::default()
    };
    let found = store.requests(&found, None, 1000).unwrap().items;
    assert!(found.len() == 100 && found.iter().all(|record| record.who.user == "user:2"));
    assert_eq!(store.owner("openai", "resp_1").unwrap(), None);
    assert_eq!(
        store.owner("openai", "resp_2").unwrap().as_deref(),
        Some("user:2")
    );
    assert!(
        store
            .users()
            .unwrap()
            .iter()
            .all(|user| user.user != "user:1")
    );
    // The numbers are the same, under nobody's name.
    let after = store.totals().unwrap();
    assert_eq!(
        (after.requests, after.usage, after.cost_pico),
        (before.requests, before.usage, before.cost_pico)
    );
    for rows in [store.usage(0, 99, None).unwrap(), store.counters().unwrap()] {
        assert!(rows.iter().all(|row| row.0.user != "user:1"));
        let sum: u64 = rows.iter().map(|row| row.1.requests).sum();
        assert_eq!(sum, 700);
    }
    let calls: u64 = store
        .tools(0, 99, None)
        .unwrap()
        .iter()
        .map(|row| row.1.calls)
        .sum();
    assert_eq!(calls, 700);
    assert_eq!(store.tools(0, 99, Some("user:1")).unwrap(), []);
    // Who was erased is not said either.
    let entry = store.audit(None, 9).unwrap().items.remove(0);
    assert_eq!(
        (entry.action, entry.subject.as_str()),
        (AuditAction::Erased, ERASED)
    );

    // What the person does afterwards is theirs again.
    writer.finish(finished(under_way.clone()), None);
    writer.flush().await.unwrap();
    assert_eq!(
        store.request(under_way.id).unwrap().unwrap().who.user,
        "user:1"
    );
}

/// How often a word is in both files.
fn occurrences(directory: &std::path::Path, word: &[u8]) -> usize {
    [FileName::Main, FileName::Captures]
        .iter()
        .map(|name| std::fs::read(directory.join(name.as_str())).unwrap())
        .map(|bytes| {
            bytes
                .windows(word.len())
                .filter(|window| *window == word)
                .count()
        })
        .sum()
}

#[tokio::test]
async fn what_is_erased_is_in_no_unused_page_either() {
    let directory = tempfile::tempdir().unwrap();
    let (store, writer, _) = Store::open(directory.path(), OpenOptions::default()).unwrap();
    for number in 1..=400_u64 {
        let mut done = finished(record(id(number * 1000, number)));
        let mut words = format!("public{number} plain");
        if number % 3 == 0 {
            words = format!("quokkamark{number} xyzzymark");
        } else {
            done.who.user = "user:2".into();
            done.who.login = "bob@example.com".into();
        }
        done.session = Some(SessionId(u128::from(number)));
        done.title = Some(words.clone());
        // Of many sizes, and mostly of what gets no smaller.
        let mut noise = words.into_bytes();
        for block in 0..number % 40 * 20 {
            let hash = blake3::hash(&(number << 20 | block).to_le_bytes());
            noise.extend_from_slice(hash.as_bytes());
        }
        if number % 3 == 0 {
            noise.extend_from_slice(b" xyzzymark");
        }
        writer.finish(done, Some(capture(&noise, b"answer")));
        if number % 50 == 0 {
            writer.flush().await.unwrap();
        }
    }
    writer.flush().await.unwrap();
    assert!(occurrences(directory.path(), b"quokkamark") > 100);
    assert!(occurrences(directory.path(), b"xyzzymark") > 100);
    writer
        .erase_user("user:1", &["alice@example.com".into()], by_host())
        .await
        .unwrap();
    for word in ["quokkamark", "xyzzymark", "alice@example.com"] {
        assert_eq!(occurrences(directory.path(), word.as_bytes()), 0, "{word}");
    }
    let kept = Filter {
        user: Some("user:2".into()),
        ..Filter::default()
    };
    for record in store.requests(&kept, None, 1000).unwrap().items {
        assert!(store.capture(record.id).unwrap().is_some());
    }
    writer.close(Duration::from_secs(10)).await;
}
