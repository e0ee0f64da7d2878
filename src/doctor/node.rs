//! The node: its state, name, addresses, key, the control server, and the path to peers.
//!
//! Owns: what each of these means for the gateway. In: the node's own answers, and one question to the control server. Out:
//! findings, and the control server's clock. Must not know: how the node is reached.

use super::{Outcome, Report, ago, clock::Skew};
use crate::{
    app::{App, NodeFacts, Path},
    config::address,
    provider::client::{Network, Pieces},
    record::Timestamp,
    tailnet::{Concern, Details, EXPIRY_DAYS, Gravity, Notice},
};
use http::{Request, Uri, header};
use std::{net::IpAddr, time::Duration};

/// How long the control server, and a peer, may take to answer.
const CONTROL_LIMIT: Duration = Duration::from_secs(5);
const PING_LIMIT: Duration = Duration::from_secs(3);

/// How often a peer is pinged until there is a direct path, and the time between.
const PINGS: usize = 4;
const PING_PAUSE: Duration = Duration::from_millis(250);

/// Callers whose path is looked at.
const CALLERS: usize = 3;

/// Whose path is looked at.
#[derive(Clone, Copy)]
pub(super) enum Peers<'a> {
    None,
    /// Those who are connected.
    Callers,
    /// One, by name or address.
    Named(&'a str),
}

/// What was found.
pub(super) struct Looked {
    pub(super) report: Report,
    /// The control server's clock, where it answered.
    pub(super) control_clock: Option<Skew>,
}

pub(super) async fn look(app: &App, peers: Peers<'_>) -> Looked {
    let mut report = Report::new(true);
    let mut control_clock = None;
    let mut expiry = app.node.key_expiry();
    match app.node.facts().await {
        None => {
            let detail = "development listener: everybody is the same user";
            report.add("node.state", Outcome::Note, detail, "");
            if let Peers::Named(name) = peers {
                let detail = "there is no tailnet to reach it in";
                report.about("node.path", name, Outcome::Note, detail, "");
            }
        }
        Some(facts) => {
            state(app, &mut report);
            if app.node.is_serving() {
                own(app, &facts, &mut report);
            }
            let (answer, ()) = tokio::join!(ask_control(app, &facts.control_url), async {
                if app.node.is_serving() {
                    paths(app, peers, &mut report).await;
                }
            });
            expiry = facts.key_expiry().or(expiry);
            control_clock = answer.as_ref().ok().copied().flatten();
            control(app, &facts, answer, &mut report);
        }
    }
    key(expiry, &mut report);
    identity(app, &mut report);
    Looked {
        report,
        control_clock,
    }
}

/// Where it stands, in the words of the log; and a login that was asked for and waits.
fn state(app: &App, report: &mut Report) {
    let notices = app.node.notices();
    let pending = Concern::LoginPending.word();
    let standing = notices.iter().take(1);
    let waits = notices
        .iter()
        .skip(1)
        .filter(|notice| notice.word == pending);
    for notice in standing.chain(waits) {
        tell(notice, "node.state", report);
    }
}

fn tell(notice: &Notice, id: &'static str, report: &mut Report) {
    let outcome = match notice.gravity {
        Gravity::Good => Outcome::Good,
        Gravity::Warning => Outcome::Warning,
        Gravity::Failure => Outcome::Failure,
    };
    report.add(id, outcome, notice.what.clone(), notice.remedy.clone());
}

/// What is said of one concern, if there is reason to.
fn concern(app: &App, concern: Concern) -> Option<Notice> {
    let mut notices = app.node.notices().into_iter().skip(1);
    notices.find(|notice| notice.word == concern.word())
}

/// Name, addresses, and whether names can be looked up.
fn own(app: &App, facts: &NodeFacts, report: &mut Report) {
    let Some(status) = &facts.status else { return };
    let full = status
        .own
        .as_ref()
        .map_or("", |own| own.dns_name.trim_end_matches('.'));
    let short = full.split('.').next().unwrap_or_default();
    match concern(app, Concern::NameTaken) {
        Some(notice) => tell(&notice, "node.name", report),
        None => report.add(
            "node.name",
            Outcome::Good,
            format!("clients use http://{short} or http://{full}"),
            "",
        ),
    }
    match status.addresses.as_deref() {
        None | Some([]) => report.add(
            "node.addresses",
            Outcome::Failure,
            "none",
            "look at the log; log the node in again",
        ),
        Some(addresses) => {
            let told: Vec<_> = addresses.iter().map(ToString::to_string).collect();
            report.add("node.addresses", Outcome::Good, told.join(", "), "");
        }
    }
    if let Some(tailnet) = &status.current_tailnet {
        if tailnet.names_enabled {
            report.add(
                "node.dns",
                Outcome::Good,
                format!("MagicDNS is on for {}", tailnet.suffix),
                "",
            );
        } else {
            report.add(
                "node.dns",
                Outcome::Note,
                format!("MagicDNS is off: http://{short} may not be found"),
                format!("turn it on in the admin console, or let clients use the address (http://{full} where another DNS has it)"),
            );
        }
    }
}

fn key(expiry: Option<Timestamp>, report: &mut Report) {
    let Some(expiry) = expiry else {
        return;
    };
    let left = expiry.0.saturating_sub(Timestamp::now().0);
    let days = left / 86_400_000;
    if days < EXPIRY_DAYS {
        let details = Details {
            left: Details::left_of(left),
            ..Details::default()
        };
        tell(&Concern::KeyExpires.notice(&details), "node.key", report);
    } else {
        report.add(
            "node.key",
            Outcome::Good,
            format!("good for {days} days"),
            "",
        );
    }
}

/// Asks the control server for its public key, as the node itself does first.
async fn ask_control(app: &App, url: &str) -> Result<Option<Skew>, String> {
    let asked = async {
        let uri: Uri = format!("{}/key?v=100", url.trim_end_matches('/'))
            .parse()
            .map_err(|_| "its address can't be called".to_owned())?;
        let host = uri.host().unwrap_or_default().trim_matches(['[', ']']);
        let own = host == "localhost" || host.parse().is_ok_and(address::is_local);
        let network = if own { Network::OwnLink } else { Network::Host };
        let mut request = Request::new(Pieces::default());
        *request.uri_mut() = uri;
        let answer = app.client.send_over(network, None, request).await;
        let answer = answer.map_err(|error| error.to_string())?;
        let date = answer.headers().get(header::DATE);
        Ok(date.and_then(|date| Skew::of(date.to_str().ok()?)))
    };
    match tokio::time::timeout(CONTROL_LIMIT, asked).await {
        Ok(answer) => answer,
        Err(_) => Err(format!("no answer within {} s", CONTROL_LIMIT.as_secs())),
    }
}

fn control(app: &App, facts: &NodeFacts, asked: Result<Option<Skew>, String>, report: &mut Report) {
    let url = &facts.control_url;
    let heard = facts
        .status
        .as_ref()
        .and_then(|status| status.own.as_ref())
        .is_some_and(|own| own.online);
    let running = app.node.is_serving();
    let since = facts
        .unheard
        .map(|since| format!(" for about as long as since {since} ({})", ago(since)));
    let since = since.unwrap_or_default();
    let remedy = "may this host reach it (DNS, firewall, proxy)? Connections go on meanwhile; changes of the tailnet don't arrive";
    match (asked, heard || !running) {
        (Ok(_), true) => report.add("node.control", Outcome::Good, format!("{url} answers"), ""),
        (Ok(_), false) => report.add(
            "node.control",
            Outcome::Warning,
            format!("{url} answers, but sends the node no changes{since}"),
            "wait a minute; if it stays so, restart the gateway and look at the control server",
        ),
        (Err(why), _) => report.add(
            "node.control",
            Outcome::Failure,
            format!("{url} can't be reached{since}: {why}"),
            remedy,
        ),
    }
}

/// How peers are reached.
async fn paths(app: &App, peers: Peers<'_>, report: &mut Report) {
    let named = matches!(peers, Peers::Named(_));
    let wanted: Vec<(String, IpAddr)> = match peers {
        Peers::None => return,
        Peers::Callers => {
            let mut addresses = app.connections.addresses();
            addresses.sort_unstable();
            addresses.dedup();
            addresses
                .into_iter()
                .take(CALLERS)
                .map(|ip| (ip.to_string(), ip))
                .collect()
        }
        Peers::Named(name) => match app.node.peer(name).await {
            Ok(Some(ip)) => vec![(name.to_owned(), ip)],
            Ok(None) => {
                report.about(
                    "node.path",
                    name,
                    Outcome::Failure,
                    "the node knows no such peer",
                    "is that its name in the tailnet, and does the tailnet policy let it reach this node?",
                );
                return;
            }
            Err(why) => {
                report.about("node.path", name, Outcome::Failure, why, "ask again");
                return;
            }
        },
    };
    let pings = wanted
        .iter()
        .map(async |(name, ip)| (name, reach(app, *ip).await));
    for (name, answer) in futures_util::future::join_all(pings).await {
        path(name, named, answer, report);
    }
}

/// Pings a peer: the first answers come through a relay, until a direct path is found.
async fn reach(app: &App, ip: IpAddr) -> Result<Path, String> {
    let mut answer = app.node.ping(ip, PING_LIMIT).await;
    for _ in 1..PINGS {
        if !answer.as_ref().is_ok_and(Path::is_relayed) {
            break;
        }
        tokio::time::sleep(PING_PAUSE).await;
        answer = app.node.ping(ip, PING_LIMIT).await;
    }
    answer
}

fn path(name: &str, named: bool, answer: Result<Path, String>, report: &mut Report) {
    // A caller may be asleep by now; a peer that was asked for is expected to answer.
    let worse = |outcome| if named { outcome } else { Outcome::Note };
    match answer {
        Ok(path) if !path.is_relayed() => {
            report.about("node.path", name, Outcome::Good, format!("direct, {} ms, at {}", path.milliseconds(), path.endpoint), "");
        }
        Ok(path) => report.about(
            "node.path",
            name,
            worse(Outcome::Warning),
            format!("through the relay {}, {} ms", path.relay, path.milliseconds()),
            "it works, and is slower than a direct path: let UDP out of both networks, or give --udp-port and open it",
        ),
        Err(why) => report.about(
            "node.path",
            name,
            worse(Outcome::Failure),
            format!("no answer: {why}"),
            "is it switched on and in the tailnet, and does the policy let it reach this node?",
        ),
    }
}

fn identity(app: &App, report: &mut Report) {
    let counts = app.resolver.counts();
    let asked = counts.lookups.max(1);
    let detail = format!(
        "{} questions answered, {} from the cache, {} failed",
        counts.lookups, counts.hits, counts.failures
    );
    // One in a hundred, and more than a blip.
    if counts.failures > 5 && counts.failures * 100 > asked {
        report.add(
            "identity.answers",
            Outcome::Warning,
            detail,
            "the node does not say who callers are, and they are refused with 503: look at the log; is the host overloaded?",
        );
    } else {
        report.add("identity.answers", Outcome::Good, detail, "");
    }
}
