//! Fills a state directory with traffic as it might have been: for the benchmarks of the pages, the demo and screenshots.
//!
//! Owns: the command and the order of writing. In: how many people, sessions, requests and days. Out: records (and
//! captures of the latest sessions) through the store's own writer, so that every index and counter is as the gateway
//! makes it. The same seed gives the same history. Everything in it is scripted; no model has said any of it.

mod people;
mod random;
mod session;
mod speech;

use anyhow::Context as _;
use aperture::{
    identity::{dev::DevWhoIs, resolve::Resolver},
    record::Timestamp,
    store::{OpenOptions, Store},
};
use clap::Parser;
use people::Person;
use random::Random;
use std::{net::Ipv4Addr, path::PathBuf, time::Duration};

/// Records between two waits for the disk: what the store's queue takes.
const BATCH: u64 = 4_000;

/// Fills a state directory with made-up traffic.
#[derive(Debug, Parser)]
#[command(version)]
struct Arguments {
    /// The state directory; must not be in use.
    #[arg(long)]
    state_dir: PathBuf,
    /// Requests, about.
    #[arg(long, default_value_t = 20_000)]
    requests: u64,
    /// Sessions.
    #[arg(long, default_value_t = 400)]
    sessions: u64,
    /// People, those with a name of their own included.
    #[arg(long, default_value_t = 24)]
    people: u64,
    /// Days, up to now.
    #[arg(long, default_value_t = 90)]
    days: u64,
    /// Sessions, the latest, whose texts are kept.
    #[arg(long, default_value_t = 40)]
    captured: u64,
    /// Somebody real, as `login` (the development listener's user) or `stable-key=login`; may be repeated.
    #[arg(long)]
    person: Vec<String>,
    /// Another seed, another history.
    #[arg(long, default_value_t = 7)]
    seed: u64,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    let mut random = Random::new(arguments.seed);
    let mut everybody = Vec::new();
    for named in &arguments.person {
        everybody.push(match named.split_once('=') {
            Some((key, login)) => Person::named(key, login),
            None => Person::named(&dev_key(named).await?, named),
        });
    }
    let left = arguments.people.saturating_sub(everybody.len() as u64);
    everybody.extend((0..left).map(|n| Person::made_up(n, &mut random)));

    let options = OpenOptions {
        prices: aperture::price::VERSION.to_owned(),
        ..OpenOptions::default()
    };
    let (_store, writer, _) =
        Store::open(&arguments.state_dir, options).context("opening the store")?;
    let now = Timestamp::now();
    let mut starts = session::starts(&arguments, &everybody, now, &mut random);
    starts.sort_by_key(|start| start.at);
    let keep_from = starts
        .len()
        .saturating_sub(usize::try_from(arguments.captured)?);
    let (mut made, mut waiting) = (0_u64, 0_u64);
    for (at, start) in starts.iter().enumerate() {
        let texts = at >= keep_from;
        let person = &everybody[start.person];
        for (record, capture) in session::play(start, person, texts, now, &mut random) {
            writer.finish(record, capture);
            made += 1;
            waiting += 1;
        }
        if waiting >= BATCH || texts {
            writer.flush().await.context("writing")?;
            waiting = 0;
        }
    }
    let stats = writer.close(Duration::from_mins(1)).await;
    anyhow::ensure!(
        stats.lost_records == 0,
        "{} records were lost",
        stats.lost_records
    );
    tracing_line(&format!(
        "{made} requests in {} sessions of {} people, {} bytes",
        starts.len(),
        everybody.len(),
        stats.main_file_bytes
    ));
    Ok(())
}

/// The one line that this program says.
#[expect(clippy::print_stdout, reason = "a program for people")]
fn tracing_line(text: &str) {
    println!("{text}");
}

/// The key that owns what the user of the development listener does.
async fn dev_key(login: &str) -> anyhow::Result<String> {
    let resolver = Resolver::new(DevWhoIs::new(login)?, Vec::new());
    let caller = resolver.resolve(Ipv4Addr::LOCALHOST.into(), None).await?;
    Ok(caller.user.to_string())
}
