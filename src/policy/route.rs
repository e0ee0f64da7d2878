//! From a model's name to the providers that serve it.
//!
//! Owns: how a name is read (an exact id first, then `provider/model`) and the order of preference.
//! In: the configuration, the name as asked for. Out: candidates, best first. Whether one may be used is not decided here.
//! Must not know: callers, grants.

use crate::{
    config::{Config, Provider},
    endpoint::Endpoint,
};
use std::{cmp::Reverse, sync::Arc};

/// A provider that serves the model, and the model as it knows it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Candidate<'a> {
    pub(super) provider: &'a Arc<Provider>,
    pub(super) model: &'a Arc<str>,
    /// Whether the name was read as `provider/model`.
    pub(super) prefixed: bool,
}

impl Candidate<'_> {
    /// Whether it can be asked over that route. A name with a prefix can't stand in a path: it would have to be rewritten
    /// there, and paths are sent on as they came.
    pub(super) fn serves(&self, endpoint: Endpoint) -> bool {
        endpoint.served_by(&self.provider.dialects)
            && !(self.prefixed && endpoint.names_model_in_path())
    }
}

/// Every enabled provider that the name may mean, in whatever dialect, best first.
///
/// Exact ids come first, by preference, then by provider id; last the provider that the name's prefix names. So a
/// prefix never takes precedence over an id that has a slash of its own, and still works for a caller to whom that id is closed.
pub(super) fn candidates<'a>(config: &'a Config, name: &str) -> Vec<Candidate<'a>> {
    let enabled = config.providers.values().filter(|it| !it.disabled);
    let mut candidates: Vec<_> = enabled
        .filter_map(|provider| serving(provider, name, false))
        .collect();
    // Stable: providers come in the order of their ids.
    candidates.sort_by_key(|candidate| Reverse(candidate.provider.preference));
    let prefixed = name
        .split_once('/')
        .and_then(|(id, model)| Some((config.providers.get(id)?, model)))
        .filter(|(provider, _)| !provider.disabled)
        .and_then(|(provider, model)| serving(provider, model, true));
    candidates.extend(prefixed);
    candidates
}

fn serving<'a>(provider: &'a Arc<Provider>, name: &str, prefixed: bool) -> Option<Candidate<'a>> {
    let model = provider.models.iter().find(|model| ***model == *name)?;
    Some(Candidate {
        provider,
        model,
        prefixed,
    })
}
