//! What a run found, as JSON and for people.
//!
//! Owns: [`Outcome`]. In: measurements. Out: text.

use crate::{process::Usage, run::Measured};
use serde_json::{Value, json};
use std::{fmt, time::Duration};

/// A whole run.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// What was measured.
    pub measured: Measured,
    /// From the first request to the last answer.
    pub elapsed: Duration,
    /// What the watched processes used.
    pub used: Vec<Used>,
}

/// What a process used in it.
#[derive(Clone, Debug)]
pub struct Used {
    /// The process.
    pub name: String,
    /// Processor time during the run.
    pub processor: Duration,
    /// The rest, as it was at its end.
    pub after: Usage,
}

// === impl Outcome ===

impl Outcome {
    /// Whole responses.
    pub fn answered(&self) -> u64 {
        self.measured.statuses.values().sum()
    }

    /// Requests without one.
    pub fn failed(&self) -> u64 {
        self.measured.failures.values().sum()
    }

    fn per_second(&self) -> f64 {
        float(self.answered()) / self.elapsed.as_secs_f64().max(1e-9)
    }

    fn micros_per_request(&self, used: &Used) -> f64 {
        used.processor.as_secs_f64() * 1e6 / float(self.answered().max(1))
    }

    /// All of it; times are microseconds.
    pub fn json(&self) -> Value {
        let processes: serde_json::Map<_, _> = self
            .used
            .iter()
            .map(|used| {
                let after = &used.after;
                let value = json!({
                    "processor_us": self.micros_per_request(used),
                    "resident_kib": after.resident_kib,
                    "peak_kib": after.peak_kib,
                    "threads": after.threads,
                    "files": after.files,
                });
                (used.name.clone(), value)
            })
            .collect();
        json!({
            "answered": self.answered(),
            "failed": self.failed(),
            "left": self.measured.left,
            "seconds": self.elapsed.as_secs_f64(),
            "per_second": self.per_second(),
            "bytes": self.measured.bytes,
            "latency": self.measured.latency.json(),
            "first_byte": self.measured.first_byte.json(),
            "gap": self.measured.gap.json(),
            "statuses": self.measured.statuses,
            "failures": self.measured.failures,
            "processes": processes,
        })
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "{} answered, {} left, {} failed, {:.2} s, {:.0} a second",
            self.answered(),
            self.measured.left,
            self.failed(),
            self.elapsed.as_secs_f64(),
            self.per_second()
        )?;
        let measured = &self.measured;
        for (name, histogram) in [
            ("latency", &measured.latency),
            ("first byte", &measured.first_byte),
            ("gap", &measured.gap),
        ] {
            writeln!(
                f,
                "{name:10}  p50 {:.0}  p90 {:.0}  p99 {:.0}  max {:.0} µs",
                histogram.percentile(50),
                histogram.percentile(90),
                histogram.percentile(99),
                histogram.percentile(100),
            )?;
        }
        for used in &self.used {
            writeln!(
                f,
                "{:10}  {:.1} µs of processor a request, {} KiB resident ({} at most), {} threads, {} files",
                used.name,
                self.micros_per_request(used),
                used.after.resident_kib,
                used.after.peak_kib,
                used.after.threads,
                used.after.files,
            )?;
        }
        write!(f, "statuses {:?}", measured.statuses)?;
        if !measured.failures.is_empty() {
            write!(f, "\nfailures {:?}", measured.failures)?;
        }
        Ok(())
    }
}

#[expect(clippy::cast_precision_loss, reason = "counts far below 2^53")]
fn float(count: u64) -> f64 {
    count as f64
}
