//! What the two threads can be given: events and bodies, each with its size in memory, and jobs with an answer.
//!
//! Owns: [`Event`], [`Body`], the jobs and what they answer. Must not know: queues, tables.

use super::{AuditEntry, ConfigVersion, Pricer, RepriceScope, Repriced};
use crate::record::{Capture, CapturedBody, Record, RequestId, Timestamp};
use serde::{Deserialize, Serialize};
use tokio::sync::oneshot;

/// What the thread of `aperture.redb` writes.
#[derive(Clone, Debug)]
pub(super) enum Event {
    /// A request began, or goes on.
    Update(Box<Record>),
    /// A request ended.
    Finish(Box<Record>),
    /// Its bodies were lost after it was queued.
    CaptureLost(RequestId, &'static str),
    /// An audit entry under its time-ordered id.
    Audit(RequestId, Box<AuditEntry>),
    /// An upstream object has an owner.
    Own {
        provider: String,
        upstream: String,
        user: String,
        at: Timestamp,
    },
    /// The configuration changed; its number is given when it is written.
    Config(Box<ConfigVersion>),
}

impl Event {
    /// Bytes in memory, about.
    pub(super) fn size(&self) -> usize {
        const FRAME: usize = 128;
        let inner = match self {
            Self::Update(record) | Self::Finish(record) => record_size(record),
            Self::CaptureLost(..) => 0,
            Self::Audit(_, entry) => {
                size_of::<AuditEntry>() + entry.subject.len() + entry.detail.len()
            }
            Self::Own {
                provider,
                upstream,
                user,
                ..
            } => provider.len() + upstream.len() + user.len(),
            Self::Config(version) => {
                size_of::<ConfigVersion>() + version.text.len() + version.summary.len()
            }
        };
        FRAME + inner
    }
}

fn record_size(record: &Record) -> usize {
    let tools: usize = record
        .tools
        .iter()
        .map(|tool| size_of_val(tool) + tool.name.len() + tool.server.len() + tool.call.len())
        .sum();
    let long = [
        &record.title,
        &record.grant,
        &record.failure,
        &record.agent,
        &record.workspace,
    ];
    let texts: usize = long.into_iter().flatten().map(String::len).sum();
    size_of::<Record>() + 512 + record.path.len() + texts + tools + 8 * record.anchors.len()
}

/// What the thread of `captures.redb` writes.
#[derive(Debug)]
pub(super) struct Body {
    pub(super) id: RequestId,
    pub(super) capture: Capture,
}

impl Body {
    pub(super) fn size(&self) -> usize {
        capture_size(&self.capture)
    }
}

fn capture_size(capture: &Capture) -> usize {
    let body = |body: &CapturedBody| {
        let bytes: usize = body.chunks.iter().map(|chunk| chunk.len() + 32).sum();
        bytes + 8 * body.borders.len()
    };
    256 + body(&capture.request)
        + body(&capture.response)
        + capture.request_head.size()
        + capture.response_head.size()
}

/// Why something asked of the store was not done.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WriteError {
    /// The store is closed.
    #[error("the store is closed")]
    Closed,
    /// The disk does not take it; the store goes on trying with what is queued.
    #[error("the store can't write: {0}")]
    Disk(String),
    /// Something else must end first.
    #[error("not now: {0}; try again when that is done")]
    Busy(&'static str),
}

pub(super) type Reply<T> = oneshot::Sender<Result<T, WriteError>>;

/// What was removed by age or size.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Pruned {
    /// Captures.
    pub captures: u64,
    /// Records of requests.
    pub records: u64,
    /// Rows of hourly counters.
    pub counters: u64,
    /// Audit entries.
    pub audit: u64,
}

/// What was erased of one person.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Erased {
    /// Records made anonymous.
    pub records: u64,
    /// Captures removed.
    pub captures: u64,
    /// Requests under way, which were left alone.
    pub in_flight: u64,
    /// Audit entries and versions of the configuration without their name now.
    pub audit: u64,
}

/// Asked of the thread of `aperture.redb`, done after what is queued.
#[derive(Debug)]
pub(super) enum RecordJob {
    Flush(Reply<()>),
    Prune(Timestamp, Reply<Pruned>),
    Erase {
        user: String,
        /// Their logins, which audit entries name.
        logins: Vec<String>,
        reply: Reply<Erased>,
    },
    Reprice {
        scope: RepriceScope,
        pricer: Pricer,
        reply: Reply<Repriced>,
    },
}

/// Asked of the thread of `captures.redb`.
#[derive(Debug)]
pub(super) enum BodyJob {
    Flush(Reply<()>),
    Prune(Timestamp, Reply<u64>),
    Remove(Vec<RequestId>, Reply<u64>),
    /// Leaves nothing of what was removed in the file.
    Renew(Reply<()>),
}
