//! The certificate of the HTTPS port, when there is one.
//!
//! Owns: what each state of it means. In: the state. Out: findings. Must not know: where certificates come from.

use super::{Outcome, Report};
use crate::{app::App, record::Timestamp};

pub(super) fn look(app: &App, report: &mut Report) {
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
    report.add("https.certificate", outcome, detail, remedy);
    if !state.name.is_empty() {
        report.add(
            "https.certificate",
            Outcome::Note,
            format!(
                "clients call https://{}: no other name is in the certificate",
                state.name
            ),
            "",
        );
    }
}
