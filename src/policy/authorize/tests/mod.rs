//! Tables from the founding document and the specification.

mod properties;

use super::*;
use crate::{
    config::{
        Gateway,
        grant::{Grant, Src},
    },
    identity::testing::{person, tagged},
    policy::{Line, explain},
    record::CaptureMode,
};
use http::{HeaderName, HeaderValue};

const CHAT: Endpoint = Endpoint::OpenaiChat;
const MESSAGES: Endpoint = Endpoint::AnthropicMessages;

fn provider(id: &str, models: &[&str], dialects: &[Dialect]) -> Provider {
    Provider {
        models: models.iter().map(|model| (*model).into()).collect(),
        dialects: dialects.to_vec(),
        ..Provider::new(id, http::Uri::from_static("https://provider.example"))
    }
}

fn config(providers: Vec<Provider>, grants: Vec<Grant>) -> Config {
    Config {
        providers: providers
            .into_iter()
            .map(|provider| (provider.id.clone(), Arc::new(provider)))
            .collect(),
        grants,
        gateway: Gateway::default(),
        ..Config::default()
    }
}

/// A grant as the document's, its origins numbered by [`numbered`].
fn grant(src: Vec<Src>, capabilities: Vec<Capability>) -> Grant {
    Grant {
        origin: "".into(),
        src,
        capabilities,
    }
}

fn numbered(mut grants: Vec<Grant>) -> Vec<Grant> {
    for (i, grant) in grants.iter_mut().enumerate() {
        grant.origin = format!("grants[{i}]").into();
        for (j, capability) in grant.capabilities.iter_mut().enumerate() {
            capability.origin = format!("grants[{i}].app[{j}]").into();
        }
    }
    grants
}

fn gives(role: Role) -> Capability {
    Capability {
        role: Some(role),
        ..Capability::default()
    }
}

fn opens(glob: &str) -> Capability {
    Capability {
        models: vec![ModelGlob::new(glob)],
        ..Capability::default()
    }
}

fn login(login: &str) -> Src {
    Src::Login(login.into())
}

fn tags(tags: &[&str]) -> Src {
    Src::Tags(tags.iter().map(ToString::to_string).collect())
}

/// The providers of the founding document.
fn founding_providers() -> Vec<Provider> {
    let openai = [Dialect::OpenaiChat, Dialect::OpenaiResponses];
    vec![
        provider(
            "anthropic",
            &["claude-haiku-4-5-20251001", "claude-opus-4-5"],
            &[Dialect::AnthropicMessages],
        ),
        provider("openai", &["gpt-4o"], &openai),
        provider(
            "openrouter",
            &["anthropic/claude-sonnet-4-6"],
            &[Dialect::OpenaiChat],
        ),
    ]
}

/// `provider/model`, or the refusal's name.
fn outcome(config: &Config, caller: &Caller, model: &str, endpoint: Endpoint) -> String {
    match decide(config, &Arc::new(caller.clone()), model, endpoint) {
        Ok(permit) => format!("{}/{}", permit.provider().id, permit.model()),
        Err(Denied::NoRole) => "no role".into(),
        Err(Denied::AdminsOnly) => "admins only".into(),
        Err(Denied::NoModel { .. }) => "no model".into(),
        Err(Denied::WrongEndpoint { .. }) => "wrong endpoint".into(),
    }
}

// === the founding document ===

#[test]
fn founding_open_access() {
    let config = config(
        founding_providers(),
        numbered(vec![grant(
            vec![Src::Everyone],
            vec![gives(Role::User), opens("*/**")],
        )]),
    );
    for caller in [person("alice@example.com"), tagged(&["tag:ci"])] {
        let of = |model, endpoint| outcome(&config, &caller, model, endpoint);
        assert_eq!(
            of("claude-haiku-4-5-20251001", MESSAGES),
            "anthropic/claude-haiku-4-5-20251001"
        );
        assert_eq!(of("gpt-4o", CHAT), "openai/gpt-4o");
        assert_eq!(of("openai/gpt-4o", CHAT), "openai/gpt-4o");
        assert_eq!(
            of("anthropic/claude-sonnet-4-6", CHAT),
            "openrouter/anthropic/claude-sonnet-4-6"
        );
        assert_eq!(of("gpt-4", CHAT), "no model");
        assert_eq!(of("gpt-4o", MESSAGES), "wrong endpoint");
        assert_eq!(role(&config, &caller).unwrap().0, Role::User);
    }
}

#[test]
fn founding_admin_and_scoped_user() {
    let config = config(
        founding_providers(),
        numbered(vec![
            grant(
                vec![login("admin@example.com")],
                vec![gives(Role::Admin), opens("*/**")],
            ),
            grant(
                vec![login("user@example.com")],
                vec![gives(Role::User), opens("anthropic/**")],
            ),
        ]),
    );
    let (admin, user) = (person("admin@example.com"), person("user@example.com"));
    assert_eq!(outcome(&config, &admin, "gpt-4o", CHAT), "openai/gpt-4o");
    assert_eq!(outcome(&config, &user, "gpt-4o", CHAT), "no model");
    assert_eq!(
        outcome(&config, &user, "claude-opus-4-5", MESSAGES),
        "anthropic/claude-opus-4-5"
    );
    assert_eq!(
        role(&config, &admin),
        Some((Role::Admin, "grants[0].app[0]: role admin".into()))
    );
    assert_eq!(
        role(&config, &user),
        Some((Role::User, "grants[1].app[0]: role user".into()))
    );
    for stranger in [
        person("Admin@example.com"),
        person("admin@example.com.evil.example"),
        tagged(&["tag:admin"]),
    ] {
        assert_eq!(outcome(&config, &stranger, "gpt-4o", CHAT), "no role");
        assert_eq!(role(&config, &stranger), None);
        assert!(visible_models(&config, &stranger).is_empty());
        assert!(!may_read_metrics(&config, &stranger));
    }
}

fn tiers() -> Vec<Provider> {
    let messages = [Dialect::AnthropicMessages];
    vec![
        provider("anthropic-fast", &["claude-haiku-4-5-20251001"], &messages),
        provider("anthropic-power", &["claude-opus-4-5"], &messages),
    ]
}

fn tier_grants() -> Vec<Grant> {
    vec![
        grant(
            vec![login("senior-eng@company.com")],
            vec![opens("anthropic-power/**")],
        ),
        grant(vec![Src::Everyone], vec![opens("anthropic-fast/**")]),
    ]
}

#[test]
fn founding_tiers_alone_give_no_role() {
    let config = config(tiers(), numbered(tier_grants()));
    for caller in [person("senior-eng@company.com"), person("bob@company.com")] {
        let refused = decide(&config, &Arc::new(caller), "claude-opus-4-5", MESSAGES);
        assert_eq!(refused.unwrap_err(), Denied::NoRole);
    }
}

#[test]
fn founding_tiers_with_a_role() {
    let mut grants = tier_grants();
    grants.push(grant(vec![Src::Everyone], vec![gives(Role::User)]));
    let config = config(tiers(), numbered(grants));
    let senior = person("senior-eng@company.com");
    let junior = person("bob@company.com");
    assert_eq!(
        outcome(&config, &senior, "claude-opus-4-5", MESSAGES),
        "anthropic-power/claude-opus-4-5"
    );
    assert_eq!(
        outcome(&config, &senior, "claude-haiku-4-5-20251001", MESSAGES),
        "anthropic-fast/claude-haiku-4-5-20251001"
    );
    assert_eq!(
        outcome(&config, &junior, "claude-opus-4-5", MESSAGES),
        "no model"
    );
    let permit = decide(
        &config,
        &Arc::new(senior),
        "claude-opus-4-5",
        Endpoint::AnthropicCountTokens,
    )
    .unwrap();
    assert_eq!(
        permit.grant(),
        "grants[0].app[0]: models anthropic-power/**"
    );
}

/// One model under two ids of one upstream: the tier that the caller may use is taken, not the preferred one.
#[test]
fn the_preferred_provider_among_the_granted_is_taken() {
    let messages = [Dialect::AnthropicMessages];
    let mut dear = provider("dear", &["opus"], &messages);
    dear.preference = 10;
    let mut off = provider("off", &["opus"], &messages);
    (off.preference, off.disabled) = (99, true);
    let providers = vec![
        dear,
        off,
        provider("cheap-2", &["opus"], &messages),
        provider("cheap-1", &["opus"], &messages),
        provider("chat", &["opus"], &[Dialect::OpenaiChat]),
    ];
    let config = config(
        providers,
        numbered(vec![
            grant(
                vec![Src::Everyone],
                vec![gives(Role::User), opens("cheap-*/*"), opens("off/*")],
            ),
            grant(vec![login("senior@example.com")], vec![opens("**")]),
        ]),
    );
    let junior = person("junior@example.com");
    let senior = person("senior@example.com");
    for (caller, model, endpoint, expected) in [
        (&senior, "opus", MESSAGES, "dear/opus"),
        (&senior, "cheap-2/opus", MESSAGES, "cheap-2/opus"),
        (&senior, "opus", CHAT, "chat/opus"),
        (&senior, "chat/opus", MESSAGES, "wrong endpoint"),
        (&senior, "off/opus", MESSAGES, "no model"),
        // Equal preference goes by id.
        (&junior, "opus", MESSAGES, "cheap-1/opus"),
        (&junior, "dear/opus", MESSAGES, "no model"),
        (&junior, "cheap-2/opus", MESSAGES, "cheap-2/opus"),
        // The model is served over chat, but that is not this caller's to know.
        (&junior, "chat/opus", MESSAGES, "no model"),
        (&junior, "chat/opus", CHAT, "no model"),
        // What the caller may use is served over messages, and that it may know.
        (&junior, "opus", CHAT, "wrong endpoint"),
    ] {
        assert_eq!(
            outcome(&config, caller, model, endpoint),
            expected,
            "{} {model} {endpoint:?}",
            caller.login
        );
    }
}

// === names ===

#[test]
fn an_exact_id_wins_over_a_prefix_unless_it_is_closed() {
    let chat = [Dialect::OpenaiChat];
    let providers = || {
        vec![
            provider("a", &["m"], &chat),
            provider("z", &["a/m", "m/"], &chat),
        ]
    };
    let everyone = |globs: &[&str]| {
        let mut capabilities = vec![gives(Role::User)];
        capabilities.extend(globs.iter().map(|glob| opens(glob)));
        numbered(vec![grant(vec![Src::Everyone], capabilities)])
    };
    let caller = person("alice@example.com");
    let open = config(providers(), everyone(&["**"]));
    assert_eq!(outcome(&open, &caller, "a/m", CHAT), "z/a/m");
    assert_eq!(outcome(&open, &caller, "z/a/m", CHAT), "z/a/m");
    assert_eq!(outcome(&open, &caller, "m", CHAT), "a/m");
    assert_eq!(outcome(&open, &caller, "m/", CHAT), "z/m/");
    for name in ["", "/", "a/", "/m", "a//m", "A/m", "b/m", "a/m/", " m"] {
        assert_eq!(outcome(&open, &caller, name, CHAT), "no model", "{name:?}");
    }
    let scoped = config(providers(), everyone(&["a/**"]));
    assert_eq!(outcome(&scoped, &caller, "a/m", CHAT), "a/m");

    let caller = Arc::new(caller);
    assert!(!decide(&open, &caller, "a/m", CHAT).unwrap().prefixed());
    assert!(decide(&scoped, &caller, "a/m", CHAT).unwrap().prefixed());
}

#[test]
fn refusals_say_what_the_caller_may_know() {
    let mut grants = tier_grants();
    grants.push(grant(vec![Src::Everyone], vec![gives(Role::User)]));
    let mut providers = tiers();
    providers.push(provider(
        "openai",
        &["claude-haiku-4-5-other"],
        &[Dialect::OpenaiChat],
    ));
    let config = config(providers, numbered(grants));
    let junior = Arc::new(person("bob@company.com"));

    // Exists but is closed, and does not exist: alike but for the name.
    for name in ["claude-opus-4-5", "claude-opus-4-6"] {
        assert_eq!(
            decide(&config, &junior, name, MESSAGES).unwrap_err(),
            Denied::NoModel {
                model: name.into(),
                nearest: Vec::new(),
            }
        );
    }
    // The near one of another route, or closed, is not told.
    let near = |name: &str| match decide(&config, &junior, name, MESSAGES) {
        Err(Denied::NoModel { nearest, .. }) => nearest,
        other => panic!("{other:?}"),
    };
    assert_eq!(near("claude-haiku-4-5"), ["claude-haiku-4-5-20251001"]);
    assert_eq!(
        near("anthropic-fst/claude-haiku-4-5-20251001"),
        ["anthropic-fast/claude-haiku-4-5-20251001"]
    );

    assert_eq!(
        decide(&config, &junior, "claude-haiku-4-5-20251001", CHAT).unwrap_err(),
        Denied::WrongEndpoint {
            model: "claude-haiku-4-5-20251001".into(),
            endpoint: "openai_chat",
            instead: vec!["/v1/messages"],
        }
    );

    let Err(Denied::NoModel { model, nearest }) =
        decide(&config, &junior, &"é".repeat(1 << 20), MESSAGES)
    else {
        panic!("found")
    };
    assert_eq!(model, format!("{}…", "é".repeat(128)));
    assert!(nearest.is_empty());
}

// === who ===

/// Every form of `src` against every kind of caller.
#[test]
fn each_role_reaches_exactly_those_that_src_names() {
    let alice = person("alice@example.com");
    let mut grouped = person("carol@example.com");
    grouped.groups = vec!["group:eng".into(), "sales@example.com".into()];
    let one_tag = tagged(&["tag:ci"]);
    let two_tags = tagged(&["tag:api", "tag:prod"]);
    let mut dev = person("alice@example.com");
    dev.dev = true;
    // Names that try to look like something else.
    let posing = person("tag:ci");
    let posing_two = person("tag:api,tag:prod");
    let mut tagged_in_group = tagged(&["tag:x"]);
    tagged_in_group.groups = vec!["group:eng".into()];
    let callers = [
        &alice,
        &grouped,
        &one_tag,
        &two_tags,
        &dev,
        &posing,
        &posing_two,
        &tagged_in_group,
    ];
    // For each src: whom of `callers` it names.
    let table = [
        (Src::Everyone, [1, 1, 1, 1, 1, 1, 1, 1]),
        (login("alice@example.com"), [1, 0, 0, 0, 1, 0, 0, 0]),
        (login("Alice@example.com"), [0; 8]),
        (login("alice"), [0; 8]),
        (login("sales@example.com"), [0, 1, 0, 0, 0, 0, 0, 0]),
        (login("tagged-devices"), [0; 8]),
        (login("tag:ci"), [0, 0, 0, 0, 0, 1, 0, 0]),
        (login("group:eng"), [0; 8]),
        (tags(&["tag:ci"]), [0, 0, 1, 0, 0, 0, 0, 0]),
        (tags(&["tag:api"]), [0; 8]),
        (tags(&["tag:api", "tag:prod"]), [0, 0, 0, 1, 0, 0, 0, 0]),
        (tags(&["tag:api", "tag:ci", "tag:prod"]), [0; 8]),
        (tags(&[]), [0; 8]),
        (Src::Group("group:eng".into()), [0, 1, 0, 0, 0, 0, 0, 0]),
        (Src::Group("eng".into()), [0, 1, 0, 0, 0, 0, 0, 0]),
        (
            Src::Group("group:sales@example.com".into()),
            [0, 1, 0, 0, 0, 0, 0, 0],
        ),
        (Src::Group("group:ENG".into()), [0; 8]),
        (Src::Group("group:alice@example.com".into()), [0; 8]),
        (Src::Loopback, [0, 0, 0, 0, 1, 0, 0, 0]),
    ];
    for role_given in [Role::User, Role::Admin] {
        for (src, named) in &table {
            let config = config(
                tiers(),
                numbered(vec![grant(vec![src.clone()], vec![gives(role_given)])]),
            );
            for (caller, named) in callers.iter().zip(named) {
                let expected = (*named == 1).then_some(role_given);
                assert_eq!(
                    role(&config, caller).map(|(role, _)| role),
                    expected,
                    "{src:?} {caller:?}"
                );
            }
        }
    }
}

#[test]
fn the_highest_role_of_document_and_tailnet_policy_holds() {
    let config = config(
        Vec::new(),
        numbered(vec![
            grant(vec![], vec![gives(Role::Admin)]),
            grant(vec![Src::Everyone], vec![gives(Role::User)]),
            grant(vec![Src::Everyone], vec![gives(Role::User)]),
        ]),
    );
    let mut caller = person("alice@example.com");
    assert_eq!(
        role(&config, &caller),
        Some((Role::User, "grants[1].app[0]: role user".into()))
    );
    caller.capabilities = vec![Capability {
        origin: "tailnet policy [0]".into(),
        ..gives(Role::Admin)
    }];
    assert_eq!(
        role(&config, &caller),
        Some((Role::Admin, "tailnet policy [0]: role admin".into()))
    );
}

#[test]
fn metrics_and_prices_are_for_admins_and_those_with_the_grant() {
    let reads = Capability {
        read_metrics: true,
        read_pricing: true,
        ..Capability::default()
    };
    let config = config(
        Vec::new(),
        numbered(vec![
            grant(vec![tags(&["tag:prometheus"])], vec![reads]),
            grant(
                vec![login("admin@example.com")],
                vec![gives(Role::User), gives(Role::Admin)],
            ),
            grant(vec![login("user@example.com")], vec![gives(Role::User)]),
        ]),
    );
    let prometheus = tagged(&["tag:prometheus"]);
    assert!(may_read_metrics(&config, &prometheus));
    assert_eq!(role(&config, &prometheus), None);
    assert!(may_read_metrics(&config, &person("admin@example.com")));
    assert!(!may_read_metrics(&config, &person("user@example.com")));
    assert!(!may_read_metrics(&config, &person("nobody@example.com")));
    assert!(may_read_pricing(&config, &prometheus));
    assert!(may_read_pricing(&config, &person("admin@example.com")));
    assert!(!may_read_pricing(&config, &person("user@example.com")));
}

// === what a permit carries ===

#[test]
fn settings_come_from_what_is_in_scope_in_the_order_of_the_document() {
    let header = |value: &'static str| {
        (
            HeaderName::from_static("x-team"),
            HeaderValue::from_static(value),
        )
    };
    let adds = |value, scope: Option<&str>| Capability {
        add_headers: vec![header(value)],
        ..scope.map_or_else(Capability::default, opens)
    };
    let mut config = config(
        tiers(),
        numbered(vec![
            grant(
                vec![Src::Everyone],
                vec![
                    gives(Role::User),
                    adds("floating", None),
                    adds("power", Some("anthropic-power/**")),
                ],
            ),
            grant(vec![login("other@example.com")], vec![adds("other", None)]),
            grant(
                vec![Src::Everyone],
                vec![adds("fast", Some("anthropic-fast/**"))],
            ),
        ]),
    );
    let mut caller = person("alice@example.com");
    caller.capabilities = vec![adds("policy", None)];
    let caller = Arc::new(caller);
    let added = |config: &Config, model: &str| -> Vec<String> {
        let permit = decide(config, &caller, model, MESSAGES).unwrap();
        let lines = permit.add_headers().iter();
        lines
            .map(|(_, value)| value.to_str().unwrap().to_owned())
            .collect()
    };
    assert_eq!(
        added(&config, "claude-opus-4-5"),
        ["floating", "power", "policy"]
    );
    assert_eq!(
        added(&config, "claude-haiku-4-5-20251001"),
        ["floating", "fast", "policy"]
    );

    // The strictest capture of gateway, provider and grants in scope.
    let modes = [CaptureMode::Full, CaptureMode::Metadata, CaptureMode::None];
    for gateway in modes {
        for of_provider in modes {
            for of_grant in modes {
                for scope in ["anthropic-power/**", "anthropic-fast/**"] {
                    config.gateway.capture.mode = gateway;
                    let mut power = tiers().remove(1);
                    power.capture = of_provider;
                    config.providers.insert(power.id.clone(), Arc::new(power));
                    config.grants[2].capabilities[0] = Capability {
                        capture: Some(of_grant),
                        ..opens(scope)
                    };
                    let permit = decide(&config, &caller, "claude-opus-4-5", MESSAGES).unwrap();
                    let in_scope = if scope == "anthropic-power/**" {
                        of_grant
                    } else {
                        CaptureMode::Full
                    };
                    let strictest = [gateway, of_provider, in_scope].into_iter().max();
                    assert_eq!(Some(permit.capture()), strictest);
                }
            }
        }
    }
}

#[test]
fn an_explanation_has_each_grant_each_provider_and_the_decision() {
    let mut grants = tier_grants();
    grants.push(grant(vec![Src::Everyone], vec![gives(Role::User)]));
    let config = config(tiers(), numbered(grants));
    let junior = Arc::new(person("bob@company.com"));
    let told = |model: &str| -> Vec<String> {
        explain(&config, &junior, model, MESSAGES)
            .into_iter()
            .map(|Line { place, holds, why }| format!("{} {place} | {why}", u8::from(holds)))
            .collect()
    };
    assert_eq!(
        told("claude-haiku-4-5-20251001"),
        [
            "0 grants[0] | names senior-eng@company.com, not bob@company.com",
            "1 grants[1] | names bob@company.com as *",
            "1 grants[1].app[0] | grants[1].app[0]: models anthropic-fast/** opens anthropic-fast/claude-haiku-4-5-20251001",
            "1 grants[2] | names bob@company.com as *",
            "1 grants[2].app[0] | grants[2].app[0]: role user",
            "1 providers.anthropic-fast | serves claude-haiku-4-5-20251001: chosen",
            "1 decision | claude-haiku-4-5-20251001 goes to anthropic-fast by grants[1].app[0]: models anthropic-fast/**",
        ]
    );
    assert_eq!(
        told("claude-opus-4-5"),
        [
            "0 grants[0] | names senior-eng@company.com, not bob@company.com",
            "1 grants[1] | names bob@company.com as *",
            "0 grants[1].app[0] | models anthropic-fast/** do not cover it",
            "1 grants[2] | names bob@company.com as *",
            "1 grants[2].app[0] | grants[2].app[0]: role user",
            "0 providers.anthropic-power | serves claude-opus-4-5, but no grant opens it",
            "0 decision | model not found: claude-opus-4-5",
        ]
    );
}
