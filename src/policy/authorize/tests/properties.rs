//! Properties over random configurations: a plain reference, and that grants only add.

use super::*;
use proptest::{collection::vec, prelude::*, sample::subsequence};

const NAMES: [&str; 9] = ["m", "n", "a/m", "a/n", "b/m", "c/a/m", "b/a/m", "x", "c/m"];

fn any_provider(id: &'static str) -> impl Strategy<Value = Provider> {
    let dialects = vec![
        Dialect::AnthropicMessages,
        Dialect::OpenaiChat,
        Dialect::OpenaiResponses,
    ];
    (
        subsequence(vec!["m", "n", "a/m", "b/m"], 0..=4),
        subsequence(dialects, 0..=3),
        0..2_i64,
        any::<bool>(),
        any_capture(),
    )
        .prop_map(
            move |(models, dialects, preference, disabled, capture)| Provider {
                preference,
                disabled: disabled && preference == 1,
                capture,
                ..provider(id, &models, &dialects)
            },
        )
}

fn any_capture() -> impl Strategy<Value = CaptureMode> {
    prop_oneof![
        4 => Just(CaptureMode::Full),
        1 => Just(CaptureMode::Metadata),
        1 => Just(CaptureMode::None),
    ]
}

fn any_src() -> impl Strategy<Value = Src> {
    prop_oneof![
        Just(Src::Everyone),
        Just(login("alice@example.com")),
        Just(login("bob@example.com")),
        Just(tags(&["tag:ci"])),
        Just(tags(&["tag:api", "tag:ci"])),
        Just(Src::Group("group:eng".into())),
        Just(Src::Loopback),
    ]
}

fn any_capability() -> impl Strategy<Value = Capability> {
    let globs = vec!["**", "*/*", "a/**", "b/m", "c/*", "*/a/*", "zz/**"];
    (
        prop_oneof![
            2 => Just(None),
            1 => Just(Some(Role::User)),
            1 => Just(Some(Role::Admin)),
        ],
        subsequence(globs, 0..=2),
        prop_oneof![2 => Just(None), 1 => any_capture().prop_map(Some)],
        any::<bool>(),
        any::<bool>(),
    )
        .prop_map(|(role, globs, capture, adds, read_metrics)| Capability {
            origin: "".into(),
            role,
            models: globs.into_iter().map(ModelGlob::new).collect(),
            add_headers: if adds {
                vec![(
                    HeaderName::from_static("x-team"),
                    HeaderValue::from_static("eng"),
                )]
            } else {
                Vec::new()
            },
            capture,
            read_metrics,
            read_pricing: adds != read_metrics,
        })
}

fn any_grant() -> impl Strategy<Value = Grant> {
    (vec(any_src(), 0..3), vec(any_capability(), 0..4))
        .prop_map(|(src, capabilities)| grant(src, capabilities))
}

fn any_config() -> impl Strategy<Value = Config> {
    (
        (any_provider("a"), any_provider("b"), any_provider("c")),
        vec(any_grant(), 0..5),
        any_capture(),
    )
        .prop_map(|((a, b, c), grants, mode)| {
            let mut config = config(vec![a, b, c], numbered(grants));
            config.gateway.capture.mode = mode;
            config
        })
}

fn any_caller() -> impl Strategy<Value = Caller> {
    let mut grouped = person("carol@example.com");
    grouped.groups = vec!["group:eng".into()];
    let mut dev = person("alice@example.com");
    dev.dev = true;
    let who = prop_oneof![
        Just(person("alice@example.com")),
        Just(person("bob@example.com")),
        Just(tagged(&["tag:ci"])),
        Just(tagged(&["tag:api", "tag:ci"])),
        Just(grouped),
        Just(dev),
    ];
    (who, vec(any_capability(), 0..2)).prop_map(|(caller, capabilities)| Caller {
        capabilities,
        ..caller
    })
}

/// What a permit says, for comparing.
type Said = (String, String, bool, Role, String, CaptureMode, usize);

fn said(permit: &Permit) -> Said {
    (
        permit.provider().id.to_string(),
        permit.model().to_string(),
        permit.prefixed(),
        permit.role(),
        permit.grant().to_owned(),
        permit.capture(),
        permit.add_headers().len(),
    )
}

/// The rules of the specification, written as plainly as possible and with nothing shared but the glob.
fn reference(config: &Config, caller: &Caller, name: &str, endpoint: Endpoint) -> Option<Said> {
    let mut held: Vec<Capability> = Vec::new();
    for grant in &config.grants {
        let mut named = false;
        for src in &grant.src {
            named |= match src {
                Src::Everyone => true,
                Src::Login(login) => caller.tags.is_empty() && *caller.login == **login,
                Src::Tags(tags) => caller.tags.join(",") == tags.join(","),
                Src::Group(group) => caller.groups.contains(group),
                Src::Loopback => caller.dev,
            };
        }
        if named {
            held.extend(grant.capabilities.clone());
        }
    }
    held.extend(caller.capabilities.clone());
    let roles: Vec<Role> = held.iter().filter_map(|it| it.role).collect();
    let role = if roles.contains(&Role::Admin) {
        Role::Admin
    } else if roles.contains(&Role::User) {
        Role::User
    } else {
        return None;
    };

    let mut found: Vec<(bool, i64, String, String, String)> = Vec::new();
    for provider in config.providers.values() {
        if provider.disabled || !provider.dialects.contains(&endpoint.dialect()) {
            continue;
        }
        for model in &provider.models {
            let prefixed = format!("{}/{model}", provider.id) == name;
            if !prefixed && **model != *name {
                continue;
            }
            let opening = held.iter().find_map(|capability| {
                let mut globs = capability.models.iter();
                let glob = globs.find(|glob| glob.matches(&provider.id, model))?;
                Some(format!("{}: models {}", capability.origin, glob.as_str()))
            });
            if let Some(grant) = opening {
                found.push((
                    prefixed,
                    -provider.preference,
                    provider.id.to_string(),
                    model.to_string(),
                    grant,
                ));
            }
        }
    }
    found.sort();
    let (prefixed, _, id, model, grant) = found.first()?.clone();
    let mut capture = config
        .gateway
        .capture
        .mode
        .max(config.providers[&*id].capture);
    let mut added = 0;
    for capability in &held {
        let globs = &capability.models;
        if globs.is_empty() || globs.iter().any(|glob| glob.matches(&id, &model)) {
            capture = capture.max(capability.capture.unwrap_or(CaptureMode::Full));
            added += capability.add_headers.len();
        }
    }
    Some((id, model, prefixed, role, grant, capture, added))
}

/// Everything that the caller may do, as comparable facts.
fn rights(config: &Config, caller: &Arc<Caller>) -> Vec<String> {
    let mut rights: Vec<String> = visible_models(config, caller)
        .iter()
        .map(|it| format!("{}/{}", it.provider.id, it.model))
        .collect();
    match role(config, caller) {
        Some((Role::Admin, _)) => rights.extend(["admin".into(), "user".into()]),
        Some((Role::User, _)) => rights.push("user".into()),
        None => {}
    }
    if may_read_metrics(config, caller) {
        rights.push("metrics".into());
    }
    if may_read_pricing(config, caller) {
        rights.push("pricing".into());
    }
    for name in NAMES {
        for endpoint in Endpoint::ALL {
            if decide(config, caller, name, endpoint).is_ok() {
                rights.push(format!("{name} over {}", endpoint.as_str()));
            }
        }
    }
    rights
}

proptest! {
    #[test]
    fn decide_agrees_with_the_reference(config in any_config(), caller in any_caller()) {
        let caller = Arc::new(caller);
        for name in NAMES {
            for endpoint in Endpoint::ALL {
                let permit = decide(&config, &caller, name, endpoint).ok();
                prop_assert_eq!(
                    permit.as_ref().map(said),
                    reference(&config, &caller, name, endpoint),
                    "{} over {:?}", name, endpoint
                );
            }
        }
    }

    /// Pages and proxy cannot disagree: a model is visible exactly when asking for it succeeds.
    #[test]
    fn visible_models_are_those_that_decide_permits(config in any_config(), caller in any_caller()) {
        let caller = Arc::new(caller);
        let visible = visible_models(&config, &caller);
        for provider in config.providers.values() {
            for model in &provider.models {
                let shown = visible
                    .iter()
                    .find(|it| it.provider.id == provider.id && it.model == *model);
                let name = format!("{}/{model}", provider.id);
                for endpoint in Endpoint::ALL {
                    let permit = decide(&config, &caller, &name, endpoint);
                    // An id that has a slash of its own takes precedence over a prefix that reads the same.
                    if permit.as_ref().is_ok_and(|permit| !permit.prefixed()) {
                        continue;
                    }
                    let offered = shown.is_some_and(|it| it.dialects.contains(&endpoint.dialect()));
                    prop_assert_eq!(permit.is_ok(), offered, "{} over {:?}", name, endpoint);
                    if let (Ok(permit), Some(shown)) = (&permit, shown) {
                        prop_assert_eq!(permit.grant(), shown.grant.as_str());
                        prop_assert_eq!(&permit.provider().id, &shown.provider.id);
                    }
                }
                if let Some(shown) = shown {
                    prop_assert!(!shown.dialects.is_empty());
                    for endpoint in Endpoint::ALL {
                        if shown.dialects.contains(&endpoint.dialect()) {
                            prop_assert!(decide(&config, &caller, model, endpoint).is_ok());
                        }
                    }
                }
            }
        }
    }

    #[test]
    fn explain_ends_with_what_decide_says(config in any_config(), caller in any_caller()) {
        let caller = Arc::new(caller);
        for name in NAMES {
            for endpoint in Endpoint::ALL {
                let lines = explain(&config, &caller, name, endpoint);
                let permit = decide(&config, &caller, name, endpoint);
                let last = lines.last().unwrap();
                prop_assert_eq!(last.holds, permit.is_ok());
                for grant in &config.grants {
                    prop_assert!(lines.iter().any(|line| line.place == *grant.origin));
                }
                let chosen = lines
                    .iter()
                    .filter(|line| line.holds && line.place.starts_with("providers."))
                    .count();
                prop_assert_eq!(chosen, usize::from(permit.is_ok()));
                if let Ok(permit) = permit {
                    let (origin, _) = permit.grant().split_once(": ").unwrap();
                    prop_assert!(lines.iter().any(|line| line.holds && line.place == origin));
                }
            }
        }
    }

    #[test]
    fn removing_a_grant_never_widens(config in any_config(), caller in any_caller()) {
        let caller = Arc::new(caller);
        let before = rights(&config, &caller);
        for at in 0..config.grants.len() {
            let mut less = config.clone();
            less.grants.remove(at);
            for right in rights(&less, &caller) {
                prop_assert!(before.contains(&right), "gained {right}");
            }
        }
        let mut bare = Caller::clone(&caller);
        bare.capabilities.clear();
        for right in rights(&config, &Arc::new(bare)) {
            prop_assert!(before.contains(&right), "gained {right}");
        }
    }

    #[test]
    fn a_src_that_names_somebody_else_changes_nothing(
        config in any_config(), caller in any_caller(), more in any_grant(),
    ) {
        let caller = Arc::new(caller);
        let mut wider = config.clone();
        let strangers = [
            login("mallory@example.com"),
            login("ALICE@example.com"),
            tags(&["tag:api"]),
            tags(&["tag:api", "tag:ci", "tag:z"]),
            Src::Group("group:ops".into()),
        ];
        for grant in &mut wider.grants {
            grant.src.splice(0..0, strangers.clone());
        }
        wider.grants.push(Grant { src: strangers.to_vec(), ..more });
        for name in NAMES {
            for endpoint in Endpoint::ALL {
                let one = decide(&config, &caller, name, endpoint);
                let other = decide(&wider, &caller, name, endpoint);
                prop_assert_eq!(one.as_ref().map(said), other.as_ref().map(said));
            }
        }
        prop_assert_eq!(role(&config, &caller), role(&wider, &caller));
        prop_assert_eq!(may_read_metrics(&config, &caller), may_read_metrics(&wider, &caller));
    }

    /// Nothing of the answer shows that there is something closed: without the closed models all answers are the same.
    #[test]
    fn what_is_not_granted_does_not_exist(config in any_config(), caller in any_caller()) {
        let caller = Arc::new(caller);
        let visible = visible_models(&config, &caller);
        let mut smaller = config.clone();
        for provider in smaller.providers.values_mut() {
            let mut known = Provider::clone(provider);
            known.models.retain(|model| {
                visible.iter().any(|it| it.provider.id == known.id && it.model == *model)
            });
            *provider = Arc::new(known);
        }
        for name in NAMES {
            for endpoint in Endpoint::ALL {
                let one = decide(&config, &caller, name, endpoint);
                let other = decide(&smaller, &caller, name, endpoint);
                prop_assert_eq!(one.as_ref().map(said), other.as_ref().map(said));
            }
        }
    }
}
