//! What a caller may do, and which grant says so.
//!
//! Owns: the lines about one caller and one model. In: a login, a model. Out: findings, by the function that decides requests.
//! Must not know: how it decides.

use super::{Outcome, Question, Report};
use crate::{
    app::App,
    config::Config,
    endpoint::{Dialect, Endpoint},
    identity::Caller,
    policy::{self, Denied},
};
use std::sync::Arc;

pub(super) async fn look(app: &App, config: &Config, question: &Question, report: &mut Report) {
    let caller = match question.user.as_deref() {
        Some(login) => caller_named(app, login, report).await,
        None => Arc::new(Caller::named("*")),
    };
    match policy::role(config, &caller) {
        Some((role, grant)) => report.about(
            "access.role",
            &caller.login,
            Outcome::Good,
            format!("{} by {grant}", role.as_str()),
            "",
        ),
        None => report.about(
            "access.role",
            &caller.login,
            Outcome::Failure,
            "none: every request is refused with 403",
            "grant a role, in the configuration or in the tailnet policy",
        ),
    }
    match question.model.as_deref() {
        Some(model) => routes(config, &caller, model, report),
        None => {
            for visible in policy::visible_models(config, &caller) {
                let name = format!("{}/{}", visible.provider.id, visible.model);
                report.about(
                    "access.model",
                    &name,
                    Outcome::Good,
                    format!("by {}", visible.grant),
                    "",
                );
            }
        }
    }
}

/// Where a request for the model goes by each format, and the lines that decide.
fn routes(config: &Config, caller: &Arc<Caller>, model: &str, report: &mut Report) {
    for endpoint in Dialect::ALL.map(Dialect::main_endpoint) {
        let path = endpoint.path();
        match policy::decide(config, caller, model, endpoint) {
            Ok(permit) => {
                let (provider, grant) = (&permit.provider().id, permit.grant());
                let detail = format!("goes to {provider} as {}, by {grant}", permit.model());
                report.about("access.route", path, Outcome::Good, detail, "");
            }
            Err(denied) => {
                let remedy = match &denied {
                    Denied::NoModel { nearest, .. } if !nearest.is_empty() => {
                        format!("did you mean {}?", nearest.join(" or "))
                    }
                    _ => String::new(),
                };
                report.about(
                    "access.route",
                    path,
                    Outcome::Note,
                    denied.to_string(),
                    remedy,
                );
            }
        }
    }
    let endpoint = Endpoint::ALL
        .into_iter()
        .find(|endpoint| policy::decide(config, caller, model, *endpoint).is_ok())
        .unwrap_or(Endpoint::OpenaiChat);
    for line in policy::explain(config, caller, model, endpoint) {
        report.about("access.grant", &line.place, Outcome::Note, line.why, "");
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
    report.about(
        "access.caller",
        login,
        Outcome::Note,
        "not connected now: groups and capabilities of the tailnet policy are not known, only the document's grants",
        "",
    );
    Arc::new(Caller::named(login))
}
