//! Everything that is kept, as lines: JSON objects or CSV.
//!
//! Owns: the forms of the export. In: what, whose, from when to when, and a place to write to. Out: lines, oldest first.
//! Reads in pages, so that an export of any size holds neither memory nor a transaction for long.
//! Must not know: where the lines go; who may export (the caller asks, and writes the audit entry).

use super::file::ReadError;
use super::filter::Filter;
use super::schema;
use super::summary::Session;
use super::usage::{Counters, UsageKey};
use super::{Store, codec::decode};
use crate::record::{Capture, CapturedBody, Record, RequestId, Timestamp};
use serde_json::{Value, json};
use std::io::{self, Write};

/// What to export.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
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
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// One JSON object on each line.
    Jsonl,
    /// Comma-separated values with a head line.
    Csv,
}

/// What goes into an export.
#[derive(Clone, Debug, PartialEq, Eq)]
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

/// One cell of a CSV line.
enum Cell {
    Text(String),
    Number(u64),
}

impl From<&str> for Cell {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<String> for Cell {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

impl From<&Option<String>> for Cell {
    fn from(text: &Option<String>) -> Self {
        Self::Text(text.clone().unwrap_or_default())
    }
}

impl From<u64> for Cell {
    fn from(number: u64) -> Self {
        Self::Number(number)
    }
}

impl From<Timestamp> for Cell {
    fn from(time: Timestamp) -> Self {
        Self::Number(time.0)
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
                for (place, cell) in cells().into_iter().enumerate() {
                    if place > 0 {
                        self.out.write_all(b",")?;
                    }
                    match cell {
                        Cell::Number(number) => write!(self.out, "{number}")?,
                        Cell::Text(text) => self.out.write_all(csv_text(&text).as_bytes())?,
                    }
                }
            }
        }
        self.out.write_all(b"\n")?;
        self.count += 1;
        Ok(())
    }
}

/// A text as a CSV cell. Titles come from strangers: one that a spreadsheet would take for a formula is marked as text.
fn csv_text(text: &str) -> String {
    let formula = text.starts_with(['=', '+', '-', '@', '\t', '\r']);
    let text = if formula {
        format!("'{text}")
    } else {
        text.to_owned()
    };
    if text.contains(['"', ',', '\n', '\r']) {
        format!("\"{}\"", text.replace('"', "\"\""))
    } else {
        text
    }
}

const RECORD_COLUMNS: &[&str] = &[
    "id",
    "started_ms",
    "user",
    "login",
    "node",
    "client",
    "client_version",
    "endpoint",
    "provider",
    "model_asked",
    "model",
    "model_served",
    "status",
    "end",
    "failure",
    "first_byte_us",
    "total_us",
    "request_bytes",
    "response_bytes",
    "input",
    "cache_read",
    "cache_write",
    "cache_write_1h",
    "output",
    "reasoning",
    "web_searches",
    "usage_state",
    "cost_pico",
    "cost_state",
    "prices",
    "session",
    "agent",
    "title",
    "tools",
];

fn record_cells(record: &Record) -> Vec<Cell> {
    let usage = &record.usage;
    vec![
        record.id.to_string().into(),
        record.started.into(),
        record.who.user.as_str().into(),
        record.who.login.as_str().into(),
        record.who.node_name.as_str().into(),
        record.client.name.as_str().into(),
        record.client.version.as_str().into(),
        record.endpoint.as_str().into(),
        (&record.provider).into(),
        (&record.model_asked).into(),
        (&record.model).into(),
        (&record.model_served).into(),
        record
            .status
            .map_or(String::new(), |status| status.to_string())
            .into(),
        record.end.as_str().into(),
        (&record.failure).into(),
        record.timings.first_byte_us.into(),
        record.timings.total_us.into(),
        record.bytes.request.into(),
        record.bytes.response.into(),
        usage.input.into(),
        usage.cache_read.into(),
        usage.cache_write.into(),
        usage.cache_write_1h.into(),
        usage.output.into(),
        usage.reasoning.into(),
        usage.web_searches.into(),
        record.usage_state.as_str().into(),
        record.cost.pico.into(),
        record.cost.state.as_str().into(),
        record.cost.prices.as_str().into(),
        record
            .session
            .map_or(String::new(), |id| id.to_string())
            .into(),
        (&record.agent).into(),
        (&record.title).into(),
        (record.tools.len() as u64).into(),
    ]
}

const SESSION_COLUMNS: &[&str] = &[
    "id",
    "first_ms",
    "last_ms",
    "user",
    "login",
    "client",
    "title",
    "parent",
    "requests",
    "in_flight",
    "errors",
    "input",
    "cache_read",
    "cache_write",
    "cache_write_1h",
    "output",
    "cost_pico",
    "unpriced",
    "models",
    "tools",
];

fn session_cells(session: &Session) -> Vec<Cell> {
    let usage = &session.usage;
    let models: Vec<&str> = session.models.keys().map(String::as_str).collect();
    vec![
        session.id.to_string().into(),
        session.first.into(),
        session.last.into(),
        session.user.as_str().into(),
        session.login.as_str().into(),
        session.client.as_str().into(),
        (&session.title).into(),
        session
            .parent
            .map_or(String::new(), |id| id.to_string())
            .into(),
        session.requests.into(),
        session.in_flight.into(),
        session.errors.into(),
        usage.input.into(),
        usage.cache_read.into(),
        usage.cache_write.into(),
        usage.cache_write_1h.into(),
        usage.output.into(),
        session.cost_pico.into(),
        session.unpriced.into(),
        models.join(" ").into(),
        session.tools.into(),
    ]
}

const USAGE_COLUMNS: &[&str] = &[
    "hour_ms",
    "user",
    "provider",
    "model",
    "client",
    "endpoint",
    "status_class",
    "end",
    "cost_state",
    "requests",
    "input",
    "cache_read",
    "cache_write",
    "cache_write_1h",
    "output",
    "reasoning",
    "web_searches",
    "cost_pico",
    "request_bytes",
    "response_bytes",
];

fn hour_ms(key: &UsageKey) -> u64 {
    u64::from(key.hour) * 3_600_000
}

fn usage_cells(key: &UsageKey, counters: &Counters) -> Vec<Cell> {
    let usage = &counters.usage;
    vec![
        hour_ms(key).into(),
        key.user.as_str().into(),
        key.provider.as_str().into(),
        key.model.as_str().into(),
        key.client.as_str().into(),
        key.endpoint.as_str().into(),
        key.class.as_str().into(),
        key.end.as_str().into(),
        key.cost.as_str().into(),
        counters.requests.into(),
        usage.input.into(),
        usage.cache_read.into(),
        usage.cache_write.into(),
        usage.cache_write_1h.into(),
        usage.output.into(),
        usage.reasoning.into(),
        usage.web_searches.into(),
        counters.cost_pico.into(),
        counters.request_bytes.into(),
        counters.response_bytes.into(),
    ]
}

fn usage_json(key: &UsageKey, counters: &Counters) -> Value {
    json!({
        "hour_ms": hour_ms(key),
        "user": key.user,
        "provider": key.provider,
        "model": key.model,
        "client": key.client,
        "endpoint": key.endpoint,
        "status_class": key.class.as_str(),
        "end": key.end,
        "cost_state": key.cost,
        "requests": counters.requests,
        "usage": counters.usage,
        "cost_pico": counters.cost_pico,
        "request_bytes": counters.request_bytes,
        "response_bytes": counters.response_bytes,
    })
}

fn capture_json(id: RequestId, capture: &Capture) -> Value {
    json!({
        "id": id,
        "request_head": capture.request_head,
        "request": body_json(&capture.request),
        "response_head": capture.response_head,
        "response": body_json(&capture.response),
    })
}

/// A body as text where it is text, else as hexadecimal digits.
fn body_json(body: &CapturedBody) -> Value {
    let bytes = body.chunks.concat();
    let (encoding, data) = match String::from_utf8(bytes) {
        Ok(text) => ("utf8", text),
        Err(error) => {
            let bytes = error.into_bytes();
            let mut digits = String::with_capacity(2 * bytes.len());
            for byte in bytes {
                for digit in [byte >> 4, byte & 15] {
                    digits.push(char::from_digit(digit.into(), 16).expect("invariant: below 16"));
                }
            }
            ("hex", digits)
        }
    };
    json!({
        "size": body.size,
        "truncated": body.truncated,
        "encoding": encoding,
        "data": data,
    })
}
