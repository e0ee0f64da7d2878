//! Raw → checked: the meaning of the document, every mistake at once.
//!
//! Owns: [`check`] and the advice about the document as a whole; `provider`, `access`, `gateway` and `otlp` each turn one part.
//! In: text and [`CheckOptions`]. Out: [`Checked`]. The only I/O is the reading of referenced secrets, before anything is
//! judged. Must not know: who calls, what the configuration was before.

mod access;
mod cloud;
mod credential;
mod gateway;
mod otlp;
mod provider;

use super::{
    Config, Finding, Strictness,
    finding::{Class, Notes},
    grant::Role,
    raw, refused, schema,
    secrets::{self, Environment, Resolved},
    syntax,
};
use serde::Deserialize;
use serde_json::Value;
use std::{path::PathBuf, sync::Arc};

/// What a document is checked against, besides itself.
#[derive(Clone, Debug, Default)]
pub struct CheckOptions {
    /// Permit providers on the gateway's own host and link (`--allow-local-upstreams`).
    pub allow_local_upstreams: bool,
    /// Where `file:NAME` secrets are (`--secrets-dir`).
    pub secrets_dir: Option<PathBuf>,
    /// Where `env:NAME` secrets are.
    pub environment: Environment,
}

/// The result of a check.
#[derive(Debug)]
pub struct Checked {
    /// The configuration; none when the document can't be used at all.
    pub config: Option<Config>,
    /// Everything that was found, in the order of the text.
    pub findings: Vec<Finding>,
    /// What the references led to, so that a reload sees a changed secret.
    pub(crate) secrets: Resolved,
    /// Secret files that the document names.
    pub(crate) files: Vec<PathBuf>,
}

/// Checks a document.
pub fn check(text: &str, options: &CheckOptions) -> Checked {
    let mut notes = Notes::default();
    let source = syntax::parse(text, &mut notes);
    let mut secrets = Resolved::new();
    let config = source.value.and_then(|mut value| {
        guardrails(&value, &mut notes);
        if !schema::conform(&schema::DOCUMENT, &mut value, "", &mut notes) {
            return None;
        }
        let Ok(document) = raw::Document::deserialize(value) else {
            notes.add(Class::Broken, "", "the document can't be read");
            return None;
        };
        secrets = secrets::resolve(references(&document), options);
        Some(whole(document, &secrets, options, &mut notes))
    });
    client_addresses(text, &mut notes);
    let findings = notes.into_findings(&source.places);
    let config = config
        .filter(|_| !refused(&findings, Strictness::Load))
        .map(|config| Config {
            hash: blake3::hash(text.as_bytes()).to_hex().to_string(),
            ..config
        });
    let files = secrets::files(&secrets, options);
    Checked {
        config,
        findings,
        secrets,
        files,
    }
}

/// Every text that may refer to a secret.
fn references(document: &raw::Document) -> impl Iterator<Item = &str> {
    let collector = document.gateway.otlp.headers.values().map(String::as_str);
    let providers = document.providers.values().flat_map(|provider| {
        let object = provider.authorization.as_ref().map(|form| &form.0);
        let of = |text: fn(&raw::AuthorizationObject) -> &Option<String>| {
            object.and_then(|object| text(object).as_deref())
        };
        [
            provider.apikey.as_deref(),
            provider.extra_ca.as_deref(),
            of(|object| &object.value),
            of(|object| &object.access_key_id),
            of(|object| &object.secret_access_key),
            of(|object| &object.session_token),
            of(|object| &object.keyfile),
        ]
        .into_iter()
        .flatten()
    });
    providers.chain(collector)
}

fn whole(
    document: raw::Document,
    secrets: &Resolved,
    options: &CheckOptions,
    notes: &mut Notes,
) -> Config {
    let gateway = gateway::gateway(document.gateway, secrets, options, notes);
    let declared: Vec<String> = document.providers.keys().cloned().collect();
    let grants = access::grants(
        document.grants,
        document.temp_grants,
        &gateway.capability,
        &declared,
        notes,
    );
    let surroundings = provider::Surroundings {
        secrets,
        allow_local: options.allow_local_upstreams,
        capture: gateway.capture.mode,
    };
    let providers = document
        .providers
        .into_iter()
        .filter_map(|(id, raw)| provider::provider(&id, raw, &surroundings, notes))
        .map(|provider| (provider.id.clone(), Arc::new(provider)))
        .collect();
    let config = Config {
        providers,
        grants,
        gateway,
        auto_cost_basis: document.auto_cost_basis.unwrap_or(true),
        hash: String::new(),
    };
    checklist(&config, !declared.is_empty(), notes);
    config
}

/// The advice that concerns no single key.
fn checklist(config: &Config, any_provider: bool, notes: &mut Notes) {
    if !any_provider {
        notes.add(
            Class::Advice,
            "providers",
            "no providers or mcp servers defined; users will not be able to access any models",
        );
    }
    let gives = |wanted: Option<Role>| {
        config.grants.iter().any(|grant| {
            let fits = |role: Option<Role>| role.is_some() && (wanted.is_none() || role == wanted);
            !grant.src.is_empty()
                && grant
                    .capabilities
                    .iter()
                    .any(|capability| fits(capability.role))
        })
    };
    if config.grants.is_empty() {
        if any_provider {
            notes
                .add(
                    Class::Advice,
                    "grants",
                    "providers are configured but no grants or temp_grants defined; all access will be denied",
                )
                .hint("unless the tailnet policy grants the capability");
        }
        return;
    }
    if !gives(None) {
        notes
            .add(
                Class::Advice,
                "grants",
                "no grant assigns a role; everyone will be refused",
            )
            .hint("add { \"role\": \"user\" } to a grant, unless the tailnet policy does");
    }
    if !gives(Some(Role::Admin)) {
        notes.add(
            Class::Advice,
            "grants",
            "no grant in grants or temp_grants assigns role:admin; nobody will be able to manage this instance",
        );
    }
}

/// Refuses a document that relies on guardrails which must not be passed by: nobody would ask them.
fn guardrails(document: &Value, notes: &mut Notes) {
    let Some(hooks) = document.get("hooks").and_then(Value::as_object) else {
        return;
    };
    for (name, hook) in hooks {
        let closed = hook.get("fail_policy").and_then(Value::as_str) == Some("fail_closed");
        let disabled = hook.get("disabled").and_then(Value::as_bool) == Some(true);
        if closed && !disabled {
            let path = super::finding::member("hooks", name);
            notes
                .add(
                    Class::Broken,
                    super::finding::member(&path, "fail_policy"),
                    "hooks are not supported by this version, and this one must not be passed by",
                )
                .hint("set \"disabled\": true, or fail_open, to let requests pass unchecked");
        }
    }
}

/// Warns where the text sends clients to the gateway over HTTPS.
fn client_addresses(text: &str, notes: &mut Notes) {
    for (offset, found) in text.match_indices("https://ai") {
        let end = text[offset + found.len()..].bytes().next();
        // `https://ai.example.com` or `https://aide.example.com` is someone else.
        if !end.is_some_and(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.')) {
            notes
                .add(
                    Class::Advice,
                    "",
                    "clients reach this gateway at http://ai; https:// fails with TLS errors",
                )
                .hint("write http://ai: the tailnet encrypts already")
                .on_byte(offset);
        }
    }
}
