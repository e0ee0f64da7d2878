use super::*;
use crate::config::{CheckOptions, Strictness, check, refused};
use std::{fs, path::Path};

/// What `aperture docs --write` writes must be what is committed.
fn committed(file: &str, rendered: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(file);
    let found = fs::read_to_string(path).unwrap_or_default();
    assert!(
        found == rendered,
        "{file} is not what the code says; run: cargo run --no-default-features -- docs --write"
    );
}

#[test]
fn the_reference_is_committed() {
    committed("docs/configuration.md", &render_configuration_md());
}

#[test]
fn the_example_is_committed() {
    committed("deploy/aperture.example.hujson", &render_example());
}

#[test]
fn every_object_and_key_is_described() {
    let schema = json_schema();
    let names = schema["$defs"].as_object().unwrap().keys();
    for name in names {
        assert!(
            SECTIONS.iter().any(|(object, ..)| object == name),
            "{name} has no section"
        );
    }
    for (object, ..) in SECTIONS {
        assert!(properties(object).count() > 0, "{object}");
        for (key, property) in properties(object) {
            let description = text_of(property, "description");
            assert!(
                description.ends_with('.'),
                "{object}.{key}: {description:?}"
            );
        }
    }
    for known in KNOWN {
        assert!(
            SECTIONS.iter().any(|(object, ..)| *object == known.object),
            "{}",
            known.key
        );
        assert!(
            properties(known.object).all(|(key, _)| key != known.key),
            "{}",
            known.key
        );
    }
}

fn environment() -> CheckOptions {
    let variables = ["OPENAI_API_KEY", "ANTHROPIC_API_KEY"];
    CheckOptions {
        environment: variables
            .map(|name| (name.to_owned(), "key".to_owned()))
            .into_iter()
            .collect(),
        ..CheckOptions::default()
    }
}

#[test]
fn the_first_document_has_no_finding() {
    let checked = check(default_document(), &environment());
    assert_eq!(checked.findings, []);
    let config = checked.config.unwrap();
    assert_eq!(config.providers.len(), 2);
    assert!(config.everyone_is_admin());
    assert_eq!(config.gateway, Gateway::default());
}

#[test]
fn the_example_has_no_finding_and_shows_the_defaults() {
    let checked = check(&render_example(), &environment());
    assert_eq!(checked.findings, []);
    assert_eq!(checked.config.unwrap().gateway, Gateway::default());
    // Its commented lines are right, too.
    let mut all = String::new();
    for line in render_example().lines() {
        let trimmed = line.trim_start();
        let sample = trimmed
            .strip_prefix("// \"")
            .filter(|rest| rest.contains("\":"));
        let gateway = all.contains("\"gateway\"");
        match sample {
            Some(rest) if gateway => all.extend(["\"", rest, "\n"]),
            _ => all.extend([line, "\n"]),
        }
    }
    let checked = check(&all, &environment());
    assert!(
        !refused(&checked.findings, Strictness::Save),
        "{:?}",
        checked.findings
    );
    assert!(checked.config.unwrap().gateway.retention.records.is_some());
}
