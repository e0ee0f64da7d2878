//! A copy of the store as it is at one moment, while it is written to.
//!
//! Owns: [`Snapshot`], a stream of rows that two read transactions give, [`rebuild`], which makes fresh files of it, and
//! [`renew`], which puts a fresh file in the place of one. A file that is copied byte by byte while redb writes to it is
//! worth nothing, and has what was deleted in its unused parts; so rows are copied, in the order of their keys.
//! The stream is spoken by two processes of the same build and never stored. In: the store. Out: the same rows.
//! Must not know: archives, what the rows mean.

use super::event::WriteError;
use super::file::{File, OpenError, ReadError};
use super::schema::{self, FileName};
use super::{Files, Writer};
use redb::{Key, ReadTransaction, ReadableTable as _, TableDefinition, Value, WriteTransaction};
use std::{
    io::{self, Read, Write},
    path::Path,
    sync::Arc,
};
use tokio::sync::OwnedMutexGuard;

/// Bytes of rows that one transaction of [`rebuild`] writes.
const BATCH: usize = 16 << 20;
/// Longest key or value; the longest that is written is a body's segment.
const LONGEST: usize = 1 << 30;
/// Pages kept in memory while files are made.
const CACHE: usize = 32 << 20;
/// Ends the stream, where a table's number would be.
const END: u8 = u8::MAX;
/// Rows after which [`Snapshot::write`] looks whether the files are still open.
const LOOK: u64 = 1024;

/// Why there is no copy.
#[derive(Debug, thiserror::Error)]
pub enum SnapshotError {
    /// The store can't be asked.
    #[error(transparent)]
    Write(#[from] WriteError),
    /// The store can't be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// New files can't be made.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The disk refuses the new files.
    #[error("writing the copy failed")]
    Database(#[from] redb::Error),
    /// The other end of the stream, or the place for the files.
    #[error("copying rows failed: {0}")]
    Io(#[from] io::Error),
    /// The stream is not what it should be.
    #[error("the copied rows are damaged: {0}")]
    Damaged(&'static str),
}

/// What a copy holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Copied {
    /// Records of requests.
    pub records: u64,
    /// Requests with bodies.
    pub captures: u64,
    /// Rows of all tables.
    pub rows: u64,
}

/// Both files at one moment. While it lives, what is removed keeps its room on the disk.
pub struct Snapshot {
    files: Arc<Files>,
    main: ReadTransaction,
    captures: Option<ReadTransaction>,
    _alone: OwnedMutexGuard<()>,
}

impl std::fmt::Debug for Snapshot {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Snapshot").finish_non_exhaustive()
    }
}

/// Rows of one table: keys and values as their types write them.
type Rows<'a> = &'a [(u8, Vec<u8>, Vec<u8>)];

/// One list of all tables, by the number that stands for each in the stream.
macro_rules! tables {
    ($($number:literal => $file:ident $table:ident),* $(,)?) => {
        fn pour_file(file: FileName, read: &ReadTransaction, out: &mut Pour<'_>) -> Result<(), SnapshotError> {
            $(if file == FileName::$file {
                pour(read, schema::$table, $number, out)?;
            })*
            Ok(())
        }

        fn file_of(table: u8) -> Option<FileName> {
            $(if table == $number {
                return Some(FileName::$file);
            })*
            None
        }

        fn fill(write: &WriteTransaction, table: u8, rows: Rows<'_>) -> Result<(), redb::Error> {
            match table {
                $($number => fill_table(write, schema::$table, rows),)*
                _ => Ok(()),
            }
        }
    };
}

const RECORDS: u8 = 1;
const BODIES: u8 = 15;

tables! {
    0 => Main META,
    1 => Main REQUESTS,
    2 => Main POSTINGS,
    3 => Main SESSIONS,
    4 => Main SESSION_REQUESTS,
    5 => Main SESSIONS_RECENT,
    6 => Main SESSION_CHILDREN,
    7 => Main USERS,
    8 => Main USAGE_HOURLY,
    9 => Main USAGE_TOTALS,
    10 => Main TOOLS_HOURLY,
    11 => Main OWNED,
    12 => Main AUDIT,
    13 => Main CONFIG_HISTORY,
    14 => Captures CAPTURE_META,
    15 => Captures CAPTURES,
    16 => Captures SEGMENTS,
    17 => Captures SEGMENT_BYTES,
    18 => Captures SEGMENT_REFERENCES,
}

impl Writer {
    /// Both files as they are once everything that was handed over so far is on disk; without bodies when they are not
    /// wanted. Refused while a person is being erased: a copy would bring them back.
    pub async fn snapshot(&self, captures: bool) -> Result<Snapshot, SnapshotError> {
        let alone = self.alone("somebody's data is being erased, or another backup is made")?;
        self.flush().await?;
        let files = self.files();
        // Bodies before records: so the copy has no body that no record leads to.
        let bodies = if captures {
            Some(files.captures.transaction()?)
        } else {
            None
        };
        self.flush().await?;
        let main = files.main.transaction()?;
        Ok(Snapshot {
            files,
            main,
            captures: bodies,
            _alone: alone,
        })
    }
}

/// Takes a row: the table's number, key and value.
type Take<'a> = dyn FnMut(u8, &[u8], &[u8]) -> Result<(), SnapshotError> + 'a;

/// Rows on their way.
struct Pour<'a> {
    take: &'a mut Take<'a>,
    file: &'a File,
    rows: u64,
}

impl Pour<'_> {
    fn row(&mut self, table: u8, key: &[u8], value: &[u8]) -> Result<(), SnapshotError> {
        // A file that is opened again after an error waits for its readers.
        if self.rows.is_multiple_of(LOOK) && !self.file.is_open() {
            return Err(ReadError::Closed.into());
        }
        (self.take)(table, key, value)?;
        self.rows += 1;
        Ok(())
    }
}

fn write_row(
    out: &mut dyn Write,
    table: u8,
    key: &[u8],
    value: &[u8],
) -> Result<(), SnapshotError> {
    out.write_all(&[table])?;
    for part in [key, value] {
        let length = u32::try_from(part.len()).map_err(|_| too_long())?;
        out.write_all(&length.to_le_bytes())?;
        out.write_all(part)?;
    }
    Ok(())
}

fn too_long() -> SnapshotError {
    SnapshotError::Damaged("a row is longer than any that is written")
}

fn pour<K: Key + 'static, V: Value + 'static>(
    read: &ReadTransaction,
    table: TableDefinition<'static, K, V>,
    number: u8,
    out: &mut Pour<'_>,
) -> Result<(), SnapshotError> {
    let table = read.open_table(table).map_err(ReadError::from)?;
    for row in table.iter().map_err(ReadError::from)? {
        let (key, value) = row.map_err(ReadError::from)?;
        let (key, value) = (key.value(), value.value());
        out.row(
            number,
            K::as_bytes(&key).as_ref(),
            V::as_bytes(&value).as_ref(),
        )?;
    }
    Ok(())
}

fn fill_table<K: Key + 'static, V: Value + 'static>(
    write: &WriteTransaction,
    table: TableDefinition<'static, K, V>,
    rows: Rows<'_>,
) -> Result<(), redb::Error> {
    let mut table = write.open_table(table)?;
    for (_, key, value) in rows {
        table.insert(K::from_bytes(key), V::from_bytes(value))?;
    }
    Ok(())
}

impl Snapshot {
    /// Writes every row. Blocks on the reader of the stream.
    pub fn write(self, out: &mut dyn Write) -> Result<(), SnapshotError> {
        let mut rows = 0;
        let parts = [
            (
                FileName::Captures,
                self.captures.as_ref(),
                &self.files.captures,
            ),
            (FileName::Main, Some(&self.main), &self.files.main),
        ];
        for (name, read, file) in parts {
            let Some(read) = read else { continue };
            let mut take = |table, key: &[u8], value: &[u8]| write_row(out, table, key, value);
            let mut pour = Pour {
                take: &mut take,
                file,
                rows,
            };
            pour_file(name, read, &mut pour)?;
            rows = pour.rows;
        }
        out.write_all(&[END])?;
        out.write_all(&rows.to_le_bytes())?;
        Ok(out.flush()?)
    }
}

/// Makes both files, in a directory that has none, of what [`Snapshot::write`] wrote.
pub fn rebuild(directory: &Path, input: &mut dyn Read) -> Result<Copied, SnapshotError> {
    let open = |name| File::open(name, directory, None, CACHE).map(|(file, _)| file);
    let (main, captures) = (open(FileName::Main)?, open(FileName::Captures)?);
    let mut copied = Copied::default();
    let mut batch: Vec<(u8, Vec<u8>, Vec<u8>)> = Vec::new();
    let (mut bytes, mut into) = (0, FileName::Captures);
    loop {
        let mut number = [0];
        input.read_exact(&mut number)?;
        let [number] = number;
        let file = file_of(number);
        if bytes >= BATCH || file != Some(into) {
            let target = match into {
                FileName::Main => &main,
                FileName::Captures => &captures,
            };
            put(target, &batch)?;
            batch.clear();
            bytes = 0;
        }
        let Some(file) = file else {
            if number != END {
                return Err(SnapshotError::Damaged("it names a table that there is not"));
            }
            let mut count = [0; 8];
            input.read_exact(&mut count)?;
            if u64::from_le_bytes(count) != copied.rows {
                return Err(SnapshotError::Damaged("rows are missing"));
            }
            break;
        };
        into = file;
        let (key, value) = (part(input)?, part(input)?);
        bytes += key.len() + value.len();
        copied.rows += 1;
        copied.records += u64::from(number == RECORDS);
        copied.captures += u64::from(number == BODIES);
        batch.push((number, key, value));
    }
    main.close();
    captures.close();
    Ok(copied)
}

/// Copies every row of a file into a new one, which then takes its place: of what was deleted before, nothing is left in it.
/// For the thread that writes the file: nothing else may be written meanwhile.
pub(super) fn renew(file: &File) -> Result<(), SnapshotError> {
    let Some(fresh) = file.beside()? else {
        return Ok(());
    };
    {
        let read = file.transaction()?;
        let mut batch = Vec::new();
        let mut bytes = 0;
        let mut take = |table, key: &[u8], value: &[u8]| {
            bytes += key.len() + value.len();
            batch.push((table, key.to_vec(), value.to_vec()));
            if bytes >= BATCH {
                put(&fresh, &batch)?;
                batch.clear();
                bytes = 0;
            }
            Ok(())
        };
        let mut pour = Pour {
            take: &mut take,
            file,
            rows: 0,
        };
        pour_file(file.name(), &read, &mut pour)?;
        put(&fresh, &batch)?;
    }
    Ok(fresh.replace(file)?)
}

fn part(input: &mut dyn Read) -> Result<Vec<u8>, SnapshotError> {
    let mut length = [0; 4];
    input.read_exact(&mut length)?;
    let length = u32::from_le_bytes(length) as usize;
    if length > LONGEST {
        return Err(too_long());
    }
    let mut bytes = vec![0; length];
    input.read_exact(&mut bytes)?;
    Ok(bytes)
}

fn put(file: &File, rows: Rows<'_>) -> Result<(), SnapshotError> {
    if rows.is_empty() {
        return Ok(());
    }
    file.write(|write| {
        for rows in rows.chunk_by(|one, next| one.0 == next.0) {
            fill(write, rows[0].0, rows)?;
        }
        Ok(())
    })?;
    Ok(())
}
