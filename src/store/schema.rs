//! The tables of the two files, their keys, and the version of both.
//!
//! Owns: every table definition, the schema version and the step from one version to the next. Keys are typed tuples,
//! so that their order is the order of their values; a value is messagepack by field name (fields can be added), a row
//! of varints (counters can be added at its end), or fixed.
//! Must not know: what the rows mean, threads, queries.

use super::postings;
use redb::{Database, ReadableDatabase, TableDefinition, TableError, WriteTransaction};

/// The version that this build writes into both files.
pub const VERSION: u64 = 2;

/// Bytes in a row whose layout the module in the comment owns.
type Packed = &'static [u8];

// === aperture.redb ===

/// Name → text: `schema`, `created`, `last_commit`, `clean`, `prices`, `record_bytes`.
pub(super) const META: TableDefinition<'_, &str, &str> = TableDefinition::new("meta");
/// Request id → record (messagepack).
pub(super) const REQUESTS: TableDefinition<'_, u128, Packed> = TableDefinition::new("requests");
/// (facet, value, oldest request id of the block) → request ids: by user, model, …, and by word of text.
pub(super) const POSTINGS: TableDefinition<'_, (u8, &str, u128), Packed> =
    TableDefinition::new("postings");
/// (facet, value, request id): the same in schema 1, a row for each.
pub(super) const REQUESTS_BY: TableDefinition<'_, (u8, &str, u128), ()> =
    TableDefinition::new("requests_by");
/// Session id → running summary (messagepack).
pub(super) const SESSIONS: TableDefinition<'_, u128, Packed> = TableDefinition::new("sessions");
/// (session id, request id).
pub(super) const SESSION_REQUESTS: TableDefinition<'_, (u128, u128), ()> =
    TableDefinition::new("session_requests");
/// (owner or "" for everybody, newest request id) → session id.
pub(super) const SESSIONS_RECENT: TableDefinition<'_, (&str, u128), u128> =
    TableDefinition::new("sessions_recent");
/// (session id, id of a session that it started or that was forked from it).
pub(super) const SESSION_CHILDREN: TableDefinition<'_, (u128, u128), ()> =
    TableDefinition::new("session_children");
/// User key → login and times (messagepack).
pub(super) const USERS: TableDefinition<'_, &str, Packed> = TableDefinition::new("users");

/// (user, provider, model, client, endpoint, status class, end, cost state).
pub(super) type UsageParts<'a> = (
    &'a str,
    &'a str,
    &'a str,
    &'a str,
    &'a str,
    &'a str,
    &'a str,
    &'a str,
);
/// (hour, and the parts of [`UsageParts`]).
pub(super) type HourlyParts<'a> = (
    u32,
    &'a str,
    &'a str,
    &'a str,
    &'a str,
    &'a str,
    &'a str,
    &'a str,
    &'a str,
);
/// Full key → counters (varints).
pub(super) const USAGE_HOURLY: TableDefinition<'_, HourlyParts<'static>, Packed> =
    TableDefinition::new("usage_hourly");
/// The same without the hour, since the database was created; never pruned.
pub(super) const USAGE_TOTALS: TableDefinition<'_, UsageParts<'static>, Packed> =
    TableDefinition::new("usage_totals");
/// (hour, user, tool with what else it is told apart by) → counters (varints).
pub(super) const TOOLS_HOURLY: TableDefinition<'_, (u32, &str, &str), Packed> =
    TableDefinition::new("tools_hourly");
/// (provider, upstream id) → (owner, milliseconds since 1970).
pub(super) const OWNED: TableDefinition<'_, (&str, &str), (&str, u64)> =
    TableDefinition::new("owned");
/// Time-ordered id → audit entry (messagepack).
pub(super) const AUDIT: TableDefinition<'_, u128, Packed> = TableDefinition::new("audit");
/// Version → configuration text, who, when (messagepack).
pub(super) const CONFIG_HISTORY: TableDefinition<'_, u64, Packed> =
    TableDefinition::new("config_history");

// === captures.redb ===

/// Name → number: `schema`, `live_bytes`, `next_segment`.
pub(super) const CAPTURE_META: TableDefinition<'_, &str, u64> = TableDefinition::new("meta");
/// Request id → heads and the segments of both bodies (packed messagepack).
pub(super) const CAPTURES: TableDefinition<'_, u128, Packed> = TableDefinition::new("captures");
/// Hash of a segment → its number.
pub(super) const SEGMENTS: TableDefinition<'_, &[u8; 32], u64> = TableDefinition::new("segments");
/// Number → bytes (packed).
pub(super) const SEGMENT_BYTES: TableDefinition<'_, u64, Packed> =
    TableDefinition::new("segment_bytes");
/// Number → (how many times captures refer to it, hash).
pub(super) const SEGMENT_REFERENCES: TableDefinition<'_, u64, (u64, &[u8; 32])> =
    TableDefinition::new("segment_references");

/// What a posting of [`POSTINGS`] is about. The numbers are on disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub(super) enum Facet {
    User = 1,
    Provider = 2,
    Model = 3,
    Client = 4,
    Class = 5,
    End = 6,
    Text = 7,
}

/// One of the two files.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum FileName {
    /// `aperture.redb`: records, sessions, counters.
    Main,
    /// `captures.redb`: bodies.
    Captures,
}

impl FileName {
    /// The name in the state directory.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Main => "aperture.redb",
            Self::Captures => "captures.redb",
        }
    }
}

/// The schema version in a file; none when the file is new.
pub(super) fn version(name: FileName, database: &Database) -> Result<Option<u64>, redb::Error> {
    let read = database.begin_read()?;
    match name {
        FileName::Main => match read.open_table(META) {
            Ok(meta) => Ok(meta
                .get("schema")?
                .map(|text| text.value().parse().unwrap_or(u64::MAX))),
            Err(TableError::TableDoesNotExist(_)) => Ok(None),
            Err(error) => Err(error.into()),
        },
        FileName::Captures => match read.open_table(CAPTURE_META) {
            Ok(meta) => Ok(meta.get("schema")?.map(|number| number.value())),
            Err(TableError::TableDoesNotExist(_)) => Ok(None),
            Err(error) => Err(error.into()),
        },
    }
}

/// Creates what a new file holds, or brings an older file up to [`VERSION`].
///
/// A later version adds its step here: it finds the version that the file has, changes the rows, and the new number is
/// written in the same transaction.
///
/// Schema 2 gathers postings in blocks.
pub(super) fn migrate(
    name: FileName,
    found: Option<u64>,
    write: &WriteTransaction,
) -> Result<(), redb::Error> {
    match name {
        FileName::Main => {
            write.open_table(REQUESTS)?;
            write.open_table(POSTINGS)?;
            write.open_table(SESSIONS)?;
            write.open_table(SESSION_REQUESTS)?;
            write.open_table(SESSIONS_RECENT)?;
            write.open_table(SESSION_CHILDREN)?;
            write.open_table(USERS)?;
            write.open_table(USAGE_HOURLY)?;
            write.open_table(USAGE_TOTALS)?;
            write.open_table(TOOLS_HOURLY)?;
            write.open_table(OWNED)?;
            write.open_table(AUDIT)?;
            write.open_table(CONFIG_HISTORY)?;
            if found == Some(1) {
                postings::migrate(write)?;
            }
            let mut meta = write.open_table(META)?;
            if found != Some(VERSION) {
                meta.insert("schema", VERSION.to_string().as_str())?;
            }
        }
        FileName::Captures => {
            write.open_table(CAPTURES)?;
            write.open_table(SEGMENTS)?;
            write.open_table(SEGMENT_BYTES)?;
            write.open_table(SEGMENT_REFERENCES)?;
            let mut meta = write.open_table(CAPTURE_META)?;
            if found != Some(VERSION) {
                meta.insert("schema", VERSION)?;
            }
        }
    }
    Ok(())
}
