//! Every kind of trouble: how it begins, that it goes on, and its end.

use crate::support::{http, message, wire::Kept, world::Believed};
use ::http::Method;
use bytes::Bytes;
use http_body_util::BodyExt as _;
use provider::{CutHow, Garbage, Matcher, Point, Provider, Script};
use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpSocket, TcpStream},
    task::JoinSet,
    time::interval,
};

/// The model that those ask for who have trouble.
pub(super) const TROUBLED_MODEL: &str = "claude-opus-4-5";

/// Between two attempts of one of those who try again and again: bounded, as theirs are.
const PAUSE: Duration = Duration::from_millis(40);

/// What trouble is made with.
#[derive(Debug)]
pub(super) struct Around {
    pub(super) provider: Provider,
    pub(super) believed: Believed,
}

/// What happens to others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Trouble {
    None,
    ProviderStalls,
    ProviderResets,
    ProviderSendsGarbage,
    ProviderSendsHugeHeads,
    ClientsReadNothing,
    ClientsSendByteByByte,
    ClientsLeave,
    ClientsSendHugeHeads,
    LargeBodies,
    IdleConnections,
    Flood,
    DiskIsSlow,
    DiskHangs,
}

/// A trouble that goes on until its end.
#[derive(Debug)]
pub(super) struct Going {
    tasks: JoinSet<()>,
    seen: Arc<AtomicU64>,
}

impl Trouble {
    pub(super) const ALL: [Self; 14] = [
        Self::None,
        Self::ProviderStalls,
        Self::ProviderResets,
        Self::ProviderSendsGarbage,
        Self::ProviderSendsHugeHeads,
        Self::ClientsReadNothing,
        Self::ClientsSendByteByByte,
        Self::ClientsLeave,
        Self::ClientsSendHugeHeads,
        Self::LargeBodies,
        Self::IdleConnections,
        Self::Flood,
        Self::DiskIsSlow,
        Self::DiskHangs,
    ];

    pub(super) const fn words(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::ProviderStalls => "their provider stalls: 64 requests wait for its head",
            Self::ProviderResets => "their provider resets streams, 200 a second",
            Self::ProviderSendsGarbage => "their provider sends garbage, 200 times a second",
            Self::ProviderSendsHugeHeads => "their provider sends heads of 1 MB, 25 a second",
            Self::ClientsReadNothing => "16 clients read nothing of 16 MB each",
            Self::ClientsSendByteByByte => "64 clients send their bodies byte by byte",
            Self::ClientsLeave => "clients leave their streams, 200 a second",
            Self::ClientsSendHugeHeads => "clients send heads of 128 kB, 200 a second",
            Self::LargeBodies => "bodies of 8 MB, one after the other",
            Self::IdleConnections => "1,000 idle connections",
            Self::Flood => "a peer asks as fast as it can, on 16 connections",
            Self::DiskIsSlow => "every sync of the disk takes 500 ms, 200 requests a second",
            Self::DiskHangs => "the disk hangs, 200 requests a second",
        }
    }

    /// What the troubled provider does.
    fn script(self) -> Script {
        let cut = |how| Script {
            cut: Some(Point::MidStream),
            cut_how: how,
            ..Script::text("one two three four")
        };
        match self {
            Self::ProviderStalls => Script {
                stall: Some(Point::BeforeHead),
                ..Script::default()
            },
            Self::ProviderResets => cut(CutHow::Rst),
            Self::ProviderSendsGarbage => Script {
                garbage: Some(Garbage::Head),
                ..Script::default()
            },
            Self::ProviderSendsHugeHeads => Script {
                huge_headers: 1 << 20,
                ..Script::text("x")
            },
            Self::ClientsReadNothing => {
                let piece = Bytes::from(vec![b'x'; 1 << 20]);
                Script::raw("application/octet-stream", vec![piece; 16])
            }
            Self::ClientsLeave => Script {
                stall: Some(Point::MidStream),
                ..Script::text("one two three four")
            },
            _ => Script::text("well"),
        }
    }

    /// Begins it at the gateway, or past it at the provider, and waits until it is there.
    pub(super) async fn begin(self, around: &Around, url: &str) -> Going {
        around.provider.reset();
        around.provider.script(Matcher::any(), self.script());
        let mut going = Going {
            tasks: JoinSet::new(),
            seen: Arc::default(),
        };
        match self {
            Self::None => return going,
            Self::ProviderStalls => going.each(64, url, wait_for_nothing),
            Self::ClientsReadNothing => going.each(16, url, wait_for_nothing),
            Self::ClientsSendByteByByte => going.each(64, url, byte_by_byte),
            Self::ProviderResets | Self::ClientsLeave => going.each(8, url, stream),
            Self::ProviderSendsGarbage => going.each(8, url, question),
            Self::ProviderSendsHugeHeads => going.each(1, url, question),
            Self::ClientsSendHugeHeads => going.each(8, url, huge_head),
            Self::LargeBodies => going.each(1, url, large_body),
            Self::IdleConnections => going.each(1000, url, idle),
            Self::Flood => going.each(16, url, flood),
            Self::DiskIsSlow => {
                around.believed.slow_disk(Duration::from_millis(500));
                going.each(8, url, question);
            }
            Self::DiskHangs => {
                around.believed.slow_disk(Duration::from_hours(1));
                going.each(8, url, question);
            }
        }
        let enough = match self {
            Self::IdleConnections => 1000,
            Self::ProviderStalls | Self::ClientsSendByteByByte => 64,
            Self::ClientsReadNothing => 16,
            _ => 1,
        };
        going.reaches(enough).await;
        going
    }
}

impl Going {
    /// So many that do the same, each with the count of how often it happened.
    fn each<F>(&mut self, count: usize, url: &str, what: fn(String, Arc<AtomicU64>) -> F)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        for _ in 0..count {
            self.tasks
                .spawn(what(url.to_owned(), Arc::clone(&self.seen)));
        }
    }

    async fn reaches(&mut self, enough: u64) {
        let mut looks = interval(Duration::from_millis(5));
        while self.seen.load(Relaxed) < enough {
            looks.tick().await;
            if let Some(ended) = self.tasks.try_join_next() {
                panic!("the trouble ended by itself: {ended:?}");
            }
        }
    }

    /// It went on until now, and ends.
    pub(super) async fn end(mut self, around: &Around) {
        if let Some(ended) = self.tasks.try_join_next() {
            panic!("the trouble ended by itself: {ended:?}");
        }
        around.believed.slow_disk(Duration::ZERO);
        self.tasks.shutdown().await;
        around.provider.reset();
    }
}

/// Connects as another peer than the quiet client.
async fn connect(url: &str) -> TcpStream {
    let address = url.strip_prefix("http://").unwrap();
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.2:0".parse().unwrap()).unwrap();
    let stream = socket.connect(address.parse().unwrap()).await.unwrap();
    stream.set_nodelay(true).unwrap();
    stream
}

fn head(length: usize, more: &str) -> String {
    format!(
        "POST /v1/messages HTTP/1.1\r\nhost: localhost\r\n{more}content-length: {length}\r\n\r\n"
    )
}

/// Asks, and takes nothing of what comes.
async fn wait_for_nothing(url: String, seen: Arc<AtomicU64>) {
    let mut stream = connect(&url).await;
    let body = message(TROUBLED_MODEL, "wait", true);
    let request = head(body.len(), "") + &body;
    stream.write_all(request.as_bytes()).await.unwrap();
    seen.fetch_add(1, Relaxed);
    std::future::pending::<()>().await;
}

async fn byte_by_byte(url: String, seen: Arc<AtomicU64>) {
    let mut stream = connect(&url).await;
    stream
        .write_all(head(1 << 20, "").as_bytes())
        .await
        .unwrap();
    let mut due = interval(PAUSE);
    stream.write_all(b"{").await.unwrap();
    seen.fetch_add(1, Relaxed);
    loop {
        due.tick().await;
        stream.write_all(b" ").await.unwrap();
    }
}

async fn idle(url: String, seen: Arc<AtomicU64>) {
    let mut stream = connect(&url).await;
    seen.fetch_add(1, Relaxed);
    // Until the head is late, which is after this trouble.
    let _ = stream.read(&mut [0]).await;
    std::future::pending::<()>().await;
}

/// Asks for a stream, takes its first piece and leaves, whichever of both does so first.
async fn stream(url: String, seen: Arc<AtomicU64>) {
    let url = format!("{url}/v1/messages");
    let mut due = interval(PAUSE);
    loop {
        due.tick().await;
        let body = message(TROUBLED_MODEL, "go on", true);
        if let Ok(answer) = http::try_open(Method::POST, &url, &[], body).await {
            let _ = answer.into_body().frame().await;
        }
        seen.fetch_add(1, Relaxed);
    }
}

async fn question(url: String, seen: Arc<AtomicU64>) {
    let url = format!("{url}/v1/messages");
    let mut due = interval(PAUSE);
    loop {
        due.tick().await;
        let body = message(TROUBLED_MODEL, "a question", false);
        if let Ok(answer) = http::try_open(Method::POST, &url, &[], body).await {
            let _ = answer.into_body().collect().await;
        }
        seen.fetch_add(1, Relaxed);
    }
}

async fn huge_head(url: String, seen: Arc<AtomicU64>) {
    let line = format!("x-large: {}\r\n", "x".repeat(128 << 10));
    let request = head(2, &line) + "{}";
    let mut due = interval(PAUSE);
    loop {
        due.tick().await;
        let mut stream = connect(&url).await;
        // It may be refused before all of it was sent.
        let _ = stream.write_all(request.as_bytes()).await;
        let _ = stream.read(&mut [0; 64]).await;
        seen.fetch_add(1, Relaxed);
    }
}

async fn large_body(url: String, seen: Arc<AtomicU64>) {
    let url = format!("{url}/v1/messages");
    let body = Bytes::from(message(
        TROUBLED_MODEL,
        &"long ".repeat((8 << 20) / 5),
        false,
    ));
    loop {
        if let Ok(answer) = http::try_open(Method::POST, &url, &[], body.clone()).await {
            let _ = answer.into_body().collect().await;
        }
        seen.fetch_add(1, Relaxed);
    }
}

async fn flood(url: String, seen: Arc<AtomicU64>) {
    let mut kept = Kept::open(&url).await;
    let body = Bytes::from(message(TROUBLED_MODEL, "at once", false));
    loop {
        kept.post("/v1/messages", body.clone()).await.unwrap();
        seen.fetch_add(1, Relaxed);
    }
}
