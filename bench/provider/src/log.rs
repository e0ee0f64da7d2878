//! The log: exactly what was received and what was answered, request by request.
//!
//! Tests compare it with what the gateway recorded, so an entry is never
//! approximate: the counts are of chunks and bytes that were handed to the
//! connection. Kept in memory within bounds (the oldest go first) and, if asked,
//! in a file with one JSON line at the start and one at the end of a request.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, Write};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::SystemTime;

use bytes::Bytes;
use hyper::{HeaderMap, Method, StatusCode, Version};
use parking_lot::Mutex;
use tokio::sync::watch;
use tokio::time::Instant;

use crate::entry::{Answered, End, Entry, Received};
use crate::json::{Json, Object};
use crate::tokens::Usage;

/// What an entry takes beside its bodies, for the bound in bytes.
const ENTRY_OVERHEAD: usize = 2048;

/// How much is logged, and where.
#[derive(Clone, Debug)]
pub struct LogOptions {
    /// Entries kept in memory.
    pub entries: usize,
    /// Bytes kept in memory, bodies included.
    pub bytes: usize,
    /// The largest body that is kept; of larger ones only length and hash.
    pub body_bytes: usize,
    /// Whether bodies are hashed; a benchmark may want to save that time.
    pub hashes: bool,
    /// A file for the JSON lines.
    pub file: Option<PathBuf>,
}

impl Default for LogOptions {
    fn default() -> Self {
        Self {
            entries: 100_000,
            bytes: 256 << 20,
            body_bytes: 1 << 20,
            hashes: true,
            file: None,
        }
    }
}

/// How many requests were received, how many have ended, and how many answers were held up in the middle.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    pub(crate) received: u64,
    pub(crate) ended: u64,
    /// Answers that stopped where their script says, after their head.
    pub(crate) stalled: u64,
}

#[derive(Debug)]
struct Slot {
    request: Arc<Received>,
    answer: Arc<Mutex<Answered>>,
    bytes: usize,
}

#[derive(Debug, Default)]
struct Kept {
    slots: VecDeque<Slot>,
    bytes: usize,
}

impl Kept {
    fn shrink(&mut self, options: &LogOptions) {
        while self.slots.len() > options.entries || self.bytes > options.bytes {
            let Some(oldest) = self.slots.pop_front() else {
                break;
            };
            self.bytes -= oldest.bytes;
        }
    }
}

/// All exchanges, within bounds.
#[derive(Debug)]
pub(crate) struct Log {
    options: LogOptions,
    seq: AtomicU64,
    kept: Mutex<Kept>,
    counts: watch::Sender<Counts>,
    file: Option<Mutex<File>>,
    is_closing: AtomicBool,
}

/// The facts of a request that the log does not work out itself.
#[derive(Debug)]
pub(crate) struct Incoming {
    pub(crate) connection: u64,
    pub(crate) protocol: Version,
    pub(crate) method: Method,
    pub(crate) target: String,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
    pub(crate) dialect: Option<&'static str>,
    pub(crate) model: Option<String>,
}

// === impl Log ===

impl Log {
    pub(crate) fn open(options: LogOptions) -> io::Result<Self> {
        let file = match &options.file {
            Some(path) => Some(Mutex::new(
                File::options().create(true).append(true).open(path)?,
            )),
            None => None,
        };
        Ok(Self {
            options,
            seq: AtomicU64::new(0),
            kept: Mutex::default(),
            counts: watch::Sender::default(),
            file,
            is_closing: AtomicBool::new(false),
        })
    }

    /// The number of a request that is about to be received.
    pub(crate) fn next_seq(&self) -> u64 {
        self.seq.fetch_add(1, Ordering::Relaxed) + 1
    }

    /// Writes a request down; its answer follows through the exchange.
    pub(crate) fn begin(self: &Arc<Self>, seq: u64, incoming: Incoming) -> Exchange {
        let body = incoming.body;
        let is_kept = body.len() <= self.options.body_bytes;
        let request = Arc::new(Received {
            seq,
            connection: incoming.connection,
            at: SystemTime::now(),
            protocol: incoming.protocol,
            method: incoming.method,
            target: incoming.target,
            headers: incoming.headers,
            body_len: body.len() as u64,
            body_blake3: self.options.hashes.then(|| blake3::hash(&body).to_string()),
            // A copy of its own: the received bytes may hold a whole read buffer alive.
            body: is_kept.then(|| Bytes::copy_from_slice(&body)),
            dialect: incoming.dialect,
            model: incoming.model,
            started: Instant::now(),
        });
        self.write_line(|| request.fields(object_of("start")).finish());
        let answer = Arc::new(Mutex::new(Answered::default()));
        let kept_bytes = request.body.as_ref().map_or(0, Bytes::len) + ENTRY_OVERHEAD;
        self.keep(Slot {
            request: Arc::clone(&request),
            answer: Arc::clone(&answer),
            bytes: kept_bytes,
        });
        self.counts.send_modify(|counts| counts.received += 1);
        Exchange {
            log: Arc::clone(self),
            request,
            answer,
        }
    }

    fn keep(&self, slot: Slot) {
        let mut kept = self.kept.lock();
        kept.bytes += slot.bytes;
        kept.slots.push_back(slot);
        kept.shrink(&self.options);
    }

    /// Counts the bytes of an answer that has ended against the bound.
    fn grow(&self, seq: u64, bytes: usize) {
        let mut kept = self.kept.lock();
        // The newest requests end soonest, mostly.
        if let Some(slot) = kept
            .slots
            .iter_mut()
            .rev()
            .find(|slot| slot.request.seq == seq)
        {
            slot.bytes += bytes;
            kept.bytes += bytes;
            kept.shrink(&self.options);
        }
    }

    fn write_line(&self, line: impl FnOnce() -> Json) {
        let Some(file) = &self.file else { return };
        let mut line = line().into_string();
        line.push('\n');
        // One write of the whole line: a reader of the file sees whole lines.
        if let Err(error) = file.lock().write_all(line.as_bytes()) {
            // The file is what the test asked for; going on without it would hide the loss.
            panic!("the log file can't be written: {error}");
        }
    }

    /// All entries that are kept, oldest first.
    pub(crate) fn entries(&self) -> Vec<Entry> {
        let kept = self.kept.lock();
        let entry = |slot: &Slot| Entry {
            request: Arc::clone(&slot.request),
            answer: slot.answer.lock().clone(),
        };
        kept.slots.iter().map(entry).collect()
    }

    pub(crate) fn clear(&self) {
        *self.kept.lock() = Kept::default();
    }

    pub(crate) fn counts(&self) -> Counts {
        *self.counts.borrow()
    }

    /// Waits until the counts are as wished. Cancel safe.
    pub(crate) async fn until(&self, wish: impl FnMut(&Counts) -> bool) {
        // The sender lives as long as `self`, so there is always an answer.
        let _ = self.counts.subscribe().wait_for(wish).await;
    }

    /// From now on an answer that is dropped was stopped by us.
    pub(crate) fn close(&self) {
        self.is_closing.store(true, Ordering::Relaxed);
    }
}

fn object_of(event: &str) -> Object {
    Object::new().field("event", event)
}

/// The answer side of one entry; dropping it before the end means that the client left.
#[derive(Debug)]
pub(crate) struct Exchange {
    log: Arc<Log>,
    pub(crate) request: Arc<Received>,
    answer: Arc<Mutex<Answered>>,
}

impl Exchange {
    pub(crate) fn decided(
        &self,
        status: StatusCode,
        headers: &HeaderMap,
        usage: Option<Usage>,
        chunks: &Arc<[Bytes]>,
    ) {
        let mut answer = self.answer.lock();
        answer.status = Some(status);
        answer.headers = headers.clone();
        answer.usage = usage;
        answer.chunks = Arc::clone(chunks);
        answer.chunks_planned = chunks.len();
    }

    pub(crate) fn sent(&self, bytes: usize) {
        let mut answer = self.answer.lock();
        answer.chunks_sent += 1;
        answer.bytes_sent += bytes as u64;
        answer
            .first_chunk_after
            .get_or_insert_with(|| self.request.started.elapsed());
    }

    /// Says that nothing more is sent for now.
    pub(crate) fn stalled(&self) {
        self.log.counts.send_modify(|counts| counts.stalled += 1);
    }

    /// Writes the end down; only the first one counts.
    pub(crate) fn end(&self, end: End) {
        let options = &self.log.options;
        let mut answer = self.answer.lock();
        if answer.end.is_some() {
            return;
        }
        answer.end = Some(end);
        answer.ended_after = Some(self.request.started.elapsed());
        let sent = &answer.chunks[..answer.chunks_sent];
        if options.hashes {
            let mut hasher = blake3::Hasher::new();
            for chunk in sent {
                hasher.update(chunk);
            }
            answer.sent_blake3 = Some(hasher.finalize().to_string());
        }
        let mut bytes = answer.chunks.iter().map(Bytes::len).sum::<usize>();
        if bytes > options.body_bytes {
            answer.chunks = Arc::default();
            bytes = 0;
        }
        self.log.write_line(|| {
            object_of("end")
                .field("seq", &self.request.seq)
                .field("answer", &answer.to_json())
                .finish()
        });
        drop(answer);
        self.log.grow(self.request.seq, bytes);
        self.log.counts.send_modify(|counts| counts.ended += 1);
    }
}

impl Drop for Exchange {
    fn drop(&mut self) {
        let is_closing = self.log.is_closing.load(Ordering::Relaxed);
        self.end(if is_closing {
            End::Shutdown
        } else {
            End::ClientGone
        });
    }
}
