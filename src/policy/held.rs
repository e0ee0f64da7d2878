//! What a caller holds: the capabilities of every grant that names it.
//!
//! Owns: the one place that compares a grant's `src` with a caller, and a glob with a model.
//! In: a caller and the configuration. Out: [`Held`], in evaluation order: the document's, then the tailnet policy's.
//! Must not know: providers, routes.

use crate::{
    config::{
        Config,
        grant::{Capability, ModelGlob, Role, Src},
    },
    identity::Caller,
};

/// The capabilities that a caller holds.
#[derive(Debug)]
pub(super) struct Held<'a>(Vec<&'a Capability>);

/// Whether an entry of `src` names the caller.
pub(super) fn names(src: &Src, caller: &Caller) -> bool {
    match src {
        Src::Everyone => true,
        // A group of an identity provider is written as its e-mail address too, without `group:`.
        Src::Login(login) => {
            caller.is_person()
                && (**login == *caller.login || login.contains('@') && in_group(login, caller))
        }
        Src::Tags(tags) => !caller.is_person() && *tags == caller.tags,
        Src::Group(group) => caller.is_person() && in_group(group, caller),
        Src::Loopback => caller.dev,
    }
}

fn in_group(group: &str, caller: &Caller) -> bool {
    fn bare(group: &str) -> &str {
        group.strip_prefix("group:").unwrap_or(group)
    }
    caller.groups.iter().any(|own| bare(own) == bare(group))
}

/// The glob of a capability that covers the model.
pub(super) fn covering<'a>(
    capability: &'a Capability,
    provider: &str,
    model: &str,
) -> Option<&'a ModelGlob> {
    capability
        .models
        .iter()
        .find(|glob| glob.matches(provider, model))
}

// === impl Held ===

impl<'a> Held<'a> {
    pub(super) fn new(config: &'a Config, caller: &'a Caller) -> Self {
        let named = config
            .grants
            .iter()
            .filter(|grant| grant.src.iter().any(|src| names(src, caller)))
            .flat_map(|grant| &grant.capabilities);
        Self(named.chain(&caller.capabilities).collect())
    }

    /// The highest role, and the first capability that gives it.
    pub(super) fn role(&self) -> Option<(Role, &'a Capability)> {
        let mut best = None;
        for capability in &self.0 {
            if let Some(role) = capability.role
                && best.is_none_or(|(highest, _)| role > highest)
            {
                best = Some((role, *capability));
            }
        }
        best
    }

    /// The first capability that opens the model, and its glob.
    pub(super) fn opening(
        &self,
        provider: &str,
        model: &str,
    ) -> Option<(&'a Capability, &'a ModelGlob)> {
        self.0
            .iter()
            .find_map(|capability| Some((*capability, covering(capability, provider, model)?)))
    }

    /// The capabilities whose settings apply to the model: of those that cover it, and of those without models.
    pub(super) fn settings(
        &self,
        provider: &str,
        model: &str,
    ) -> impl Iterator<Item = &'a Capability> {
        self.0.iter().copied().filter(move |capability| {
            let has_settings = capability.capture.is_some() || !capability.add_headers.is_empty();
            has_settings
                && (capability.models.is_empty() || covering(capability, provider, model).is_some())
        })
    }

    /// Whether one opens the metrics.
    pub(super) fn reads_metrics(&self) -> bool {
        self.0.iter().any(|capability| capability.read_metrics)
    }

    /// Whether one opens the prices.
    pub(super) fn reads_pricing(&self) -> bool {
        self.0.iter().any(|capability| capability.read_pricing)
    }
}
