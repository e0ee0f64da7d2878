use super::*;
use crate::{
    config::grant::Role,
    identity::testing::answer,
    tailnet::localapi::{Node, UserProfile},
};
use serde_json::{Value, json};

const CAPABILITY: &str = "tailscale.com/cap/aperture";

fn read_answer(whois: WhoIs) -> Result<Caller, Unidentified> {
    caller(whois, &[CAPABILITY.into()], false)
}

/// Reads an answer as the node writes it.
fn parsed(json: Value) -> Result<Caller, Unidentified> {
    read_answer(serde_json::from_value(json).unwrap())
}

#[test]
fn a_person_owns_by_id_and_is_called_by_login() {
    let caller = parsed(json!({
        "Node": {
            "ID": 7, "StableID": "nABC", "Name": "laptop.example.ts.net.", "User": 42,
            "ComputedName": "laptop", "KeyExpiry": "2020-01-01T00:00:00Z", "Tags": null,
        },
        "UserProfile": {
            "ID": 42, "LoginName": "Alice@Example.com", "DisplayName": "Alice A.",
            "Groups": ["group:eng", "sales@example.com"],
        },
        "CapMap": null,
    }))
    .unwrap();
    assert_eq!(&*caller.user, "user:42");
    assert_eq!(&*caller.login, "Alice@Example.com");
    assert_eq!(&*caller.display, "Alice A.");
    assert_eq!(caller.node.as_str(), "nABC");
    assert_eq!(&*caller.node_name, "laptop");
    assert_eq!(caller.groups, ["group:eng", "sales@example.com"]);
    assert!(caller.is_person() && !caller.dev && caller.capabilities.is_empty());
}

#[test]
fn a_renamed_login_stays_the_same_user() {
    let before = read_answer(answer("n1", 42, "alice@example.com")).unwrap();
    let after = read_answer(answer("n1", 42, "alice.b@example.com")).unwrap();
    let heir = read_answer(answer("n1", 43, "alice@example.com")).unwrap();
    assert_eq!(before.user, after.user);
    assert_ne!(before.user, heir.user);
}

#[test]
fn a_tagged_node_is_its_tags_whatever_profile_comes_with_it() {
    for (id, login) in [(2_147_455_555, "tagged-devices"), (42, "alice@example.com")] {
        let mut whois = answer("n1", id, login);
        whois.node.tags = Some(vec!["tag:prod".into(), "tag:api".into(), "tag:prod".into()]);
        whois.user_profile.groups = Some(vec!["group:eng".into()]);
        whois.user_profile.display_name = "Alice".into();
        let caller = read_answer(whois).unwrap();
        assert_eq!(&*caller.user, "tags:tag:api,tag:prod");
        assert_eq!(&*caller.login, "tag:api,tag:prod");
        assert_eq!(&*caller.display, "tag:api,tag:prod");
        assert_eq!(caller.tags, ["tag:api", "tag:prod"]);
        assert!(caller.groups.is_empty() && !caller.is_person());
    }
}

#[test]
fn a_user_shared_in_is_that_user() {
    let mut whois = answer("n1", 77, "guest@other.example");
    whois.node.sharer = 42;
    let caller = read_answer(whois.clone()).unwrap();
    assert_eq!(&*caller.user, "user:77");
    assert_eq!(&*caller.login, "guest@other.example");

    // Tags of another tailnet are not ours, though they read the same.
    whois.node.tags = Some(vec!["tag:ci".into()]);
    assert_eq!(read_answer(whois), Err(Unidentified::Nobody));
}

#[test]
fn neither_owner_nor_tags_is_nobody() {
    let mut nameless = answer("n1", 42, "");
    nameless.node.tags = Some(Vec::new());
    let tagless = answer("n1", 2_147_455_555, "tagged-devices");
    for whois in [answer("n1", 0, "alice@example.com"), nameless, tagless] {
        assert_eq!(read_answer(whois), Err(Unidentified::Nobody));
    }
    let ownerless = parsed(json!({"Node": {"StableID": "n1"}, "UserProfile": {}}));
    assert_eq!(ownerless, Err(Unidentified::Nobody));
}

#[test]
fn an_expired_node_is_refused_and_one_without_id_too() {
    let mut whois = answer("n1", 42, "alice@example.com");
    whois.node.expired = true;
    assert_eq!(read_answer(whois.clone()), Err(Unidentified::Expired));
    whois.node.tags = Some(vec!["tag:ci".into()]);
    assert_eq!(read_answer(whois), Err(Unidentified::Expired));
    let anonymous = read_answer(answer("", 42, "alice@example.com"));
    assert!(matches!(anonymous, Err(Unidentified::Failed(_))));
}

#[test]
fn names_fall_back() {
    let whois = WhoIs {
        node: Node {
            stable_id: "n1".into(),
            computed_name: "laptop".into(),
            ..Node::default()
        },
        user_profile: UserProfile {
            id: 42,
            login_name: "alice@example.com".into(),
            ..UserProfile::default()
        },
        cap_map: None,
    };
    let caller = read_answer(whois).unwrap();
    assert_eq!(&*caller.display, "alice@example.com");
    assert_eq!(&*caller.node_name, "laptop");
}

fn capabilities(cap_map: Value, names: &[&str]) -> Vec<Capability> {
    let mut whois = answer("n1", 42, "alice@example.com");
    whois.cap_map = serde_json::from_value(cap_map).unwrap();
    let names: Vec<String> = names.iter().map(ToString::to_string).collect();
    caller(whois, &names, false).unwrap().capabilities
}

#[test]
fn capabilities_of_our_name_come_along_in_order() {
    let map = json!({
        CAPABILITY: [{"role": "user"}, {"models": "anthropic/**"}],
        "example.com/cap/aperture": [{"role": "admin"}],
        "tailscale.com/cap/aperture2": [{"role": "admin"}],
        "TAILSCALE.COM/cap/aperture": [{"role": "admin"}],
    });
    let ours = capabilities(map.clone(), &[CAPABILITY]);
    assert_eq!(ours.len(), 2);
    assert_eq!(&*ours[0].origin, "tailnet policy [0]");
    assert_eq!(ours[0].role, Some(Role::User));
    assert_eq!(&*ours[1].origin, "tailnet policy [1]");
    assert_eq!(ours[1].models[0].as_str(), "anthropic/**");

    let both = capabilities(map.clone(), &["example.com/cap/aperture", CAPABILITY]);
    let roles: Vec<_> = both.iter().map(|it| it.role).collect();
    assert_eq!(roles, [Some(Role::Admin), Some(Role::User), None]);
    assert_eq!(&*both[2].origin, "tailnet policy [2]");
    assert!(capabilities(map, &[]).is_empty());
}

#[test]
fn malformed_capabilities_give_nothing() {
    for map in [
        json!(null),
        json!({}),
        json!({ CAPABILITY: null }),
        json!({ CAPABILITY: [] }),
        json!({ CAPABILITY: [null, "admin", 1, true, [], [{"role": "admin"}]] }),
    ] {
        assert!(capabilities(map.clone(), &[CAPABILITY]).is_empty(), "{map}");
    }
    for forged in [
        json!({"role": "root"}),
        json!({"role": ["admin"]}),
        json!({"role": {"role": "admin"}}),
        json!({"role": true}),
        json!({"Role": "admin"}),
        json!({"models": 5}),
        json!({"read_metrics": "true"}),
    ] {
        let read = capabilities(json!({ CAPABILITY: [forged.clone()] }), &[CAPABILITY]);
        for capability in read {
            assert_eq!(capability.role, None, "{forged}");
            assert!(capability.models.is_empty(), "{forged}");
            assert!(!capability.read_metrics, "{forged}");
        }
    }
    // One bad value does not hide the good ones.
    let mixed = capabilities(
        json!({ CAPABILITY: [null, {"role": "user"}] }),
        &[CAPABILITY],
    );
    assert_eq!(mixed.len(), 1);
    assert_eq!(mixed[0].role, Some(Role::User));
    assert_eq!(&*mixed[0].origin, "tailnet policy [1]");
}
