//! Which keys and types a document may have: the schema of `raw`, and the walk that applies it.
//!
//! Owns: the schemas, [`conform`], and the names suggested for unknown keys. In: a JSON value. Out: the same value without
//! what does not fit, so that `raw` can read it, and one note for each misfit.
//! Must not know: meaning beyond key names and types.

use super::{
    finding::{Class, Notes, element, member},
    known, raw,
};
use schemars::schema_for;
use serde_json::Value;
use std::sync::LazyLock;

/// The document's schema.
pub(crate) static DOCUMENT: LazyLock<Value> =
    LazyLock::new(|| schema_for!(raw::Document).to_value());
/// One capability object's schema.
pub(crate) static CAPABILITY: LazyLock<Value> =
    LazyLock::new(|| schema_for!(raw::Capability).to_value());

/// Follows `$ref` and looks through "or null"; returns the schema and the name of the object that it describes.
pub(crate) fn resolve<'a>(root: &'a Value, schema: &'a Value) -> (&'a Value, &'a str) {
    if let Some(branches) = schema.get("anyOf").and_then(Value::as_array) {
        let real = branches
            .iter()
            .find(|branch| branch.get("type").is_none_or(|kind| kind != "null"));
        return real.map_or((schema, ""), |branch| resolve(root, branch));
    }
    let Some(reference) = schema.get("$ref").and_then(Value::as_str) else {
        let title = schema.get("title").and_then(Value::as_str);
        return (schema, title.unwrap_or_default());
    };
    let name = reference.rsplit('/').next().unwrap_or_default();
    (&root["$defs"][name], name)
}

/// Removes what does not fit from a value, with a note for each, and says whether the value itself may stay.
pub(crate) fn conform(root: &Value, value: &mut Value, path: &str, notes: &mut Notes) -> bool {
    visit(root, root, value, path, notes)
}

fn visit(root: &Value, schema: &Value, value: &mut Value, path: &str, notes: &mut Notes) -> bool {
    let (schema, name) = resolve(root, schema);
    if let Some(branches) = branches(schema) {
        let fitting = branches.iter().find(|branch| fits(root, branch, value));
        return match fitting {
            Some(branch) => visit(root, branch, value, path, notes),
            None => misfit(root, schema, value, path, notes),
        };
    }
    if !fits(root, schema, value) {
        return misfit(root, schema, value, path, notes);
    }
    match value {
        Value::Object(map) => object(root, (schema, name), map, path, notes),
        Value::Array(items) => {
            let mut index = 0;
            items.retain_mut(|item| {
                let path = element(path, index);
                index += 1;
                schema
                    .get("items")
                    .is_none_or(|schema| visit(root, schema, item, &path, notes))
            });
        }
        _ => {}
    }
    true
}

fn object(
    root: &Value,
    (schema, name): (&Value, &str),
    map: &mut serde_json::Map<String, Value>,
    path: &str,
    notes: &mut Notes,
) {
    let properties = schema.get("properties").and_then(Value::as_object);
    let others = schema.get("additionalProperties");
    map.retain(|key, value| {
        let here = member(path, key);
        // A null is a key that is not there, as in the original.
        if value.is_null() {
            return false;
        }
        if let Some(schema) = properties
            .and_then(|properties| properties.get(key))
            .or(others)
        {
            return visit(root, schema, value, &here, notes);
        }
        if let Some(properties) = properties {
            unknown(name, (path, key), properties.keys(), notes);
            return false;
        }
        true
    });
}

/// Notes an unknown key.
fn unknown<'a>(
    object: &str,
    (parent, key): (&str, &str),
    keys: impl Iterator<Item = &'a String>,
    notes: &mut Notes,
) {
    let path = member(parent, key);
    if let Some(known) = known::find(object, key) {
        notes.damage(path.clone());
        notes
            .add(known.class, path, known.message(key))
            .on_key()
            .unknown_key()
            .hint(known.note);
        return;
    }
    let nearest = nearest(key, keys.map(String::as_str));
    let short: String = key.chars().take(64).collect();
    let note = notes.add(
        Class::Mistake,
        path,
        format!("unknown config key {short:?}"),
    );
    note.on_key().unknown_key();
    if let Some(nearest) = nearest {
        note.hint(format!("did you mean {nearest:?}?"));
        // A misspelt restriction must not count as one that nobody asked for.
        notes.damage(member(parent, nearest));
    }
}

/// Notes a value of the wrong type; it is thrown away.
fn misfit(root: &Value, schema: &Value, value: &Value, path: &str, notes: &mut Notes) -> bool {
    let field = path.rsplit('.').next().unwrap_or(path);
    let message = format!(
        "{}{}expected {}, found {}",
        field,
        if field.is_empty() { "" } else { ": " },
        expected(root, schema),
        found(value)
    );
    notes.damage(path);
    // A document, as against one of its keys, must at least be an object.
    let class = if path.is_empty() {
        Class::Broken
    } else {
        Class::Mistake
    };
    let note = notes.add(class, path, message);
    if let Some(examples) = schema.get("examples").and_then(Value::as_array) {
        let examples: Vec<String> = examples.iter().map(Value::to_string).collect();
        note.hint(format!("for example {}", examples.join(", ")));
    }
    false
}

/// The alternatives of a schema.
fn branches(schema: &Value) -> Option<&Vec<Value>> {
    schema.get("oneOf").and_then(Value::as_array)
}

fn fits(root: &Value, schema: &Value, value: &Value) -> bool {
    let (schema, _) = resolve(root, schema);
    if let Some(branches) = branches(schema) {
        return branches.iter().any(|branch| fits(root, branch, value));
    }
    let accepts = |name: &str| match (name, value) {
        ("object", Value::Object(_))
        | ("array", Value::Array(_))
        | ("string", Value::String(_))
        | ("boolean", Value::Bool(_))
        | ("number", Value::Number(_))
        | ("null", Value::Null) => true,
        ("integer", Value::Number(number)) => {
            let unsigned = schema.get("minimum").is_some();
            (unsigned && number.is_u64()) || (!unsigned && number.is_i64())
        }
        _ => false,
    };
    match schema.get("type") {
        Some(Value::String(name)) => accepts(name),
        Some(Value::Array(names)) => names.iter().filter_map(Value::as_str).any(accepts),
        _ => true,
    }
}

/// A type in words.
pub(crate) fn expected(root: &Value, schema: &Value) -> String {
    let (schema, _) = resolve(root, schema);
    if let Some(branches) = branches(schema) {
        let names: Vec<String> = branches
            .iter()
            .map(|branch| expected(root, branch))
            .collect();
        return names.join(" or ");
    }
    let name = match schema.get("type") {
        Some(Value::String(name)) => name,
        Some(Value::Array(names)) => names.first().and_then(Value::as_str).unwrap_or_default(),
        _ => return "anything".to_owned(),
    };
    match name {
        "object" => "an object".to_owned(),
        "array" => {
            let items = schema.get("items").filter(|items| items.is_object());
            match items.map(|items| expected(root, items)) {
                Some(items) => {
                    let kind = items.rsplit(' ').next().unwrap_or_default();
                    format!("an array of {kind}s")
                }
                None => "an array".to_owned(),
            }
        }
        "integer" => "an integer".to_owned(),
        other => format!("a {other}"),
    }
}

fn found(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "an array",
        Value::Object(_) => "an object",
    }
}

/// The known name that a misspelt one probably means.
pub(crate) fn nearest<'a>(word: &str, names: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let plain = |text: &str| -> Vec<char> {
        text.chars()
            .filter(|letter| !matches!(letter, '_' | '-'))
            .flat_map(char::to_lowercase)
            .take(64)
            .collect()
    };
    let word = plain(word);
    names
        .map(|name| (distance(&word, &plain(name)), name))
        .filter(|&(distance, name)| distance <= name.len().div_ceil(4).min(3))
        .min()
        .map(|(_, name)| name)
}

/// Edit distance.
fn distance(left: &[char], right: &[char]) -> usize {
    let mut row: Vec<usize> = (0..=right.len()).collect();
    for (i, l) in left.iter().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, r) in right.iter().enumerate() {
            let substituted = diagonal + usize::from(l != r);
            diagonal = row[j + 1];
            row[j + 1] = substituted.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[right.len()]
}
