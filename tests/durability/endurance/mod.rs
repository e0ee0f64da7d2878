//! Endurance: a great many requests of every kind, with faults at random, and in the end every one of them is accounted for.
//!
//! The run goes in parts. In each, thirty-two clients ask for what the seed says; when all is quiet, the provider's log, the records
//! and `/metrics` of that part are entered in the books, request by request. In the first half one process serves, reads its
//! configuration again and has a slow disk now and then: its memory, descriptors and threads must be flat. In the second half it is
//! killed and stopped as well, and serves another user after each start. `APERTURE_ENDURANCE` says how many requests,
//! `APERTURE_SEED` repeats a run.

mod books;
mod client;
mod mix;

use super::{Key, of_counters, scrape, total};
use crate::support::{
    Gateway, gateway::Options, measured, process::PATIENCE, soak, world::Believed,
};
use aperture::record::{End, Record, Timestamp};
use books::{Bodies, Books, Ended};
use client::Part;
use mix::{Kinds, TOGETHER, mixed};
use provider::{LogOptions, Provider};
use std::{
    collections::BTreeMap,
    fmt::Write as _,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, SystemTime},
};
use tempfile::TempDir;
use tokio::time::Instant;

/// Who is served, start after start.
const USERS: [&str; 3] = ["alice@example.com", "bob@example.com", "carol@example.com"];
/// By how much every sync of a slow disk takes longer, and of one that hangs.
const SLOW: [Duration; 2] = [Duration::from_millis(200), Duration::from_secs(2)];
/// What happens in a part of the first half, and of the second; each is drawn as often as the others.
const FIRST: [Event; 6] = [
    Event::Nothing,
    Event::Reload,
    Event::Slow(SLOW[0]),
    Event::Nothing,
    Event::Slow(SLOW[1]),
    Event::Reload,
];
const SECOND: [Event; 6] = [
    Event::Kill,
    Event::Reload,
    Event::Stop,
    Event::Kill,
    Event::Slow(SLOW[0]),
    Event::Stop,
];

/// What happens in the middle of a part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Event {
    Nothing,
    Reload,
    Slow(Duration),
    Kill,
    Stop,
}

/// What is read after each part.
#[derive(Clone, Copy, Debug)]
struct Reading {
    sent: u64,
    /// KiB.
    memory: u64,
    descriptors: usize,
    threads: u64,
    /// Bytes of the state directory.
    disk: u64,
}

/// The world of one run.
struct Run {
    seed: u64,
    believed: Believed,
    provider: Provider,
    gateway: Gateway,
    kinds: Arc<Kinds>,
    books: Books,
    readings: Vec<Reading>,
    /// The last of them that is of the first half.
    flat: usize,
    starts: u64,
    versions: u64,
    /// Reloads that this process has done.
    reloads: usize,
    /// Since the process began.
    metrics: BTreeMap<Key, u64>,
    /// Requests whose bodies it lost, by `/metrics`.
    lost: u64,
    /// Requests that the provider logged in all.
    logged: u64,
    happened: BTreeMap<&'static str, u64>,
}

fn number_of(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

/// Bytes of all files below.
fn size(dir: &Path) -> u64 {
    let entries = std::fs::read_dir(dir).unwrap().flatten();
    let of = |entry: std::fs::DirEntry| match entry.metadata() {
        Ok(data) if data.is_dir() => size(&entry.path()),
        Ok(data) => data.len(),
        Err(_) => 0,
    };
    entries.map(of).sum()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_one_of_a_great_many_requests_is_accounted_for_whatever_happens() {
    let requests =
        number_of("APERTURE_ENDURANCE").unwrap_or(if soak() { 1_000_000 } else { 2_880 });
    let clock = SystemTime::UNIX_EPOCH.elapsed().unwrap().as_millis() % 1_000_000;
    let seed = number_of("APERTURE_SEED").unwrap_or(u64::try_from(clock).unwrap());
    measured(&format!(
        "endurance: {requests} requests, APERTURE_SEED={seed}"
    ));
    // Whole sessions in each part.
    let part = (requests / 100).clamp(240, 10_000) / TOGETHER * TOGETHER;
    let begun = Instant::now();
    let mut run = Run::start(seed).await;
    run.read();
    let mut at = 0;
    while run.books.sent() < requests {
        let deck = if run.books.sent() < requests / 2 {
            run.flat = run.readings.len();
            FIRST
        } else {
            SECOND
        };
        // Every card of the deck once, then again from another one on.
        let turned = mixed(seed, 1_000_000_007 + at / 6, 6);
        let event = deck[usize::try_from((at + turned) % 6).unwrap()];
        run.part(at * part..(at + 1) * part, event).await;
        at += 1;
        if at % 10 == 0 {
            let (sent, last) = (run.books.sent(), run.readings.last());
            measured(&format!("{sent} sent, {last:?}"));
        }
        assert!(run.books.differences() < 1_000, "{:#?}", run.books.told);
    }
    run.finish(begun).await;
}

impl Run {
    async fn start(seed: u64) -> Self {
        let log = LogOptions {
            body_bytes: 0,
            hashes: false,
            ..LogOptions::default()
        };
        let options = provider::Options {
            log,
            ..provider::Options::default()
        };
        let provider = Provider::start(options).await.unwrap();
        mix::teach(&provider);
        let believed = Believed::new();
        // As in `kill`: another job on the machine's disk must not decide how long a sync takes.
        let dir = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir());
        let gateway = gateway(&believed, Arc::new(dir.unwrap()), &provider, 0, 0).await;
        let kinds = Arc::new(Kinds::new(seed, "ai"));
        Self {
            seed,
            believed,
            provider,
            gateway,
            kinds,
            books: Books::default(),
            readings: Vec::new(),
            flat: 0,
            starts: 1,
            versions: 0,
            reloads: 0,
            metrics: BTreeMap::new(),
            lost: 0,
            logged: 0,
            happened: BTreeMap::new(),
        }
    }

    fn state(&self) -> PathBuf {
        self.gateway.state_dir()
    }

    fn read(&mut self) {
        let process = &self.gateway.process;
        self.readings.push(Reading {
            sent: self.books.sent(),
            memory: process.status("VmRSS"),
            descriptors: process.descriptors(),
            threads: process.status("Threads"),
            disk: size(&self.gateway.state_dir()),
        });
    }

    async fn part(&mut self, numbers: std::ops::Range<u64>, event: Event) {
        let name = match event {
            Event::Nothing => "nothing",
            Event::Reload => "configuration read again",
            Event::Slow(by) if by == SLOW[0] => "slow disk",
            Event::Slow(_) => "hanging disk",
            Event::Kill => "killed",
            Event::Stop => "stopped in order",
        };
        *self.happened.entry(name).or_default() += 1;
        let from = Timestamp::now();
        let length = numbers.end - numbers.start;
        let mark = numbers.start + mixed(self.seed, numbers.end, length / 2) + length / 4;
        let target = self
            .gateway
            .url
            .strip_prefix("http://")
            .unwrap()
            .parse()
            .unwrap();
        let part = Part::new(&self.kinds, target, numbers, mark);
        let asking = tokio::spawn(Arc::clone(&part).run());
        part.reached.notified().await;
        let ended = self.happens(event, &part).await;
        let asked = asking.await.unwrap();
        self.believed.slow_disk(Duration::ZERO);
        self.quiet().await;

        self.provider
            .await_ended(self.logged + self.provider.log().len() as u64)
            .await;
        let entries = self.provider.log();
        self.logged += entries.len() as u64;
        self.provider.reset();
        mix::teach(&self.provider);

        let ended = ended.unwrap_or(Ended::No);
        let (counted, lost) = self.counted().await;
        let before = if ended == Ended::No {
            std::mem::take(&mut self.metrics)
        } else {
            self.lost = lost;
            counted.clone()
        };
        let bodies = Bodies {
            lost: lost - self.lost,
            may_be: matches!(event, Event::Slow(_)),
        };
        self.lost = lost;
        let mut more = 0;
        for (key, count) in &counted {
            let count = count - before.get(key).copied().unwrap_or(0);
            more += count;
            if count > 0 {
                *self.books.metrics.entry(key.clone()).or_default() += count;
            }
        }
        self.metrics = counted;
        let records = self.records(from, more).await;
        self.books.enter(&asked, &entries, &records, ended, bodies);
        self.read();
        // Not after every part: counting grows with the hours, exporting them with the run.
        if ended != Ended::No {
            let counters = of_counters(&self.state()).await;
            self.books.compare(&counters);
        }
    }

    /// What happens in the middle of a part; how the gateway ended, if it did.
    async fn happens(&mut self, event: Event, part: &Part) -> Option<Ended> {
        match event {
            Event::Nothing => None,
            Event::Slow(by) => {
                self.believed.slow_disk(by);
                None
            }
            Event::Reload => {
                self.versions += 1;
                self.reloads += 1;
                let document = mix::document(&self.provider.url(), self.versions);
                std::fs::write(self.gateway.config_file(), document).unwrap();
                self.gateway.process.signal("HUP").await;
                // The lines are looked at from the first one again, so it is the last of so many.
                let mut left = self.reloads;
                self.gateway
                    .event("config: a new version is in force", |_| {
                        left -= 1;
                        (left == 0).then_some(())
                    })
                    .await;
                None
            }
            Event::Kill => {
                part.ends.store(true, std::sync::atomic::Ordering::Relaxed);
                self.gateway.process.signal("KILL").await;
                self.gateway.process.wait().await;
                self.again().await;
                let said = self
                    .gateway
                    .event("the gateway did not stop in order", |fields| {
                        let since = Timestamp::parse(fields["since"].as_str()?)?.0;
                        Some(Ended::Killed {
                            since,
                            interrupted: fields["interrupted"].as_u64()?,
                        })
                    });
                Some(said.await)
            }
            Event::Stop => {
                part.ends.store(true, std::sync::atomic::Ordering::Relaxed);
                self.gateway.process.signal("TERM").await;
                let status = self.gateway.process.wait().await;
                assert!(status.success(), "{status}");
                self.again().await;
                Some(Ended::InOrder)
            }
        }
    }

    /// Starts it again on its state, for the next user.
    async fn again(&mut self) {
        self.starts += 1;
        self.reloads = 0;
        let dir = Arc::clone(&self.gateway.dir);
        self.gateway = gateway(
            &self.believed,
            dir,
            &self.provider,
            self.versions,
            self.starts,
        )
        .await;
    }

    /// Waits until nothing is under way, and nothing waits for the disk.
    async fn quiet(&self) {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let samples = scrape(&self.gateway).await;
            let left = ["aperture_in_flight", "aperture_store_queue_bytes"]
                .map(|name| total(&samples, name));
            if left == [0, 0] {
                return;
            }
            assert!(
                Instant::now() < deadline,
                "{left:?} requests and bytes are left without clients"
            );
        }
    }

    /// Finished requests since the process began, as `/metrics` has them, and how many of them lost their bodies.
    async fn counted(&self) -> (BTreeMap<Key, u64>, u64) {
        let samples = scrape(&self.gateway).await;
        assert_eq!(total(&samples, "aperture_store_lost_records_total"), 0);
        let lost = total(&samples, "aperture_store_lost_bodies_total");
        let samples = samples
            .iter()
            .filter(|sample| sample.name == "aperture_requests_total");
        let labels = ["provider", "model", "endpoint", "status_class", "end"];
        let count = |sample: &super::Sample| {
            let key = labels.map(|label| sample.labels.get(label).cloned().unwrap_or_default());
            (key, sample.value.parse().unwrap())
        };
        (samples.map(count).collect(), lost)
    }

    /// The records since then, once there are so many and all have ended.
    async fn records(&self, from: Timestamp, count: u64) -> Vec<Record> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let arguments = ["export", "records", "--from", &from.to_string()];
            let output = self.gateway.command(&arguments).await;
            assert!(
                output.status.success(),
                "{}",
                String::from_utf8_lossy(&output.stderr)
            );
            let lines = output
                .stdout
                .split(|byte| *byte == b'\n')
                .filter(|line| !line.is_empty());
            let records: Vec<Record> = lines
                .map(|line| serde_json::from_slice(line).unwrap())
                .collect();
            let done = records.iter().all(|record| record.end != End::InFlight);
            if done && records.len() as u64 >= count || Instant::now() > deadline {
                return records;
            }
        }
    }

    /// The final accounting.
    async fn finish(mut self, begun: Instant) {
        let counters = of_counters(&self.state()).await;
        self.books.compare(&counters);
        let took = begun.elapsed();
        // The connections to the provider are kept for later; without it they go as well.
        self.provider.shutdown().await;
        let deadline = Instant::now() + PATIENCE;
        let idle = self.readings[0];
        while self.gateway.process.descriptors() > idle.descriptors + 1 && Instant::now() < deadline
        {
            self.quiet().await;
        }
        let descriptors = self.gateway.process.descriptors();

        let mut text = format!(
            "seed {}, {} requests in {} s, {} starts\n\n{}\n\n",
            self.seed,
            self.books.sent(),
            took.as_secs(),
            self.starts,
            self.books.table(&counters)
        );
        let happened: Vec<_> = self
            .happened
            .iter()
            .map(|(name, times)| format!("{name} {times}"))
            .collect();
        write!(
            text,
            "Parts by what happened in them: {}.\n\n",
            happened.join(", ")
        )
        .unwrap();
        text += "| requests | resident, MiB | descriptors | threads | database, MiB |\n| --: | --: | --: | --: | --: |\n";
        let step = self.readings.len().div_ceil(25);
        let last = self.readings.len() - 1;
        for (at, it) in self.readings.iter().enumerate() {
            if at % step == 0 || at == last {
                writeln!(
                    text,
                    "| {} | {:.1} | {} | {} | {:.1} |",
                    it.sent,
                    mebibytes(it.memory << 10),
                    it.descriptors,
                    it.threads,
                    mebibytes(it.disk)
                )
                .unwrap();
            }
        }
        let (flat, told) = self.flatness();
        write!(
            text,
            "\n{flat}\nDescriptors when all is over: {descriptors}, at first {}.",
            idle.descriptors
        )
        .unwrap();
        measured(&text);
        if let Some(path) = std::env::var_os("APERTURE_ENDURANCE_REPORT") {
            std::fs::write(path, &text).unwrap();
        }
        assert_eq!(self.books.differences(), 0, "{:#?}", self.books.told);
        assert!(told.is_empty(), "{told:?}");
        assert!(
            descriptors <= idle.descriptors + 1,
            "{descriptors} descriptors, at first {}",
            idle.descriptors
        );
        self.gateway.stop().await;
    }

    /// Whether memory, descriptors and threads of the first half are flat, and the database is as large as it was predicted.
    fn flatness(&self) -> (String, Vec<String>) {
        // The readings of the process that served the first half, the first of all apart.
        let half = &self.readings[1..=self.flat];
        let third = half.len() / 3;
        let (middle, last) = (&half[third..2 * third], &half[2 * third..]);
        let mean = |of: &[Reading], what: fn(&Reading) -> u64| {
            of.iter().map(what).sum::<u64>() / of.len() as u64
        };
        let memory = [middle, last].map(|part| mean(part, |it| it.memory));
        let descriptors = [middle, last].map(|part| mean(part, |it| it.descriptors as u64));
        let threads =
            [middle, last].map(|part| part.iter().map(|it| it.threads).max().unwrap_or(0));
        // As the first half went, so must the whole: bytes a request, of its last two thirds.
        let (from, to, end) = (
            half[third],
            half[half.len() - 1],
            self.readings[self.readings.len() - 1],
        );
        let each = to.disk.saturating_sub(from.disk) / (to.sent - from.sent).max(1);
        let predicted = to.disk + each * (end.sent - to.sent);

        let mut told = Vec::new();
        // A short run ends while the store's page cache fills and files grow in steps.
        let (filling, steps) = if soak() { (0, 0) } else { (16 << 10, 16 << 20) };
        if memory[1] > memory[0] + memory[0] / 10 + filling {
            told.push(format!("memory grows: {memory:?} KiB"));
        }
        if descriptors[1] > descriptors[0] + 16 {
            told.push(format!("descriptors grow: {descriptors:?}"));
        }
        if threads[1] > threads[0] + 2 {
            told.push(format!("threads grow: {threads:?}"));
        }
        if end.disk.abs_diff(predicted) > predicted / 4 + steps {
            told.push(format!(
                "the database has {} bytes, predicted were {predicted}",
                end.disk
            ));
        }
        let text = format!(
            "First half, one process, middle third and last: resident {} and {} MiB, descriptors {} and {}, threads at most {} and {}.\n\
             Database: {} bytes a request in the first half predict {:.1} MiB (size at half + requests to come × bytes a request, \
             tolerance 25 %); it has {:.1} MiB.",
            memory[0] >> 10,
            memory[1] >> 10,
            descriptors[0],
            descriptors[1],
            threads[0],
            threads[1],
            each,
            mebibytes(predicted),
            mebibytes(end.disk)
        );
        (text, told)
    }
}

#[expect(clippy::cast_precision_loss, reason = "figures for people")]
fn mebibytes(bytes: u64) -> f64 {
    bytes as f64 / f64::from(1 << 20)
}

/// The gateway on that state, for the user whose turn it is.
async fn gateway(
    believed: &Believed,
    dir: Arc<TempDir>,
    provider: &Provider,
    version: u64,
    starts: u64,
) -> Gateway {
    let user = USERS[usize::try_from(starts).unwrap() % USERS.len()];
    let options = Options {
        dir: Some(dir),
        arguments: vec!["--dev-user".into(), user.into()],
        ..believed.options()
    };
    Gateway::dev(&mix::document(&provider.url(), version), options).await
}
