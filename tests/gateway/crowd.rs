//! More connections than a gateway wants, and more than it has descriptors for.

use super::{document, start};
use crate::support::{
    EVERYBODY, Gateway, config, gateway::Options, http, message, soak, wire::Kept,
};
use provider::{Matcher, Provider, Script};
use rustix::process::{Resource, getrlimit, setrlimit};
use std::time::Duration;
use tokio::{
    net::{TcpSocket, TcpStream},
    process::Command,
    time::Instant,
};

const MODEL: &str = "claude-haiku-4-5";

/// As many descriptors for the tests as the system permits; how many these are.
fn raise_own_limit() -> u64 {
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    setrlimit(Resource::Nofile, limit).unwrap();
    limit.current.unwrap_or(u64::MAX)
}

/// A connection of the `n`th of three peers, none of which is the tests' other clients.
async fn connect(gateway: &Gateway, n: usize) -> TcpStream {
    let address = gateway.url.strip_prefix("http://").unwrap();
    let socket = TcpSocket::new_v4().unwrap();
    let peer = format!("127.0.0.{}:0", 2 + n % 3);
    socket.bind(peer.parse().unwrap()).unwrap();
    socket.connect(address.parse().unwrap()).await.unwrap()
}

async fn metric(gateway: &Gateway, name: &str) -> u64 {
    let text = http::get(&format!("{}/metrics", gateway.metrics_url))
        .await
        .text();
    let line = text.lines().find_map(|line| line.strip_prefix(name));
    line.map_or(0, |value| value.trim().parse().unwrap())
}

/// Waits until a series has that value or, with `more`, at least it.
async fn until(gateway: &Gateway, name: &str, value: u64, more: bool) {
    let deadline = Instant::now() + crate::support::process::PATIENCE;
    loop {
        let now = metric(gateway, name).await;
        if now == value || (more && now > value) {
            return;
        }
        assert!(Instant::now() < deadline, "{name} is {now}, not {value}");
    }
}

async fn ask(kept: &mut Kept, n: usize) -> u16 {
    let answer = kept.post(
        "/v1/messages",
        message(MODEL, &format!("number {n}"), false),
    );
    answer.await.unwrap().status.as_u16()
}

const OPEN: &str = "aperture_open_connections ";
const REFUSED: &str = "aperture_connections_refused_total{reason=\"too_many\"} ";

#[tokio::test]
async fn ten_thousand_open_connections_are_in_nobodys_way_and_leave_nothing() {
    // The ten thousand in `make soak`, where the system permits the 33,000 descriptors that the gateway wants for them, else
    // as many as it lets in: from three peers, as none of them may have more than half of those.
    let permitted = raise_own_limit();
    let room = usize::try_from((permitted / 3).saturating_sub(300)).unwrap_or(usize::MAX);
    let crowd = if soak() { room.min(10_000) } else { 1_000 };
    let provider = Provider::start(provider::Options::default()).await.unwrap();
    let limits = "\"limits\": {\"connections_per_peer\": 20000}";
    let gateway = start(&document(&provider.url(), limits)).await;
    let mut quiet = Kept::open(&gateway.url).await;
    assert_eq!(ask(&mut quiet, 0).await, 200);
    // The scrape's own is one of them.
    until(&gateway, OPEN, 2, false).await;
    let (descriptors, memory) = (
        gateway.process.descriptors(),
        gateway.process.status("VmRSS"),
    );

    let mut open = Vec::new();
    for n in 0..crowd {
        open.push(connect(&gateway, n).await);
        // Others are answered all the while, on connections that they have and on new ones.
        if n % (crowd / 10) == 0 {
            assert_eq!(ask(&mut quiet, n).await, 200);
            let mut newcomer = Kept::open(&gateway.url).await;
            assert_eq!(ask(&mut newcomer, n).await, 200);
        }
    }
    until(&gateway, OPEN, crowd as u64 + 2, true).await;
    assert_eq!(metric(&gateway, REFUSED).await, 0);
    let full = gateway.process.status("VmRSS");
    crate::support::measured(&format!(
        "crowd: {crowd} connections: {memory} → {full} KiB, {} descriptors",
        gateway.process.descriptors()
    ));
    // 64 KiB each would be a buffer that nobody needs yet.
    assert!((full.saturating_sub(memory)) / (crowd as u64) < 64);

    drop(open);
    until(&gateway, OPEN, 2, false).await;
    assert_eq!(ask(&mut quiet, crowd).await, 200);
    assert!(gateway.process.descriptors() <= descriptors + 2);
    gateway.stop().await;
}

/// Where the descriptors do not suffice for the limits, the limits give way: those who come last are turned away at once, nobody
/// who is in suffers, and when the crowd leaves there is room again.
#[tokio::test]
async fn a_crowd_beyond_the_descriptors_is_turned_away_at_the_door() {
    const PERMITTED: usize = 300;
    let provider = Provider::start(provider::Options::default()).await.unwrap();
    let permitted = format!("--nofile={PERMITTED}:{PERMITTED}");
    let options = Options {
        wrapper: vec!["prlimit".into(), permitted],
        ..Options::default()
    };
    let gateway = Gateway::dev(&config(&provider.url(), EVERYBODY), options).await;
    gateway
        .event("the descriptors do not suffice", |_| Some(()))
        .await;
    let mut quiet = Kept::open(&gateway.url).await;
    assert_eq!(ask(&mut quiet, 0).await, 200);
    let mut crowd = Vec::new();
    for n in 0..PERMITTED {
        crowd.push(connect(&gateway, 0).await);
        if n % 50 == 0 {
            assert_eq!(ask(&mut quiet, n).await, 200);
        }
    }
    until(&gateway, REFUSED, PERMITTED as u64 / 2, true).await;
    assert!(gateway.process.descriptors() < PERMITTED - 50);
    assert_eq!(ask(&mut quiet, 1).await, 200);
    // The last one hears it at once: it is closed, not left to wait.
    let last = crowd.last().unwrap();
    last.readable().await.unwrap();
    assert!(matches!(last.try_read(&mut [0]), Ok(0) | Err(_)));

    drop(crowd);
    until(&gateway, OPEN, 2, false).await;
    let mut newcomer = Kept::open(&gateway.url).await;
    assert_eq!(ask(&mut newcomer, 2).await, 200);
    gateway.stop().await;
}

/// Not one descriptor is left: accepting rests instead of spinning, what is open goes on, and who waited is served in the end.
#[tokio::test]
async fn accepting_rests_while_there_is_no_descriptor_and_goes_on_when_there_is() {
    const SAID: &str = "accepting on the development listener";
    let provider = Provider::start(provider::Options::default()).await.unwrap();
    let script = Script {
        delay_ms: 20,
        ..Script::text("in a moment")
    };
    provider.script(Matcher::any(), script);
    let gateway = start(&document(&provider.url(), "")).await;
    let mut quiet = Kept::open(&gateway.url).await;
    // Three at once leave three connections to the provider: one at least is free whenever the next request comes.
    let (mut second, mut third) = tokio::join!(Kept::open(&gateway.url), Kept::open(&gateway.url));
    let statuses = tokio::join!(ask(&mut quiet, 0), ask(&mut second, 1), ask(&mut third, 2));
    assert_eq!(statuses, (200, 200, 200));
    let pid = gateway.process.pid().to_string();
    let permit = async |count: u64| {
        let soft = format!("--nofile={count}:");
        let command = Command::new("prlimit")
            .args(["--pid", &pid, &soft])
            .status()
            .await;
        assert!(command.unwrap().success());
    };
    // No number is left below the highest one in use.
    permit(3).await;
    let begun = Instant::now();
    let mut late = Kept::open(&gateway.url).await;
    let waiting = tokio::spawn(async move { ask(&mut late, 100).await });
    gateway.event(SAID, |_| Some(())).await;
    for n in 0..20 {
        assert_eq!(ask(&mut quiet, n).await, 200);
    }
    assert!(!waiting.is_finished());
    let tries = gateway
        .process
        .stderr
        .all()
        .iter()
        .filter(|line| line.contains(SAID))
        .count();
    let pauses = begun.elapsed().as_millis() / Duration::from_millis(50).as_millis();
    assert!(
        tries as u128 <= pauses + 2,
        "{tries} tries in {:?}",
        begun.elapsed()
    );
    permit(1_000).await;
    assert_eq!(waiting.await.unwrap(), 200);
    gateway.stop().await;
}
