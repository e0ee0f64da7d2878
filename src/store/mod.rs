//! What is kept: records, sessions, counters and captures, in two redb files that only this module knows.
//!
//! ```text
//! Writer ─ queue of events ─► records thread ─► aperture.redb ─┐
//!        └ queue of bodies ─► bodies thread  ─► captures.redb ─┴► Store (readers), export
//! ```
//!
//! Owns: both files, their threads, recovery after a crash. In: [`crate::record::Record`]s and
//! [`crate::record::Capture`]s, handed over without waiting. Out: what the pages, `/metrics` and `export` ask for.
//! Promises: a batch is committed, durably, every few milliseconds; counters, summaries and indexes change in the same
//! transaction as their records; what can't be kept is counted and said.
//! Must not know: HTTP, who may see what, how things are shown.

mod age;
mod apply;
mod ask;
mod bodies;
mod captures;
mod codec;
mod erase;
mod event;
mod export;
mod file;
mod filter;
mod integrity;
mod open;
mod postings;
mod prune;
mod query;
mod queue;
mod records;
mod reprice;
mod retry;
mod rows;
mod schema;
mod segment;
mod snapshot;
mod summary;
#[cfg(test)]
mod tests;
mod trail;
mod usage;
mod words;
mod writer;

pub use codec::BadRow;
pub use erase::{ERASED, Personal};
pub use event::{Erased, Pruned, WriteError};
pub use export::{ExportError, ExportOptions, Format, What, export};
pub use file::{OpenBackend, OpenError, ReadError};
pub use filter::{Filter, Page};
pub use integrity::{Integrity, integrity};
pub use open::{OpenOptions, Recovered, Store};
pub use prune::Retention;
pub use query::{Anchored, Totals};
pub use reprice::{Pricer, RepriceScope, Repriced, RepricedLine};
pub use rows::{capture_json, csv_text, records_csv, sessions_csv};
pub use schema::{FileName, VERSION as SCHEMA_VERSION};
pub use snapshot::{Copied, Snapshot, SnapshotError, rebuild};
pub use summary::{Session, User, failed};
pub use trail::{AuditAction, AuditEntry, ConfigOrigin, ConfigVersion};
pub use usage::{
    Counters, Estimated, Histogram, StatusClass, ToolCounters, ToolKey, ToolRow, UsageKey, UsageRow,
};
pub use writer::{Stats, Writer};

/// Both files.
#[derive(Debug)]
struct Files {
    main: file::File,
    captures: file::File,
}
