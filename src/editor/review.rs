//! What stands against a text.
//!
//! Owns: the one judgement that typing, validating and saving share. In: the text with placeholders, the stored one, the
//! author. Out: [`Review`], and the whole text with its secrets for the file. Must not know: files, history.

use crate::{
    config::{Class, Config, Finding, Live, Severity, Strictness, grant::Role, place_of, restore},
    identity::Caller,
    policy,
};
use std::collections::BTreeSet;

/// What stands against a text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Review {
    /// Everything, in the order of the text.
    pub problems: Vec<Problem>,
}

/// One thing that stands against a text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Of what kind it is.
    pub kind: Kind,
    /// Whether it refuses a save; otherwise it is advice, or an unknown key that the saved document has already.
    pub blocks: bool,
    /// Class, line, column, key path, message and hint.
    pub finding: Finding,
}

/// Of what kind a problem is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// What `aperture check` says of the document.
    Document,
    /// A placeholder or reference that is not where it was, or whose secret would go elsewhere: the secret is needed anew.
    Secret,
    /// The author would not be an admin any more.
    LockOut,
}

/// A review, and the text that it is about.
pub(super) struct Reviewed {
    pub(super) review: Review,
    /// With secrets; none when it can't be read.
    pub(super) whole: Option<String>,
}

/// Judges an edited text against the stored one. Blocks on secret files.
pub(super) fn review(live: &Live, edited: &str, stored: &str, author: &Caller) -> Reviewed {
    let Some(restored) = restore(edited, stored) else {
        let findings = live.check(edited).findings;
        let known = BTreeSet::new();
        let problems = findings
            .into_iter()
            .map(|finding| Problem::document(finding, &known))
            .collect();
        return Reviewed {
            review: Review::sorted(problems),
            whole: None,
        };
    };
    let checked = live.check(&restored.text);
    let known = unknown_keys(&live.check(stored).findings);
    // What is said of a placeholder that could not be replaced is said better by why.
    let missing: BTreeSet<&str> = restored
        .findings
        .iter()
        .map(|finding| finding.path.as_str())
        .collect();
    let mut problems: Vec<Problem> = checked
        .findings
        .iter()
        .filter(|finding| !missing.contains(finding.path.as_str()))
        .map(|finding| Problem::document(restored.placed(finding.clone()), &known))
        .collect();
    // A file may be written in steps; what is saved here is in force at once, and nobody could use anything.
    if checked
        .config
        .as_ref()
        .is_some_and(|config| config.providers.is_empty())
    {
        for problem in &mut problems {
            problem.blocks |= problem.finding.path == "providers";
        }
    }
    if let Some(config) = &checked.config
        && let Some(finding) = locks_out(live, config, author, &restored.text)
    {
        problems.push(Problem {
            kind: Kind::LockOut,
            blocks: true,
            finding: restored.placed(finding),
        });
    }
    problems.extend(restored.findings.iter().cloned().map(|finding| Problem {
        kind: Kind::Secret,
        blocks: true,
        finding,
    }));
    Reviewed {
        review: Review::sorted(problems),
        whole: checked.config.is_some().then_some(restored.text),
    }
}

/// The unknown keys that a document has.
fn unknown_keys(findings: &[Finding]) -> BTreeSet<String> {
    findings
        .iter()
        .filter(|finding| finding.unknown_key)
        .map(|finding| finding.path.clone())
        .collect()
}

/// Says it when the author would not be an admin under the new document, by the function that judges requests.
fn locks_out(live: &Live, config: &Config, author: &Caller, text: &str) -> Option<Finding> {
    let mut author = author.clone();
    let renamed = live.current().gateway.capability != config.gateway.capability;
    if renamed {
        // What the tailnet policy says under the new name is not known yet.
        author.capabilities.clear();
    }
    if matches!(policy::role(config, &author), Some((Role::Admin, _))) {
        return None;
    }
    let (line, column) = place_of(text, "grants");
    let login = &author.login;
    let hint = if renamed {
        format!(
            "add a grant with \"src\": [{login:?}] and {{ \"role\": \"admin\" }}; what the tailnet policy grants under the new gateway.capability can't be known before"
        )
    } else {
        format!(
            "keep a grant with \"src\": [{login:?}] and {{ \"role\": \"admin\" }}; whoever is to lock you out can do it, and the file on the gateway's host can always be edited"
        )
    };
    Some(Finding {
        class: Class::Broken,
        line,
        column,
        path: "grants".to_owned(),
        message: format!("{login} would not be an admin any more and could not change this again"),
        hint: Some(hint),
        unknown_key: false,
    })
}

// === impl Problem ===

impl Problem {
    fn document(finding: Finding, known: &BTreeSet<String>) -> Self {
        let carried = finding.unknown_key && known.contains(&finding.path);
        Self {
            kind: Kind::Document,
            blocks: finding.severity(Strictness::Save) == Severity::Error && !carried,
            finding,
        }
    }
}

// === impl Review ===

impl Review {
    /// Whether a save would be refused.
    pub fn blocked(&self) -> bool {
        self.problems.iter().any(|problem| problem.blocks)
    }

    /// Whether the author would lock themselves out.
    pub fn locks_out(&self) -> bool {
        self.problems
            .iter()
            .any(|problem| problem.kind == Kind::LockOut)
    }

    /// The secrets that are needed anew.
    pub fn secrets(&self) -> impl Iterator<Item = &Problem> {
        self.problems
            .iter()
            .filter(|problem| problem.kind == Kind::Secret)
    }

    /// The first reason for a refusal, and how many there are.
    pub(super) fn headline(&self) -> String {
        let mut blocking = self.problems.iter().filter(|problem| problem.blocks);
        let Some(first) = blocking.next() else {
            return String::new();
        };
        let Finding { line, message, .. } = &first.finding;
        match blocking.count() {
            0 => format!("line {line}: {message}"),
            more => format!("line {line}: {message} (and {more} more)"),
        }
    }

    /// What is said when the work was cut off.
    pub(super) fn cut_off() -> Self {
        let finding = Finding {
            class: Class::Broken,
            line: 1,
            column: 1,
            path: String::new(),
            message: "the gateway is stopping".to_owned(),
            hint: None,
            unknown_key: false,
        };
        Self {
            problems: vec![Problem {
                kind: Kind::Document,
                blocks: true,
                finding,
            }],
        }
    }

    fn sorted(mut problems: Vec<Problem>) -> Self {
        problems.sort_by_key(|problem| {
            let Finding {
                line,
                column,
                class,
                ..
            } = problem.finding;
            (line, column, class)
        });
        Self { problems }
    }
}
