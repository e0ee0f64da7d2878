//! A setup's text, merged into what a file says already.
//!
//! Owns: what happens to keys that are there: they get the setup's value, comments and everything else stay. Keys and tokens of
//! the user's own stay too: the gateway drops whatever a client sends. In: the old text, the setup's. Out: the new text.
//! Must not know: files.

use super::table::Format;
use jsonc_parser::{
    ParseOptions,
    cst::{CstInputValue, CstObject, CstRootNode},
};
use serde_json::Value;
use toml_edit::{DocumentMut, Item, Table, TableLike};

/// The new text, and the keys of credentials that were left as they are.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Merged {
    pub(super) text: String,
    pub(super) kept: Vec<String>,
}

/// Merges; an error says what is wrong with the old text.
pub(super) fn merge(format: Format, old: &str, wanted: &str) -> Result<Merged, String> {
    if old.trim().is_empty() || old == wanted {
        return Ok(Merged {
            text: wanted.to_owned(),
            kept: Vec::new(),
        });
    }
    match format {
        Format::Json => json(old, wanted),
        Format::Toml => toml(old, wanted),
        Format::Yaml | Format::Shell | Format::Python | Format::JavaScript => Err(format!(
            "it is there already, and says something else; {} is not merged: move it away, or copy by hand",
            format.as_str()
        )),
    }
}

/// Whether a key is a credential's.
fn is_credential(key: &str) -> bool {
    let bare: String = key.chars().filter(|c| *c != '_' && *c != '-').collect();
    let bare = bare.to_ascii_lowercase();
    ["apikey", "apikeyhelper", "token", "secret", "password"]
        .iter()
        .any(|ending| bare.ends_with(ending))
}

fn json(old: &str, wanted: &str) -> Result<Merged, String> {
    let root =
        CstRootNode::parse(old, &ParseOptions::default()).map_err(|error| error.to_string())?;
    let object = root
        .object_value_or_create()
        .ok_or("it is JSON, but no object")?;
    let wanted: Value = serde_json::from_str(wanted).map_err(|error| error.to_string())?;
    let mut kept = Vec::new();
    object_into(&object, &wanted, &mut kept)?;
    Ok(Merged {
        text: root.to_string(),
        kept,
    })
}

fn object_into(into: &CstObject, wanted: &Value, kept: &mut Vec<String>) -> Result<(), String> {
    for (key, value) in wanted.as_object().into_iter().flatten() {
        let old = into.get(key);
        if value.is_object() {
            let inner = into
                .object_value_or_create(key)
                .ok_or_else(|| format!("{key:?} is no object there"))?;
            object_into(&inner, value, kept)?;
        } else if let Some(old) = old {
            let now = old.value().map(|node| node.to_string());
            let now = now.and_then(|text| serde_json::from_str(&text).ok());
            if now.as_ref() == Some(value) {
                continue;
            }
            if is_credential(key) {
                kept.push(key.clone());
            } else {
                old.set_value(input(value));
            }
        } else {
            into.append(key, input(value));
        }
    }
    Ok(())
}

fn input(value: &Value) -> CstInputValue {
    match value {
        Value::Null => CstInputValue::Null,
        Value::Bool(value) => CstInputValue::Bool(*value),
        Value::Number(number) => CstInputValue::Number(number.to_string()),
        Value::String(text) => CstInputValue::String(text.clone()),
        Value::Array(items) => CstInputValue::Array(items.iter().map(input).collect()),
        Value::Object(members) => CstInputValue::Object(
            members
                .iter()
                .map(|(key, value)| (key.clone(), input(value)))
                .collect(),
        ),
    }
}

fn toml(old: &str, wanted: &str) -> Result<Merged, String> {
    let read = |text: &str| {
        text.parse::<DocumentMut>()
            .map_err(|error| error.to_string())
    };
    let (mut document, wanted) = (read(old)?, read(wanted)?);
    let mut kept = Vec::new();
    table_into(document.as_table_mut(), wanted.as_table(), &mut kept)?;
    Ok(Merged {
        text: document.to_string(),
        kept,
    })
}

fn table_into(
    into: &mut dyn TableLike,
    wanted: &dyn TableLike,
    kept: &mut Vec<String>,
) -> Result<(), String> {
    for (key, item) in wanted.iter() {
        if let Some(inner) = item.as_table_like() {
            if !into.contains_key(key) {
                let mut table = Table::new();
                table.set_implicit(true);
                into.insert(key, Item::Table(table));
            }
            let old = into.get_mut(key).and_then(Item::as_table_like_mut);
            let old = old.ok_or_else(|| format!("{key:?} is no table there"))?;
            table_into(old, inner, kept)?;
            continue;
        }
        let Some(value) = item.as_value() else {
            continue;
        };
        match into.get_mut(key) {
            Some(Item::Value(old)) if old.to_string().trim() == value.to_string().trim() => {}
            Some(_) if is_credential(key) => kept.push(key.to_owned()),
            Some(Item::Value(old)) => {
                // A comment behind it stays.
                let decor = old.decor().clone();
                *old = value.clone();
                *old.decor_mut() = decor;
            }
            Some(_) => return Err(format!("{key:?} is a table there")),
            None => {
                into.insert(key, item.clone());
            }
        }
    }
    Ok(())
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// The YAML of the table is of one kind: keys with values, and lists of such, two spaces deeper each.
    pub(in crate::connect) fn yaml(text: &str, at: &str) {
        let mut depths = vec![0];
        for line in text.lines() {
            let body = line.trim_start();
            let depth = line.len() - body.len();
            assert!(
                depth % 2 == 0 && depth <= depths.last().unwrap() + 2,
                "{at}: {line}"
            );
            let item = body.strip_prefix("- ");
            depths.push(depth + if item.is_some() { 2 } else { 0 });
            let (key, value) = item.unwrap_or(body).split_once(':').expect(at);
            assert!(
                key.chars().all(|c| c.is_ascii_alphanumeric()),
                "{at}: {line}"
            );
            let value = value.strip_prefix(' ').unwrap_or(value);
            let quoted = value.len() > 1 && value.starts_with('"') && value.ends_with('"');
            let plain = value.chars().all(|c| c.is_ascii_alphanumeric() || c == '.');
            assert!(quoted || plain, "{at}: {line}");
        }
    }

    #[test]
    fn json_keeps_comments_and_everything_else() {
        let old = "// mine\n{\n  \"theme\": \"dark\", // I like it\n  \"env\": {\n    \"OTHER\": \"1\",\n    \"ANTHROPIC_BASE_URL\": \"https://old.example\"\n  },\n}\n";
        let wanted = r#"{"apiKeyHelper": "echo '-'", "env": {"ANTHROPIC_BASE_URL": "http://ai"}}"#;
        let merged = merge(Format::Json, old, wanted).unwrap();
        for part in [
            "// mine",
            "\"theme\": \"dark\", // I like it",
            "\"OTHER\": \"1\"",
            "\"http://ai\"",
            "apiKeyHelper",
        ] {
            assert!(merged.text.contains(part), "{part}: {}", merged.text);
        }
        assert!(!merged.text.contains("old.example"));
        assert_eq!(merged.kept, Vec::<String>::new());
        let again = merge(Format::Json, &merged.text, wanted).unwrap();
        assert_eq!(again.text, merged.text);
    }

    #[test]
    fn credentials_that_are_there_stay() {
        let old = r#"{"apiKeyHelper": "my-vault", "env": {"ANTHROPIC_AUTH_TOKEN": "sk-mine"}}"#;
        let wanted =
            r#"{"apiKeyHelper": "echo '-'", "env": {"ANTHROPIC_AUTH_TOKEN": "-", "A": "b"}}"#;
        let merged = merge(Format::Json, old, wanted).unwrap();
        assert_eq!(merged.kept, ["apiKeyHelper", "ANTHROPIC_AUTH_TOKEN"]);
        assert!(merged.text.contains("sk-mine") && merged.text.contains("my-vault"));
        assert!(merged.text.contains("\"A\""));
    }

    #[test]
    fn toml_keeps_comments_and_puts_keys_before_tables() {
        let old = "# mine\nmodel = \"o3\" # for now\n\n[tools]\nweb = true\n\n[model_providers.other]\nname = \"Other\"\n";
        let wanted = "model = \"gpt-5\"\nmodel_provider = \"aperture\"\n\n[model_providers.aperture]\nname = \"Aperture\"\nbase_url = \"http://ai/v1\"\n";
        let merged = merge(Format::Toml, old, wanted).unwrap();
        let read: DocumentMut = merged.text.parse().unwrap();
        assert_eq!(read["model"].as_str(), Some("gpt-5"));
        assert_eq!(read["model_provider"].as_str(), Some("aperture"));
        assert_eq!(read["tools"]["web"].as_bool(), Some(true));
        assert_eq!(
            read["model_providers"]["other"]["name"].as_str(),
            Some("Other")
        );
        assert_eq!(
            read["model_providers"]["aperture"]["base_url"].as_str(),
            Some("http://ai/v1")
        );
        assert!(
            merged
                .text
                .starts_with("# mine\nmodel = \"gpt-5\" # for now\n"),
            "{}",
            merged.text
        );
        assert_eq!(
            merge(Format::Toml, &merged.text, wanted).unwrap().text,
            merged.text
        );
    }

    #[test]
    fn what_is_something_else_is_not_touched() {
        for (format, old, wanted) in [
            (Format::Json, "[1]", "{\"a\": 1}"),
            (Format::Json, "{\"env\": 1}", "{\"env\": {\"a\": 1}}"),
            (Format::Json, "{\"a\": ", "{\"a\": 1}"),
            (
                Format::Toml,
                "model_providers = 1",
                "[model_providers.a]\nb = \"c\"",
            ),
            (Format::Toml, "= 1", "a = 1"),
            (Format::Yaml, "a: b", "c: d"),
        ] {
            assert!(merge(format, old, wanted).is_err(), "{old}");
        }
        for format in [Format::Json, Format::Toml, Format::Yaml] {
            assert_eq!(merge(format, " \n", "x").unwrap().text, "x");
        }
    }
}
