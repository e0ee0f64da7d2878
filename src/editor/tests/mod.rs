//! The editor on a real file, with a real store.

mod carry;
mod files;
mod history;
mod saves;

use super::*;
use crate::{
    config::{CheckOptions, PLACEHOLDER},
    identity::testing::person,
    store::OpenOptions,
};
use std::{fs, path::PathBuf};
use tempfile::TempDir;

/// A document with a secret of each sort, a comment, and unusual layout.
pub(super) const DOCUMENT: &str = r#"// kept by hand
{
    /* two
       lines */
    "providers": {
        "a": {  "baseurl": "https://a.example", "apikey": "marked-secret-one",   "models": ["m-1"] },
        "b": { "baseurl": "https://b.example", "authorization": { "type": "bearer", "value": "marked-secret-two" },
               "add_headers": ["X-Team: marked-secret-three"], "models": ["m-2", ] },
    },
    "grants": [
        { "src": ["alice@example.com"], "app": { "tailscale.com/cap/aperture": [ { "role": "admin" }, { "models": "**" } ] } },
        { "src": ["*"], "app": { "tailscale.com/cap/aperture": [ { "role": "user" } ] } },
    ],
}
"#;

/// A gateway's document, its store and its editor.
pub(super) struct Stage {
    pub(super) directory: TempDir,
    pub(super) live: Live,
    pub(super) store: Store,
    pub(super) writer: Writer,
    pub(super) editor: Editor,
}

impl Stage {
    pub(super) fn new(document: &str) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("aperture.hujson");
        fs::write(&path, document).unwrap();
        Self::at(directory, path)
    }

    /// On a file that is there already.
    pub(super) fn at(directory: TempDir, path: PathBuf) -> Self {
        let live = Live::load(path, CheckOptions::default()).unwrap();
        let state = directory.path().join("state");
        fs::create_dir_all(&state).unwrap();
        let (store, writer, _) = Store::open(&state, OpenOptions::default()).unwrap();
        Self {
            editor: Editor::new(live.clone(), store.clone(), writer.clone()),
            directory,
            live,
            store,
            writer,
        }
    }

    pub(super) fn on_disk(&self) -> String {
        fs::read_to_string(self.live.path()).unwrap()
    }

    pub(super) fn write(&self, text: &str) {
        fs::write(self.live.path(), text).unwrap();
    }

    /// Saves as alice, from the version on disk.
    pub(super) async fn save(&self, text: &str) -> Result<Saved, EditError> {
        let expected = self.editor.document().await.etag;
        self.save_from(text, expected).await
    }

    pub(super) async fn save_from(&self, text: &str, etag: Etag) -> Result<Saved, EditError> {
        let now = Timestamp::now();
        self.editor.save(text.to_owned(), etag, alice(), now).await
    }

    /// The problems that refuse a text; nothing was written for it.
    pub(super) async fn refused(&self, text: &str) -> Vec<Problem> {
        let before = self.on_disk();
        let reviewed = self.editor.validate(text.to_owned(), alice()).await;
        let error = self.save(text).await.unwrap_err();
        assert_eq!(self.on_disk(), before);
        let EditError::Refused(review) = error else {
            panic!("{error}");
        };
        assert_eq!(reviewed, review, "what is validated is what is saved");
        assert!(
            !format!("{review:?}").contains("marked-secret"),
            "{review:?}"
        );
        let blocking = review.problems.into_iter();
        blocking.filter(|problem| problem.blocks).collect()
    }
}

pub(super) fn alice() -> Author {
    author("alice@example.com")
}

pub(super) fn author(login: &str) -> Author {
    Author {
        caller: Arc::new(person(login)),
        through: Through::Page,
    }
}
