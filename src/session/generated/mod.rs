//! Generated conversations: how often the grouper is wrong.
//!
//! A generator runs thousands of conversations of several people and client styles at once, through the real pipeline:
//! `read_request` → `assign` → `ResponseTap` → `learn`. It shares no code with the grouper and knows the truth, because it
//! is the client: every request is made by one *unit* (a conversation, a fork or a sub-agent). Found sessions are held
//! against units: two units in one session are a merge, one unit in two sessions is a split.
//! Only what a real client could be told apart by is generated; what can't be decided at all is in docs/design/sessions.md.

mod world;

use super::*;
use std::collections::{BTreeMap, BTreeSet};
use world::{Seen, World};

/// Conversations of one run, sub-agents and forks not counted.
const CONVERSATIONS: usize = 2_400;
const SEED: u64 = 20_261_128;

#[derive(Debug, Default)]
struct Rates {
    units: usize,
    requests: usize,
    merged: usize,
    split: usize,
    wrong_parent: usize,
    children: usize,
}

/// Holds what was found against the truth; the units that went wrong by style.
fn measure(seen: &[Seen]) -> (Rates, BTreeMap<&'static str, (usize, usize, usize)>) {
    let mut sessions: BTreeMap<SessionId, BTreeSet<usize>> = BTreeMap::new();
    let mut units: BTreeMap<usize, BTreeSet<SessionId>> = BTreeMap::new();
    let mut styles: BTreeMap<usize, &'static str> = BTreeMap::new();
    for one in seen {
        sessions.entry(one.session).or_default().insert(one.unit);
        units.entry(one.unit).or_default().insert(one.session);
        styles.insert(one.unit, one.style);
    }
    let mut rates = Rates {
        units: units.len(),
        requests: seen.len(),
        ..Rates::default()
    };
    let mut by_style: BTreeMap<&'static str, (usize, usize, usize)> = BTreeMap::new();
    for (unit, found) in &units {
        let merged = found.iter().any(|session| sessions[session].len() > 1);
        let split = found.len() > 1;
        rates.merged += usize::from(merged);
        rates.split += usize::from(split);
        let row = by_style.entry(styles[unit]).or_default();
        row.0 += 1;
        row.1 += usize::from(merged);
        row.2 += usize::from(split);
    }
    for one in seen {
        let Some(parent) = one.parent else { continue };
        // A fork says once where it is from, a sub-agent always.
        if one.told || one.first {
            rates.children += 1;
            let right = one
                .found_parent
                .is_some_and(|found| units[&parent].contains(&found));
            rates.wrong_parent += usize::from(!right);
        }
    }
    (rates, by_style)
}

#[test]
fn thousands_of_conversations_neither_merge_nor_split() {
    let seed = std::env::var("APERTURE_SEED").ok();
    let seed = seed.and_then(|seed| seed.parse().ok()).unwrap_or(SEED);
    let seen = World::new(seed).run(CONVERSATIONS);
    let (rates, by_style) = measure(&seen);
    let Rates {
        units,
        requests,
        merged,
        split,
        wrong_parent,
        children,
    } = rates;
    eprintln!(
        "APERTURE_SEED={seed}: {requests} requests of {units} units: {merged} merged, {split} split; {wrong_parent} of \
         {children} statements of a parent wrong"
    );
    for (style, (units, merged, split)) in &by_style {
        eprintln!("  {style}: {units} units, {merged} merged, {split} split");
    }
    assert!(by_style.len() >= 8 && units >= CONVERSATIONS);
    assert_eq!(merged, 0, "seed {seed}: {by_style:?}");
    assert!(split * 100 <= units, "seed {seed}: {by_style:?}");
    assert_eq!(wrong_parent, 0, "seed {seed}");
}
