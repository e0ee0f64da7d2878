//! Looks at everything that must work, and says what to do about what does not.
//!
//! Owns: the checks and their words. In: a running gateway (through the control socket), or only its state directory. Out:
//! a [`Report`]. Access is judged by the same function that decides requests.
//! Must not know: how the report is shown.

use crate::{
    app::App,
    config::{Class, Config, Provider},
    endpoint::{Dialect, Endpoint},
    identity::Caller,
    policy,
    provider::probe::{self, Answer},
    record::Timestamp,
    server::Kind,
};
use serde::{Deserialize, Serialize};
use std::{fmt, path::Path, sync::Arc};

/// Days before its expiry at which a key is complained of.
const EXPIRY_DAYS: u64 = 7;

/// A client's mistake that is no older is complained of.
const MISTAKE_SECONDS: u64 = 3600;

/// What was found.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Report {
    /// In the order in which they were looked at.
    pub checks: Vec<Check>,
}

/// One thing that was looked at.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Check {
    /// What, in a word or two.
    pub name: String,
    /// How it is.
    pub outcome: Outcome,
    /// What was seen.
    pub detail: String,
    /// What to do, unless it is good.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub remedy: String,
}

/// How a thing is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// As it should be.
    Good,
    /// Worth knowing; nothing is broken.
    Note,
    /// It will break, or part of it has.
    Warning,
    /// It does not work.
    Failure,
}

impl Report {
    /// Whether nothing needs to be done.
    pub fn is_healthy(&self) -> bool {
        self.checks
            .iter()
            .all(|check| matches!(check.outcome, Outcome::Good | Outcome::Note))
    }

    fn add(
        &mut self,
        name: impl Into<String>,
        outcome: Outcome,
        detail: impl Into<String>,
        remedy: &str,
    ) {
        self.checks.push(Check {
            name: name.into(),
            outcome,
            detail: detail.into(),
            remedy: remedy.to_owned(),
        });
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for check in &self.checks {
            let mark = match check.outcome {
                Outcome::Good => "ok  ",
                Outcome::Note => "    ",
                Outcome::Warning => "warn",
                Outcome::Failure => "FAIL",
            };
            writeln!(f, "{mark}  {}: {}", check.name, check.detail)?;
            if !check.remedy.is_empty() {
                writeln!(f, "      → {}", check.remedy)?;
            }
        }
        Ok(())
    }
}

/// What can be said when no gateway runs.
pub fn without_gateway(state_dir: &Path) -> Report {
    let mut report = Report::default();
    report.add(
        "gateway",
        Outcome::Failure,
        format!("none is running on {}", state_dir.display()),
        "start it, or name its --state-dir; `aperture check` looks at a configuration without it",
    );
    report
}

/// Looks at a running gateway.
pub async fn examine(app: &App, login: Option<&str>, model: Option<&str>) -> Report {
    let mut report = Report::default();
    let config = app.live.current();
    node(app, &mut report);
    document(app, &config, &mut report);
    store(app, &mut report);
    https(app, &mut report);
    mistakes(app, &mut report);
    if login.is_none() && model.is_none() {
        for provider in config.providers.values() {
            self::provider(app, provider, &mut report).await;
        }
    } else {
        access(app, &config, login, model, &mut report).await;
    }
    report
}

fn node(app: &App, report: &mut Report) {
    let word = app.node.state_word();
    let name = app.node.name();
    match word {
        "dev" => report.add(
            "node",
            Outcome::Note,
            "development listener: everybody is the same user",
            "",
        ),
        "running" => report.add("node", Outcome::Good, format!("running as {name}"), ""),
        "needs_login" => report.add(
            "node",
            Outcome::Failure,
            "not logged in",
            "open the address that the log shows, or restart with an auth key",
        ),
        "needs_approval" => report.add(
            "node",
            Outcome::Failure,
            "waiting for approval",
            "an admin of the tailnet has to approve the machine in the admin console",
        ),
        other => report.add(
            "node",
            Outcome::Failure,
            format!("state {other}"),
            "look at the log; is the control server reachable from this host?",
        ),
    }
    if let Some(expiry) = app.node.key_expiry() {
        let hours = expiry.0.saturating_sub(Timestamp::now().0) / 3_600_000;
        let (outcome, remedy) = if hours < EXPIRY_DAYS * 24 {
            (
                Outcome::Warning,
                "turn off key expiry for this machine in the admin console, or log in again",
            )
        } else {
            (Outcome::Good, "")
        };
        report.add(
            "node key",
            outcome,
            format!("expires in {} days", hours / 24),
            remedy,
        );
    }
    let identity = app.resolver.counts();
    let outcome = if identity.failures > 0 {
        Outcome::Note
    } else {
        Outcome::Good
    };
    report.add(
        "identity",
        outcome,
        format!(
            "{} questions answered, {} from the cache, {} failed",
            identity.lookups, identity.hits, identity.failures
        ),
        "",
    );
}

fn document(app: &App, config: &Config, report: &mut Report) {
    let status = app.live.status();
    match status.error {
        Some(error) => report.add(
            "configuration",
            Outcome::Failure,
            format!("the file on disk is refused, the last good one is in force: {error}"),
            "run `aperture check`",
        ),
        None => report.add(
            "configuration",
            Outcome::Good,
            format!(
                "{} providers, {} grants",
                config.providers.len(),
                config.grants.len()
            ),
            "",
        ),
    }
    for finding in status.findings.iter() {
        let hint = finding.hint.as_deref().unwrap_or_default();
        let outcome = match finding.class {
            Class::Broken | Class::Mistake => Outcome::Warning,
            Class::Advice => Outcome::Note,
        };
        report.add("configuration", outcome, finding.message.clone(), hint);
    }
    if config.everyone_is_admin() {
        report.add(
            "configuration",
            Outcome::Warning,
            "everybody is admin",
            "grant the admin role to yourself, then remove it from \"*\"",
        );
    }
}

fn store(app: &App, report: &mut Report) {
    let stats = app.writer.stats();
    if let Some(why) = &stats.degraded {
        report.add(
            "store",
            Outcome::Failure,
            why.clone(),
            "free space on the disk of the state directory; requests are still served and the newest records kept in memory",
        );
    } else {
        report.add(
            "store",
            Outcome::Good,
            format!(
                "{} bytes waiting, {} commits",
                stats.queue_bytes, stats.commits
            ),
            "",
        );
    }
    if stats.lost_records > 0 || stats.lost_bodies > 0 {
        report.add(
            "store",
            Outcome::Warning,
            format!(
                "lost {} records and {} bodies since the start",
                stats.lost_records, stats.lost_bodies
            ),
            "the disk was too slow or full; the records say so themselves",
        );
    }
    if app.recovered.interrupted > 0 {
        report.add(
            "store",
            Outcome::Note,
            format!(
                "{} requests were cut off by the last stop",
                app.recovered.interrupted
            ),
            "",
        );
    }
}

/// The certificate of the HTTPS port, when there is one.
fn https(app: &App, report: &mut Report) {
    let Some(tls) = &app.tls else { return };
    let now = Timestamp::now();
    let state = tls.state();
    let from = &state.source;
    let until = state.validity.map(|validity| validity.until);
    let days = until.map_or(0, |until| until.0.saturating_sub(now.0) / 86_400_000);
    let why = state.error.as_deref().unwrap_or_default();
    let (outcome, detail, remedy) = match state.word(now) {
        "ok" => (
            Outcome::Good,
            format!("certificate from {from}, good for {days} days"),
            "",
        ),
        "pending" => (
            Outcome::Warning,
            format!("no certificate yet from {from}"),
            "the node has to be running first; the first certificate takes up to a minute",
        ),
        "failing" => (
            Outcome::Warning,
            format!(
                "certificate from {from}, good for {days} days, but no newer one can be had: {why}"
            ),
            "it is tried again; correct what the words say before the certificate expires",
        ),
        "failed" => (
            Outcome::Failure,
            format!("no certificate from {from}: {why}"),
            "it is tried again; until then only http works",
        ),
        _ => (
            Outcome::Failure,
            format!(
                "the certificate from {from} expired at {}{}{why}",
                until.unwrap_or_default(),
                if why.is_empty() { "" } else { ": " }
            ),
            "clients refuse it: give a newer one, or use http",
        ),
    };
    report.add("https", outcome, detail, remedy);
    if !state.name.is_empty() {
        report.add(
            "https",
            Outcome::Note,
            format!(
                "clients call https://{}: no other name is in the certificate",
                state.name
            ),
            "",
        );
    }
}

/// Clients that speak another protocol than the port they call.
fn mistakes(app: &App, report: &mut Report) {
    for mistake in app.mistakes.all() {
        let ago = Timestamp::now().0.saturating_sub(mistake.last.0) / 1000;
        let outcome = if ago < MISTAKE_SECONDS {
            Outcome::Warning
        } else {
            Outcome::Note
        };
        let who = match (&*mistake.login, &*mistake.node_name) {
            ("", _) => "somebody whom the tailnet does not know".to_owned(),
            (login, "") => login.to_owned(),
            (login, node) => format!("{login} on {node}"),
        };
        let said = if mistake.words.is_empty() {
            String::new()
        } else {
            format!(" ({})", mistake.words)
        };
        let name = app.node.name();
        let (what, remedy) = match (mistake.kind, &app.tls) {
            (Kind::TlsOnHttp, None) => (
                "asked for https on the port for http",
                format!(
                    "set the client's address to http://{name}, or start the gateway with --tls"
                ),
            ),
            (Kind::TlsOnHttp, Some(_)) => (
                "asked for https on the port for http",
                format!(
                    "set the client's address to http://{name}, or to https:// without the port for http"
                ),
            ),
            (Kind::HttpOnTls, _) => (
                "spoke http on the port for https",
                format!(
                    "set the client's address to http://{name} without the port for https, or to https://"
                ),
            ),
            (Kind::Untrusted, _) => (
                "ended the handshake on the port for https",
                "does it trust the certificate, and call by a name that is in it?".to_owned(),
            ),
        };
        report.add(
            "client",
            outcome,
            format!(
                "{who} {what}{said}, {} times, last at {} ({ago} s ago)",
                mistake.count, mistake.last
            ),
            &remedy,
        );
    }
}

/// One cheap question to a provider: name, connection, TLS and credential in one go.
async fn provider(app: &App, provider: &Arc<Provider>, report: &mut Report) {
    let name = format!("provider {}", provider.id);
    if provider.disabled {
        report.add(name, Outcome::Note, "disabled", "");
        return;
    }
    if let Some(missing) = &provider.missing_secret {
        report.add(
            name,
            Outcome::Failure,
            format!("no credential: {missing}"),
            "set it where the gateway starts, then send SIGHUP or restart",
        );
        return;
    }
    let minted = if provider.cloud.is_some() {
        ", its credential can be had"
    } else {
        ""
    };
    let (outcome, detail, remedy) = match probe::probe(&app.client, &app.credentials, provider)
        .await
    {
        Answer::Unaskable => (
            Outcome::Failure,
            "its baseurl can't be called".to_owned(),
            "correct baseurl",
        ),
        Answer::NoCredential(why) => (
            Outcome::Failure,
            format!("its credential can't be had: {why}"),
            "correct authorization; a file, a profile or a metadata server is looked for where the gateway runs",
        ),
        Answer::Silent => (
            Outcome::Failure,
            format!("no answer within {} s", probe::LIMIT.as_secs()),
            "is the address right, and may this host reach it?",
        ),
        Answer::Unreachable(why) => (
            Outcome::Failure,
            why,
            "is the address right, and may this host (or, with tailnet: true, this node) reach it?",
        ),
        Answer::Said { status, .. } if probe::refuses(status) => (
            Outcome::Failure,
            format!(
                "reachable, but it refuses the credential ({})",
                status.as_u16()
            ),
            "correct authorization: is the key valid, and its type the one that this provider takes?",
        ),
        Answer::Said { status, .. } if status.is_server_error() => (
            Outcome::Warning,
            format!("reachable, but it answers {}", status.as_u16()),
            "the provider has a problem of its own",
        ),
        Answer::Said { status, .. } => (
            Outcome::Good,
            format!("answers ({}){minted}", status.as_u16()),
            "",
        ),
    };
    report.add(name, outcome, detail, remedy);
}

/// What a caller may do, and which grant says so.
async fn access(
    app: &App,
    config: &Config,
    login: Option<&str>,
    model: Option<&str>,
    report: &mut Report,
) {
    let caller = match login {
        Some(login) => caller_named(app, login, report).await,
        None => Arc::new(Caller::named("*")),
    };
    match policy::role(config, &caller) {
        Some((role, grant)) => report.add(
            "role",
            Outcome::Good,
            format!("{} by {grant}", role.as_str()),
            "",
        ),
        None => report.add(
            "role",
            Outcome::Failure,
            "none: every request is refused with 403",
            "grant a role, in the configuration or in the tailnet policy",
        ),
    }
    match model {
        Some(model) => {
            for endpoint in Dialect::ALL.map(Dialect::main_endpoint) {
                match policy::decide(config, &caller, model, endpoint) {
                    Ok(permit) => report.add(
                        endpoint.path(),
                        Outcome::Good,
                        format!(
                            "goes to {} as {}, by {}",
                            permit.provider().id,
                            permit.model(),
                            permit.grant()
                        ),
                        "",
                    ),
                    Err(denied) => {
                        report.add(endpoint.path(), Outcome::Note, denied.to_string(), "");
                    }
                }
            }
            let endpoint = Endpoint::ALL
                .into_iter()
                .find(|endpoint| policy::decide(config, &caller, model, *endpoint).is_ok())
                .unwrap_or(Endpoint::OpenaiChat);
            for line in policy::explain(config, &caller, model, endpoint) {
                report.add(line.place, Outcome::Note, line.why, "");
            }
        }
        None => {
            for visible in policy::visible_models(config, &caller) {
                report.add(
                    "model",
                    Outcome::Good,
                    format!(
                        "{}/{} by {}",
                        visible.provider.id, visible.model, visible.grant
                    ),
                    "",
                );
            }
        }
    }
}

/// The caller as a device of theirs is known now, or by name alone.
async fn caller_named(app: &App, login: &str, report: &mut Report) -> Arc<Caller> {
    for ip in app.connections.addresses() {
        if let Ok(caller) = app.resolver.resolve(ip, None).await
            && caller.login.as_ref() == login
        {
            return caller;
        }
    }
    report.add(
        "caller",
        Outcome::Note,
        format!("{login} is not connected now: groups and capabilities of the tailnet policy are not known, only the document's grants"),
        "",
    );
    Arc::new(Caller::named(login))
}
