//! The command line: what can be asked of the binary.
//!
//! Owns: the arguments, their environment twins and their help, from which man page, completions and docs/cli.md are
//! generated. In: the process's arguments. Out: a checked [`Cli`].
//! Must not know: what the commands do.

use crate::record::Timestamp;
use clap::{Args, CommandFactory as _, Parser, Subcommand, ValueEnum};
use std::{net::SocketAddr, path::PathBuf, time::Duration};

/// An AI gateway on your tailnet: every model, no API keys.
///
/// Without a subcommand the gateway runs: it joins the tailnet under --hostname and serves on its port 80 there.
#[derive(Clone, Debug, Parser)]
#[command(name = "aperture", version = crate::build::LINE, args_conflicts_with_subcommands = true, max_term_width = 100)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Option<Command>,
    /// Arguments of `run`, which may be left out.
    #[command(flatten)]
    pub run: RunArgs,
}

/// The subcommands.
#[derive(Clone, Debug, Subcommand)]
pub enum Command {
    /// Run the gateway (the default).
    Run(Box<RunArgs>),
    /// Validate a configuration: every mistake at once, with line, column, key path and a hint.
    ///
    /// Exits 0 when it is sound, 1 when it has mistakes.
    Check(CheckArgs),
    /// Look at everything that must work, and say what to do about what does not.
    ///
    /// Asks the running gateway; without one it looks at the files of its state directory. Changes nothing and tells no secret.
    /// Exits 0 when nothing has failed (there may be warnings), 1 when something has, 2 when it could not look.
    /// Every check is explained in docs/operations/troubleshooting.md.
    Doctor(DoctorArgs),
    /// Exit 0 when the running gateway serves (for exec probes).
    Health(HealthArgs),
    /// Print what was recorded, as JSON lines or CSV.
    Export(ExportArgs),
    /// Price stored requests again, by this build's price table and the current configuration.
    ///
    /// Shows the difference by provider and model; only --apply writes. Works while the gateway runs, and without it. Counters
    /// on /metrics only go up: they keep what they counted.
    Reprice(RepriceArgs),
    /// Write everything that was recorded into one archive, also while the gateway runs.
    ///
    /// The archive holds records, sessions, counters and bodies as they are at one moment. Without the configuration and the
    /// node's key, unless they are asked for: both are secrets, and two gateways with one node key disturb each other.
    Backup(BackupArgs),
    /// Put a backup back into a state directory that no gateway uses.
    ///
    /// All of it is checked before anything is touched; what is there is replaced only with --force, and kept.
    Restore(RestoreArgs),
    /// Take out what is kept of a person: texts, bodies, sessions, their name. Figures stay, under nobody's name.
    ///
    /// Shows what would go; only --yes does it. Works while the gateway runs, and without it. Exits 1 when nothing is kept of
    /// them.
    Erase(EraseArgs),
    /// Show how a client is pointed at a gateway, or do it.
    ///
    /// Asks the gateway what you may use, and fills it in; without a gateway it shows the general form. Works on any machine.
    Connect(ConnectArgs),
    /// Ask a few questions and write a first configuration; then say what to do next.
    ///
    /// Checks what can be checked: whether keys work, models exist, the document is sound. Every question has an argument; with
    /// --unattended nothing is asked. Answers may come through a pipe. Nothing is written before the end.
    Init(Box<InitArgs>),
    /// Print the versions of this build and of what is in it.
    Version {
        /// One JSON document instead of text.
        #[arg(long)]
        json: bool,
    },
    /// Print the JSON schema of the configuration.
    Schema,
    /// Print completions for a shell.
    Completions {
        /// The shell.
        shell: clap_complete::Shell,
    },
    /// Print the man page (roff).
    Man,
    /// Log the running gateway's node in, or in again: prints the address where somebody has to log it in.
    ///
    /// For a node whose key has expired or soon will, that was removed from the tailnet, or whose auth key is refused. Nothing
    /// is interrupted before somebody has logged in there.
    Login(LoginArgs),
    /// Write or check the generated references in docs/.
    #[command(hide = true)]
    Docs {
        /// Write them instead of printing what differs.
        #[arg(long)]
        write: bool,
    },
}

/// Where a gateway keeps its state.
#[derive(Args, Clone, Debug, Default)]
pub struct StateArgs {
    /// Directory of node key, database and configuration (default: $`STATE_DIRECTORY`, else $`XDG_STATE_HOME`/aperture).
    #[arg(long, env = "TS_STATE_DIR", value_name = "DIR")]
    pub state_dir: Option<PathBuf>,
}

/// Arguments of `health`.
#[derive(Args, Clone, Debug)]
pub struct HealthArgs {
    /// Where state is kept.
    #[command(flatten)]
    pub state: StateArgs,
    /// Exit 0 when it answers at all, also while it waits for a login or drains: for liveness probes.
    #[arg(long)]
    pub alive: bool,
}

/// Arguments of `login`.
#[derive(Args, Clone, Debug)]
pub struct LoginArgs {
    /// Where state is kept.
    #[command(flatten)]
    pub state: StateArgs,
}

/// Arguments of `run`.
#[derive(Args, Clone, Debug)]
pub struct RunArgs {
    /// The node's name on the tailnet: clients use <http://NAME>.
    #[arg(long, env = "TS_HOSTNAME", default_value = "ai", value_name = "NAME")]
    pub hostname: String,
    /// Where state is kept.
    #[command(flatten)]
    pub state: StateArgs,
    /// The configuration document (default: aperture.hujson in the state directory, written on the first start).
    #[arg(long, env = "APERTURE_CONFIG", value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Control server, for headscale and test tailnets (default: Tailscale's).
    #[arg(long, env = "TS_CONTROL_URL", value_name = "URL")]
    pub control_url: Option<String>,
    /// File that holds an auth key or an OAuth client secret (also: `TS_AUTHKEY`, as the key itself or as `file:PATH`).
    #[arg(long, value_name = "FILE")]
    pub auth_key_file: Option<PathBuf>,
    /// The key itself; only from the environment, since arguments are visible to other users.
    #[arg(long, env = "TS_AUTHKEY", hide = true, hide_env_values = true)]
    pub auth_key: Option<String>,
    /// Tags to ask for, separated by commas.
    #[arg(
        long,
        env = "TS_ADVERTISE_TAGS",
        value_delimiter = ',',
        value_name = "TAGS"
    )]
    pub advertise_tags: Vec<String>,
    /// Leave the tailnet when the process ends.
    #[arg(long)]
    pub ephemeral: bool,
    /// Port on the tailnet for models and pages.
    #[arg(long, env = "APERTURE_PORT", default_value_t = 80, value_name = "PORT")]
    pub port: u16,
    /// Serve https too, for clients that insist on it, with the node's own certificate.
    ///
    /// The tailnet must have HTTPS turned on (admin console, DNS). Clients call by the full name: <https://NAME.TAILNET.ts.net>.
    #[arg(long, env = "APERTURE_TLS")]
    pub tls: bool,
    /// Port on the tailnet for https, with --tls or --tls-cert.
    #[arg(
        long,
        env = "APERTURE_TLS_PORT",
        default_value_t = 443,
        value_name = "PORT"
    )]
    pub tls_port: u16,
    /// Serve https with this certificate instead of the node's own: its chain in PEM, read again when it changes and on SIGHUP.
    #[arg(
        long,
        env = "APERTURE_TLS_CERT",
        value_name = "FILE",
        requires = "tls_key"
    )]
    pub tls_cert: Option<PathBuf>,
    /// The private key of --tls-cert, in PEM.
    #[arg(
        long,
        env = "APERTURE_TLS_KEY",
        value_name = "FILE",
        requires = "tls_cert"
    )]
    pub tls_key: Option<PathBuf>,
    /// Port on the tailnet for Prometheus metrics; 0 turns it off.
    #[arg(
        long,
        env = "APERTURE_METRICS_PORT",
        default_value_t = 9090,
        value_name = "PORT"
    )]
    pub metrics_port: u16,
    /// Metrics on this address of the host too, for scraping inside a cluster: whoever reaches it may read them, so
    /// nothing there names a user.
    ///
    /// Off by default: nothing else of the gateway listens on the host.
    #[arg(long, env = "APERTURE_METRICS_LISTEN", value_name = "ADDR")]
    pub metrics_listen: Option<SocketAddr>,
    /// Keep the node's key in a Kubernetes Secret, `kube:SECRET`, and not in the state directory.
    #[arg(long, env = "APERTURE_NODE_STATE", value_parser = node_state, value_name = "STORE")]
    pub node_state: Option<String>,
    /// `WireGuard`'s UDP port (default: chosen once, then remembered).
    #[arg(long, env = "APERTURE_UDP_PORT", value_name = "PORT")]
    pub udp_port: Option<u16>,
    /// How long running requests may take to finish after SIGTERM.
    #[arg(long, env = "APERTURE_DRAIN_TIMEOUT", default_value = "30s", value_parser = duration, value_name = "TIME")]
    pub drain_timeout: Duration,
    /// Directory below which `file:` secrets are read (default: $`CREDENTIALS_DIRECTORY`).
    #[arg(long, env = "CREDENTIALS_DIRECTORY", value_name = "DIR")]
    pub secrets_dir: Option<PathBuf>,
    /// Permit providers on this host's own loopback and link-local addresses.
    #[arg(long, env = "APERTURE_ALLOW_LOCAL_UPSTREAMS")]
    pub allow_local_upstreams: bool,
    /// Serve on a loopback address instead of a tailnet, for development: everybody who connects is --dev-user.
    #[arg(long, value_name = "ADDR")]
    pub dev_listen: Option<SocketAddr>,
    /// Metrics on a loopback address, with --dev-listen.
    #[arg(long, value_name = "ADDR", requires = "dev_listen")]
    pub dev_metrics_listen: Option<SocketAddr>,
    /// Https on a loopback address, with --dev-listen and --tls-cert.
    #[arg(
        long,
        value_name = "ADDR",
        requires = "dev_listen",
        requires = "tls_cert"
    )]
    pub dev_tls_listen: Option<SocketAddr>,
    /// Whom --dev-listen takes every caller for.
    #[arg(
        long,
        default_value = "dev@example.com",
        value_name = "LOGIN",
        requires = "dev_listen"
    )]
    pub dev_user: String,
    /// Say more (-v: debug, -vv: also the node's own log).
    #[arg(short, long, action = clap::ArgAction::Count)]
    pub verbose: u8,
    /// How log lines look.
    #[arg(long, env = "APERTURE_LOG_FORMAT", value_enum, default_value_t = LogFormat::Text, value_name = "FORMAT")]
    pub log_format: LogFormat,
}

/// How log lines look.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

/// Arguments of `check`.
#[derive(Args, Clone, Debug)]
pub struct CheckArgs {
    /// The document (default: aperture.hujson in the state directory).
    pub file: Option<PathBuf>,
    /// Where state is kept.
    #[command(flatten)]
    pub state: StateArgs,
    /// Directory below which `file:` secrets are read.
    #[arg(long, env = "CREDENTIALS_DIRECTORY", value_name = "DIR")]
    pub secrets_dir: Option<PathBuf>,
    /// Permit providers on this host's own loopback and link-local addresses.
    #[arg(long, env = "APERTURE_ALLOW_LOCAL_UPSTREAMS")]
    pub allow_local_upstreams: bool,
}

/// Arguments of `doctor`.
#[derive(Args, Clone, Debug)]
pub struct DoctorArgs {
    /// Where state is kept.
    #[command(flatten)]
    pub state: StateArgs,
    /// Say what this login (or these tags, joined by commas) may do, and which grant says so.
    #[arg(long = "as", value_name = "USER")]
    pub user: Option<String>,
    /// Say so for this model.
    #[arg(long, value_name = "MODEL")]
    pub model: Option<String>,
    /// Say how this node of the tailnet is reached, directly or through a relay (default: a few of those who are connected).
    #[arg(long, value_name = "NODE", conflicts_with_all = ["user", "model"])]
    pub peer: Option<String>,
    /// The configuration document, when no gateway runs (default: aperture.hujson in the state directory).
    #[arg(long, env = "APERTURE_CONFIG", value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Directory below which `file:` secrets are read, when no gateway runs.
    #[arg(long, env = "CREDENTIALS_DIRECTORY", value_name = "DIR")]
    pub secrets_dir: Option<PathBuf>,
    /// Permit providers on this host's own addresses, when no gateway runs.
    #[arg(long, env = "APERTURE_ALLOW_LOCAL_UPSTREAMS")]
    pub allow_local_upstreams: bool,
    /// One JSON document instead of text.
    #[arg(long)]
    pub json: bool,
}

/// Arguments of `export`.
#[derive(Args, Clone, Debug)]
pub struct ExportArgs {
    /// What to print.
    #[arg(value_enum, default_value_t = ExportWhat::Records)]
    pub what: ExportWhat,
    /// Where state is kept.
    #[command(flatten)]
    pub state: StateArgs,
    /// How to print it.
    #[arg(long, value_enum, default_value_t = ExportFormat::Jsonl)]
    pub format: ExportFormat,
    /// From this time on (UTC: 2026-01-31, or 2026-01-31T08:00:00Z).
    #[arg(long, value_parser = time, value_name = "DATE")]
    pub from: Option<Timestamp>,
    /// Before this time.
    #[arg(long, value_parser = time, value_name = "DATE")]
    pub to: Option<Timestamp>,
    /// Only this login's.
    #[arg(long, value_name = "LOGIN")]
    pub user: Option<String>,
}

/// Arguments of `reprice`.
#[derive(Args, Clone, Debug)]
pub struct RepriceArgs {
    /// Where state is kept.
    #[command(flatten)]
    pub state: StateArgs,
    /// The configuration document, when no gateway runs (default: aperture.hujson in the state directory). A running gateway
    /// uses the one that is in force.
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Requests from this time on (UTC: 2026-01-31, or 2026-01-31T08:00:00Z).
    #[arg(long, value_parser = time, value_name = "DATE")]
    pub since: Option<Timestamp>,
    /// Requests before this time.
    #[arg(long, value_parser = time, value_name = "DATE")]
    pub until: Option<Timestamp>,
    /// Only this model's, as it is configured.
    #[arg(long, value_name = "MODEL")]
    pub model: Option<String>,
    /// Only this provider's, by its id.
    #[arg(long, value_name = "ID")]
    pub provider: Option<String>,
    /// Put the prices down, instead of only showing what would change.
    #[arg(long)]
    pub apply: bool,
    /// Print the difference as JSON, in pico-dollars.
    #[arg(long)]
    pub json: bool,
}

/// Arguments of `init`.
#[derive(Args, Clone, Debug, Default)]
pub struct InitArgs {
    /// A provider: anthropic, openai, gemini, openrouter, bedrock, vertex, or ID=URL for a model server of your own. May be given
    /// several times.
    #[arg(long, value_delimiter = ',', value_name = "KIND|ID=URL")]
    pub provider: Vec<String>,
    /// Where a provider's key is: `env:NAME`, or `file:NAME` below --secrets-dir; for vertex a key file, or adc. A key itself is only
    /// taken as an answer, since arguments are visible to other users.
    #[arg(long, value_name = "PROVIDER=WHERE")]
    pub key: Vec<String>,
    /// A provider's models, by the exact names that clients send.
    #[arg(long, value_name = "PROVIDER=MODEL,…")]
    pub models: Vec<String>,
    /// Another address for a provider, such as that of a proxy.
    #[arg(long, value_name = "PROVIDER=URL")]
    pub base_url: Vec<String>,
    /// Region, for bedrock and vertex.
    #[arg(long, value_name = "REGION")]
    pub region: Option<String>,
    /// Project, for vertex.
    #[arg(long, value_name = "PROJECT")]
    pub project: Option<String>,
    /// Login of an admin: you, first of all. May be given several times.
    #[arg(long, value_delimiter = ',', value_name = "LOGIN")]
    pub admin: Vec<String>,
    /// Who may use it: * (the default), or logins, group:NAME and tag:NAME, separated by commas.
    #[arg(long, value_name = "WHO")]
    pub users: Option<String>,
    /// Models that only --premium-users (and admins) may use, separated by commas.
    #[arg(long, value_name = "MODEL,…")]
    pub premium_models: Option<String>,
    /// Who may use --premium-models.
    #[arg(long, value_name = "WHO")]
    pub premium_users: Option<String>,
    /// Tags of machines that may use --ci-models.
    #[arg(long, value_name = "TAG,…")]
    pub ci: Option<String>,
    /// Models for --ci.
    #[arg(long, value_name = "MODEL,…")]
    pub ci_models: Option<String>,
    /// The gateway's name on the tailnet.
    #[arg(long, value_name = "NAME")]
    pub hostname: Option<String>,
    /// Where state is kept.
    #[command(flatten)]
    pub state: StateArgs,
    /// The document to write (default: aperture.hujson in the state directory).
    #[arg(long, env = "APERTURE_CONFIG", value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Directory below which `file:` secrets are read.
    #[arg(long, env = "CREDENTIALS_DIRECTORY", value_name = "DIR")]
    pub secrets_dir: Option<PathBuf>,
    /// Permit providers on this host's own loopback and link-local addresses.
    #[arg(long, env = "APERTURE_ALLOW_LOCAL_UPSTREAMS")]
    pub allow_local_upstreams: bool,
    /// Ask nothing: what no argument says takes its default, or is missing.
    #[arg(long)]
    pub unattended: bool,
    /// Ask no provider, and look for no key: for a document that another machine will use.
    #[arg(long)]
    pub no_check: bool,
    /// Replace a document that is there; it is kept as a backup beside.
    #[arg(long)]
    pub force: bool,
    /// Print the document instead of writing it.
    #[arg(long, conflicts_with = "force")]
    pub print: bool,
}

/// Arguments of `backup`.
#[derive(Args, Clone, Debug)]
pub struct BackupArgs {
    /// The archive to write, NAME.tar.zst; for a directory, one with the time in its name. Its file system needs room for an
    /// uncompressed copy, too.
    #[arg(value_name = "FILE|DIR")]
    pub to: PathBuf,
    /// Where state is kept.
    #[command(flatten)]
    pub state: StateArgs,
    /// Leave out the bodies of requests and responses.
    #[arg(long)]
    pub no_captures: bool,
    /// Put the configuration in, with the keys that are written in it.
    #[arg(long)]
    pub with_config: bool,
    /// The configuration document (default: the one that the running gateway uses, else aperture.hujson in the state
    /// directory).
    #[arg(long, value_name = "FILE", requires = "with_config")]
    pub config: Option<PathBuf>,
    /// Put the node's key in: for moving the gateway to another machine.
    #[arg(long)]
    pub with_node_state: bool,
}

/// Arguments of `restore`.
#[derive(Args, Clone, Debug)]
pub struct RestoreArgs {
    /// The archive.
    pub file: PathBuf,
    /// Where state is kept.
    #[command(flatten)]
    pub state: StateArgs,
    /// Replace what is there; it is kept in before-restore/.
    #[arg(long)]
    pub force: bool,
    /// Leave a configuration and a node key that are in the archive there.
    #[arg(long)]
    pub data_only: bool,
    /// Only check that the archive is whole, and say what is in it.
    #[arg(long, conflicts_with_all = ["force", "data_only"])]
    pub check: bool,
}

/// Arguments of `erase`.
#[derive(Args, Clone, Debug)]
pub struct EraseArgs {
    /// The person's login, or stable key (as `aperture export` shows it), or the tags of a node, joined by commas.
    #[arg(long, value_name = "USER")]
    pub user: String,
    /// Where state is kept.
    #[command(flatten)]
    pub state: StateArgs,
    /// Erase, instead of only showing what would go.
    #[arg(long)]
    pub yes: bool,
    /// One JSON document instead of text.
    #[arg(long)]
    pub json: bool,
}

/// Arguments of `connect`.
#[derive(Args, Clone, Debug)]
pub struct ConnectArgs {
    /// The client; without it, those that are known are listed.
    pub client: Option<String>,
    /// The gateway.
    #[arg(
        long,
        env = "APERTURE_GATEWAY",
        default_value = "http://ai",
        value_name = "URL"
    )]
    pub gateway: String,
    /// The way to set it up, where the client has several (default: the first that has a file, for --apply; else all).
    #[arg(long, requires = "client", value_name = "NAME")]
    pub setup: Option<String>,
    /// Print (the default).
    #[arg(long, conflicts_with = "apply")]
    pub print: bool,
    /// Merge it into the client's own file below $HOME: shows the difference, asks, and keeps what was there as
    /// FILE.aperture-backup. Keys and tokens that are there already stay.
    #[arg(long, requires = "client")]
    pub apply: bool,
    /// Do not ask.
    #[arg(long, requires = "apply")]
    pub yes: bool,
    /// One JSON document instead of text.
    #[arg(long, conflicts_with = "apply")]
    pub json: bool,
}

/// What `export` prints.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ExportWhat {
    /// One line for each request.
    Records,
    /// One line for each session.
    Sessions,
    /// One line for each hour and key of the counters.
    Usage,
}

/// How `export` prints.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ExportFormat {
    /// A JSON object a line.
    Jsonl,
    /// Comma-separated values with a head line.
    Csv,
}

/// A time such as `30s`, `5m`, `2h` or `30d`.
fn duration(text: &str) -> Result<Duration, String> {
    crate::config::duration(text)
        .ok_or_else(|| format!("{text:?} is no time: write 30s, 5m, 2h or 30d"))
}

/// `kube:SECRET`; the name is one that Kubernetes permits.
fn node_state(text: &str) -> Result<String, String> {
    let name = text.strip_prefix("kube:").unwrap_or_default();
    let permitted = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-' || c == '.';
    let ends = |c: char| c.is_ascii_alphanumeric();
    if name.len() <= 253
        && name.starts_with(ends)
        && name.ends_with(ends)
        && name.chars().all(permitted)
    {
        Ok(text.to_owned())
    } else {
        Err(format!(
            "{text:?} is no place for the node's key: write kube:SECRET with the name of a Secret"
        ))
    }
}

/// A day or a time, in UTC.
fn time(text: &str) -> Result<Timestamp, String> {
    Timestamp::parse(text)
        .ok_or_else(|| format!("{text:?} is no date: write 2026-01-31 or 2026-01-31T08:00:00Z"))
}

/// docs/cli.md.
pub fn render_markdown() -> String {
    use std::fmt::Write as _;
    let mut command = Cli::command();
    command.build();
    let mut text = String::from(
        "# Command line\n\nGenerated from the code (`aperture docs --write`). Times are written `30s`, `5m`, `2h`, `30d`.\n",
    );
    let mut pages = vec![command.clone()];
    pages.extend(
        command
            .get_subcommands()
            .filter(|sub| !sub.is_hide_set() && sub.get_name() != "help")
            .cloned(),
    );
    for mut page in pages {
        let name = page.get_bin_name().unwrap_or("aperture").to_owned();
        let help = page.render_long_help().to_string();
        let _ = write!(text, "\n## {name}\n\n```text\n{}\n```\n", help.trim_end());
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_arguments_are_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn run_is_the_default() {
        let cli = Cli::try_parse_from(["aperture", "--hostname", "models"]).unwrap();
        assert!(cli.command.is_none());
        assert_eq!(cli.run.hostname, "models");
        let cli = Cli::try_parse_from(["aperture", "run", "--port", "8080"]).unwrap();
        assert!(matches!(cli.command, Some(Command::Run(args)) if args.port == 8080));
    }

    #[test]
    fn the_node_s_key_has_one_other_place() {
        assert_eq!(node_state("kube:ai-node").unwrap(), "kube:ai-node");
        for wrong in [
            "kube:", "ai-node", "kube:-a", "kube:A", "kube:a/b", "mem:", "/tmp/x",
        ] {
            let told = node_state(wrong).unwrap_err();
            assert!(told.contains("write kube:SECRET"), "{wrong}: {told}");
        }
    }
}
