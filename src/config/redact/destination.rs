//! Where a secret of the document is sent, and what it opens there.
//!
//! Owns: which parts of a document decide that. They are compared before a stored secret is put back; what is not known to
//! be harmless counts. In: a document as it is shown, and a key path. Out: something to compare.
//! Must not know: secrets, which document is the older one.

use super::rules::Context;
use crate::config::{
    finding::{element, member},
    grant::ModelGlob,
};
use serde_json::Value;

/// Keys of an object whose values decide where its secrets go.
const DECIDING: [&str; 10] = [
    "baseurl",
    "url",
    "endpoint",
    "role_arn",
    "tailnet",
    "extra_ca",
    "bucket_name",
    "region",
    "project",
    "access_key_id",
];
/// Of those, the keys that only count where something is signed for them, not sent to them.
const IN_EXPORTERS: [&str; 4] = ["bucket_name", "region", "project", "access_key_id"];
/// Parts of the names of header lines by which proxies are told where to send a request.
const STEERING: [&str; 12] = [
    "url",
    "uri",
    "host",
    "target",
    "upstream",
    "forward",
    "proxy",
    "endpoint",
    "destination",
    "redirect",
    "base",
    "config",
];

/// Everything that decides where the secret at a path goes.
#[derive(Debug, PartialEq)]
pub(super) struct Destination(Vec<Value>);

impl Destination {
    /// Of the secret at a path of a document.
    pub(super) fn of(document: &Value, path: &str) -> Self {
        let mut all = Vec::new();
        let mut holder = None;
        let exporters = path.starts_with("exporters");
        through(document, "", path, &mut |object| {
            all.push(target(object, exporters));
            holder = Some(object);
        });
        if path.starts_with("grants") || path.starts_with("temp_grants") {
            let holder = holder.unwrap_or(&Value::Null);
            let models = holder.get("models").cloned().unwrap_or(Value::Null);
            let name = document.pointer("/gateway/capability").cloned();
            all.extend([models, name.unwrap_or(Value::Null)]);
            all.extend(covered(document, holder).map(|(id, provider)| {
                Value::Array(vec![id.into(), target(provider, false), steering(provider)])
            }));
        } else if !path.starts_with("providers") {
            // What this version does not act on: any address within the entry.
            all.push(addresses(document, path));
        }
        all.push(grants_steering(document));
        Self(all)
    }
}

/// What an object says of where its secrets go.
fn target(object: &Value, exporters: bool) -> Value {
    let deciding = DECIDING
        .iter()
        .filter(|key| exporters || !IN_EXPORTERS.contains(key));
    let mut target: Vec<Value> = deciding
        .map(|key| object.get(key).cloned().unwrap_or(Value::Null))
        .collect();
    let authorization = match object.get("authorization") {
        Some(Value::String(scheme)) => Value::from(scheme.to_ascii_lowercase()),
        Some(object) => kind(object),
        None => Value::Null,
    };
    target.extend([
        authorization,
        object.get("auth").map_or(Value::Null, kind),
        steering(object),
    ]);
    Value::Array(target)
}

/// The `type` of an object.
fn kind(object: &Value) -> Value {
    let kind = object.get("type").and_then(Value::as_str);
    kind.map_or(Value::Null, |kind| kind.to_ascii_lowercase().into())
}

/// The header lines that an object adds and that may steer a proxy.
fn steering(object: &Value) -> Value {
    let lines = object.get("add_headers").and_then(Value::as_array);
    let steers = |line: &&Value| {
        let name = line.as_str().and_then(|line| line.split(':').next());
        name.is_some_and(|name| {
            let name = name.to_ascii_lowercase();
            STEERING.iter().any(|part| name.contains(part))
        })
    };
    lines
        .into_iter()
        .flatten()
        .filter(steers)
        .cloned()
        .collect()
}

/// The same of all grants: their lines go to providers, too.
fn grants_steering(document: &Value) -> Value {
    fn find(value: &Value, found: &mut Vec<Value>) {
        match value {
            Value::Object(map) => {
                if let Value::Array(lines) = steering(value) {
                    found.extend(lines);
                }
                map.values().for_each(|inner| find(inner, found));
            }
            Value::Array(items) => items.iter().for_each(|inner| find(inner, found)),
            _ => {}
        }
    }
    let mut found = Vec::new();
    for key in ["grants", "temp_grants"] {
        if let Some(grants) = document.get(key) {
            find(grants, &mut found);
        }
    }
    found.sort_by_key(Value::to_string);
    Value::Array(found)
}

/// The providers that a capability's models name; all of them, unless it is sure.
fn covered<'a>(
    document: &'a Value,
    capability: &'a Value,
) -> impl Iterator<Item = (&'a str, &'a Value)> {
    let globs: Option<Vec<ModelGlob>> = match capability.get("models") {
        Some(Value::String(glob)) => Some(vec![ModelGlob::new(glob.as_str())]),
        Some(Value::Array(globs)) if !globs.is_empty() => globs
            .iter()
            .map(|glob| glob.as_str().map(ModelGlob::new))
            .collect(),
        _ => None,
    };
    let providers = document.get("providers").and_then(Value::as_object);
    providers
        .into_iter()
        .flatten()
        .filter(move |(id, _)| {
            globs.as_ref().is_none_or(|globs| {
                id.contains('/') || globs.iter().any(|glob| glob.names_provider(id))
            })
        })
        .map(|(id, provider)| (id.as_str(), provider))
}

/// Every address in the entry of a section that a path leads to.
fn addresses(document: &Value, path: &str) -> Value {
    fn find(value: &Value, key: &str, found: &mut Vec<Value>) {
        match value {
            Value::Object(map) => map.iter().for_each(|(key, inner)| find(inner, key, found)),
            Value::Array(items) => items.iter().for_each(|inner| find(inner, key, found)),
            Value::String(text) => {
                let address = Context::Plain.inside(key, false) == Context::Address;
                if address || text.contains("://") {
                    found.push(Value::Array(vec![key.into(), text.as_str().into()]));
                }
            }
            _ => {}
        }
    }
    // `hooks.NAME`, `exporters.s3`, `connectors.servers.NAME`: the entry is the second object below the section, or the first.
    let mut objects = Vec::new();
    through(document, "", path, &mut |object| objects.push(object));
    let deep = path.starts_with("connectors") || path.starts_with("mcp");
    let entry = objects.get(if deep { 2 } else { 1 }).or(objects.first());
    let mut found = Vec::new();
    if let Some(entry) = entry {
        find(entry, "", &mut found);
    }
    Value::Array(found)
}

/// Visits the objects that a path leads through, from the outside in.
fn through<'a>(value: &'a Value, at: &str, path: &str, visit: &mut impl FnMut(&'a Value)) {
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
                    through(inner, &here, path, visit);
                }
            }
        }
        Value::Array(items) => {
            for (index, inner) in items.iter().enumerate() {
                let here = element(at, index);
                if leads(&here) {
                    through(inner, &here, path, visit);
                }
            }
        }
        _ => {}
    }
}
