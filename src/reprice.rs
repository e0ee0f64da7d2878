//! `aperture reprice`: the prices of this build and of the current configuration, put on what was recorded before.
//!
//! Owns: what can be asked, and how the difference is shown. In: [`Options`], the configuration, the store. Out: a
//! [`Report`]. It serves the command both ways: inside a running gateway, which holds the files, and without one.
//! Must not know: how records are kept, HTTP.

use crate::{
    config::Config,
    price,
    record::Timestamp,
    store::{
        AuditAction, AuditEntry, Pricer, ReadError, RepriceScope, Repriced, Store, WriteError,
        Writer,
    },
};
use serde::{Deserialize, Serialize};
use std::{fmt, sync::Arc};

/// What is asked.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Options {
    /// Which records.
    pub scope: RepriceScope,
    /// Whether to put the prices down; otherwise the difference is only shown.
    pub apply: bool,
}

/// The answer.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Report {
    /// The version of the price table that was used.
    pub prices: String,
    /// Whether the prices were put down.
    pub applied: bool,
    /// The difference.
    pub difference: Repriced,
}

/// Why records were not priced again, or not all of them.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Error {
    /// Records can't be read.
    #[error("reading records: {0}")]
    Read(String),
    /// The store stopped before the end.
    #[error("{0}; what was done so far stays done, and the same command does the rest")]
    Write(#[from] WriteError),
}

impl From<ReadError> for Error {
    fn from(error: ReadError) -> Self {
        Self::Read(error.to_string())
    }
}

/// Prices records again, or says what that would change.
pub async fn run(
    options: Options,
    config: Arc<Config>,
    store: &Store,
    writer: &Writer,
) -> Result<Report, Error> {
    let pricer = Pricer::new(move |record| {
        let provider = record
            .provider
            .as_deref()
            .and_then(|id| config.providers.get(id));
        let (Some(provider), Some(model)) = (provider, record.model.clone()) else {
            return false;
        };
        price::settle(&config, provider, &model, record);
        true
    });
    let difference = if options.apply {
        writer.audit(AuditEntry {
            at: Timestamp::now(),
            who: "host".to_owned(),
            login: String::new(),
            action: AuditAction::Repriced,
            subject: price::VERSION.to_owned(),
            detail: serde_json::to_string(&options.scope).unwrap_or_default(),
        });
        writer.reprice(options.scope, pricer).await?
    } else {
        // Requests that just ended belong to the picture.
        writer.flush().await?;
        let store = store.clone();
        let look = move || store.reprice_preview(options.scope, pricer);
        tokio::task::spawn_blocking(look)
            .await
            .map_err(|error| Error::Read(error.to_string()))??
    };
    Ok(Report {
        prices: price::VERSION.to_owned(),
        applied: options.apply,
        difference,
    })
}

/// A table for people, and what to do next.
impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "price table: {}", self.prices)?;
        let lines = &self.difference.lines;
        if lines.is_empty() {
            return writeln!(f, "no finished requests there");
        }
        let head = [
            "provider",
            "model",
            "requests",
            "changed",
            "old $",
            "new $",
            "difference $",
            "",
        ];
        let mut rows = vec![head.map(str::to_owned)];
        let (mut old, mut new, mut changed, mut left, mut estimates) = (0_u64, 0_u64, 0, 0, false);
        for line in lines {
            let mut notes = Vec::new();
            let mut note = |count: u64, what: &str| {
                if count > 0 {
                    notes.push(format!("{count} {what}"));
                }
            };
            note(line.newly_priced, "unpriced → priced");
            note(line.newly_unpriced, "priced → unpriced");
            note(line.left, "left alone: provider not configured");
            if line.old_estimate_pico > 0 || line.new_estimate_pico > 0 {
                estimates = true;
                notes.push(format!(
                    "estimates {} → {}",
                    dollars(line.old_estimate_pico),
                    dollars(line.new_estimate_pico)
                ));
            }
            rows.push([
                name(&line.provider),
                name(&line.model),
                line.requests.to_string(),
                line.changed.to_string(),
                dollars(line.old_pico),
                dollars(line.new_pico),
                apart(line.old_pico, line.new_pico),
                notes.join(", "),
            ]);
            old = old.saturating_add(line.old_pico);
            new = new.saturating_add(line.new_pico);
            changed += line.changed;
            left += line.left;
        }
        rows.push([
            "all".to_owned(),
            String::new(),
            lines
                .iter()
                .map(|line| line.requests)
                .sum::<u64>()
                .to_string(),
            changed.to_string(),
            dollars(old),
            dollars(new),
            apart(old, new),
            String::new(),
        ]);
        table(f, &rows)?;
        if estimates {
            writeln!(f, "Estimates are in no other figure.")?;
        }
        if left > 0 {
            writeln!(
                f,
                "{left} requests keep their price: their provider is gone from the configuration."
            )?;
        }
        if self.difference.unreadable > 0 {
            writeln!(
                f,
                "{} records can't be read and are left as they are.",
                self.difference.unreadable
            )?;
        }
        match (self.applied, changed) {
            (true, _) => writeln!(
                f,
                "Done: {changed} requests changed, and the sums with them. Counters on /metrics only go up: they keep what they counted."
            ),
            (false, 0) => writeln!(f, "Nothing would change."),
            (false, _) => writeln!(f, "Nothing was changed: add --apply for that."),
        }
    }
}

/// A name in a table; a nameless line is what was put together.
fn name(text: &str) -> String {
    if text.is_empty() { "(others)" } else { text }.to_owned()
}

/// Pico-dollars as dollars, to the millionth.
fn dollars(pico: u64) -> String {
    let micro = pico / 1_000_000 + u64::from(pico % 1_000_000 >= 500_000);
    format!("{}.{:06}", micro / 1_000_000, micro % 1_000_000)
}

fn apart(old: u64, new: u64) -> String {
    let sign = if new < old { '-' } else { '+' };
    format!("{sign}{}", dollars(new.abs_diff(old)))
}

/// Columns of equal width; figures to the right.
fn table(f: &mut fmt::Formatter<'_>, rows: &[[String; 8]]) -> fmt::Result {
    let width = |column: usize| {
        let cells = rows.iter().map(|row| row[column].chars().count());
        cells.max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..8).map(width).collect();
    for row in rows {
        let cells = row.iter().zip(&widths).enumerate();
        let line: Vec<String> = cells
            .map(|(column, (cell, &width))| match column {
                0 | 1 | 7 => format!("{cell:width$}"),
                _ => format!("{cell:>width$}"),
            })
            .collect();
        writeln!(f, "{}", line.join("  ").trim_end())?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::RepricedLine;

    #[test]
    fn the_difference_is_a_table() {
        let line = RepricedLine {
            provider: "openai".into(),
            model: "gpt-5".into(),
            requests: 12,
            changed: 3,
            old_pico: 1_234_567_890_000,
            new_pico: 1_000_000_000_000,
            newly_priced: 2,
            ..RepricedLine::default()
        };
        let gone = RepricedLine {
            provider: "old".into(),
            model: "m".into(),
            requests: 1,
            left: 1,
            old_pico: u64::MAX,
            new_pico: u64::MAX,
            new_estimate_pico: 5_000_000,
            ..RepricedLine::default()
        };
        let report = Report {
            prices: "table 1".into(),
            applied: false,
            difference: Repriced {
                lines: vec![line, gone],
                unreadable: 1,
            },
        };
        insta::assert_snapshot!(report);
    }
}
