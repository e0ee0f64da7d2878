use super::*;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use tempfile::TempDir;

fn document(model: &str) -> String {
    format!(
        r#"{{"providers":{{"p":{{"baseurl":"https://x.example","apikey":"file:key","models":["{model}"]}}}}}}"#
    )
}

/// A document that names a secret file, and the options that lead to it.
fn stage() -> (TempDir, PathBuf, CheckOptions) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("aperture.hujson");
    fs::write(&path, document("one")).unwrap();
    fs::write(directory.path().join("key"), "first-key").unwrap();
    let options = CheckOptions {
        secrets_dir: Some(directory.path().to_owned()),
        ..CheckOptions::default()
    };
    (directory, path, options)
}

fn model(live: &Live) -> String {
    live.current().providers["p"].models[0].to_string()
}

fn key(live: &Live) -> String {
    let config = live.current();
    let credential = config.providers["p"].credential.as_ref().unwrap();
    credential.secret.expose().to_owned()
}

#[test]
fn a_reload_swaps_only_what_changed() {
    let (directory, path, options) = stage();
    let live = Live::load(&path, options).unwrap();
    let mut changes = live.subscribe();
    assert!(matches!(live.reload(), ReloadOutcome::Unchanged));
    assert!(!changes.has_changed().unwrap());

    fs::write(&path, document("two")).unwrap();
    let ReloadOutcome::Swapped { hash, .. } = live.reload() else {
        panic!("not swapped");
    };
    assert_eq!(model(&live), "two");
    assert_eq!(hash, live.current().hash);
    assert!(changes.has_changed().unwrap());
    changes.mark_unchanged();

    // The same text, another secret.
    fs::write(directory.path().join("key"), "second-key").unwrap();
    assert!(matches!(live.reload(), ReloadOutcome::Swapped { .. }));
    assert_eq!(key(&live), "second-key");
    assert!(changes.has_changed().unwrap());
}

#[test]
fn a_bad_document_keeps_the_last_good_one_and_says_so() {
    let (_directory, path, options) = stage();
    let live = Live::load(&path, options).unwrap();
    let loaded = live.status().loaded;
    for bad in ["", "{", "[]", "// nothing"] {
        fs::write(&path, bad).unwrap();
        let ReloadOutcome::Kept(LoadError::Refused { findings, .. }) = live.reload() else {
            panic!("{bad:?} was taken");
        };
        assert!(!findings.is_empty());
        assert_eq!(model(&live), "one");
        let status = live.status();
        assert!(status.error.is_some());
        assert_eq!(status.findings.len(), findings.len());
        assert_eq!(status.loaded, loaded);
    }
    fs::write(&path, [0xff]).unwrap();
    assert!(matches!(
        live.reload(),
        ReloadOutcome::Kept(LoadError::Unreadable { .. })
    ));
    fs::remove_file(&path).unwrap();
    assert!(matches!(
        live.reload(),
        ReloadOutcome::Kept(LoadError::Unreadable { .. })
    ));
    assert_eq!(model(&live), "one");

    fs::write(&path, document("two")).unwrap();
    assert!(matches!(live.reload(), ReloadOutcome::Swapped { .. }));
    assert_eq!(live.status().error, None);
}

#[test]
fn a_first_load_fails_with_its_findings() {
    let (_directory, path, options) = stage();
    fs::write(&path, "{\n  \"providers\": }").unwrap();
    let error = Live::load(&path, options).unwrap_err();
    assert!(error.to_string().contains("line 2"), "{error}");
    let missing = Live::load("/nonexistent/aperture.hujson", CheckOptions::default());
    assert!(matches!(missing, Err(LoadError::Unreadable { .. })));
}

#[test]
fn every_way_of_writing_is_seen() {
    let (directory, path, options) = stage();
    // As a ConfigMap is mounted: the file is a link through a link that is swapped.
    let mount = directory.path().join("mount");
    fs::create_dir_all(mount.join("v1")).unwrap();
    fs::create_dir_all(mount.join("v2")).unwrap();
    fs::write(mount.join("v1/c.hujson"), document("one")).unwrap();
    fs::write(mount.join("v2/c.hujson"), document("two")).unwrap();
    symlink("v1", mount.join("..data")).unwrap();
    symlink("..data/c.hujson", mount.join("c.hujson")).unwrap();
    let mounted = Live::load(mount.join("c.hujson"), options.clone()).unwrap();
    symlink("v2", mount.join("..new")).unwrap();
    fs::rename(mount.join("..new"), mount.join("..data")).unwrap();
    assert!(matches!(
        mounted.reload_if_touched(),
        Some(ReloadOutcome::Swapped { .. })
    ));
    assert_eq!(model(&mounted), "two");

    // By rename.
    let live = Live::load(&path, options).unwrap();
    let draft = directory.path().join("draft");
    fs::write(&draft, document("three")).unwrap();
    fs::rename(&draft, &path).unwrap();
    assert!(matches!(
        live.reload_if_touched(),
        Some(ReloadOutcome::Swapped { .. })
    ));
    // A secret file that is written in place.
    fs::write(directory.path().join("key"), "second-longer-key").unwrap();
    assert!(matches!(
        live.reload_if_touched(),
        Some(ReloadOutcome::Swapped { .. })
    ));
    assert_eq!(key(&live), "second-longer-key");
    // Quiet when nothing happens.
    assert!(live.reload_if_touched().is_none());
}

#[tokio::test(start_paused = true)]
async fn the_watch_reloads_within_two_seconds_and_ends_with_the_drain() {
    let (_directory, path, options) = stage();
    let live = Live::load(&path, options).unwrap();
    let tasks = Tasks::default();
    let mut changes = live.subscribe();
    live.watch(&tasks);
    let begun = tokio::time::Instant::now();
    fs::write(&path, document("two, and longer")).unwrap();
    changes.changed().await.unwrap();
    assert!(begun.elapsed() <= Duration::from_secs(2));
    assert_eq!(model(&live), "two, and longer");
    assert!(tasks.drain(Duration::from_secs(1)).await);
}

#[test]
fn the_first_document_is_private_and_never_replaces_one() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("aperture.hujson");
    assert!(write_default(&path).unwrap());
    let mode = fs::metadata(&path).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    assert_eq!(fs::read_to_string(&path).unwrap(), default_document());
    fs::write(&path, "mine").unwrap();
    assert!(!write_default(&path).unwrap());
    assert_eq!(fs::read_to_string(&path).unwrap(), "mine");
    assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1);
    assert!(write_default(&directory.path().join("none/aperture.hujson")).is_err());
}
