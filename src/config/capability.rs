//! Capability JSON → [`Capability`], for the document and the tailnet policy alike.
//!
//! Owns: the reading of one capability object and of header lines. In: JSON of any shape. Out: a capability and notes;
//! what can't be read gives nothing, and never more than what was written.
//! Must not know: who is named by the grant.

use super::{
    finding::{Class, Notes, element, member},
    grant::{Capability, ModelGlob, Role},
    raw, schema, secrets,
};
use crate::record::CaptureMode;
use http::{HeaderName, HeaderValue};
use serde::Deserialize;
use serde_json::Value;
use std::{str::FromStr, sync::Arc};

/// Header lines that frame a message or belong to one connection: nobody may add them.
const FRAMING: [&str; 11] = [
    "connection",
    "content-length",
    "expect",
    "host",
    "keep-alive",
    "proxy-authorization",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

impl Capability {
    /// Reads one capability object, such as the tailnet policy hands over; the texts say what was left out.
    pub fn from_json(origin: impl Into<Arc<str>>, value: &Value) -> (Self, Vec<String>) {
        let mut notes = Notes::default();
        let capability = read(origin, value.clone(), "", &mut notes);
        (capability, notes.into_messages())
    }
}

/// Reads one capability object that stands at a path.
pub(crate) fn read(
    origin: impl Into<Arc<str>>,
    mut value: Value,
    path: &str,
    notes: &mut Notes,
) -> Capability {
    let origin = origin.into();
    let nothing = |origin| Capability {
        origin,
        ..Capability::default()
    };
    if !schema::conform(&schema::CAPABILITY, &mut value, path, notes) {
        return nothing(origin);
    }
    let Ok(raw) = raw::Capability::deserialize(value) else {
        notes.add(Class::Mistake, path, "this capability can't be read");
        return nothing(origin);
    };
    let models_path = member(path, "models");
    let globs = raw.models.map(|globs| globs.0);
    // An object whose models can't be read must not become one without models, which applies everywhere.
    let scope_lost = notes.is_damaged(&models_path) || globs.as_ref().is_some_and(Vec::is_empty);
    let models: Vec<ModelGlob> = globs
        .unwrap_or_default()
        .into_iter()
        .map(ModelGlob::new)
        .collect();
    let scope_lost = scope_lost && models.is_empty();
    let add_headers = headers(&raw.add_headers, &member(path, "add_headers"), "", notes);
    if scope_lost && !add_headers.is_empty() {
        notes
            .add(
                Class::Mistake,
                models_path,
                "no usable models, so add_headers is not applied",
            )
            .on_key();
    }
    Capability {
        origin,
        role: raw
            .role
            .and_then(|role| self::role(&role, &member(path, "role"), notes)),
        models,
        add_headers: if scope_lost { Vec::new() } else { add_headers },
        capture: capture(raw.capture.as_deref(), &member(path, "capture"), notes),
        read_metrics: raw.read_metrics.unwrap_or(false),
        read_pricing: raw.read_pricing.unwrap_or(false),
    }
}

/// Reads a role.
pub(crate) fn role(text: &str, path: &str, notes: &mut Notes) -> Option<Role> {
    match text {
        "user" => Some(Role::User),
        "admin" => Some(Role::Admin),
        _ => {
            notes
                .add(Class::Mistake, path, "unknown role; it gives nothing")
                .hint("a role is \"user\" or \"admin\"");
            None
        }
    }
}

/// Reads a capture mode; what can't be read counts as the strictest.
pub(crate) fn capture(text: Option<&str>, path: &str, notes: &mut Notes) -> Option<CaptureMode> {
    match text {
        None if notes.is_damaged(path) => Some(CaptureMode::None),
        None => None,
        Some("full") => Some(CaptureMode::Full),
        Some("metadata") => Some(CaptureMode::Metadata),
        Some("none") => Some(CaptureMode::None),
        Some(_) => {
            notes
                .add(
                    Class::Mistake,
                    path,
                    "unknown capture mode; nothing is kept until it is corrected",
                )
                .hint("a capture mode is \"full\", \"metadata\" or \"none\"");
            Some(CaptureMode::None)
        }
    }
}

/// Reads header lines.
pub(crate) fn headers(
    entries: &[String],
    path: &str,
    owner: &str,
    notes: &mut Notes,
) -> Vec<(HeaderName, HeaderValue)> {
    let mut lines = Vec::new();
    for (index, entry) in entries.iter().enumerate() {
        let path = element(path, index);
        let parsed = entry.split_once(':').and_then(|(name, value)| {
            let name = HeaderName::from_str(name.trim()).ok()?;
            let mut value = HeaderValue::from_str(value.trim()).ok()?;
            value.set_sensitive(true);
            Some((name, value))
        });
        match parsed {
            Some((name, _)) if FRAMING.contains(&name.as_str()) => {
                let message = format!("{owner}add_headers can't set {name}; the line is left out");
                notes.add(Class::Mistake, path, message);
            }
            Some(line) => lines.push(line),
            None => {
                let message = format!(
                    "{owner}add_headers entry {:?} must be in \"Header-Name: value\" format",
                    secrets::echo(entry)
                );
                notes.add(Class::Mistake, path, message);
            }
        }
    }
    lines
}
