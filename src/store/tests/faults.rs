//! Disks that fail and processes that die: what was committed stays, what was under way is marked, nothing is silent.

use super::support::*;
use crate::record::*;
use crate::store::ask::{ANSWERED_WITHIN, ASKED_AT_ONCE};
use crate::store::*;
use futures_util::future::join_all;
use std::{sync::Arc, time::Duration};

/// Records agree with counters and summaries.
fn check_sums(store: &Store) {
    let mut records = Vec::new();
    let mut cursor = None;
    loop {
        let page = store.requests(&Filter::default(), cursor, 100).unwrap();
        records.extend(page.items);
        match page.next {
            Some(next) => cursor = Some(next),
            None => break,
        }
    }
    let ended = records.iter().filter(|record| record.end != End::InFlight);
    let totals = store.totals().unwrap();
    assert_eq!(totals.requests, ended.clone().count() as u64);
    let tokens: u64 = ended.map(|record| record.usage.total()).sum();
    assert_eq!(totals.usage.total(), tokens);
    for session in store.sessions(&Filter::default(), None, 100).unwrap().items {
        let own = records
            .iter()
            .filter(|record| record.session == Some(session.id));
        assert_eq!(session.requests, own.count() as u64);
    }
}

#[tokio::test]
async fn a_kill_leaves_committed_records_and_interrupts_the_rest() {
    let disk = Disk::new();
    let (_store, writer, _) = open_on(&disk, OpenOptions::default());
    let done = finished(record(id(10, 1)));
    writer.finish(done.clone(), Some(capture(b"kept", b"")));
    let mut streaming = record(id(10, 2));
    writer.start(&streaming);
    streaming.usage.output = 9;
    writer.checkpoint(&streaming);
    let silent = record(id(10, 3));
    writer.start(&silent);
    writer.flush().await.unwrap();
    let before = Timestamp::now();

    let (store, writer, recovered) = open_on(&disk.crashed(), OpenOptions::default());
    assert_eq!(recovered.interrupted, 2);
    let (from, to) = recovered.window.unwrap();
    assert!(from <= before && before <= to);
    assert_eq!(store.request(done.id).unwrap(), Some(done.clone()));
    assert_eq!(
        whole(&store.capture(done.id).unwrap().unwrap().request),
        b"kept"
    );
    let partial = store.request(streaming.id).unwrap().unwrap();
    assert_eq!(
        (partial.end, partial.usage_state),
        (End::Interrupted, UsageState::Partial)
    );
    assert_eq!(partial.usage.output, 9);
    let none = store.request(silent.id).unwrap().unwrap();
    assert_eq!(
        (none.end, none.usage_state),
        (End::Interrupted, UsageState::None)
    );
    let session = store.session(SessionId(7)).unwrap().unwrap();
    assert_eq!(
        (session.in_flight, session.requests, session.errors),
        (0, 3, 2)
    );
    check_sums(&store);
    writer.close(Duration::from_secs(30)).await;
}

/// The workload of the crash test: three committed batches of starts and ends.
async fn work(writer: &Writer, mut committed: impl FnMut(RequestId)) {
    for batch in 0..3_u64 {
        let mut ids = Vec::new();
        for number in 0..4 {
            let mut began = record(id(10 + batch, number));
            began.session = Some(SessionId(u128::from(number % 2)));
            writer.start(&began);
            if number != 3 {
                ids.push(began.id);
                let text = vec![b'a'; 3000 + usize::try_from(number).unwrap()];
                writer.finish(finished(began), Some(capture(&text, b"")));
            }
        }
        if writer.flush().await.is_ok() {
            ids.into_iter().for_each(&mut committed);
        }
    }
}

#[tokio::test]
async fn a_crash_at_any_write_loses_nothing_that_was_committed() {
    let disk = Disk::new();
    let (_store, writer, _) = open_on(&disk, OpenOptions::default());
    writer.flush().await.unwrap();
    let start = disk.operations();
    work(&writer, |_| {}).await;
    let operations = disk.operations() - start;
    assert!(operations > 20, "{operations}");

    for limit in (0..operations).step_by(5) {
        let disk = Disk::new();
        let (_store, writer, _) = open_on(&disk, OpenOptions::default());
        writer.flush().await.unwrap();
        disk.fail_after(Some(limit));
        let mut committed = Vec::new();
        work(&writer, |id| committed.push(id)).await;
        // The power goes while the writer still tries: only what was synced is left.
        let crashed = disk.crashed();
        let (store, writer, _) = open_on(&crashed, OpenOptions::default());
        for id in committed {
            let kept = store.request(id).unwrap();
            assert_eq!(
                kept,
                Some(finished(record_of(id))),
                "after {limit} operations"
            );
            assert!(store.capture(id).unwrap().is_some());
        }
        check_sums(&store);
        let left = store.requests(
            &Filter {
                end: Some(End::InFlight),
                ..Filter::default()
            },
            None,
            10,
        );
        assert_eq!(left.unwrap().items, []);
        writer.close(Duration::from_secs(30)).await;
    }
}

fn record_of(id: RequestId) -> Record {
    let mut record = record(id);
    record.session = Some(SessionId((id.0 & 0xff) % 2));
    record
}

#[tokio::test]
async fn a_full_disk_is_said_and_survived_and_nothing_counts_twice() {
    let disk = Disk::new();
    let (store, writer, _) = open_on(&disk, OpenOptions::default());
    writer.finish(finished(record(id(10, 1))), None);
    writer.flush().await.unwrap();
    assert_eq!(writer.stats().degraded, None);
    // Some operations still work, so that the failure falls into the middle of a commit.
    for (number, left) in (2..).zip(0..12) {
        disk.fail_after(Some(left));
        writer.finish(finished(record(id(10, number))), Some(capture(b"a", b"b")));
        let failed = writer.flush().await.is_err();
        if failed {
            let stats = writer.stats();
            assert!(stats.degraded.is_some() && stats.last_error.is_some());
        }
        disk.fail_after(None);
        while writer.flush().await.is_err() {}
        assert_eq!(writer.stats().degraded, None);
    }
    let stats = writer.stats();
    assert_eq!((stats.lost_records, stats.lost_bodies), (0, 0));
    assert_eq!(store.totals().unwrap().requests, 13);
    check_sums(&store);
    for number in 2..14 {
        assert!(store.capture(id(10, number)).unwrap().is_some());
    }
}

#[tokio::test]
async fn a_disk_that_hangs_is_in_nobodys_way() {
    let disk = Disk::new();
    let (store, writer, _) = open_on(&disk, OpenOptions::default());
    writer.flush().await.unwrap();
    let hanging = disk.hang();
    // That this returns is the test: what it hands over waits in memory, and the writing threads at the disk.
    for number in 0..500 {
        writer.start(&record(id(10, number)));
        writer.finish(
            finished(record(id(10, number))),
            Some(capture(b"in", b"out")),
        );
    }
    assert_eq!(store.totals().unwrap().requests, 0);
    drop(hanging);
    writer.flush().await.unwrap();
    assert_eq!(store.totals().unwrap().requests, 500);
    let stats = writer.stats();
    assert_eq!((stats.lost_records, stats.lost_bodies), (0, 0));
    check_sums(&store);
}

#[tokio::test(start_paused = true)]
async fn questions_that_hang_are_answered_in_time_and_leave_threads_for_others() {
    let (store, writer) = store();
    let (hang, hanging) = std::sync::mpsc::channel::<()>();
    let hanging = Arc::new(parking_lot::Mutex::new(hanging));
    let stuck = (0..ASKED_AT_ONCE).map(|_| {
        let hanging = Arc::clone(&hanging);
        store.ask(move |_| Ok(hanging.lock().recv().is_ok()))
    });
    // It takes no thread: there are as many as turns for questions.
    let late = store.ask(Store::totals);
    let (stuck, late, ()) =
        tokio::join!(join_all(stuck), late, tokio::time::advance(ANSWERED_WITHIN));
    for asked in stuck {
        assert!(matches!(asked, Err(ReadError::Slow)));
    }
    assert!(matches!(late, Err(ReadError::Slow)));
    // A request's question does not wait for those of pages.
    assert_eq!(store.apart().ask(Store::totals).await.unwrap().requests, 0);
    drop(hang);
    assert_eq!(store.ask(Store::totals).await.unwrap().requests, 0);
    drop(writer);
}

#[tokio::test]
async fn a_close_ends_when_only_the_records_hang() {
    let disk = Disk::new();
    let (_store, writer, _) = open_on(&disk, OpenOptions::default());
    writer.flush().await.unwrap();
    let hanging = disk.hang();
    writer.finish(finished(record(id(10, 1))), None);
    // The thread of bodies has nothing to write and ends at once.
    let stats = writer.close(Duration::from_millis(200)).await;
    assert_eq!(stats.queued, 0);
    drop(hanging);
}

#[tokio::test]
async fn without_a_disk_the_newest_events_are_kept_and_the_rest_counted() {
    let disk = Disk::new();
    let options = OpenOptions {
        event_queue_bytes: 50_000,
        ..OpenOptions::default()
    };
    let (store, writer, _) = open_on(&disk, options);
    writer.flush().await.unwrap();
    disk.fail_after(Some(0));
    for number in 0..100 {
        writer.finish(finished(record(id(10, number))), None);
    }
    assert!(writer.flush().await.is_err());
    let lost = writer.stats().lost_records;
    assert!(lost > 0 && writer.stats().queue_bytes <= 50_000);
    disk.fail_after(None);
    while writer.flush().await.is_err() {}
    let kept = store
        .requests(&Filter::default(), None, 1000)
        .unwrap()
        .items;
    assert_eq!(kept.len() as u64, 100 - lost);
    assert_eq!(kept[0].id, id(10, 99));
    check_sums(&store);
}

#[tokio::test]
async fn two_stores_cannot_share_a_directory() {
    let directory = tempfile::tempdir().unwrap();
    let (_store, writer, _) = Store::open(directory.path(), OpenOptions::default()).unwrap();
    let second = Store::open(directory.path(), OpenOptions::default());
    // It is in use, not damaged.
    let Err(OpenError::Io { path, source }) = second else {
        panic!("{second:?}");
    };
    assert_eq!(path, directory.path().join("aperture.redb"));
    assert_eq!(source.kind(), std::io::ErrorKind::ResourceBusy);
    writer.close(Duration::from_secs(30)).await;
}
