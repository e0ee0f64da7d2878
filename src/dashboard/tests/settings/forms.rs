//! The forms that add a provider and a grant, and end that everyone is an admin.

use super::*;

const PROVIDER: [(&str, &str); 8] = [
    ("kind", "openai"),
    ("id", "openai"),
    ("name", "OpenAI"),
    ("baseurl", "https://api.openai.com/"),
    ("key", "sk-typed-0123456789"),
    ("scheme", "bearer"),
    ("flag", "openai_chat"),
    ("models", "gpt-5\ngpt-5-mini"),
];

async fn provider(house: &House, action: &str, other: &[(&str, &str)]) -> Response<Bytes> {
    let kept = PROVIDER
        .iter()
        .filter(|(name, _)| other.iter().all(|(changed, _)| changed != name));
    let mut fields: Vec<_> = kept.copied().collect();
    fields.extend_from_slice(other);
    fields.push(("do", action));
    let rsp = house
        .send(&dora(), Role::Admin, "/ui/settings/provider", &fields)
        .await;
    sound(text(&rsp));
    rsp
}

#[tokio::test]
async fn a_provider_is_tried_with_its_own_key_and_then_added_by_splicing() {
    let house = House::empty();
    *house.answer.lock() = probe::Answer::Said {
        status: StatusCode::OK,
        words: String::new(),
        models: vec!["gpt-5".into(), "o3".into()],
        to_anybody: false,
    };
    let rsp = provider(&house, "test", &[]).await;
    assert_eq!(rsp.status(), StatusCode::OK);
    assert!(text(&rsp).contains("The key works.") && text(&rsp).contains("lists 2 models"));
    assert!(text(&rsp).contains("name=\"offered\" value=\"o3\""));
    assert!(
        !text(&rsp).contains("name=\"offered\" value=\"gpt-5\""),
        "it is chosen already"
    );
    {
        let tried = house.tried.lock();
        assert_eq!(tried.len(), 1);
        assert_eq!(tried[0].base, "https://api.openai.com/");
        assert_eq!(
            tried[0].credential.as_ref().unwrap().secret.expose(),
            "sk-typed-0123456789"
        );
    }
    assert_eq!(house.on_disk(), DOCUMENT, "a trial saves nothing");

    let review = provider(&house, "review", &[("offered", "o3")]).await;
    assert_eq!(review.status(), StatusCode::OK, "{}", text(&review));
    let page = text(&review);
    let (diff, _) = page.split_once("</table>").unwrap();
    assert!(!diff.contains("sk-typed") && diff.contains("new secret"));
    let (draft, base, etag) = (
        field(page, "text"),
        field(page, "base"),
        field(page, "etag"),
    );
    seen(&sent(&house, "save", (&draft, &base, &etag)).await);
    let added = &house.live.current().providers["openai"];
    assert_eq!(
        added.models.iter().map(|m| &**m).collect::<Vec<_>>(),
        ["gpt-5", "gpt-5-mini", "o3"]
    );
    assert_eq!(
        added.credential.as_ref().unwrap().secret.expose(),
        "sk-typed-0123456789"
    );
    let (front, _) = house
        .on_disk()
        .split_once("    \"openai\": {")
        .map(|(a, b)| (a.to_owned(), b.to_owned()))
        .unwrap();
    assert!(DOCUMENT.starts_with(&front));
}

#[tokio::test]
async fn a_trial_never_sends_what_is_stored_and_says_what_came_of_it() {
    let house = House::empty();
    for key in [
        PLACEHOLDER,
        "env:OPENAI_API_KEY",
        "file:openai",
        "keyfile::e30=",
    ] {
        let rsp = provider(&house, "test", &[("key", key)]).await;
        assert_eq!(rsp.status(), StatusCode::UNPROCESSABLE_ENTITY);
        assert!(text(&rsp).contains("Write the key itself."));
    }
    // The gateway's own host and metadata servers are no providers.
    for address in [
        "http://127.0.0.1:1",
        "http://169.254.169.254/latest",
        "http://localhost",
    ] {
        let rsp = provider(&house, "test", &[("baseurl", address)]).await;
        assert!(text(&rsp).contains("Not tried."), "{address}");
    }
    for (name, value) in [
        ("id", "anthropic"),
        ("id", "a/b"),
        ("id", ""),
        ("baseurl", "api.openai.com"),
        ("flag", "nothing"),
        ("scheme", "basic"),
    ] {
        let rsp = provider(&house, "test", &[(name, value)]).await;
        assert_eq!(
            rsp.status(),
            StatusCode::UNPROCESSABLE_ENTITY,
            "{name}={value}"
        );
        assert!(
            text(&rsp).contains(&format!("id=\"mistake-{name}\"")),
            "{name}={value}"
        );
    }
    assert!(house.tried.lock().is_empty());
    let said = |status, words: &str, to_anybody| probe::Answer::Said {
        status: StatusCode::from_u16(status).unwrap(),
        words: words.into(),
        models: vec![],
        to_anybody,
    };
    for (answer, expected) in [
        (said(401, "Incorrect API key", false), "The key is refused."),
        (said(400, "API key not valid", false), "API key not valid"),
        (said(200, "", true), "does not show that the key is good"),
        (said(404, "", false), "does not show that the key is good"),
        (said(503, "overloaded", false), "It has trouble."),
        (probe::Answer::Silent, "No answer."),
        (
            probe::Answer::Unreachable("no connection: <dns>".into()),
            "&lt;dns&gt;",
        ),
        (probe::Answer::NoCredential("why".into()), "No credential."),
        (probe::Answer::Unaskable, "Not tried."),
    ] {
        *house.answer.lock() = answer;
        let rsp = provider(&house, "test", &[]).await;
        assert!(text(&rsp).contains(expected), "{expected}");
        assert!(
            text(&rsp).contains("value=\"sk-typed-0123456789\""),
            "nothing has to be typed again"
        );
    }
    let rsp = provider(&house, "review", &[("models", "")]).await;
    assert!(text(&rsp).contains("id=\"mistake-models\""));
    let unknown = house
        .ask(&dora(), Role::Admin, "/ui/settings/provider?kind=nothing")
        .await;
    assert!(text(&unknown).contains("id=\"settings-kinds\""));
}

#[tokio::test]
async fn a_grant_is_added_by_splicing() {
    let house = House::empty();
    let fields = [
        ("do", "review"),
        ("who", "erin@example.com\ntag:ci"),
        ("role", "user"),
        ("scope", "some"),
        ("models", "anthropic/**"),
        ("models", "backup/claude-opus*"),
    ];
    let rsp = house
        .send(&dora(), Role::Admin, "/ui/settings/grant", &fields)
        .await;
    assert_eq!(rsp.status(), StatusCode::OK, "{}", text(&rsp));
    let page = text(&rsp);
    sound(page);
    seen(
        &sent(
            &house,
            "save",
            (
                &field(page, "text"),
                &field(page, "base"),
                &field(page, "etag"),
            ),
        )
        .await,
    );
    let config = house.live.current();
    let grant = config.grants.last().unwrap();
    assert_eq!(
        grant.src,
        [
            Src::Login("erin@example.com".into()),
            Src::Tags(vec!["tag:ci".into()])
        ]
    );
    assert_eq!(grant.capabilities.len(), 3);
    for fields in [
        vec![("who", "*"), ("role", "admin")],
        vec![("who", "erin"), ("role", "user")],
        vec![("role", "user")],
        vec![
            ("who", "erin@example.com"),
            ("role", "none"),
            ("scope", "none"),
        ],
    ] {
        let rsp = house
            .send(&dora(), Role::Admin, "/ui/settings/grant", &fields)
            .await;
        assert_eq!(rsp.status(), StatusCode::UNPROCESSABLE_ENTITY);
        assert!(text(&rsp).contains("class=\"mistake\""));
        sound(text(&rsp));
    }
}

#[tokio::test]
async fn everybody_as_admin_is_one_step_from_being_corrected() {
    let house = House::empty();
    let open = crate::config::default_document();
    std::fs::write(&house.file, open).unwrap();
    house.live.reload();
    house.state.lock().config = house.live.current();
    for path in [SETTINGS, "/ui/", "/ui/logs/"] {
        let page = house.ask(&dora(), Role::Admin, path).await;
        assert!(text(&page).contains("Everyone on this tailnet is an admin"));
        assert!(text(&page).contains("href=\"/ui/settings/admin\""));
    }
    let page = house.ask(&dora(), Role::Admin, "/ui/settings/admin").await;
    let page = text(&page);
    sound(page);
    assert_eq!(page.matches("<tr class=\"come\">").count(), 1);
    seen(
        &sent(
            &house,
            "save",
            (
                &field(page, "text"),
                &field(page, "base"),
                &field(page, "etag"),
            ),
        )
        .await,
    );
    let config = house.live.current();
    assert!(!config.everyone_is_admin());
    assert_eq!(policy::role(&config, &dora()).unwrap().0, Role::Admin);
    assert_eq!(policy::role(&config, &bob()).unwrap().0, Role::User);
    let page = house.ask(&dora(), Role::Admin, "/ui/settings/admin").await;
    assert!(text(&page).contains("Nothing to do."));
}
