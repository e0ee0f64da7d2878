//! Who reaches what: every route for every kind of caller, from one table.

use super::{
    house::{BOBS, BOBS_WORDS, bob, bobs_request, capture, carol, dora, id, record},
    *,
};
use crate::{
    record::{CaptureMode, Record, RequestId, SessionId},
    store::AuditAction,
};
use http::header::{CONTENT_DISPOSITION, CONTENT_TYPE};
use route::Side;

/// Every route, those with an id of Bob's data, and of nothing.
fn routes() -> Vec<Route> {
    let nothing = RequestId(7);
    let mut routes = Route::every(BOBS, bobs_request(), "bob@example.com");
    routes.extend([
        Route::Session(SessionId(7)),
        Route::Request(nothing),
        Route::Body(nothing, Side::Request),
        Route::Person("nobody@example.com".into()),
        Route::Json(nothing),
    ]);
    routes
}

/// What an admin, Bob, and another user get. A new route does not compile before it stands here.
fn expected(route: &Route) -> [u16; 3] {
    match route {
        Route::Overview
        | Route::Logs
        | Route::Tools
        | Route::Adoption
        | Route::People
        | Route::Models
        | Route::Connect
        | Route::Live
        | Route::Style
        | Route::Script
        | Route::Icon => [200, 200, 200],
        Route::Session(id) if *id == BOBS => [200, 200, 404],
        Route::Request(id) | Route::Body(id, _) | Route::Json(id) if *id == bobs_request() => {
            [200, 200, 404]
        }
        Route::Session(_) | Route::Request(_) | Route::Body(..) | Route::Json(_) => [404, 404, 404],
        Route::Person(login) if login == "bob@example.com" => [200, 403, 403],
        // There is no such person, nor such a version.
        Route::Person(_) | Route::Version(_) => [404, 403, 403],
        Route::Settings
        | Route::AddProvider
        | Route::AddGrant
        | Route::MakeAdmin
        | Route::History
        | Route::NodeLogin
        | Route::Access
        | Route::Audit => [200, 403, 403],
        // Only forms are sent there.
        Route::Check => [405, 405, 405],
        Route::Slash(_) => [308, 308, 308],
    }
}

fn callers() -> [(Arc<Caller>, Role); 3] {
    [
        (dora(), Role::Admin),
        (bob(), Role::User),
        (carol(), Role::User),
    ]
}

fn address(route: &Route) -> String {
    match route {
        Route::Slash(path) => path.trim_end_matches('/').to_owned(),
        route => route.path(),
    }
}

#[tokio::test]
async fn every_route_answers_every_caller_as_the_table_says() {
    let house = House::filled().await;
    for route in routes() {
        for ((caller, role), status) in callers().iter().zip(expected(&route)) {
            let rsp = house.ask(caller, *role, &address(&route)).await;
            assert_eq!(rsp.status(), status, "{route:?} for {}", caller.login);
            secured(&rsp);
        }
    }
}

fn secured(rsp: &Response<Bytes>) {
    let header = |name| rsp.headers().get(name).map(|v| v.to_str().unwrap());
    assert_eq!(header("content-security-policy"), Some(POLICY));
    assert_eq!(header("x-content-type-options"), Some("nosniff"));
    assert_eq!(header("referrer-policy"), Some("same-origin"));
    let asset = [
        "text/css; charset=utf-8",
        "text/javascript; charset=utf-8",
        "image/svg+xml",
    ];
    let kind = header("content-type").expect("a type");
    let caching = if asset.contains(&kind) {
        "public, max-age=31536000, immutable"
    } else {
        "no-store"
    };
    assert_eq!(header("cache-control"), Some(caching));
}

#[tokio::test]
async fn another_user_never_sees_a_word_of_bobs_data() {
    let house = House::filled().await;
    let mut addresses: Vec<String> = routes().iter().map(address).collect();
    for query in [
        "user=bob%40example.com",
        "user=user%3A2",
        "q=bobs",
        "q=00000b0b",
        "model=claude-haiku-4-5",
        "period=90d",
        "after=req_ffffffffffffffffffffffffffffffff",
        "client=claude-code",
        "provider=anthropic",
        "status=upstream_error",
        "status=5xx&period=90d",
        "until=2026-11-23",
        "tool=bobs-tool",
        "tool=Bash&user=bob%40example.com",
        "server=bobs",
        "action=exported",
        "who=bob%40example.com",
        "session=ses_00000000000000000000000000000b0b",
    ] {
        for route in [
            Route::Logs,
            Route::Overview,
            Route::Tools,
            Route::Adoption,
            Route::People,
            Route::Models,
            Route::Connect,
            Route::Live,
        ] {
            addresses.push(format!("{}?{query}", route.path()));
        }
    }
    let mut bob_saw = 0;
    for address in &addresses {
        // What the address itself says may be repeated; what it does not say must not appear.
        let rsp = house.ask(&carol(), Role::User, address).await;
        let said = percent_encoding::percent_decode_str(address).decode_utf8_lossy();
        for word in BOBS_WORDS.iter().filter(|word| !said.contains(*word)) {
            assert!(!text(&rsp).contains(word), "{address} says {word}");
        }
        let rsp = house.ask(&bob(), Role::User, address).await;
        bob_saw += usize::from(text(&rsp).contains("bobs-title"));
        assert!(!text(&rsp).contains("doras-title"), "{address}");
    }
    assert!(bob_saw > 5, "the words are where they should be");
}

#[tokio::test]
async fn what_is_anothers_looks_like_what_does_not_exist() {
    let house = House::filled().await;
    for (theirs, nothing) in [
        (Route::Session(BOBS), Route::Session(SessionId(7))),
        (Route::Request(bobs_request()), Route::Request(RequestId(7))),
        (
            Route::Body(bobs_request(), Side::Response),
            Route::Body(RequestId(7), Side::Response),
        ),
    ] {
        let one = house.ask(&carol(), Role::User, &theirs.path()).await;
        let two = house.ask(&carol(), Role::User, &nothing.path()).await;
        assert_eq!(one.body(), two.body());
        assert_eq!(one.headers(), two.headers());
    }
    let foreign = house
        .ask(&carol(), Role::User, "/ui/logs/?user=bob%40example.com")
        .await;
    let unknown = house
        .ask(&carol(), Role::User, "/ui/logs/?user=nobody")
        .await;
    assert_eq!(
        (foreign.status(), unknown.status()),
        (StatusCode::NOT_FOUND, StatusCode::NOT_FOUND)
    );
    assert_eq!(foreign.body(), unknown.body());
    let own = house
        .ask(&carol(), Role::User, "/ui/logs/?user=carol%40example.com")
        .await;
    assert_eq!(own.status(), StatusCode::OK);
}

#[tokio::test]
async fn the_stable_key_owns_data_and_not_the_login() {
    let house = House::filled().await;
    let successor = house::caller("user:99", "bob@example.com");
    let rsp = house
        .ask(&successor, Role::User, &Route::Session(BOBS).path())
        .await;
    assert_eq!(rsp.status(), StatusCode::NOT_FOUND);
    let renamed = house::caller("user:2", "robert@example.com");
    let rsp = house
        .ask(&renamed, Role::User, &Route::Session(BOBS).path())
        .await;
    assert_eq!(rsp.status(), StatusCode::OK);

    // Once the successor has sent something, the login means them.
    let fresh = Record {
        title: Some("successors-title".into()),
        ..record(&successor, id(1, 9), 0x99)
    };
    house.put(fresh, None);
    house.writer.flush().await.unwrap();
    let page = house
        .ask(&dora(), Role::Admin, "/ui/dashboard/bob@example.com")
        .await;
    assert!(text(&page).contains("successors-title") && !text(&page).contains("bobs-title"));
}

#[tokio::test]
async fn only_get_and_head_are_answered_but_for_the_forms_of_the_settings_and_the_login() {
    let house = House::filled().await;
    for route in routes() {
        for ((caller, role), status) in callers().iter().zip(expected(&route)) {
            let path = address(&route);
            for method in ["POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE"] {
                let req = http::Request::builder().method(method).uri(&path);
                let req = req.body(()).unwrap().into_parts().0;
                let rsp = handle_at(&house.dashboard, caller, *role, &req, nothing(), NOW).await;
                let expected = match (route.methods().contains("POST") && method == "POST", role) {
                    (false, _) => StatusCode::METHOD_NOT_ALLOWED,
                    (true, Role::User) => StatusCode::FORBIDDEN,
                    // No form.
                    (true, Role::Admin) => StatusCode::UNSUPPORTED_MEDIA_TYPE,
                };
                assert_eq!(rsp.status(), expected, "{method} {path}");
                if expected == StatusCode::METHOD_NOT_ALLOWED {
                    assert_eq!(rsp.headers()[ALLOW], route.methods());
                }
                let takes_forms = route.of_settings() || route == Route::NodeLogin;
                assert_eq!(
                    route.methods() == "GET, HEAD",
                    !(takes_forms && route.methods().contains("POST"))
                );
            }
            if status == 405 {
                continue;
            }
            // What was just looked at is in the audit trail in a moment, and between two looks at that page it would grow.
            house.writer.flush().await.unwrap();
            let head = http::Request::head(&path).body(()).unwrap().into_parts().0;
            let head = handle_at(&house.dashboard, caller, *role, &head, nothing(), NOW).await;
            let full = house.ask(caller, *role, &path).await;
            assert_eq!(head.status(), status);
            assert!(head.body().is_empty());
            let length = full.body().len().to_string();
            assert_eq!(head.headers()[CONTENT_LENGTH], length.as_str());
        }
    }
}

#[tokio::test]
async fn looking_at_anothers_texts_is_in_the_audit_trail() {
    let house = House::filled().await;
    let bodiless = Record {
        capture: CaptureMode::Metadata,
        ..record(&bob(), id(3, 4), BOBS.0)
    };
    let bodiless_id = bodiless.id;
    house.put(bodiless, Some(capture("x", "y")));
    house.writer.flush().await.unwrap();

    let request = Route::Request(bobs_request()).path();
    let body = Route::Body(bobs_request(), Side::Request).path();
    house.ask(&bob(), Role::User, &request).await;
    house.ask(&bob(), Role::Admin, &request).await;
    house.ask(&carol(), Role::User, &request).await;
    house.ask(&carol(), Role::User, &body).await;
    house
        .ask(&dora(), Role::Admin, &Route::Request(bodiless_id).path())
        .await;
    let table = format!("{}?view=requests", Route::Session(BOBS).path());
    house.ask(&dora(), Role::Admin, &table).await;
    house
        .ask(&bob(), Role::User, &Route::Session(BOBS).path())
        .await;
    house.ask(&bob(), Role::User, &Route::People.path()).await;
    house.writer.flush().await.unwrap();
    assert_eq!(house.store.audit(None, 10).unwrap().items, []);

    house.ask(&dora(), Role::Admin, &request).await;
    house.ask(&dora(), Role::Admin, &body).await;
    house
        .ask(&dora(), Role::Admin, &Route::Json(bobs_request()).path())
        .await;
    house.writer.flush().await.unwrap();
    let trail = house.store.audit(None, 10).unwrap().items;
    assert_eq!(trail.len(), 3);
    for entry in trail {
        assert_eq!(entry.action, AuditAction::ViewedCapture);
        assert_eq!(
            (entry.who.as_str(), entry.login.as_str()),
            ("user:4", "dora@example.com")
        );
        assert_eq!(entry.subject, bobs_request().to_string());
        assert_eq!(entry.detail, "of bob@example.com");
    }

    // A conversation is texts, too; a table of people is an export.
    house
        .ask(&dora(), Role::Admin, &Route::Session(BOBS).path())
        .await;
    house.ask(&dora(), Role::Admin, &Route::People.path()).await;
    house.writer.flush().await.unwrap();
    let trail = house.store.audit(None, 2).unwrap().items;
    assert_eq!(trail[0].action, AuditAction::Exported);
    assert_eq!(trail[1].action, AuditAction::ViewedCapture);
    assert_eq!(trail[1].subject, BOBS.to_string());
    let page = house.ask(&dora(), Role::Admin, &Route::Audit.path()).await;
    assert!(text(&page).contains("opened texts") && text(&page).contains("people.csv"));
}

#[tokio::test]
async fn bodies_come_as_files_and_as_they_passed() {
    let house = House::filled().await;
    for (side, body, name) in [
        (Side::Request, "{\"text\":\"bobs-prompt\"}", "request.json"),
        (Side::Response, "data: bobs-prompt\n\n", "response.sse.txt"),
    ] {
        let path = Route::Body(bobs_request(), side).path();
        let rsp = house.ask(&bob(), Role::User, &path).await;
        assert_eq!(rsp.body(), body);
        assert_eq!(rsp.headers()[CONTENT_TYPE], "application/octet-stream");
        let expected = format!("attachment; filename=\"{}-{name}\"", bobs_request());
        assert_eq!(rsp.headers()[CONTENT_DISPOSITION], expected.as_str());
    }
}
