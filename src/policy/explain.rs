//! Why a decision came out as it did, for `doctor` and the access page.
//!
//! Owns: [`explain`]. In: what [`decide`] gets. Out: one line for each grant, each capability, each provider and the
//! decision, by the same comparisons that the decision makes.
//! Must not know: pages, terminals. Shows every grant, so it is for admins (and for a caller about itself in `doctor`).

use super::{
    authorize::{decide, models_grant, role_grant},
    held::{Held, covering, names},
    route::candidates,
};
use crate::{
    config::{
        Config,
        grant::{Capability, ModelGlob, Src},
    },
    endpoint::Endpoint,
    identity::Caller,
};
use std::sync::Arc;

/// One fact.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// Where it stands: a grant, a capability, a provider, or `decision`.
    pub place: String,
    /// Whether it speaks for the request.
    pub holds: bool,
    /// What is so, for people.
    pub why: String,
}

/// Explains what [`decide`] says to the same question.
pub fn explain(
    config: &Config,
    caller: &Arc<Caller>,
    model: &str,
    endpoint: Endpoint,
) -> Vec<Line> {
    let candidates = candidates(config, model);
    let pairs: Vec<(&str, &str)> = candidates
        .iter()
        .map(|candidate| (&*candidate.provider.id, &**candidate.model))
        .collect();

    let mut lines = Vec::new();
    for grant in &config.grants {
        let by = grant.src.iter().find(|src| names(src, caller));
        lines.push(Line {
            place: grant.origin.to_string(),
            holds: by.is_some(),
            why: match by {
                Some(src) => format!("names {} as {}", caller.login, src_text(src)),
                None => format!(
                    "names {}, not {}",
                    srcs_text(&grant.src),
                    caller_text(caller)
                ),
            },
        });
        if by.is_some() {
            lines.extend(grant.capabilities.iter().map(|it| capability(it, &pairs)));
        }
    }
    lines.extend(caller.capabilities.iter().map(|it| capability(it, &pairs)));

    let decision = decide(config, caller, model, endpoint);
    let held = Held::new(config, caller);
    for candidate in &candidates {
        let provider = candidate.provider;
        let chosen = decision.as_ref().is_ok_and(|permit| {
            permit.provider().id == provider.id && permit.model() == candidate.model
        });
        let why = if !candidate.serves(endpoint) {
            format!(
                "serves {}, but not over {}",
                candidate.model,
                endpoint.path()
            )
        } else if held.opening(&provider.id, candidate.model).is_none() {
            format!("serves {}, but no grant opens it", candidate.model)
        } else if chosen {
            format!("serves {}: chosen", candidate.model)
        } else {
            format!("serves {}, but another one comes first", candidate.model)
        };
        lines.push(Line {
            place: format!("providers.{}", provider.id),
            holds: chosen,
            why,
        });
    }
    for provider in config.providers.values().filter(|it| it.disabled) {
        if provider.models.iter().any(|name| **name == *model) {
            lines.push(Line {
                place: format!("providers.{}", provider.id),
                holds: false,
                why: format!("serves {model}, but is disabled"),
            });
        }
    }
    lines.push(Line {
        place: "decision".into(),
        holds: decision.is_ok(),
        why: match &decision {
            Ok(permit) => format!(
                "{} goes to {} by {}",
                permit.model(),
                permit.provider().id,
                permit.grant()
            ),
            Err(denied) => denied.to_string(),
        },
    });
    lines
}

/// Whom the document's grants open a model to, for people; the tailnet policy may open it to more.
pub fn open_to(config: &Config, provider: &str, model: &str) -> Vec<String> {
    let mut found: Vec<String> = Vec::new();
    for grant in &config.grants {
        let opens = |it: &Capability| covering(it, provider, model).is_some();
        if grant.capabilities.iter().any(opens) {
            for text in grant.src.iter().map(src_text) {
                if !found.contains(&text) {
                    found.push(text);
                }
            }
        }
    }
    found
}

/// What one capability that the caller holds does for the request.
fn capability(capability: &Capability, pairs: &[(&str, &str)]) -> Line {
    let opened = pairs.iter().find_map(|(provider, model)| {
        Some((provider, model, covering(capability, provider, model)?))
    });
    let mut gives = Vec::new();
    if let Some(role) = capability.role {
        gives.push(role_grant(capability, role));
    }
    if let Some((provider, model, glob)) = opened {
        gives.push(format!(
            "{} opens {provider}/{model}",
            models_grant(capability, glob)
        ));
    } else if !capability.models.is_empty() {
        let globs: Vec<_> = capability.models.iter().map(ModelGlob::as_str).collect();
        gives.push(format!("models {} do not cover it", globs.join(", ")));
    }
    if opened.is_some() || capability.models.is_empty() {
        if let Some(mode) = capability.capture {
            gives.push(format!("capture {mode:?}").to_lowercase());
        }
        if !capability.add_headers.is_empty() {
            gives.push(format!(
                "{} header lines added",
                capability.add_headers.len()
            ));
        }
    }
    if capability.read_metrics {
        gives.push("may read the metrics".into());
    }
    if capability.read_pricing {
        gives.push("may read prices".into());
    }
    Line {
        place: capability.origin.to_string(),
        holds: capability.role.is_some() || opened.is_some(),
        why: if gives.is_empty() {
            "gives nothing".into()
        } else {
            gives.join("; ")
        },
    }
}

fn caller_text(caller: &Caller) -> String {
    if caller.groups.is_empty() {
        caller.login.to_string()
    } else {
        format!("{} (groups {})", caller.login, caller.groups.join(", "))
    }
}

fn srcs_text(srcs: &[Src]) -> String {
    if srcs.is_empty() {
        return "nobody".into();
    }
    let texts: Vec<_> = srcs.iter().map(src_text).collect();
    texts.join(", ")
}

fn src_text(src: &Src) -> String {
    match src {
        Src::Everyone => "*".into(),
        Src::Login(login) => login.clone(),
        Src::Tags(tags) => tags.join(","),
        Src::Group(group) => group.clone(),
        Src::Loopback => "(loopback)".into(),
    }
}
