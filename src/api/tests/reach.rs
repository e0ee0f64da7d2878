//! Who reaches what: every operation for every kind of caller, and every way to ask for another person's data.

use super::{
    super::{table::Access, *},
    house::{BOBS, BOBS_WORDS, House, bob, bobs_request, caller, carol, dora, json, text},
};
use crate::{record::RequestId, store::AuditAction};

/// The addresses of all reading operations, those with an id of Bob's data.
fn addresses() -> Vec<(&'static Operation, String)> {
    let reading = table::operations().filter(|operation| operation.method == Method::GET);
    let filled = reading.map(|operation| {
        let path = operation
            .path
            .replace("{session}", &BOBS.to_string())
            .replace("{request}", &bobs_request().to_string())
            .replace("{model}", "claude-haiku-4-5")
            .replace("{version}", "1");
        (operation, path)
    });
    filled.collect()
}

#[tokio::test]
async fn admins_reach_everything_users_their_own() {
    let house = House::filled().await;
    for (operation, path) in addresses() {
        let of_bob = path.contains(&BOBS.to_string()) || path.contains(&bobs_request().to_string());
        let (own, others) = match operation.access {
            // Prices need a grant of their own.
            Access::Admins | Access::Stated => (403, 403),
            Access::Everybody if of_bob => (200, 404),
            Access::Everybody => (200, 200),
        };
        for (who, role, status) in [
            (dora(), Role::Admin, 200),
            (bob(), Role::User, own),
            (carol(), Role::User, others),
        ] {
            let rsp = house.get(&who, role, &path).await;
            assert_eq!(
                rsp.status(),
                status,
                "{path} for {}: {}",
                who.login,
                text(&rsp)
            );
            let caching = rsp.headers()["cache-control"].to_str().unwrap();
            let private = caching == "no-store" || caching.starts_with("private");
            assert!(private, "{path}: {caching}");
            assert_eq!(rsp.headers()["x-content-type-options"], "nosniff");
            assert_eq!(rsp.headers()["cross-origin-resource-policy"], "same-origin");
        }
    }
}

#[tokio::test]
async fn another_user_never_sees_a_word_of_bobs_data() {
    let house = House::filled().await;
    let mut bob_saw = 0;
    for (operation, path) in addresses() {
        let mut queries = vec![String::new()];
        for parameter in operation.parameters {
            let values = match parameter.name {
                "user" => vec!["bob%40example.com", "user%3Abob", "carol@example.com"],
                "q" => vec!["bobs", "00000b0b", "ses_00000000000000000000000000000b0b"],
                "session" => vec!["ses_00000000000000000000000000000b0b"],
                "group_by" => vec!["user", "user,model,client", "tool", "user,model,tool"],
                "format" => vec!["csv", "json"],
                "cursor" => vec!["req_ffffffffffffffffffffffffffffffff"],
                "model" => vec!["claude-haiku-4-5"],
                "provider" => vec!["anthropic"],
                "client" => vec!["claude-code"],
                "tool" => vec!["bobs-tool"],
                "end" => vec!["upstream_error"],
                "status_class" => vec!["5xx"],
                "from" => vec!["2026-11-22"],
                "to" => vec!["2026-11-24"],
                "limit" => vec!["500"],
                other if operation.path.contains(&format!("{{{other}}}")) => vec![],
                // Prices have parameters of their own, and nobody's data.
                _ => vec![],
            };
            queries.extend(
                values
                    .iter()
                    .map(|value| format!("{}={value}", parameter.name)),
            );
        }
        for query in queries {
            let address = format!("{path}?{query}");
            // What the address itself says may be repeated; what it does not say must not appear.
            let rsp = house.get(&carol(), Role::User, &address).await;
            let said = percent_encoding::percent_decode_str(&address).decode_utf8_lossy();
            for word in BOBS_WORDS.iter().filter(|word| !said.contains(*word)) {
                assert!(
                    !text(&rsp).contains(word),
                    "{address} says {word}: {}",
                    text(&rsp)
                );
            }
            let rsp = house.get(&bob(), Role::User, &address).await;
            bob_saw += usize::from(BOBS_WORDS.iter().any(|word| text(&rsp).contains(word)));
            assert!(!text(&rsp).contains("doras-title"), "{address}");
        }
    }
    assert!(
        bob_saw > 20,
        "the words are where they should be: {bob_saw}"
    );
}

#[tokio::test]
async fn what_is_anothers_looks_like_what_does_not_exist() {
    let house = House::filled().await;
    let nothing = RequestId(7).to_string();
    for path in [
        format!("/aperture/requests/{}", bobs_request()),
        format!("/aperture/requests/{}/capture", bobs_request()),
        format!("/aperture/sessions/{BOBS}"),
    ] {
        let unknown = path
            .replace(&bobs_request().to_string(), &nothing)
            .replace(&BOBS.to_string(), "ses_00000000000000000000000000000007");
        let one = house.get(&carol(), Role::User, &path).await;
        let two = house.get(&carol(), Role::User, &unknown).await;
        assert_eq!(one.status(), StatusCode::NOT_FOUND);
        assert_eq!(one.headers(), two.headers());
        assert_eq!(
            text(&one).replace(&path, ""),
            text(&two).replace(&unknown, "")
        );
    }
    let ask = async |user: &str| {
        let path = format!("/aperture/usage?user={user}");
        house.get(&carol(), Role::User, &path).await
    };
    let (theirs, nobodys) = (
        ask("bob@example.com").await,
        ask("nobody@example.com").await,
    );
    assert_eq!(theirs.status(), StatusCode::NOT_FOUND);
    assert_eq!(theirs.body(), nobodys.body());
    assert_eq!(ask("carol@example.com").await.status(), StatusCode::OK);
}

#[tokio::test]
async fn the_stable_key_owns_data_and_not_the_login() {
    let house = House::filled().await;
    let named = |user: &str, login: &str| {
        Arc::new(Caller {
            user: user.into(),
            login: login.into(),
            ..(*caller("x")).clone()
        })
    };
    let session = format!("/aperture/sessions/{BOBS}");
    let successor = named("user:99", "bob@example.com");
    let rsp = house.get(&successor, Role::User, &session).await;
    assert_eq!(rsp.status(), StatusCode::NOT_FOUND);
    let rsp = house
        .get(
            &successor,
            Role::User,
            "/aperture/usage?user=bob@example.com",
        )
        .await;
    assert_eq!(json(&rsp)["total"]["requests"], 0);
    let renamed = named("user:bob", "robert@example.com");
    let rsp = house.get(&renamed, Role::User, &session).await;
    assert_eq!(rsp.status(), StatusCode::OK);
}

#[tokio::test]
async fn an_admin_may_ask_about_one_person() {
    let house = House::filled().await;
    for (user, requests) in [
        ("bob@example.com", 2),
        ("dora@example.com", 1),
        ("nobody@example.com", 0),
    ] {
        let usage = house.told(&format!("/aperture/usage?user={user}")).await;
        assert_eq!(usage["total"]["requests"], requests, "{user}");
        let list = house.told(&format!("/aperture/requests?user={user}")).await;
        assert_eq!(
            list["requests"].as_array().unwrap().len(),
            requests,
            "{user}"
        );
    }
}

#[tokio::test]
async fn reading_anothers_texts_and_taking_tables_along_is_in_the_audit_trail() {
    let house = House::filled().await;
    let capture = format!("/aperture/requests/{}/capture", bobs_request());
    for (who, role) in [
        (bob(), Role::User),
        (bob(), Role::Admin),
        (carol(), Role::User),
    ] {
        house.get(&who, role, &capture).await;
    }
    house
        .get(&bob(), Role::User, "/aperture/requests?format=csv")
        .await;
    house.get(&dora(), Role::Admin, "/aperture/requests").await;
    let own = "/aperture/requests?format=csv&user=dora@example.com";
    house.get(&dora(), Role::Admin, own).await;
    house.flush().await;
    assert_eq!(house.api.store.audit(None, 10).unwrap().items, []);

    let rsp = house.get(&dora(), Role::Admin, &capture).await;
    assert!(text(&rsp).contains("bobs-prompt"));
    for path in ["requests", "sessions", "usage", "tools"] {
        house
            .get(
                &dora(),
                Role::Admin,
                &format!("/aperture/{path}?format=csv"),
            )
            .await;
    }
    house.flush().await;
    let trail = house.api.store.audit(None, 10).unwrap().items;
    assert_eq!(trail.len(), 5);
    let viewed = trail.last().unwrap();
    assert_eq!(viewed.action, AuditAction::ViewedCapture);
    assert_eq!(viewed.subject, bobs_request().to_string());
    assert_eq!(
        (viewed.who.as_str(), viewed.detail.as_str()),
        ("user:dora", "of bob@example.com")
    );
    assert!(
        trail[..4]
            .iter()
            .all(|entry| entry.action == AuditAction::Exported)
    );
    let told = house.told("/aperture/audit").await;
    assert_eq!(told["entries"].as_array().unwrap().len(), 5);
    assert_eq!(told["entries"][4]["action"], "viewed_capture");
    for (query, count) in [
        ("user=dora@example.com", 5),
        ("user=host", 0),
        ("action=exported", 4),
        ("action=viewed_capture&limit=1", 1),
        ("action=erased", 0),
        ("from=2026-11-23", 5),
        ("to=2026-11-23", 0),
        ("from=2026-11-24", 0),
    ] {
        let told = house.told(&format!("/aperture/audit?{query}")).await;
        assert_eq!(told["entries"].as_array().unwrap().len(), count, "{query}");
    }
}
