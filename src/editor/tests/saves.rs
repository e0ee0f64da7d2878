//! What a save does, and what refuses it.

use super::*;
use crate::config::{
    Severity, Strictness,
    grant::{Capability, Role},
};

#[tokio::test]
async fn the_document_is_shown_without_its_secrets() {
    let stage = Stage::new(DOCUMENT);
    let document = stage.editor.document().await;
    assert!(!document.text.contains("marked-secret"));
    assert_eq!(document.text.matches(PLACEHOLDER).count(), 3);
    assert_eq!(document.etag.as_str(), stage.live.current().hash);
    assert!(document.in_force && document.exists);
    assert_eq!(document.unwritable, None);
    assert_eq!(document.failure, None);
    assert!(document.findings.is_empty(), "{:?}", document.findings);
}

#[tokio::test]
async fn a_save_keeps_every_other_byte_and_is_in_force() {
    let stage = Stage::new(DOCUMENT);
    let shown = stage.editor.document().await;
    let edited = shown.text.replace("\"m-1\"", "\"m-1\", \"m-9\"");
    let saved = stage.save(&edited).await.unwrap();
    assert_eq!(
        stage.on_disk(),
        DOCUMENT.replace("\"m-1\"", "\"m-1\", \"m-9\"")
    );
    assert_eq!(stage.live.current().providers["a"].models.len(), 2);
    assert_eq!(saved.document.text, edited);
    assert_eq!(saved.document.etag.as_str(), stage.live.current().hash);
    assert!(saved.document.in_force);
    assert_eq!(
        saved.summary,
        "providers.a changed; 1 line added, 1 removed"
    );
    assert_eq!(saved.unrecorded, None);
    assert!(!saved.unchanged);
    // The same again changes nothing.
    assert!(stage.save(&edited).await.unwrap().unchanged);
    // A new secret is one that the answer does not show.
    let anew = edited.replacen(PLACEHOLDER, "marked-secret-new", 1);
    let saved = stage.save(&anew).await.unwrap();
    assert!(
        stage
            .on_disk()
            .contains("\"apikey\": \"marked-secret-new\"")
    );
    assert!(!format!("{saved:?}").contains("marked-secret"), "{saved:?}");
}

#[tokio::test]
async fn a_form_of_a_browser_changes_no_line_end() {
    let stage = Stage::new(DOCUMENT);
    let shown = stage.editor.document().await;
    assert!(
        stage
            .save(&shown.text.replace('\n', "\r\n"))
            .await
            .unwrap()
            .unchanged
    );
    let windows = format!("\u{feff}{}", DOCUMENT.replace('\n', "\r\n"));
    stage.write(&windows);
    let shown = stage.editor.document().await;
    let edited = shown.text.replace("\r\n", "\n").replace("m-1", "m-9");
    stage.save(&edited).await.unwrap();
    assert_eq!(stage.on_disk(), windows.replace("m-1", "m-9"));
}

#[tokio::test]
async fn of_saves_at_once_exactly_one_wins() {
    let stage = Stage::new(DOCUMENT);
    let shown = stage.editor.document().await;
    let saves = (0..8).map(|number| {
        let text = shown.text.replace("m-1", &format!("m-1{number}"));
        let (editor, etag) = (stage.editor.clone(), shown.etag.clone());
        async move { editor.save(text, etag, alice(), Timestamp::now()).await }
    });
    let results = futures_util::future::join_all(saves).await;
    let (won, lost): (Vec<_>, Vec<_>) = results.into_iter().partition(Result::is_ok);
    assert_eq!((won.len(), lost.len()), (1, 7));
    let won = won.into_iter().next().unwrap().unwrap();
    for error in lost {
        let EditError::Stale { current } = error.unwrap_err() else {
            panic!("not stale");
        };
        assert_eq!(current.etag, won.document.etag);
    }
    assert_eq!(stage.live.current().hash, won.document.etag.as_str());
}

#[tokio::test]
async fn an_edit_on_disk_meanwhile_is_a_conflict() {
    let stage = Stage::new(DOCUMENT);
    let shown = stage.editor.document().await;
    let by_hand = DOCUMENT.replace("m-2", "m-7");
    stage.write(&by_hand);
    let edited = shown.text.replace("m-1", "m-9");
    let error = stage.save_from(&edited, shown.etag).await.unwrap_err();
    let EditError::Stale { current } = error else {
        panic!("{error}");
    };
    assert!(current.text.contains("m-7") && !current.text.contains("marked-secret"));
    assert_eq!(stage.on_disk(), by_hand);
    // Read again and changed anew, it is taken.
    let edited = current.text.replace("m-1", "m-9");
    stage.save_from(&edited, current.etag).await.unwrap();
    assert_eq!(stage.on_disk(), by_hand.replace("m-1", "m-9"));
}

#[tokio::test]
async fn mistakes_stand_where_check_puts_them() {
    let stage = Stage::new(DOCUMENT);
    let shown = stage.editor.document().await.text;
    // Behind a placeholder in its line, so that the secret's length must not show.
    let edited = shown.replace(
        "\"models\": [\"m-1\"]",
        "\"models\": [\"m-1\"], \"modles\": [1]",
    );
    let problems = stage.refused(&edited).await;
    let [problem] = &*problems else {
        panic!("{problems:?}");
    };
    assert_eq!(problem.kind, Kind::Document);
    assert_eq!(problem.finding.message, "unknown config key \"modles\"");
    let line = edited.lines().nth(problem.finding.line - 1).unwrap();
    let column = line.find("\"modles\"").unwrap() + 1;
    assert_eq!(problem.finding.column, column);
    // As the same text without secrets has it in `aperture check`.
    let checked = stage.live.check(&edited).findings;
    let same = checked
        .iter()
        .find(|finding| finding.path == problem.finding.path);
    assert_eq!(same, Some(&problem.finding));

    for broken in ["", "{", "// not shown", "[]", "{\"providers\": {}}"] {
        let problems = stage.refused(broken).await;
        let errors = stage.live.check(broken).findings;
        let errors = errors
            .iter()
            .filter(|finding| finding.severity(Strictness::Save) == Severity::Error);
        for error in errors {
            assert!(
                problems.iter().any(|problem| problem.finding == *error),
                "{broken}: {error:?}"
            );
        }
        assert!(!problems.is_empty(), "{broken}");
    }
    let huge = " ".repeat(crate::config::MAX_DOCUMENT_BYTES + 1);
    let error = stage.save(&huge).await.unwrap_err();
    assert!(matches!(error, EditError::TooLarge { .. }), "{error}");
}

#[tokio::test]
async fn unknown_keys_that_were_there_may_stay() {
    let with = |key: &str| DOCUMENT.replacen("{\n", &format!("{{\n    {key}\n"), 1);
    let stage = Stage::new(&with("\"quotas\": {}, \"mystery\": 1,"));
    let shown = stage.editor.document().await;
    let edited = shown.text.replace("m-1", "m-9");
    let review = stage.editor.validate(edited.clone(), alice()).await;
    assert!(!review.blocked(), "{review:?}");
    assert!(
        review
            .problems
            .iter()
            .any(|problem| !problem.blocks && problem.finding.unknown_key)
    );
    stage.save(&edited).await.unwrap();
    let more = edited.replace("\"mystery\": 1", "\"mystery\": 1, \"another\": 2");
    let problems = stage.refused(&more).await;
    assert_eq!(problems.len(), 1, "{problems:?}");
    assert_eq!(problems[0].finding.path, "another");
}

#[tokio::test]
async fn nobody_locks_themselves_out() {
    let stage = Stage::new(DOCUMENT);
    let shown = stage.editor.document().await.text;
    let grant = "\"role\": \"admin\"";
    for (from, to) in [
        ("alice@example.com", "carol@example.com"),
        (grant, "\"role\": \"user\""),
        (
            "\"grants\"",
            "\"temp_grants\": [{\"src\": [\"*\"], \"grants\": [{\"role\": \"user\"}]}], \"grants\"",
        ),
    ] {
        let mut edited = shown.replace(from, to);
        if from == "\"grants\"" {
            edited = edited.replace("alice@example.com", "group:admins");
        }
        let problems = stage.refused(&edited).await;
        let problem = problems
            .iter()
            .find(|problem| problem.kind == Kind::LockOut);
        let finding = &problem.unwrap_or_else(|| panic!("{problems:?}")).finding;
        assert!(finding.message.contains("alice@example.com"));
        let line = edited.lines().nth(finding.line - 1).unwrap();
        assert!(line.contains("\"grants\""), "{line}");
    }
    // Everybody being admin is no lock-out, nor is what the tailnet policy gives.
    stage
        .save(&shown.replace("alice@example.com", "*"))
        .await
        .unwrap();
    let mut caller = person("alice@example.com");
    caller.capabilities.push(Capability {
        role: Some(Role::Admin),
        ..Capability::default()
    });
    let author = Author {
        caller: Arc::new(caller),
        through: Through::Api,
    };
    let elsewhere = shown.replace("alice@example.com", "carol@example.com");
    let etag = stage.editor.document().await.etag;
    let now = Timestamp::now();
    let saved = stage
        .editor
        .save(elsewhere.clone(), etag, author.clone(), now)
        .await;
    let etag = saved.unwrap().document.etag;
    // But under another name the policy may say something else.
    let renamed = elsewhere.replacen(
        "{\n",
        "{ \"gateway\": { \"capability\": \"example.com/cap/other\" },\n",
        1,
    );
    let error = stage
        .editor
        .save(renamed, etag.clone(), author, now)
        .await
        .unwrap_err();
    let EditError::Refused(review) = error else {
        panic!("{error}");
    };
    assert!(review.locks_out());
    // Who is no admin now saves nothing, whatever the text would give.
    let error = stage.save_from(&shown, etag).await.unwrap_err();
    assert!(matches!(error, EditError::NotAdmin), "{error}");
}

#[tokio::test]
async fn a_save_stands_when_its_history_fails_and_says_so() {
    let stage = Stage::new(DOCUMENT);
    let shown = stage.editor.document().await.text;
    stage.writer.close(Duration::from_secs(5)).await;
    let saved = stage.save(&shown.replace("m-1", "m-9")).await.unwrap();
    assert_eq!(saved.unrecorded.as_deref(), Some("the store is closed"));
    assert!(saved.document.in_force);
    assert_eq!(stage.editor.unrecorded(), 1);
    assert_eq!(stage.on_disk(), DOCUMENT.replace("m-1", "m-9"));
}

#[tokio::test]
async fn a_text_that_is_nested_without_end_harms_nobody() {
    let stage = Stage::new(DOCUMENT);
    for text in [
        "[".repeat(1 << 19),
        "{\"a\":".repeat(1 << 19),
        "/*".repeat(1 << 19),
    ] {
        assert!(!stage.refused(&text).await.is_empty());
    }
}
