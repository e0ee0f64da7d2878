//! Posting lists against plain sets: any order of changes, whatever the blocks become; and what schema 1 had.

use crate::store::postings::{Changes, migrate, newest, oldest};
use crate::store::schema::{Facet, POSTINGS, REQUESTS_BY};
use proptest::prelude::*;
use redb::{
    Database, ReadableDatabase as _, ReadableTable as _, ReadableTableMetadata as _,
    backends::InMemoryBackend,
};
use std::collections::{BTreeMap, BTreeSet};

type Lists = BTreeMap<(Facet, &'static str), BTreeSet<u128>>;

const NAMES: [(Facet, &str); 4] = [
    (Facet::User, "user:1"),
    (Facet::User, "user:10"),
    (Facet::Text, ""),
    (Facet::Text, "user:1"),
];

fn database() -> Database {
    let builder = Database::builder();
    let database = builder.create_with_backend(InMemoryBackend::new());
    database.unwrap()
}

fn apply(database: &Database, changes: Changes) {
    let write = database.begin_write().unwrap();
    changes.apply(&write).unwrap();
    write.commit().unwrap();
}

/// Every list, by every way to read it, and the order and size of the blocks.
fn check(database: &Database, lists: &Lists) {
    let read = database.begin_read().unwrap();
    let table = read.open_table(POSTINGS).unwrap();
    for ((facet, value), list) in lists {
        let all: Vec<u128> = list.iter().copied().collect();
        assert_eq!(oldest(&table, *facet, value, 0, usize::MAX).unwrap(), all);
        for &id in &all {
            for most in [id - 1, id, id + 1] {
                let expected = list.range(..=most).next_back().copied();
                assert_eq!(newest(&table, *facet, value, most).unwrap(), expected);
                let expected: Vec<u128> = list.range(most..).take(3).copied().collect();
                assert_eq!(oldest(&table, *facet, value, most, 3).unwrap(), expected);
            }
        }
    }
    let mut ids = 0;
    for row in table.iter().unwrap() {
        let (key, block) = row.unwrap();
        let block = block.value();
        assert!(!block.is_empty() && block.len() <= 64 * 16);
        assert_eq!(block[..16], key.value().2.to_be_bytes());
        ids += block.len() / 16;
    }
    assert_eq!(ids, lists.values().map(BTreeSet::len).sum::<usize>());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn any_changes_leave_what_plain_sets_would(
        batches in prop::collection::vec(
            prop::collection::vec((0..4_usize, 1..300_u128, prop::bool::weighted(0.7)), 1..200),
            1..12,
        ),
    ) {
        let database = database();
        let mut lists = Lists::new();
        for batch in batches {
            let mut changes = Changes::default();
            for (name, id, stays) in batch {
                let (facet, value) = NAMES[name];
                let list = lists.entry((facet, value)).or_default();
                if stays {
                    changes.add(facet, value.to_owned(), id);
                    list.insert(id);
                } else {
                    changes.take(facet, value.to_owned(), id);
                    list.remove(&id);
                }
            }
            apply(&database, changes);
            check(&database, &lists);
        }
    }
}

#[test]
fn a_list_that_grows_at_its_end_fills_its_blocks() {
    let database = database();
    for batch in 0..40_u128 {
        let mut changes = Changes::default();
        for id in batch * 25..(batch + 1) * 25 {
            changes.add(Facet::User, "user:1".to_owned(), id + 1);
        }
        apply(&database, changes);
    }
    let read = database.begin_read().unwrap();
    let table = read.open_table(POSTINGS).unwrap();
    assert_eq!(table.len().unwrap(), 1000_u64.div_ceil(64));
}

#[test]
fn the_table_of_schema_1_is_taken_over_and_let_go_of() {
    let database = database();
    let mut lists = Lists::new();
    let write = database.begin_write().unwrap();
    {
        let mut old = write.open_table(REQUESTS_BY).unwrap();
        for (at, (facet, value)) in NAMES.into_iter().enumerate() {
            for id in 1..=[1, 64, 65, 200][at] {
                old.insert((facet as u8, value, id), ()).unwrap();
                lists.entry((facet, value)).or_default().insert(id);
            }
        }
    }
    migrate(&write).unwrap();
    write.commit().unwrap();
    check(&database, &lists);
    let read = database.begin_read().unwrap();
    assert!(read.open_table(REQUESTS_BY).is_err());
}
