//! Everything that is kept, as lines: JSON objects or CSV.
//!
//! Owns: the forms of the export. In: what, whose, from when to when, and a place to write to. Out: lines, oldest first.
//! Reads in pages, so that an export of any size holds neither memory nor a transaction for long.
//! Must not know: where the lines go; who may export (the caller asks, and writes the audit entry).

use super::file::ReadError;
use super::filter::Filter;
use super::rows::{
    Cell, RECORD_COLUMNS, SESSION_COLUMNS, USAGE_COLUMNS, capture_json, csv_line, record_cells,
    session_cells, usage_cells, usage_json,
};
use super::schema;
use super::summary::Session;
use super::{Store, codec::decode};
use crate::record::{Record, RequestId, Timestamp};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::io::{self, Write};

/// What to export.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum What {
    /// Records of requests.
    Records,
    /// Summaries of sessions.
    Sessions,
    /// Hourly counters.
    Usage,
    /// Heads and bodies; JSON lines only.
    Captures,
}

/// How to write it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Format {
    /// One JSON object on each line.
    Jsonl,
    /// Comma-separated values with a head line.
    Csv,
}

/// What goes into an export.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExportOptions {
    /// What.
    pub what: What,
    /// How.
    pub format: Format,
    /// Begun then or later.
    pub from: Option<Timestamp>,
    /// Begun before then.
    pub to: Option<Timestamp>,
    /// Of one user: the stable key.
    pub user: Option<String>,
}

/// Why an export ended early.
#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    /// The store can't be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// The place to write to failed.
    #[error("can't write the export")]
    Write(#[from] io::Error),
    /// Captures have no CSV form.
    #[error("captures can only be exported as jsonl")]
    NoCsv,
}

/// Records of one read transaction.
const PAGE: usize = 500;

/// Writes the export; returns how many lines, the head line not counted.
pub fn export(
    store: &Store,
    options: &ExportOptions,
    out: &mut dyn Write,
) -> Result<u64, ExportError> {
    match (options.what, options.format) {
        (What::Captures, Format::Csv) => Err(ExportError::NoCsv),
        (What::Records, format) => {
            let mut lines = Lines::new(out, format, RECORD_COLUMNS)?;
            each_record(store, options, |record| {
                lines.line(|| serde_json::to_value(record), || record_cells(record))
            })?;
            Ok(lines.count)
        }
        (What::Captures, Format::Jsonl) => {
            let mut lines = Lines::new(out, Format::Jsonl, &[])?;
            each_record(store, options, |record| {
                let Some(capture) = store.capture(record.id)? else {
                    return Ok(());
                };
                lines.line(|| Ok(capture_json(record.id, &capture)), Vec::new)
            })?;
            Ok(lines.count)
        }
        (What::Sessions, format) => {
            let mut lines = Lines::new(out, format, SESSION_COLUMNS)?;
            each_session(store, options, |session| {
                lines.line(|| serde_json::to_value(session), || session_cells(session))
            })?;
            Ok(lines.count)
        }
        (What::Usage, format) => {
            let mut lines = Lines::new(out, format, USAGE_COLUMNS)?;
            let from = options.from.map_or(0, Timestamp::hour);
            let to = options
                .to
                .map_or(u32::MAX, |to| Timestamp(to.0.saturating_sub(1)).hour());
            // A month at a time.
            let mut first = from;
            while let Some(start) = next_hour(store, first)?.filter(|start| *start <= to) {
                let last = start.saturating_add(24 * 31).min(to);
                for (key, counters) in store.usage(start, last, options.user.as_deref())? {
                    lines.line(
                        || Ok(usage_json(&key, &counters)),
                        || usage_cells(&key, &counters),
                    )?;
                }
                match last.checked_add(1) {
                    Some(next) => first = next,
                    None => break,
                }
            }
            Ok(lines.count)
        }
    }
}

/// The first hour from `hour` on that has counters.
fn next_hour(store: &Store, hour: u32) -> Result<Option<u32>, ReadError> {
    store.files.main.read(|read| {
        let hourly = read.open_table(schema::USAGE_HOURLY)?;
        let row = hourly
            .range((hour, "", "", "", "", "", "", "", "")..)?
            .next();
        Ok(row.transpose()?.map(|(key, _)| key.value().0))
    })
}

/// Every record of the range, oldest first.
fn each_record(
    store: &Store,
    options: &ExportOptions,
    mut each: impl FnMut(&Record) -> Result<(), ExportError>,
) -> Result<(), ExportError> {
    let mut first = options.from.map_or(0, |from| RequestId::at(from).0);
    let end = options.to.map_or(u128::MAX, |to| RequestId::at(to).0);
    loop {
        let page: Vec<(u128, Record)> = store.files.main.read(|read| {
            let requests = read.open_table(schema::REQUESTS)?;
            if first >= end {
                return Ok(Vec::new());
            }
            requests
                .range(first..end)?
                .take(PAGE)
                .map(|row| {
                    let (id, row) = row?;
                    Ok((id.value(), decode("requests", row.value())?))
                })
                .collect()
        })?;
        let Some(&(last, _)) = page.last() else {
            return Ok(());
        };
        for (_, record) in &page {
            if options
                .user
                .as_ref()
                .is_none_or(|user| *user == record.who.user)
            {
                each(record)?;
            }
        }
        first = last.saturating_add(1);
    }
}

/// Every session with a request in the range, by the id of its newest such request, newest first.
fn each_session(
    store: &Store,
    options: &ExportOptions,
    mut each: impl FnMut(&Session) -> Result<(), ExportError>,
) -> Result<(), ExportError> {
    let filter = Filter {
        user: options.user.clone(),
        from: options.from,
        to: options.to,
        ..Filter::default()
    };
    let mut cursor = None;
    loop {
        let page = store.sessions(&filter, cursor, PAGE)?;
        for session in &page.items {
            each(session)?;
        }
        match page.next {
            Some(next) => cursor = Some(next),
            None => return Ok(()),
        }
    }
}

/// Writes lines in one format and counts them.
struct Lines<'a> {
    out: &'a mut dyn Write,
    format: Format,
    count: u64,
}

impl<'a> Lines<'a> {
    fn new(
        out: &'a mut dyn Write,
        format: Format,
        columns: &[&'static str],
    ) -> Result<Self, ExportError> {
        if format == Format::Csv {
            writeln!(out, "{}", columns.join(","))?;
        }
        Ok(Self {
            out,
            format,
            count: 0,
        })
    }

    fn line(
        &mut self,
        json: impl FnOnce() -> serde_json::Result<Value>,
        cells: impl FnOnce() -> Vec<Cell>,
    ) -> Result<(), ExportError> {
        match self.format {
            Format::Jsonl => {
                let value = json().map_err(io::Error::from)?;
                serde_json::to_writer(&mut *self.out, &value).map_err(io::Error::from)?;
            }
            Format::Csv => {
                self.out.write_all(csv_line(cells()).as_bytes())?;
            }
        }
        self.out.write_all(b"\n")?;
        self.count += 1;
        Ok(())
    }
}
