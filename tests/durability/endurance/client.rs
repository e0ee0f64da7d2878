//! The clients of one part of the run: so many connections, each with one request under way.
//!
//! In: the kinds, a range of numbers, where the gateway is. Out: what became of each request, as its client saw it. Nothing of an
//! answer is kept, so the books stay small whatever is said.

use super::{
    books::{Asked, Saw},
    mix::{Client, Kinds, WAYS},
};
use crate::support::process::PATIENCE;
use aperture::record::Timestamp;
use load::wire::Reader;
use std::{
    net::SocketAddr,
    ops::Range,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    sync::Notify,
    task::JoinSet,
};

/// How many run at once.
const CONNECTIONS: usize = 32;
/// What a slow reader reads at a time, of an answer of some hundred kilobytes, and how long it rests after each.
const SLOWLY: (usize, Duration) = (32 << 10, Duration::from_millis(20));

/// What the clients of a part share.
#[derive(Debug)]
pub(super) struct Part {
    pub(super) kinds: Arc<Kinds>,
    pub(super) target: SocketAddr,
    pub(super) numbers: Range<u64>,
    /// When that number is asked for, [`Self::reached`] is told.
    pub(super) mark: u64,
    pub(super) reached: Notify,
    /// The gateway stops or is killed: who finds it gone does not try again.
    pub(super) ends: AtomicBool,
    next: AtomicU64,
}

impl Part {
    pub(super) fn new(
        kinds: &Arc<Kinds>,
        target: SocketAddr,
        numbers: Range<u64>,
        mark: u64,
    ) -> Arc<Self> {
        Arc::new(Self {
            kinds: Arc::clone(kinds),
            target,
            next: numbers.start.into(),
            numbers,
            mark,
            reached: Notify::new(),
            ends: false.into(),
        })
    }

    /// Asks for everything; returns what was asked, in the order of the numbers.
    pub(super) async fn run(self: Arc<Self>) -> Vec<Asked> {
        let mut connections = JoinSet::new();
        for _ in 0..CONNECTIONS {
            connections.spawn(connection(Arc::clone(&self)));
        }
        let mut asked = Vec::new();
        while let Some(done) = connections.join_next().await {
            asked.extend(done.unwrap());
        }
        asked.sort_unstable_by_key(|asked: &Asked| asked.n);
        asked
    }
}

async fn connection(part: Arc<Part>) -> Vec<Asked> {
    let (mut line, mut all) = (Line::default(), Vec::new());
    loop {
        let n = part.next.fetch_add(1, Relaxed);
        if n >= part.numbers.end {
            return all;
        }
        if n == part.mark {
            part.reached.notify_one();
        }
        let kind = part.kinds.of(n);
        kind.write(n, &mut line.request);
        let asking = line.ask(part.target, WAYS[kind.way].client, n);
        let (saw, status) = tokio::time::timeout(2 * PATIENCE, asking)
            .await
            .unwrap_or((Saw::Nothing, 0));
        if !matches!(saw, Saw::Whole) {
            line.stream = None;
        }
        all.push(Asked {
            n,
            way: kind.way,
            saw,
            status,
            ended: Timestamp::now().0,
        });
        if saw == Saw::Nothing && part.ends.load(Relaxed) {
            return all;
        }
    }
}

/// One connection, made when it is needed.
#[derive(Default)]
struct Line {
    stream: Option<TcpStream>,
    request: Vec<u8>,
    reader: Reader,
    buffer: Vec<u8>,
}

impl Line {
    async fn ask(&mut self, target: SocketAddr, client: Client, n: u64) -> (Saw, u16) {
        self.reader.reset();
        if self.stream.is_none() {
            self.stream = TcpStream::connect(target).await.ok();
        }
        let Some(stream) = &mut self.stream else {
            return (Saw::Nothing, 0);
        };
        let _ = stream.set_nodelay(true);
        let size = match client {
            Client::LeavesUpload => self.request.len() - 500,
            _ => self.request.len(),
        };
        if stream.write_all(&self.request[..size]).await.is_err() {
            return (Saw::Nothing, 0);
        }
        if matches!(client, Client::LeavesAtOnce | Client::LeavesUpload) {
            // Some before the gateway has looked at it, some after.
            tokio::time::sleep(Duration::from_millis(n % 3 * 10)).await;
            return (Saw::Left, 0);
        }
        let at_once = match client {
            Client::ReadsSlowly => SLOWLY.0,
            _ => 64 << 10,
        };
        self.buffer.resize(at_once, 0);
        let mut body = 0;
        loop {
            let broken = if self.reader.status() == 0 {
                Saw::Nothing
            } else {
                Saw::Broken
            };
            let count = match stream.read(&mut self.buffer).await {
                Ok(count) if count > 0 => count,
                _ => return (broken, self.reader.status()),
            };
            match self
                .reader
                .feed(&self.buffer[..count], |part| body += part.len())
            {
                Ok(true) => {
                    if self.reader.closes() {
                        self.stream = None;
                    }
                    return (Saw::Whole, self.reader.status());
                }
                Ok(false) if client == Client::LeavesMidway && body > 0 => {
                    return (Saw::Left, self.reader.status());
                }
                Ok(false) => {}
                Err(_) => return (Saw::Broken, self.reader.status()),
            }
            if client == Client::ReadsSlowly {
                tokio::time::sleep(SLOWLY.1).await;
            }
        }
    }
}
