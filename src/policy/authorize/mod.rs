//! Who may do what.
//!
//! Owns: [`decide`], the only maker of a [`Permit`], and its kin: the role, the metrics, the visible models.
//! In: the configuration, a caller, a model's name, an endpoint. Out: a permit that names its grant, or why not. Pure.
//! Must not know: requests, errors' statuses, pages.

use super::{
    Denied, Permit,
    held::Held,
    nearest::nearest,
    route::{Candidate, candidates},
};
use crate::{
    config::{
        Config, Provider,
        grant::{Capability, ModelGlob, Role},
    },
    endpoint::{Dialect, Endpoint},
    identity::Caller,
};
use std::{cmp::Reverse, sync::Arc};

/// Bytes of an unknown model's name that are repeated.
const NAME_TOLD: usize = 256;

/// Decides whether the caller may send this request, and where it goes.
///
/// A model that is not granted is answered exactly as one that does not exist.
pub fn decide(
    config: &Config,
    caller: &Arc<Caller>,
    model: &str,
    endpoint: Endpoint,
) -> Result<Permit, Denied> {
    let held = Held::new(config, caller);
    let (role, _) = held.role().ok_or(Denied::NoRole)?;
    let candidates = candidates(config, model);
    let chosen = candidates
        .iter()
        .filter(|candidate| candidate.serves(endpoint))
        .find_map(|candidate| Some((candidate, opening(&held, candidate)?)));
    let Some((candidate, grant)) = chosen else {
        return Err(refusal(config, &held, &candidates, model, endpoint));
    };
    Ok(permit(
        config, caller, &held, *candidate, endpoint, role, grant,
    ))
}

/// The providers at which the caller may store things over that route, best first: those that have it and of which a grant
/// opens some model. The permits name the first such model.
pub fn stores(
    config: &Config,
    caller: &Arc<Caller>,
    endpoint: Endpoint,
) -> Result<Vec<Permit>, Denied> {
    let held = Held::new(config, caller);
    let (role, _) = held.role().ok_or(Denied::NoRole)?;
    let mut permits: Vec<Permit> = Vec::new();
    for (candidate, grant) in open(config, &held) {
        let known = permits
            .iter()
            .any(|permit| permit.provider.id == candidate.provider.id);
        if !known && candidate.serves(endpoint) {
            permits.push(permit(
                config, caller, &held, candidate, endpoint, role, grant,
            ));
        }
    }
    permits.sort_by_key(|permit| Reverse(permit.provider.preference));
    Ok(permits)
}

/// The one place where a permit is made.
fn permit(
    config: &Config,
    caller: &Arc<Caller>,
    held: &Held<'_>,
    candidate: Candidate<'_>,
    endpoint: Endpoint,
    role: Role,
    grant: String,
) -> Permit {
    let Candidate {
        provider,
        model,
        prefixed,
    } = candidate;
    let mut capture = config.gateway.capture.mode.max(provider.capture);
    let mut add_headers = Vec::new();
    for capability in held.settings(&provider.id, model) {
        capture = capture.max(capability.capture.unwrap_or_default());
        add_headers.extend(capability.add_headers.iter().cloned());
    }
    Permit {
        caller: caller.clone(),
        provider: provider.clone(),
        model: model.clone(),
        prefixed,
        endpoint,
        role,
        grant,
        capture,
        add_headers,
    }
}

/// The caller's role, and the grant that gives it.
pub fn role(config: &Config, caller: &Caller) -> Option<(Role, String)> {
    let (role, capability) = Held::new(config, caller).role()?;
    Some((role, role_grant(capability, role)))
}

/// Whether the caller may read the metrics: by a grant alone, or as an admin.
pub fn may_read_metrics(config: &Config, caller: &Caller) -> bool {
    let held = Held::new(config, caller);
    held.reads_metrics() || held.role().is_some_and(|(role, _)| role == Role::Admin)
}

/// Whether the caller may read prices: by a grant, or as an admin.
pub fn may_read_pricing(config: &Config, caller: &Caller) -> bool {
    let held = Held::new(config, caller);
    held.reads_pricing() || held.role().is_some_and(|(role, _)| role == Role::Admin)
}

/// A model that the caller may use.
#[derive(Clone, Debug)]
pub struct VisibleModel {
    /// Who serves it.
    pub provider: Arc<Provider>,
    /// Its name there.
    pub model: Arc<str>,
    /// How it may be spoken to; never empty.
    pub dialects: Vec<Dialect>,
    /// The grant that opens it.
    pub grant: String,
}

/// The models that the caller may use, by provider id, in the order of the document.
pub fn visible_models(config: &Config, caller: &Caller) -> Vec<VisibleModel> {
    let held = Held::new(config, caller);
    if held.role().is_none() {
        return Vec::new();
    }
    open(config, &held)
        .map(|(candidate, grant)| VisibleModel {
            provider: candidate.provider.clone(),
            model: candidate.model.clone(),
            dialects: candidate.provider.dialects.clone(),
            grant,
        })
        .collect()
}

/// Every model of every provider that could be asked for, and the grant that opens it.
fn open<'a>(
    config: &'a Config,
    held: &'a Held<'a>,
) -> impl Iterator<Item = (Candidate<'a>, String)> {
    config
        .providers
        .values()
        .filter(|provider| !provider.disabled && !provider.dialects.is_empty())
        .flat_map(|provider| {
            provider.models.iter().map(move |model| Candidate {
                provider,
                model,
                prefixed: false,
            })
        })
        .filter_map(|candidate| Some((candidate, opening(held, &candidate)?)))
}

/// The grant that opens the candidate, as `where it stands: what it says`.
fn opening(held: &Held<'_>, candidate: &Candidate<'_>) -> Option<String> {
    let (capability, glob) = held.opening(&candidate.provider.id, candidate.model)?;
    Some(models_grant(capability, glob))
}

pub(super) fn models_grant(capability: &Capability, glob: &ModelGlob) -> String {
    format!("{}: models {}", capability.origin, glob.as_str())
}

pub(super) fn role_grant(capability: &Capability, role: Role) -> String {
    format!("{}: role {}", capability.origin, role.as_str())
}

/// Why there is no permit, told by what the caller may know.
fn refusal(
    config: &Config,
    held: &Held<'_>,
    candidates: &[Candidate<'_>],
    model: &str,
    endpoint: Endpoint,
) -> Denied {
    let granted: Vec<_> = candidates
        .iter()
        .filter(|it| held.opening(&it.provider.id, it.model).is_some())
        .collect();
    let instead: Vec<_> = Dialect::ALL
        .into_iter()
        .map(Dialect::main_endpoint)
        .filter(|other| granted.iter().any(|it| it.serves(*other)))
        .map(Endpoint::path)
        .collect();
    if !instead.is_empty() {
        return Denied::WrongEndpoint {
            model: model.to_owned(),
            endpoint: endpoint.as_str(),
            instead,
        };
    }
    let names: Vec<String> = open(config, held)
        .filter(|(candidate, _)| candidate.serves(endpoint))
        .map(
            |(
                Candidate {
                    provider,
                    model: name,
                    ..
                },
                _,
            )| {
                let prefixable = !endpoint.names_model_in_path();
                if prefixable && model.contains('/') && !name.contains('/') {
                    format!("{}/{name}", provider.id)
                } else {
                    name.to_string()
                }
            },
        )
        .collect();
    let mut told = model.to_owned();
    if told.len() > NAME_TOLD {
        told.truncate(told.floor_char_boundary(NAME_TOLD));
        told.push('…');
    }
    Denied::NoModel {
        model: told,
        nearest: nearest(model, names.iter().map(String::as_str)),
    }
}

#[cfg(test)]
mod tests;
