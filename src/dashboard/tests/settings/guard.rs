//! What no form can do: for others, from elsewhere, with secrets, against its author.

use super::*;

#[tokio::test]
async fn secrets_stay_where_they_are_and_never_leave() {
    let house = House::empty();
    let (draft, base, etag) = opened(&house).await;
    assert_eq!(draft.matches(PLACEHOLDER).count(), 2);
    let moved = draft.replace("https://provider.example", "https://evil.example");
    let rsp = sent(&house, "save", (&moved, &base, &etag)).await;
    assert_eq!(rsp.status(), StatusCode::UNPROCESSABLE_ENTITY);
    assert!(text(&rsp).contains("A secret is needed anew."));
    assert_eq!(field(text(&rsp), "text"), moved);
    assert_eq!(house.on_disk(), DOCUMENT);

    // Written anew it may go there; the review does not show it to whoever looks over a shoulder.
    let fresh = moved.replacen(PLACEHOLDER, "sk-fresh-0123456789abcdef", 1);
    let rsp = sent(&house, "review", (&fresh, &base, &etag)).await;
    let (diff, _) = text(&rsp).split_once("</table>").unwrap();
    assert!(diff.contains("new secret") && !diff.contains("sk-fresh"));
    seen(&sent(&house, "save", (&fresh, &base, &etag)).await);
    assert!(house.on_disk().contains("sk-fresh-0123456789abcdef"));
    assert!(
        house.on_disk().contains("never-shown-key"),
        "the other one is kept"
    );
    for path in [
        SETTINGS,
        "/ui/settings/history/",
        "/ui/settings/history/2",
        "/ui/settings/history/2?show=text",
        "/ui/audit/",
    ] {
        let page = house.ask(&dora(), Role::Admin, path).await;
        assert_eq!(page.status(), StatusCode::OK, "{path}");
        assert!(
            !text(&page).contains("sk-fresh") && !text(&page).contains("never-shown-key"),
            "{path}"
        );
        sound(text(&page));
    }
}

#[tokio::test]
async fn nobody_locks_themselves_out() {
    let house = House::empty();
    let (draft, base, etag) = opened(&house).await;
    let without = draft.replace("\"dora@example.com\"", "\"erin@example.com\"");
    for action in ["review", "save"] {
        let rsp = sent(&house, action, (&without, &base, &etag)).await;
        assert_eq!(rsp.status(), StatusCode::UNPROCESSABLE_ENTITY);
        assert!(text(&rsp).contains("You would lock yourself out."));
        assert!(text(&rsp).contains("lock-out</span>"));
    }
    assert_eq!(house.on_disk(), DOCUMENT);
}

#[tokio::test]
async fn a_version_whose_secret_belongs_elsewhere_is_not_put_back() {
    let house = House::empty();
    let (draft, base, etag) = opened(&house).await;
    let moved = draft
        .replace("https://provider.example", "https://other.example")
        .replacen(PLACEHOLDER, "sk-fresh-0123456789abcdef", 1);
    seen(&sent(&house, "save", (&moved, &base, &etag)).await);
    let before = house.on_disk();
    let page = house
        .ask(&dora(), Role::Admin, "/ui/settings/history/1")
        .await;
    let etag = field(text(&page), "etag");
    let fields = [("do", "revert"), ("etag", &*etag)];
    let rsp = house
        .send(&dora(), Role::Admin, "/ui/settings/history/1", &fields)
        .await;
    assert_eq!(rsp.status(), StatusCode::UNPROCESSABLE_ENTITY);
    assert!(
        text(&rsp).contains("A secret is needed anew.") && text(&rsp).contains("Edit this version")
    );
    assert_eq!(house.on_disk(), before);
}

#[tokio::test]
async fn forms_of_other_pages_and_without_their_token_change_nothing() {
    let house = House::empty();
    let (draft, base, etag) = opened(&house).await;
    let edited = draft.replace("\"name\": \"Anthropic\"", "\"name\": \"Evil\"");
    let dora = dora();
    let token = house.dashboard.tokens.of(&dora);
    let others = house.dashboard.tokens.of(&bob());
    let foreign = form::Tokens::new().of(&dora);
    let form = "application/x-www-form-urlencoded";
    let ours = ("origin", "http://ai");
    for (token, kind, lines, status) in [
        // A page elsewhere, which can't know the token; and if it did.
        ("", form, vec![("origin", "http://evil.example")], 403),
        (&*token, form, vec![("origin", "http://evil.example")], 403),
        (&*token, form, vec![("origin", "null")], 403),
        (
            &*token,
            form,
            vec![("origin", "http://ai.evil.example")],
            403,
        ),
        (
            &*token,
            form,
            vec![ours, ("origin", "http://evil.example")],
            403,
        ),
        (&*token, form, vec![("sec-fetch-site", "cross-site")], 403),
        (&*token, form, vec![("sec-fetch-site", "same-site")], 403),
        // A browser that says nothing of the page.
        ("", form, vec![], 403),
        (&*others, form, vec![], 403),
        (&*foreign, form, vec![], 403),
        // Our page, made by an earlier process or for another caller.
        (&*foreign, form, vec![ours], 403),
        (&*others, form, vec![ours], 403),
        // Types that a page can send without asking.
        (&*token, "text/plain", vec![ours], 415),
        (&*token, "application/json", vec![ours], 415),
        (&*token, "multipart/form-data; boundary=x", vec![ours], 415),
    ] {
        for (path, action) in [
            (SETTINGS, "save"),
            ("/ui/settings/history/1", "revert"),
            ("/ui/settings/provider", "test"),
            ("/ui/settings/check", ""),
        ] {
            let fields = [
                ("token", token),
                ("do", action),
                ("text", &*edited),
                ("base", &*base),
                ("etag", &*etag),
                ("kind", "openai"),
                ("id", "x"),
                ("baseurl", "https://x.example"),
                ("key", "k"),
                ("scheme", "bearer"),
                ("flag", "openai_chat"),
            ];
            let mut req = http::Request::post(path)
                .header("host", "ai")
                .header(CONTENT_TYPE, kind);
            for (name, value) in &lines {
                req = req.header(*name, *value);
            }
            let req = req.body(()).unwrap().into_parts().0;
            let body = Full::new(Bytes::from(encoded(&fields)));
            let rsp = handle_at(&house.dashboard, &dora, Role::Admin, &req, body, NOW).await;
            assert!(
                rsp.status() == status || path.contains("history") && rsp.status() == 404,
                "{path} {token} {kind} {lines:?}: {}",
                rsp.status()
            );
            // The typed text comes back where the browser vouches for the page, and only there.
            let back = text(&rsp).contains("Evil");
            assert_eq!(
                back,
                path == SETTINGS && lines == [ours] && status == 403,
                "{path} {lines:?}"
            );
        }
    }
    assert_eq!(house.on_disk(), DOCUMENT);
    assert!(house.tried.lock().is_empty());
    let mut large = http::Request::post(SETTINGS)
        .header("host", "ai")
        .header(CONTENT_TYPE, form);
    large = large.header(ORIGIN, "http://ai:80");
    let req = large.body(()).unwrap().into_parts().0;
    let body = Full::new(Bytes::from(vec![b'a'; (16 << 20) + 1]));
    let rsp = handle_at(&house.dashboard, &dora, Role::Admin, &req, body, NOW).await;
    assert_eq!(rsp.status(), StatusCode::PAYLOAD_TOO_LARGE);
}

#[tokio::test]
async fn only_admins_send_forms_and_the_role_is_asked_again() {
    let house = House::empty();
    let (draft, base, etag) = opened(&house).await;
    let edited = draft.replace("\"name\": \"Anthropic\"", "\"name\": \"Bob's\"");
    let fields = [
        ("do", "save"),
        ("text", &*edited),
        ("base", &*base),
        ("etag", &*etag),
    ];
    let ci = Arc::new(Caller {
        tags: vec!["tag:ci".into()],
        ..Caller::clone(&caller("tags:tag:ci", "tag:ci"))
    });
    for who in [bob(), ci] {
        let rsp = house.send(&who, Role::User, SETTINGS, &fields).await;
        assert_eq!(rsp.status(), StatusCode::FORBIDDEN);
        assert!(text(&rsp).contains("Admins only"));
        // Even if a role were misjudged before: the editor asks the configuration in force itself.
        let rsp = house.send(&who, Role::Admin, SETTINGS, &fields).await;
        assert_eq!(
            rsp.status(),
            StatusCode::UNPROCESSABLE_ENTITY.min(StatusCode::FORBIDDEN)
        );
    }
    assert_eq!(house.on_disk(), DOCUMENT);
}
