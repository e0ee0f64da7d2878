//! The document with its comments, and what to do next.

use super::kinds::Needs;
use super::plan::{Plan, Provider};
use crate::config::DEFAULT_CAPABILITY;
use std::{fmt::Write as _, path::Path};

/// A JSON string.
pub(super) fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

fn list(names: &[String]) -> String {
    let quoted: Vec<_> = names.iter().map(|name| quoted(name)).collect();
    format!("[{}]", quoted.join(", "))
}

/// The document.
pub(super) fn document(plan: &Plan) -> String {
    let mut text = String::from(
        "// The configuration of this gateway, written by `aperture init`. It is read again when it is saved;\n\
         // `aperture check` finds mistakes. docs/configuration.md explains every key.\n{\n  \
         // Where requests go, by the model that they ask for.\n  \"providers\": {\n",
    );
    for provider in &plan.providers {
        provider_entry(&mut text, provider);
    }
    text.push_str("  },\n\n  // Who may do what. Nothing is allowed unless a grant allows it.\n  \"grants\": [\n");
    grant(
        &mut text,
        "Sees everybody's requests and changes these settings. Never leave it without one.",
        &plan.admins,
        "admin",
        &["**".to_owned()],
    );
    let common = if plan.premium.is_empty() {
        vec!["**".to_owned()]
    } else {
        plan.common()
    };
    if !plan.users.is_empty() && !common.is_empty() {
        let whom = if plan.users == ["*"] {
            "Everyone on the tailnet, tagged machines included."
        } else {
            "Who may use it."
        };
        grant(&mut text, whom, &plan.users, "user", &common);
    }
    if !plan.premium_users.is_empty() {
        let whom = "The dearer tier: these models, besides what else they may use.";
        grant(&mut text, whom, &plan.premium_users, "user", &plan.premium);
    }
    for tag in &plan.ci {
        let whom = "Machines: their requests count for the tag, not for a person.";
        grant(
            &mut text,
            whom,
            std::slice::from_ref(tag),
            "user",
            &plan.ci_models,
        );
    }
    text.push_str("  ],\n}\n");
    text
}

fn provider_entry(text: &mut String, one: &Provider) {
    let _ = writeln!(text, "    // {}.", one.kind.title);
    let _ = writeln!(text, "    {}: {{", quoted(&one.id));
    let _ = writeln!(text, "      \"baseurl\": {},", quoted(&one.base));
    if one.tailnet {
        text.push_str(
            "      // Reached through the gateway's own node.\n      \"tailnet\": true,\n",
        );
    }
    if one.kind.needs == Needs::Project {
        let how = if one.key == "adc" {
            "\"type\": \"google-adc\"".to_owned()
        } else {
            format!(
                "\"type\": \"google-service-account\", \"keyfile\": {}",
                quoted(&one.key)
            )
        };
        let (project, region) = (quoted(&one.project), quoted(&one.region));
        let _ = writeln!(
            text,
            "      \"authorization\": {{ {how}, \"project\": {project}, \"region\": {region} }},"
        );
    } else if !one.key.is_empty() {
        let _ = writeln!(
            text,
            "      \"authorization\": {},",
            quoted(one.kind.authorization)
        );
        let _ = writeln!(text, "      \"apikey\": {},", quoted(&one.key));
    }
    text.push_str("      // Exactly what clients send as the model.\n");
    let _ = writeln!(text, "      \"models\": {},", list(&one.models));
    let flags: Vec<_> = one
        .kind
        .flags
        .iter()
        .map(|flag| format!("\"{flag}\": true"))
        .collect();
    let _ = writeln!(text, "      \"compatibility\": {{ {} }},", flags.join(", "));
    text.push_str("    },\n");
}

fn grant(text: &mut String, whom: &str, src: &[String], role: &str, models: &[String]) {
    let mut capabilities = vec![format!("{{ \"role\": \"{role}\" }}")];
    capabilities.extend(
        models
            .iter()
            .map(|model| format!("{{ \"models\": {} }}", quoted(model))),
    );
    let _ = writeln!(
        text,
        "    {{\n      // {whom}\n      \"src\": {},\n      \"app\": {{ \"{DEFAULT_CAPABILITY}\": [{}] }},\n    }},",
        list(src),
        capabilities.join(", ")
    );
}

/// What to do next: start, policy, first calls.
pub(super) fn next(plan: &Plan, path: &Path) -> String {
    let (name, path) = (&plan.hostname, path.display());
    let mut text = format!(
        "1. Start it:\n\n   aperture run --hostname {name} --advertise-tags tag:aperture --config {path}\n\n   It prints a login address, or joins \
         by itself with TS_AUTHKEY. `aperture doctor` looks at everything that must work.\n\n2. Let people reach it, in the tailnet \
         policy (admin console, Access controls):\n\n"
    );
    text.push_str(&indented(&policy(plan)));
    text.push_str("\n3. Try it, from a device on the tailnet:\n\n");
    for call in plan.providers.iter().filter_map(|one| call(name, one)) {
        text.push_str(&indented(&call));
    }
    let _ = write!(
        text,
        "\n   and look at http://{name}/ui/.\n\n4. Point clients at it: `aperture connect --gateway http://{name}`. It is http, not https: \
         the tailnet encrypts.\n"
    );
    text
}

fn indented(text: &str) -> String {
    text.lines().fold(String::new(), |mut all, line| {
        let _ = writeln!(all, "   {line}");
        all
    })
}

/// The part of the tailnet policy that this document needs.
fn policy(plan: &Plan) -> String {
    let mut src: Vec<String> = Vec::new();
    let everyone = plan.users == ["*"];
    let named = [&plan.admins, &plan.users, &plan.premium_users, &plan.ci];
    for name in named.into_iter().flatten() {
        let name = if name == "*" {
            "autogroup:member"
        } else {
            name
        };
        // Whoever is a member is meant already.
        let meant = everyone && name.contains('@');
        if !meant && !src.iter().any(|other| other == name) {
            src.push(name.to_owned());
        }
    }
    format!(
        "{{\n  \"tagOwners\": {{\"tag:aperture\": [\"autogroup:admin\"]}},\n  \"grants\": [\n    \
         {{\"src\": {}, \"dst\": [\"tag:aperture\"], \"ip\": [\"tcp:80\", \"tcp:443\", \"icmp:*\"]}},\n    \
         // A Prometheus, if there is one; it also needs {{\"read_metrics\": true}} in a grant of the gateway.\n    \
         {{\"src\": [\"tag:prometheus\"], \"dst\": [\"tag:aperture\"], \"ip\": [\"tcp:9090\"]}},\n  ],\n}}\n",
        list(&src)
    )
}

/// A first request to the provider's first model.
fn call(name: &str, one: &Provider) -> Option<String> {
    let model = one.models.first()?;
    let quoted = quoted(model);
    let (path, body) = match *one.kind.flags.first()? {
        "anthropic_messages" => (
            "/v1/messages".to_owned(),
            format!(
                r#"{{"model": {quoted}, "max_tokens": 25, "messages": [{{"role": "user", "content": "respond with: hello"}}]}}"#
            ),
        ),
        "openai_chat" => (
            "/v1/chat/completions".to_owned(),
            format!(
                r#"{{"model": {quoted}, "messages": [{{"role": "user", "content": "respond with: hello"}}]}}"#
            ),
        ),
        "gemini_generate_content" => (
            format!("/v1beta/models/{model}:generateContent"),
            r#"{"contents": [{"role": "user", "parts": [{"text": "respond with: hello"}]}]}"#
                .to_owned(),
        ),
        "bedrock" => (
            format!("/bedrock/model/{model}/converse"),
            r#"{"messages": [{"role": "user", "content": [{"text": "respond with: hello"}]}]}"#
                .to_owned(),
        ),
        "vertex" => (
            format!(
                "/v1/projects/{}/locations/{}/publishers/google/models/{model}:generateContent",
                one.project, one.region
            ),
            r#"{"contents": [{"role": "user", "parts": [{"text": "respond with: hello"}]}]}"#
                .to_owned(),
        ),
        _ => return None,
    };
    Some(format!(
        "curl -s http://{name}{path} -H 'content-type: application/json' \\\n  -d '{body}'\n"
    ))
}
