//! `grants` and `temp_grants` → [`Grant`]s in one form.
//!
//! Owns: the forms of `src` and the two shapes of a rule. In: raw rules. Out: grants in the order of the document, `grants`
//! first. What can't be read names nobody and gives nothing. Must not know: callers, requests.

use crate::config::{
    DEFAULT_CAPABILITY, capability,
    finding::{Class, Notes, element, member},
    grant::{Capability, Grant, ModelGlob, Src},
    raw, schema,
};

/// Turns both lists into one.
pub(super) fn grants(
    grants: Vec<raw::Grant>,
    temp_grants: Vec<raw::TempGrant>,
    capability_name: &str,
    declared: &[String],
    notes: &mut Notes,
) -> Vec<Grant> {
    let mut all = Vec::new();
    for (path, raw) in surviving(grants, "grants", notes) {
        let mut capabilities = Vec::new();
        for (name, objects) in raw.app.0 {
            if name != DEFAULT_CAPABILITY && name != capability_name {
                continue;
            }
            let app = member(&member(&path, "app"), &name);
            for (at, object) in surviving(objects, &app, notes) {
                capabilities.push(capability::read(origin(&at, &name), object, &at, notes));
                if let Some(capability) = capabilities.last() {
                    providers_exist(capability, &member(&at, "models"), declared, notes);
                }
            }
        }
        let src = src(raw.src, &path, notes);
        // A posture narrows a grant; without means to check it the grant must not apply.
        let narrowed = notes.is_damaged(&member(&path, "srcPosture"));
        all.push(Grant {
            origin: path.into(),
            src: if narrowed { Vec::new() } else { src },
            capabilities,
        });
    }
    for (path, raw) in surviving(temp_grants, "temp_grants", notes) {
        let items = surviving(raw.grants, &member(&path, "grants"), notes);
        let capabilities = items
            .into_iter()
            .map(|(at, item)| temp_item(item, &at, declared, notes))
            .collect();
        all.push(Grant {
            src: src(raw.src, &path, notes),
            origin: path.into(),
            capabilities,
        });
    }
    all
}

/// Gives the elements that were kept the paths that they have in the text.
fn surviving<T>(items: Vec<T>, path: &str, notes: &Notes) -> Vec<(String, T)> {
    let mut paths = (0..).map(|index| element(path, index));
    items
        .into_iter()
        .map(|item| {
            let path = paths
                .find(|path| !notes.is_damaged(path))
                .expect("there are more numbers than damaged elements");
            (path, item)
        })
        .collect()
}

/// A capability's place, shorter than its path: `grants[2].app[0]`.
fn origin(path: &str, name: &str) -> String {
    path.replacen(&format!("[{name:?}]"), "", 1)
}

fn temp_item(
    item: raw::TempItem,
    path: &str,
    declared: &[String],
    notes: &mut Notes,
) -> Capability {
    let role = item
        .role
        .and_then(|role| capability::role(&role, &member(path, "role"), notes));
    let list = member(path, "providers");
    let mut models = Vec::new();
    for (at, reference) in surviving(item.providers.unwrap_or_default(), &list, notes) {
        let mut part = |text: Option<String>, key: &str| match text {
            Some(text) if text == "*" => Some(None),
            Some(text) if text.is_empty() => None,
            Some(text) => {
                if text.contains('*') {
                    notes
                        .add(
                            Class::Advice,
                            member(&at, key),
                            "here only \"*\" alone stands for all; this name is taken literally",
                        )
                        .hint("use grants with models for patterns");
                }
                Some(Some(text))
            }
            None => None,
        };
        let provider = part(reference.provider, "provider");
        let model = part(reference.model, "model");
        let (Some(provider), Some(model)) = (provider, model) else {
            notes
                .add(
                    Class::Mistake,
                    at,
                    "provider and model are both needed; this item opens nothing",
                )
                .hint("\"*\" stands for all");
            continue;
        };
        models.push(ModelGlob::exact(provider.as_deref(), model.as_deref()));
    }
    let capability = Capability {
        origin: path.into(),
        role,
        models,
        ..Capability::default()
    };
    providers_exist(&capability, &list, declared, notes);
    capability
}

/// Warns of patterns that no provider of the document fits.
fn providers_exist(capability: &Capability, path: &str, declared: &[String], notes: &mut Notes) {
    if declared.is_empty() {
        return;
    }
    for glob in &capability.models {
        if declared.iter().any(|id| glob.names_provider(id)) {
            continue;
        }
        let message = format!(
            "models pattern {:?} references provider {:?} which does not match any declared provider",
            glob.as_str(),
            glob.provider_part()
        );
        let note = notes.add(Class::Mistake, path, message);
        let nearest = schema::nearest(glob.provider_part(), declared.iter().map(String::as_str));
        if let Some(nearest) = nearest {
            note.hint(format!("did you mean {nearest:?}?"));
        }
    }
}

/// Reads whom a rule names.
fn src(entries: Option<Vec<String>>, path: &str, notes: &mut Notes) -> Vec<Src> {
    let path = member(path, "src");
    let Some(entries) = entries else {
        if !notes.is_damaged(&path) {
            notes
                .add(
                    Class::Mistake,
                    path,
                    "src is missing; this grant names nobody",
                )
                .hint("\"src\": [\"*\"] names everyone");
        }
        return Vec::new();
    };
    let mut all = Vec::new();
    for (at, entry) in surviving(entries, &path, notes) {
        let entry = entry.trim();
        let mut nobody = |message: &str, hint: &str| {
            notes.add(Class::Mistake, at.clone(), message).hint(hint);
        };
        if entry == "*" {
            all.push(Src::Everyone);
        } else if entry == "(loopback)" {
            all.push(Src::Loopback);
        } else if entry.starts_with("tag:") {
            let mut tags: Vec<String> = entry.split(',').map(|tag| tag.trim().to_owned()).collect();
            if tags.iter().all(|tag| {
                tag.strip_prefix("tag:")
                    .is_some_and(|name| !name.is_empty())
            }) {
                tags.sort_unstable();
                tags.dedup();
                all.push(Src::Tags(tags));
            } else {
                nobody(
                    "not a list of tags; it names nobody",
                    "write \"tag:a,tag:b\" for nodes that carry exactly these",
                );
            }
        } else if entry.starts_with("group:") {
            all.push(Src::Group(entry.to_owned()));
        } else if entry.starts_with("autogroup:") || entry == "tagged-devices" {
            nobody(
                "this name is not known here; it names nobody",
                "write \"*\" for everyone, or login names, tags and groups",
            );
        } else if entry.contains('@') {
            all.push(Src::Login(entry.to_owned()));
        } else {
            nobody(
                "not a login name; it names nobody",
                "a login name has an @, a tag begins with tag:, a group with group:",
            );
        }
    }
    all
}
