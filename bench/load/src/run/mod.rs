//! The closed loop.
//!
//! Owns: [`run`]. In: a plan and the processes to watch. Out: an [`Outcome`]. Each connection has one request under way
//! and sends the next one when the answer is complete; a connection that breaks is made anew and counts as a failure.
//! Must not know: HTTP beyond what [`wire::Reader`](crate::wire::Reader) says.

use crate::{
    histogram::Histogram,
    process::{Usage, Watched},
    report::{Outcome, Used},
    wire::{BadResponse, Reader},
};
use std::{
    collections::BTreeMap,
    io,
    net::SocketAddr,
    ops::Range,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    sync::Barrier,
    task::JoinSet,
    time::{Instant, timeout, timeout_at},
};

/// Different failures that are told apart.
const FAILURES: usize = 50;

/// What to do.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    /// Where to.
    pub(crate) target: SocketAddr,
    /// Each request, whole.
    pub(crate) request: Arc<[u8]>,
    /// Where a number stands in it that differs from request to request.
    pub(crate) varies: Option<Range<usize>>,
    /// Each response body, if that is to be checked.
    pub(crate) expected: Option<Arc<[u8]>>,
    /// Connections.
    pub(crate) connections: u16,
    /// Requests on each of them before anything is measured.
    pub(crate) warm_up: u32,
    /// When to end.
    pub(crate) limit: Limit,
    /// How long one request may take.
    pub(crate) timeout: Duration,
}

/// When to end: by whichever comes first.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limit {
    /// Requests on all connections.
    pub(crate) requests: u64,
    /// Time.
    pub(crate) time: Duration,
}

/// What was measured.
#[derive(Clone, Debug, Default)]
pub(crate) struct Measured {
    /// From the request's first byte to the response's last.
    pub(crate) latency: Histogram,
    /// From the request's first byte to the body's first.
    pub(crate) first_byte: Histogram,
    /// Between two pieces of a body, as they were read.
    pub(crate) gap: Histogram,
    /// Whole responses by status.
    pub(crate) statuses: BTreeMap<u16, u64>,
    /// Requests without a whole and right response, by what happened.
    pub(crate) failures: BTreeMap<String, u64>,
    /// Bytes of bodies.
    pub(crate) bytes: u64,
}

#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error("can't connect: {0}")]
    Connect(io::Error),
    #[error("connection broke: {0}")]
    Broken(#[from] io::Error),
    #[error("closed before the response's end")]
    Closed,
    #[error("bad response: {0}")]
    Bad(#[from] BadResponse),
    #[error("timed out")]
    Timeout,
    #[error("the body is not the expected one")]
    Different,
}

/// Runs the plan and measures it.
pub(crate) async fn run(plan: Plan, watched: &[Watched]) -> anyhow::Result<Outcome> {
    let shared = Arc::new(Shared {
        warm: Barrier::new(usize::from(plan.connections) + 1),
        go: Barrier::new(usize::from(plan.connections) + 1),
        taken: AtomicU64::new(0),
        numbers: AtomicU64::new(0),
        plan,
    });
    let mut connections = JoinSet::new();
    for _ in 0..shared.plan.connections {
        connections.spawn(connection(Arc::clone(&shared)));
    }
    let usages = || -> anyhow::Result<Vec<Usage>> { watched.iter().map(Watched::usage).collect() };
    shared.warm.wait().await;
    let before = usages()?;
    let begun = Instant::now();
    shared.go.wait().await;
    let mut all = Measured::default();
    while let Some(measured) = connections.join_next().await {
        all.merge(&measured?);
    }
    let elapsed = begun.elapsed();
    let used = watched
        .iter()
        .zip(before.iter().zip(usages()?))
        .map(|(process, (before, after))| Used {
            name: process.name.clone(),
            processor: after.processor.saturating_sub(before.processor),
            after,
        })
        .collect();
    Ok(Outcome {
        measured: all,
        elapsed,
        used,
    })
}

/// What the connections share.
struct Shared {
    plan: Plan,
    /// Everybody has warmed up.
    warm: Barrier,
    /// The measurement begins.
    go: Barrier,
    /// Requests that were begun.
    taken: AtomicU64,
    /// Numbers that were used, warm-up included.
    numbers: AtomicU64,
}

async fn connection(shared: Arc<Shared>) -> Measured {
    let plan = &shared.plan;
    let mut line = Line {
        bytes: plan.request.to_vec(),
        ..Line::default()
    };
    let mut ignored = Measured::default();
    for _ in 0..plan.warm_up {
        line.number(&shared);
        line.measure(plan, &mut ignored).await;
    }
    shared.warm.wait().await;
    shared.go.wait().await;
    let mut measured = Measured::default();
    let end = Instant::now() + plan.limit.time;
    while Instant::now() < end && shared.taken.fetch_add(1, Ordering::Relaxed) < plan.limit.requests
    {
        line.number(&shared);
        line.measure(plan, &mut measured).await;
    }
    measured
}

/// One connection, made when it is needed.
#[derive(Default)]
struct Line {
    stream: Option<TcpStream>,
    /// The next request.
    bytes: Vec<u8>,
    reader: Reader,
    buffer: Vec<u8>,
}

impl Line {
    /// Gives the request its number.
    fn number(&mut self, shared: &Shared) {
        if let Some(range) = shared.plan.varies.clone() {
            let mut number = shared.numbers.fetch_add(1, Ordering::Relaxed);
            for digit in self.bytes[range].iter_mut().rev() {
                *digit = b"0123456789abcdef"[(number & 0xf) as usize];
                number >>= 4;
            }
        }
    }

    /// One request, counted as what becomes of it.
    async fn measure(&mut self, plan: &Plan, measured: &mut Measured) {
        if let Err(failure) = self.request(plan, measured).await {
            self.stream = None;
            measured.fail(failure.to_string());
        }
    }

    async fn request(&mut self, plan: &Plan, measured: &mut Measured) -> Result<(), Failure> {
        let stream = match &mut self.stream {
            Some(stream) => stream,
            none => {
                let stream = timeout(plan.timeout, TcpStream::connect(plan.target))
                    .await
                    .map_err(|_| Failure::Timeout)?
                    .map_err(Failure::Connect)?;
                stream.set_nodelay(true)?;
                none.insert(stream)
            }
        };
        self.buffer.resize(64 << 10, 0);
        self.reader.reset();
        let begun = Instant::now();
        let deadline = begun + plan.timeout;
        stream.write_all(&self.bytes).await?;
        let (mut first, mut last): (Option<Instant>, Instant) = (None, begun);
        let (mut size, mut same) = (0, true);
        loop {
            let count = timeout_at(deadline, stream.read(&mut self.buffer))
                .await
                .map_err(|_| Failure::Timeout)??;
            if count == 0 {
                return Err(Failure::Closed);
            }
            let before = size;
            let done = self.reader.feed(&self.buffer[..count], |part| {
                if let Some(expected) = &plan.expected {
                    same &= expected
                        .get(size..)
                        .is_some_and(|rest| rest.starts_with(part));
                }
                size += part.len();
            })?;
            let now = Instant::now();
            if size > before {
                match first {
                    None => first = Some(now),
                    Some(_) => measured.gap.add(now - last),
                }
                last = now;
            }
            if done {
                break;
            }
        }
        let ended = Instant::now();
        if self.reader.closes() {
            self.stream = None;
        }
        let complete = plan
            .expected
            .as_ref()
            .is_none_or(|expected| expected.len() == size);
        if !same || !complete {
            return Err(Failure::Different);
        }
        measured.latency.add(ended - begun);
        measured.first_byte.add(first.unwrap_or(ended) - begun);
        measured.bytes += size as u64;
        *measured.statuses.entry(self.reader.status()).or_default() += 1;
        Ok(())
    }
}

// === impl Measured ===

impl Measured {
    fn fail(&mut self, text: String) {
        if self.failures.len() < FAILURES || self.failures.contains_key(&text) {
            *self.failures.entry(text).or_default() += 1;
        } else {
            *self.failures.entry("others".to_owned()).or_default() += 1;
        }
    }

    fn merge(&mut self, other: &Self) {
        self.latency.merge(&other.latency);
        self.first_byte.merge(&other.first_byte);
        self.gap.merge(&other.gap);
        for (status, count) in &other.statuses {
            *self.statuses.entry(*status).or_default() += count;
        }
        for (text, count) in &other.failures {
            *self.failures.entry(text.clone()).or_default() += count;
        }
        self.bytes += other.bytes;
    }
}

#[cfg(test)]
mod tests;
