//! Bodies are rebuilt exactly, stored once, and dropped before anything else.

use super::support::*;
use crate::record::*;
use crate::store::segment::{LARGEST, cuts, each_segment};
use crate::store::*;
use proptest::prelude::*;
use std::time::Duration;

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn cuts_cover_a_body_whatever_the_borders(
        length in 0_usize..700_000,
        mut borders in prop::collection::vec(0_usize..800_000, 0..40),
        sorted in any::<bool>(),
    ) {
        if sorted {
            borders.sort_unstable();
        }
        let cuts = cuts(length, &borders);
        let mut end = 0;
        for range in &cuts {
            prop_assert_eq!(range.start, end);
            prop_assert!(!range.is_empty() && range.len() <= LARGEST);
            end = range.end;
        }
        prop_assert_eq!(end, length);
    }

    #[test]
    fn segments_put_together_are_the_body(
        chunks in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..3000), 0..12),
        mut borders in prop::collection::vec(0_usize..20_000, 0..20),
    ) {
        borders.sort_unstable();
        let body = CapturedBody {
            chunks: chunks.iter().cloned().map(Into::into).collect(),
            borders,
            truncated: false,
            size: 0,
        };
        let mut rebuilt = Vec::new();
        each_segment(&body, |bytes| rebuilt.extend_from_slice(bytes));
        prop_assert_eq!(rebuilt, chunks.concat());
    }

    #[test]
    fn equal_beginnings_have_equal_cuts(
        messages in prop::collection::vec(1_usize..4000, 1..30),
        more in 1_usize..4000,
    ) {
        let borders: Vec<usize> = messages.iter().scan(0, |sum, n| { *sum += n; Some(*sum) }).collect();
        let length = *borders.last().unwrap();
        let before = cuts(length, &borders);
        let after = cuts(length + more, &borders);
        // Only the unfinished last segment may differ.
        let same = before.len() - 1;
        prop_assert_eq!(&before[..same], &after[..same]);
    }
}

/// Text that does not compress to nothing.
fn noise(seed: u64, length: usize) -> String {
    let hash = blake3::Hasher::new()
        .update(&seed.to_le_bytes())
        .finalize_xof();
    let mut hash = hash;
    let mut bytes = vec![0; length];
    hash.fill(&mut bytes);
    bytes
        .iter()
        .map(|byte| char::from(b' ' + byte % 90))
        .collect()
}

/// A turn's request: the whole history, as agents send it, then fields that stay the same.
fn turn(count: u64) -> (Vec<u8>, Vec<usize>) {
    let mut text = b"{\"messages\":[".to_vec();
    let mut borders = vec![text.len()];
    for message in 0..count {
        text.extend_from_slice(format!("{{\"content\":\"{}\"}},", noise(message, 1500)).as_bytes());
        borders.push(text.len());
    }
    text.extend_from_slice(format!("],\"tools\":\"{}\"}}", noise(9999, 20_000)).as_bytes());
    (text, borders)
}

#[tokio::test]
async fn bytes_grow_linearly_with_a_conversation() {
    let (store, writer) = store();
    let mut live = Vec::new();
    for count in 1..=100 {
        let (text, borders) = turn(count);
        let mut captured = capture(b"", format!("answer {count}").as_bytes());
        captured.request = body(&text, &borders);
        let done = finished(record(id(count, count)));
        writer.finish(done.clone(), Some(captured));
        writer.flush().await.unwrap();
        live.push(writer.stats().capture_live_bytes);
        let rebuilt = store.capture(done.id).unwrap().unwrap();
        assert!(
            whole(&rebuilt.request) == text,
            "turn {count} is rebuilt exactly"
        );
    }
    // Each turn costs about its own message, the hundredth as the tenth; the histories together are 8 MB.
    let (early, late) = (live[19] - live[9], live[99] - live[89]);
    assert!(
        late < early * 3 / 2,
        "ten turns cost {early}, later {late} bytes"
    );
    assert!(live[99] < 300_000, "{} bytes", live[99]);
}

#[tokio::test]
async fn a_full_queue_drops_bodies_and_says_so_in_the_record() {
    let disk = Disk::new();
    let options = OpenOptions {
        body_queue_bytes: 100_000,
        ..OpenOptions::default()
    };
    let (store, writer, _) = open_on(&disk, options);
    writer.flush().await.unwrap();
    // Nothing is written while the disk fails, so the queue fills.
    disk.fail_after(Some(0));
    let large = noise(1, 40_000);
    for number in 0..10 {
        let done = finished(record(id(10, number)));
        writer.finish(done, Some(capture(large.as_bytes(), b"")));
    }
    let stats = writer.stats();
    assert_eq!((stats.lost_bodies, stats.lost_records), (8, 0));
    assert!(stats.body_queue_bytes <= 100_000);
    disk.fail_after(None);
    while writer.flush().await.is_err() {}
    for number in 0..10 {
        let kept = store.request(id(10, number)).unwrap().unwrap();
        let captured = store.capture(kept.id).unwrap();
        assert_eq!(captured.is_none(), kept.capture_lost.is_some());
        assert_eq!(captured.is_none(), number >= 2);
    }
    assert_eq!(store.totals().unwrap().requests, 10);
}

#[tokio::test]
async fn bodies_that_never_reach_the_disk_are_noted_in_their_records() {
    let disk = Disk::new();
    let (_, writer, _) = open_on(&disk, OpenOptions::default());
    writer.flush().await.unwrap();
    disk.fail_after(Some(0));
    writer.finish(finished(record(id(10, 1))), Some(capture(b"a", b"b")));
    writer.audit(AuditEntry {
        at: Timestamp(1),
        who: "host".into(),
        login: String::new(),
        action: AuditAction::Exported,
        subject: String::new(),
        detail: String::new(),
    });
    assert!(writer.flush().await.is_err());
    let stats = writer.close(Duration::from_millis(50)).await;
    assert_eq!((stats.lost_bodies, stats.lost_records), (1, 2));
    assert!(stats.degraded.is_some());
}
