//! The subcommands: from arguments to an exit code.
//!
//! Owns: what each command prints, and the one place where an error becomes an exit code. In: a [`Cli`]. Out: text and a
//! code: 0 good, 1 not, 2 wrong arguments (clap's).
//! Must not know: how answers are found.

use crate::{
    app,
    build::Facts,
    cli::{
        CheckArgs, Cli, Command, ConnectArgs, DoctorArgs, EraseArgs, ExportArgs, ExportFormat,
        ExportWhat, HealthArgs, InitArgs, LoginArgs, RepriceArgs, RunArgs,
    },
    config::{self, CheckOptions, Environment, Strictness, render_findings},
    connect,
    control::{ControlClient, ControlError},
    doctor, init, log, metrics, price, reprice, server,
    store::{
        ExportOptions, Format, OpenOptions, RepriceScope, SCHEMA_VERSION, Store, What,
        export as write_export,
    },
    tailnet::LIBRARY_VERSION,
    upkeep,
};
use anyhow::Context as _;
use clap::CommandFactory as _;
use std::{
    io::Write as _,
    path::{Path, PathBuf},
    process::ExitCode,
    sync::Arc,
    time::Duration,
};

/// How long the store may take to close after a command has used it.
const STORE_DEADLINE: Duration = Duration::from_secs(10);

/// How long a running gateway may take to say anything, and to look at itself: providers alone have 30 s.
const ANSWER_LIMIT: Duration = Duration::from_secs(3);
const DOCTOR_LIMIT: Duration = Duration::from_mins(1);

/// Runs a command.
pub async fn execute(cli: Cli) -> ExitCode {
    let outcome = match cli.command {
        None => run(cli.run).await,
        Some(Command::Run(args)) => run(*args).await,
        Some(Command::Check(args)) => check(&args),
        Some(Command::Doctor(args)) => return examine(&args).await,
        Some(Command::Health(args)) => health(&args).await,
        Some(Command::Login(args)) => log_in(&args).await,
        Some(Command::Export(args)) => export(&args).await,
        Some(Command::Reprice(args)) => price_again(&args).await,
        Some(Command::Backup(args)) => said(upkeep::backup(&args).await),
        Some(Command::Restore(args)) => said(upkeep::restore(&args).await),
        Some(Command::Erase(args)) => erase(&args).await,
        Some(Command::Connect(args)) => connect(&args).await,
        Some(Command::Init(args)) => initialise(*args).await,
        Some(Command::Version { json }) => version(json),
        Some(Command::Schema) => print(&format!("{:#}\n", config::json_schema())),
        Some(Command::Completions { shell }) => {
            let mut text = Vec::new();
            clap_complete::generate(shell, &mut Cli::command(), "aperture", &mut text);
            print(&String::from_utf8_lossy(&text))
        }
        Some(Command::Man) => man(),
        Some(Command::Docs { write }) => docs(write),
    };
    match outcome {
        Ok(code) => code,
        // Whoever reads our output has enough.
        Err(error) if is_broken_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => {
            complain(&format!("{error:#}"));
            ExitCode::FAILURE
        }
    }
}

async fn run(args: RunArgs) -> anyhow::Result<ExitCode> {
    let log = log::begin(args.verbose, args.log_format).context("starting the log")?;
    let ended = app::run(args, log.clone()).await;
    log.end();
    ended?;
    Ok(ExitCode::SUCCESS)
}

fn check(args: &CheckArgs) -> anyhow::Result<ExitCode> {
    let path = match &args.file {
        Some(file) => file.clone(),
        None => app::state_dir(args.state.state_dir.as_deref())?.join("aperture.hujson"),
    };
    let text =
        std::fs::read_to_string(&path).with_context(|| format!("reading {}", path.display()))?;
    let options = CheckOptions {
        allow_local_upstreams: args.allow_local_upstreams,
        secrets_dir: args.secrets_dir.clone(),
        environment: Environment::from_process(),
    };
    let findings = config::check(&text, &options).findings;
    if findings.is_empty() {
        print(&format!("{}: no mistakes\n", path.display()))?;
        return Ok(ExitCode::SUCCESS);
    }
    print(&render_findings(&path, &findings))?;
    Ok(code(!config::refused(&findings, Strictness::Save)))
}

async fn health(args: &HealthArgs) -> anyhow::Result<ExitCode> {
    let dir = app::state_dir(args.state.state_dir.as_deref())?;
    let (_, health): (_, app::Health) = ControlClient::new(&dir).json("/health", &[]).await?;
    print(&format!("{}\n", serde_json::to_string(&health)?))?;
    Ok(code(health.serving || args.alive))
}

async fn log_in(args: &LoginArgs) -> anyhow::Result<ExitCode> {
    let dir = app::state_dir(args.state.state_dir.as_deref())?;
    let address: Option<String> = ControlClient::new(&dir).post("/login", &[]).await?;
    match address {
        Some(address) => print(&format!("Log the node in at:\n\n    {address}\n")),
        None => print("The node has logged in with its auth key.\n"),
    }
}

async fn examine(args: &DoctorArgs) -> ExitCode {
    let looked = match look(args).await {
        Ok(report) => report,
        Err(error) => {
            complain(&format!("doctor could not look: {error:#}"));
            return ExitCode::from(2);
        }
    };
    let text = if args.json {
        serde_json::to_string_pretty(&looked).map(|text| format!("{text}\n"))
    } else {
        Ok(looked.to_string())
    };
    match text
        .map_err(anyhow::Error::from)
        .and_then(|text| print(&text))
    {
        Err(error) if !is_broken_pipe(&error) => ExitCode::from(2),
        _ => code(looked.healthy),
    }
}

/// Asks the running gateway, or looks at its files.
async fn look(args: &DoctorArgs) -> anyhow::Result<doctor::Report> {
    let dir = app::state_dir(args.state.state_dir.as_deref())?;
    let around = doctor::Surroundings {
        config: args.config.clone(),
        secrets_dir: args.secrets_dir.clone(),
        allow_local_upstreams: args.allow_local_upstreams,
    };
    let files = || format!("looking into {}", dir.display());
    let client = ControlClient::new(&dir);
    // Quick to answer: whoever does not answer this answers nothing.
    let health = client.json::<app::Health>("/health", &[]);
    let health = match tokio::time::timeout(ANSWER_LIMIT, health).await {
        Ok(Ok((_, health))) => health,
        Ok(Err(ControlError::NotRunning(_))) => {
            return doctor::without_gateway(&dir, &around).with_context(files);
        }
        Ok(Err(error)) => return Err(error.into()),
        Err(_) => {
            return doctor::silent(&dir, &around, ANSWER_LIMIT.as_secs()).with_context(files);
        }
    };
    let query: Vec<(&str, &str)> = [
        ("as", args.user.as_deref()),
        ("model", args.model.as_deref()),
        ("peer", args.peer.as_deref()),
    ]
    .into_iter()
    .filter_map(|(key, value)| Some((key, value?)))
    .collect();
    let report = client.json::<doctor::Report>("/doctor", &query);
    let (_, mut report) = tokio::time::timeout(DOCTOR_LIMIT, report)
        .await
        .with_context(|| format!("no report within {} s", DOCTOR_LIMIT.as_secs()))??;
    doctor::compare_versions(&mut report, &health.version);
    Ok(report)
}

async fn export(args: &ExportArgs) -> anyhow::Result<ExitCode> {
    let dir = app::state_dir(args.state.state_dir.as_deref())?;
    let options = ExportOptions {
        what: match args.what {
            ExportWhat::Records => What::Records,
            ExportWhat::Sessions => What::Sessions,
            ExportWhat::Usage => What::Usage,
        },
        format: match args.format {
            ExportFormat::Jsonl => Format::Jsonl,
            ExportFormat::Csv => Format::Csv,
        },
        from: args.from,
        to: args.to,
        user: args.user.clone(),
    };
    let mut out = std::io::stdout().lock();
    let text = serde_json::to_string(&options)?;
    match ControlClient::new(&dir)
        .copy("/export", &[("options", &text)], &mut out)
        .await
    {
        Ok(()) => {}
        // Nobody holds the files: read them here.
        Err(ControlError::NotRunning(_)) => {
            let _lock = app::StateDir::open(Some(&dir))?;
            let (store, writer, _) =
                Store::open(&dir, OpenOptions::default()).context("opening the store")?;
            write_export(&store, &options, &mut out)?;
            writer.close(STORE_DEADLINE).await;
        }
        Err(error) => return Err(error.into()),
    }
    out.flush()?;
    Ok(ExitCode::SUCCESS)
}

async fn price_again(args: &RepriceArgs) -> anyhow::Result<ExitCode> {
    let dir = app::state_dir(args.state.state_dir.as_deref())?;
    let options = reprice::Options {
        scope: RepriceScope {
            since: args.since,
            until: args.until,
            model: args.model.clone(),
            provider: args.provider.clone(),
        },
        apply: args.apply,
    };
    let text = serde_json::to_string(&options)?;
    let report = match ControlClient::new(&dir)
        .post::<reprice::Report>("/reprice", &[("options", &text)])
        .await
    {
        Ok(report) => report,
        // Nobody holds the files: open them here.
        Err(ControlError::NotRunning(_)) => {
            let _lock = app::StateDir::open(Some(&dir))?;
            let path = args
                .config
                .clone()
                .unwrap_or_else(|| dir.join("aperture.hujson"));
            let config = std::fs::read_to_string(&path)
                .with_context(|| format!("reading {}", path.display()))?;
            // Nothing is sent anywhere: a provider counts wherever it is.
            let anywhere = CheckOptions {
                allow_local_upstreams: true,
                environment: Environment::from_process(),
                ..CheckOptions::default()
            };
            let checked = config::check(&config, &anywhere);
            let config = checked
                .config
                .with_context(|| format!("{} can't be used: see aperture check", path.display()))?;
            let (store, writer, _) =
                Store::open(&dir, OpenOptions::default()).context("opening the store")?;
            let report = reprice::run(options, Arc::new(config), &store, &writer).await;
            writer.close(STORE_DEADLINE).await;
            report?
        }
        Err(error) => return Err(error.into()),
    };
    if args.json {
        print(&format!("{}\n", serde_json::to_string_pretty(&report)?))
    } else {
        print(&report.to_string())
    }
}

async fn erase(args: &EraseArgs) -> anyhow::Result<ExitCode> {
    let (text, found) = upkeep::erase(args).await?;
    print(&text)?;
    Ok(code(found))
}

fn said(text: anyhow::Result<String>) -> anyhow::Result<ExitCode> {
    print(&text?)
}

async fn initialise(args: InitArgs) -> anyhow::Result<ExitCode> {
    let path = match &args.config {
        Some(path) => path.clone(),
        None => app::state_dir(args.state.state_dir.as_deref())?.join("aperture.hujson"),
    };
    let echo = init::Echo::default();
    let (ours, handle) = (echo.clone(), tokio::runtime::Handle::current());
    // Waits for a person, and for providers.
    let asking = tokio::task::spawn_blocking(move || {
        let (mut input, mut out) = (std::io::stdin().lock(), std::io::stderr());
        let environment = Environment::from_process();
        init::run(
            &args,
            &path,
            &environment,
            &mut input,
            &mut out,
            &ours,
            &handle,
        )
    });
    let made = tokio::select! {
        made = asking => made.context("the questions ended")??,
        _ = tokio::signal::ctrl_c() => {
            echo.on();
            anyhow::bail!("interrupted: nothing was written");
        }
    };
    let text = match &made.path {
        Some(path) => format!("wrote {} (only you may read it)\n", path.display()),
        None => format!("{}\n", made.document),
    };
    print(&text)?;
    if let Some(backup) = &made.backup {
        print(&format!("what was there before: {}\n", backup.display()))?;
    }
    if made.path.is_some() {
        print(&format!("\n{}", made.next))?;
    }
    Ok(ExitCode::SUCCESS)
}

fn version(json: bool) -> anyhow::Result<ExitCode> {
    let facts = Facts::new(SCHEMA_VERSION, LIBRARY_VERSION, price::VERSION);
    if json {
        print(&format!("{}\n", serde_json::to_string_pretty(&facts)?))
    } else {
        print(&facts.to_string())
    }
}

async fn connect(args: &ConnectArgs) -> anyhow::Result<ExitCode> {
    let home = std::env::var_os("HOME").map(PathBuf::from);
    let mut out = std::io::stdout().lock();
    connect::run(args, home.as_deref(), &mut out).await?;
    out.flush()?;
    Ok(ExitCode::SUCCESS)
}

fn man() -> anyhow::Result<ExitCode> {
    let mut page = Vec::new();
    clap_mangen::Man::new(Cli::command()).render(&mut page)?;
    print(&String::from_utf8_lossy(&page))
}

/// Generated files and what they should hold.
pub fn generated() -> Vec<(&'static str, String)> {
    vec![
        ("docs/api.md", crate::api::render_markdown()),
        ("docs/clients.md", connect::render_markdown()),
        ("docs/cli.md", crate::cli::render_markdown()),
        ("docs/configuration.md", config::render_configuration_md()),
        ("docs/edits.md", crate::provider::render_edits_markdown()),
        ("docs/endpoints.md", server::render_endpoints_markdown()),
        ("docs/errors.md", crate::proxy::error::render_markdown()),
        ("docs/metrics.md", metrics::render_metrics_md()),
        ("deploy/aperture.example.hujson", config::render_example()),
    ]
}

fn docs(write: bool) -> anyhow::Result<ExitCode> {
    let mut differing = Vec::new();
    for (path, text) in generated() {
        if std::fs::read_to_string(path).is_ok_and(|old| old == text) {
            continue;
        }
        if write {
            if let Some(dir) = Path::new(path).parent() {
                std::fs::create_dir_all(dir)?;
            }
            std::fs::write(path, text).with_context(|| format!("writing {path}"))?;
        }
        differing.push(path);
    }
    if !write && !differing.is_empty() {
        anyhow::bail!(
            "not what the code says: {} (aperture docs --write mends that)",
            differing.join(", ")
        );
    }
    Ok(ExitCode::SUCCESS)
}

fn code(good: bool) -> ExitCode {
    if good {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

fn print(text: &str) -> anyhow::Result<ExitCode> {
    let mut out = std::io::stdout().lock();
    out.write_all(text.as_bytes())?;
    out.flush()?;
    Ok(ExitCode::SUCCESS)
}

/// Writes a line for the person at the terminal.
pub fn complain(text: &str) {
    let _ = writeln!(std::io::stderr(), "aperture: {text}");
}

fn is_broken_pipe(error: &anyhow::Error) -> bool {
    error
        .chain()
        .filter_map(|cause| cause.downcast_ref::<std::io::Error>())
        .any(|error| error.kind() == std::io::ErrorKind::BrokenPipe)
}
