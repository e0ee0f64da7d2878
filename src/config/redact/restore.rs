//! From a redacted document that was edited back to a whole one.
//!
//! Owns: the rule of secrets on a save. Every admin can save, and by default everyone is an admin, so a save must not be a
//! way to send a stored secret elsewhere: a placeholder or a reference is accepted only where it stood before, and only
//! while the address, network and authorization type that it goes with are as before. In: the edited text and the
//! stored one. Out: the text to store, or findings. Must not know: who saves.

use super::{PLACEHOLDER, Sites, quote, rules, splice};
use crate::config::{
    finding::{Class, Finding, Notes},
    syntax,
};
use serde_json::Value;
use std::collections::HashMap;

/// Puts stored secrets back in the place of placeholders.
///
/// # Errors
/// A finding for each placeholder or reference that is not as it was stored, or goes elsewhere than before.
pub fn restore(edited: &str, stored: &str) -> Result<String, Vec<Finding>> {
    let edited = edited.strip_prefix('\u{feff}').unwrap_or(edited);
    let mut notes = Notes::default();
    let edited_source = syntax::parse(edited, &mut notes);
    let (Some(edited_value), Some(edited_sites)) = (&edited_source.value, Sites::read(edited))
    else {
        return Err(notes.into_findings(&edited_source.places));
    };
    // What is wrong otherwise is for `check` to say.
    let mut notes = Notes::default();
    // Addresses are compared as they are shown, since a placeholder may be part of one.
    let redacted = super::redact(stored);
    let stored_value = syntax::parse(&redacted, &mut Notes::default())
        .value
        .unwrap_or(Value::Null);
    let stored_sites = Sites::read(stored).map_or_else(Vec::new, |sites| sites.strings);
    let shown: HashMap<String, String> = Sites::read(&redacted)
        .map_or_else(Vec::new, |sites| sites.strings)
        .into_iter()
        .map(|site| (site.path, site.value))
        .collect();
    let by_path: HashMap<&str, &str> = stored_sites
        .iter()
        .map(|site| (site.path.as_str(), site.value.as_str()))
        .collect();

    let mut edits = Vec::new();
    for site in &edited_sites.strings {
        let placeholder = site.value.contains(PLACEHOLDER);
        let reference = site.context == rules::Context::Secret && rules::is_reference(&site.value);
        let certificate = site.path.ends_with(".extra_ca") && rules::is_reference(&site.value);
        if !placeholder && !reference && !certificate && !uses_the_host(site) {
            continue;
        }
        let as_stored = shown
            .get(&site.path)
            .is_some_and(|shown| *shown == site.value);
        if !as_stored {
            let (message, hint) = if placeholder {
                (
                    "no secret is stored for this place",
                    "write the secret itself",
                )
            } else {
                (
                    "a reference to a secret can be added or moved only in the file on the gateway's host",
                    "write the secret itself, or edit the file",
                )
            };
            notes
                .add(Class::Broken, site.path.clone(), message)
                .hint(hint);
            continue;
        }
        if destination(edited_value, &site.path) != destination(&stored_value, &site.path) {
            notes
                .add(
                    Class::Broken,
                    site.path.clone(),
                    "the address or authorization type that this secret goes with has changed",
                )
                .hint("write the secret itself");
            continue;
        }
        if placeholder && let Some(secret) = by_path.get(site.path.as_str()) {
            edits.push((site.range, quote(secret)));
        }
    }
    let findings = notes.into_findings(&edited_source.places);
    if findings.is_empty() {
        Ok(splice(edited, edits))
    } else {
        Err(findings)
    }
}

/// Whether a value has the gateway use a credential that its host holds: a reference without the word.
fn uses_the_host(site: &super::Site) -> bool {
    let path = site.path.as_str();
    let profile = path.ends_with(".authorization.profile") && !site.value.is_empty();
    let adc = (path.ends_with(".authorization") || path.ends_with(".authorization.type"))
        && site.value.eq_ignore_ascii_case("google-adc");
    profile || adc
}

/// Everything that decides where the secret at a path is sent, and what it opens there.
fn destination(document: &Value, path: &str) -> Value {
    let key = |object: &Value, key: &str| object.get(key).cloned().unwrap_or(Value::Null);
    let target = |object: &Value| {
        let authorization = match object.get("authorization") {
            Some(Value::String(scheme)) => Value::from(scheme.to_ascii_lowercase()),
            Some(object) => {
                let text = object.get("type").and_then(Value::as_str);
                text.map(|text| Value::from(text.to_ascii_lowercase()))
                    .unwrap_or_default()
            }
            None => Value::Null,
        };
        Value::Array(vec![
            key(object, "baseurl"),
            key(object, "url"),
            key(object, "endpoint"),
            key(object, "role_arn"),
            key(object, "tailnet"),
            authorization,
            object
                .get("auth")
                .map_or(Value::Null, |auth| key(auth, "type")),
        ])
    };
    // A grant's header lines can go to every provider.
    if path.starts_with("grants") || path.starts_with("temp_grants") {
        let providers = document.get("providers").and_then(Value::as_object);
        return providers
            .into_iter()
            .flatten()
            .map(|(id, provider)| Value::Array(vec![id.as_str().into(), target(provider)]))
            .collect();
    }
    let mut all = Vec::new();
    containers(document, "", path, &mut |object| all.push(target(object)));
    Value::Array(all)
}

/// Visits the objects that a path leads through.
fn containers(value: &Value, at: &str, path: &str, visit: &mut impl FnMut(&Value)) {
    use crate::config::finding::{element, member};
    let leads = |inner: &str| {
        path.strip_prefix(inner)
            .is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']))
    };
    match value {
        Value::Object(map) => {
            if !at.is_empty() {
                visit(value);
            }
            for (key, inner) in map {
                let here = member(at, key);
                if leads(&here) {
                    containers(inner, &here, path, visit);
                }
            }
        }
        Value::Array(items) => {
            for (index, inner) in items.iter().enumerate() {
                let here = element(at, index);
                if leads(&here) {
                    containers(inner, &here, path, visit);
                }
            }
        }
        _ => {}
    }
}
