//! Durations by size, in bounded memory.
//!
//! Owns: [`Histogram`]: buckets whose width is 1/64 of their value, so a percentile is right within 1.6 %. In: durations.
//! Out: percentiles in microseconds.

use serde_json::{Value, json};
use std::time::Duration;

/// Buckets of each power of two.
const STEPS: u64 = 64;
const BITS: u32 = STEPS.ilog2();

/// Durations by size.
#[derive(Clone, Debug, Default)]
pub struct Histogram {
    counts: Vec<u64>,
    total: u64,
    largest: u64,
}

// === impl Histogram ===

impl Histogram {
    /// Adds one.
    pub fn add(&mut self, duration: Duration) {
        let nanos = u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
        let at = bucket(nanos);
        if at >= self.counts.len() {
            self.counts.resize(at + 1, 0);
        }
        self.counts[at] += 1;
        self.total += 1;
        self.largest = self.largest.max(nanos);
    }

    /// Adds those of another.
    pub fn merge(&mut self, other: &Self) {
        if self.counts.len() < other.counts.len() {
            self.counts.resize(other.counts.len(), 0);
        }
        for (mine, theirs) in self.counts.iter_mut().zip(&other.counts) {
            *mine += theirs;
        }
        self.total += other.total;
        self.largest = self.largest.max(other.largest);
    }

    /// The duration that `percent` of them do not exceed, in microseconds.
    pub fn percentile(&self, percent: u64) -> f64 {
        let wanted = (self.total * percent).div_ceil(100);
        let mut seen = 0;
        for (at, count) in self.counts.iter().enumerate() {
            seen += count;
            if seen >= wanted && *count > 0 {
                return micros(middle(at).min(self.largest));
            }
        }
        0.0
    }

    /// Percentiles and the largest, in microseconds.
    pub fn json(&self) -> Value {
        json!({
            "count": self.total,
            "p50": self.percentile(50),
            "p90": self.percentile(90),
            "p99": self.percentile(99),
            "max": micros(self.largest),
        })
    }
}

fn bucket(nanos: u64) -> usize {
    let shift = (u64::BITS - nanos.leading_zeros()).saturating_sub(BITS + 1);
    let at = u64::from(shift) * STEPS + (nanos >> shift);
    usize::try_from(at).expect("invariant: fewer than 4,000 buckets")
}

/// The value in the middle of a bucket.
fn middle(at: usize) -> u64 {
    let at = at as u64;
    if at < 2 * STEPS {
        return at;
    }
    let shift = at / STEPS - 1;
    let base = (at - shift * STEPS) << shift;
    base + (1 << shift) / 2
}

#[expect(
    clippy::cast_precision_loss,
    reason = "nanoseconds of hours are far below 2^53"
)]
fn micros(nanos: u64) -> f64 {
    nanos as f64 / 1000.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_right_within_a_64th() {
        let mut histogram = Histogram::default();
        for micros in 1..=10_000 {
            histogram.add(Duration::from_micros(micros));
        }
        for (percent, want) in [(1, 100.0), (50, 5_000.0), (99, 9_900.0), (100, 10_000.0)] {
            let have = histogram.percentile(percent);
            assert!(
                (have - want).abs() <= want / 64.0,
                "{percent}: {have} for {want}"
            );
        }
    }

    #[test]
    fn every_value_lies_in_its_bucket_and_buckets_rise() {
        let mut last = 0;
        for power in 0..63 {
            for nanos in [1_u64 << power, (1 << power) + (1 << power) / 3] {
                let at = bucket(nanos);
                assert!(at >= last, "{nanos}");
                last = at;
                assert!(
                    middle(at).abs_diff(nanos) <= nanos / STEPS + 1,
                    "{nanos}: {}",
                    middle(at)
                );
            }
        }
    }

    #[test]
    fn merged_is_as_if_added_to_one() {
        let (mut one, mut other, mut both) = (
            Histogram::default(),
            Histogram::default(),
            Histogram::default(),
        );
        for micros in 1..1000 {
            let into = if micros % 3 == 0 {
                &mut one
            } else {
                &mut other
            };
            into.add(Duration::from_micros(micros));
            both.add(Duration::from_micros(micros));
        }
        one.merge(&other);
        assert_eq!(one.json(), both.json());
    }
}
