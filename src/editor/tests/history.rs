//! Every version that came into force, and back.

use super::*;
use crate::config::ReloadOutcome;
use crate::store::{AuditAction, AuditEntry};

async fn audit(stage: &Stage) -> Vec<AuditEntry> {
    stage.writer.flush().await.unwrap();
    stage.store.audit(None, 100).unwrap().items
}

#[tokio::test]
async fn every_version_is_noted_once_with_its_author() {
    let stage = Stage::new(DOCUMENT);
    let shown = stage.editor.document().await.text;
    stage.editor.0.note_disk(Timestamp(1));
    stage.save(&shown.replace("m-1", "m-9")).await.unwrap();
    // By hand, and taken over by a reload.
    stage.write(
        &stage
            .on_disk()
            .replace("m-2", "m-7")
            .replace("marked-secret-one", "marked-secret-new"),
    );
    assert!(matches!(stage.live.reload(), ReloadOutcome::Swapped { .. }));
    stage.editor.0.note_disk(Timestamp(2));
    stage.editor.0.note_disk(Timestamp(3));
    // By hand, and saved over before any reload: the save was made from it.
    stage.write(&stage.on_disk().replace("m-7", "m-8"));
    let shown = stage.editor.document().await.text;
    stage.save(&shown.replace("m-9", "m-1")).await.unwrap();
    stage.editor.0.note_disk(Timestamp(4));

    stage.writer.flush().await.unwrap();
    let history = stage.editor.history(None, 10).await.unwrap();
    let told: Vec<_> = history
        .iter()
        .map(|version| {
            (
                version.number,
                version.origin,
                version.author.as_str(),
                version.summary.as_str(),
            )
        })
        .collect();
    assert_eq!(
        told,
        [
            (
                5,
                Origin::Page,
                "alice@example.com",
                "providers.a changed; 1 line added, 1 removed"
            ),
            (
                4,
                Origin::Disk,
                "",
                "providers.b changed; 1 line added, 1 removed"
            ),
            (
                3,
                Origin::Disk,
                "",
                "providers.b changed; 1 line added, 1 removed"
            ),
            (
                2,
                Origin::Page,
                "alice@example.com",
                "providers.a changed; 1 line added, 1 removed"
            ),
            (1, Origin::First, "", "the first one"),
        ]
    );
    assert_eq!(history[0].etag, stage.live.current().hash);
    let page = stage.editor.history(Some(4), 2).await.unwrap();
    assert_eq!(
        page.iter()
            .map(|version| version.number)
            .collect::<Vec<_>>(),
        [3, 2]
    );
    for version in &history {
        let (same, text) = stage.editor.version(version.number).await.unwrap().unwrap();
        assert_eq!(&same, version);
        assert!(!text.contains("marked-secret"), "{text}");
        assert!(text.contains("kept by hand"));
    }
    assert!(stage.editor.version(6).await.unwrap().is_none());
    let trail: Vec<_> = audit(&stage)
        .await
        .into_iter()
        .map(|entry| {
            assert_eq!(entry.action, AuditAction::ConfigChanged);
            (entry.who, entry.detail)
        })
        .collect();
    let by_alice = "user:alice@example.com".to_owned();
    assert_eq!(trail.len(), 4, "the first one is nobody's change");
    assert_eq!(
        trail[0],
        (
            by_alice,
            "settings page: providers.a changed; 1 line added, 1 removed".into()
        )
    );
    assert_eq!(trail[1].0, "host");
    assert!(trail[1].1.starts_with("edited on disk: "));
}

#[tokio::test]
async fn a_restart_notes_only_what_changed_meanwhile() {
    let stage = Stage::new(DOCUMENT);
    stage.editor.0.note_disk(Timestamp(1));
    stage.writer.flush().await.unwrap();
    let again = || {
        Editor::new(
            stage.live.clone(),
            stage.store.clone(),
            stage.writer.clone(),
        )
    };
    again().0.note_disk(Timestamp(2));
    stage.writer.flush().await.unwrap();
    assert_eq!(stage.editor.history(None, 9).await.unwrap().len(), 1);
    stage.write(&DOCUMENT.replace("marked-secret-one", "marked-secret-new"));
    stage.live.reload();
    again().0.note_disk(Timestamp(3));
    stage.writer.flush().await.unwrap();
    let history = stage.editor.history(None, 9).await.unwrap();
    assert_eq!(history[0].summary, "only secrets");
    assert_eq!(history[0].origin, Origin::Disk);
}

#[tokio::test]
async fn a_revert_takes_the_secrets_of_now_or_asks() {
    let stage = Stage::new(DOCUMENT);
    stage.editor.0.note_disk(Timestamp(1));
    let shown = stage.editor.document().await.text;
    let changed = shown
        .replace("m-1", "m-9")
        .replacen(PLACEHOLDER, "marked-secret-new", 1);
    let etag = stage.save(&changed).await.unwrap().document.etag;
    let revert = |version: u64, etag: Etag| {
        let editor = stage.editor.clone();
        async move {
            editor
                .revert(version, etag, alice(), Timestamp::now())
                .await
        }
    };
    let saved = revert(1, etag.clone()).await.unwrap();
    assert_eq!(
        stage.on_disk(),
        DOCUMENT.replace("marked-secret-one", "marked-secret-new")
    );
    assert_eq!(
        saved.summary,
        "back to version 1: providers.a changed; 1 line added, 1 removed"
    );
    assert!(matches!(
        revert(1, etag).await,
        Err(EditError::Stale { .. })
    ));
    let etag = saved.document.etag;
    assert!(matches!(
        revert(77, etag.clone()).await,
        Err(EditError::NoVersion(77))
    ));
    // Since then the provider has moved: its key of now does not go to where it was.
    let moved = stage
        .on_disk()
        .replace("https://a.example", "https://new.example");
    let etag = stage.save_from(&moved, etag).await.unwrap().document.etag;
    let error = revert(1, etag).await.unwrap_err();
    let EditError::Refused(review) = error else {
        panic!("{error}");
    };
    let paths: Vec<_> = review
        .secrets()
        .map(|problem| problem.finding.path.as_str())
        .collect();
    assert_eq!(paths, ["providers.a.apikey"]);
}

#[tokio::test]
async fn the_follower_notes_what_comes_into_force() {
    let stage = Stage::new(DOCUMENT);
    let editor = stage.editor.clone();
    let follow = editor.follow();
    tokio::pin!(follow);
    let changed = async {
        let history = async || {
            stage.writer.flush().await.unwrap();
            stage.editor.history(None, 9).await.unwrap()
        };
        while history().await.is_empty() {
            tokio::task::yield_now().await;
        }
        stage.write(&DOCUMENT.replace("m-1", "m-9"));
        stage.live.reload();
        while history().await.len() < 2 {
            tokio::task::yield_now().await;
        }
        history().await
    };
    let history = tokio::select! {
        () = &mut follow => unreachable!("the sender of configurations lives"),
        history = changed => history,
    };
    assert_eq!(history[0].origin, Origin::Disk);
    assert_eq!(history[1].origin, Origin::First);
}
