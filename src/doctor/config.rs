//! The document: whether it is in force, what is wrong with it, and who it lets in.
//!
//! Owns: the way from the validator's findings to checks. In: findings, as `aperture check` makes them, and the checked document.
//! Out: one finding for each. Must not know: whether a gateway runs (`look` reads from one, [`judge`] works without).

use super::{Outcome, Report};
use crate::{
    app::App,
    config::{Class, Config, Finding, redact},
};
use std::{
    os::unix::fs::{MetadataExt as _, PermissionsExt as _},
    path::Path,
};

/// The paths that clients send themselves, and a base therefore must not end with.
const ENDPOINTS: [&str; 4] = ["/chat/completions", "/messages", "/responses", "/models"];

/// Looks at the document of a running gateway.
pub(super) fn look(app: &App, config: &Config, report: &mut Report) {
    let (status, path) = (app.live.status(), app.live.path());
    if let Some(error) = &status.error {
        report.add(
            "config.file",
            Outcome::Failure,
            format!("the file on disk is not in force, the last good one is: {error}"),
            format!(
                "run `aperture check {}`; it is loaded as soon as it is sound",
                path.display()
            ),
        );
    } else {
        let (providers, grants) = (config.providers.len(), config.grants.len());
        report.add(
            "config.file",
            Outcome::Good,
            format!(
                "{} is in force: {providers} providers, {grants} grants",
                path.display()
            ),
            "",
        );
        // What is wrong with a document that is not in force is not wrong with the gateway.
        judge(config, &status.findings, path, report);
    }
    readable(path, report);
}

/// Says what is wrong with a document that is, or would be, in force.
pub(super) fn judge(config: &Config, findings: &[Finding], path: &Path, report: &mut Report) {
    let before = report.checks.len();
    let said_elsewhere = secrets(config, findings, report);
    bases(config, report);
    access(config, path, report);
    for finding in findings {
        if said_elsewhere.contains(&finding) || is_access(finding) {
            continue;
        }
        one(finding, report);
    }
    if report.checks.len() == before {
        report.add("config.mistakes", Outcome::Good, "none", "");
    }
}

/// One finding of the validator.
fn one(finding: &Finding, report: &mut Report) {
    let hint = finding.hint.as_deref().unwrap_or_default();
    let detail = format!("line {}: {}", finding.line, finding.message);
    let provider = finding
        .path
        .strip_prefix("providers.")
        .and_then(|rest| rest.strip_suffix(".baseurl"));
    match (finding.class, provider) {
        (Class::Broken | Class::Mistake, _) => {
            let remedy = match hint {
                "" => "correct it: until then that part of the document does nothing".to_owned(),
                hint => hint.to_owned(),
            };
            report.about(
                "config.mistakes",
                &finding.path,
                Outcome::Failure,
                detail,
                remedy,
            );
        }
        (Class::Advice, Some(provider)) => {
            report.about("provider.baseurl", provider, Outcome::Warning, detail, hint);
        }
        (Class::Advice, None) if finding.path == "providers" => {
            let remedy = "add one: deploy/aperture.example.hujson has them all, `aperture connect` the clients for it";
            report.add(
                "config.providers",
                Outcome::Warning,
                finding.message.clone(),
                remedy,
            );
        }
        (Class::Advice, None) => {
            report.about(
                "config.advice",
                &finding.path,
                Outcome::Warning,
                detail,
                hint,
            );
        }
    }
}

/// Keys that are not there. Returns the findings that say the same.
fn secrets<'a>(config: &Config, findings: &'a [Finding], report: &mut Report) -> Vec<&'a Finding> {
    let mut said = Vec::new();
    for provider in config
        .providers
        .values()
        .filter(|provider| !provider.disabled)
    {
        let Some(missing) = &provider.missing_secret else {
            continue;
        };
        let start = format!("provider {}: ", provider.id);
        let same: Vec<_> = findings
            .iter()
            .filter(|finding| {
                finding
                    .message
                    .strip_prefix(&start)
                    .is_some_and(|rest| rest == missing)
            })
            .collect();
        let own_mistake = findings.iter().any(|finding| {
            let about = |key: &str| finding.path.contains(&format!("{}.{key}", provider.id));
            finding.class == Class::Mistake && (about("authorization") || about("apikey"))
        });
        if own_mistake {
            continue;
        }
        report.about(
            "provider.secret",
            &provider.id,
            Outcome::Failure,
            format!("no credential: {missing}"),
            "set it where the gateway starts, then send SIGHUP or restart",
        );
        said.extend(same);
    }
    said
}

/// Addresses that double what clients send.
fn bases(config: &Config, report: &mut Report) {
    for provider in config
        .providers
        .values()
        .filter(|provider| !provider.disabled)
    {
        let path = provider.base.path().trim_end_matches('/');
        let versions = path.split('/').filter(|part| *part == "v1").count();
        let tail = ENDPOINTS.iter().find(|tail| path.ends_with(**tail));
        let detail = match tail {
            Some(tail) => format!(
                "baseurl ends with {tail}, which clients send themselves: the provider gets it twice"
            ),
            None if versions > 1 => "baseurl has /v1 twice".to_owned(),
            None => continue,
        };
        report.about(
            "provider.baseurl",
            &provider.id,
            Outcome::Warning,
            detail,
            "baseurl is the part in front of /v1, such as https://api.openai.com",
        );
    }
}

/// Who gets in, and who may change things.
fn access(config: &Config, path: &Path, report: &mut Report) {
    use crate::config::grant::Role;
    let gives = |wanted: &[Role]| {
        config.grants.iter().any(|grant| {
            let fits = |role: Role| wanted.contains(&role);
            !grant.src.is_empty()
                && grant
                    .capabilities
                    .iter()
                    .any(|capability| capability.role.is_some_and(fits))
        })
    };
    let file = path.display();
    if config.everyone_is_admin() {
        report.add(
            "access.everyone_admin",
            Outcome::Warning,
            "everybody is admin: anyone in the tailnet sees all requests and may change the document",
            format!("in {file}, grant the admin role to yourself, then make \"*\" a user"),
        );
    } else if !gives(&[Role::Admin, Role::User]) {
        report.add(
            "access.nobody",
            Outcome::Warning,
            "no grant of the document gives a role: everybody is refused, unless the tailnet policy grants one",
            format!("in {file}, add to temp_grants: {{\"src\": [\"*\"], \"grants\": [{{\"role\": \"user\"}}]}}"),
        );
    } else if !gives(&[Role::Admin]) {
        report.add(
            "access.locked_out",
            Outcome::Warning,
            "no grant of the document makes anybody admin: pages for admins are locked, unless the tailnet policy opens them",
            format!(
                "on this host, add to temp_grants in {file}: {{\"src\": [\"YOU@example.com\"], \"grants\": [{{\"role\": \"admin\"}}]}}; \
                 it is in force a second after it is saved"
            ),
        );
    }
}

/// Whether a finding of the validator is what `access` says.
fn is_access(finding: &Finding) -> bool {
    finding.path == "grants" && finding.class == Class::Advice
}

/// Whether others on this host can read keys that stand in the document.
pub(super) fn readable(path: &Path, report: &mut Report) {
    let Ok(text) = std::fs::read_to_string(path) else {
        return;
    };
    // What redacting changes is a secret.
    if redact(&text) == text || !others_can_read(path) {
        return;
    }
    report.add(
        "config.readable",
        Outcome::Warning,
        format!(
            "{} holds keys, and every user of this host can read it",
            path.display()
        ),
        format!(
            "chmod 600 {}, or keep keys elsewhere (env:NAME, file:NAME)",
            path.display()
        ),
    );
}

/// Whether a user who is neither owner nor in the group can open the file: all directories above it count.
fn others_can_read(path: &Path) -> bool {
    let Ok(path) = path.canonicalize() else {
        return false;
    };
    let mode = |path: &Path, bit| {
        std::fs::metadata(path).is_ok_and(|it| it.permissions().mode() & bit != 0)
    };
    mode(&path, 0o004) && path.ancestors().skip(1).all(|dir| mode(dir, 0o001))
}

/// The mode of a directory, and whose it is.
pub(super) fn private_directory(path: &Path, report: &mut Report) {
    let Ok(metadata) = std::fs::metadata(path) else {
        return;
    };
    let mode = metadata.permissions().mode() & 0o777;
    let (own, owner) = (rustix::process::geteuid().as_raw(), metadata.uid());
    if mode & 0o077 != 0 {
        report.add(
            "state.permissions",
            Outcome::Failure,
            format!(
                "{} has mode {mode:o}: others can reach the node's key and the records",
                path.display()
            ),
            format!("chmod 700 {}", path.display()),
        );
    } else if owner != own && own != 0 {
        report.add(
            "state.permissions",
            Outcome::Warning,
            format!("{} belongs to user {owner}, not to {own}", path.display()),
            "run doctor as the gateway's user, or give the directory to it",
        );
    } else {
        report.add(
            "state.permissions",
            Outcome::Good,
            format!("{} is its owner's alone", path.display()),
            "",
        );
    }
}
