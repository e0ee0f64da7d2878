//! The load generator's command line: one request again and again, or the prepared requests of the formats.

use anyhow::{Context, bail};
use clap::Parser;
use load::{
    format::{self, Format},
    process::Watched,
    run::{self, Asked, Limit, Plan},
    wire,
};
use std::{
    io::Write,
    net::{SocketAddr, ToSocketAddrs},
    path::PathBuf,
    time::Duration,
};

/// Sends requests again and again, and measures.
#[derive(Debug, Parser)]
#[command(name = "load", version)]
struct Arguments {
    /// Where to send them: `http://HOST:PORT/PATH`; the path is the format's own with --format.
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
    /// The prepared request of a format instead; of several, in turn, when repeated.
    #[arg(long, value_name = "NAME", value_parser = named, conflicts_with_all = ["body", "header", "expect"])]
    format: Vec<&'static Format>,
    /// All formats in turn, whole and streamed, with failures and clients that leave.
    #[arg(long, requires = "expect_from", conflicts_with_all = ["body", "header", "expect", "format"])]
    mix: bool,
    /// Ask for streams.
    #[arg(long, requires = "format")]
    stream: bool,
    /// The scripted provider: each answer must equal the one that it gives itself, byte for byte.
    #[arg(long, value_name = "URL", conflicts_with = "body")]
    expect_from: Option<String>,
    /// Print what gateway and provider (at the address) must be told for --format, as JSON, and do nothing.
    #[arg(long)]
    setup: bool,
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
    /// The first of the numbers, so that runs after another do not repeat each other's.
    #[arg(long, default_value_t = 0)]
    first: u64,
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
    if arguments.setup {
        let setup = serde_json::json!({
            "config": format::config(&arguments.url, "full"),
            "scripts": format::scripts(format::PIECES),
            "formats": format::FORMATS.map(|format| {
                serde_json::json!({"name": format.name, "whole": format.asked("x", false).is_some()})
            }),
        });
        writeln!(std::io::stdout(), "{setup}")?;
        return Ok(());
    }
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let outcome = runtime.block_on(async {
        let plan = plan(&arguments).await?;
        run::run(plan, &arguments.process).await
    })?;
    let text = if arguments.json {
        outcome.json().to_string()
    } else {
        outcome.to_string()
    };
    writeln!(std::io::stdout(), "{text}")?;
    if outcome.failed() > 0 {
        bail!(
            "{} requests failed: {:?}",
            outcome.failed(),
            outcome.measured.failures
        );
    }
    Ok(())
}

fn named(name: &str) -> Result<&'static Format, String> {
    Format::named(name).ok_or_else(|| {
        let known: Vec<_> = format::FORMATS.iter().map(|format| format.name).collect();
        format!("one of {}", known.join(", "))
    })
}

/// `http://HOST:PORT/PATH` → what stands in the head, the path, the address.
fn place(url: &str) -> anyhow::Result<(&str, &str, SocketAddr)> {
    let rest = url
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
    Ok((authority, path, target))
}

async fn plan(arguments: &Arguments) -> anyhow::Result<Plan> {
    let (authority, path, target) = place(&arguments.url)?;
    let requests = if let (true, Some(url)) = (arguments.mix, &arguments.expect_from) {
        let (_, _, provider) = place(url)?;
        format::mixed(authority, provider).await?
    } else if arguments.format.is_empty() {
        vec![single(arguments, authority, path)?]
    } else {
        of_formats(arguments, authority).await?
    };
    Ok(Plan {
        target,
        requests,
        connections: arguments.connections.max(1),
        warm_up: arguments.warm_up,
        limit: Limit {
            requests: arguments.requests.unwrap_or(u64::MAX),
            time: Duration::try_from_secs_f64(arguments.seconds)?,
        },
        timeout: Duration::try_from_secs_f64(arguments.timeout)?,
        first: arguments.first,
    })
}

/// The request that the arguments describe.
fn single(arguments: &Arguments, authority: &str, path: &str) -> anyhow::Result<Asked> {
    let read = |path: &PathBuf| {
        std::fs::read(path).with_context(|| format!("can't read {}", path.display()))
    };
    let body = arguments.body.as_ref().map(read).transpose()?;
    let request = wire::request(authority, path, &arguments.header, body.as_deref());
    let mut asked = Asked::new(request);
    if let Some(text) = &arguments.vary {
        asked = asked.varied(text);
        anyhow::ensure!(asked.varies.is_some(), "the body has no {text:?}");
    }
    let expected = arguments.expect.as_ref().map(read).transpose()?;
    asked.expected = expected.map(Into::into);
    Ok(asked)
}

/// The requests of the formats that were named.
async fn of_formats(arguments: &Arguments, authority: &str) -> anyhow::Result<Vec<Asked>> {
    let mut requests = Vec::new();
    for format in &arguments.format {
        let mut asked = format
            .asked(authority, arguments.stream)
            .with_context(|| format!("{} has streams only: --stream", format.name))?;
        if let Some(url) = &arguments.expect_from {
            let (authority, _, provider) = place(url)?;
            asked.expected = format
                .expected(provider, authority, arguments.stream)
                .await?
                .map(Into::into);
        }
        requests.push(asked);
    }
    Ok(requests)
}
