//! Looks at everything that must work, and says what to do about what does not.
//!
//! Owns: the checks and their words, a file for each part of the gateway; `report` has the table of their ids and what is told.
//! In: a running gateway (through the control socket), or only its state directory. Out: a [`Report`]. Access is judged by the
//! same function that decides requests, providers by the same question as a page's live test of a key, the document by the same
//! validator as `aperture check`. Everything has a limit in time; nothing is changed; no secret is told.
//! Must not know: how the report is shown.

mod access;
mod clients;
mod clock;
mod config;
mod host;
mod https;
mod node;
mod offline;
mod provider;
mod report;
mod store;
mod traffic;
mod verdict;

pub use offline::{Surroundings, silent, without_gateway};
pub use report::{CHECKS, Check, GUIDE, Outcome, Report, anchor};

use crate::{app::App, record::Timestamp, tailnet::LIBRARY_VERSION};

/// What is asked beside the usual.
#[derive(Clone, Debug, Default)]
pub struct Question {
    /// What this login may do, and which grant says so.
    pub user: Option<String>,
    /// The same for this model.
    pub model: Option<String>,
    /// How this peer is reached.
    pub peer: Option<String>,
}

/// How far back requests are looked at, in milliseconds.
const LATELY: u64 = 3_600_000;

/// Looks at a running gateway.
pub async fn examine(app: &App, question: &Question) -> Report {
    let mut report = Report::new(true);
    let config = app.live.current();
    report.add(
        "gateway.running",
        Outcome::Good,
        format!("since {}", app.started),
        "",
    );
    versions(&mut report);
    let about_access = question.user.is_some() || question.model.is_some();
    let peers = if about_access {
        node::Peers::None
    } else {
        question
            .peer
            .as_deref()
            .map_or(node::Peers::Callers, node::Peers::Named)
    };
    // The slow parts wait for each other's answers, not for each other.
    let (node, providers, traffic) = tokio::join!(
        node::look(app, peers),
        async {
            if about_access {
                Vec::new()
            } else {
                provider::ask_all(app, &config).await
            }
        },
        traffic::read(app),
    );
    report.append(node.report);
    clock::look(app, node.control_clock, &providers, &mut report);
    config::look(app, &config, &mut report);
    host::look(app, &config, &mut report);
    store::look(app, &config, &mut report).await;
    https::look(app, &mut report);
    clients::look(app, &mut report);
    traffic::judge(&config, &traffic, &mut report);
    provider::judge(&config, &providers, &mut report);
    if about_access {
        access::look(app, &config, question, &mut report).await;
    }
    report
}

/// Adds that the command is of another version than the gateway that it asked.
pub fn compare_versions(report: &mut Report, gateway: &str) {
    if gateway != crate::VERSION {
        report.add(
            "gateway.version",
            Outcome::Warning,
            format!("the gateway is {gateway}, this command {}", crate::VERSION),
            "the program was replaced: restart the gateway",
        );
    }
}

/// What the build is made of.
fn versions(report: &mut Report) {
    let library = match LIBRARY_VERSION {
        "" => String::new(),
        version => format!(", tailscale {version}"),
    };
    report.add(
        "gateway.version",
        Outcome::Good,
        format!("aperture {}{library}", crate::VERSION),
        "",
    );
}

/// How long ago, in words for people.
fn ago(time: Timestamp) -> String {
    let seconds = Timestamp::now().0.saturating_sub(time.0) / 1000;
    match seconds {
        0..=119 => format!("{seconds} s ago"),
        120..=7_199 => format!("{} minutes ago", seconds / 60),
        7_200..=172_799 => format!("{} hours ago", seconds / 3600),
        _ => format!("{} days ago", seconds / 86_400),
    }
}

/// A size in words for people.
fn size(bytes: u64) -> String {
    match bytes {
        0..=1023 => format!("{bytes} bytes"),
        1024..=1_048_575 => format!("{} KiB", bytes >> 10),
        1_048_576..=1_073_741_823 => format!("{} MiB", bytes >> 20),
        _ => format!("{}.{} GiB", bytes >> 30, (bytes >> 20) % 1024 * 10 / 1024),
    }
}
