//! The exporter's text, put in order: one block a family, sorted, money in dollars; and the node's own series.
//!
//! In: text exposition. Out: text exposition. Must not know: where either text comes from.

use super::{
    Audience,
    families::{IN_PICO, TABLE},
};
use std::fmt::Write as _;

/// Bytes of the node's text that are passed on.
const NODE_TEXT_MAX: usize = 1 << 20;
const PICO: u64 = 1_000_000_000_000;

/// Sorts families by name, and the series of counters and gauges by their labels: equal figures give equal text.
pub(super) fn arrange(text: &str, audience: Audience) -> String {
    let mut blocks: Vec<(&str, Vec<&str>, Vec<&str>)> = text
        .split("\n\n")
        .filter_map(|block| {
            let (head, series): (Vec<_>, Vec<_>) = block
                .lines()
                .filter(|line| !line.is_empty())
                .partition(|line| line.starts_with('#'));
            let name = head.last()?.split(' ').nth(2)?;
            (audience == Audience::Granted || !names_users(name)).then_some((name, head, series))
        })
        .collect();
    blocks.sort_by_key(|(name, ..)| *name);
    let mut out = String::with_capacity(text.len() + 4_096);
    for (name, head, mut series) in blocks {
        // The buckets of a histogram have an order of their own.
        if !head.iter().any(|line| line.ends_with(" histogram")) {
            series.sort_unstable();
        }
        for line in head {
            out.push_str(line);
            out.push('\n');
        }
        for line in series {
            match line.rsplit_once(' ') {
                Some((key, pico)) if IN_PICO.contains(&name) => {
                    let pico: u64 = pico.parse().unwrap_or_default();
                    let (whole, part) = (pico / PICO, pico % PICO);
                    let _ = writeln!(out, "{key} {whole}.{part:012}");
                }
                _ => {
                    out.push_str(line);
                    out.push('\n');
                }
            }
        }
    }
    out
}

/// Whether a family has a user's name as a label. One that is not in the table might.
fn names_users(family: &str) -> bool {
    let described = TABLE.iter().find(|described| described.name == family);
    described.is_none_or(|described| described.labels.contains(&"user"))
}

/// Appends the node's `tailscaled_…` lines; everything else in its text is left out, so that no name comes twice.
pub(super) fn append_node(out: &mut String, text: &str) {
    let mut left = NODE_TEXT_MAX;
    for line in text.lines() {
        let name = match line.strip_prefix("# ") {
            Some(comment) => comment.split(' ').nth(1).unwrap_or_default(),
            None => line,
        };
        if !name.starts_with("tailscaled_") {
            continue;
        }
        let Some(rest) = left.checked_sub(line.len() + 1) else {
            return;
        };
        left = rest;
        out.push_str(line);
        out.push('\n');
    }
}
