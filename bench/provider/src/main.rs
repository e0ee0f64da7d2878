//! The scripted provider as a program: flags in, a ready line out, serve.

use std::io::Write;
use std::net::SocketAddr;
use std::path::PathBuf;

use anyhow::Context;
use clap::Parser;
use provider::{LogOptions, Options, Provider, Tls};
use tokio::io::AsyncReadExt;

/// A stand-in for model providers, on loopback.
#[derive(Debug, Parser)]
#[command(name = "scripted-provider", version)]
struct Arguments {
    /// Where to listen without encryption; port 0 takes a free one.
    #[arg(long, default_value = "127.0.0.1:0")]
    listen: SocketAddr,
    /// Where to listen with TLS.
    #[arg(long)]
    tls_listen: Option<SocketAddr>,
    /// The certificate chain for TLS; made on the spot if left out.
    #[arg(long, requires = "tls_key", requires = "tls_listen")]
    tls_cert: Option<PathBuf>,
    /// The private key for TLS.
    #[arg(long, requires = "tls_cert")]
    tls_key: Option<PathBuf>,
    /// A further name for the certificate that is made on the spot; may be repeated.
    #[arg(long)]
    tls_name: Vec<String>,
    /// Where to write the certificate that clients must trust.
    #[arg(long, requires = "tls_listen")]
    ca_out: Option<PathBuf>,
    /// The key that requests must bring.
    #[arg(long)]
    require_key: Option<String>,
    /// The public key (PEM) by which assertions for Google are checked.
    #[arg(long)]
    google_key: Option<PathBuf>,
    /// A model that the lists name; may be repeated.
    #[arg(long)]
    model: Vec<String>,
    /// A file for the log, one JSON line at the start and the end of each request.
    #[arg(long)]
    log: Option<PathBuf>,
    /// Log neither bodies nor their hashes, for benchmarks.
    #[arg(long)]
    light: bool,
    /// End when standard input ends.
    #[arg(long)]
    exit_with_stdin: bool,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    let mut provider = Provider::start(options(&arguments)?).await?;
    if let (Some(path), Some(pem)) = (&arguments.ca_out, provider.ca_pem()) {
        std::fs::write(path, pem).with_context(|| format!("can't write {}", path.display()))?;
    }
    let ready = serde_json::json!({
        "ready": true,
        "pid": std::process::id(),
        "url": provider.url(),
        "tls_url": provider.tls_addr().map(|address| format!("https://{address}")),
        "ca": arguments.ca_out,
    });
    let mut stdout = std::io::stdout().lock();
    writeln!(stdout, "{ready}")?;
    stdout.flush()?;
    drop(stdout);

    tokio::select! {
        signal = tokio::signal::ctrl_c() => signal?,
        () = stdin_ends(), if arguments.exit_with_stdin => {}
    }
    provider.shutdown().await;
    Ok(())
}

fn options(arguments: &Arguments) -> anyhow::Result<Options> {
    let read = |path: &PathBuf| {
        std::fs::read_to_string(path).with_context(|| format!("can't read {}", path.display()))
    };
    let tls = match (&arguments.tls_cert, &arguments.tls_key) {
        (Some(certificate), Some(key)) => Tls::Pem {
            certificate: read(certificate)?,
            key: read(key)?,
        },
        _ => Tls::SelfSigned {
            names: arguments.tls_name.clone(),
        },
    };
    let mut options = Options {
        listen: Some(arguments.listen),
        tls: arguments.tls_listen.map(|address| (address, tls)),
        key: arguments.require_key.clone(),
        google_key: arguments.google_key.as_ref().map(read).transpose()?,
        log: LogOptions {
            file: arguments.log.clone(),
            ..LogOptions::default()
        },
        ..Options::default()
    };
    if !arguments.model.is_empty() {
        options.models.clone_from(&arguments.model);
    }
    if arguments.light {
        options.log.body_bytes = 0;
        options.log.hashes = false;
        options.log.entries = 1;
    }
    Ok(options)
}

async fn stdin_ends() {
    let mut stdin = tokio::io::stdin();
    let mut ignored = [0; 256];
    // An error ends it as well: there is no input any more.
    while matches!(stdin.read(&mut ignored).await, Ok(count) if count > 0) {}
}
