//! The closed loop.
//!
//! Owns: [`run`]. In: a plan and the processes to watch. Out: an [`Outcome`]. Each connection has one request under way
//! and sends the next one when the answer is complete; a connection that breaks is made anew and counts as a failure.
//! With several requests in the plan, all connections together go through them again and again.
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

/// One request, and what must come of it.
#[derive(Clone, Debug)]
pub struct Asked {
    /// The request, whole.
    pub bytes: Arc<[u8]>,
    /// Where a number stands in it that differs from request to request.
    pub varies: Option<Range<usize>>,
    /// The status that it must have; 0 for any.
    pub status: u16,
    /// The response body, if that is to be checked.
    pub expected: Option<Arc<[u8]>>,
    /// The client leaves after that many bytes of the body.
    pub leaves: Option<usize>,
}

/// What to do.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Where to.
    pub target: SocketAddr,
    /// The requests, in turn; at least one.
    pub requests: Vec<Asked>,
    /// Connections.
    pub connections: u16,
    /// Requests on each of them before anything is measured.
    pub warm_up: u32,
    /// When to end.
    pub limit: Limit,
    /// How long one request may take.
    pub timeout: Duration,
    /// The first of the numbers.
    pub first: u64,
}

/// When to end: by whichever comes first.
#[derive(Clone, Copy, Debug)]
pub struct Limit {
    /// Requests on all connections.
    pub requests: u64,
    /// Time.
    pub time: Duration,
}

/// What was measured.
#[derive(Clone, Debug, Default)]
pub struct Measured {
    /// From the request's first byte to the response's last.
    pub latency: Histogram,
    /// From the request's first byte to the body's first.
    pub first_byte: Histogram,
    /// Between two pieces of a body, as they were read.
    pub gap: Histogram,
    /// Whole responses by status.
    pub statuses: BTreeMap<u16, u64>,
    /// Requests without a whole and right response, by what happened.
    pub failures: BTreeMap<String, u64>,
    /// Requests that the client left, as planned.
    pub left: u64,
    /// Bytes of bodies.
    pub bytes: u64,
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
    #[error("the status is {0}")]
    Status(u16),
}

/// The response body that a request gets.
pub async fn answer(target: SocketAddr, asked: &Asked) -> anyhow::Result<Vec<u8>> {
    let mut stream = TcpStream::connect(target).await?;
    stream.write_all(&asked.bytes).await?;
    let (mut reader, mut body, mut buffer) = (Reader::default(), Vec::new(), vec![0; 64 << 10]);
    loop {
        let count = stream.read(&mut buffer).await?;
        anyhow::ensure!(count > 0, "closed before the response's end");
        if reader.feed(&buffer[..count], |part| body.extend_from_slice(part))? {
            break;
        }
    }
    let status = reader.status();
    anyhow::ensure!(
        status == 200,
        "status {status}: {}",
        String::from_utf8_lossy(&body)
    );
    Ok(body)
}

/// Runs the plan and measures it.
pub async fn run(plan: Plan, watched: &[Watched]) -> anyhow::Result<Outcome> {
    let shared = Arc::new(Shared {
        warm: Barrier::new(usize::from(plan.connections) + 1),
        go: Barrier::new(usize::from(plan.connections) + 1),
        taken: AtomicU64::new(0),
        numbers: AtomicU64::new(plan.first),
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
    /// Numbers that were used, warm-up included; the number also says which of the requests it is.
    numbers: AtomicU64,
}

async fn connection(shared: Arc<Shared>) -> Measured {
    let plan = &shared.plan;
    let mut line = Line {
        requests: plan.requests.iter().map(|it| it.bytes.to_vec()).collect(),
        ..Line::default()
    };
    let mut ignored = Measured::default();
    for _ in 0..plan.warm_up {
        line.measure(&shared, &mut ignored).await;
    }
    shared.warm.wait().await;
    shared.go.wait().await;
    let mut measured = Measured::default();
    let end = Instant::now() + plan.limit.time;
    while Instant::now() < end && shared.taken.fetch_add(1, Ordering::Relaxed) < plan.limit.requests
    {
        line.measure(&shared, &mut measured).await;
    }
    measured
}

/// One connection, made when it is needed.
#[derive(Default)]
struct Line {
    stream: Option<TcpStream>,
    /// The plan's requests, with the numbers that they had last.
    requests: Vec<Vec<u8>>,
    reader: Reader,
    buffer: Vec<u8>,
}

impl Line {
    /// The next request, counted as what becomes of it.
    async fn measure(&mut self, shared: &Shared, measured: &mut Measured) {
        let number = shared.numbers.fetch_add(1, Ordering::Relaxed);
        let at = usize::try_from(number).unwrap_or_default() % shared.plan.requests.len();
        let asked = &shared.plan.requests[at];
        if let Some(range) = asked.varies.clone() {
            write_number(&mut self.requests[at][range], number);
        }
        if let Err(failure) = self.request(at, &shared.plan, measured).await {
            self.stream = None;
            measured.fail(failure.to_string());
        }
    }

    async fn request(
        &mut self,
        at: usize,
        plan: &Plan,
        measured: &mut Measured,
    ) -> Result<(), Failure> {
        let asked = &plan.requests[at];
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
        stream.write_all(&self.requests[at]).await?;
        let (mut first, mut last): (Option<Instant>, Instant) = (None, begun);
        let (mut size, mut same) = (0, true);
        loop {
            if asked.leaves.is_some_and(|leaves| size >= leaves) {
                self.stream = None;
                measured.left += 1;
                return Ok(());
            }
            let count = timeout_at(deadline, stream.read(&mut self.buffer))
                .await
                .map_err(|_| Failure::Timeout)??;
            if count == 0 {
                return Err(Failure::Closed);
            }
            let before = size;
            let done = self.reader.feed(&self.buffer[..count], |part| {
                if let Some(expected) = &asked.expected {
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
        let status = self.reader.status();
        if asked.status != 0 && asked.status != status {
            return Err(Failure::Status(status));
        }
        let complete = asked
            .expected
            .as_ref()
            .is_none_or(|expected| expected.len() == size);
        if !same || !complete {
            return Err(Failure::Different);
        }
        measured.latency.add(ended - begun);
        measured.first_byte.add(first.unwrap_or(ended) - begun);
        measured.bytes += size as u64;
        *measured.statuses.entry(status).or_default() += 1;
        Ok(())
    }
}

/// Writes a number in hexadecimal digits, as many as there is room for.
fn write_number(digits: &mut [u8], mut number: u64) {
    for digit in digits.iter_mut().rev() {
        *digit = b"0123456789abcdef"[(number & 0xf) as usize];
        number >>= 4;
    }
}

// === impl Asked ===

impl Asked {
    /// A request of which any whole answer will do.
    pub fn new(bytes: Vec<u8>) -> Self {
        Self {
            bytes: bytes.into(),
            varies: None,
            status: 0,
            expected: None,
            leaves: None,
        }
    }

    /// The same, with a number where that text stands last; without the text nothing varies.
    #[must_use]
    pub fn varied(mut self, text: &str) -> Self {
        self.varies = self
            .bytes
            .windows(text.len().max(1))
            .rposition(|part| part == text.as_bytes())
            .map(|last| last..last + text.len());
        self
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
        self.left += other.left;
        self.bytes += other.bytes;
    }
}

#[cfg(test)]
mod tests;
