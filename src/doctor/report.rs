//! What was found, and how it is told.
//!
//! Owns: [`Report`], its stable JSON shape, its text, and the table of [`CHECKS`]: each has an id that never changes and a section in
//! docs/operations/troubleshooting.md. In: findings. Out: JSON or text. Must not know: how things are looked at.

use serde::{Deserialize, Serialize};
use std::fmt;

/// The version of the JSON shape; fields may be added to it without another number.
const SHAPE: u32 = 1;

/// Where every check is explained.
pub const GUIDE: &str = "docs/operations/troubleshooting.md";

/// Every check: its id, and what it looks at.
pub const CHECKS: &[(&str, &str)] = &[
    ("gateway.running", "a gateway runs on the state directory"),
    ("gateway.socket", "the running gateway can be asked"),
    ("gateway.answers", "the running gateway answers"),
    (
        "gateway.version",
        "the running gateway is of the same version as the command; versions of its parts",
    ),
    (
        "state.permissions",
        "nobody else can read the state directory",
    ),
    (
        "state.lock",
        "no second gateway can start on the state directory",
    ),
    ("node.state", "the node is logged in, approved and running"),
    (
        "node.name",
        "the node has the name that it was started with",
    ),
    ("node.addresses", "the node has addresses in the tailnet"),
    ("node.dns", "names of the tailnet can be looked up"),
    ("node.key", "the node's key does not expire soon"),
    ("node.control", "the control server can be reached"),
    (
        "node.path",
        "peers are reached, directly or through a relay",
    ),
    ("identity.answers", "the node says who callers are"),
    ("identity.tags", "callers are told apart"),
    ("clock", "the host's clock is right"),
    ("config.file", "the document on disk is the one in force"),
    ("config.mistakes", "the document has no mistakes"),
    ("config.advice", "the document says what was probably meant"),
    ("config.providers", "there is a provider"),
    (
        "config.readable",
        "keys in the document are for its owner alone",
    ),
    ("access.everyone_admin", "not everybody is admin"),
    ("access.locked_out", "somebody is admin"),
    ("access.nobody", "somebody has a role"),
    (
        "access.caller",
        "what is known of the caller that was asked about",
    ),
    ("access.role", "the role of the caller that was asked about"),
    ("access.route", "where a request of that caller goes"),
    ("access.model", "the models of that caller"),
    ("access.grant", "the lines that decide"),
    ("provider.disabled", "the provider is in use"),
    ("provider.secret", "the provider's key is there"),
    (
        "provider.baseurl",
        "the provider's address is written as it should be",
    ),
    ("provider.dns", "the provider's name has an address"),
    ("provider.tcp", "the provider can be reached"),
    ("provider.tls", "the provider's certificate is good"),
    ("provider.http", "the provider answers"),
    ("provider.credential", "the provider takes the key"),
    (
        "provider.models",
        "the provider has the models that are configured",
    ),
    ("provider.failing", "requests to the provider succeed"),
    ("price.unpriced", "models in use have a price"),
    (
        "client.https_on_http",
        "no client asks for https on the port for http",
    ),
    (
        "client.http_on_https",
        "no client speaks http on the port for https",
    ),
    ("client.handshake", "clients trust the certificate"),
    ("client.origin", "no web page of another site calls"),
    (
        "client.host",
        "pages are asked for under a name of the gateway",
    ),
    ("client.key", "clients send no keys of their own"),
    ("client.model", "clients ask for models that exist"),
    (
        "client.format",
        "clients ask for models in a format that they are served in",
    ),
    ("client.denied", "whoever calls has a role"),
    ("streams.cut", "streams are not cut short"),
    (
        "https.certificate",
        "the certificate of the HTTPS port is good",
    ),
    ("store.writing", "records can be written"),
    ("store.lost", "no record was lost"),
    ("store.lag", "records are written at once"),
    (
        "store.size",
        "how large the files are, and how far back they go",
    ),
    ("store.retention", "what is too old is deleted"),
    ("store.captures", "captures stay below their limit"),
    ("store.recovered", "the last run ended in order"),
    ("store.disk", "there is room on the disk"),
    ("store.integrity", "the files are whole"),
    (
        "host.descriptors",
        "there are descriptors for many connections",
    ),
    ("host.memory", "there is memory left"),
];

/// What was found.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Report {
    /// The version of this shape.
    pub version: u32,
    /// Whether a running gateway was asked; otherwise its files were looked at.
    pub running: bool,
    /// Whether nothing has failed.
    pub healthy: bool,
    /// In the order in which they were looked at.
    pub checks: Vec<Check>,
}

/// One thing that was looked at.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Check {
    /// Which check: an id of [`CHECKS`].
    pub id: String,
    /// What it is about, where the check is about several things: a provider, a peer, a model.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub subject: String,
    /// How it is.
    pub outcome: Outcome,
    /// What was seen.
    pub detail: String,
    /// What to do, unless it is good.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub remedy: String,
    /// Where it is explained.
    pub docs: String,
}

/// How a thing is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
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

// === impl Report ===

impl Report {
    /// Without anything found.
    pub(super) const fn new(running: bool) -> Self {
        Self {
            version: SHAPE,
            running,
            healthy: true,
            checks: Vec::new(),
        }
    }

    /// Adds a finding about the gateway as a whole.
    pub(super) fn add(
        &mut self,
        id: &'static str,
        outcome: Outcome,
        detail: impl Into<String>,
        remedy: impl Into<String>,
    ) {
        self.about(id, "", outcome, detail, remedy);
    }

    /// Adds a finding about one of several things.
    pub(super) fn about(
        &mut self,
        id: &'static str,
        subject: &str,
        outcome: Outcome,
        detail: impl Into<String>,
        remedy: impl Into<String>,
    ) {
        debug_assert!(
            CHECKS.iter().any(|(known, _)| *known == id),
            "{id} is not in the table"
        );
        self.healthy &= outcome != Outcome::Failure;
        self.checks.push(Check {
            id: id.to_owned(),
            subject: plain(subject),
            outcome,
            detail: plain(&detail.into()),
            remedy: plain(&remedy.into()),
            docs: format!("{GUIDE}#{}", anchor(id)),
        });
    }

    /// Adds what another part found.
    pub(super) fn append(&mut self, other: Self) {
        self.healthy &= other.healthy;
        self.checks.extend(other.checks);
    }
}

/// How a heading that is an id is linked to.
pub fn anchor(id: &str) -> String {
    id.replace('.', "")
}

/// One line, without control characters: names come from clients and providers, and go to a terminal.
fn plain(text: &str) -> String {
    /// Longer than any sentence of ours.
    const LONGEST: usize = 1_000;
    let spaced = text.chars().map(|letter| match letter {
        '\n' | '\t' => ' ',
        letter => letter,
    });
    spaced
        .filter(|letter| !letter.is_control())
        .take(LONGEST)
        .collect()
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
            let space = if check.subject.is_empty() { "" } else { " " };
            let (id, subject) = (&check.id, &check.subject);
            writeln!(f, "{mark}  {id}{space}{subject}: {}", check.detail)?;
            if !check.remedy.is_empty() {
                writeln!(f, "      → {}", check.remedy)?;
            }
        }
        let count = |outcome| {
            let of = |check: &&Check| check.outcome == outcome;
            self.checks.iter().filter(of).count()
        };
        let words = |count: usize, word: &str| match count {
            1 => format!("1 {word}"),
            count => format!("{count} {word}s"),
        };
        let (failures, warnings) = (count(Outcome::Failure), count(Outcome::Warning));
        match failures + warnings {
            0 => writeln!(f, "\nNothing is wrong."),
            _ => writeln!(
                f,
                "\n{}, {}. Each is explained in {GUIDE}.",
                words(failures, "failure"),
                words(warnings, "warning")
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn ids_and_anchors_are_unique() {
        let ids: BTreeSet<_> = CHECKS.iter().map(|(id, _)| *id).collect();
        let anchors: BTreeSet<_> = CHECKS.iter().map(|(id, _)| anchor(id)).collect();
        assert_eq!((ids.len(), anchors.len()), (CHECKS.len(), CHECKS.len()));
    }

    #[test]
    fn the_guide_has_a_section_for_every_check_and_none_without_one() {
        let guide = std::fs::read_to_string(GUIDE).expect("tests run in the repository");
        let told: Vec<_> = guide
            .lines()
            .filter_map(|line| {
                line.strip_prefix("### ")?
                    .strip_prefix('`')?
                    .strip_suffix('`')
            })
            .collect();
        let known: Vec<_> = CHECKS.iter().map(|(id, _)| *id).collect();
        assert_eq!(
            told, known,
            "the sections of {GUIDE}, in the order of CHECKS"
        );
        for symptom in guide
            .split("\n## ")
            .filter(|part| part.starts_with("Symptom"))
        {
            let links = symptom.matches("](#").count();
            assert!(links > 0, "no check is named in:\n{symptom}");
        }
        for link in guide.split("](#").skip(1) {
            let target = link.split(')').next().unwrap_or_default();
            let exists = known.iter().any(|id| anchor(id) == target);
            assert!(exists, "{target} is no section");
        }
    }

    #[test]
    fn text_is_one_line_for_each_check_and_its_remedy() {
        let mut report = Report::new(true);
        report.add("clock", Outcome::Good, "right", "");
        report.about(
            "provider.tls",
            "p\u{1b}[31m",
            Outcome::Failure,
            "its certificate\nexpired",
            "renew it",
        );
        report.add("node.key", Outcome::Warning, "expires in 3 days", "log in");
        assert!(!report.healthy);
        let text = "ok    clock: right\nFAIL  provider.tls p[31m: its certificate expired\n      → renew it\n\
                    warn  node.key: expires in 3 days\n      → log in\n\n\
                    1 failure, 1 warning. Each is explained in docs/operations/troubleshooting.md.\n";
        assert_eq!(report.to_string(), text);
    }

    #[test]
    fn the_json_shape_is_stable() {
        let mut report = Report::new(false);
        report.about("provider.tls", "p", Outcome::Warning, "seen", "do");
        let json = serde_json::to_value(&report).unwrap();
        let wanted = serde_json::json!({
            "version": 1, "running": false, "healthy": true,
            "checks": [{
                "id": "provider.tls", "subject": "p", "outcome": "warning", "detail": "seen", "remedy": "do",
                "docs": "docs/operations/troubleshooting.md#providertls",
            }],
        });
        assert_eq!(json, wanted);
    }
}
