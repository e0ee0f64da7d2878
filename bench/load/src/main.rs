//! A load generator for gateways: a closed loop of one request over connections that are kept.
//!
//! In: an address, a request, how many connections, for how long. Out: one line of JSON (or a few for people) with
//! latencies, the time to the first byte, the gaps between the pieces of a body, and what the named processes used.
//! One thread, no HTTP library: it shares the machine with what it measures, so it must cost little.

mod histogram;
mod process;
mod report;
mod run;
mod wire;

use anyhow::{Context, bail};
use clap::Parser;
use process::Watched;
use run::{Limit, Plan};
use std::{io::Write, net::ToSocketAddrs, path::PathBuf, time::Duration};

/// Sends one request again and again, and measures.
#[derive(Debug, Parser)]
#[command(name = "load", version)]
struct Arguments {
    /// Where to send it: http://HOST:PORT/PATH.
    url: String,
    /// A file with the body; with one the method is POST.
    #[arg(long)]
    body: Option<PathBuf>,
    /// A text in the body that is a different hexadecimal number of the same length in each request.
    #[arg(long, value_name = "TEXT", requires = "body")]
    vary: Option<String>,
    /// A further line of the head; may be repeated.
    #[arg(long, value_name = "NAME: VALUE")]
    header: Vec<String>,
    /// Connections, each with one request under way.
    #[arg(short, long, default_value_t = 1)]
    connections: u16,
    /// End after that many requests.
    #[arg(short = 'n', long)]
    requests: Option<u64>,
    /// End after that many seconds.
    #[arg(short, long, default_value_t = 5.0)]
    seconds: f64,
    /// Requests on each connection before anything is measured.
    #[arg(long, default_value_t = 10)]
    warm_up: u32,
    /// A file that each response body must equal, byte for byte.
    #[arg(long)]
    expect: Option<PathBuf>,
    /// How long one request may take, in seconds.
    #[arg(long, default_value_t = 30.0)]
    timeout: f64,
    /// A process whose use is measured; may be repeated.
    #[arg(long, value_name = "NAME=PID", value_parser = Watched::parse)]
    process: Vec<Watched>,
    /// One line of JSON instead of text.
    #[arg(long)]
    json: bool,
}

fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    let plan = plan(&arguments)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let outcome = runtime.block_on(run::run(plan, &arguments.process))?;
    let text = if arguments.json {
        outcome.json().to_string()
    } else {
        outcome.to_string()
    };
    writeln!(std::io::stdout(), "{text}")?;
    if outcome.failed() > 0 {
        bail!("{} requests failed", outcome.failed());
    }
    Ok(())
}

fn plan(arguments: &Arguments) -> anyhow::Result<Plan> {
    let rest = arguments
        .url
        .strip_prefix("http://")
        .context("the address must begin with http://")?;
    let (authority, path) = match rest.find('/') {
        Some(slash) => rest.split_at(slash),
        None => (rest, "/"),
    };
    let target = authority
        .to_socket_addrs()
        .with_context(|| format!("{authority} is no host:port"))?
        .next()
        .with_context(|| format!("{authority} has no address"))?;
    let read = |path: &PathBuf| {
        std::fs::read(path).with_context(|| format!("can't read {}", path.display()))
    };
    let body = arguments.body.as_ref().map(read).transpose()?;
    let request = wire::request(authority, path, &arguments.header, body.as_deref());
    let varies = arguments
        .vary
        .as_ref()
        .map(|text| {
            find(&request, text.as_bytes()).with_context(|| format!("the body has no {text:?}"))
        })
        .transpose()?;
    Ok(Plan {
        target,
        request: request.into(),
        varies,
        expected: arguments
            .expect
            .as_ref()
            .map(read)
            .transpose()?
            .map(Into::into),
        connections: arguments.connections.max(1),
        warm_up: arguments.warm_up,
        limit: Limit {
            requests: arguments.requests.unwrap_or(u64::MAX),
            time: Duration::try_from_secs_f64(arguments.seconds)?,
        },
        timeout: Duration::try_from_secs_f64(arguments.timeout)?,
    })
}

/// Where the text stands last: in the body, if it is there.
fn find(request: &[u8], text: &[u8]) -> Option<std::ops::Range<usize>> {
    let last = request
        .windows(text.len().max(1))
        .rposition(|part| part == text)?;
    Some(last..last + text.len())
}
