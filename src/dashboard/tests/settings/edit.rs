//! The document as text: reviewed, saved, in a conflict, put back.

use super::*;

#[tokio::test]
async fn an_edit_is_reviewed_and_saved_and_the_rest_of_the_file_stays() {
    let house = House::empty();
    let (draft, base, etag) = opened(&house).await;
    assert_eq!(draft, redact(DOCUMENT));
    assert_eq!(draft, base);
    let edited = draft.replace("\"name\": \"Anthropic\"", "\"name\": \"Claude & <co>\"");
    let review = sent(&house, "review", (&edited, &base, &etag)).await;
    assert_eq!(review.status(), StatusCode::OK);
    let page = text(&review);
    assert!(page.contains("Review changes") && page.contains("id=\"settings-save\""));
    assert_eq!(page.matches("<tr class=\"come\">").count(), 1);
    assert_eq!(page.matches("<tr class=\"gone\">").count(), 1);
    assert_eq!(field(page, "text"), edited, "byte for byte");
    assert_eq!(house.on_disk(), DOCUMENT, "a review writes nothing");

    let saved = sent(&house, "save", (&edited, &base, &etag)).await;
    let path = seen(&saved);
    assert_eq!(
        house.on_disk(),
        DOCUMENT.replace("\"name\": \"Anthropic\"", "\"name\": \"Claude & <co>\"")
    );
    assert_eq!(
        house.live.current().providers["anthropic"].name,
        "Claude & <co>"
    );
    let page = house.ask(&dora(), Role::Admin, &path).await;
    assert!(text(&page).contains("Saved, and in force."));
    // The words are not the address's: they go when the document does.
    std::fs::write(&house.file, DOCUMENT).unwrap();
    let page = house.ask(&dora(), Role::Admin, &path).await;
    assert!(!text(&page).contains("Saved"));
}

#[tokio::test]
async fn mistakes_are_said_at_their_lines_and_nothing_typed_is_lost() {
    let house = House::empty();
    let (draft, base, etag) = opened(&house).await;
    let broken = draft.replace(
        "\"baseurl\": \"https://backup.example\",",
        "\"basurl\": \"x\",",
    );
    for action in ["review", "save"] {
        let rsp = sent(&house, action, (&broken, &base, &etag)).await;
        assert_eq!(rsp.status(), StatusCode::UNPROCESSABLE_ENTITY);
        let page = text(&rsp);
        assert_eq!(field(page, "text"), broken);
        assert!(page.contains("Not saved yet.") && page.contains("basurl"));
        let line = broken
            .lines()
            .position(|line| line.contains("basurl"))
            .unwrap()
            + 1;
        assert!(
            page.contains(&format!("<span id=\"L{line}\" class=\"bad\"")),
            "{page}"
        );
        assert!(page.contains(&format!("href=\"#L{line}\"")));
    }
    assert_eq!(house.on_disk(), DOCUMENT);

    // The same while it is typed, as a part of the page.
    let check = Route::Check.path();
    let part = house
        .send(
            &dora(),
            Role::Admin,
            &check,
            &[("text", &broken), ("base", &base)],
        )
        .await;
    assert_eq!(part.status(), StatusCode::OK);
    assert!(text(&part).starts_with("<div id=\"settings-problems\" data-summary=\""));
    assert!(text(&part).contains("data-changed=\"+1 −1\"") && text(&part).contains("basurl"));
    let unreadable = house
        .send(&dora(), Role::Admin, &check, &[("text", "{ \"a\"")])
        .await;
    assert!(text(&unreadable).contains("data-weight=\"bad\""));
    // What the document has wrong already is a warning, and not in the way.
    let part = house
        .send(
            &dora(),
            Role::Admin,
            &check,
            &[("text", &draft), ("base", &base)],
        )
        .await;
    assert!(text(&part).contains("mistaken") && !text(&part).contains("data-weight=\"bad\""));
}

#[tokio::test]
async fn two_edits_at_once_meet_in_a_conflict_that_loses_neither() {
    let house = House::empty();
    let (draft, base, etag) = opened(&house).await;
    let mine = draft.replace("\"name\": \"Anthropic\"", "\"name\": \"Mine\"");
    // Meanwhile somebody edits the file: another place first, then the same.
    let theirs = DOCUMENT.replace("\"mistaken\": 1", "\"mistaken\": 2");
    std::fs::write(&house.file, &theirs).unwrap();
    house.live.reload();
    for action in ["review", "save"] {
        let rsp = sent(&house, action, (&mine, &base, &etag)).await;
        assert_eq!(rsp.status(), StatusCode::CONFLICT);
        let page = text(&rsp);
        assert!(page.contains("nothing that you typed is lost"));
        assert!(
            page.contains("id=\"settings-diff-mine\"")
                && page.contains("id=\"settings-diff-theirs\"")
        );
        assert!(page.contains("id=\"settings-merge\""));
    }
    let page = sent(&house, "save", (&mine, &base, &etag)).await;
    let form = |id: &str| {
        let (_, after) = text(&page).split_once(&format!("id=\"{id}\"")).unwrap();
        after.split_once("</form>").unwrap().0.to_owned()
    };
    let merged = form("settings-merge");
    let both = mine.replace("\"mistaken\": 1", "\"mistaken\": 2");
    assert_eq!(field(&merged, "text"), both);
    assert_eq!(field(&merged, "base"), redact(&theirs));
    let kept = form("settings-theirs");
    assert_eq!(
        (field(&kept, "text"), field(&kept, "kept")),
        (redact(&theirs), mine.clone())
    );
    assert_eq!(field(&form("settings-mine"), "text"), mine);

    // Beginning with theirs shows mine beside it.
    let fields = [
        ("do", "edit"),
        ("text", &*field(&kept, "text")),
        ("base", &*field(&kept, "base")),
        ("etag", &*field(&kept, "etag")),
        ("kept", &*mine),
    ];
    let page = house.send(&dora(), Role::Admin, SETTINGS, &fields).await;
    assert!(
        text(&page).contains("Your earlier text") && text(&page).contains("id=\"settings-kept\"")
    );
    sound(text(&page));

    // Both together can be saved.
    let etag = field(&merged, "etag");
    seen(&sent(&house, "save", (&both, &redact(&theirs), &etag)).await);
    assert_eq!(
        house.on_disk(),
        theirs.replace("\"name\": \"Anthropic\"", "\"name\": \"Mine\"")
    );

    // The same place: no merge is offered.
    let rsp = sent(
        &house,
        "save",
        (
            &base.replace("\"name\": \"Anthropic\"", "\"name\": \"Other\""),
            &base,
            &etag,
        ),
    )
    .await;
    assert_eq!(rsp.status(), StatusCode::CONFLICT);
    assert!(
        !text(&rsp).contains("id=\"settings-merge\"")
            && text(&rsp).contains("id=\"settings-theirs\"")
    );
}

#[tokio::test]
async fn versions_are_seen_compared_and_put_back() {
    let house = House::empty();
    let empty = house
        .ask(&dora(), Role::Admin, "/ui/settings/history/")
        .await;
    assert!(text(&empty).contains("No version is kept yet"));
    let (draft, base, etag) = opened(&house).await;
    let edited = draft.replace("\"name\": \"Anthropic\"", "\"name\": \"Second\"");
    seen(&sent(&house, "save", (&edited, &base, &etag)).await);
    let list = house
        .ask(&dora(), Role::Admin, "/ui/settings/history/")
        .await;
    let page = text(&list);
    assert!(page.contains("dora@example.com") && page.contains("href=\"/ui/settings/history/1\""));
    assert!(page.contains(
        "<time datetime=\"2026-11-23T15:24:05Z\" title=\"2026-11-23 15:24:05\">just now</time>"
    ));

    let first = house
        .ask(&dora(), Role::Admin, "/ui/settings/history/1")
        .await;
    let page = text(&first);
    sound(page);
    assert!(
        page.contains("id=\"settings-revert\""),
        "its difference is on the page"
    );
    assert_eq!(page.matches("<tr class=\"come\">").count(), 1);
    let whole = house
        .ask(&dora(), Role::Admin, "/ui/settings/history/1?show=text")
        .await;
    assert!(
        !text(&whole).contains("id=\"settings-revert\""),
        "not without the difference"
    );
    assert!(text(&whole).contains("https://backup.example"));
    let changed = house
        .ask(&dora(), Role::Admin, "/ui/settings/history/2")
        .await;
    assert!(
        text(&changed).contains("From version 1 to this one.")
            && text(&changed).contains(">current<")
    );

    // Put back with the version of the page that showed it; with an older one it is a conflict.
    let etag = field(page, "etag");
    let stale = crate::editor::Etag::of(b"x").to_string();
    let path = "/ui/settings/history/1";
    let rsp = house
        .send(
            &dora(),
            Role::Admin,
            path,
            &[("do", "revert"), ("etag", &stale)],
        )
        .await;
    assert_eq!(rsp.status(), StatusCode::CONFLICT);
    assert!(text(&rsp).contains("The document has changed meanwhile"));
    let rsp = house
        .send(
            &dora(),
            Role::Admin,
            path,
            &[("do", "revert"), ("etag", &etag)],
        )
        .await;
    seen(&rsp);
    assert_eq!(house.on_disk(), DOCUMENT);
    let rsp = house
        .send(
            &dora(),
            Role::Admin,
            path,
            &[("do", "edit"), ("etag", &etag)],
        )
        .await;
    assert_eq!(field(text(&rsp), "text"), redact(DOCUMENT));
    let missing = house
        .ask(&dora(), Role::Admin, "/ui/settings/history/99")
        .await;
    assert_eq!(missing.status(), StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn what_can_not_be_saved_here_says_why_and_what_to_do() {
    let house = House::empty();
    // A read-only file: somebody wants it so.
    let mut modes = std::fs::metadata(&house.file).unwrap().permissions();
    modes.set_readonly(true);
    std::fs::set_permissions(&house.file, modes).unwrap();
    let (draft, base, etag) = opened(&house).await;
    let page = house.ask(&dora(), Role::Admin, SETTINGS).await;
    assert!(
        text(&page).contains("id=\"settings-readonly\""),
        "{}",
        text(&page)
    );
    let edited = draft.replace("\"name\": \"Anthropic\"", "\"name\": \"Second\"");
    let review = sent(&house, "review", (&edited, &base, &etag)).await;
    assert!(
        text(&review).contains("id=\"settings-whole\"")
            && !text(&review).contains("id=\"settings-save\"")
    );
    let rsp = sent(&house, "save", (&edited, &base, &etag)).await;
    assert_eq!(rsp.status(), StatusCode::FORBIDDEN);
    assert!(
        text(&rsp).contains("The file can&#39;t be written here.")
            || text(&rsp).contains("The file can't be written here.")
    );
    assert_eq!(field(text(&rsp), "text"), edited);
    assert_eq!(house.on_disk(), DOCUMENT);
}

#[tokio::test]
async fn a_file_that_is_not_in_force_is_shown_and_said() {
    let house = House::empty();
    std::fs::write(
        &house.file,
        "{ not a document, \"apikey\": \"never-shown-key\"",
    )
    .unwrap();
    house.live.reload();
    let page = house.ask(&dora(), Role::Admin, SETTINGS).await;
    sound(text(&page));
    assert!(text(&page).contains("id=\"settings-not-in-force\""));
    assert!(!text(&page).contains("never-shown-key"));
    assert!(text(&page).contains("put an earlier version back"));
    // A form does not edit what is shown in its place.
    let fields = [("who", "erin@example.com"), ("role", "user")];
    let rsp = house
        .send(&dora(), Role::Admin, "/ui/settings/grant", &fields)
        .await;
    assert_eq!(rsp.status(), StatusCode::CONFLICT);
    assert!(text(&rsp).contains("correct it as text first"));
    std::fs::remove_file(&house.file).unwrap();
    let page = house.ask(&dora(), Role::Admin, SETTINGS).await;
    sound(text(&page));
    assert!(text(&page).contains("There is no file."));
    let invisible = DOCUMENT.replace("\"mistaken\"", "\"mis\u{202e}taken\"");
    std::fs::write(&house.file, invisible).unwrap();
    let page = house.ask(&dora(), Role::Admin, SETTINGS).await;
    assert!(text(&page).contains("Characters that hide or reorder text are in line"));
}
