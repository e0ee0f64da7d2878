//! Repricing: the difference first, then records and every sum together, wherever it is stopped and begun again.

use super::support::*;
use crate::record::*;
use crate::store::*;
use std::collections::BTreeMap;
use std::time::Duration;

const HOUR: u64 = 3_600_000;

/// Two pico-dollars a token, by table "2"; `free` loses its price, of `gone` nothing is known.
fn doubled() -> Pricer {
    Pricer::new(|record| {
        let model = record.model.as_deref().unwrap_or_default();
        if model == "gone" {
            return false;
        }
        let state = if model == "free" {
            CostState::Unpriced
        } else {
            CostState::Priced
        };
        let price = |tokens: u64| Cost {
            pico: if state == CostState::Priced {
                2 * tokens
            } else {
                0
            },
            state,
            basis: format!("test/{model}"),
            prices: "2".into(),
        };
        record.cost = price(record.usage.total());
        if let Some(estimate) = &mut record.estimate {
            estimate.cost = price(estimate.input + estimate.output);
        }
        true
    })
}

/// Finished records of four models over three hours, one pico-dollar a token by table "1", and one that runs.
fn fill(writer: &Writer, count: u64) {
    for number in 0..count {
        let model = ["a", "b", "free", "gone"][usize::try_from(number % 4).unwrap()];
        let mut one = finished(record(id(HOUR * (1 + number % 3) + number, number)));
        one.model = Some(model.into());
        one.session = Some(SessionId(u128::from(number % 5)));
        one.usage.input = number;
        one.cost = Cost {
            pico: one.usage.total(),
            state: CostState::Priced,
            basis: format!("test/{model}"),
            prices: "1".into(),
        };
        if model == "b" {
            (one.cost.pico, one.cost.state) = (0, CostState::Unpriced);
        }
        if number % 7 == 0 {
            one.estimate = Some(Estimate {
                input: 3,
                output: 4,
                cost: Cost {
                    pico: 7,
                    ..one.cost.clone()
                },
            });
        }
        writer.finish(one, None);
    }
    let mut running = record(id(HOUR, count));
    running.model = Some("a".into());
    writer.start(&running);
}

fn all(store: &Store) -> Vec<Record> {
    let (mut items, mut cursor) = (Vec::new(), None);
    loop {
        let page = store.requests(&Filter::default(), cursor, 500).unwrap();
        items.extend(page.items);
        match page.next {
            Some(next) => cursor = Some(next),
            None => return items,
        }
    }
}

/// Counters by hour, counters ever and summaries are the sums of the records, by every key.
fn check_sums(store: &Store) {
    let records = all(store);
    let mut hourly: BTreeMap<UsageKey, Counters> = BTreeMap::new();
    let mut ever: BTreeMap<UsageKey, Counters> = BTreeMap::new();
    let mut sessions: BTreeMap<SessionId, (u64, u64, Estimated)> = BTreeMap::new();
    for record in records.iter().filter(|record| record.end != End::InFlight) {
        let (key, counters) = (UsageKey::of(record), Counters::of(record));
        ever.entry(UsageKey {
            hour: 0,
            ..key.clone()
        })
        .or_default()
        .add(&counters);
        hourly.entry(key).or_default().add(&counters);
        let session = sessions.entry(record.session.unwrap()).or_default();
        session.0 += record.cost.pico;
        session.1 += u64::from(record.cost.state == CostState::Unpriced);
        session.2.add(&Estimated::of(record));
    }
    let stored: BTreeMap<_, _> = store
        .usage(0, u32::MAX, None)
        .unwrap()
        .into_iter()
        .collect();
    assert_eq!(stored, hourly);
    let stored: BTreeMap<_, _> = store.counters().unwrap().into_iter().collect();
    assert_eq!(stored, ever);
    for (id, sums) in sessions {
        let session = store.session(id).unwrap().unwrap();
        assert_eq!(
            (session.cost_pico, session.unpriced, session.estimated),
            sums
        );
    }
}

fn line<'a>(repriced: &'a Repriced, model: &str) -> &'a RepricedLine {
    let mut lines = repriced.lines.iter();
    lines.find(|line| line.model == model).unwrap()
}

#[tokio::test]
async fn the_difference_is_shown_first_and_put_down_with_every_sum() {
    let (store, writer) = store();
    fill(&writer, 1000);
    writer.flush().await.unwrap();
    let before = all(&store);
    check_sums(&store);

    let shown = store
        .reprice_preview(RepriceScope::default(), doubled())
        .unwrap();
    assert_eq!(all(&store), before, "nothing was written");
    let of = |model: &str| -> Vec<&Record> {
        let own = |record: &&Record| record.model.as_deref() == Some(model);
        let ended = before.iter().filter(|record| record.end != End::InFlight);
        ended.filter(own).collect()
    };
    let tokens = |model: &str| of(model).iter().map(|one| one.usage.total()).sum::<u64>();
    for (model, old, new, priced, unpriced) in [
        ("a", tokens("a"), 2 * tokens("a"), 0, 0),
        ("b", 0, 2 * tokens("b"), 250, 0),
        ("free", tokens("free"), 0, 0, 250),
        ("gone", tokens("gone"), tokens("gone"), 0, 0),
    ] {
        let line = line(&shown, model);
        assert_eq!(
            (line.requests, line.old_pico, line.new_pico),
            (250, old, new)
        );
        assert_eq!(
            (line.newly_priced, line.newly_unpriced),
            (priced, unpriced),
            "{model}"
        );
        let untouched = model == "gone";
        assert_eq!(line.changed, if untouched { 0 } else { 250 });
        assert_eq!(line.left, if untouched { 250 } else { 0 });
        assert_eq!(
            line.old_estimate_pico,
            7 * of(model).iter().filter(|o| o.estimate.is_some()).count() as u64
        );
    }

    let done = writer
        .reprice(RepriceScope::default(), doubled())
        .await
        .unwrap();
    assert_eq!(done, shown);
    check_sums(&store);
    for record in all(&store) {
        let touched = record.end != End::InFlight && record.model.as_deref() != Some("gone");
        assert_eq!(record.cost.prices == "2", touched);
    }
    // Again: nothing is left to do.
    let again = writer
        .reprice(RepriceScope::default(), doubled())
        .await
        .unwrap();
    assert!(again.lines.iter().all(|line| line.changed == 0));
    check_sums(&store);
}

#[tokio::test]
async fn only_what_is_asked_for_is_touched() {
    let (store, writer) = store();
    fill(&writer, 60);
    writer.flush().await.unwrap();
    let scope = RepriceScope {
        since: Some(Timestamp(2 * HOUR)),
        until: Some(Timestamp(3 * HOUR)),
        model: Some("a".into()),
        provider: all(&store)[0].provider.clone(),
    };
    let done = writer.reprice(scope, doubled()).await.unwrap();
    assert_eq!(done.lines.len(), 1);
    for record in all(&store) {
        let meant = record.model.as_deref() == Some("a")
            && record.started.hour() == 2
            && record.end != End::InFlight;
        assert_eq!(record.cost.prices == "2", meant, "{record:?}");
    }
    let nobody = RepriceScope {
        provider: Some("nobody".into()),
        ..RepriceScope::default()
    };
    assert_eq!(writer.reprice(nobody, doubled()).await.unwrap().lines, []);
    check_sums(&store);
}

/// Hourly counters may go before records do: a price that changes later does not bring an hour back.
#[tokio::test]
async fn hours_whose_counters_are_gone_stay_gone() {
    let (store, writer) = store();
    fill(&writer, 12);
    writer.set_retention(Retention {
        counters: Some(Duration::from_millis(HOUR)),
        ..Retention::default()
    });
    writer.prune(Timestamp(3 * HOUR)).await.unwrap();
    let hours = |store: &Store| -> Vec<u32> {
        let rows = store.usage(0, u32::MAX, None).unwrap();
        rows.into_iter().map(|(key, _)| key.hour).collect()
    };
    assert!(!hours(&store).contains(&1));
    writer
        .reprice(RepriceScope::default(), doubled())
        .await
        .unwrap();
    assert!(!hours(&store).contains(&1));
    let priced: u64 = all(&store).iter().map(|record| record.cost.pico).sum();
    assert_eq!(store.totals().unwrap().cost_pico, priced);
}

/// The power goes at any write of a repricing: what is there agrees with itself, and doing it again does the rest.
#[tokio::test]
async fn a_crash_in_the_middle_leaves_sums_that_agree_and_a_rerun_finishes() {
    const COUNT: u64 = 520;
    let disk = Disk::new();
    let (_store, writer, _) = open_on(&disk, OpenOptions::default());
    fill(&writer, COUNT);
    writer.flush().await.unwrap();
    let start = disk.operations();
    let whole = writer
        .reprice(RepriceScope::default(), doubled())
        .await
        .unwrap();
    let operations = disk.operations() - start;
    assert!(operations > 10, "{operations}");

    let mut partly = 0;
    for limit in (0..operations).step_by(usize::try_from(operations / 8).unwrap().max(1)) {
        let disk = Disk::new();
        let (_store, writer, _) = open_on(&disk, OpenOptions::default());
        fill(&writer, COUNT);
        writer.flush().await.unwrap();
        disk.fail_after(Some(limit));
        // Stops with an error, or had just finished.
        let stopped = writer.reprice(RepriceScope::default(), doubled()).await;
        let crashed = disk.crashed();
        let (store, writer, _) = open_on(&crashed, OpenOptions::default());
        check_sums(&store);
        let done = all(&store)
            .iter()
            .filter(|record| record.cost.prices == "2")
            .count();
        partly += usize::from(stopped.is_err() && done > 0);
        writer
            .reprice(RepriceScope::default(), doubled())
            .await
            .unwrap();
        check_sums(&store);
        let shown = store
            .reprice_preview(RepriceScope::default(), doubled())
            .unwrap();
        for (now, then) in shown.lines.iter().zip(&whole.lines) {
            assert_eq!((now.changed, now.new_pico), (0, then.new_pico));
        }
        writer.close(Duration::from_secs(30)).await;
    }
    assert!(partly > 0, "some crash came between two steps");
}
