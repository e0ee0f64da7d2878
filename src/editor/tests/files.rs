//! How the file is replaced, and when it can't be.

use super::*;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};

#[tokio::test]
async fn permissions_and_links_stay_and_nothing_is_left_behind() {
    let directory = tempfile::tempdir().unwrap();
    let (real, link) = (
        directory.path().join("real"),
        directory.path().join("link.hujson"),
    );
    fs::create_dir(&real).unwrap();
    let target = real.join("aperture.hujson");
    fs::write(&target, DOCUMENT).unwrap();
    fs::set_permissions(&target, fs::Permissions::from_mode(0o640)).unwrap();
    symlink("real/aperture.hujson", &link).unwrap();
    let before = fs::metadata(&target).unwrap();
    let stage = Stage::at(directory, link.clone());
    let shown = stage.editor.document().await.text;
    stage.save(&shown.replace("m-1", "m-9")).await.unwrap();
    assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
    let after = fs::metadata(&target).unwrap();
    assert_eq!(after.mode(), before.mode());
    assert_eq!((after.uid(), after.gid()), (before.uid(), before.gid()));
    assert_ne!(after.ino(), before.ino(), "replaced, not overwritten");
    assert!(stage.on_disk().contains("m-9"));
    let names: Vec<_> = fs::read_dir(&real)
        .unwrap()
        .map(|entry| entry.unwrap().file_name())
        .collect();
    assert_eq!(names, ["aperture.hujson"]);
}

#[tokio::test]
async fn what_can_not_be_written_says_why_and_what_to_do() {
    // A ConfigMap's links.
    let directory = tempfile::tempdir().unwrap();
    let mount = directory.path().join("config");
    fs::create_dir_all(mount.join("..2026_11_28_17_00_00.1")).unwrap();
    fs::write(
        mount.join("..2026_11_28_17_00_00.1/aperture.hujson"),
        DOCUMENT,
    )
    .unwrap();
    symlink("..2026_11_28_17_00_00.1", mount.join("..data")).unwrap();
    symlink("..data/aperture.hujson", mount.join("aperture.hujson")).unwrap();
    let stage = Stage::at(directory, mount.join("aperture.hujson"));
    let why = refused(&stage).await;
    assert!(matches!(why, Unwritable::Mounted(_)), "{why:?}");
    assert!(why.to_string().contains("ConfigMap") && why.advice().contains("kubectl"));

    // A file that nobody may write.
    let stage = Stage::new(DOCUMENT);
    fs::set_permissions(stage.live.path(), fs::Permissions::from_mode(0o440)).unwrap();
    let why = refused(&stage).await;
    assert!(matches!(why, Unwritable::ReadOnlyFile(_)), "{why:?}");

    // Another process is at it; one that was killed is not.
    let stage = Stage::new(DOCUMENT);
    let draft = stage.directory.path().join(".aperture.hujson.saving");
    fs::write(&draft, "half").unwrap();
    let shown = stage.editor.document().await;
    let edited = shown.text.replace("m-1", "m-9");
    let error = stage.save(&edited).await.unwrap_err();
    let EditError::Unwritable { why } = &error else {
        panic!("{error}");
    };
    assert!(matches!(why, Unwritable::Busy(_)), "{why:?}");
    let hours_ago = std::time::SystemTime::now() - Duration::from_hours(2);
    fs::File::options()
        .append(true)
        .open(&draft)
        .unwrap()
        .set_modified(hours_ago)
        .unwrap();
    stage.save(&edited).await.unwrap();
    assert!(!draft.exists());
}

/// Why the document says that it can't be written; a save says the same.
async fn refused(stage: &Stage) -> Unwritable {
    let document = stage.editor.document().await;
    let before = stage.on_disk();
    let edited = document.text.replace("m-1", "m-9");
    let error = stage.save(&edited).await.unwrap_err();
    let EditError::Unwritable { why } = &error else {
        panic!("{error}");
    };
    assert_eq!(document.unwritable.as_ref(), Some(why));
    assert!(error.to_string().contains(why.advice()));
    assert_eq!(stage.on_disk(), before);
    why.clone()
}

#[tokio::test]
async fn a_directory_that_may_not_be_written_is_named() {
    let stage = Stage::new(DOCUMENT);
    if rustix::process::geteuid().is_root() {
        // Root may write anywhere; tests in a namespace run as such.
        return;
    }
    let directory = stage.directory.path();
    fs::set_permissions(directory, fs::Permissions::from_mode(0o500)).unwrap();
    let why = refused(&stage).await;
    fs::set_permissions(directory, fs::Permissions::from_mode(0o700)).unwrap();
    assert_eq!(
        why,
        Unwritable::NoPermission(fs::canonicalize(directory).unwrap())
    );
}

#[tokio::test]
async fn a_document_that_went_is_written_anew_and_never_over_another() {
    let stage = Stage::new(DOCUMENT);
    fs::remove_file(stage.live.path()).unwrap();
    let document = stage.editor.document().await;
    assert!(!document.exists && !document.in_force && document.text.is_empty());
    assert!(document.failure.is_some());
    let problems = stage_problems(&stage, &redacted(DOCUMENT), &document).await;
    assert_eq!(
        problems.len(),
        3,
        "no secret is stored any more: {problems:?}"
    );
    let saved = stage
        .save_from(DOCUMENT, document.etag.clone())
        .await
        .unwrap();
    assert!(saved.document.in_force);
    let mode = fs::metadata(stage.live.path()).unwrap().mode();
    assert_eq!(mode & 0o777, 0o600);
    let error = stage.save_from(DOCUMENT, document.etag).await.unwrap_err();
    assert!(matches!(error, EditError::Stale { .. }), "{error}");
}

fn redacted(text: &str) -> String {
    crate::config::redact(text)
}

async fn stage_problems(stage: &Stage, text: &str, document: &Document) -> Vec<Problem> {
    let error = stage
        .save_from(text, document.etag.clone())
        .await
        .unwrap_err();
    let EditError::Refused(review) = error else {
        panic!("{error}");
    };
    review.secrets().cloned().collect()
}

#[test]
fn a_change_between_the_look_and_the_exchange_stays() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("f");
    fs::write(&path, "one").unwrap();
    let base = file::read(&path);
    fs::write(&path, "two").unwrap();
    let result = file::replace(&path, &base, b"three");
    assert!(
        matches!(result, Err(file::NotReplaced::Changed)),
        "{result:?}"
    );
    assert_eq!(fs::read_to_string(&path).unwrap(), "two");
    assert!(file::replace(&path, &file::read(&path), b"three").is_ok());
    assert_eq!(fs::read_to_string(&path).unwrap(), "three");
}
