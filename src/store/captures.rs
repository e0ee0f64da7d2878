//! What `captures.redb` does: stores short bodies in their capture's row and longer ones as shared segments, rebuilds them, and
//! lets the oldest go.
//!
//! Owns: the rows of that file. A segment is stored once by its hash and numbered in the order of arrival, so a body
//! whose history is known is a handful of runs of numbers: bytes grow linearly with a conversation. The work that takes
//! long (hashing, compression) happens before the transaction opens.
//! In: captures, secrets already redacted. Out: the same bytes. Must not know: threads, records.

use super::codec::{Packer, as_binary, decode, encode, unpack};
use super::file::{File, ReadError};
use super::schema::{CAPTURE_META, CAPTURES, SEGMENT_BYTES, SEGMENT_REFERENCES, SEGMENTS};
use super::segment::each_segment;
use crate::record::{Capture, CapturedBody, HeadLines, RequestId};
use bytes::Bytes;
use redb::{ReadableTable, Table, WriteTransaction};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, HashMap, hash_map::Entry};

type Hash = [u8; 32];

/// Bodies up to this size stand in the row itself: too small to share much, and a segment costs three rows more.
const INLINE_REQUEST: usize = 4 << 10;
/// What a model has said is said once: nothing to share unless it is long.
const INLINE_RESPONSE: usize = 32 << 10;

/// One request's row.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Row<Head> {
    request_head: Head,
    response_head: Head,
    request: BodyRow,
    response: BodyRow,
}

/// One body: its bytes, or runs of segment numbers (first, how many), in order.
#[derive(Debug, Default, Serialize, Deserialize)]
struct BodyRow {
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    runs: Vec<(u64, u64)>,
    #[serde(default, with = "as_binary", skip_serializing_if = "Bytes::is_empty")]
    bytes: Bytes,
    truncated: bool,
    size: u64,
}

impl BodyRow {
    fn new(body: &CapturedBody, numbers: &[u64], bytes: Bytes) -> Self {
        let mut runs: Vec<(u64, u64)> = Vec::new();
        for &number in numbers {
            match runs.last_mut() {
                Some((first, count)) if *first + *count == number => *count += 1,
                _ => runs.push((number, 1)),
            }
        }
        Self {
            runs,
            bytes,
            truncated: body.truncated,
            size: body.size,
        }
    }

    fn numbers(&self) -> impl Iterator<Item = u64> + '_ {
        self.runs
            .iter()
            .flat_map(|&(first, count)| first..first.saturating_add(count))
    }
}

/// Captures that are hashed and compressed, ready for a transaction.
#[derive(Debug, Default)]
pub(super) struct Prepared<'a> {
    captures: Vec<PreparedCapture<'a>>,
    /// Segments that the file does not have yet.
    new: HashMap<Hash, Vec<u8>>,
}

#[derive(Debug)]
struct PreparedCapture<'a> {
    id: RequestId,
    capture: &'a Capture,
    request: PreparedBody,
    response: PreparedBody,
}

/// Where a body goes.
#[derive(Debug)]
enum PreparedBody {
    Row(Bytes),
    Segments(Vec<Hash>),
}

/// Hashes the bodies and compresses what the file lacks. Only the thread that writes the file may call this.
pub(super) fn prepare<'a>(
    file: &File,
    packer: &mut Packer,
    captures: &'a [(RequestId, Capture)],
) -> Result<Prepared<'a>, ReadError> {
    file.read(|read| {
        let known = read.open_table(SEGMENTS)?;
        let mut prepared = Prepared::default();
        for (id, capture) in captures {
            let mut place = |body: &CapturedBody, inline: usize| {
                let length: usize = body.chunks.iter().map(Bytes::len).sum();
                if length <= inline {
                    return Ok(PreparedBody::Row(joined(body, length)));
                }
                let mut hashes = Vec::new();
                let mut failed = None;
                each_segment(body, |bytes| {
                    let hash = *blake3::hash(bytes).as_bytes();
                    hashes.push(hash);
                    if let Entry::Vacant(vacant) = prepared.new.entry(hash) {
                        match known.get(&hash) {
                            Ok(Some(_)) => {}
                            Ok(None) => {
                                vacant.insert(packer.pack(bytes));
                            }
                            Err(error) => failed = Some(error),
                        }
                    }
                });
                failed.map_or(Ok(PreparedBody::Segments(hashes)), Err)
            };
            let request = place(&capture.request, INLINE_REQUEST)?;
            let response = place(&capture.response, INLINE_RESPONSE)?;
            prepared.captures.push(PreparedCapture {
                id: *id,
                capture,
                request,
                response,
            });
        }
        Ok(prepared)
    })
}

/// The bytes of a body in one piece.
fn joined(body: &CapturedBody, length: usize) -> Bytes {
    match body.chunks.as_slice() {
        [] => Bytes::new(),
        [one] => one.clone(),
        many => {
            let mut whole = Vec::with_capacity(length);
            for chunk in many {
                whole.extend_from_slice(chunk);
            }
            whole.into()
        }
    }
}

/// The tables of one transaction, and what it changes in sum.
struct Tables<'t> {
    captures: Table<'t, u128, &'static [u8]>,
    segments: Table<'t, &'static Hash, u64>,
    bytes: Table<'t, u64, &'static [u8]>,
    references: Table<'t, u64, (u64, &'static Hash)>,
    meta: Table<'t, &'static str, u64>,
    live: u64,
    next: u64,
    /// Changes of reference counts, written once for each segment.
    changed: BTreeMap<u64, i64>,
}

impl<'t> Tables<'t> {
    fn open(write: &'t WriteTransaction) -> Result<Self, redb::Error> {
        let meta = write.open_table(CAPTURE_META)?;
        let number = |name| -> Result<u64, redb::Error> {
            Ok(meta.get(name)?.map_or(0, |number| number.value()))
        };
        let (live, next) = (number("live_bytes")?, number("next_segment")?);
        Ok(Self {
            captures: write.open_table(CAPTURES)?,
            segments: write.open_table(SEGMENTS)?,
            bytes: write.open_table(SEGMENT_BYTES)?,
            references: write.open_table(SEGMENT_REFERENCES)?,
            meta,
            live,
            next,
            changed: BTreeMap::new(),
        })
    }

    fn refer(
        &mut self,
        hashes: &[Hash],
        new: &HashMap<Hash, Vec<u8>>,
    ) -> Result<Vec<u64>, redb::Error> {
        let mut numbers = Vec::with_capacity(hashes.len());
        for hash in hashes {
            let known = self.segments.get(hash)?.map(|number| number.value());
            let number = match (known, new.get(hash)) {
                (Some(number), _) => number,
                (None, Some(bytes)) => {
                    let number = self.next;
                    self.next += 1;
                    self.segments.insert(hash, number)?;
                    self.bytes.insert(number, bytes.as_slice())?;
                    self.references.insert(number, (0, hash))?;
                    self.live += bytes.len() as u64;
                    number
                }
                // Prepared against a state that is gone; the caller prepares again.
                (None, None) => {
                    return Err(redb::Error::Corrupted("a segment is missing".into()));
                }
            };
            *self.changed.entry(number).or_default() += 1;
            numbers.push(number);
        }
        Ok(numbers)
    }

    fn insert(
        &mut self,
        capture: &PreparedCapture<'_>,
        new: &HashMap<Hash, Vec<u8>>,
        packer: &mut Packer,
    ) -> Result<(), redb::Error> {
        if self.captures.get(capture.id.0)?.is_some() {
            return Ok(());
        }
        let mut place = |body: &CapturedBody, prepared: &PreparedBody| match prepared {
            PreparedBody::Row(bytes) => Ok(BodyRow::new(body, &[], bytes.clone())),
            PreparedBody::Segments(hashes) => {
                let numbers = self.refer(hashes, new)?;
                Ok::<_, redb::Error>(BodyRow::new(body, &numbers, Bytes::new()))
            }
        };
        let row = Row {
            request: place(&capture.capture.request, &capture.request)?,
            response: place(&capture.capture.response, &capture.response)?,
            request_head: &capture.capture.request_head,
            response_head: &capture.capture.response_head,
        };
        let row = packer.pack(&encode(&row));
        self.live += row.len() as u64;
        self.captures.insert(capture.id.0, row.as_slice())?;
        Ok(())
    }

    fn remove(&mut self, id: u128) -> Result<bool, redb::Error> {
        let Some(packed) = self.captures.remove(id)?.map(|row| row.value().to_vec()) else {
            return Ok(false);
        };
        self.live = self.live.saturating_sub(packed.len() as u64);
        if let Ok(row) = read_row(&packed) {
            for number in row.request.numbers().chain(row.response.numbers()) {
                *self.changed.entry(number).or_default() -= 1;
            }
        }
        Ok(true)
    }

    /// Writes the reference counts and lets go of segments that nobody refers to.
    fn settle(&mut self) -> Result<(), redb::Error> {
        for (number, change) in std::mem::take(&mut self.changed) {
            let row = self.references.get(number)?.map(|row| {
                let (count, hash) = row.value();
                (count, *hash)
            });
            let Some((count, hash)) = row else {
                continue;
            };
            match count.saturating_add_signed(change) {
                0 => {
                    self.references.remove(number)?;
                    self.segments.remove(&hash)?;
                    if let Some(bytes) = self.bytes.remove(number)? {
                        self.live = self.live.saturating_sub(bytes.value().len() as u64);
                    }
                }
                count => {
                    self.references.insert(number, (count, &hash))?;
                }
            }
        }
        Ok(())
    }

    /// Ends the changes; returns the live bytes.
    fn close(mut self) -> Result<u64, redb::Error> {
        self.settle()?;
        self.meta.insert("live_bytes", self.live)?;
        self.meta.insert("next_segment", self.next)?;
        Ok(self.live)
    }
}

fn read_row(packed: &[u8]) -> Result<Row<HeadLines>, ReadError> {
    Ok(decode("captures", &unpack("captures", packed)?)?)
}

/// Stores prepared captures; those that are already there stay as they are. Returns the live bytes.
pub(super) fn store(
    file: &File,
    packer: &mut Packer,
    prepared: &Prepared<'_>,
) -> Result<u64, redb::Error> {
    file.write(|write| {
        let mut tables = Tables::open(write)?;
        for capture in &prepared.captures {
            tables.insert(capture, &prepared.new, packer)?;
        }
        tables.close()
    })
}

/// Removes the captures of these requests. Returns how many there were, and the live bytes.
pub(super) fn remove(file: &File, ids: &[RequestId]) -> Result<(u64, u64), redb::Error> {
    file.write(|write| {
        let mut tables = Tables::open(write)?;
        let mut removed = 0;
        for id in ids {
            removed += u64::from(tables.remove(id.0)?);
        }
        Ok((removed, tables.close()?))
    })
}

/// Removes at most `most` captures, oldest first: those from before `before`, and more while the live bytes exceed
/// `cap`. Returns how many went, and the live bytes.
pub(super) fn remove_oldest(
    file: &File,
    before: RequestId,
    cap: u64,
    most: u64,
) -> Result<(u64, u64), redb::Error> {
    file.write(|write| {
        let mut tables = Tables::open(write)?;
        let mut removed = 0;
        while removed < most {
            let Some(oldest) = tables.captures.first()?.map(|(id, _)| id.value()) else {
                break;
            };
            if oldest >= before.0 && tables.live <= cap {
                break;
            }
            tables.remove(oldest)?;
            tables.settle()?;
            removed += 1;
        }
        Ok((removed, tables.close()?))
    })
}

/// The live bytes: what the byte cap is about.
pub(super) fn live_bytes(file: &File) -> Result<u64, ReadError> {
    file.read(|read| {
        let meta = read.open_table(CAPTURE_META)?;
        Ok(meta.get("live_bytes")?.map_or(0, |number| number.value()))
    })
}

/// Rebuilds the capture of one request: each body is one chunk, without borders.
pub(super) fn read(file: &File, id: RequestId) -> Result<Option<Capture>, ReadError> {
    file.read(|read| {
        let captures = read.open_table(CAPTURES)?;
        let Some(row) = captures.get(id.0)? else {
            return Ok(None);
        };
        let row = read_row(row.value())?;
        let segments = read.open_table(SEGMENT_BYTES)?;
        let rebuild = |body: &BodyRow| -> Result<CapturedBody, ReadError> {
            let mut whole = body.bytes.to_vec();
            for number in body.numbers() {
                let packed = segments.get(number)?.ok_or_else(|| super::codec::BadRow {
                    table: "segment_bytes",
                    why: format!("segment {number} is missing"),
                })?;
                whole.extend_from_slice(&unpack("segment_bytes", packed.value())?);
            }
            let chunks = if whole.is_empty() {
                Vec::new()
            } else {
                vec![whole.into()]
            };
            Ok(CapturedBody {
                chunks,
                borders: Vec::new(),
                truncated: body.truncated,
                size: body.size,
            })
        };
        Ok(Some(Capture {
            request: rebuild(&row.request)?,
            response: rebuild(&row.response)?,
            request_head: row.request_head,
            response_head: row.response_head,
        }))
    })
}
