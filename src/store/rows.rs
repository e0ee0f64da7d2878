//! The columns and objects of an export: what one record, session, hour or capture looks like as a line.
//!
//! Owns: the names and the order of the columns. In: one item. Out: cells or a JSON value.
//! Must not know: where items come from, where lines go.

use super::summary::Session;
use super::usage::{Counters, Estimated, UsageKey};
use crate::record::{Capture, CapturedBody, Record, RequestId, Timestamp};
use serde_json::{Value, json};

/// One cell of a CSV line.
pub(super) enum Cell {
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

/// A text as a CSV cell. Titles come from strangers: one that a spreadsheet would take for a formula is marked as text.
pub fn csv_text(text: &str) -> String {
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

/// One line of cells, without its end.
pub(super) fn csv_line(cells: Vec<Cell>) -> String {
    let texts: Vec<String> = cells
        .into_iter()
        .map(|cell| match cell {
            Cell::Number(number) => number.to_string(),
            Cell::Text(text) => csv_text(&text),
        })
        .collect();
    texts.join(",")
}

/// A page of records in the columns of the export, with a head line.
pub fn records_csv(records: &[Record]) -> String {
    table(RECORD_COLUMNS, records.iter().map(record_cells))
}

/// A page of sessions in the columns of the export, with a head line.
pub fn sessions_csv(sessions: &[Session]) -> String {
    table(SESSION_COLUMNS, sessions.iter().map(session_cells))
}

fn table(columns: &[&str], rows: impl Iterator<Item = Vec<Cell>>) -> String {
    let lines = std::iter::once(columns.join(",")).chain(rows.map(csv_line));
    lines.fold(String::new(), |text, line| text + &line + "\n")
}

pub(super) const RECORD_COLUMNS: &[&str] = &[
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
    "audio_input",
    "image_input",
    "cached_audio",
    "cached_image",
    "audio_output",
    "image_output",
    "web_fetches",
    "file_searches",
    "server_tools",
    "usage_state",
    "cost_pico",
    "cost_state",
    "prices",
    "estimated_input",
    "estimated_output",
    "estimated_cost_pico",
    "session",
    "agent",
    "title",
    "tools",
    "parent_session",
    "workspace",
    "cache_miss",
    "cache_missed_tokens",
];

pub(super) fn record_cells(record: &Record) -> Vec<Cell> {
    let estimated = Estimated::of(record);
    let mut cells = vec![
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
    ];
    cells.extend(record.usage.kinds().map(Cell::from));
    cells.extend([
        record.usage_state.as_str().into(),
        record.cost.pico.into(),
        record.cost.state.as_str().into(),
        record.cost.prices.as_str().into(),
        estimated.input.into(),
        estimated.output.into(),
        estimated.cost_pico.into(),
        record
            .session
            .map_or(String::new(), |id| id.to_string())
            .into(),
        (&record.agent).into(),
        (&record.title).into(),
        (record.tools.len() as u64).into(),
        record
            .parent_session
            .map_or(String::new(), |id| id.to_string())
            .into(),
        (&record.workspace).into(),
        miss_text(record).into(),
        record
            .cache_miss
            .as_ref()
            .map_or(0, |miss| {
                miss.expected_tokens.saturating_sub(miss.read_tokens)
            })
            .into(),
    ]);
    cells
}

/// Why a cache was missed, as `cause` or `message 3`; empty when none was.
fn miss_text(record: &Record) -> String {
    record.cache_miss.as_ref().map_or(String::new(), |miss| {
        let cause = miss.cause.as_str();
        miss.message
            .map_or(cause.to_owned(), |message| format!("{cause} {message}"))
    })
}

pub(super) const SESSION_COLUMNS: &[&str] = &[
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
    "estimated_cost_pico",
    "unpriced",
    "models",
    "tools",
    "agent",
    "workspace",
    "cache_misses",
    "cache_missed_tokens",
];

pub(super) fn session_cells(session: &Session) -> Vec<Cell> {
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
        session.estimated.cost_pico.into(),
        session.unpriced.into(),
        models.join(" ").into(),
        session.tools.into(),
        (&session.agent).into(),
        (&session.workspace).into(),
        session.cache_misses.into(),
        session.cache_missed_tokens.into(),
    ]
}

pub(super) const USAGE_COLUMNS: &[&str] = &[
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
    "audio_input",
    "image_input",
    "cached_audio",
    "cached_image",
    "audio_output",
    "image_output",
    "web_fetches",
    "file_searches",
    "server_tools",
    "cost_pico",
    "estimated_requests",
    "estimated_input",
    "estimated_output",
    "estimated_cost_pico",
    "request_bytes",
    "response_bytes",
];

fn hour_ms(key: &UsageKey) -> u64 {
    u64::from(key.hour) * 3_600_000
}

pub(super) fn usage_cells(key: &UsageKey, counters: &Counters) -> Vec<Cell> {
    let mut cells = vec![
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
    ];
    cells.extend(counters.usage.kinds().map(Cell::from));
    let estimated = &counters.estimated;
    cells.extend(
        [
            counters.cost_pico,
            estimated.requests,
            estimated.input,
            estimated.output,
            estimated.cost_pico,
            counters.request_bytes,
            counters.response_bytes,
        ]
        .map(Cell::from),
    );
    cells
}

pub(super) fn usage_json(key: &UsageKey, counters: &Counters) -> Value {
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
        "estimated": counters.estimated,
        "request_bytes": counters.request_bytes,
        "response_bytes": counters.response_bytes,
    })
}

/// Heads and bodies of one request as one object.
pub fn capture_json(id: RequestId, capture: &Capture) -> Value {
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
