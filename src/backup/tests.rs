use super::*;
use crate::{
    app::StateDir,
    record::Timestamp,
    store::{OpenOptions, Store},
};
use std::fs;

/// An archive of an empty store, its directory, and a state directory to restore into.
async fn archive() -> (tempfile::TempDir, PathBuf, StateDir) {
    let dir = tempfile::tempdir().unwrap();
    let (store, writer, _) = Store::open(&dir.path().join("old"), OpenOptions::default()).unwrap();
    let snapshot = writer.snapshot(true).await.unwrap();
    let mut rows = Head::new(None).to_line();
    snapshot.write(&mut rows).unwrap();
    drop(store);
    let place = Place::new(&dir.path().join("backup.tar.zst"), Timestamp::now()).unwrap();
    let extras = Extras {
        captures: true,
        ..Extras::default()
    };
    let manifest = gather(&place, &extras, rows.as_slice()).unwrap();
    let path = pack(&place, &manifest).unwrap();
    drop(place);
    let state = StateDir::open(Some(&dir.path().join("new"))).unwrap();
    (dir, path, state)
}

fn names(dir: &Path) -> Vec<String> {
    let mut names: Vec<String> = fs::read_dir(dir)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

#[tokio::test]
async fn whatever_is_cut_off_or_changed_is_refused_and_nothing_is_touched() {
    let (dir, path, state) = archive().await;
    let good = fs::read(&path).unwrap();
    let bad = dir.path().join("bad.tar.zst");
    let mut wrong: Vec<Vec<u8>> = [0, 1, 10, good.len() / 2, good.len() - 1]
        .into_iter()
        .map(|length| good[..length].to_vec())
        .collect();
    // Every byte counts, but for bits of zstd that change nothing of what comes out, such as the size of the window.
    let plain = zstd::decode_all(&good[..]).unwrap();
    let mut idle = 0;
    for place in 0..good.len() {
        let mut changed = good.clone();
        changed[place] ^= 0x40;
        if zstd::decode_all(&changed[..]).is_ok_and(|out| out == plain) {
            idle += 1;
        } else if place % (1 + good.len() / 60) == 0 {
            // A step keeps the rest short.
            wrong.push(changed);
        } else {
            fs::write(&bad, &changed).unwrap();
            inspect(&bad).unwrap_err();
        }
    }
    assert!(idle < good.len() / 20, "{idle} bits change nothing");
    wrong.push([&good[..], b"more"].concat());
    for bytes in wrong {
        fs::write(&bad, &bytes).unwrap();
        let error = inspect(&bad).unwrap_err().to_string();
        assert!(error.contains("Nothing was changed"), "{error}");
        let request = Request {
            force: true,
            data_only: false,
        };
        restore(&bad, &state, request).await.unwrap_err();
        assert_eq!(names(state.path()), ["lock"]);
    }
    let manifest = restore(&path, &state, Request::default()).await.unwrap();
    assert_eq!(manifest, inspect(&path).unwrap());
    assert_eq!(
        names(state.path()),
        ["aperture.redb", "captures.redb", "lock"]
    );
}

/// An archive with this manifest and no file.
fn forged(path: &Path, manifest: &Manifest) {
    let work = tempfile::tempdir().unwrap();
    let file = place::private(path).unwrap();
    archive::write(&file, manifest, work.path()).unwrap();
}

#[tokio::test]
async fn what_a_manifest_may_not_say() {
    let dir = tempfile::tempdir().unwrap();
    let state = StateDir::open(Some(&dir.path().join("state"))).unwrap();
    let mut manifest = Manifest::new(Copied::default());
    for (name, format, schema, says) in [
        ("newer", 1, SCHEMA_VERSION + 1, "schema version"),
        ("form", 2, SCHEMA_VERSION, "its form is 2"),
        ("none", 1, SCHEMA_VERSION, "it has no database"),
    ] {
        let path = dir.path().join(name);
        (manifest.format, manifest.schema) = (format, schema);
        // A newer archive may well be sound.
        forged(&path, &manifest);
        if name == "newer" {
            let work = tempfile::tempdir().unwrap();
            fs::write(work.path().join("aperture.redb"), "x").unwrap();
            let entry = Entry::of("aperture.redb", &work.path().join("aperture.redb")).unwrap();
            manifest.files.push(entry);
            fs::remove_file(&path).unwrap();
            archive::write(&place::private(&path).unwrap(), &manifest, work.path()).unwrap();
            manifest.files.clear();
        }
        let error = restore(&path, &state, Request::default())
            .await
            .unwrap_err();
        assert!(error.to_string().contains(says), "{name}: {error}");
        assert_eq!(names(state.path()), ["lock"], "{name}");
    }
    let error = inspect(Path::new("/dev/null")).unwrap_err().to_string();
    assert!(error.contains("no good backup"), "{error}");
}

#[tokio::test]
async fn what_is_there_is_replaced_by_force_alone_and_kept() {
    let (dir, path, state) = archive().await;
    fs::write(state.path().join("aperture.redb"), "what was there").unwrap();
    let error = restore(&path, &state, Request::default())
        .await
        .unwrap_err();
    assert!(error.to_string().contains("--force"), "{error}");
    assert_eq!(names(state.path()), ["aperture.redb", "lock"]);
    let force = Request {
        force: true,
        data_only: false,
    };
    restore(&path, &state, force).await.unwrap();
    let kept = state.path().join("before-restore/aperture.redb");
    assert_eq!(fs::read_to_string(kept).unwrap(), "what was there");
    // A second time nothing would be left to keep it in.
    let error = restore(&path, &state, force).await.unwrap_err();
    assert!(error.to_string().contains("move it away first"), "{error}");
    let again = Place::new(&path, Timestamp::now()).unwrap_err();
    assert!(again.to_string().contains("never overwrites"), "{again}");
    // Neither the archive's working directory nor the restore's is left.
    let left = names(dir.path());
    assert_eq!(left, ["backup.tar.zst", "new", "old"]);
}

/// An archive of this manifest and one entry, made by hand: its name, its kind, where it points.
fn made_by_hand(path: &Path, manifest: &Manifest, name: &str, kind: tar::EntryType, link: &str) {
    let out = zstd::stream::write::Encoder::new(place::private(path).unwrap(), 3).unwrap();
    let mut builder = tar::Builder::new(out);
    let text = serde_json::to_vec(manifest).unwrap();
    for (name, kind, link, content) in [
        ("manifest.json", tar::EntryType::Regular, "", &*text),
        (name, kind, link, b"stolen"),
    ] {
        let mut header = tar::Header::new_gnu();
        // As they are: the library refuses to write such names.
        let fields = header.as_gnu_mut().unwrap();
        fields.name[..name.len()].copy_from_slice(name.as_bytes());
        fields.linkname[..link.len()].copy_from_slice(link.as_bytes());
        header.set_entry_type(kind);
        let linked = !link.is_empty();
        header.set_size(if linked { 0 } else { content.len() as u64 });
        header.set_mode(0o600);
        header.set_cksum();
        builder
            .append(&header, if linked { &[] } else { content })
            .unwrap();
    }
    builder.into_inner().unwrap().finish().unwrap();
}

/// Nothing leaves the state directory, whatever names and links an archive has: it may come from anywhere.
#[tokio::test]
async fn an_archive_that_leads_elsewhere_is_refused_and_writes_nothing() {
    use tar::EntryType;
    let dir = tempfile::tempdir().unwrap();
    let state = StateDir::open(Some(&dir.path().join("state"))).unwrap();
    fs::write(dir.path().join("kept"), "kept").unwrap();
    let outside = dir.path().join("outside");
    let outside = outside.to_str().unwrap();
    let stolen = dir.path().join("stolen");
    fs::write(&stolen, "stolen").unwrap();
    let before = [names(dir.path()), vec!["archive".to_owned()]].concat();
    for (named, entry, kind, link) in [
        ("aperture.redb", "../outside", EntryType::Regular, ""),
        ("aperture.redb", outside, EntryType::Regular, ""),
        (
            "aperture.redb",
            "aperture.redb",
            EntryType::Symlink,
            "../../kept",
        ),
        (
            "aperture.redb",
            "aperture.redb",
            EntryType::Link,
            "../../kept",
        ),
        ("aperture.redb", "aperture.redb", EntryType::Directory, ""),
        ("aperture.redb", "aperture.redb", EntryType::Fifo, ""),
        ("../outside", "../outside", EntryType::Regular, ""),
        (outside, outside, EntryType::Regular, ""),
        ("lock", "lock", EntryType::Regular, ""),
    ] {
        let mut manifest = Manifest::new(Copied::default());
        manifest.files = vec![Entry::of(named, &stolen).unwrap()];
        let path = dir.path().join("archive");
        made_by_hand(&path, &manifest, entry, kind, link);
        let request = Request {
            force: true,
            data_only: false,
        };
        let error = restore(&path, &state, request).await.unwrap_err();
        assert!(
            matches!(error, Error::Damaged { .. }),
            "{entry} {kind:?}: {error}"
        );
        let mut after = names(dir.path());
        let mut wanted = before.clone();
        after.sort();
        wanted.sort();
        assert_eq!(after, wanted, "{entry} {kind:?}");
        assert_eq!(names(state.path()), ["lock"], "{entry} {kind:?}");
        assert_eq!(fs::read_to_string(dir.path().join("kept")).unwrap(), "kept");
        fs::remove_file(&path).unwrap();
    }
}
