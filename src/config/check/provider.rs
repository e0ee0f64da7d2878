//! One entry of `providers` → [`Provider`].
//!
//! Owns: defaults and rules of a provider's keys, and the advice about them. In: the raw entry. Out: a provider, or
//! nothing when it must not be used as written. Must not know: grants, other providers.

use crate::config::{
    AuthMode, CostRule, Provider, address,
    address::Place,
    capability,
    finding::{Class, Notes, element, member},
    raw,
    secrets::Resolved,
};
use crate::{endpoint::Dialect, record::CaptureMode};
use std::{collections::BTreeSet, sync::Arc};

/// What a provider is judged by, besides its own keys.
pub(super) struct Surroundings<'a> {
    /// What references led to.
    pub(super) secrets: &'a Resolved,
    /// Whether the own host may be a provider.
    pub(super) allow_local: bool,
    /// The gateway's capture mode.
    pub(super) capture: CaptureMode,
}

/// One provider under way.
pub(super) struct Entry<'a> {
    pub(super) id: &'a str,
    path: String,
    pub(super) around: &'a Surroundings<'a>,
}

/// Turns one entry.
pub(super) fn provider(
    id: &str,
    raw: raw::Provider,
    around: &Surroundings<'_>,
    notes: &mut Notes,
) -> Option<Provider> {
    let entry = Entry {
        id,
        path: member("providers", id),
        around,
    };
    if id.is_empty() || id.contains('/') {
        notes
            .add(
                Class::Advice,
                entry.path.clone(),
                "such an id can't be chosen by a provider/model name",
            )
            .on_key();
    }
    // Everything is looked at before anything is given up, so that all mistakes are reported together.
    let readable = entry.protections_are_readable(notes);
    let upstream = entry.upstream(raw.baseurl.as_deref(), raw.tailnet, notes);
    let auth_mode = entry.auth_mode(raw.auth_mode.as_deref(), notes);
    let place = upstream.as_ref().map(|upstream| upstream.place);
    let tailnet = raw.tailnet.unwrap_or(place == Some(Place::Tailnet));
    let public = place == Some(Place::Public) && !tailnet;
    let models = entry.models(raw.models, notes);
    let dialects = entry.dialects(&raw.compatibility, notes);
    let authorization = raw.authorization.unwrap_or_default().0;
    let base = upstream.as_ref().map(|upstream| &upstream.base);
    let payment = entry.payment(
        &authorization,
        raw.apikey.as_deref(),
        (&dialects, base),
        public && auth_mode == Some(AuthMode::Override),
        notes,
    );
    let plain = upstream.as_ref().is_some_and(|upstream| upstream.plain);
    if plain && public && payment.is_some() {
        notes.add(
            Class::Advice,
            entry.at("baseurl"),
            "the key and all requests travel unencrypted over http://",
        );
    }
    let capture = capability::capture(raw.capture.as_deref(), &entry.at("capture"), notes);
    let owner = format!("provider {id}: ");
    let add_headers =
        capability::headers(&raw.add_headers, &entry.at("add_headers"), &owner, notes);
    let model_cost_map = entry.cost_rules(raw.model_cost_map, notes);
    let extra_ca = entry.extra_ca(raw.extra_ca, notes);
    let short_paths = raw.compatibility.experimental_gemini_cli_vertex_compat == Some(true);
    let cloud = payment.cloud.as_ref();
    let vertex = entry.vertex(&authorization, base, cloud, short_paths, notes);
    let (upstream, auth_mode) = (upstream?, auth_mode?);
    if !readable {
        return None;
    }
    Some(Provider {
        id: id.into(),
        name: raw
            .name
            .filter(|name| !name.is_empty())
            .unwrap_or_else(|| id.to_owned()),
        description: raw.description.unwrap_or_default(),
        base: upstream.base,
        credential: payment.key,
        cloud: payment.cloud,
        missing_secret: payment.missing,
        auth_mode,
        models,
        dialects,
        tailnet,
        preference: raw.preference.unwrap_or(0),
        disabled: raw.disabled.unwrap_or(false),
        add_headers,
        cost_basis: raw.cost_basis.filter(|basis| !basis.is_empty()),
        model_cost_map,
        capture: capture.unwrap_or_default().max(around.capture),
        extra_ca,
        vertex,
    })
}

impl Entry<'_> {
    pub(super) fn at(&self, key: &str) -> String {
        member(&self.path, key)
    }

    /// A protection that was written and can't be read must not be taken for its absence.
    fn protections_are_readable(&self, notes: &mut Notes) -> bool {
        let mut readable = true;
        for key in ["disabled", "tailnet", "auth_mode"] {
            if notes.is_damaged(&self.at(key)) {
                let message = format!("provider {} is left out until {key} is corrected", self.id);
                notes.add(Class::Mistake, self.at(key), message);
                readable = false;
            }
        }
        readable
    }

    fn upstream(
        &self,
        baseurl: Option<&str>,
        tailnet: Option<bool>,
        notes: &mut Notes,
    ) -> Option<address::Upstream> {
        let id = self.id;
        let at = self.at("baseurl");
        let Some(baseurl) = baseurl.filter(|text| !text.is_empty()) else {
            let message = format!("provider {id} has no baseurl configured");
            notes
                .add(Class::Mistake, at, message)
                .hint("such as \"https://api.openai.com\"; without it the provider is left out");
            return None;
        };
        let upstream = match address::read(baseurl) {
            Ok(upstream) => upstream,
            Err(reason) => {
                let message =
                    format!("provider {id} is left out, its baseurl can't be used: {reason}");
                notes.add(Class::Mistake, at, message);
                return None;
            }
        };
        if upstream.place == Place::Local && !self.around.allow_local {
            let message = format!(
                "provider {id} is left out: its baseurl is the gateway's own host, its link or a metadata service"
            );
            notes
                .add(Class::Mistake, at, message)
                .hint("start with --allow-local-upstreams to permit it");
            return None;
        }
        if upstream.placeholder {
            notes
                .add(
                    Class::Advice,
                    at.clone(),
                    "baseurl looks like a placeholder",
                )
                .hint("replace it with the provider's address");
        }
        if upstream.base.path().rsplit('/').next() == Some("v1") {
            notes
                .add(
                    Class::Advice,
                    at.clone(),
                    "baseurl ends in /v1, and clients' paths begin with it",
                )
                .hint("remove /v1; a doubled one is sent once");
        }
        let self_hosted = matches!(upstream.place, Place::Tailnet | Place::Private);
        if self_hosted && tailnet.is_none() {
            let message = match upstream.place {
                Place::Tailnet => {
                    "a self-hosted provider should say \"tailnet\": true; its address is on the tailnet, so that is assumed"
                }
                _ => {
                    "a self-hosted provider should say \"tailnet\": true, or false if it is on the host's own network, as is assumed"
                }
            };
            notes.add(Class::Advice, at, message);
        }
        Some(upstream)
    }

    fn auth_mode(&self, text: Option<&str>, notes: &mut Notes) -> Option<AuthMode> {
        match text {
            None | Some("" | "override") => Some(AuthMode::Override),
            Some("passthrough") => Some(AuthMode::Passthrough),
            Some("none") => Some(AuthMode::None),
            Some(_) => {
                let message = format!(
                    "provider {} has an unknown auth_mode and is left out",
                    self.id
                );
                notes
                    .add(Class::Mistake, self.at("auth_mode"), message)
                    .hint("an auth_mode is \"override\", \"passthrough\" or \"none\"");
                None
            }
        }
    }

    fn models(&self, names: Vec<String>, notes: &mut Notes) -> Vec<Arc<str>> {
        let at = self.at("models");
        let mut seen = BTreeSet::new();
        let mut models: Vec<Arc<str>> = Vec::new();
        for (index, name) in names.into_iter().enumerate() {
            if name.is_empty() {
                let message = "a model's name is empty; it is left out";
                notes.add(Class::Mistake, element(&at, index), message);
            } else if seen.insert(name.clone()) {
                models.push(name.into());
            } else {
                let message = "this model is listed twice";
                notes.add(Class::Advice, element(&at, index), message);
            }
        }
        if models.is_empty() {
            let message = format!("provider {} has no models; nothing can reach it", self.id);
            notes
                .add(Class::Mistake, at, message)
                .hint("list the exact names that clients send");
        }
        models
    }

    fn dialects(&self, flags: &raw::Compatibility, notes: &mut Notes) -> Vec<Dialect> {
        let on = |flag: Option<bool>| flag == Some(true);
        let either = |flag, short| on(flag) || on(short);
        let short_paths = on(flags.experimental_gemini_cli_vertex_compat);
        let others = [
            (on(flags.openai_responses), Dialect::OpenaiResponses),
            (on(flags.anthropic_messages), Dialect::AnthropicMessages),
            (
                either(flags.gemini_generate_content, flags.gemini),
                Dialect::GeminiGenerateContent,
            ),
            (
                either(flags.google_generate_content, flags.vertex) || short_paths,
                Dialect::GoogleGenerateContent,
            ),
            (
                either(flags.google_raw_predict, flags.vertex),
                Dialect::GoogleRawPredict,
            ),
            (
                either(flags.bedrock_model_invoke, flags.bedrock),
                Dialect::BedrockModelInvoke,
            ),
            (
                either(flags.bedrock_converse, flags.bedrock),
                Dialect::BedrockConverse,
            ),
        ];
        let any = others.iter().any(|(on, _)| *on);
        let chat = (flags.openai_chat.unwrap_or(!any), Dialect::OpenaiChat);
        let table = [chat].into_iter().chain(others);
        let dialects: Vec<Dialect> = table
            .filter_map(|(on, dialect)| on.then_some(dialect))
            .collect();
        if dialects.is_empty() {
            let message = format!(
                "provider {} speaks no format; its models can't be reached",
                self.id
            );
            notes
                .add(Class::Advice, self.at("compatibility"), message)
                .hint("set at least one of the flags to true");
        }
        dialects
    }

    fn cost_rules(&self, rules: Vec<raw::CostRule>, notes: &mut Notes) -> Vec<CostRule> {
        let at = self.at("model_cost_map");
        let mut checked = Vec::new();
        for (index, rule) in rules.into_iter().enumerate() {
            let at = element(&at, index);
            let Some(matches) = rule.matches.filter(|glob| !glob.is_empty()) else {
                notes.add(Class::Mistake, at, "match is missing; the rule is left out");
                continue;
            };
            let Some(adjustment_ppm) = millionths(rule.adjustment.unwrap_or(1.0)) else {
                let message = "adjustment must be between 0 and 1000; the rule is left out";
                notes.add(Class::Mistake, member(&at, "adjustment"), message);
                continue;
            };
            checked.push(CostRule {
                matches,
                as_model: rule.as_model.filter(|model| !model.is_empty()),
                adjustment_ppm,
            });
        }
        checked
    }
}

/// Turns a factor into millionths.
fn millionths(factor: f64) -> Option<u64> {
    if !(0.0..=1_000.0).contains(&factor) {
        return None;
    }
    // Formatting rounds; a cast would make 289,999 of 0.29.
    format!("{:.0}", factor * 1e6).parse().ok()
}
